"""Ratios of running times, measured side by side in one process; run by ``make speed`` on a machine that is otherwise quiet.

Accuracy is asserted before anything is timed.  RepeatedGame are interleaved, times are CPU time of this process, and the median counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.dense_hpgd import dense_gradient
from benchmarks.timing import ratio

import stackelberg_envs as se
from solvers.estimators.hpgd import HPGD
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration

pytestmark = pytest.mark.speed


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_transposed_hpgd_against_the_dense_form(capsys: pytest.CaptureFixture[str]) -> None:
    """Four Rooms, 5 streams x 2,000 steps, dim x = 105: both from the outcome to dF/dx; the dense form gets its Jacobians for free."""
    game = se.game("four_rooms-v0")
    x = 0.3 * np.random.default_rng(0).normal(size=game.dimension)
    rounds = RepeatedGame(game, se.Soft(0.003), 0)
    seen = rounds.play_streams(x, streams=5, steps=2000, one_context=True)
    oracle = rounds.oracle(Access.INCENTIVE)
    oracle.__dict__["play_streams"] = lambda *_, **__: seen
    context, leaf = int(seen.contexts[0]), torch.tensor(x)
    jacobians = [
        torch.autograd.functional.jacobian(lambda y, f=f: f(y, context)[:, 0, 0], leaf).numpy() for f in (game.incentive, game.leader_cost)
    ]
    estimator, rng = HPGD(streams=5, steps=2000), np.random.default_rng(0)

    def ours() -> np.ndarray:
        return estimator.estimate(oracle, leaf, None, rng).gradient.numpy()

    def dense() -> np.ndarray:
        return dense_gradient(seen, *jacobians, (104, 4), oracle.leader_discount, 0.003)

    np.testing.assert_allclose(ours(), dense(), atol=1e-10)
    times, seconds_dense, seconds_ours = ratio(dense, ours)
    with capsys.disabled():
        print(f"\nHPGD estimate, 10,000 steps: dense {seconds_dense * 1e3:.1f} ms, transposed {seconds_ours * 1e3:.2f} ms ({times:.0f} x)")
    assert times >= 20


def test_batched_play_against_stepping(capsys: pytest.CaptureFixture[str]) -> None:
    """Outcome steps a second: the oracle's batched play against the AEC view, same game, same follower."""
    game = se.game("four_rooms-v0")
    rounds = RepeatedGame(game, seed=0)
    oracle = rounds.oracle(Access.OUTCOME)
    env = se.make("four_rooms-v0")
    x = np.zeros(game.dimension)
    policy = game.default_follower.respond(game, x).policy[:, 0].argmax(-1)

    def step() -> int:
        env.reset(seed=0)
        env.step(x)
        moves = 0
        while env.agents and not (env.terminations["leader_0"] or env.truncations["leader_0"]):
            env.step(policy[env.states[0]])
            moves += 1
        return moves

    oracle.play(x, episodes=2)
    began, before = time.process_time(), rounds.cost.outcome_steps
    oracle.play(x, episodes=1000)
    batched = (rounds.cost.outcome_steps - before) / (time.process_time() - began)
    began, moves = time.process_time(), 0
    for _ in range(20):
        moves += step()
    single = moves / (time.process_time() - began)
    with capsys.disabled():
        print(f"\nplay: batched {batched:,.0f} steps/s, AEC {single:,.0f} moves/s ({batched / single:.0f} x)")
    assert batched > 3 * single


def test_shared_rows_against_a_dense_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    """Tax design, all rates .3, both contexts, soft response warm from rates a little off: 130 rows a state against 1,250, 61 points."""
    small, full = (se.game("tax_design-v0", preset="legacy", grid=grid) for grid in (61, 161))

    def warm(game: se.StackelbergGame, *, dense: bool) -> Callable[[], list[np.ndarray]]:
        x = np.full(4, np.log(0.15 / 0.85))
        before, here = ([game.problems(at, context)[0].joint for context in range(2)] for at in (x - 0.01, x))
        values = [soft_policy_iteration(mdp, 0.1).values for mdp in before]
        if dense:
            here = [replace(mdp, transition=mdp.transition.dense()) for mdp in here]
        return lambda: [soft_policy_iteration(mdp, 0.1, values=v).values for mdp, v in zip(here, values, strict=True)]

    shared, dense = warm(small, dense=False), warm(small, dense=True)
    np.testing.assert_allclose(shared(), dense(), atol=1e-9)
    times, seconds_dense, seconds_shared = ratio(dense, shared)
    began = time.process_time()
    warm_full = warm(full, dense=False)
    cold, began = time.process_time() - began, time.process_time()
    warm_full()
    seconds_full = time.process_time() - began
    with capsys.disabled():
        print(f"\ntax, 61 points: dense {seconds_dense * 1e3:.0f} ms, shared rows {seconds_shared * 1e3:.1f} ms ({times:.1f} x); ", end="")
        print(f"161 points, both contexts: warm {seconds_full * 1e3:.0f} ms, kernels and cold solves {cold * 1e3:.0f} ms")
    assert times >= 1.3
