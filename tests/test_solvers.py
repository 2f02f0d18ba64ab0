"""Gradients against finite differences and against the published recursion; the loop's promises."""

from __future__ import annotations

import dataclasses
import pickle
import re
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from benchmarks.amd import AMD
from hypothesis import given, settings
from threadpoolctl import threadpool_info

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import Implicit, exact_gradient
from solvers.estimators.zeroth_order import ZerothOrder
from solvers.threads import thread_limit
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.testing import random_games, with_commitments

GAMES: list[tuple[str, dict[str, Any]]] = [
    ("four_rooms-v0", {}),
    ("four_rooms-v0", {"preset": "bchg"}),
    ("four_rooms-v0", {"walkers": 3}),
    ("toy3-v0", {"R": 1}),
    ("toy3-v0", {"R": 2}),
    ("bimatrix-v0", {}),
    ("bimatrix-v0", {"preset": "prisoners_dilemma", "rounds": 10}),
    ("bimatrix-v0", {"preset": "random", "types": 3}),
    ("contract_tree-v0", {}),
    ("contract_tree-v0", {"commitment": "step"}),
    ("subsidy-v0", {"states": 3}),
    ("tariff-v0", {"households": 2, "levels": 2}),
    ("patrol-v0", {"park": "ring", "size": 4, "durations": (1, 3), "zero_sum": False, "temperature": 0.05}),
    ("patrol-v0", {"size": 2, "durations": (1, 2), "memory": 2, "watches": False, "horizon": 4, "temperature": 0.05}),
    ("random_markov_game-v0", {"follower_sees": "policy"}),
    ("random_markov_game-v0", {"follower_sees": "action"}),
]
ACTING = ("biac",)
"""Estimators for games in which the leader acts."""
MOVING = ("hpgd_kernel",)
"""Estimators for leaders who move the dynamics beside setting rewards."""
LEARNED = {"rtq": se.SoftQLearning(0.05, 1)}
"""Who answers the estimators that train their followers."""
VECTORS = ("neural_bchg",)
"""Estimators for worlds without tables; see tests/test_continuous_solvers.py."""
games_and_points = with_commitments(random_games())


def gradient(game: se.StackelbergGame, x: np.ndarray, *, follower: se.Follower | None = None, reaction: bool = True) -> np.ndarray:
    oracle = RepeatedGame(game, follower).oracle(se.Access.MODEL)
    return exact_gradient(oracle, torch.tensor(x, dtype=torch.float64), None, reaction=reaction).gradient.numpy()


def slope(game: se.StackelbergGame, x: np.ndarray, direction: np.ndarray, step: float = 1e-5) -> float:
    up, down = se.evaluate(game, x + step * direction), se.evaluate(game, x - step * direction)
    return float(up.leader_return - down.leader_return) / (2 * step)


@pytest.mark.parametrize(("id", "arguments"), GAMES, ids=str)
def test_hypergradient_is_the_derivative(id: str, arguments: dict[str, Any]) -> None:
    """Central differences of the referee's score, component by component and along random directions, to 1e-6."""
    game = se.game(id, **arguments)
    rng = np.random.default_rng(0)
    for scale in (0.01, 1.0):
        x = scale * rng.normal(size=game.dimension)
        exact = gradient(game, x)
        tested = [np.eye(game.dimension)[i] for i in rng.permutation(game.dimension)[:6]]
        for direction in [*tested, rng.normal(size=game.dimension) / np.sqrt(game.dimension)]:
            assert exact @ direction == pytest.approx(slope(game, x, direction), abs=1e-6)


