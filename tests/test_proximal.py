"""Followers by PPO: they come near the soft answer, they go on from where they were, and one generator determines them."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

import solvers
import stackelberg_envs as se
from solvers.proximal import PPO
from stackelberg_envs.planning.linear_systems import PlanningError

pytest.importorskip("stable_baselines3", reason="the extra 'rl' is not installed")
X = 0.3 * np.random.default_rng(0).normal(size=15)


def _global_state() -> np.ndarray:
    """Of NumPy's global generator, which a follower must leave alone."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return state[1].copy()


@pytest.mark.parametrize("sees", ["action", "policy"])
def test_it_comes_near_the_soft_answer(sees: Any) -> None:
    """Exploitability falls to a fifth of the first answer's, and the critic's values come near the soft ones, which count entropy."""
    game, follower = se.game("random_markov_game-v0", follower_sees=sees), PPO(0.1)
    first = follower.respond(game, X, rng=np.random.default_rng(0))
    later = dataclasses.replace(follower, episodes=20).respond(game, X, budget=60, rng=np.random.default_rng(1), state=first.state)
    assert later.state.updates == 61
    assert later.certificate < 0.2 * first.certificate
    (exact,) = se.Soft(0.1).respond(game, X).answers
    assert np.abs(later.answers[0].values - exact.values).max() < 0.25 * np.abs(first.answers[0].values - exact.values).max()
    if sees == "policy":
        assert np.ptp(later.policy, axis=1).max() == 0


def test_one_generator_determines_it_and_nothing_global_moves() -> None:
    game, before = se.game("random_markov_game-v0"), _global_state()
    first, second = (PPO(0.1, 2).respond(game, X, rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.policy, second.policy)
    np.testing.assert_array_equal(before, _global_state())
    carried = pickle.loads(pickle.dumps(first.state))
    more = [PPO(0.1, 2).respond(game, X + 0.1, rng=np.random.default_rng(6), state=state) for state in (first.state, carried)]
    np.testing.assert_array_equal(more[0].policy, more[1].policy)
    anew = PPO(0.1, 2, start="reset").respond(game, X + 0.1, rng=np.random.default_rng(6), state=first.state)
    np.testing.assert_array_equal(anew.policy, PPO(0.1, 2).respond(game, X + 0.1, rng=np.random.default_rng(6)).policy)


def test_the_ledger_of_a_run() -> None:
    """Samples, passes and commitments; what was watched is apart; telemetry is there."""
    game, follower = se.game("random_markov_game-v0"), PPO(0.1, 2, n_epochs=3, horizon=10)
    solution = solvers.solve(game, "bchg", follower=follower, budget=3, reports=1, telemetry=True)
    cost, row = solution.cost, solution.history[-1]
    assert cost.training_steps == 3 * 2 * 4 * 10
    assert cost.actor_updates == cost.critic_updates == 3 * 2 * 3
    assert cost.outcome_steps == 3 * 3 * game.max_cycles
    assert {"online_return", "follower_kl", "bellman_residual", "learned_gap"} <= set(row)


@pytest.mark.parametrize(
    ("game", "x", "said"),
    [
        (se.game("building-v0"), np.zeros(8), "in a world with tables"),
        (se.game("four_rooms-v0", walkers=2), np.zeros(105), "for one follower"),
        (se.game("random_markov_game-v0"), np.zeros((2, 15)), "one commitment at a time"),
    ],
)
def test_what_it_cannot_answer(game: Any, x: np.ndarray, said: str) -> None:
    with pytest.raises(PlanningError, match=said):
        PPO(0.1).respond(game, x)
    with pytest.raises(ValueError, match="temperature of PPO"):
        PPO(0.0)
