"""Sweeps with certified bounds, Newton's method of lists, and the fused sweeps: against Newton's method, and their work counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
import stackelberg_envs as se
from solvers.kernels import sweeps
from solvers.linear import factors
from solvers.response import soft_response
from stackelberg_envs.planning.linear_systems import Krylov, PlanningError, bicgstab, system
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.planning.value_iteration import (
    CertifiedValues,
    attainable_bound,
    largest_deficit,
    rounding_error,
    soft_backup,
    soft_value_iteration,
    value_interval,
)
from stackelberg_envs.processes.mdp import DecisionProblem, decision_problem
from stackelberg_envs.processes.successor_lists import SuccessorLists
from stackelberg_envs.testing import random_games
from stackelberg_envs.worlds.mdp import InducedMDP


def garnet(states: int, *, discount: float = 0.99, ends: float = 0.0, seed: int = 0, actions: int = 4, branching: int = 5) -> InducedMDP:
    """A random world of lists, of whose rows a share ``ends`` may end the episode."""
    rng = np.random.default_rng(seed)
    table = np.sort(rng.integers(states, size=(states, 1, actions, branching)), axis=-1)
    p = rng.dirichlet(np.ones(branching), (states, 1, actions)) * np.where(rng.random((states, 1, actions, 1)) < ends, 0.5, 1.0)
    reward = rng.random((2, states, 1, actions))
    flat = np.ones(states) / states
    return InducedMDP(np.ones((states, 1)), SuccessorLists(table, p), reward[0], reward[1], flat, discount, discount)


def grid(size: int, *, discount: float = 0.99, seed: int = 0) -> InducedMDP:
    """A slippery grid with random costs and a goal in the middle, which ends the episode; all actions share their lists."""
    rng, states = np.random.default_rng(seed), size * size
    row, col = np.divmod(np.arange(states), size)
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    near = np.stack([np.clip(row + d, 0, size - 1) * size + np.clip(col + e, 0, size - 1) for d, e in moves], axis=-1)
    p = np.full((states, 1, 4, 4), 0.1) + 0.6 * np.eye(4)
    p[states // 2] = 0.0
    reward = -rng.random((states, 1, 4)) * (np.arange(states) != states // 2)[:, None, None]
    flat = np.ones(states) / states
    return InducedMDP(np.ones((states, 1)), SuccessorLists(near[:, None, None], p), reward, reward, flat, discount, discount)


@given(random_games(), st.floats(0.05, 1.0), st.integers(0, 99), st.booleans())
@settings(deadline=None, max_examples=30)
def test_the_bounds_hold(game: se.StackelbergGame, temperature: float, seed: int, ends: bool) -> None:
    """MacQueen 1966: after any number of sweeps from anywhere, V* is within what is certified; also where episodes end."""
    rng = np.random.default_rng(seed)
    (mdp,) = game.problems(rng.normal(size=game.dimension))
    if ends:
        mdp = replace(mdp, transition=mdp.transition * rng.uniform(0.5, 1, size=mdp.transition.shape[:-1])[..., None])
    problem, gamma = decision_problem(mdp, mdp.follower_reward), mdp.follower_discount
    exact, deficit = soft_policy_iteration(mdp, temperature), largest_deficit(problem)
    assert (deficit > 1e-9) is ends
    assert exact.bound < 1e-6
    v = 5 * rng.normal(size=len(mdp.initial))
    for _ in range(5):
        swept, _ = soft_backup(problem, gamma, temperature, v)
        r = swept - v
        middle, half = value_interval(swept, r.min(), r.max(), gamma, deficit)
        assert np.abs(middle - exact.values).max() <= half + 2 * exact.bound + rounding_error(v, gamma)
        v = swept
    solved = soft_value_iteration(problem, gamma, temperature, tolerance=1e-7)
    assert np.abs(solved.values - exact.values).max() <= solved.bound + 2 * exact.bound + rounding_error(v, gamma)
    assert solved.bound <= max(1e-7, attainable_bound(solved.values, gamma))


def test_the_span_forgets_and_the_largest_entry_does_not() -> None:
    """Where all rows sum to 1 the span stops after as many sweeps as mixing takes; the largest entry needs some log eps / log gamma."""
    mdp = garnet(1000)
    problem = decision_problem(mdp, mdp.follower_reward)
    fast = soft_value_iteration(problem, 0.99, 0.01, tolerance=1e-6)
    v, sup = np.zeros(1000), 0
    while True:
        swept, _ = soft_backup(problem, 0.99, 0.01, v)
        sup, change, v = sup + 1, np.abs(swept - v).max(), swept
        if change * 0.99 / 0.01 <= 1e-6:
            break
    assert (fast.sweeps, sup) == (33, 1814)
    np.testing.assert_allclose(fast.values, v, atol=2e-6)
    longer = soft_value_iteration(decision_problem(garnet(1000, discount=0.999), mdp.follower_reward), 0.999, 0.01, tolerance=1e-6)
    assert longer.sweeps < 40
    ended = garnet(1000, ends=0.1)
    assert soft_value_iteration(decision_problem(ended, ended.follower_reward), 0.99, 0.01, tolerance=1e-6).sweeps > 200


@pytest.mark.parametrize(
    ("world", "temperature", "evaluations", "products"),
    [
        (garnet(1000), 0.01, 60, 200),
        (garnet(1000, ends=0.05), 0.01, 30, 400),
        (grid(24), 0.01, 25, 1100),
        (grid(24, discount=1.0), 0.01, 25, 1500),
    ],
    ids=["garnet", "garnet that ends", "grid", "grid, discount 1"],
)
def test_newton_of_lists(world: InducedMDP, temperature: float, evaluations: int, products: int) -> None:
    """The answer of dense Newton, in a counted number of evaluations and matrix-vector products; in torch the same."""
    listed, still = soft_policy_iteration(world, temperature), replace(world, transition=world.transition.dense())
    direct = soft_policy_iteration(still, temperature)
    np.testing.assert_allclose(listed.values, direct.values, atol=1e-9)
    np.testing.assert_allclose(listed.policy, direct.policy, atol=1e-7)
    assert listed.evaluations <= evaluations
    assert listed.products <= products
    again = soft_policy_iteration(world, temperature, values=listed.values)
    assert (again.evaluations, again.products) <= (2, 200)
    torched = soft_policy_iteration(world.map(torch.tensor), temperature, factorise=factors)
    np.testing.assert_allclose(torched.values.numpy(), listed.values, atol=1e-9)
    if world.follower_discount < 1:
        assert listed.bound <= 1.3 * max(1e-9 * temperature, attainable_bound(direct.values, world.follower_discount))
        assert np.abs(listed.values - direct.values).max() <= listed.bound + direct.bound + rounding_error(
            direct.values, world.follower_discount
        )


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)], ids=str)
def test_bicgstab(batch: tuple[int, ...]) -> None:
    """Against a dense solve; rows of a batch that are done, or 0, wait for the others."""
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(40), (*batch, 40))
    b = rng.normal(size=(*batch, 40))
    b[(0,) * len(batch)] *= 1e6 if batch else 1
    if batch:
        b[(-1,) * len(batch)] = 0.0
    M = np.eye(40) - 0.99 * P
    x, products = bicgstab(lambda y: (M @ y[..., None])[..., 0], b)
    np.testing.assert_allclose((M @ x[..., None])[..., 0], b, atol=1e-11 * np.abs(b).max())
    np.testing.assert_allclose(x, np.linalg.solve(M, b[..., None])[..., 0], rtol=1e-8, atol=1e-9)
    assert products < 60
    with pytest.raises(PlanningError, match="iterative solve stopped"):
        bicgstab(lambda y: (M @ y[..., None])[..., 0], np.nan * b)


@pytest.mark.parametrize("seed", range(4))
def test_uniform_right_sides(seed: int) -> None:
    """A uniform start is an eigenvector of what the shadow residual sees; the occupancy is found all the same, in few products."""
    mdp = garnet(2000, seed=seed)
    kernel = system(mdp.kernel.markov_chain(np.full((2000, 1, 4), 0.25)), 0.99)
    solver = Krylov(kernel)
    occupancy = solver.solve_transposed(mdp.initial)
    assert occupancy.sum() == pytest.approx(100)
    np.testing.assert_allclose(kernel.rmatvec(occupancy), mdp.initial, atol=1e-15)
    assert 0 < solver.products < 120


@pytest.mark.parametrize("discount", [0.99, 0.99999])
def test_small_deficits_and_long_horizons(discount: float) -> None:
    """Rows that nearly sum to 1 are not taken for rows that do, in either precision; near a discount of 1 rounding is not waited for."""
    full, ended = garnet(500, discount=discount), garnet(500, discount=discount)
    ended = replace(ended, transition=ended.transition.map(lambda p: p * (1 - 1e-4)))
    for mdp in (full, ended):
        exact = soft_policy_iteration(replace(mdp, transition=mdp.transition.dense()), 0.1)
        listed = soft_policy_iteration(mdp, 0.1)
        assert np.abs(listed.values - exact.values).max() <= listed.bound + exact.bound
    if discount > 0.99:
        return  # which sweeps do not reach
    problem = decision_problem(ended.map(torch.tensor), torch.tensor(ended.follower_reward))
    for dtype in (torch.float64, torch.float32):
        found = sweeps.sweep_problems(problem, discount, 0.1, tolerance=1e-3, dtype=dtype)
        error = np.abs(found.values.double().numpy() - soft_policy_iteration(ended, 0.1).values).max()
        assert error <= float(found.bound) + 4 * attainable_bound(found.values, discount)


def test_iterative_solves_at_their_edges() -> None:
    """Tiny and broken right sides, chains that BiCGSTAB gives up on (batched, too), and derivatives that there are not."""
    mdp = garnet(600)
    even = np.full((600, 1, 4), 0.25)
    kernel = mdp.kernel.markov_chain(even)
    solver, b = Krylov(system(kernel, 0.99)), np.random.default_rng(0).normal(size=600)
    np.testing.assert_allclose(solver.solve(1e-170 * b), 1e-170 * solver.solve(b), rtol=1e-9)
    assert (solver.solve(0 * b) == 0).all()
    with pytest.raises(PlanningError, match="tables finite"):
        solver.solve(np.where(np.arange(600) == 3, np.nan, b))
    street = SuccessorLists(np.minimum(np.arange(2000) + 1, 1999)[:, None, None, None], np.ones((2000, 1, 1, 1)))
    one_way = Krylov(system(street.markov_chain(np.ones((2000, 1, 1))), 0.999))
    values = one_way.solve(np.stack([np.arange(2000.0), np.ones(2000)]))
    np.testing.assert_allclose(values[1], 1000.0, rtol=1e-9)
    p = torch.tensor(mdp.transition.probabilities, requires_grad=True)
    world = replace(mdp.map(torch.tensor), transition=SuccessorLists(mdp.transition.successors, p))
    value = policy_value(world, torch.tensor(even), world.leader_reward, 0.99).sum()
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(value, p, create_graph=True)
    with torch.autograd.forward_ad.dual_level():
        v = torch.autograd.forward_ad.make_dual(torch.ones(600, dtype=torch.float64), torch.ones(600, dtype=torch.float64))
        ahead = mdp.map(torch.tensor).kernel.expect(v)
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(ahead).tangent, torch.ones_like(ahead))


def test_single_precision_ends_episodes() -> None:
    """A deficit of .002 is no rounding, however many states there are."""
    table = np.zeros((20_000, 1, 1, 2), dtype=int)
    p = np.full((20_000, 1, 1, 2), 0.499, dtype=np.float32)
    _, cumulated, _ = SuccessorLists(table, p).cumulative_successors()
    np.testing.assert_allclose(cumulated[:, -1], 0.998, rtol=1e-6)


def problem_of(mdp: InducedMDP, batch: int, dtype: Any = torch.float64) -> DecisionProblem:
    """In torch, with a batch of rewards."""
    problem = decision_problem(mdp.map(torch.tensor), torch.tensor(mdp.follower_reward))
    noise = torch.tensor(np.random.default_rng(5).normal(size=(batch, *problem.reward.shape)))
    return replace(problem, reward=problem.reward + 0.1 * noise).map(lambda table: table.to(dtype))


def acting(states: int, follower_sees: str) -> InducedMDP:
    """A leader who acts, so that nodes (or lists) are as many as its actions."""
    game = se.game(
        "random_markov_game-v0", states=states, leader_actions=2, follower_actions=2, follower_sees=follower_sees, layout="lists"
    )
    return game.problems(np.zeros(game.dimension))[0]


WORLDS: dict[str, Callable[[], InducedMDP]] = {
    "lists of their own": lambda: garnet(37, actions=2, branching=2, discount=0.9),
    "shared lists, an end": lambda: grid(5, discount=0.95),
    "two nodes": lambda: acting(11, "action"),
    "one node, long lists": lambda: acting(11, "policy"),
}


@pytest.mark.parametrize("world", WORLDS)
def test_in_both_precisions(world: str) -> None:
    """Within the certified bounds, and what rounding adds to them; from a warm start at once."""
    mdp = WORLDS[world]()
    problem, gamma = problem_of(mdp, 3), mdp.follower_discount
    reference = soft_value_iteration(problem, gamma, 0.1, tolerance=1e-9)
    for dtype, least in ((torch.float64, 1e-8), (torch.float32, 1e-2)):
        agrees(sweeps.sweep_problems(problem, gamma, 0.1, tolerance=1e-8, dtype=dtype), reference, gamma, dtype, least)
    assert sweeps.sweep_problems(problem, gamma, 0.1, tolerance=1e-8, values=reference.values).sweeps == 1


@pytest.mark.parametrize("world", ["shared lists, an end", "two nodes"])
def test_compiled(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch.compile, in chunks of two sweeps here, which compile four times as fast: the same values."""
    monkeypatch.setattr(sweeps, "CHUNK", 2)
    sweeps.chunk.cache_clear()
    mdp = WORLDS[world]()
    problem, gamma = problem_of(mdp, 3), mdp.follower_discount
    reference = soft_value_iteration(problem, gamma, 0.1, tolerance=1e-9)
    options: dict[str, Any] = {"tolerance": 1e-8, "compile": True}
    agrees(sweeps.sweep_problems(problem, gamma, 0.1, **options), reference, gamma, torch.float64, 1e-8)
    assert sweeps.sweep_problems(problem, gamma, 0.1, values=reference.values, **options).sweeps == 2
    with pytest.raises(PlanningError, match="certified to"):
        sweeps.sweep_problems(problem, gamma, 0.1, max_sweeps=1, **options)
    sweeps.chunk.cache_clear()


