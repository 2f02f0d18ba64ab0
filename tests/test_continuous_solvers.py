"""Worlds without tables: exact gradients against finite differences, sampled ones against exact ones."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from solvers.estimators.neural_bchg import NeuralBCHG
from solvers.estimators.neural_critics import QuadraticForms
from solvers.estimators.vector_trajectories import (
    LeaderCriticValues,
    Scores,
    VectorTrajectories,
    hypergradient_from_critics,
    returns_to_go,
    vector_trajectories,
)
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.processes.gaussian import rows


def gradient(game: se.StackelbergGame, x: np.ndarray, *, reaction: bool = True, follower: se.Follower | None = None) -> np.ndarray:
    return exact_gradient(RepeatedGame(game, follower).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=reaction).gradient.numpy()


def slopes(game: se.StackelbergGame, x: np.ndarray, *, responses: Any = None, step: float = 1e-5) -> np.ndarray:
    """Central differences of the referee's score; with ``responses`` the follower stays where it is."""

    def score(y: np.ndarray) -> float:
        return float(se.evaluate(game, y, responses=responses).leader_return)

    return np.array([(score(x + step * e) - score(x - step * e)) / (2 * step) for e in np.eye(len(x))])


@pytest.mark.parametrize(("id", "arguments"), [("lq_gain-v0", {}), ("building-v0", {}), ("building-v0", {"zones": 6})], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_hypergradient_is_the_derivative(id: str, arguments: dict[str, Any], seed: int) -> None:
    """To 1e-6 of the largest component (or of 1), with the follower's reaction and without."""
    game = se.game(id, **arguments)
    x = 1.5 * np.random.default_rng(seed).normal(size=game.dimension)
    for responses in (None, se.evaluate(game, x).responses):
        exact, differences = gradient(game, x, reaction=responses is None), slopes(game, x, responses=responses)
        np.testing.assert_allclose(exact, differences, atol=1e-6 * max(1.0, np.abs(exact).max()))


def test_the_value_comes_with_the_gradient() -> None:
    game, x = se.game("lq_gain-v0"), np.array([-9.97, -9.40])
    exact = exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True)
    assert exact.value == pytest.approx(10.67, abs=0.02)


def test_what_exact_ascent_finds_in_the_building() -> None:
    """From all walls half open: -163.4 with the follower's reaction, and -198 without (arXiv 2603.14867 reports -196.7 for BC-HG)."""
    game, settings = se.game("building-v0"), {"optimiser": "adam", "lr": 0.1, "start": np.zeros(8), "budget": 300}
    assert solvers.solve(game, "implicit", **settings).leader_return == pytest.approx(-163.4, abs=1)
    assert solvers.solve(game, "naive", **settings).leader_return == pytest.approx(-198.3, abs=1)
    assert solvers.solve(game, "multistart", start=np.zeros(8), budget=60).leader_return == pytest.approx(-163.4, abs=1)


def exact_q(process: Any, policy: Any, walk: VectorTrajectories, actions: np.ndarray) -> np.ndarray:
    """Q_L(n,b,t) by the closed forms, (N, counted): what a step pays, and what is left of the counted steps behind it."""
    T, gamma = walk.counted, process.leader_discount
    states, leads = walk.states[:, :T], walk.leads[:, :T]
    arrived = rows(states, process.A) + rows(leads, process.C) + rows(actions, process.B)
    _, paid = process.rewards(states, leads, actions, arrived)
    for t in range(T - 1):
        later = replace(process, start_mean=arrived[:, t], start_sd=process.noise_sd)
        paid[:, t] += gamma * later.leader_return(policy, T - t - 1, gamma)
    return paid


