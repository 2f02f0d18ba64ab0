"""Files that people have, read, checked, solved, and compared with what the same numbers come to when they are worked out here.

The samples are the suite's own; each is read from a text below, and its world is written down once more beside it, as a textbook would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nashpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

import stackelberg_envs as se
from solvers import solve
from stackelberg_envs.formats import world_tables
from stackelberg_envs.testing import check_game

World = dict[str, dict[str, tuple[float, dict[str, float]]]]
"""For each state and action, the expected reward and the next states; a state that is not a key is the end."""
NOTHING = -800.0
"""A component at which softplus is 0 to the last digit: the leader pays nothing."""


def values(world: World, discount: float, temperature: float, paid: dict[tuple[str, str], float] | None = None) -> dict[str, float]:
    """Value iteration, state by state: hard for a temperature of 0, else soft."""
    v = dict.fromkeys(world, 0.0)
    for _ in range(3000):
        q = action_values(world, discount, v, paid or {})
        new = {
            s: max(q[s].values()) if temperature == 0 else temperature * np.logaddexp.reduce([x / temperature for x in q[s].values()])
            for s in world
        }
        change, v = max(abs(new[s] - v[s]) for s in world), new
        if change < 1e-13:
            break
    return v


def action_values(world: World, discount: float, v: dict[str, float], paid: dict[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    return {
        s: {b: r + paid.get((s, b), 0.0) + discount * sum(p * v.get(t, 0.0) for t, p in after.items()) for b, (r, after) in actions.items()}
        for s, actions in world.items()
    }


def leader_return(
    world: World,
    start: dict[str, float],
    discount: float,
    temperature: float,
    paid: dict[tuple[str, str], float],
    wanted: dict[tuple[str, str], float],
) -> float:
    """What a leader gets by ``wanted`` less ``paid``, from a follower that answers softly: one linear system."""
    v = values(world, discount, temperature, paid)
    q = action_values(world, discount, v, paid)
    names = list(world)
    chain, reward = np.zeros((len(names), len(names))), np.zeros(len(names))
    for i, s in enumerate(names):
        for b, x in q[s].items():
            chance = np.exp((x - v[s]) / temperature)
            reward[i] += chance * (wanted.get((s, b), 0.0) - paid.get((s, b), 0.0))
            for t, p in world[s][b][1].items():
                if t in names:
                    chain[i, names.index(t)] += chance * p
    solved = np.linalg.solve(np.eye(len(names)) - discount * chain, reward)
    return sum(p * solved[names.index(s)] for s, p in start.items())


def agrees(game: se.StackelbergGame, world: World, start: dict[str, float], discount: float) -> None:
    """The conformance kit passes, and followers of both kinds expect what value iteration says."""
    check_game(game)
    for temperature, follower in ((0.0, se.Hard()), (0.3, se.Soft(0.3))):
        scored = se.evaluate(game, np.full(game.dimension, NOTHING), follower=follower)
        v = values(world, discount, temperature)
        assert scored.follower_values[0, 0] == pytest.approx(sum(p * v[s] for s, p in start.items()), abs=1e-8)


def leads_best(
    game: se.StackelbergGame,
    world: World,
    start: dict[str, float],
    discount: float,
    place: tuple[str, str],
    wanted: dict[tuple[str, str], float],
) -> None:
    """The payment that a gradient method finds at one place is the best of a line search on the textbook's value."""
    best = minimize_scalar(
        lambda y: -leader_return(world, start, discount, 0.3, {place: y}, wanted), bounds=(0, 5), options={"xatol": 1e-8}
    )
    found = solve(game, "implicit", follower=se.Soft(0.3), budget=50, optimiser="adam", lr=0.3)
    assert found.leader_return == pytest.approx(-best.fun, abs=1e-4)
    assert next(iter(game.instruments(found.x).values())) == pytest.approx(best.x, abs=0.05)  # type: ignore[attr-defined]


# PRISM

PRISM = {
    "tra": """\
4 6 8
0 0 0 0.3 slow
0 0 1 0.7 slow
0 1 2 1 fast
1 0 3 1 finish
2 0 0 0.4 finish
2 0 3 0.6 finish
2 1 1 1 back
3 0 3 1
""",
    "srew": '# Reward structure: "time"\n# State rewards\n4 3\n0 1\n1 0.5\n3 9\n',
    "trew": "4 6 3\n0 1 2 1.5\n2 0 0 2\n2 1 1 0.25\n",
    "sta": "(x,y)\n0:(0,0)\n1:(0,1)\n2:(1,0)\n3:(1,1)\n",
    "lab": '0="init" 1="deadlock" 2="done"\n0: 0\n3: 2\n',
}
PRISM_WORLD: World = {
    "0": {"slow": (-1.0, {"0": 0.3, "1": 0.7}), "fast": (-2.5, {"2": 1.0})},
    "1": {"finish": (-0.5, {"3": 1.0})},
    "2": {"finish": (-0.8, {"0": 0.4, "3": 0.6}), "back": (-0.25, {"1": 1.0})},
}