@given(games_and_points)
@settings(deadline=None, max_examples=25)
def test_hypergradient_of_random_games(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    game, x = drawn
    direction = np.random.default_rng(1).normal(size=game.dimension) / np.sqrt(game.dimension)
    assert gradient(game, x) @ direction == pytest.approx(slope(game, x, direction), abs=1e-5)


def test_different_discounts_need_one_more_factorisation_and_agree() -> None:
    """A leader that discounts otherwise than its followers."""

    class Patient(type(se.game("random_markov_game-v0"))):  # type: ignore[misc]
        def induced(self, x: Any, context: int) -> Any:
            return dataclasses.replace(super().induced(x, context), leader_discount=0.97)

    game = Patient()
    x = np.random.default_rng(2).normal(size=game.dimension)
    direction = np.ones(game.dimension) * np.linspace(-1, 1, game.dimension)
    assert gradient(game, x) @ direction == pytest.approx(slope(game, x, direction), abs=1e-5)


def test_amd_converges_to_the_same_gradient() -> None:
    """The published recursion, swept until it has converged (its own follower and adjoint), on both contexts."""
    game = se.game("four_rooms-v0", preset="hpgd")
    x = 0.5 * np.random.default_rng(1).normal(size=105)
    recursed = AMD(game, 0.003).gradient(torch.tensor(x), sweeps=1500).numpy()
    np.testing.assert_allclose(recursed, gradient(game, x, follower=se.Soft(0.003)), atol=1e-9)


def test_counters() -> None:
    """At most 8 Newton evaluations cold and 3 warm a context, and three solves with the kept factorisation."""
    game = se.game("four_rooms-v0", preset="hpgd")
    rounds = RepeatedGame(game)
    oracle = rounds.oracle(se.Access.MODEL)
    x = torch.tensor(0.01 * np.random.default_rng(0).normal(size=105))
    memory, contexts = None, len(game.contexts)
    for k in range(30):
        before = rounds.cost
        estimate = exact_gradient(oracle, x.detach().clone(), memory, reaction=True)
        newton = (rounds.cost.newton_evaluations - before.newton_evaluations) / contexts
        assert newton <= (8 if k == 0 else 3)
        assert rounds.cost.linear_solves - before.linear_solves == 3 * contexts
        memory, g = estimate.memory, estimate.gradient
        x = x + 0.5 * g / max(1.0, float(g.norm()))


def test_the_cost_of_a_gradient_does_not_depend_on_the_commitments_size() -> None:
    """A game whose commitment has 4,000 components that do nothing: the same solves and factorisations, the same gradient."""

    class Padded(type(se.game("random_markov_game-v0"))):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.leader_space = gymnasium.spaces.Box(-20.0, 20.0, (4015,), np.float64)

        def induced(self, x: Any, context: int) -> Any:
            return super().induced(x[..., :15], context)

    x = np.random.default_rng(0).normal(size=15)
    costs, gradients = [], []
    for game in (se.game("random_markov_game-v0"), Padded()):
        rounds = RepeatedGame(game)
        y = np.concatenate([x, np.zeros(game.dimension - 15)])
        gradients.append(exact_gradient(rounds.oracle(se.Access.MODEL), torch.tensor(y), None, reaction=True).gradient.numpy())
        costs.append((rounds.cost.newton_evaluations, rounds.cost.factorisations, rounds.cost.linear_solves))
    assert costs[0] == costs[1]
    assert costs[0][1:] == (costs[0][0], 3), "no factorisation beside Newton's, and three solves"
    np.testing.assert_allclose(gradients[1][:15], gradients[0])
    assert not gradients[1][15:].any()


def test_a_leader_that_sees_the_context_first() -> None:
    """x has a row a context: the gradient is the derivative of the referee's score, and solvers run."""
    game = se.game("four_rooms-v0")
    game.context_visibility = "before"
    x = 0.3 * np.random.default_rng(0).normal(size=(2, 105))
    direction = np.random.default_rng(1).normal(size=(2, 105)) / 14
    assert (gradient(game, x) * direction).sum() == pytest.approx(slope(game, x, direction), abs=1e-6)
    for name in ("implicit", "zeroth_order", "naive"):
        solution = solvers.solve(game, name, budget=6)
        assert solution.x.shape == (2, 105)
        assert np.isfinite(solution.leader_return)
    with pytest.raises(se.CommitmentError, match=r"shape \(2, 105\)"):
        solvers.solve(game, "implicit", start=np.zeros(105))


def test_a_leader_that_stands_still_comes_to_an_end() -> None:
    """Where the gradient is zero the budget still runs out: the same commitment, once more."""
    still = se.game("random_markov_game-v0", leader_actions=1)
    assert solvers.solve(still, "implicit", budget=5).cost.commitments >= 5
    free = se.game("four_rooms-v0", beta=0)  # nothing that the leader sets pays it directly
    solution = solvers.solve(free, "naive", budget=5)
    assert solution.finished
    assert solution.history[-1]["gradient_norm"] == 0


def test_the_naive_gradient_has_the_wrong_sign_on_toy3() -> None:
    """Kudo et al.: ignoring the reaction, the leader walks away from its optimum (R = 1, p = .5 and above)."""
    game = se.game("toy3-v0", R=1)
    x = np.zeros(6)
    x[1::2] = (0.3, -0.4, 0.2)
    true, naive = gradient(game, x), gradient(game, x, reaction=False)
    assert true[3] < 0 < naive[3]
    assert naive[3] == pytest.approx(0.151, abs=2e-3)
    assert true[3] - naive[3] == pytest.approx(-41.551, abs=2e-3)


def test_implicit_reaches_known_optima() -> None:
    """Four Rooms (.003, 3) from the standard start: .39 (published .39 for AMD); toy3: the global optimum."""
    solution = solvers.solve(se.game("four_rooms-v0", preset="hpgd"), "implicit", follower=se.Soft(0.003), budget=3000, lr=0.5)
    assert solution.leader_return == pytest.approx(0.39, abs=0.02)
    solution = solvers.solve(se.game("toy3-v0"), "implicit", budget=200, lr=0.1, optimiser="adam")
    assert solution.leader_return == pytest.approx(34.9926, abs=1e-3)


def test_naive_collapses_on_toy3() -> None:
    assert solvers.solve(se.game("toy3-v0"), "naive", budget=200, lr=0.1, optimiser="adam").leader_return < 1


@pytest.mark.parametrize("antithetic", [True, False])
def test_zeroth_order_is_unbiased_up_to_smoothing(antithetic: bool) -> None:
    """At a small radius the mean estimate is the gradient, within four standard errors, at two sample sizes."""
    game = se.game("random_markov_game-v0", states=3, leader_actions=2, follower_actions=2, branching=2)
    x = torch.tensor(np.random.default_rng(0).normal(size=game.dimension))
    exact = gradient(game, x.numpy())
    estimator = ZerothOrder(radius=1e-4, antithetic=antithetic)
    oracle = RepeatedGame(game).oracle(se.Access.RETURN)
    rng = np.random.default_rng(5)
    drawn = np.stack([estimator.estimate(oracle, x, None, rng).gradient.numpy() for _ in range(1200)])
    for count in (300, 1200):
        error = drawn[:count].std(axis=0) / np.sqrt(count)
        assert (np.abs(drawn[:count].mean(axis=0) - exact) < 4 * error + 1e-3).all()


def test_zeroth_order_radius_and_cost() -> None:
    rounds = RepeatedGame(se.game("toy3-v0"))
    estimator = ZerothOrder(radius=0.5, decay=True, antithetic=False)
    memory = None
    for k in (1, 2, 3):
        memory = estimator.estimate(
            rounds.oracle(se.Access.RETURN), torch.zeros(6, dtype=torch.float64), memory, np.random.default_rng(0)
        ).memory
        assert memory == k
    assert rounds.cost.commitments == 6


@pytest.mark.parametrize(
    "name", [name for name in solvers.SOLVERS if issubclass(solvers.solver_class(name), solvers.Estimator) and name not in VECTORS]
)
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_seed_reproduces_and_a_stop_changes_nothing(name: str, optimiser: str) -> None:
    """Bit for bit: twice the same; and stopped in the middle, pickled, and resumed."""
    id, other_world = ("random_markov_game-v0", {"conflict": 0.1}) if name in ACTING else ("four_rooms-v0", {"beta": 1})
    if name in MOVING:
        id, other_world = "tax_design-v0", {"grid": 21, "hours": 3, "spendings": 3}
    arguments = {"grid": 21, "hours": 3, "spendings": 2, "temperature": 0.2} if name in MOVING else {}
    game, follower = se.game(id, **arguments), LEARNED.get(name)
    slow = {"rtq": {"steps": 20, "levels": 3}, "adjoint_mirror": {"steps": 2}}.get(name) or ({"episodes": 5} if name in MOVING else {})

    def go(budget: int, **more: Any) -> solvers.Solution:
        settings = {"budget": budget, "seed": 7, "optimiser": optimiser, "lr": 0.1, "follower": follower, **slow}
        return solvers.solve(game, name, reports=10, **{**settings, **more})

    whole, again = go(40), go(40)
    np.testing.assert_array_equal(whole.x, again.x)
    half = go(20)
    resumed = go(40, resume=pickle.loads(pickle.dumps(half.checkpoint)))
    np.testing.assert_array_equal(resumed.x, whole.x)
    assert {**resumed.history[-1], "seconds": 0} == {**whole.history[-1], "seconds": 0}
    assert resumed.cost.commitments == 40
    assert not np.array_equal(whole.x, go(40, seed=8).x)
    once, twice = (go(40, resume=half.checkpoint) for _ in range(2))
    np.testing.assert_array_equal(once.x, twice.x)
    assert half.cost.commitments == half.checkpoint.rounds.cost.commitments == 20, "a checkpoint is not changed by resuming"
    for other in ({"seed": 8}, {"follower": se.Soft(0.1)}, {"referee": (game, se.Soft(0.1))}):
        with pytest.raises(ValueError, match="another run"):
            go(40, **{"resume": half.checkpoint, **other})
    game = se.game(id, **other_world)
    with pytest.raises(ValueError, match="another run"):
        go(40, resume=half.checkpoint)


@pytest.mark.parametrize("name", ["implicit", "leader_ppo"])
def test_a_run_does_not_depend_on_the_number_of_threads(name: str) -> None:
    """Linear algebra adds up in another order on two threads, from some hundred states on; a net of 64 units does too.  A run uses one."""
    pytest.importorskip("stable_baselines3", reason="leader_ppo needs the extra 'rl'")
    sizes = {"states": 120, "branching": 120} if name == "implicit" else {}
    game, commitments = se.game("random_markov_game-v0", **sizes), []
    for threads in (1, 2):
        with thread_limit(threads):
            before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
            commitments.append(solvers.solve(game, name, budget=3, seed=2003).x)
            after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
            assert torch.get_num_threads() == threads
            assert before.items() <= after.items(), "afterwards there are as many as before"
    np.testing.assert_array_equal(*commitments)
    with pytest.raises(ValueError, match="threads is a whole number from 1, got 0"):
        solvers.solve(game, name, budget=1, threads=0)


def test_one_context_an_iteration_is_right_on_average() -> None:
    """The published way: gradients of a context that is drawn; their mean over the contexts is the whole gradient, and each comes up."""
    game = se.game("four_rooms-v0")
    x, rng = torch.tensor(0.5 * np.random.default_rng(1).normal(size=105)), np.random.default_rng(0)
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    estimator, memory, seen = Implicit(one_context=True), None, {}
    for _ in range(12):
        estimate = estimator.estimate(oracle, x, memory, rng)
        memory = estimate.memory
        seen[round(float(estimate.gradient.norm()), 9)] = estimate.gradient.numpy()
    assert len(seen) == 2
    np.testing.assert_allclose(np.mean(list(seen.values()), axis=0), gradient(game, x.numpy()), atol=1e-10)


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        ("hpgd", {"streams": 2, "steps": 300}),
        ("hpgd", {"batches": "independent", "episodes": 10}),
        ("hpgd", {"batches": "geometric", "episodes": 10}),
        ("sobirl", {"weights": "steps", "episodes": 10}),
        ("aho", {"samples": 10}),
        ("first_order", {}),
        ("adjoint_mirror", {"steps": 3}),
        ("slac", {}),
        ("slac", {"form": "sampled", "episodes": 5}),
        ("first_order", {"form": "sampled", "episodes": 5, "copy_steps": 2}),
        ("implicit", {"one_context": True}),
        ("zeroth_order", {"one_context": True}),
        ("inverse_planning", {}),
        ("inverse_planning", {"curiosity": 0.1, "searches": 1, "confidence": 0.9, "tolerance": 1e-6, "draws": 4, "horizons": (1.0, 2.0)}),
        ("qse_mle", {"episodes": 1}),
        ("plan_after_estimation", {"episodes": 1}),
        ("active_inverse", {"episodes": 1, "informative": 2}),
        ("penalty", {}),
        ("penalty", {"penalty": "bellman", "copy_steps": 2, "rate": 1.0}),
        ("penalty", {"form": "sampled", "episodes": 5}),
        ("penalty", {"form": "sampled", "penalty": "bellman", "episodes": 5, "optimiser": "sgd"}),
        ("independent_pg", {"optimiser": "sgd"}),
        ("bchg", {"level": "outcome"}),
        ("bchg", {"level": "value", "scan": 5, "jitter": 0.1}),
        ("bchg", {"level": "policy", "critic": "sarsa", "streams": 2, "steps": 100}),
        ("bchg", {"level": "policy", "critic": "reset", "centred": "both", "reset_episodes": 104, "unvisited": "zero"}),
    ],
)
def test_every_mode_resumes_bit_for_bit(name: str, hyperparameters: dict[str, Any]) -> None:
    plans = name in ("inverse_planning", "qse_mle", "plan_after_estimation", "active_inverse")
    acts = plans or hyperparameters.get("level") in ("outcome", "value")
    game = se.game("toy3-v0") if acts else se.game("four_rooms-v0")
    whole = solvers.solve(game, name, budget=16, seed=3, **hyperparameters)
    half = solvers.solve(game, name, budget=8, seed=3, **hyperparameters)
    resumed = solvers.solve(game, name, budget=16, seed=3, resume=pickle.loads(pickle.dumps(half.checkpoint)), **hyperparameters)
    np.testing.assert_array_equal(whole.x, resumed.x)
    assert not np.array_equal(whole.x, half.x) or plans
    assert dataclasses.replace(whole.cost, seconds=0) == dataclasses.replace(resumed.cost, seconds=0)


