"""HPGD: the transposed sum is the dense one, and its bias is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from gymnasium.spaces import Box

import solvers
import stackelberg_envs as se
from solvers.estimators.hpgd import HPGD
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.game import as_tuple
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.worlds.mdp import InducedMDP


def dense(game: se.StackelbergGame, x: np.ndarray, valued: Outcome, reacted: Outcome, temperature: float, who: int = 0) -> np.ndarray:
    """The estimator as it is written down, one follower: D_t as vectors of dim x, tables by loops over visits."""
    context = int(valued.contexts[0])
    mdp = game.problems(x, context)[who]
    leaf = torch.tensor(x, requires_grad=True)
    dr = torch.autograd.functional.jacobian(lambda y: as_tuple(game.incentive(y, context))[who][:, 0, 0], leaf).numpy()
    dcost = torch.autograd.functional.jacobian(lambda y: as_tuple(game.leader_cost(y, context))[who][:, 0, 0], leaf).numpy()
    s_count, _, b_count = mdp.sizes
    horizon = valued.alive.shape[-1]

    def means(batch: Outcome, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pair, state = np.zeros((s_count, b_count, values.shape[-1])), np.zeros((s_count, values.shape[-1]))
        n_pair, n_state = np.zeros((s_count, b_count, 1)), np.zeros((s_count, 1))
        for i, t in zip(*np.nonzero(batch.alive[:, who]), strict=True):
            s, b = batch.states[i, who, t], batch.follower_actions[i, who, t]
            pair[s, b] += values[i, t]
            state[s] += values[i, t]
            n_pair[s, b] += 1
            n_state[s] += 1
        return np.where(n_pair > 0, pair / np.maximum(n_pair, 1), np.nan), state / np.maximum(n_state, 1)

    def backward(step: np.ndarray, discount: float, alive: np.ndarray) -> np.ndarray:
        total = np.zeros_like(step)
        ahead = np.zeros_like(step[:, 0])
        for t in reversed(range(horizon)):
            ahead = np.where(alive[:, t, None], step[:, t] + discount * ahead, 0.0)
            total[:, t] = ahead
        return total

    indices = np.minimum(reacted.states[:, who, :-1], s_count - 1)
    QD, VD = means(reacted, backward(dr[indices], mdp.follower_discount, reacted.alive[:, who]))
    QU, VU = means(valued, backward(valued.leader_rewards[..., None], mdp.leader_discount, valued.alive.any(axis=1)))
    own = np.minimum(valued.states[:, who, :-1], s_count - 1)
    _, VE = means(valued, backward(dcost[own], mdp.leader_discount, valued.alive[:, who]))
    gradient = -np.mean([VE[s] for s in valued.states[:, who, 0]], axis=0)
    for i, t in zip(*np.nonzero(valued.alive[:, who]), strict=True):
        s, b = valued.states[i, who, t], valued.follower_actions[i, who, t]
        weight = mdp.leader_discount**t / valued.ended.sum()
        if not np.isnan(QD[s, b]).any():
            gradient += weight / temperature * (QU[s, b] - VU[s]) * (QD[s, b] - VD[s])
    return gradient


@pytest.mark.parametrize("streams", [0, 2])
@pytest.mark.parametrize("batches", ["same", "independent"])
def test_the_transposed_estimator_is_the_dense_one(batches: str, streams: int) -> None:
    """On the same trajectories, to 1e-10; whole episodes, and streams with cut ends."""
    game = se.game("four_rooms-v0")
    x, norms = 0.3 * np.random.default_rng(0).normal(size=105), []
    for seed in (0, 1, 2, 3):
        estimate = HPGD(episodes=40, batches=batches, streams=streams, steps=300).estimate(  # type: ignore[arg-type]
            RepeatedGame(game, se.Soft(0.003), seed).oracle(se.Access.INCENTIVE), torch.tensor(x), None, np.random.default_rng(0)
        )
        times = 2 if batches == "independent" else 1
        rounds = RepeatedGame(game, se.Soft(0.003), seed)
        if streams:
            seen = rounds.play_streams(x, streams=times * streams, steps=300, one_context=True)
        else:
            seen = rounds.play(x, episodes=40 * times, one_context=True)
        valued, reacted = seen.split(streams or 40) if batches == "independent" else (seen, seen)
        wanted = dense(game, x, valued, reacted, 0.003)
        norms.append(np.linalg.norm(wanted))
        np.testing.assert_allclose(estimate.gradient.numpy(), wanted, atol=1e-10)
    assert max(norms) > 1e-2


def _mean_estimate(
    game: se.StackelbergGame, x: np.ndarray, temperature: float, count: int, **options: object
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over independent estimates, and its standard error, along the exact gradient and at random: projections (3,)."""
    follower = se.Soft(temperature)
    exact = exact_gradient(RepeatedGame(game, follower).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()
    rng = np.random.default_rng(11)
    directions = np.stack([exact / np.linalg.norm(exact), *(d / np.linalg.norm(d) for d in rng.normal(size=(2, 105)))])
    estimator = HPGD(**options)  # type: ignore[arg-type]
    oracle = RepeatedGame(game, follower, 3).oracle(se.Access.INCENTIVE, estimator.permissions)
    drawn = np.stack([directions @ estimator.estimate(oracle, torch.tensor(x), None, rng).gradient.numpy() for _ in range(count)])
    return drawn.mean(axis=0) - directions @ exact, drawn.std(axis=0) / np.sqrt(count)


def test_bias() -> None:
    """One goal, so that only sampling is random; means over independent estimates, projected on three directions, at two batch sizes.

    Independent batches: no bias, within four standard errors.  The same batch, as published: a bias as large as the gradient itself
    (.0072 here) that falls with the batch.
    """
    game = se.game("four_rooms-v0", preset="bchg")
    x = np.zeros(105)
    same = {}
    for episodes, count in ((50, 300), (200, 100)):
        bias, error = _mean_estimate(game, x, 0.003, count, episodes=episodes, batches="independent")
        assert (np.abs(bias) < 4 * error).all()
        bias, error = _mean_estimate(game, x, 0.003, count, episodes=episodes, batches="same")
        assert np.abs(bias / error).max() > 10
        same[episodes] = np.linalg.norm(bias)
    assert same[50] > 0.0072
    assert 2 < same[50] / same[200] < 5


class Corridor(se.StackelbergGame):
    """Five cells in a row, left or right with slip; the last ends it.  Short-sighted players, so that geometric times are short."""

    name, followers, max_cycles = "corridor", 2, 50

    def __init__(self) -> None:
        self.leader_space = Box(-5.0, 5.0, (5,), np.float64)
        self.default_follower = se.Soft(0.5)

    def incentive(self, x: Any, context: int | str = 0) -> Any:
        return (x[..., None, None], 0.5 * x[..., None, None])

    def leader_cost(self, x: Any, context: int | str = 0) -> Any:
        return (0.3 * x[..., None, None], 0.1 * x[..., None, None] ** 2)

    def induced(self, x: Any, context: int) -> tuple[InducedMDP, ...]:
        xp = array_namespace(x)
        table = np.zeros((5, 1, 2, 5))
        for s in range(4):
            for b, step in enumerate((-1, 1)):
                for move, p in ((step, 0.8), (-step, 0.2)):
                    table[s, 0, b, min(max(s + move, 0), 4)] += p
        own = np.arange(10.0).reshape(5, 1, 2) / 10
        paid = np.cos(np.arange(10.0)).reshape(5, 1, 2)
        return tuple(
            InducedMDP(
                leader_policy=xp.ones((5, 1), dtype=x.dtype),
                transition=xp.asarray(table, dtype=x.dtype),
                follower_reward=xp.asarray(own, dtype=x.dtype) + incentive,
                leader_reward=xp.asarray(paid, dtype=x.dtype) - cost,
                initial=xp.asarray(np.eye(5)[i], dtype=x.dtype),
                follower_discount=0.7,
                leader_discount=0.8,
            )
            for i, (incentive, cost) in enumerate(zip(self.incentive(x), self.leader_cost(x), strict=True))
        )


@pytest.mark.parametrize("samples", [1000, 8000])
def test_geometric_horizons_have_no_bias(samples: int) -> None:
    """Every component within four standard errors of the exact gradient; two followers who walk at once, two discounts."""
    game, x = Corridor(), np.array([0.1, -0.2, 0.3, 0.0, 0.2])
    exact = exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()
    estimator, rng = HPGD(episodes=samples, batches="geometric"), np.random.default_rng(0)
    oracle = RepeatedGame(game, seed=1).oracle(se.Access.INCENTIVE, estimator.permissions)
    drawn = np.stack([estimator.estimate(oracle, torch.tensor(x), None, rng).gradient.numpy() for _ in range(40)])
    error = drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - exact) < 4 * error).all()
    if samples == 8000:
        assert (error < 0.15 * np.linalg.norm(exact)).all(), "a bias of a sixth of the gradient would be seen"


