"""RT-Q: on average the gradient of the longest budget, at a cost that grows with the number of levels only."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from small_games import Bonuses
from test_solvers import gradient

import solvers
import stackelberg_envs as se
from solvers.estimators.rtq import RTQ, gradient_at_answer
from stackelberg_envs.leader.access import Cost
from stackelberg_envs.leader.repeated_game import RepeatedGame

LEARNER = se.SoftQLearning(0.3, 1, "uniform")


def estimates(estimator: RTQ, game: se.StackelbergGame, x: np.ndarray, count: int, seed: int = 0) -> tuple[np.ndarray, Cost]:
    """So many of them, (count, n), and what they took."""
    rounds = RepeatedGame(game, LEARNER, seed)
    oracle, rng, memory, drawn = rounds.oracle(estimator.access, estimator.permissions), np.random.default_rng(seed), None, []
    assert estimator.declines(oracle) is None
    for _ in range(count):
        estimate = estimator.estimate(oracle, torch.tensor(x), memory, rng)
        memory = estimate.memory
        drawn.append(estimate.gradient.numpy())
    return np.array(drawn), rounds.cost


def standardised(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Differences of means in units of their standard errors, one a component."""
    errors = [drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn)) for drawn in (first, second)]
    return (first.mean(axis=0) - second.mean(axis=0)) / np.hypot(*errors)


@pytest.mark.parametrize(
    ("build", "n"),
    [
        (lambda: Bonuses(discount=0.7, price=0.3), 12),
        (lambda: se.game("random_markov_game-v0", states=3, leader_actions=2, follower_actions=2, follower_sees="action", discount=0.7), 6),
    ],
    ids=["bonuses", "action seen"],
)
def test_the_mean_is_that_of_the_longest_budget(build: Any, n: int) -> None:
    """Within four standard errors, component by component; the mean of the shortest budget is more than four away."""
    game, x = build(), 0.5 * np.random.default_rng(0).normal(size=n)
    truncated, cost = estimates(RTQ(steps=20, levels=4), game, x, 1000)
    longest, full = estimates(RTQ(steps=20, levels=4, vanilla=True), game, x, 400, seed=1)
    shortest, _ = estimates(RTQ(steps=10, levels=1, vanilla=True), game, x, 400, seed=2)
    assert np.abs(standardised(truncated, longest)).max() < 4
    assert np.abs(standardised(truncated, shortest)).max() > 4
    assert full.training_steps == 400 * 20 * 16
    expected = 20 * 4 / (1 - 2**-4)
    assert RTQ(steps=20, levels=4).expected_steps == pytest.approx(expected)
    assert cost.training_steps / 1000 == pytest.approx(expected, rel=4 / np.sqrt(1000)), (
        "the standard deviation of a cost is below its mean"
    )
    assert cost.outcome_steps == 0


def test_the_sampled_form_telescopes_too() -> None:
    """From what learners do, unread, at INCENTIVE: with geometric horizons the mean is the exact form's, within four standard errors."""
    game, x = Bonuses(discount=0.5, price=0.3), 0.3 * np.random.default_rng(1).normal(size=12)
    sampled, cost = estimates(RTQ(steps=20, levels=3, form="sampled", batches="geometric", episodes=600), game, x, 500)
    exact, _ = estimates(RTQ(steps=20, levels=3, vanilla=True), game, x, 400, seed=1)
    assert np.abs(standardised(sampled, exact)).max() < 4
    scale = np.linalg.norm(exact.mean(axis=0))
    assert np.linalg.norm(sampled.std(axis=0)) / np.sqrt(500) < 0.35 * scale
    assert cost.outcome_steps > 0 < cost.training_steps


def test_at_a_best_response_the_formula_is_the_hypergradient() -> None:
    """`gradient_at_answer` of a soft-exact follower, acting leaders of either visibility and two contexts included."""
    for id, arguments in (("four_rooms-v0", {}), ("random_markov_game-v0", {}), ("random_markov_game-v0", {"follower_sees": "action"})):
        game = se.game(id, **arguments)
        x = 0.5 * np.random.default_rng(0).normal(size=game.dimension)
        at_answer = gradient_at_answer(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x)).numpy()
        np.testing.assert_allclose(at_answer, gradient(game, x), atol=1e-7)


