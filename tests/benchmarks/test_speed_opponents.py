"""Ratios for opponents: saddle points and the gradients through them; run by ``make speed``."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.timing import ratio

import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.saddle_point import saddle_point
from stackelberg_envs.planning.stage_games import stage_saddle
from stackelberg_envs.processes.mdp import decision_problem
from stackelberg_envs.worlds.markov_game import InducedMarkovGame

pytestmark = pytest.mark.speed


def value_iteration(game: InducedMarkovGame, temperature: float, sweeps: int) -> np.ndarray:
    """Shapley's iteration V <- T V, with the stage games of our own solver, warm-started."""
    problem, v, warm = decision_problem(game.joint, game.of(0).follower_reward), np.zeros(game.sizes[0]), None
    for _ in range(sweeps):
        q = problem.reward + game.follower_discount * problem.transition.expect(v)
        stage = stage_saddle(q.reshape(*q.shape[:-1], *game.actions), temperature, warm)
        v, warm = (problem.weight * stage.values).sum(-1), stage.logits
    return v


def test_newton_against_shapleys_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    """zero_sum_incentive, ten states, temperature .1: both to 1e-9 in V."""
    (game,) = se.game("zero_sum_incentive-v0").problems(np.zeros(90))
    assert isinstance(game, InducedMarkovGame)
    exact = saddle_point(game, 0.1)
    sweeps = next(n for n in range(100, 1000, 20) if np.abs(value_iteration(game, 0.1, n) - exact.values).max() < 1e-9)
    times, swept, newton = ratio(lambda: value_iteration(game, 0.1, sweeps), lambda: saddle_point(game, 0.1), repeat=3)
    with capsys.disabled():
        print(f"\nsaddle point to 1e-9: {sweeps} sweeps {swept * 1e3:.0f} ms, ", end="")
        print(f"{exact.evaluations} Newton evaluations {newton * 1e3:.1f} ms ({times:.0f} x)")
    assert times >= 5


def test_adjoint_against_differences(capsys: pytest.CaptureFixture[str]) -> None:
    """A gradient in 90 incentives: the adjoint through the saddle point against central differences of the exact return."""
    game = se.game("zero_sum_incentive-v0")
    x = 0.5 * np.random.default_rng(0).normal(size=90)
    oracle, rounds = RepeatedGame(game).oracle(se.Access.MODEL), RepeatedGame(game)

    def differences() -> np.ndarray:
        steps = 1e-5 * np.eye(90)
        return np.array([(rounds.returns(x + step) - rounds.returns(x - step)) / 2e-5 for step in steps])

    def adjoint() -> np.ndarray:
        return exact_gradient(oracle, torch.tensor(x), None, reaction=True).gradient.numpy()

    np.testing.assert_allclose(adjoint(), differences(), atol=1e-6)
    times, slow, fast = ratio(differences, adjoint, rounds=5)
    with capsys.disabled():
        print(f"\ngradient in 90 incentives: differences {slow * 1e3:.0f} ms, adjoint {fast * 1e3:.1f} ms ({times:.0f} x)")
    assert times >= 10
