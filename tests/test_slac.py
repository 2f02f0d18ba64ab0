"""The single loop: its gradients by their formula, its schedules, and the optimum without entropy."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from small_games import Doors, Three
from test_first_order import formula

import solvers
import stackelberg_envs as se
from solvers.slac import SLAC
from stackelberg_envs.leader.repeated_game import RepeatedGame

X = np.array([0.5, -0.3, 0.2, 0.1, -0.6, 0.4])


def policies() -> list[np.ndarray]:
    """h and g, (3, 2)."""
    return list(np.random.default_rng(0).dirichlet((2.0, 2.0), size=(2, 3)))


def gradients(settings: SLAC, rounds: RepeatedGame, copies: list[np.ndarray]) -> list[np.ndarray]:
    """Of x (6,), of the logits of h and g (3, 2), and in x with g held fixed, at these copies and the settings' first weights."""
    rounds.measured = True
    oracle = rounds.oracle(settings.access, settings.permissions)
    carried = settings.init(oracle, X).carried
    for logits, policy in zip(carried.logits, copies, strict=True):
        logits.data.copy_(torch.tensor(np.log(policy))[:, None])
    settings.compute_gradients(oracle, carried)
    return [gradient.numpy().reshape(-1) for gradient in (*carried.gradients, carried.direct)]


def test_the_exact_gradients_are_their_formula() -> None:
    """x: that of two penalised optima, with other policies.  Copies: the softmax policy gradient d(s) g(b|s) (Q - V), by linear solves."""
    game, settings = Three(0.6), SLAC(entropy=0.2, weight=4.0)
    h, g = policies()
    of_x, *of_logits, direct = gradients(settings, RepeatedGame(game), [h, g])
    parts = formula(game, X, 1 / 4.0, h, g).reshape(2, 6)
    np.testing.assert_allclose(of_x, parts.sum(0), atol=1e-8)
    np.testing.assert_allclose(direct, parts[0], atol=1e-8)
    mdp, tau = game.problems(X)[0], game.temperature + 0.2

    def policy_gradient(policy: np.ndarray, reward: np.ndarray, gamma: float, tau: float) -> np.ndarray:
        chain = np.einsum("sb,sbt->st", policy, mdp.transition[:, 0])
        bonus = reward - tau * np.log(policy) if tau else reward
        V = np.linalg.solve(np.eye(3) - gamma * chain, (policy * bonus).sum(1))
        visits = np.linalg.solve(np.eye(3) - gamma * chain.T, mdp.initial)
        return (visits[:, None] * policy * (bonus + gamma * mdp.transition[:, 0] @ V - V[:, None])).ravel()

    own, paid = mdp.follower_reward[:, 0], mdp.leader_reward[:, 0]
    np.testing.assert_allclose(of_logits[0], policy_gradient(h, own, 0.7, tau), atol=1e-8)
    penalised = policy_gradient(g, own, 0.7, tau) + policy_gradient(g, paid, 0.6, 0.0) / 4.0
    np.testing.assert_allclose(of_logits[1], penalised, atol=1e-8)


@pytest.mark.parametrize("episodes", [50, 200])
def test_the_sampled_gradients_have_the_exact_ones_as_means(episodes: int) -> None:
    """Within four standard errors, component by component, at two sizes of batches; rewards behind step 60 are below 1e-9."""
    settings, rounds = SLAC(entropy=0.2, weight=4.0, form="sampled", episodes=episodes, horizon=60), RepeatedGame(Three(0.6), seed=1)
    expected = np.concatenate(gradients(dataclasses.replace(settings, form="exact"), RepeatedGame(Three(0.6)), policies()))
    drawn = np.array([np.concatenate(gradients(settings, rounds, policies())) for _ in range(40)])
    errors = drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - expected) <= 4 * errors + 1e-9).all()
    assert rounds.cost.outcome_steps == rounds.cost.queries == 0, "the real follower is not asked"
    assert rounds.cost.training_steps == 40 * 2 * 2 * episodes * 60  # at the start, and again with these copies