def prism(folder: Path, texts: dict[str, str] = PRISM, **arguments: Any) -> se.WorldTables:
    for end, text in texts.items():
        (folder / f"model.{end}").write_text(text)
    beside = {end: folder / f"model.{end}" for end in texts if end != "tra"}
    return se.read_prism(folder / "model.tra", **{**beside, **arguments})


def test_prism(tmp_path: Path) -> None:
    tables = prism(tmp_path, terminal="done", costs=True)
    assert tables.states == ("x=0,y=0", "x=0,y=1", "x=1,y=0", "x=1,y=1")
    assert tables.pairs(action="finish") == [(1, 0), (2, 0)]
    assert tables.pairs("x=1,y=0") == [(2, 0), (2, 1)]
    np.testing.assert_array_equal(tables.available, [[1, 1], [1, 0], [1, 1], [1, 0]])
    game = tables.game([0, 0, 1, 0], follower_discount=1.0, instrument=se.Subsidies(tables.pairs(action="fast")))
    agrees(game, PRISM_WORLD, {"0": 1.0}, 1.0)
    wanted = {("2", "finish"): 3.0, ("2", "back"): 3.0}
    game = tables.game([0, 0, 3, 0], follower_discount=1.0, instrument=se.Subsidies(tables.pairs(action="fast")))
    leads_best(game, PRISM_WORLD, {"0": 1.0}, 1.0, ("0", "fast"), wanted)


def test_prism_by_itself(tmp_path: Path) -> None:
    """Transitions are enough: rewards are 0, names are numbers, episodes begin in state 0, and 3 is named as it is."""
    tables = prism(tmp_path, {"tra": PRISM["tra"]}, terminal=["3"])
    assert tables.initial is not None
    assert tables.states == ("0", "1", "2", "3")
    assert (tables.initial[0], tables.follower_reward.any()) == (1.0, False)
    assert tables.game(0, follower_discount=0.9, instrument=se.Subsidies()).dimension == 5  # nobody is paid for what it cannot do


def test_printed_probabilities(tmp_path: Path) -> None:
    """Thirds that are printed with six digits are refused, and on request divided by their sum, which a warning says."""
    tra = "2 2 4\n0 0 0 0.333333\n0 0 1 0.333333\n0 0 1 0.333333\n1 0 1 1\n"
    with pytest.raises(
        ValueError, match=re.escape("model.tra, line 2: choice 0 of state 0 sums to 0.999999, and not to 1; normalise=True")
    ):
        prism(tmp_path, {"tra": tra})
    with pytest.warns(UserWarning, match="1 rows whose sums differ from 1, by up to 1e-06, were normalised"):
        tables = prism(tmp_path, {"tra": tra}, normalise=True)
    np.testing.assert_allclose(tables.transition[0, 0, 0], [1 / 3, 2 / 3], rtol=1e-15)
    rows, start = np.full((2, 1, 2), 0.5000015), [0.50001, 0.5]
    with pytest.warns(UserWarning, match="were normalised"):
        game = se.from_arrays(rows, 0, 0, initial=start, follower_discount=0.9, instrument=se.Subsidies(), normalise=True)
    (mdp,) = game.problems(np.zeros(2))
    np.testing.assert_allclose(mdp.transition.sum(-1), 1, rtol=1e-15)
    np.testing.assert_allclose(mdp.initial, np.array(start) / 1.00001, rtol=1e-12)


def test_a_large_model_is_never_dense(tmp_path: Path) -> None:
    """A corridor of 3,000 states, there and back again: lists, and the value of always walking on."""
    n = 3000
    steps = [
        f"{s} {k} {t} 1 {name}" for s in range(n - 1) for k, (t, name) in enumerate([(s + 1, "on"), *([(s - 1, "back")] if s else [])])
    ]
    tra = "\n".join([f"{n} {len(steps) + 1} {len(steps) + 1}", *steps, f"{n - 1} 0 {n - 1} 1"])
    srew = "\n".join([f"{n} {n - 1}", *(f"{s} 1" for s in range(n - 1))])
    tables = prism(tmp_path, {"tra": tra, "srew": srew}, terminal=[n - 1], costs=True)
    assert isinstance(tables.transition, se.SuccessorLists)
    game = tables.game(
        0, follower_discount=0.99, initial=n - 101, instrument=se.Penalties(tables.pairs(n - 2, "on")), follower=se.Soft(1e-3)
    )
    score = se.evaluate(game, np.full(1, NOTHING)).follower_values[0, 0]
    assert score == pytest.approx(-(1 - 0.99**100) / 0.01, abs=0.05)


