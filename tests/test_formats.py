"""Games from tables that people have: every layout is the same game, mistakes are named, solvers and views take the result."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse
from small_tables import Table, as_table, world

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.game import Layout
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.processes.successors import Successors
from stackelberg_envs.testing import check_env, check_game
from stackelberg_envs.views.aec import StackelbergAEC
from stackelberg_envs.views.parallel import StackelbergParallel

SIZES = st.tuples(st.integers(2, 5), st.integers(1, 3))


def table_values(table: Table, discount: float, temperature: float, sweeps: int = 10_000) -> list[float]:
    """Value iteration on a table of Gymnasium's, as a textbook has it: the independent computation."""
    values = [0.0] * len(table)
    for _ in range(sweeps):
        last = values
        q = {
            s: [sum(p * (r + discount * (0 if ends else last[t])) for p, t, r, ends in steps) for steps in actions.values()]
            for s, actions in table.items()
        }
        best = {s: max(own) for s, own in q.items()}
        values = [best[s] for s in range(len(q))]
        if temperature > 0:
            values = [best[s] + temperature * math.log(sum(math.exp((v - best[s]) / temperature) for v in q[s])) for s in range(len(q))]
        if max(abs(new - old) for new, old in zip(values, last, strict=True)) < 1e-12:
            break
    return values


NOTHING = -800.0
"""A component at which softplus is 0 to the last digit: the leader pays nothing."""


def unpaid(game: se.StackelbergGame) -> np.ndarray:
    return np.full(game.dimension, NOTHING)


# The same game


def test_the_tables_of_a_game_give_that_game() -> None:
    original = se.game("random_markov_game-v0", states=4)
    mdp = original.problems(np.zeros(original.dimension))[0]
    tables = mdp.kernel.dense(), mdp.follower_reward, mdp.leader_reward
    rebuilt = se.from_arrays(*tables, follower_discount=0.9, follower_sees="policy", follower=original.default_follower)
    assert rebuilt.dimension == original.dimension
    for x in np.random.default_rng(0).normal(size=(3, original.dimension)):
        for follower in (se.Soft(0.05), se.Hard("weak")):
            one, other = (se.evaluate(game, x, follower=follower) for game in (original, rebuilt))
            np.testing.assert_allclose(other.leader_return, one.leader_return, rtol=0, atol=1e-12)
            np.testing.assert_allclose(other.follower_values, one.follower_values, rtol=0, atol=1e-12)


@given(st.integers(0, 10_000), SIZES)
@settings(deadline=None, max_examples=25)
def test_every_layout_is_the_same_game(seed: int, sizes: tuple[int, int]) -> None:
    """Dense, sparse one by one and stacked, lists, shared rows, and Gymnasium's table: rewards, kernels and scores agree."""
    s, b = sizes
    rest = world(seed, s, b)
    transition, follower, leader = (rest.pop(name) for name in ("transition", "follower_reward", "leader_reward"))
    matrices = [[sparse.csr_matrix(table[:, action]) for action in range(b)] for table in (transition, follower, leader)]
    stacked = [sparse.coo_array(table.reshape(s * b, s)) for table in (transition, follower, leader)]
    backwards = se.SharedRows(transition[:, None, ::-1], np.arange(b)[::-1].copy())
    games = [
        se.from_arrays(transition, follower, leader, **rest),
        se.from_arrays(transition[:, None], follower[:, None], leader, **rest),
        se.from_arrays(*matrices, **rest),
        se.from_arrays(*stacked, **rest),
        se.from_arrays(se.SuccessorLists.of(transition[:, None]), follower, matrices[2], **rest),
        se.from_arrays(backwards, matrices[1], leader, **rest),
    ]
    table = as_table(transition, follower, rest.pop("terminal"))
    start = np.append(np.full(s - 1, 1 / (s - 1)), 0.0)
    expected = [[sum(transition[i, j, k] * leader[i, j, k] for k in range(s)) for j in range(b)] for i in range(s)]
    games.append(se.from_gymnasium(table, expected, initial=start, **rest))
    x = np.random.default_rng(seed).normal(size=games[0].dimension)
    (first,), score = games[0].problems(x), se.evaluate(games[0], x)
    for game in games[1:]:
        (mdp,), same = game.problems(x), se.evaluate(game, x)
        np.testing.assert_allclose(mdp.kernel.dense(), first.transition, atol=1e-12)
        np.testing.assert_allclose(mdp.follower_reward, first.follower_reward, atol=1e-12)
        np.testing.assert_allclose(same.leader_return, score.leader_return, atol=1e-9)
        np.testing.assert_allclose(same.follower_values, score.follower_values, atol=1e-9)
    at_rest = se.evaluate(games[0], unpaid(games[0]), follower=se.Soft(0.1))
    np.testing.assert_allclose(at_rest.follower_values[0, 0], np.dot(start, table_values(table, 0.9, 0.1)), atol=1e-8)