def test_the_referee_may_live_elsewhere() -> None:
    """Outcomes from slip .33 with a follower that plans for .44, score on .44: the published arrangement."""
    world, planner = se.game("four_rooms-v0"), se.game("four_rooms-v0", preset="hpgd")
    solution = solvers.solve(
        world,
        "zeroth_order",
        follower=se.Believes(planner, se.Soft(0.003)),
        referee=(planner, se.Soft(0.003)),
        budget=4,
        start=np.zeros(105),
    )
    assert solution.history[0]["leader_return"] == pytest.approx(-0.06787, abs=1e-5)


def test_declining_and_refusing() -> None:
    game = se.game("toy3-v0")
    with pytest.raises(solvers.Declined, match=r"implicit differentiates a soft response; Hard\(.*\) is not Soft"):
        solvers.solve(game, "implicit", follower=se.Hard())
    with pytest.raises(se.AccessError, match="needs access MODEL, and was granted OUTCOME"):
        solvers.solve(game, "implicit", access=se.Access.OUTCOME)
    with pytest.raises(KeyError, match="did you mean 'implicit'"):
        solvers.solve(game, "implict")
    with pytest.raises(TypeError, match="implicit has no hyperparameter 'learning_rate'"):
        solvers.solve(game, "implicit", learning_rate=0.1)
    with pytest.raises(ValueError, match="budget, in commitments,"):
        solvers.solve(game, "implicit", budget=0)
    with pytest.raises(ValueError, match="no optimiser 'adamw'; did you mean 'adam'"):
        solvers.build("implicit", optimiser="adamw")
    with pytest.raises(ValueError, match="radius is positive"):
        solvers.build("zeroth_order", radius=0.0)
    with pytest.raises(se.CommitmentError, match="6 components"):
        solvers.solve(game, "implicit", start=np.zeros(5))