def test_it_approaches_the_hypergradient() -> None:
    """Vanilla: the root mean square error falls as the square root of the budget, by about 16 for 256 times as many steps."""
    game, x = Bonuses(discount=0.7), np.zeros(12)
    errors = []
    for levels in (6, 14):
        drawn, _ = estimates(RTQ(steps=20, levels=levels, vanilla=True), game, x, 40)
        errors.append(np.sqrt(np.mean(np.sum((drawn - gradient(game, x, follower=se.Soft(0.3))) ** 2, axis=1))))
    assert 8 < errors[0] / errors[1] < 32


def test_it_climbs() -> None:
    """With training of its own, from nothing, as far as exact ascent climbs, nearly; the referee is the exact follower."""
    game = Bonuses(discount=0.7, price=0.3)
    follower = se.SoftQLearning(0.1, 1, "uniform")
    climbed = solvers.solve(game, "rtq", follower=follower, budget=60, steps=500, levels=6, lr=0.3, seed=0)
    exact = solvers.solve(game, "implicit", follower=se.Soft(0.1), budget=60, lr=0.3, seed=0)
    start = exact.history[0]["leader_return"]
    assert climbed.history[0]["leader_return"] == pytest.approx(start)
    assert climbed.leader_return - start > 0.8 * (exact.leader_return - start) > 0
    assert climbed.cost.outcome_steps == 0 < climbed.cost.training_steps


@pytest.mark.parametrize(
    "hyperparameters", [{}, {"vanilla": True, "levels": 2}, {"fresh": False}, {"form": "sampled", "episodes": 5, "levels": 2}], ids=str
)
def test_every_mode_resumes_bit_for_bit(hyperparameters: dict[str, Any]) -> None:
    game = Bonuses(discount=0.7, price=0.3)
    settings = {"follower": se.SoftQLearning(0.1, 1), "seed": 3, "steps": 20, **hyperparameters}
    whole, half = (solvers.solve(game, "rtq", budget=budget, **settings) for budget in (8, 4))
    resumed = solvers.solve(game, "rtq", budget=8, resume=pickle.loads(pickle.dumps(half.checkpoint)), **settings)
    np.testing.assert_array_equal(whole.x, resumed.x)
    assert whole.cost.training_steps == resumed.cost.training_steps > half.cost.training_steps


def test_training_that_goes_on() -> None:
    """Without ``fresh`` the next estimate begins where the last one stopped; with it, at nothing."""
    game = Bonuses(discount=0.7)
    for fresh in (True, False):
        rounds = RepeatedGame(game, LEARNER)
        estimator = RTQ(steps=10, levels=1, fresh=fresh)
        oracle, memory = rounds.oracle(estimator.access, estimator.permissions), None
        for _ in range(3):
            memory = estimator.estimate(oracle, torch.zeros(12, dtype=torch.float64), memory, np.random.default_rng(0)).memory
        assert rounds._training[0][0].steps == (20 if fresh else 60)


def test_declining_and_refusing() -> None:
    with pytest.raises(solvers.Declined, match="rtq trains its followers, and here they do not learn"):
        solvers.solve(se.game("toy3-v0"), "rtq")
    with pytest.raises(solvers.Declined, match="hpgd needs a leader that sets rewards"):
        solvers.solve(se.game("toy3-v0"), "rtq", follower=LEARNER, form="sampled")
    with pytest.raises(solvers.Declined, match="additive"):
        solvers.solve(se.game("preference-v0", objective="likelihood"), "rtq", follower=se.SoftQLearning(0.1, 1, rate=0.1))
    for wrong in ({"form": "read"}, {"batches": "same"}, {"levels": 0}, {"levels": 41}, {"steps": 0}, {"episodes": 0}):
        with pytest.raises(ValueError, match=r"rtq needs|rtq has no (form|batches)"):
            solvers.build("rtq", **wrong)