def agrees(found: CertifiedValues, reference: CertifiedValues, discount: float, dtype: torch.dtype, least: float) -> None:
    """Whether values are in ``dtype``, of a batch, and as near as they claim to be."""
    assert found.values.dtype == dtype
    assert found.bound.shape == found.values.shape[:-1] == reference.bound.shape
    assert float(found.bound.max()) < least
    error = (found.values - reference.values).abs().amax(-1)
    assert bool((error <= found.bound + reference.bound + rounding_error(found.values, discount)).all())


def stand_in(reward: Any, next_states: Any, probability: Any, weight: Any, values: Any, *, full: bool, **options: Any) -> Any:
    """What `solvers.kernels.triton_sweeps.sweep_many` returns, by its own description."""
    v, r = values, values
    n, b, k, s = probability.shape[1:]
    table = next_states.long().expand(n, b, k, s)
    for _ in range(options["max_sweeps"]):
        ahead = (probability * v[:, table]).sum(-2)
        q = (reward + options["discount"] * ahead) / options["temperature"]
        swept = (weight * options["temperature"] * torch.logsumexp(q, dim=-2)).sum(-2)
        r, v = swept - v, swept
        _, bound = value_interval(v, r.amin(-1), r.amax(-1), options["discount"], 0.0 if full else 1.0)
        if bool((bound <= options["tolerance"]).all()):
            break
    return v, torch.full((len(v),), 1, dtype=torch.int32), r.amin(-1), r.amax(-1)