# Cassandra

CASSANDRA = """\
# A machine that wears: run it, or repair it; a sensor reads it after either.
discount: 0.8
values: cost
states: new worn broken
actions: run repair
observations: 2
start: 0.5 0.5 0.0

T: run
0.6 0.4 0.0
0.0 0.7 0.3
0.0 0.0 1.0
T: repair : * : new 1      # and worse, in one case
T: repair : broken
0.9 0.0 0.1
O: *
uniform
O : run : broken : 0 0.25
O:run:broken:1 0.75
R: run : * : * : * 1
R: run : broken : * : 1 5
R: run : worn : broken
2 4
R: repair : * : * : * 2.5
"""
CASSANDRA_WORLD: World = {
    "new": {"run": (-1.0, {"new": 0.6, "worn": 0.4}), "repair": (-2.5, {"new": 1.0})},
    "worn": {"run": (-(0.7 * 1 + 0.3 * (0.25 * 2 + 0.75 * 4)), {"worn": 0.7, "broken": 0.3}), "repair": (-2.5, {"new": 1.0})},
    "broken": {"run": (-(0.25 * 1 + 0.75 * 5), {"broken": 1.0}), "repair": (-2.5, {"new": 0.9, "broken": 0.1})},
}


def cassandra(folder: Path, text: str = CASSANDRA, **arguments: Any) -> se.WorldTables:
    (folder / "machine.POMDP").write_text(text)
    return se.read_cassandra(folder / "machine.POMDP", **arguments)


def test_cassandra(tmp_path: Path) -> None:
    tables, start = cassandra(tmp_path), {"new": 0.5, "worn": 0.5}
    assert (tables.states, tables.actions[2], tables.available) == (("new", "worn", "broken"), ("run", "repair"), None)
    broken = -np.eye(3)[2]
    game = tables.game(20 * broken, instrument=se.Subsidies(tables.pairs("worn", "repair")))
    agrees(game, CASSANDRA_WORLD, start, 0.8)
    leads_best(game, CASSANDRA_WORLD, start, 0.8, ("worn", "repair"), {("broken", b): -20.0 for b in ("run", "repair")})


WRITTEN_OTHERWISE = """\
values : reward discount : 0.8
actions: 2 states: 3
start include: 0 1
T:0:0:0 0.6 T:0:0:1 0.4 T:0:1:1 0.7 T:0:1:2 0.3 T:0:2:2 1.0
T: 1 identity
T: 1 : 0 uniform
T: 1 : * reset
T: 1 : 1
1 0 0
T: 1 : 0
1 0 0
T: 1 : 2 : * 0
T: 1 : 2 : 0 0.9
T: 1 : 2 : 2 0.1
R: * : * : * -2.5
R: 0 : 0
-1 -1 99
R: 0 : 1 : 1 -1
R: 0 : 1 : 2 -3.5
R: 0 : 2 : * -4
"""


def test_one_world_written_twice(tmp_path: Path) -> None:
    """By matrices, rows, entries and words, with names and with numbers, as costs and as rewards, observed and not."""
    one, other = cassandra(tmp_path), cassandra(tmp_path, WRITTEN_OTHERWISE)
    np.testing.assert_allclose(other.transition, one.transition, atol=1e-15)
    np.testing.assert_allclose(other.follower_reward, one.follower_reward, atol=1e-15)
    np.testing.assert_allclose(other.initial, one.initial)  # type: ignore[arg-type]
    assert dict(other.arguments) == dict(one.arguments)