@pytest.mark.parametrize(("name", "advised"), [("implicit", True), ("multistart", False)])
def test_only_a_solver_with_a_learning_rate_is_told_to_lower_it(name: str, advised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Advice names hyperparameters that the solver has."""
    solver = solvers.build(name)
    monkeypatch.setattr(type(solver), "step", lambda self, oracle, state, rng: dataclasses.replace(state, x=state.x * np.nan))
    with pytest.raises(FloatingPointError, match="x contains NaN after iteration 1") as raised:
        solvers.solve(se.game("toy3-v0"), name, budget=5)
    assert ("learning rate" in str(raised.value)) == advised
    assert "at fault" not in str(raised.value)


@dataclasses.dataclass(frozen=True)
class Overflows(solvers.Estimator):
    """A mistake of somebody's own."""

    access = se.Access.RETURN

    def declines(self, oracle: se.Oracle) -> str | None:
        return None

    def estimate(self, oracle: se.Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> solvers.Estimate:
        return solvers.Estimate(torch.full_like(x, float("inf")))


def test_a_step_of_ones_own_that_fails_is_told_with_its_file() -> None:
    from solvers.ascent import Ascent
    from solvers.base import run

    said = rf"x contains infinity after iteration 1; .*\(lr\) may help, or what Overflows in {re.escape(__file__)} computes is at fault"
    with pytest.raises(FloatingPointError, match=said):
        run(Ascent(Overflows(), clip=None), se.game("toy3-v0"), budget=5)


def test_an_interrupt_leaves_a_resumable_solution() -> None:
    """Ctrl-C between steps: the solution says so, and goes on to the same end."""
    import os
    import signal

    game = se.game("toy3-v0")

    def press(used: int, row: dict[str, Any]) -> None:
        if used == 10:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = solvers.solve(game, "implicit", budget=30, reports=30, progress=press)
    assert not stopped.finished
    assert stopped.reason == "interrupted after 10 of 30 commitments"
    whole = solvers.solve(game, "implicit", budget=30, reports=30)
    np.testing.assert_array_equal(solvers.solve(game, "implicit", budget=30, reports=30, resume=stopped.checkpoint).x, whole.x)
