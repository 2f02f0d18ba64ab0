"""HPGD by scalar scans in torch, against the same in torch with a vector of dim x components at every step, and against loops over time.

Four Rooms, 5 streams x 2,000 steps, dim x = 105.  Streams are laid out as the published code's, (T, B, dim x), and scanned step by step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from benchmarks.timing import ratio

import stackelberg_envs as se
from solvers.estimators import visits
from solvers.estimators.hpgd import HPGD
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play.outcomes import Outcome

pytestmark = pytest.mark.speed
STREAMS, STEPS, SIZES, TEMPERATURE = 5, 2000, (104, 4), 0.003


class Laid(NamedTuple):
    """Streams, (T, B) each: an episode begins where the one before ended."""

    states: torch.Tensor
    pairs: torch.Tensor
    rewards: torch.Tensor
    times: torch.Tensor
    """t within the episode."""
    goes_on: torch.Tensor
    """1. where the next step belongs to the same episode."""

    @staticmethod
    def out(seen: Outcome) -> Laid:
        alive = seen.alive[:, 0]
        last = np.arange(alive.shape[1]) == alive.sum(-1, keepdims=True) - 1
        times = np.broadcast_to(np.arange(float(alive.shape[1])), alive.shape)
        tables = seen.states[:, 0, :-1], seen.pairs(0, SIZES[1]), seen.leader_rewards, times, 1.0 - last
        return Laid(*(torch.tensor(table[alive].reshape(STREAMS, STEPS).T.copy()) for table in tables))


def scan(step: torch.Tensor, goes_on: torch.Tensor, discount: float) -> torch.Tensor:
    """y_t = step_t + discount y_{t+1} within each episode, (T, B, ...), one step of time after the other."""
    y, ahead = torch.empty_like(step), torch.zeros_like(step[0])
    carry = (discount * goes_on).reshape(*goes_on.shape, *[1] * (step.ndim - 2))
    for out, now, factor in zip(reversed(y.unbind()), reversed(step.unbind()), reversed(carry.unbind()), strict=True):
        ahead = torch.addcmul(now, factor, ahead, out=out)
    return y


def means(values: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Means of the rows of ``values`` (T, B, n) by ``index`` (T, B): (size, n)."""
    counts = torch.bincount(index.ravel(), minlength=size).clamp(min=1)
    return values.new_zeros(size, values.shape[-1]).index_add_(0, index.ravel(), values.flatten(0, 1)) / counts[:, None]


def dense(seen: Outcome, laid: Laid, jacobians: list[torch.Tensor], discount: float) -> torch.Tensor:
    """dF/dx (n,) with D_t, E_t and U_t at every step, as in ``dense_hpgd.py``."""
    states, pairs, rewards, times, goes_on = laid
    D, E, U = (scan(step, goes_on, discount) for step in (jacobians[0][states], jacobians[1][states], rewards[..., None]))
    size, start = SIZES[0] * SIZES[1], int(seen.states[0, 0, 0])
    QU, VU, QD, VD = means(U, pairs, size), means(U, states, SIZES[0]), means(D, pairs, size), means(D, states, SIZES[0])
    credit = discount**times * (QU[pairs] - VU[states])[..., 0] / (TEMPERATURE * int(seen.ended.sum()))
    return credit.ravel() @ (QD[pairs] - VD[states]).flatten(0, 1) - E[states == start].mean(0)


def by_loops(laid: Laid, weight: torch.Tensor, discount: float) -> tuple[torch.Tensor, ...]:
    """Sums by pair of U_t, and twice of W_t, with a step of Python for each step of time."""
    bins, goes_on = laid.pairs.ravel(), laid.goes_on
    comes_from = torch.cat([torch.zeros_like(goes_on[:1]), goes_on[:-1]]).flip(0)
    scanned = [scan(weight[laid.pairs].flip(0), comes_from, discount).flip(0) for _ in range(2)]
    return tuple(
        weight.new_zeros(len(weight)).index_add(0, bins, values.ravel()) for values in (scan(laid.rewards, goes_on, discount), *scanned)
    )


def test_scans_against_vectors_and_loops_in_torch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The passes of an estimate (U_t; W_t for d_x r and d_x cost) against scans of D_t, E_t and U_t by steps, and of scalars by steps."""
    torch.set_num_threads(1)
    monkeypatch.setattr(visits, "LOOPED", ())
    game = se.game("four_rooms-v0")
    x = 0.3 * np.random.default_rng(0).normal(size=game.dimension)
    rounds = RepeatedGame(game, se.Soft(TEMPERATURE), 0)
    seen = rounds.play_streams(x, streams=STREAMS, steps=STEPS, one_context=True)
    oracle = rounds.oracle(Access.INCENTIVE)
    oracle.__dict__["play_streams"] = lambda *_, **__: seen
    laid, context, leaf, discount = Laid.out(seen), int(seen.contexts[0]), torch.tensor(x), oracle.leader_discount
    jacobians = [
        torch.autograd.functional.jacobian(lambda y, f=f: f(y, context)[:, 0, 0], leaf) for f in (game.incentive, game.leader_cost)
    ]
    estimator, rng = HPGD(streams=STREAMS, steps=STEPS), np.random.default_rng(0)
    rewarded, paid = (jacobian[laid.states] for jacobian in jacobians)
    at = visits.visit_sums("cpu")
    placed = at.place(seen.pairs(0, SIZES[1]), seen.alive[:, 0], seen.leader_rewards)
    weight, discounts = rng.normal(size=SIZES[0] * SIZES[1]), discount ** np.arange(placed[0].shape[1])

    def ours() -> torch.Tensor:
        return estimator.estimate(oracle, leaf, None, rng).gradient

    def passes() -> tuple[np.ndarray, ...]:
        _, worth, _ = at.returns_by_pair(*placed, discounts, len(weight))
        return worth, *(at.influences_by_pair(*placed[:2], weight, discount) for _ in range(2))

    def vectors() -> list[torch.Tensor]:
        return [scan(step, laid.goes_on, discount) for step in (rewarded, paid, laid.rewards)]

    def loops() -> tuple[torch.Tensor, ...]:
        return by_loops(laid, torch.as_tensor(weight), discount)

    torch.testing.assert_close(ours(), dense(seen, laid, jacobians, discount), atol=1e-10, rtol=0)
    for scanned, looped in zip(passes(), loops(), strict=True):
        np.testing.assert_allclose(scanned, looped.numpy(), atol=1e-12 * np.abs(scanned).max(), rtol=1e-10)
    whole, seconds_dense, seconds_ours = ratio(lambda: dense(seen, laid, jacobians, discount), ours)
    alone, seconds_vectors, seconds_passes = ratio(vectors, passes)
    scalars, seconds_loops, _ = ratio(loops, passes)
    with capsys.disabled():
        print(
            f"\n10,000 steps in torch: passes {seconds_passes * 1e3:.2f} ms; dense {seconds_vectors * 1e3:.1f} ms ({alone:.0f} x); ", end=""
        )
        print(f"loops over scalars {seconds_loops * 1e3:.1f} ms ({scalars:.0f} x)")
        print(f"whole estimate: by scans {seconds_ours * 1e3:.2f} ms, dense {seconds_dense * 1e3:.1f} ms ({whole:.0f} x)")
    assert alone >= 20
    assert scalars >= 10
    assert whole >= 10