@pytest.mark.parametrize(
    ("start", "expected"),
    [("uniform", [1 / 3] * 3), ("worn", [0, 1, 0]), ("2", [0, 0, 1]), ("0.2 0.3 0.5", [0.2, 0.3, 0.5])],
)
def test_starts(tmp_path: Path, start: str, expected: Sequence[float]) -> None:
    tables = cassandra(tmp_path, CASSANDRA.replace("start: 0.5 0.5 0.0", f"start: {start}"))
    np.testing.assert_allclose(tables.initial, expected)  # type: ignore[arg-type]
    text = CASSANDRA.replace("start: 0.5 0.5 0.0", "start exclude: broken")
    np.testing.assert_allclose(cassandra(tmp_path, text).initial, [0.5, 0.5, 0])  # type: ignore[arg-type]


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 3))
@settings(deadline=None, max_examples=20)
def test_what_was_written_is_read(seed: int, s: int, b: int) -> None:
    """Random worlds as PRISM and as Cassandra write them; in the first some actions are missing, in the second the leader's seat is."""
    rng = np.random.default_rng(seed)
    transition, reward = rng.dirichlet(np.full(s, 0.5), size=(s, b)), rng.normal(size=(s, b, s))
    mask = rng.random((s, b)) < 0.7
    mask[:, -1] |= ~mask.any(axis=1)
    steps = [(i, k, j) for i, k, j in np.ndindex(s, b, s) if mask[i, k]]
    sizes = f"{s} {mask.sum()} {len(steps)}"
    names = {"T": transition, "R": reward}
    with TemporaryDirectory() as folder:
        texts = {
            end: "\n".join([sizes, *(f"{i} {k} {j} {float(table[i, k, j])!r}" for i, k, j in steps)])
            for end, table in (("tra", names["T"]), ("trew", names["R"]))
        }
        tables = prism(Path(folder), texts)
        text = f"discount: 0.9 values: reward states: {s} actions: {b} start: uniform\n" + "\n".join(
            f"{name}: {k} : {i} : {j} {float(table[i, k, j])!r}" for name, table in names.items() for i, k, j in np.ndindex(s, b, s)
        )
        others = cassandra(Path(folder), text)
    expected = (transition * reward).sum(-1)
    np.testing.assert_allclose(others.transition[:, 0], transition, atol=1e-12)
    np.testing.assert_allclose(others.follower_reward, expected, atol=1e-12)
    used = mask.any(axis=0).nonzero()[0].max() + 1
    np.testing.assert_allclose(tables.transition[:, 0], (transition * mask[..., None])[:, :used], atol=1e-12)
    np.testing.assert_allclose(tables.follower_reward, (expected * mask)[:, :used], atol=1e-12)
    np.testing.assert_array_equal(mask[:, :used], True if tables.available is None else tables.available)


# Gambit

PAYOFFS = 'NFG 1 R "Inspection" { "Guard" "Thief" }\n{ 2 3 }\n\n0 3 -2 1  1 -1 2 1/2  0 0\n0.5 .25\n'
OUTCOMES = """\
NFG 1 R "Inspection" { "Guard" "Thief" }
{ { "left" "right" } { "steal" "hide" "leave" } }
"the same, by outcomes"
{
{ "a" 0, 3 }
{ "b" -2, 1 }
{ "c" 1, -1 }
{ "d" 2, 1/2 }
{ "e" 0.5, 0.25 }
}
1 2 3 4 0 5
"""
GUARD, THIEF = np.array([[0, 1, 0], [-2, 2, 0.5]]), np.array([[3, -1, 0], [1, 0.5, 0.25]])


def nfg(folder: Path, text: str, **arguments: Any) -> se.WorldTables:
    (folder / "inspection.nfg").write_text(text)
    return se.read_nfg(folder / "inspection.nfg", **arguments)


@pytest.mark.parametrize("text", [PAYOFFS, OUTCOMES])
def test_gambit(tmp_path: Path, text: str) -> None:
    """The value of committing, by a linear programme a follower's action in the suite, by the edges of the simplex here."""
    tables = nfg(tmp_path, text)
    np.testing.assert_array_equal(tables.leader_reward, GUARD[None])  # type: ignore[arg-type]
    np.testing.assert_array_equal(tables.follower_reward, THIEF[None])
    game = tables.game(follower=se.Hard("strong"))
    check_game(game)
    edges = {0.0, 1.0}  # where the thief changes its mind, left with probability p
    for b in range(3):
        for c in range(b):
            (at_right, at_left) = THIEF[1, b] - THIEF[1, c], THIEF[0, b] - THIEF[0, c]
            if at_right != at_left and 0 <= (p := at_right / (at_right - at_left)) <= 1:
                edges.add(float(p))
    best = -np.inf
    for p in edges:
        mixture = np.array([p, 1 - p])
        answers = mixture @ THIEF
        best = max(best, max((mixture @ GUARD)[answers >= answers.max() - 1e-12]))
    assert solve(game, "multiple_lp").leader_return == pytest.approx(best, abs=1e-7)


def test_gambit_either_way(tmp_path: Path) -> None:
    """Whoever leads in a zero-sum game gets its value, which nashpy finds; strategies are named from 1."""
    matrix = np.array([[3, -1], [-2, 1], [0, 0.25]])
    profiles = " ".join(f"{matrix[a, b]} {-matrix[a, b]}" for b in range(2) for a in range(3))
    text = f'NFG 1 R "" {{ "row" "column" }} {{ 3 2 }} "" {profiles}'
    (row, column), *_ = nashpy.Game(matrix).support_enumeration()
    value = float(row @ matrix @ column)
    for leader, sign in (("row", 1), (0, 1), ("column", -1), (1, -1)):
        tables = nfg(tmp_path, text, leader=leader)
        assert solve(tables.game(follower=se.Hard("strong")), "multiple_lp").leader_return == pytest.approx(sign * value, abs=1e-7)
    assert nfg(tmp_path, text).actions == (("1", "2"),)
    with pytest.raises(ValueError, match="leader is not 'rows'; did you mean 'row'"):
        nfg(tmp_path, text, leader="rows")


