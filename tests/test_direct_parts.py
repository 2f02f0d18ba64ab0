"""The direct part of gradients by brute force: finite differences of the leader's return while the followers' policies stay what they are.

What is left of the hypergradient is the response, and finite differences of the return against followers who answer anew are their sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from small_games import SMALLER, Three
from test_devices import FOLLOWERS, RUNS

import solvers
import stackelberg_envs as se
from solvers.adjoint_mirror import AdjointMirror
from solvers.ascent import Estimator
from solvers.copies import copy_policy
from solvers.estimators.biac import BiAC
from solvers.estimators.implicit import Implicit
from solvers.estimators.naive import Naive
from solvers.estimators.rtq import estimate_at_answer
from solvers.estimators.sobirl import MSoBiRL
from solvers.estimators.two_stage import TwoStage
from stackelberg_envs.followers.mirror_descent import MirrorDescent
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame

Policies = Sequence[Sequence[Any]]
"""Of each follower, context by context."""


def slope(function: Callable[[float], float], h: float = 1e-3) -> float:
    """The derivative at 0, by central differences of fourth order."""
    one, two = (function(k * h) - function(-k * h) for k in (1, 2))
    return (8 * one - two) / (12 * h)


def earned(game: se.StackelbergGame, x: np.ndarray, policies: Policies) -> float:
    """F against policies that are given."""
    rows = zip(game.context_probabilities, policies, strict=True)
    return sum(float(p * game.objective(game.problems(game.for_context(x, c), c), mine)) for c, (p, mine) in enumerate(rows))


def answers(game: se.StackelbergGame, x: np.ndarray, follower: se.Follower) -> Policies:
    return [follower.respond(game, game.for_context(x, c), c).policies for c in range(len(game.contexts))]


def brute_force(game: se.StackelbergGame, x: np.ndarray, follower: se.Follower) -> tuple[np.ndarray, float, float]:
    """A direction, and along it the slopes of F with the followers' policies at ``x`` held fixed, and with answers to each commitment."""
    u = np.random.default_rng(3).normal(size=x.shape) / np.sqrt(x.size)
    kept = answers(game, x, follower)
    held = slope(lambda h: earned(game, x + h * u, kept))
    return u, held, slope(lambda h: earned(game, x + h * u, answers(game, x + h * u, follower)))


GAMES: list[tuple[str, dict[str, Any]]] = [
    ("toy3-v0", {}),
    ("four_rooms-v0", {}),
    ("random_markov_game-v0", {"states": 3, "leader_actions": 2, "follower_actions": 2}),
    ("random_markov_game-v0", {"states": 3, "follower_sees": "policy"}),
    ("zero_sum_incentive-v0", {"states": 3, "actions": (2, 3)}),
    ("commons-v0", SMALLER["commons-v0"]),
    ("preference-v0", {"objective": "likelihood"}),
    ("tax_design-v0", {"temperature": 0.2, **SMALLER["tax_design-v0"]}),
    ("toll_network-v0", {"network": "braess"}),
    ("building-v0", {"max_cycles": 10}),
    ("lq_gain-v0", {"max_cycles": 10}),
]


def game_and_point(id: str, arguments: dict[str, Any]) -> tuple[se.StackelbergGame, np.ndarray]:
    """Followers are warm, so that differences of finite steps are good to 1e-7."""
    game = se.game(id, **arguments)
    if id in ("toy3-v0", "four_rooms-v0", "random_markov_game-v0"):
        game.default_follower = se.Soft(0.5)
    return game, 0.3 * np.random.default_rng(1).normal(size=game.commitment_shape)


def estimated(estimator: Estimator, game: se.StackelbergGame, x: np.ndarray) -> Any:
    oracle = RepeatedGame(game, measured=True).oracle(estimator.access, estimator.permissions)
    return estimator.estimate(oracle, torch.tensor(x), None, np.random.default_rng(0))


def along(part: torch.Tensor, u: np.ndarray) -> float:
    return float((part.numpy() * u).sum())


@pytest.mark.parametrize(("id", "arguments"), GAMES, ids=str)
def test_parts_of_the_exact_hypergradient(id: str, arguments: dict[str, Any]) -> None:
    """Every kind of world that `implicit` differentiates; the naive gradient is the direct part, and nothing else."""
    game, x = game_and_point(id, arguments)
    u, held, whole = brute_force(game, x, game.default_follower)
    size = max(abs(held), abs(whole))
    found, naive = estimated(Implicit(), game, x), estimated(Naive(), game, x)
    assert along(found.direct, u) == pytest.approx(held, abs=1e-7 * size)
    assert along(found.response, u) == pytest.approx(whole - held, abs=1e-7 * size)
    assert abs(whole - held) > 1e-4 * size
    torch.testing.assert_close(naive.direct, found.direct, atol=1e-12, rtol=1e-12)
    assert torch.equal(naive.direct, naive.gradient)
    assert not naive.response.any()