def test_schedules_are_powers() -> None:
    settings, oracle = SLAC(entropy=0.5, entropy_power=0.5, weight=2.0, weight_power=1.0), RepeatedGame(Three()).oracle(se.Access.MODEL)
    assert settings.schedule(oracle, 0) == pytest.approx((0.4 + 0.5, 2.0))
    assert settings.schedule(oracle, 99) == pytest.approx((0.4 + 0.05, 200.0))


def test_stationary_with_entropy() -> None:
    """Against a soft follower the end is a stationary point of its exact hypergradient: a tenth of the norm at the start."""
    settings: dict[str, Any] = {"entropy_power": 2 / 3, "weight_power": 2 / 3, "step_power": 0.0}
    rows = solvers.solve(Three(0.6), "slac", budget=400, seed=0, reports=4, telemetry=True, **settings).history
    norms = [row["exact_norm"] for row in rows if "exact_norm" in row]
    assert norms[-1] < 0.1 * norms[0]


def test_entropy_that_fades_finds_what_a_fixed_temperature_cannot() -> None:
    """Bonuses against a greedy follower: the exact optimum is 6.327.  Fixed at 0.2, the penalty method ends at 4.48 after 500 rounds."""
    game, greedy = se.game("subsidy-v0", states=5), se.Hard(ties="strong")
    best = solvers.solve(game, "subsidy_planner", follower=greedy, budget=1).leader_return
    settings: dict[str, Any] = {"budget": 500, "seed": 0, "reports": 2}
    fading = solvers.solve(game, "slac", follower=greedy, **settings).leader_return
    fixed = solvers.solve(game, "penalty", follower=se.Soft(0.2), referee=(game, greedy), **settings).leader_return
    assert best == pytest.approx(6.327, abs=1e-3)
    assert fixed + 0.6 < fading < best


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"form": "other"}, "no form 'other'"),
        ({"copy_steps": 2}, "single loop"),
        ({"weight": 0.0}, "a positive weight"),
        ({"entropy_power": -1.0}, "powers from 0"),
        ({"episodes": 0}, "episodes from 1"),
    ],
)
def test_bad_settings_are_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SLAC(**wrong)
    with pytest.raises(solvers.Declined, match="entropy bonus of its own"):
        solvers.solve(se.game("subsidy-v0", states=3), "slac", follower=se.Hard(ties="strong"), entropy=0.0, budget=1)


@pytest.mark.parametrize(
    ("game", "follower", "options", "message"),
    [
        (lambda: se.game("zero_sum_incentive-v0"), None, {}, "slac handles followers who do not interact"),
        (lambda: se.game("toy3-v0"), se.Quantal(0.1), {}, "neither Soft nor MirrorDescent"),
        (lambda: se.game("preference-v0", objective="likelihood"), None, {}, "needs an additive leader objective"),
        (Doors, None, {"form": "sampled"}, "acts or sets rewards, and this one does neither"),
        (lambda: se.game("contract_tree-v0"), None, {"form": "sampled"}, "their actions are hidden"),
        (lambda: se.game("building-v0"), None, {}, "works on tables"),
    ],
)
def test_declining(game: Any, follower: Any, options: Any, message: str) -> None:
    with pytest.raises(solvers.Declined, match=message):
        solvers.solve(game(), "slac", follower=follower, budget=1, **options)


def test_the_error_falls_as_the_root_of_the_episodes() -> None:
    """Slope of log RMSE of the leader's gradient in log N, at copies that are held: -1/2, within three standard errors below .05 each."""
    sizes, logs = np.array([10, 40, 160]), []
    for size in sizes:
        settings, rounds = SLAC(entropy=0.2, weight=4.0, form="sampled", episodes=int(size), horizon=30), RepeatedGame(Three(0.6), seed=1)
        drawn = np.array([gradients(settings, rounds, policies())[0] for _ in range(80)])
        errors = ((drawn - drawn.mean(axis=0)) ** 2).sum(axis=1)
        logs.append(0.5 * np.log(errors.reshape(8, 10).mean(axis=1)))
    slopes = np.polyfit(np.log(sizes), np.array(logs), 1)[0]
    error = slopes.std(ddof=1) / np.sqrt(8)
    assert abs(slopes.mean() + 0.5) < 3 * error
    assert error < 0.05