# TNTP

NET = """\
<NUMBER OF ZONES> 2
<NUMBER OF NODES> 6
<FIRST THRU NODE> 3
<NUMBER OF LINKS> 9
<ORIGINAL HEADER>~ Init node Term node Capacity Length
<END OF METADATA>


~ 	init_node	term_node	capacity	length	free_flow_time	b	power	speed	toll	link_type	;
	1	3	100	2	2	0.15	4	0	0	1	;
	3	4	50	3	1	0.15	4	0	0	1	;
	3	5	50	1	4	0.15	4	0	0	1	;
	4	5	80	1	1	1	1	0	0	1	;
	5	2	80	1	1.5	0.15	4	0	0	1	;
	4	2	80	9	5	0.15	4	0	0	1	;
	5	1	80	1	1	0.15	4	0	0	1	;
	4	3	80	1	1	0.15	4	0	0	1	;
	5	6	10	1	1	0.15	4	0	0	3
"""
TRIPS = """\
<NUMBER OF ZONES> 2
<TOTAL OD FLOW> 7.0
<END OF METADATA>

Origin  1
    1 :    0.0;    2 :    5.0;

Origin 2
    1 : 2.0 ; 2 : 0;
"""


def tntp(folder: Path, net: str = NET, trips: str | None = TRIPS) -> se.RoadNetwork:
    (folder / "town_net.tntp").write_text(net)
    if trips is not None:
        (folder / "town_trips.tntp").write_text(trips)
    return se.read_tntp(folder / "town_net.tntp", trips=None if trips is None else folder / "town_trips.tntp")


def test_tntp_shortest_paths(tmp_path: Path) -> None:
    """From each node, what scipy's shortest paths take; node 6 is a dead end, and trips pass through no centroid."""
    town = tntp(tmp_path)
    links = town.links
    through = (links["term_node"] >= 3) | (links["term_node"] == 2)
    graph = coo_array((links["free_flow_time"][through], (links["init_node"][through] - 1, links["term_node"][through] - 1)), shape=(6, 6))
    distances = shortest_path(graph.tocsr())[:, 1]
    assert distances[5] == np.inf
    for origin in (1, 3, 4, 5):
        game = town.route_choice(2, origin=origin).game(0, instrument=se.Penalties("pairs"), follower=se.Hard())
        scored = se.evaluate(game, np.full(game.dimension, NOTHING))
        assert scored.follower_values[0, 0] == pytest.approx(-distances[origin - 1], abs=1e-9)
    check_game(game)
    tables = town.route_choice(2)
    np.testing.assert_array_equal(tables.initial, np.eye(6)[0])  # all demand
    np.testing.assert_array_equal(tables.available[4], [True, False, False])  # type: ignore[index]
    np.testing.assert_array_equal(town.link_table(links["length"])[3], [1, 9, 1])
    flow = np.full(9, 40.0)
    assert town.travel_time(flow)[3] == pytest.approx(1 * (1 + 1 * 0.5))
    assert town.travel_time(flow)[1] == pytest.approx(1 + 0.15 * 0.8**4)
    with pytest.raises(ValueError, match="no road leads from node 6 to node 2"):
        town.route_choice(2, origin=6)
    with pytest.raises(ValueError, match="no trips go to node 4"):
        town.route_choice(4)


TOWN_WORLD: World = {
    "1": {"3": (-2.0, {"3": 1.0})},
    "3": {"4": (-1.0, {"4": 1.0}), "5": (-4.0, {"5": 1.0})},
    "4": {"5": (-1.0, {"5": 1.0}), "2": (-5.0, {}), "3": (-1.0, {"3": 1.0})},
    "5": {"2": (-1.5, {})},
}


def test_tntp_tolls(tmp_path: Path) -> None:
    """Recursive logit travellers, and the toll of one link that earns most."""
    tables = tntp(tmp_path).route_choice(2)
    game = tables.game(0, instrument=se.Penalties(tables.pairs("4", "5"), price=-1))
    agrees(game, TOWN_WORLD, {"1": 1.0}, 1.0)

    def revenue(toll: float) -> float:
        return leader_return(TOWN_WORLD, {"1": 1.0}, 1.0, 0.3, {("4", "5"): -toll}, {})

    best = minimize_scalar(lambda toll: -revenue(toll), bounds=(0, 5), options={"xatol": 1e-8})
    found = solve(game, "implicit", follower=se.Soft(0.3), budget=90, optimiser="adam", lr=0.3)
    assert found.leader_return == pytest.approx(-best.fun, abs=1e-4)


