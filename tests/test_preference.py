"""The game of learning from preferences: enumeration, bounds of information theory, exact gradients without a leader Q-function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from small_games import Bonuses

import solvers
import stackelberg_envs as se
from baselines.studies import preferences
from solvers import linear
from solvers.estimators import sobirl
from solvers.estimators.implicit import exact_gradient
from solvers.estimators.sobirl import MSoBiRL
from solvers.linear import LU
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play.rollouts import simulate
from stackelberg_envs.testing import check_env
from stackelberg_envs.views.gym import LeaderEnv

POINTS = (0.01, 0.3, 1.0, 3.0)


def gradient(game: se.StackelbergGame, x: np.ndarray, **options: Any) -> np.ndarray:
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    return exact_gradient(oracle, torch.tensor(x), None, **{"reaction": True, **options}).gradient.numpy()


def slopes(game: se.StackelbergGame, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of the referee's score."""
    ahead, behind = (se.evaluate(game, x + sign * step * np.eye(len(x))).leader_return for sign in (1, -1))
    return (ahead - behind) / (2 * step)


def test_enumeration_is_what_play_comes_to() -> None:
    """Pairs of simulated episodes with drawn labels: return and log-likelihood within 4 standard errors of the exact ones."""
    game: Any = se.game("preference-v0", objective="likelihood", label_noise=0.1, label_temperature=2.0, seed=3)
    x, rng, pairs = np.array([0.4, -0.3, 0.2]), np.random.default_rng(0), 40_000
    (mdp,), policy = game.problems(x), game.default_follower.respond(game, x).policy
    played = simulate(mdp, policy, np.full(2 * pairs, game.cells // 2), rng, np.full(2 * pairs, game.max_cycles))
    cells, moves = played.states[:, :-1] % game.cells, played.follower_actions
    assert played.alive.all()
    assert (played.states[:, -1] == mdp.sizes[0]).all(), "the last step ends the episode"
    returns, modelled = game.true_reward[cells, moves].sum(-1), (game.phi[cells, moves] @ x).sum(-1)
    true, model = returns[:pairs] - returns[pairs:], modelled[:pairs] - modelled[pairs:]
    first = rng.random(pairs) < 0.1 + 0.8 / (1 + np.exp(-true / 2.0))
    logs = -np.logaddexp(0, np.where(first, -model, model))
    exact = game.scores(x)
    for sample, value in ((returns, exact.true_return), (logs, exact.likelihood)):
        assert sample.mean() == pytest.approx(float(value), abs=4 * sample.std() / np.sqrt(len(sample)))


@pytest.mark.parametrize("objective", ["return", "likelihood"])
def test_both_numbers_are_the_referees(objective: Any) -> None:
    """`scores` and `evaluate` agree on F, in NumPy and torch, batched or not; all trajectories are accounted for."""
    game: Any = se.game("preference-v0", objective=objective, seed=1)
    xs = np.random.default_rng(2).normal(size=(2, 3, 3))
    scores, own = game.scores(xs), ("return", "likelihood").index(objective)
    np.testing.assert_allclose(se.evaluate(game, xs).leader_return, scores[own], atol=1e-10)
    np.testing.assert_allclose(game.scores(torch.tensor(xs))[1 - own].numpy(), scores[1 - own], atol=1e-10)
    np.testing.assert_allclose(game.trajectory_probabilities(game.default_follower.respond(game, xs).policy).sum(-1), 1, atol=1e-12)
    assert game.scores(xs[1, 2]).likelihood == pytest.approx(scores.likelihood[1, 2], abs=1e-12)
    assert (scores.true_return < game.best_return).all()


def test_the_best_trajectory_is_what_cooperation_gets() -> None:
    """Enumeration against dynamic programming."""
    for seed in range(3):
        game: Any = se.game("preference-v0", seed=seed)
        assert game.best_return == pytest.approx(se.cooperative_value(game))


def test_no_model_beats_the_true_one() -> None:
    """Gibbs' inequality: on any response the cross-entropy is at least the entropy of the labels, which the true reward attains."""
    game: Any = se.game("preference-v0", objective="likelihood", states=4, horizon=4, features=8, seed=2)
    w = np.linalg.solve(game.phi.reshape(8, 8), game.true_reward.ravel())
    np.testing.assert_allclose(game.incentive(w)[:4, 0], game.true_reward, atol=1e-9)
    rng = np.random.default_rng(0)
    returns = game._constants.like(w).returns
    p = 1 / (1 + np.exp(returns - returns[:, None]))
    for policy in (game.default_follower.respond(game, w).policy, rng.dirichlet(np.ones(2), size=(16, 1))):
        P = game.trajectory_probabilities(policy)
        entropy = -(P[:, None] * P * (p * np.log(p) + (1 - p) * np.log1p(-p))).sum()
        bound = game.likelihood(game.incentive(w), policy)
        assert bound == pytest.approx(-entropy, abs=1e-9)
        others = game.likelihood(game.incentive(w + rng.normal(size=(50, 8))), policy)
        assert (others < bound).all()
    scores = game.scores(w)
    assert scores.label_entropy == pytest.approx(-float(scores.likelihood), abs=1e-9)


@pytest.mark.parametrize("objective", ["return", "likelihood"])
@pytest.mark.parametrize("features", [3, 8])
def test_hypergradient_is_the_derivative(objective: Any, features: int) -> None:
    """Central differences of `evaluate`, every component, to 1e-6."""
    game = se.game("preference-v0", objective=objective, features=features, seed=4)
    rng = np.random.default_rng(1)
    for scale in POINTS:
        x = scale * rng.normal(size=features)
        np.testing.assert_allclose(gradient(game, x), slopes(game, x), atol=1e-6)


@pytest.mark.parametrize("reaction", [True, False])
@pytest.mark.parametrize(
    ("id", "arguments"),
    [
        ("four_rooms-v0", {"walkers": 3}),
        ("toy3-v0", {"follower_sees": "policy"}),
        ("random_markov_game-v0", {"follower_sees": "policy"}),
        ("random_markov_game-v0", {"follower_sees": "action"}),
        ("bimatrix-v0", {"preset": "random", "types": 3}),
    ],
    ids=str,
)
def test_an_additive_objective_gives_the_same_through_autograd(id: str, arguments: dict[str, Any], reaction: bool) -> None:
    """The general way, told nothing of steps, finds what the leader Q-function finds: several followers and contexts, both visibilities."""
    game = se.game(id, **arguments)
    x = np.random.default_rng(5).normal(size=game.dimension)
    known = gradient(game, x, reaction=reaction)
    game.additive = False
    np.testing.assert_allclose(gradient(game, x, reaction=reaction), known, atol=1e-9)


def test_msobirl_swept_to_convergence_is_implicit() -> None:
    """Response and adjoint carried through 300 iterations at one commitment, with an objective that is no sum."""

    class Squared(Bonuses):
        additive = False

        def objective(self, problems: Any, policies: Any, **options: Any) -> Any:
            return super().objective(problems, policies, **options) ** 2

    game, x = Squared(discount=0.6, price=0.1), 0.5 * np.random.default_rng(0).normal(size=12)
    oracle, memory, swept = RepeatedGame(game).oracle(se.Access.MODEL), None, torch.zeros(12)
    for _ in range(60):
        estimate = MSoBiRL(adjoint_steps=100).estimate(oracle, torch.tensor(x), memory, np.random.default_rng(0))
        memory, swept = estimate.memory, estimate.gradient
    np.testing.assert_allclose(swept.numpy(), gradient(game, x), atol=1e-6)
    np.testing.assert_allclose(gradient(game, x), slopes(game, x), atol=1e-6)


@pytest.mark.parametrize("objective", ["return", "likelihood"])
def test_msobirl_charges_what_it_factorises(objective: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every matrix that it factorises or solves with is in the ledger; a likelihood has no leader values to solve for, and takes none."""
    built: list[LU] = []

    class Counted(LU):
        def __init__(self, matrix: torch.Tensor) -> None:
            super().__init__(matrix)
            built.append(self)

    monkeypatch.setattr(linear, "LU", Counted)  # by which `factors` makes them
    monkeypatch.setattr(sobirl, "LU", Counted)
    game = se.game("preference-v0", objective=objective, states=3, horizon=3)
    cost = solvers.solve(game, "msobirl", budget=4, reports=1).cost
    assert (cost.factorisations, cost.linear_solves) == (len(built), sum(one.solves for one in built))
    assert (len(built) > 0) == (objective == "return")


def test_two_stage_is_offline_maximum_likelihood() -> None:
    """Concave on the data of uniform play, so what scipy finds is the optimum; the follower is asked once."""
    uniform = np.full((48, 1, 2), 0.5)
    for seed in (100, 101):
        game: Any = se.game("preference-v0", objective="likelihood", seed=seed)
        best = minimize(lambda w, g=game: -g.likelihood(g.incentive(w), uniform), np.zeros(3), tol=1e-12)
        found = solvers.solve(game, "two_stage", start=np.zeros(3), budget=400, lr=0.5)
        assert game.likelihood(game.incentive(found.x), uniform) == pytest.approx(-best.fun, abs=1e-9)
        np.testing.assert_allclose(found.x, best.x, atol=1e-4)
        assert found.cost.follower_evaluations == solvers.solve(game, "two_stage", start=np.zeros(3), budget=2).cost.follower_evaluations


def test_naive_asks_again() -> None:
    """One step from the same start is the same; then the data differ, and the iterated version stops where they fit themselves."""
    game: Any = se.game("preference-v0", objective="likelihood", seed=106)

    def run(name: str, budget: int) -> np.ndarray:
        return solvers.solve(game, name, start=np.zeros(3), budget=budget, lr=0.5).x

    np.testing.assert_allclose(run("naive", 1), run("two_stage", 1), atol=1e-12)
    fixed = run("naive", 300)
    assert np.abs(gradient(game, fixed, reaction=False)).max() < 1e-4 < np.abs(gradient(game, fixed)).max()
    assert np.abs(gradient(game, run("two_stage", 100), reaction=False)).max() > 1e-2


def test_who_declines() -> None:
    """Played steps do not show a likelihood: those who learn from them say so, and the rest runs."""
    game = se.game("preference-v0", objective="likelihood")
    for name in ("hpgd", "sobirl", "bchg"):
        with pytest.raises(solvers.Declined, match=f"{name} needs an additive leader objective"):
            solvers.solve(game, name, access=se.Access.MODEL, budget=2)
    with pytest.raises(solvers.Declined, match="played steps do not show another"):
        solvers.solve(game, "zeroth_order", episodes=3, budget=2)
    with pytest.raises(ValueError, match="played episodes do not show it; leave episodes out"):
        RepeatedGame(game).oracle(se.Access.RETURN).returns(np.zeros(3), episodes=3)
    for name in ("implicit", "naive", "two_stage", "msobirl", "zeroth_order"):
        assert np.isfinite(solvers.solve(game, name, budget=2).leader_return)
    assert np.isfinite(solvers.solve(game, "multistart", budget=2, evaluations=5).leader_return)
    oracle = RepeatedGame(game).oracle(se.Access.VALUE)
    with pytest.raises(se.AccessError, match=r"oracle\.objective needs access MODEL"):
        oracle.objective((), ())


def test_a_round_pays_the_likelihood() -> None:
    """The leader's environment agrees with the referee, however many episodes are played; no single move is worth anything."""
    game = se.game("preference-v0", objective="likelihood", seed=3)
    for episodes, x in ((1, np.zeros(3)), (3, np.array([0.4, -0.3, 0.2]))):
        env = LeaderEnv(game, episodes=episodes)
        env.reset(seed=0)
        _, reward, terminated, _, info = env.step(x)
        assert terminated
        assert reward == info["discounted_return"] == pytest.approx(se.evaluate(game, x).leader_return, abs=1e-12)
    with pytest.raises(ValueError, match="no move is paid; use mode='round'"):
        LeaderEnv(game, mode="move")


def test_a_round_pays_each_contexts_objective() -> None:
    """The mean over contexts as they are drawn: a law of large numbers against the referee's expectation."""
    game = se.game("bimatrix-v0", preset="random", types=3)
    game.additive = False
    x = np.random.default_rng(5).normal(size=game.dimension)
    exact, env = se.evaluate(game, x), LeaderEnv(game, episodes=2000)
    env.reset(seed=0)
    spread = np.sqrt(np.average((exact.per_context - exact.leader_return) ** 2, weights=game.context_probabilities) / 2000)
    assert spread > 0
    assert env.step(x)[1] == pytest.approx(float(exact.leader_return), abs=4 * spread)
    for context in range(3):
        env.reset(options={"context": context})
        assert env.step(x)[1] == pytest.approx(float(exact.per_context[context]), abs=1e-12)


def test_environments_conform() -> None:
    small = {"states": 3, "horizon": 3}
    check_env(se.make("preference-v0", **small))
    check_env(se.make_parallel("preference-v0", objective="likelihood", **small))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": "liklihood"}, "did you mean 'likelihood'"),
        ({"horizon": 11}, "horizon is a whole number 1 to 10"),
        ({"states": 1}, "states is a whole number from 2"),
        ({"label_temperature": 0.0}, "label_temperature is a finite number above 0"),
        ({"label_noise": 0.6}, "label_noise is a finite number at least 0 and at most 0.5"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        se.game("preference-v0", **arguments)
    with pytest.raises(ValueError, match="labels compare whole undiscounted trajectories"):
        se.evaluate(se.game("preference-v0", objective="likelihood"), np.zeros(3), horizon=2)


def test_the_recorded_study() -> None:
    """Recorded reward models have the numbers that the record and the page say; nothing beats the best trajectory or Gibbs' bound."""
    folder = Path(__file__).parent.parent / "docs" / "reproductions"
    rows = json.loads((folder / "recorded" / "preferences.json").read_text())
    assert preferences.page(rows) == (folder / "preferences.md").read_text(), "draw it again, see docs/explanation/preferences.md"
    for row in rows[::7]:
        game: Any = se.game("preference-v0", objective="likelihood", seed=row["seed"])
        for arm in row["arms"].values():
            np.testing.assert_allclose(game.scores(np.array(arm["x"])), arm["numbers"], atol=1e-6)
    for row in rows:
        game = se.game("preference-v0", objective="likelihood", seed=row["seed"])
        for label in (preferences.OFFLINE, preferences.ITERATED):
            gradient_there = preferences.slopes(game, preferences.ASCENTS[label], np.zeros(3))(np.array(row["arms"][label]["x"]))
            assert np.linalg.norm(gradient_there) < 1e-4, f"{label} of seed {row['seed']} is fitted to the labels that it says"
    numbers, best = preferences.table(rows), np.array([row["best"] for row in rows])
    assert (numbers[..., 0] <= best[:, None]).all()
    assert (numbers[..., 1] <= -numbers[..., 2] + 1e-9).all()
    fit, paid = (numbers[:, preferences.ARMS.index(label)] for label in (preferences.LIKELIHOOD, preferences.RETURN))
    assert (fit[:, 1] >= numbers[:, :, 1].max(axis=1) - 1e-3).mean() >= 0.9, "the search for likelihood found the likeliest"
    assert (paid[:, 0] >= numbers[:, :, 0].max(axis=1) - 1e-3).mean() >= 0.9, "and the one for return the best paid"
