"""AHO: its mean is its formula under the follower's policy of the moment, which is the hypergradient where the follower has converged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_games import Bonuses, Three

import solvers
import stackelberg_envs as se
from solvers.estimators.aho import AHO
from solvers.estimators.hpgd import HPGD
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.leader.repeated_game import RepeatedGame

TAU, GAMMA, GAMMA_L = Three.temperature, Three.discount, 0.6
X = np.array([0.5, -0.3, 0.2, 0.1, -0.6, 0.4])


def formula(game: Three, x: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Direct and response part under a policy ``g`` (3, 2), state by state and component by component, by linear solves in NumPy."""
    mdp = game.problems(x)[0]
    P, rho = mdp.transition[:, 0], mdp.initial
    chain = np.einsum("sb,sbt->st", g, P)
    visits = np.linalg.solve(np.eye(3) - GAMMA_L * chain.T, rho)
    leader = mdp.leader_reward[:, 0]
    worth = np.linalg.solve(np.eye(3) - GAMMA_L * chain, (g * leader).sum(1))
    A = leader + GAMMA_L * P @ worth - worth[:, None]
    direct, response = np.zeros(6), np.zeros(6)
    for n, (s, b) in enumerate(np.ndindex(3, 2)):
        dr = np.zeros((3, 2))
        dr[s, b] = 1
        U = np.linalg.solve(np.eye(3) - GAMMA * chain, (g * dr).sum(1))
        W = dr + GAMMA * P @ U
        direct[n] = -visits[s] * g[s, b] * 0.4 * x[n]
        response[n] = (visits[:, None] * g * A * (W - U[:, None])).sum() / TAU
    return direct, response


def exact(game: se.StackelbergGame, x: np.ndarray) -> np.ndarray:
    return exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()


def draws(game: se.StackelbergGame, x: np.ndarray, estimator: Any, count: int, rounds: RepeatedGame | None = None) -> list[Any]:
    rounds, rng = rounds or RepeatedGame(game, seed=1), np.random.default_rng(0)
    oracle = rounds.oracle(se.Access.INCENTIVE, estimator.permissions)
    return [estimator.estimate(oracle, torch.tensor(x), None, rng) for _ in range(count)]