@pytest.mark.parametrize(("id", "discount"), [("FrozenLake-v1", 0.99), ("CliffWalking-v1", 0.99), ("Taxi-v4", 0.8)])
@pytest.mark.parametrize("follower", [se.Hard(), se.Soft(0.1)], ids=str)
def test_values_of_gymnasium_tables(id: str, discount: float, follower: se.Follower) -> None:
    env = gymnasium.make(id)
    table, start = env.unwrapped.P, env.unwrapped.initial_state_distrib  # type: ignore[attr-defined]
    game = se.from_gymnasium(env, 0, follower_discount=discount, instrument=se.Penalties(), follower=follower)
    assert isinstance(game.problems(unpaid(game))[0].transition, se.SuccessorLists) == (len(table) > 400)
    scored = se.evaluate(game, unpaid(game))
    values = table_values(table, discount, follower.temperature)
    np.testing.assert_allclose(scored.follower_values[0, 0], np.dot(start, values), atol=1e-8)


def test_the_frozen_lake_reaches_its_goal_14_times_in_17() -> None:
    """The best undiscounted probability is published, 14/17: by value iteration, and by the leader's share of a game."""
    env = gymnasium.make("FrozenLake-v1", map_name="4x4")
    assert table_values(env.unwrapped.P, 1.0, 0.0)[0] == pytest.approx(14 / 17, abs=1e-9)  # type: ignore[attr-defined]
    arrives = np.zeros((16, 4, 16))
    arrives[:, :, 15] = 1.0  # by a step that ends the episode
    game = se.from_gymnasium(env, arrives, follower_discount=0.99, instrument=se.Subsidies(), follower=se.Hard())
    assert (game.name, game.max_cycles) == ("FrozenLake", 100)
    assert se.evaluate(game, unpaid(game), leader_discount=1.0).leader_return == pytest.approx(14 / 17, abs=1e-12)


def test_contexts() -> None:
    """F is the mean over contexts of what each is worth as a game of its own; a table that they share is kept once."""
    common = world(3)
    changes = {"calm": {}, "storm": {"leader_reward": world(5)["leader_reward"], "terminal": []}, "dusk": {"initial": 1}}
    game = se.from_arrays(**common, contexts=changes, context_probabilities=[0.5, 0.3, 0.2], context_visibility="before")
    x = np.random.default_rng(1).normal(size=game.commitment_shape)
    alone = [se.evaluate(se.from_arrays(**{**common, **tables}), x[i]) for i, tables in enumerate(changes.values())]
    scored = se.evaluate(game, x)
    np.testing.assert_allclose(scored.per_context, [score.leader_return for score in alone], atol=1e-12)
    np.testing.assert_allclose(scored.leader_return, np.dot([0.5, 0.3, 0.2], scored.per_context), atol=1e-12)
    calm, storm, dusk = (game.problems(x[0], name)[0].transition for name in changes)
    assert calm is dusk
    assert calm is not storm
    check_game(game)


# What the leader sets