def test_actions_that_are_written_nowhere(tmp_path: Path) -> None:
    """Gymnasium's tables whose states list other actions, -inf, and a mask: the same game."""
    table = {0: {0: [(1.0, 1, -1.0, False)], 1: [(1.0, 0, -0.2, True)]}, 1: {1: [(1.0, 0, -2.0, False)]}}
    transition = np.array([[[0, 1], [0, 0]], [[0, 0], [1, 0]]], dtype=float)
    reward, mask = np.array([[-1, -0.2], [7, -2]]), np.array([[True, True], [False, True]])
    common = {"initial": 1, "follower_discount": 0.9, "instrument": se.Subsidies()}
    games = [
        se.from_gymnasium(table, 0, **common),
        se.from_arrays(transition, reward, 0, available=mask, **common),
        se.from_arrays(transition, np.where(mask, reward, -np.inf), 0, **common),
        se.from_arrays([coo_array(transition[:, b]) for b in range(2)], reward, 0, available=mask[:, None], **common),
    ]
    v1 = -2 + 0.9 * -0.2
    for game in games:
        assert game.dimension == 3
        assert se.evaluate(game, np.full(3, NOTHING), follower=se.Hard()).follower_values[0, 0] == pytest.approx(v1, abs=1e-10)
        (mdp,) = game.problems(np.zeros(3))
        np.testing.assert_array_equal(mdp.available[:, 0], mask)
        check_game(game)


def test_masks_of_contexts() -> None:
    """A road is closed in the storm; states that are never reached concern nobody, not even without a discount."""
    transition = np.zeros((3, 2, 3))
    transition[0, 0, 1] = transition[1, 1, 0] = transition[2, :, 2] = 1  # state 2 is for ever, and nobody comes there
    storm = np.array([[False, True], [True, True], [True, True]])
    game = se.from_arrays(
        transition,
        [[-1, -5], [-1, -1], [0, 0]],
        0,
        initial=0,
        follower_discount=1.0,
        instrument=se.Subsidies(),
        contexts={"calm": {}, "storm": {"available": storm}},
        follower=se.Hard(),
    )
    scored = se.evaluate(game, np.full(game.dimension, NOTHING))
    np.testing.assert_allclose(scored.follower_values[:, 0], [-2, -5])
    with pytest.raises(ValueError, match="from state 2 no actions ever lead to the end"):
        se.from_arrays(transition, 0, 0, initial=2, follower_discount=1.0, instrument=se.Subsidies())
    closed = np.array([[True, False], [False, True], [True, True]])
    with pytest.raises(ValueError, match="from state 0 no actions ever lead to the end"):
        se.from_arrays(transition, 0, 0, initial=0, available=closed, follower_discount=1.0, instrument=se.Subsidies())


# Mistakes


def broken(read: Callable[[Path, str], Any], text: str, old: str, new: str) -> Callable[[Path], Any]:
    assert old in text
    return lambda folder: read(folder, text.replace(old, new, 1))


def tra(old: str, new: str) -> Callable[[Path], Any]:
    return broken(lambda folder, text: prism(folder, {**PRISM, "tra": text}), PRISM["tra"], old, new)


def beside(end: str, old: str, new: str) -> Callable[[Path], Any]:
    return broken(lambda folder, text: prism(folder, {**PRISM, end: text}), PRISM[end], old, new)


def pomdp(old: str, new: str) -> Callable[[Path], Any]:
    return broken(cassandra, CASSANDRA, old, new)


def gambit(text: str, old: str, new: str) -> Callable[[Path], Any]:
    return broken(nfg, text, old, new)


def net(old: str, new: str) -> Callable[[Path], Any]:
    return broken(tntp, NET, old, new)


def trips(old: str, new: str) -> Callable[[Path], Any]:
    return broken(lambda folder, text: tntp(folder, NET, text), TRIPS, old, new)