def relative_error(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


def test_the_formula_is_the_hypergradient_where_the_follower_has_converged() -> None:
    """To 1e-8; and its error falls with the follower's gap, step by step of soft policy iteration and of value iteration."""
    game = Three()
    true = exact(game, X)
    (policy,) = game.default_follower.respond(game, X).policies
    np.testing.assert_allclose(np.add(*formula(game, X, policy[:, 0])), true, atol=1e-8)
    for kind, steps in ((se.MirrorDescent, (1, 2, 3)), (se.Truncated, (1, 3, 9))):
        errors, gaps = [], []
        for count in steps:
            answer = kind(TAU, count).respond(game, X).answers[0]
            errors.append(relative_error(np.add(*formula(game, X, answer.policy[:, 0])), true))
            gaps.append(float(np.abs(answer.policy - policy).max()))
        assert errors == sorted(errors, reverse=True)
        assert all(error < 30 * gap for error, gap in zip(errors, gaps, strict=True)), (errors, gaps)
        assert errors[0] > 0.01, "there is something to converge from"


@pytest.mark.parametrize(
    "follower", [None, se.MirrorDescent(TAU, 1, rate=1.0, start="reset"), se.Truncated(TAU, 1, start="reset"), se.SoftQLearning(TAU, 60)]
)
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_estimates_have_no_bias_under_the_current_policy(follower: Any, share: float) -> None:
    """Direct and response part within four standard errors of the formula, at two sample sizes, for followers who have converged or not."""
    game = Three()
    rounds = RepeatedGame(game, follower, seed=1)
    (policy,) = rounds.policies(X)  # of a follower who learns, what it has learned by then: it trains when the commitment changes
    wanted = np.concatenate(formula(game, X, policy[:, 0]))
    for samples in (300, 1500):
        drawn = draws(game, X, AHO(samples, share), 20, rounds)
        parts = np.stack([np.concatenate([estimate.direct.numpy(), estimate.response.numpy()]) for estimate in drawn])
        error = parts.std(axis=0, ddof=1) / np.sqrt(len(parts))
        assert (np.abs(parts.mean(axis=0) - wanted) < 4 * error).all()
        np.testing.assert_allclose(drawn[0].gradient.numpy(), parts[0][:6] + parts[0][6:], atol=1e-12)
    assert (error < 0.5 * np.linalg.norm(wanted)).all(), "a bias of the size of the gradient would be seen"


def test_without_weights_it_is_hpgd_with_geometric_horizons() -> None:
    """Number for number; with half of the discount as weights the error is smaller on the same number of samples."""
    game, x = Bonuses(discount=0.9, price=0.1), np.random.default_rng(1).normal(size=12)
    plain, ours, published = (
        draws(game, x, estimator, 20) for estimator in (AHO(200, 0.0), AHO(200), HPGD(episodes=200, batches="geometric"))
    )
    for first, second in zip(plain, published, strict=True):
        np.testing.assert_allclose(first.gradient.numpy(), second.gradient.numpy(), atol=1e-12)
    true = exact(game, x)
    halved, stopped = (np.mean([relative_error(one.gradient.numpy(), true) ** 2 for one in found]) for found in (ours, plain))
    assert halved < 0.6 * stopped


def test_the_error_falls_as_the_root_of_the_samples() -> None:
    """The claim of 1/eps^2 samples: the slope of log RMSE in log N is -1/2, within three standard errors of less than .05 each."""
    game = Three()
    true, sizes, logs = exact(game, X), np.array([100, 400, 1600]), []
    for size in sizes:
        errors = [relative_error(one.gradient.numpy(), true) ** 2 for one in draws(game, X, AHO(int(size)), 80)]
        halves = np.reshape(errors, (8, 10)).mean(axis=1)
        logs.append(0.5 * np.log(halves))
    slopes = np.polyfit(np.log(sizes), np.array(logs), 1)[0]
    error = slopes.std(ddof=1) / np.sqrt(8)
    assert abs(slopes.mean() + 0.5) < 3 * error
    assert error < 0.05


def test_it_climbs_to_a_stationary_point() -> None:
    """The exact gradient where it ends is a tenth of what it was, against a converged follower and one that takes a step a commitment."""
    game, start = Three(), np.full(6, 3.0)
    for follower in (None, se.MirrorDescent(TAU, 1)):
        found = solvers.solve(game, "aho", follower=follower, budget=80, samples=1500, lr=0.4, clip=None, start=start, reports=1)
        assert np.linalg.norm(exact(game, found.x)) < 0.1 * np.linalg.norm(exact(game, start))


def test_both_parts_are_measured_along_a_run() -> None:
    """By telemetry: their norms are those of the estimate that the step followed, and beside them the exact gradient's."""
    game, estimator = Three(), AHO(50)
    row = solvers.solve(game, "aho", budget=1, samples=50, start=X, reports=1, telemetry=True).history[-1]
    oracle = RepeatedGame(game, seed=0).oracle(se.Access.INCENTIVE, estimator.permissions)
    found = estimator.estimate(oracle, torch.tensor(X), None, np.random.default_rng([0, 0x501]))
    assert found.direct is not None
    assert found.response is not None
    assert row["direct_norm"] == pytest.approx(float(found.direct.norm()), abs=1e-12)
    assert row["response_norm"] == pytest.approx(float(found.response.norm()), abs=1e-12)
    true = exact(game, X)
    cosine = found.gradient.numpy() @ true / np.linalg.norm(found.gradient.numpy()) / np.linalg.norm(true)
    assert row["cosine"] == pytest.approx(cosine, abs=1e-9)


def test_declining() -> None:
    with pytest.raises(solvers.Declined, match="aho needs a leader that sets rewards"):
        solvers.solve(se.game("toy3-v0"), "aho")
    with pytest.raises(solvers.Declined, match="aho walks for geometric times, which needs discounts below 1"):
        solvers.solve(Bonuses(discount=1.0), "aho")
    with pytest.raises(ValueError, match="samples from 1 and a share in"):
        solvers.build("aho", share=1.0)