@given(st.integers(0, 10_000), st.booleans(), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=25)
def test_payments(seed: int, pairs: bool, budget: bool, penalties: bool) -> None:
    """What the follower gets, entry by entry, and what the leader pays for it, by the formulas of the docstring."""
    rng = np.random.default_rng(seed)
    mask = rng.random((4, 3) if pairs else 4) < 0.5
    assume(mask.any())
    kind, sign = (se.Penalties, -1) if penalties else (se.Subsidies, 1)
    as_list = [tuple(place) if pairs else int(place[0]) for place in np.argwhere(mask)]
    arguments = {"budget": 0.7} if budget else {"scale": 2.0}
    games = [se.from_arrays(**{**world(seed), "instrument": kind(where, price=0.3, **arguments)}) for where in (mask, as_list)]
    x = rng.normal(size=games[0].dimension)
    weights = [math.exp(v) for v in x]
    y = [0.7 * w / sum(weights) for w in weights[:-1]] if budget else [2.0 * math.log1p(w) for w in weights]
    paid = np.zeros((4, 1, 3))
    for place, payment in zip(np.argwhere(mask), y, strict=True):
        paid[place[0], 0, place[1] if pairs else slice(None)] = payment
    for game in games:
        (mdp,), (plain,) = game.problems(x), se.from_arrays(**world(seed)).problems(np.full(12, NOTHING))
        np.testing.assert_allclose(mdp.follower_reward - plain.follower_reward, sign * paid, atol=1e-12)
        np.testing.assert_allclose(mdp.leader_reward - plain.leader_reward, -0.3 * paid, atol=1e-12)
        np.testing.assert_allclose(game.instruments(x)[kind.__name__.lower()], y, atol=1e-12)
        np.testing.assert_allclose(game.shading(x), paid.sum((1, 2)) if pairs else paid[:, 0, 0], atol=1e-12)


INSTRUMENTS = {
    "all pairs": se.Subsidies("pairs"),
    "some pairs, a budget": se.Subsidies([(0, 1), (2, 0)], price=0.5, budget=1.0),
    "states": se.Penalties("states", scale=0.5),
    "a tax": se.Penalties([0, 2], price=-1.0, budget=0.3),
}