MISTAKES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a chain": (tra("4 6 8", "4 8"), "model.tra, line 1: expected 'states choices transitions', got '4 8': that is a Markov chain"),
    "no numbers": (
        tra("0 1 2 1 fast", "0 1 two 1"),
        "model.tra, line 4: expected 'state choice next_state probability [action]', got '0 1 two 1'",
    ),
    "a short line": (tra("0 1 2 1 fast", "0 1 2"), "model.tra, line 4: expected 'state choice"),
    "a state too many": (tra("0 1 2 1 fast", "0 1 4 1 fast"), "model.tra, line 4: expected a next state of 0 to 3, got 4"),
    "a negative choice": (tra("0 1 2 1 fast", "0 -1 2 1 fast"), "model.tra, line 4: expected a choice from 0, got -1"),
    "a percentage": (tra("0 1 2 1 fast", "0 1 2 100 fast"), "model.tra, line 4: expected a probability, got 100.0"),
    "a row below 1": (tra("2 0 3 0.6", "2 0 3 0.5"), "model.tra, line 6: choice 0 of state 2 sums to 0.9, and not to 1"),
    "no choices": (tra("1 0 3 1 finish", "2 2 3 1 finish"), "state 1 has no available action"),
    "a file cut off": (tra("3 0 3 1\n", ""), "model.tra, line 8: expected 8 lines"),
    "nothing": (lambda folder: prism(folder, {"tra": ""}), "model.tra, line 1: expected 'states choices transitions', got ''"),
    "a reward that is no number": (beside("srew", "1 0.5", "1 much"), "model.srew, line 5: expected 'state reward', got '1 much'"),
    "a reward of nobody": (beside("srew", "3 9", "4 9"), "model.srew, line 6: expected a state of 0 to 3, got 4"),
    "an infinite reward": (beside("srew", "3 9", "3 inf"), "model.srew, line 6: expected finite numbers, got inf"),
    "a reward of no step": (beside("trew", "2 1 1 0.25", "2 1 0 0.25"), "model.trew, line 4: expected a transition of the model, got 0"),
    "a state without values": (beside("sta", "2:(1,0)", "2:(1)"), "model.sta, line 4: expected state 2 and 2 values"),
    "states too few": (beside("sta", "3:(1,1)\n", ""), "model.sta, line 4: expected 4 states, as the transitions have, and the file has 3"),
    "an unknown label": (beside("lab", "3: 2", "3: 5"), "model.lab, line 3: expected a state of 0 to 3 and numbers of labels"),
    "no labels": (beside("lab", '0="init" 1="deadlock" 2="done"', "init"), "model.lab, line 1: expected labels"),
    "an unknown end": (lambda folder: prism(folder, terminal="goal"), "terminal is a label or states, and there is no 'goal'"),
    "a slip of the pen": (pomdp("values: cost", "values: costs"), "machine.POMDP, line 3: expected 'reward' or 'cost', got 'costs'"),
    "a discount above 1": (pomdp("0.8", "1.8"), "machine.POMDP, line 2: expected a discount from 0 to 1, got '1.8'"),
    "no actions": (pomdp("actions: run repair", ""), "machine.POMDP, line 9: expected 'actions:' before this"),
    "a name twice": (pomdp("new worn broken", "new worn new"), "machine.POMDP, line 4: expected names of states, each once, got 'new'"),
    "an unknown state": (
        pomdp("T: repair : broken", "T: repair : brokn"),
        "line 14: expected a state by its name or number (did you mean 'broken'?",
    ),
    "an unknown action": (
        pomdp("T: run", "T: runs"),
        "machine.POMDP, line 9: expected an action by its name or number (did you mean 'run'?",
    ),
    "a row too short": (pomdp("0.0 0.7 0.3\n", "0.0 0.7\n"), "machine.POMDP, line 13: expected a probability from 0 to 1, got 'T'"),
    "a row above 1": (
        pomdp("0.0 0.7 0.3", "0.1 0.7 0.3"),
        "machine.POMDP, line 9: T of action 'run' in state 'worn' sums to 1.1, and not to 1",
    ),
    "a row that is missing": (pomdp("T: repair : * : new 1", ""), "line 24: T of action 'repair' in state 'new' sums to 0"),
    "a row of what is seen": (pomdp("O:run:broken:1 0.75", ""), "line 18: O of action 'run' in state 'broken' sums to 0.75"),
    "an unknown statement": (pomdp("R: repair", "Q: repair"), "machine.POMDP, line 24: expected discount, values,"),
    "a reward by no number": (pomdp("2 4\n", "2 x\n"), "machine.POMDP, line 23: expected a reward, got 'x'"),
    "a start that is none": (pomdp("start: 0.5 0.5 0.0", "start: 0.5 0.4 0.0"), "machine.POMDP, line 7: start sums to 0.9"),
    "a late preamble": (pomdp("R: repair", "states: 4\nR: repair"), "machine.POMDP, line 24: expected 'states:' before all T, O and R"),
    "a file that ends": (pomdp("R: repair : * : * : * 2.5", "R: repair : * : *"), "line 24: expected a reward, and the file ends"),
    "another file": (gambit(PAYOFFS, "NFG", "EFG"), "inspection.nfg, line 1: expected NFG, got 'EFG'"),
    "three players": (
        gambit(PAYOFFS, '"Thief"', '"Thief" "Judge"'),
        "inspection.nfg, line 1: expected two players, a leader and a follower, got 3",
    ),
    "a name without quotes": (gambit(PAYOFFS, '"Thief"', "Thief"), "inspection.nfg, line 1: expected the names of players, in quotes"),
    "no strategies": (gambit(PAYOFFS, "{ 2 3 }", "{ 2 0 }"), "inspection.nfg, line 2: expected how many strategies a player has, got '0'"),
    "payoffs too few": (gambit(PAYOFFS, "0.5 .25", "0.5"), "inspection.nfg, line 5: expected 12 payoffs, 2 a profile, and the file ends"),
    "payoffs too many": (gambit(PAYOFFS, "0.5 .25", "0.5 1 2"), "inspection.nfg, line 5: expected the end of the file, got '2'"),
    "a payoff by word": (gambit(PAYOFFS, "1/2", "half"), "inspection.nfg, line 4: expected 12 payoffs, 2 a profile, got 'half'"),
    "a payoff by nothing": (gambit(PAYOFFS, "1/2", "1/0"), "inspection.nfg, line 4: expected 12 payoffs, 2 a profile, got '1/0'"),
    "an outcome of one": (
        gambit(OUTCOMES, '{ "c" 1, -1 }', '{ "c" 1 }'),
        "line 7: expected the payoffs of an outcome, one a player, got '}'",
    ),
    "an unknown outcome": (
        gambit(OUTCOMES, "0 5", "0 6"),
        "inspection.nfg, line 11: expected 6 numbers of outcomes, 0 to 5, one a profile, got '6'",
    ),
    "no size": (net("<NUMBER OF NODES> 6\n", ""), "town_net.tntp, line 5: expected <NUMBER OF NODES> before this"),
    "a size by word": (net("OF NODES> 6", "OF NODES> six"), "town_net.tntp, line 2: expected <NUMBER OF NODES> and a whole number"),
    "no end of metadata": (net("<END OF METADATA>", ""), "town_net.tntp, line 10: expected '<NAME> value' or <END OF METADATA>"),
    "a link to nowhere": (net("4\t5\t80", "4\t7\t80"), "town_net.tntp, line 13: expected a node of 1 to 6, got 7"),
    "a link of words": (net("4\t5\t80", "4\tfive\t80"), "town_net.tntp, line 13: expected 'init_node term_node capacity"),
    "a link cut off": (net("\t9\t5\t0.15\t4\t0\t0\t1\t;", "\t9;"), "town_net.tntp, line 15: expected 'init_node term_node capacity"),
    "a time below 0": (
        net("4\t5\t80\t1\t1", "4\t5\t80\t1\t-1"),
        "town_net.tntp, line 13: expected a free-flow time of at least 0, got -1.0",
    ),
    "links too few": (
        net("LINKS> 9", "LINKS> 10"),
        "town_net.tntp, line 18: expected 10 links, as <NUMBER OF LINKS> says, and the file has 9",
    ),
    "an origin too many": (trips("Origin 2", "Origin 3"), "town_trips.tntp, line 8: expected an origin of 1 to 2, got 3"),
    "trips from nowhere": (trips("Origin  1", ""), "town_trips.tntp, line 6: expected 'Origin 1' before trips, got '1 :    0.0'"),
    "trips to nowhere": (
        trips("2 :    5.0", "9 :    5.0"),
        "town_trips.tntp, line 6: expected 'destination : trips;' with a destination of 1 to 2",
    ),
    "trips of another town": (trips("ZONES> 2", "ZONES> 24"), "town_trips.tntp, line 3: expected 2 zones, as the network has, got 24"),
}


