"""Differences of two penalised optima: the formula, its bias and its noise, and where it climbs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_games import Bonuses, Doors, Three

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from solvers.first_order import FirstOrder
from solvers.first_order_sampled import Trained
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration

X = np.array([0.5, -0.3, 0.2, 0.1, -0.6, 0.4])
TAU, GAMMA = Three.temperature, Three.discount


def optimum(P: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """The soft-optimal policy (3, 2) by value iteration."""
    V, Q = np.zeros(3), reward
    for _ in range(200):
        Q = reward + GAMMA * P @ V
        V = TAU * np.log(np.exp(Q / TAU).sum(1))
    return np.exp((Q - V[:, None]) / TAU)


def optima(game: Three, x: np.ndarray, sigma: float) -> list[np.ndarray]:
    """g* and g'; with one discount, J + sigma F is the return of a follower who is paid a share of the leader's reward."""
    mdp = game.problems(x)[0]
    return [optimum(mdp.transition[:, 0], (mdp.follower_reward + share * mdp.leader_reward)[:, 0]) for share in (0, sigma)]


def formula(game: Three, x: np.ndarray, sigma: float, best: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Direct and response part (6,) + (6,), from discounted visits: x is one bonus for each pair, and costs 0.2 times its square."""
    mdp = game.problems(x)[0]

    def visits(g: np.ndarray, discount: float) -> np.ndarray:
        chain = np.einsum("sb,sbt->st", g, mdp.transition[:, 0])
        return (np.linalg.solve(np.eye(3) - discount * chain.T, mdp.initial)[:, None] * g).ravel()

    return np.concatenate([-0.4 * x * visits(moved, mdp.leader_discount), (visits(moved, GAMMA) - visits(best, GAMMA)) / sigma])


def exact(game: se.StackelbergGame, x: np.ndarray) -> np.ndarray:
    return exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()


def estimate(game: se.StackelbergGame, x: np.ndarray, estimator: FirstOrder, memory: Any = None, rounds: RepeatedGame | None = None) -> Any:
    oracle = (rounds or RepeatedGame(game)).oracle(estimator.access, estimator.permissions)
    return estimator.estimate(oracle, torch.tensor(x), memory, np.random.default_rng(0))


def parts(found: Any) -> np.ndarray:
    return np.concatenate([found.direct.numpy(), found.response.numpy()])


def test_the_exact_form_is_its_formula() -> None:
    """To 1e-8, at two weights, cold and from the values of another commitment; and the charge is what was solved."""
    game = Three(GAMMA)
    for sigma in (0.5, 0.02):
        rounds, memory = RepeatedGame(game), None
        for x in (X, 2 * X):
            found = estimate(game, x, FirstOrder(sigma=sigma), memory, rounds)
            np.testing.assert_allclose(parts(found), formula(game, x, sigma, *optima(game, x, sigma)), atol=1e-8)
            np.testing.assert_allclose(found.gradient.numpy(), (found.direct + found.response).numpy(), atol=1e-14)
            memory = found.memory
        cost = rounds.cost
        assert cost.factorisations == cost.newton_evaluations + 2 * 2
        assert cost.follower_evaluations == 0, "the real follower is not asked"


@pytest.mark.parametrize("follower_sees", ["policy", "action", "doors"])
def test_the_exact_form_is_the_derivative_of_the_surrogate(follower_sees: str) -> None:
    """h = max (F + J / sigma) - max J / sigma, by central differences of two soft values, for leaders who act and who move the dynamics."""
    game: Any = Doors() if follower_sees == "doors" else se.game("random_markov_game-v0", follower_sees=follower_sees)
    rng, sigma = np.random.default_rng(0), 0.1
    x, tau = 0.5 * rng.normal(size=game.dimension), game.default_follower.temperature

    def surrogate(x: np.ndarray) -> float:
        mdp = game.problems(x)[0]
        assert mdp.leader_discount == mdp.follower_discount
        shared = replace(mdp, follower_reward=mdp.follower_reward + sigma * mdp.leader_reward)
        best, moved = (float(mdp.initial @ soft_policy_iteration(faced, tau).values) for faced in (mdp, shared))
        return (moved - best) / sigma

    found = estimate(game, x, FirstOrder(sigma=sigma)).gradient.numpy()
    for _ in range(5):
        u = rng.normal(size=x.shape)
        u /= np.linalg.norm(u)
        assert found @ u == pytest.approx((surrogate(x + 1e-5 * u) - surrogate(x - 1e-5 * u)) / 2e-5, abs=1e-6)
    assert np.linalg.norm(found) > 1e-2


@pytest.mark.parametrize("seed", [0, 1])
def test_the_bias_falls_with_sigma(seed: int) -> None:
    """Slope 1 within 5 % over sigma .0003 to .01."""
    game = se.game("random_markov_game-v0", seed=seed)
    x = np.random.default_rng(seed).normal(size=game.dimension)
    true, weights = exact(game, x), np.geomspace(3e-4, 1e-2, 4)
    errors = [np.linalg.norm(estimate(game, x, FirstOrder(sigma=sigma)).gradient.numpy() - true) for sigma in weights]
    assert np.polyfit(np.log(weights), np.log(errors), 1)[0] == pytest.approx(1, abs=0.05)


