"""HPGD: the transposed sum is the dense one, and its bias is measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import solvers
import stackelberg_envs as se
from solvers.estimators.hpgd import HPGD
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.game import as_tuple
from stackelberg_envs.oracle import Outcome, Rounds


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
    gradient = np.zeros_like(x)
    for i, t in zip(*np.nonzero(valued.alive[:, who]), strict=True):
        s, b = valued.states[i, who, t], valued.follower_actions[i, who, t]
        weight = mdp.leader_discount**t / len(valued.alive)
        gradient -= weight * dcost[s]
        if not np.isnan(QD[s, b]).any():
            gradient += weight / temperature * (QU[s, b] - VU[s]) * (QD[s, b] - VD[s])
    return gradient


@pytest.mark.parametrize("batches", ["same", "independent"])
def test_the_transposed_estimator_is_the_dense_one(batches: str) -> None:
    """On the same trajectories, to 1e-10."""
    game = se.game("four_rooms-v0")
    x, norms = 0.3 * np.random.default_rng(0).normal(size=105), []
    for seed in (0, 1, 2, 3):
        estimate = HPGD(episodes=40, batches=batches).estimate(  # type: ignore[arg-type]
            Rounds(game, se.Soft(0.003), seed).oracle(se.Access.INCENTIVE), torch.tensor(x), None, np.random.default_rng(0)
        )
        count = 80 if batches == "independent" else 40
        seen = Rounds(game, se.Soft(0.003), seed).play(x, episodes=count, one_context=True)
        valued, reacted = seen.split(40) if batches == "independent" else (seen, seen)
        wanted = dense(game, x, valued, reacted, 0.003)
        norms.append(np.linalg.norm(wanted))
        np.testing.assert_allclose(estimate.gradient.numpy(), wanted, atol=1e-10)
    assert max(norms) > 1e-2


def _mean_estimate(
    game: se.StackelbergGame, x: np.ndarray, temperature: float, count: int, **options: object
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over independent estimates, and its standard error, along the exact gradient and at random: projections (3,)."""
    follower = se.Soft(temperature)
    exact = exact_gradient(Rounds(game, follower).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()
    rng = np.random.default_rng(11)
    directions = np.stack([exact / np.linalg.norm(exact), *(d / np.linalg.norm(d) for d in rng.normal(size=(2, 105)))])
    oracle = Rounds(game, follower, 3).oracle(se.Access.INCENTIVE)
    estimator = HPGD(**options)  # type: ignore[arg-type]
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


def test_several_followers_add_up() -> None:
    """Two walkers: the estimate is the sum of the dense ones, each with the leader's whole return."""
    game = se.game("four_rooms-v0", walkers=2)
    x = 0.3 * np.random.default_rng(1).normal(size=105)
    oracle = Rounds(game, seed=4).oracle(se.Access.INCENTIVE)
    estimate = HPGD(episodes=30).estimate(oracle, torch.tensor(x), None, np.random.default_rng(0))
    seen = Rounds(game, seed=4).play(x, episodes=30, one_context=True)
    wanted = sum(dense(game, x, seen, seen, 0.003, who) for who in (0, 1))
    np.testing.assert_allclose(estimate.gradient.numpy(), wanted, atol=1e-10)


def test_hpgd_declines() -> None:
    with pytest.raises(solvers.Declined, match="the game has no incentive"):
        solvers.solve(se.game("toy3-v0"), "hpgd")
    with pytest.raises(solvers.Declined, match="a follower with a temperature"):
        solvers.solve(se.game("four_rooms-v0"), "hpgd", follower=se.Hard())
    with pytest.raises(ValueError, match="batches 'same' or 'independent'"):
        solvers.build("hpgd", batches="both")