@pytest.mark.parametrize(
    ("id", "arguments", "temperature", "point", "batches", "features"),
    [
        ("building-v0", {"max_cycles": 5}, 10.0, 0.3 * np.random.default_rng(0).normal(size=8), 60, True),
        ("building-v0", {"max_cycles": 5}, 10.0, 0.3 * np.random.default_rng(0).normal(size=8), 20, False),
        ("lq_gain-v0", {"max_cycles": 12, "leader_sd": 0.3, "width": 0.1}, 0.1, np.array([-8.0, -3.0]), 20, True),
        ("lq_gain-v0", {"max_cycles": 12, "leader_sd": 0.3, "width": 0.1}, 0.1, np.array([-8.0, -3.0]), 20, False),
    ],
    ids=str,
)
def test_the_formula_is_right_with_exact_critics(
    id: str, arguments: dict[str, Any], temperature: float, point: np.ndarray, batches: int, features: bool
) -> None:
    """Direct part and reaction, each within four standard errors of the exact one; the reaction is told from 0.

    Walks are 90 steps longer than the score, behind which .95^90 = 1 % of a late reaction is left.
    """
    game, follower, rng = se.game(id, **arguments), se.Soft(temperature), np.random.default_rng(0)
    oracle, process = RepeatedGame(game, follower, measured=True).oracle(se.Access.VALUE), game.problems(point)[0]
    policy, _, _ = process.soft_response(temperature)
    direct, reaction = [], []
    for _ in range(batches):
        walk = vector_trajectories(oracle.play(point, episodes=200, horizon=game.max_cycles + 90), game.max_cycles)
        states, leads = walk.states[:, : walk.counted], walk.leads[:, : walk.counted]
        draws = [policy.act(states, leads, rng.random((*states.shape[:2], policy.noise))) for _ in range(16)]
        benefit = exact_q(process, policy, walk, walk.actions[:, : walk.counted])
        benefit -= np.mean([exact_q(process, policy, walk, drawn) for drawn in draws], axis=0)
        returns = returns_to_go(walk.rewards[:, : walk.counted], process.leader_discount)
        ahead = np.pad(returns[:, 1:], [(0, 0), (0, 1)])
        nothing, scores = np.zeros_like(returns), Scores(oracle, torch.tensor(point), walk)
        discounts: dict[str, Any] = {"temperature": temperature, "discounts": (process.leader_discount, process.follower_discount)}
        held, _ = hypergradient_from_critics(
            scores, LeaderCriticValues(nothing, returns, ahead), None, cost=oracle.leader_cost, **discounts
        )
        direct.append(held.numpy())
        worth = LeaderCriticValues(benefit, nothing, nothing)
        discounts["features"] = features
        reaction.append(hypergradient_from_critics(scores, worth, oracle.values(point)[0], **discounts)[0].numpy())
        if len(direct) == 1:  # at once, as the method does
            together = LeaderCriticValues(benefit, returns, ahead)
            whole, part = hypergradient_from_critics(scores, together, oracle.values(point)[0], cost=oracle.leader_cost, **discounts)
            assert part is not None
            assert torch.equal(part, held)
            np.testing.assert_allclose(whole.numpy(), direct[0] + reaction[0], rtol=1e-9)
    exact, naive = (gradient(game, point, reaction=reacts, follower=follower) for reacts in (True, False))
    for estimates, wanted in ((direct, naive), (reaction, exact - naive)):
        mean, error = np.mean(estimates, axis=0), np.std(estimates, axis=0, ddof=1) / batches**0.5
        assert (np.abs(mean - wanted) < 4 * error + 0.01 * np.abs(wanted)).all()
    if features:
        assert (np.abs(mean) > 4 * error).any()