@pytest.mark.parametrize(("id", "arguments"), [GAMES[2], GAMES[1]], ids=str)
def test_parts_through_mirror_descent(id: str, arguments: dict[str, Any]) -> None:
    """Of a follower who takes three steps, and is far from a best response: its policy after them is what the direct part holds fixed."""
    game, x = game_and_point(id, arguments)
    follower = MirrorDescent(game.default_follower.temperature, 3, 1.0, start="reset")
    u, held, whole = brute_force(game, x, follower)
    found = estimated(AdjointMirror(3, 1.0), game, x)
    assert along(found.direct, u) == pytest.approx(held, abs=1e-7 * abs(whole))
    assert along(found.response, u) == pytest.approx(whole - held, abs=1e-7 * abs(whole))


def test_parts_at_an_answer_are_those_of_the_exact_gradient() -> None:
    """Of followers who have converged; M-SoBiRL after many sweeps and steps of its adjoint has them, too."""
    game, x = Three(), np.array([0.5, -0.3, 0.2, 0.1, -0.6, 0.4])
    exact = estimated(Implicit(), game, x)
    other = estimate_at_answer(RepeatedGame(game, measured=True).oracle(Access.MODEL), torch.tensor(x))
    slow = estimated(MSoBiRL(sweeps=300, zeta=1.0, adjoint_steps=3000), game, x)
    for found in (other, slow):
        torch.testing.assert_close(found.direct, exact.direct, atol=1e-8, rtol=0)
        torch.testing.assert_close(found.response, exact.response, atol=1e-8, rtol=0)


def test_methods_that_hold_their_followers_fixed_have_no_response() -> None:
    game, x = game_and_point(*GAMES[2])
    for estimator in (BiAC(), TwoStage()):
        found = estimated(estimator, game, x)
        assert torch.equal(found.direct, found.gradient)
        assert not found.response.any()
    u, held, _ = brute_force(game, x, game.default_follower)
    assert along(estimated(TwoStage(), game, x).direct, u) == pytest.approx(held, rel=1e-7)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("independent_pg", {}),
        ("penalty", {"ramp": (3.0, 3.0)}),
        ("penalty", {"ramp": (3.0, 3.0), "penalty": "bellman"}),
        ("slac", {}),
    ],
    ids=str,
)
@pytest.mark.parametrize(("id", "arguments"), [GAMES[0], GAMES[3]], ids=str)
def test_parts_of_methods_with_copies(id: str, arguments: dict[str, Any], name: str, settings: dict[str, Any]) -> None:
    """The direct part is that of the copies' policies, by the scale of the penalty, and ledger and commitment are those of a plain run."""
    game, start = game_and_point(id, arguments)
    runs = [solvers.solve(game, name, start=start, budget=5, reports=1, telemetry=measured, **settings) for measured in (True, False)]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert {**runs[0].cost.as_dict(), "seconds": 0} == {**runs[1].cost.as_dict(), "seconds": 0}
    state = runs[0].checkpoint.state
    step, copies, plain = state.gradient, state.carried, runs[1].checkpoint.state.gradient
    assert step is not None
    assert step.direct is not None
    assert step.response is not None
    assert plain is not None
    policy = copy_policy(copies.logits[-1].detach(), game.problems(torch.tensor(state.x))[0]).numpy()
    u, scale = np.random.default_rng(3).normal(size=start.shape), settings.get("ramp", (1.0,))[0]
    held = slope(lambda h: earned(game, state.x + h * u, [[policy[0] if policy.ndim > 3 else policy]])) / scale
    assert float(step.direct @ u) == pytest.approx(held, rel=1e-6)
    np.testing.assert_allclose(step.direct + step.response, step.gradient, rtol=1e-12, atol=1e-15)
    assert bool(step.response.any()) is (name != "independent_pg")
    assert {"direct_norm", "response_norm"} <= set(runs[0].history[-1])
    assert plain.direct is None or name == "independent_pg"


FIRST = {run[0]: run for run in reversed(RUNS)}
"""One run of each estimator."""


@pytest.mark.parametrize(("name", "make", "settings"), FIRST.values(), ids=FIRST.keys())
def test_every_method_that_ascends_gradients_knows_their_parts(name: str, make: Callable[[], Any], settings: dict[str, Any]) -> None:
    """But for differences of returns, which show no more than their sum."""
    solution = solvers.solve(make(), name, **{"follower": FOLLOWERS.get(name), **settings, "budget": 1}, telemetry=True)
    row = solution.history[-1]
    assert ({"direct_norm", "response_norm"} <= set(row)) is (name != "zeroth_order")
    assert "gradient_norm" in row