def sample(game: Three, policies: list[np.ndarray], sigma: float, episodes: int, count: int) -> np.ndarray:
    """Sampled parts (count, 12) with copies that hold these policies, which hardly learn."""
    sampler = FirstOrder(form="sampled", sigma=sigma, episodes=episodes, copy_steps=1, copy_lr=1e-12)
    rounds = RepeatedGame(game, seed=2)
    trained = Trained.start(rounds.oracle(sampler.access, sampler.permissions), 1e-12)
    for logits, policy in zip(trained.logits, policies, strict=True):
        logits[0].data.copy_(torch.tensor(np.log(policy))[:, None])
    found = [parts(estimate(game, X, sampler, trained, rounds)) for _ in range(count)]
    assert rounds.cost.training_steps == count * 2 * episodes * game.max_cycles
    assert rounds.cost.outcome_steps == rounds.cost.queries == 0
    return np.array(found)


def test_the_mean_of_sampled_parts_is_the_formula() -> None:
    """Within four standard errors at two sample sizes, at copies that are no optima and with two discounts; .7^30 is cut off."""
    game, rng = Three(), np.random.default_rng(1)
    policies = [rng.dirichlet(np.ones(2), size=3) for _ in range(2)]
    wanted = formula(game, X, 0.5, *policies)
    for episodes in (20, 150):
        drawn = sample(game, policies, 0.5, episodes, 81)
        error = drawn.std(axis=0, ddof=1) / 9
        assert (np.abs(drawn.mean(axis=0) - wanted) < 4 * error + 1e-4).all()
    assert (error[6:] < 0.2 * np.linalg.norm(wanted[6:])).all()


def test_the_growth_of_samples() -> None:
    """Noise in N episodes, with copies at their optima: slope -1/2 at one sigma, and -1/4 where sigma is N^(-1/4), within three errors.

    With a bias of order sigma that is the best that one gradient does: an error of eps takes N of the order eps^-4.
    """
    game, sizes = Three(GAMMA), np.array([10, 40, 160])
    for power in (0.0, 0.25):
        logs = []
        for size in sizes:
            sigma = 0.5 * float(size / 10) ** -power
            drawn = sample(game, optima(game, X, sigma), sigma, int(size), 80)
            errors = ((drawn - drawn.mean(axis=0))[:, 6:] ** 2).sum(axis=1)
            logs.append(0.5 * np.log(errors.reshape(8, 10).mean(axis=1)))
        slopes = np.polyfit(np.log(sizes), np.array(logs), 1)[0]
        error = slopes.std(ddof=1) / np.sqrt(8)
        assert abs(slopes.mean() - (power - 0.5)) < 3 * error, (power, slopes)
        assert error < 0.05


def test_it_climbs_to_a_stationary_point() -> None:
    """Of a random game, exactly; and of a small one by sampled copies, as far as their noise lets it."""
    game = se.game("random_markov_game-v0", seed=1000)
    true = solvers.solve(game, "implicit", budget=200, lr=0.05, optimiser="adam", reports=1).leader_return
    found = solvers.solve(game, "first_order", budget=200, lr=0.05, optimiser="adam", sigma=1e-3, reports=1)
    assert found.leader_return == pytest.approx(true, rel=0.01)
    small, start = Three(GAMMA), np.full(6, 3.0)
    found = solvers.solve(
        small, "first_order", form="sampled", sigma=0.5, episodes=60, budget=60, lr=0.2, clip=None, start=start, reports=1
    )
    assert np.linalg.norm(exact(small, found.x)) < 0.25 * np.linalg.norm(exact(small, start))


@pytest.mark.parametrize(
    ("game", "follower", "options", "message"),
    [
        (lambda: se.game("toy3-v0"), se.Hard(), {}, "neither Soft nor MirrorDescent"),
        (lambda: Bonuses(discount=0.9), None, {}, r"needs one discount for both; form='sampled'"),
        (Doors, None, {"form": "sampled"}, "acts or sets rewards, and this one does neither"),
        (lambda: se.game("contract_tree-v0"), None, {"form": "sampled"}, "their actions are hidden"),
        (lambda: se.game("preference-v0", objective="likelihood"), None, {}, "needs an additive leader objective"),
        (lambda: se.game("zero_sum_incentive-v0"), None, {}, "handles followers who do not interact"),
    ],
)
def test_declining(game: Any, follower: Any, options: Any, message: str) -> None:
    with pytest.raises(solvers.Declined, match=message):
        solvers.solve(game(), "first_order", follower=follower, **options)


@pytest.mark.parametrize("wrong", [{"form": "any"}, {"sigma": 0.0}, {"copy_lr": np.inf}, {"copy_steps": 0}, {"horizon": -1}], ids=str)
def test_senseless_hyperparameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"first_order (needs|has)|copy_lr"):
        solvers.build("first_order", **wrong)