@pytest.mark.parametrize("instrument", INSTRUMENTS.values(), ids=INSTRUMENTS)
@pytest.mark.parametrize("lists", [False, True], ids=["dense", "lists"])
def test_the_hypergradient_matches_central_differences(instrument: Any, lists: bool) -> None:
    given_ = {**world(11), "instrument": instrument, "follower": se.Soft(0.3)}
    if lists:
        given_["transition"] = [sparse.csr_array(given_["transition"][:, b]) for b in range(3)]
    game = se.from_arrays(**given_)
    x = np.random.default_rng(2).normal(size=game.dimension)
    gradient = exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()
    steps = 1e-5 * np.eye(game.dimension)
    differences = (se.evaluate(game, x + steps).leader_return - se.evaluate(game, x - steps).leader_return) / 2e-5
    np.testing.assert_allclose(gradient, differences, atol=1e-7)
    assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize(
    ("solver", "arguments"),
    [
        ("implicit", {}),
        ("hpgd", {"episodes": 20}),
        ("bchg", {"level": "policy"}),
        ("sobirl", {}),
        ("zeroth_order", {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("sparse_too", [False, True], ids=["dense", "lists"])
def test_solvers_of_designs(solver: str, arguments: dict[str, Any], sparse_too: bool) -> None:
    rows = world(1)
    if sparse_too:
        rows["transition"] = sparse.csr_array(rows["transition"].reshape(12, 4))
    game = se.from_arrays(**rows)
    solution = solvers.solve(game, solver, budget=4, **arguments)
    assert solution.cost.commitments == 4
    assert solution.leader_return == pytest.approx(float(se.evaluate(game, solution.x).leader_return), abs=1e-9)


@pytest.mark.parametrize("solver", ["implicit", "bchg", "zeroth_order"])
def test_solvers_of_leaders_that_act(solver: str) -> None:
    rng = np.random.default_rng(0)
    tables = rng.dirichlet(np.ones(3), size=(3, 2, 2)), rng.random((3, 2, 2)), rng.random((3, 2, 2))
    game = se.from_arrays(*tables, follower_discount=0.8, follower=se.Soft(0.2))
    assert solvers.solve(game, solver, budget=2).cost.commitments == 2


def test_more_is_paid_where_it_is_worth_it() -> None:
    """A journey: an operator who will not repair, an owner who pays for it; the solver comes within 1% of a search over a grid."""
    wear = [[[0.7, 0.3, 0.0], [1, 0, 0]], [[0, 0.6, 0.4], [1, 0, 0]], [[0, 0, 1], [1, 0, 0]]]  # states new, worn, broken; run, repair
    effort, output = [[0, -0.5]] * 3, [[1, 0], [0.6, 0], [0, 0]]
    game = se.from_arrays(wear, effort, output, follower_discount=0.9, instrument=se.Subsidies([(1, 1), (2, 1)]), initial=0)
    grid = np.stack(np.meshgrid(*[np.linspace(-4, 2, 25)] * 2), axis=-1).reshape(-1, 2)
    best = float(se.evaluate(game, grid).leader_return.max())
    solution = solvers.solve(game, "implicit", budget=100, optimiser="adam", lr=0.1)
    assert solution.leader_return >= best - 0.01 * abs(best)
    assert solution.leader_return > se.evaluate(game, unpaid(game)).leader_return + 1


# The contract of games


def acting() -> se.StackelbergGame:
    rng = np.random.default_rng(0)
    return se.from_arrays(0.9 * rng.dirichlet(np.ones(3), size=(3, 2, 2)), rng.random((3, 2, 2)), rng.random(3), follower_discount=1.0)


def backwards() -> se.StackelbergGame:
    """Lists whose states do not ascend, which the kit would refuse."""
    lists = se.SuccessorLists.of(world(0)["transition"][:, None])
    turned = se.SuccessorLists(Successors(lists.successors.table[..., ::-1]), lists.probabilities[..., ::-1])
    return se.from_arrays(**{**world(0), "transition": turned})


BUILT: dict[str, Callable[[], se.StackelbergGame]] = {
    "subsidies": lambda: se.from_arrays(**world(0)),
    "budget": lambda: se.from_arrays(
        **{**world(0), "instrument": se.Penalties(budget=0.5), "layout": Layout(("....",), tuple((0, i) for i in range(4)))}
    ),
    "lists": lambda: se.from_arrays(**{**world(0), "transition": sparse.csr_array(world(0)["transition"].reshape(12, 4))}),
    "lists, backwards": backwards,
    "acting": acting,
    "frozen lake": lambda: se.from_gymnasium(gymnasium.make("FrozenLake-v1"), 1, follower_discount=0.9, instrument=se.Subsidies(scale=0.1)),
}


@pytest.mark.parametrize("build", BUILT.values(), ids=BUILT)
def test_contract(build: Callable[[], se.StackelbergGame]) -> None:
    game = build()
    assert "torch agrees and differentiates" in check_game(game).passed
    x = np.random.default_rng(0).normal(size=game.dimension)
    for twin in (copy.deepcopy(game), pickle.loads(pickle.dumps(game))):
        assert se.evaluate(twin, x).leader_return == se.evaluate(game, x).leader_return


@pytest.mark.parametrize("build", [BUILT["budget"], BUILT["acting"]], ids=["design", "acting"])
def test_views(build: Callable[[], se.StackelbergGame]) -> None:
    check_env(StackelbergAEC(build(), render_mode="ansi"), kernel_steps=500)
    check_env(StackelbergParallel(build()), kernel_steps=500)


def test_a_game_keeps_copies_of_what_it_is_given() -> None:
    rng = np.random.default_rng(0)
    tables = rng.dirichlet(np.ones(4), size=(4, 3)), rng.random((4, 3)), rng.random(4), np.full(4, 0.25)
    game, again = (
        se.from_arrays(*given[:3], initial=given[3], follower_discount=0.9, instrument=se.Subsidies())
        for given in (tables, copy.deepcopy(tables))
    )
    for table in tables:
        table[:] = np.nan
    assert se.evaluate(game, np.zeros(12)).leader_return == se.evaluate(again, np.zeros(12)).leader_return


def test_the_end() -> None:
    """A walk of three steps costs 1 each and nothing afterwards; one who may leave for 5, or stay for -1, leaves, without a discount."""
    walk = np.eye(4)[[[1], [2], [3], [3]]]
    game = se.from_arrays(walk, -1, 0, initial=0, terminal=[3], follower_discount=1, instrument=se.Subsidies())
    assert se.evaluate(game, unpaid(game)).follower_returns[0] == pytest.approx(-3, abs=1e-12)
    door = se.from_arrays([[[1.0], [0.0]]], [[-1, 5]], 0, follower_discount=1, instrument=se.Subsidies(), follower=se.Hard())
    assert se.evaluate(door, unpaid(door)).follower_returns[0] == pytest.approx(5, abs=1e-12)


def test_other_kinds_of_numbers() -> None:
    """Whole numbers, float32 and torch's are read; a row of float32 that sums to 1 up to rounding ends no episode."""
    certain = np.eye(3, dtype=np.int64)[[[0, 1], [1, 2], [2, 0]]]
    game = se.from_arrays(certain, [0, 1, 2], True, follower_discount=0.9, instrument=se.Subsidies())
    assert game.problems(np.zeros(6))[0].transition.dtype == np.float64
    rows = np.random.default_rng(0).dirichlet(np.ones(50), size=(50, 2)).astype(np.float32)
    assert not np.array_equal(rows.astype(np.float64).sum(-1), np.ones((50, 2)))
    for kind in (np.asarray, torch.as_tensor, lambda table: [sparse.csr_array(table[:, b]) for b in range(2)]):
        game = se.from_arrays(kind(rows), kind(rows), 0, follower_discount=0.9, instrument=se.Subsidies())
        np.testing.assert_allclose(game.problems(np.zeros(100))[0].kernel.dense().sum(-1), 1.0, rtol=0, atol=1e-14)


def test_a_ring_of_10000_states() -> None:
    """Never made dense, which would take 1.6 GB; the value at rest is a geometric series."""
    n = 10_000
    ring = [sparse.csr_array(sparse.eye_array(n, k=k) + sparse.eye_array(n, k=k - np.sign(k) * n)) for k in (1, -1)]
    game = se.from_arrays(ring, np.eye(1, n)[0], 1, follower_discount=0.5, instrument=se.Penalties(), follower=se.Hard(), initial=3)
    assert game.problems(unpaid(game))[0].transition.probabilities.shape == (n, 1, 2, 1)
    scored = se.evaluate(game, unpaid(game))
    assert scored.leader_return == pytest.approx(2.0, abs=1e-9)
    assert scored.follower_returns[0] == pytest.approx(0.5**3 / (1 - 0.5**2), abs=1e-9)  # there in three steps, then back and forth


def test_a_deadline_from_tables() -> None:
    """Undiscounted, and no step ends the episode: with a deadline of T steps a reward of 1 a step is worth T; without, it is refused."""
    arguments = {"follower_discount": 1.0, "instrument": se.Subsidies(), "initial": 0, "follower": se.Hard()}
    for steps in (1, 7):
        game = se.from_arrays(np.ones((1, 2, 1)), np.array([[1.0, 0.5]]), 0.0, deadline=steps, **arguments)
        found = se.evaluate(game, np.full(game.dimension, -30.0))  # which subsidises nothing
        assert found.follower_values[0, 0] == pytest.approx(steps)
        assert game.max_cycles == steps
    with pytest.raises(ValueError, match="no actions ever lead to the end"):
        se.from_arrays(np.ones((1, 2, 1)), np.array([[1.0, 0.5]]), 0.0, **arguments)