@pytest.mark.parametrize(("read", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named_by_their_line(tmp_path: Path, read: Callable[[Path], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path).game(0, follower_discount=0.9, instrument=se.Subsidies())


def test_what_a_game_still_needs(tmp_path: Path) -> None:
    tables = prism(tmp_path)
    with pytest.raises(ValueError, match="leader_reward is missing"):
        tables.game()
    with pytest.raises(ValueError, match="follower_discount is missing"):
        tables.game(0)
    with pytest.raises(ValueError, match="there is no action 'finnish' in any state; did you mean 'finish'"):
        tables.pairs(action="finnish")
    with pytest.raises(ValueError, match="state 'x=1,y=1' is terminal: nobody acts there"):
        prism(tmp_path, terminal="done").pairs("x=1,y=1")
    with pytest.raises(ValueError, match="there is no state 'x=2,y=0'"):
        tables.pairs("x=2,y=0")


def test_many_numbers_are_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What decides is how many numbers a dense table would have; the game is the same."""
    dense = cassandra(tmp_path)
    monkeypatch.setattr(world_tables, "DENSE_NUMBERS", 17)
    listed = cassandra(tmp_path)
    assert isinstance(listed.transition, se.SuccessorLists)
    np.testing.assert_allclose(listed.transition.dense(), dense.transition)