def test_several_followers_add_up() -> None:
    """Two walkers: the estimate is the sum of the dense ones, each with the leader's whole return."""
    game = se.game("four_rooms-v0", walkers=2)
    x = 0.3 * np.random.default_rng(1).normal(size=105)
    oracle = RepeatedGame(game, seed=4).oracle(se.Access.INCENTIVE)
    estimate = HPGD(episodes=30).estimate(oracle, torch.tensor(x), None, np.random.default_rng(0))
    seen = RepeatedGame(game, seed=4).play(x, episodes=30, one_context=True)
    wanted = sum(dense(game, x, seen, seen, 0.003, who) for who in (0, 1))
    np.testing.assert_allclose(estimate.gradient.numpy(), wanted, atol=1e-10)


def test_hpgd_declines() -> None:
    with pytest.raises(solvers.Declined, match="the game has no incentive"):
        solvers.solve(se.game("toy3-v0"), "hpgd")
    with pytest.raises(solvers.Declined, match="a follower with a temperature"):
        solvers.solve(se.game("four_rooms-v0"), "hpgd", follower=se.Hard())
    with pytest.raises(ValueError, match="Known: same, independent, geometric"):
        solvers.build("hpgd", batches="both")


@pytest.mark.parametrize("batches", ["same", "independent"])
def test_compiled_passes_are_bit_for_bit_the_same(batches: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    estimator, x = HPGD(streams=3, steps=400, batches=batches), torch.tensor(0.3 * np.random.default_rng(0).normal(size=105))  # type: ignore[arg-type]
    gradients = []
    for fused in (True, False):
        monkeypatch.setattr("solvers.estimators.visits.COMPILED", fused)
        oracle = RepeatedGame(se.game("four_rooms-v0", walkers=2), seed=2).oracle(se.Access.INCENTIVE)
        gradients.append(estimator.estimate(oracle, x, None, np.random.default_rng(0)).gradient.numpy())
    np.testing.assert_array_equal(*gradients)
    assert np.abs(gradients[0]).max() > 0