@pytest.mark.parametrize("target", ["Q_L", "V_L"])
def test_closed_form_critics_are_the_exact_quadratic(target: str) -> None:
    """LSTD in thermal control: the mean of 40 fits is the exact value within four standard errors, at 20 states, from 10 and 40 episodes.

    Four times the data at least halves the error, or nearly so.
    """
    game, rng, point = se.game("building-v0"), np.random.default_rng(0), 0.3 * np.random.default_rng(1).normal(size=8)
    process = game.problems(point)[0]
    policy, _, _ = process.soft_response(0.1)
    states = 5 * rng.normal(size=(20, 4))
    actions = policy.act(states, np.zeros((20, 0)), rng.random((20, policy.noise))) + rng.normal(size=(20, 2))
    if target == "Q_L":
        arrived = rows(states, process.A) + rows(actions, process.B)
        later = replace(process, start_mean=arrived, start_sd=process.noise_sd).leader_return(policy, 400, process.leader_discount)
        exact, probe = process.payment.of(states, actions) + process.leader_discount * later, np.concatenate([states, actions], axis=-1)
    else:
        exact, probe = replace(process, start_mean=states, start_sd=0.0).leader_return(policy, 400, process.leader_discount), states
    spreads = []
    for episodes in (10, 40):
        oracle, fits = RepeatedGame(game, seed=episodes).oracle(se.Access.POLICY), []
        for _ in range(40):
            walk = vector_trajectories(oracle.play(point, episodes=episodes), game.max_cycles)
            z = walk.columns("states", "actions") if target == "Q_L" else walk.columns("states")
            going = np.ones(walk.alive.shape, bool)
            going[:, -1] = False
            critic = QuadraticForms.fit_td(z, walk.rewards[..., None], going, going, process.leader_discount)
            fits.append(critic(probe)[:, 0])
        error = np.std(fits, axis=0, ddof=1) / 40**0.5
        assert (np.abs(np.mean(fits, axis=0) - exact) < 4 * error).all()
        assert 4 * error.max() < 0.1 * np.abs(exact).mean()
        spreads.append(np.median(error))
    assert spreads[1] < 0.6 * spreads[0]


@pytest.mark.parametrize(("centred", "features"), [("none", True), ("leader", True), ("follower", False)])
def test_closed_form_critics_give_the_exact_gradient(centred: Any, features: bool) -> None:
    """Within four standard errors of 60 estimates, from 40 and from 160 episodes; told from 0 where the noise is low."""
    game, follower, point = se.game("building-v0", max_cycles=60), se.Soft(10.0), 0.3 * np.random.default_rng(0).normal(size=8)
    exact = gradient(game, point, reaction=centred != "none", follower=follower)
    for episodes in (40, 160):
        estimator = NeuralBCHG(centred, "td", approximator="quadratic", episodes=episodes, samples=4, features=features)
        oracle, rng = RepeatedGame(game, follower, seed=2).oracle(estimator.access), np.random.default_rng(0)
        drawn = [estimator.estimate(oracle, torch.tensor(point), None, rng).gradient.numpy() for _ in range(60)]
        mean, error = np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1) / 60**0.5
        assert (np.abs(mean - exact) < 4 * error).all()
    if features:
        assert (np.abs(mean) > 4 * error).any()


def test_features_and_baselines_take_the_noise_off() -> None:
    """Thermal control, 10,000 steps: the same mean, and less than a tenth of the standard deviation that a published estimate has."""
    game, point = se.game("building-v0"), torch.tensor(0.3 * np.random.default_rng(0).normal(size=8))
    spreads = []
    off: dict[str, Any] = {"baselines": False, "features": False}
    for settings in ({}, off):
        estimator, oracle = NeuralBCHG(critic="quadratic", episodes=100, samples=4, **settings), RepeatedGame(game).oracle(se.Access.VALUE)
        rng = np.random.default_rng(0)
        drawn = [estimator.estimate(oracle, point, None, rng).gradient.numpy() for _ in range(6)]
        spreads.append(np.linalg.norm(np.std(drawn, axis=0)))
    assert spreads[0] < 0.1 * spreads[1]