@pytest.mark.parametrize("world", WORLDS)
def test_what_the_triton_kernel_is_given_and_gives(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the kernel's interface, whose own tests are in test_triton_sweeps.py, gets tables that have the right answer."""
    monkeypatch.setattr(sweeps, "_triton", lambda *_: stand_in)
    mdp = WORLDS[world]()
    problem = problem_of(mdp, 3)
    found = sweeps.sweep_problems(problem, mdp.follower_discount, 0.1, tolerance=1e-8)
    reference = soft_value_iteration(problem, mdp.follower_discount, 0.1, tolerance=1e-9)
    torch.testing.assert_close(found.values, reference.values, atol=1e-7, rtol=0)


@pytest.mark.parametrize("id", ["four_rooms-v0", "random_markov_game-v0"])
def test_sweeps_first_then_newton(id: str) -> None:
    """Float32 sweeps and one or two float64 Newton steps come to the same response, batched too, and to the same ascent."""
    game = se.game(id)
    tau = 0.05
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, game.dimension)))
    (mdp,) = game.problems(x)
    newton, swept = soft_response(mdp, tau), soft_response(mdp, tau, inner="sweeps")
    torch.testing.assert_close(swept.values, newton.values, atol=1e-9, rtol=0)
    assert swept.evaluations <= 3 < newton.evaluations
    runs = [solvers.solve(game, "implicit", budget=5, follower=se.Soft(tau), inner=inner, seed=3) for inner in ("newton", "sweeps")]
    np.testing.assert_allclose(runs[0].x, runs[1].x, atol=1e-8)
    with pytest.raises(ValueError, match="did you mean 'sweeps'"):
        solvers.solve(game, "implicit", budget=1, inner="sweep")


def test_what_sweeps_refuse() -> None:
    mdp = garnet(20, discount=0.9)
    problem = decision_problem(mdp, mdp.follower_reward)
    with pytest.raises(ValueError, match="discount in"):
        soft_value_iteration(problem, 1.0, 0.1)
    with pytest.raises(ValueError, match="temperature"):
        soft_value_iteration(problem, 0.9, 0.0)
    with pytest.raises(PlanningError, match="after at most 3 sweeps"):
        soft_value_iteration(problem, 0.9, 0.1, max_sweeps=3)
    with pytest.raises(PlanningError, match="are the tables finite"):
        soft_value_iteration(DecisionProblem(problem.weight, np.nan * problem.reward, problem.transition), 0.9, 0.1)