@pytest.mark.parametrize("id", ["building-v0", "lq_gain-v0"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"critic": "quadratic", "tail": 10},
        {"critic": "td", "baselines": False, "features": False, "score_clip": 1.0, "refit": True},
        {"centred": "follower", "critic": "td", "features": False},
        {"centred": "follower", "critic": "returns", "features": False},
        {"centred": "none"},
        {"centred": "follower", "critic": "td", "features": False, "approximator": "quadratic"},
        {"centred": "follower", "critic": "returns", "features": False, "approximator": "quadratic", "tail": 5},
    ],
    ids=str,
)
def test_a_seed_reproduces_and_a_stop_changes_nothing(id: str, settings: dict[str, Any]) -> None:
    """Bit for bit: stopped in the middle, pickled, and resumed."""

    def go(budget: int, **more: Any) -> solvers.Solution:
        small = {"episodes": 16, "samples": 2, "critic_steps": 3, "critic_batch": 64, "lr": 0.1}
        return solvers.solve(se.game(id, max_cycles=20), "neural_bchg", budget=budget, seed=3, **small, **settings, **more)

    whole, half = go(4), go(2)
    resumed = go(4, resume=pickle.loads(pickle.dumps(half.checkpoint)))
    np.testing.assert_array_equal(whole.x, resumed.x)
    assert not np.array_equal(whole.x, half.x)
    assert whole.cost.outcome_steps == resumed.cost.outcome_steps >= 4 * 16 * 20


@pytest.mark.parametrize("settings", [{}, {"centred": "follower", "critic": "returns", "features": False}], ids=str)
def test_nobody_elses_generator_moves(settings: dict[str, Any]) -> None:
    before = torch.random.get_rng_state()
    small = {"episodes": 16, "samples": 2, "critic_steps": 3}
    solvers.solve(se.game("building-v0", max_cycles=20), "neural_bchg", budget=2, **small, **settings)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_access_and_declining() -> None:
    game = se.game("building-v0")
    assert solvers.build("neural_bchg").access == se.Access.VALUE
    assert solvers.build("neural_bchg", centred="none").access == se.Access.INCENTIVE
    with pytest.raises(solvers.Declined, match="worlds without tables; bchg and hpgd"):
        solvers.solve(se.game("toy3-v0"), "neural_bchg")
    with pytest.raises(solvers.Declined, match=r"^BCHG works on tables, and building has none: .* zeroth_order, .* implicit play it$"):
        solvers.solve(game, "bchg")
    for name in ("zeroth_order", "neural_bchg", "implicit"):
        solver = solvers.build(name)
        solvers.admit(solver, RepeatedGame(game), solver.access)
    with pytest.raises(se.AccessError, match="needs access VALUE"):
        solvers.solve(game, "neural_bchg", access=se.Access.INCENTIVE)
    with pytest.raises(solvers.Declined, match=r"36 quadratic features .* 4 episodes of 5 steps are too few"):
        solvers.solve(se.game("building-v0", max_cycles=5), "neural_bchg", episodes=4, budget=1)
    with pytest.raises(ValueError, match="episodes is at least 2, got 1"):
        solvers.build("neural_bchg", episodes=1)
    small: dict[str, Any] = {"critic": "td", "approximator": "quadratic", "baselines": False, "features": False}
    with pytest.raises(solvers.Declined, match=r"28 quadratic features to its episodes, and 2 episodes of 10 steps are too few"):
        solvers.solve(se.game("building-v0", max_cycles=10), "neural_bchg", episodes=2, budget=1, **small)
    with pytest.raises(ValueError, match="no approximator 'spline'; Known: net, quadratic"):
        solvers.build("neural_bchg", approximator="spline")
    plain: dict[str, Any] = {"baselines": False, "features": False, "critic": "quadratic", "episodes": 1}
    assert solvers.solve(se.game("building-v0", max_cycles=10), "neural_bchg", budget=1, **plain).finished
    with pytest.raises(ValueError, match="neural_bchg has no centred 'both'; Known: leader, follower, none"):
        solvers.build("neural_bchg", centred="both")


def test_multistart_survives_commitments_that_nobody_can_answer() -> None:
    """Beyond K_1 = -10.26 with K_2 = -10 the follower has no hold on x_1, and its costs are without bound."""
    game = se.game("lq_gain-v0")
    with pytest.raises(PlanningError):
        se.evaluate(game, np.array([-10.5, -10.0]))
    solution = solvers.solve(game, "multistart", start=np.array([-9.97, -9.4]), budget=1)
    assert solution.leader_return == pytest.approx(11.309, abs=1e-3)
