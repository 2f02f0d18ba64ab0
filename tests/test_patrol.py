"""Patrols: strikes against enumerated walks, values against closed forms and another game, bounds against all that is found."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import solvers
import stackelberg_envs as se
from baselines.bench.learned import learned_figure
from baselines.studies.patrols import HIGH, LOW, equilibrium
from stackelberg_envs.games.patrol import Patrol
from stackelberg_envs.games.patrol_presets import Park
from stackelberg_envs.planning.blind_patrols import blind_commitment, blind_value
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.matrix_games import strong_commitment
from stackelberg_envs.planning.patrols import best_outcomes, watcher_value

HARD = se.Hard("strong")
SMALL: list[dict[str, Any]] = [
    {"park": "ring", "size": 5, "durations": (1, 3)},
    {"size": 2, "durations": (1, 2), "zero_sum": False, "seed": 1},
    {"park": "ring", "size": 4, "durations": (2, 2), "memory": 2, "seed": 2},
]


def patrol(**arguments: Any) -> Patrol:
    game = se.game("patrol-v0", **arguments)
    assert isinstance(game, Patrol)
    return game


def worth(game: se.StackelbergGame, x: np.ndarray, follower: se.Follower | None = None) -> float:
    return float(se.evaluate(game, x, follower=follower).leader_return)


def struck(game: Patrol, walk: np.ndarray, position: int, target: int, gain: float, fine: float) -> float:
    """What a strike pays, by all walks one by one."""
    node, duration = game.strikes.nodes[target], int(game.strikes.durations[target])
    total = 0.0
    for path in product(range(len(walk)), repeat=duration):
        likely = np.prod(walk[(position, *path[:-1]), path])
        comes = [k for k, p in enumerate(path) if game.walks.node[p] == node]
        total += likely * (-fine * game.discount ** comes[0] if comes else gain * game.discount ** (duration - 1))
    return total


@pytest.mark.parametrize("arguments", SMALL, ids=str)
@pytest.mark.parametrize("watches", [True, False])
def test_a_strike_pays_what_all_walks_say(arguments: dict[str, Any], watches: bool) -> None:
    """The poacher's and the rangers' exact scores, by optimal stopping over enumerated walks."""
    game = patrol(**arguments, watches=watches, horizon=7)
    x = np.random.default_rng(0).normal(size=game.dimension)
    walk = game.walk_matrix(x)
    losses = game.park.losses[game.strikes.nodes]
    pays, costs = (
        np.array([[struck(game, walk, p, m, gains[m], fine) for m in range(len(losses))] for p in range(len(walk))])
        for gains, fine in ((game.strikes.values, game.strikes.penalty), (-losses, -game.catch))
    )
    score = se.evaluate(game, x, follower=HARD)
    if watches:
        values, rangers = np.zeros(len(walk)), np.zeros(len(walk))
        for _ in range(400):
            waits, waited = game.discount * walk @ values, game.discount * walk @ rangers
            best = pays.argmax(axis=1)
            strikes = pays.max(axis=1) > waits
            values = np.maximum(np.maximum(pays.max(axis=1), waits), 0.0)
            rangers = np.where(strikes, costs[np.arange(len(walk)), best], waited)
        expected = values[game.walks.start], rangers[game.walks.start]
    else:
        there = np.array([game.discount**t * np.linalg.matrix_power(walk, t)[game.walks.start] for t in range(7)])
        at = np.unravel_index((there @ pays).argmax(), (7, len(losses)))
        expected = max(0.0, (there @ pays)[at]), (there @ costs)[at]
    assert (float(score.follower_returns[0]), float(score.leader_return)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_alike_nodes_and_strikes_of_one_step(size: int) -> None:
    """Of N nodes worth v, each is visited with probability 1/N at every step: the poacher has v - (v + f)/N, by symmetry."""
    game = patrol(park="complete", size=size, durations=(1, 1), equal=True, penalty=0.2)
    least = 1 - 1.2 / size
    assert game.bound() == pytest.approx(-least, abs=1e-8)
    assert worth(game, np.zeros(game.dimension), HARD) == pytest.approx(-least, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("watches", [True, False])
def test_strikes_of_one_step_are_a_security_game(seed: int, watches: bool) -> None:
    """A ranger who can be anywhere next is a guard with one of the nodes; two games of the suite, by different programmes.

    To watch is worth nothing there.  The plan of the bound attains it.
    """
    game = patrol(park="complete", size=5, durations=(1, 1), seed=seed, watches=watches)
    values, fines = game.park.values, np.full(5, game.strikes.penalty)
    other = se.game(
        "security-v0", guards=1, defender_covered=fines, defender_uncovered=-values, attacker_covered=-fines, attacker_uncovered=values
    )
    known = solvers.solve(other, "security_lp", follower=HARD, budget=1).leader_return
    assert game.bound() == pytest.approx(known, abs=1e-7)
    plan = watcher_value(game.walks, game.strikes)
    assert plan.exact
    assert worth(game, game.commitment(plan.policy), HARD) == pytest.approx(known, abs=1e-6)


def test_the_exact_patrol_attains_its_value_everywhere() -> None:
    """Where strikes take a step, on a graph with streets: from every start, and by search nothing better is found."""
    star = Park(np.eye(4)[:, :2], [(0, 1), (0, 2), (0, 3), (1, 2)], [0.5, 0.9, 0.7, 0.6], np.ones(4), np.ones(4))  # type: ignore[arg-type]
    for base in range(4):
        game = patrol(park=star, base=base, penalty=0.3, temperature=0.03)
        plan = watcher_value(game.walks, game.strikes)
        assert worth(game, game.commitment(plan.policy), HARD) == pytest.approx(-plan.values[base], abs=1e-6)
        found = solvers.solve(game, "implicit", budget=10, optimiser="adam", lr=0.3)
        assert worth(game, found.x, HARD) <= -plan.value + 1e-6


def test_a_tour_that_comes_in_time_leaves_nothing() -> None:
    """On a ring of four with strikes of four steps nobody strikes at a ranger who goes round."""
    game = patrol(park="ring", size=4, durations=(4, 4))
    tour = np.array([[float(game.walks.moves[p, a] == (p + 1) % 4) for a in range(3)] for p in range(4)])
    assert worth(game, game.commitment(tour), HARD) == pytest.approx(0.0, abs=1e-6)
    assert game.bound() == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("arguments", [{}, {"zero_sum": False, "catch": 0.2}])
def test_blind_programmes_against_all_walks(arguments: dict[str, Any]) -> None:
    """Schedules one by one, as rows of a matrix game whose columns are target and time: strikes of one or two steps are exact."""
    game = patrol(park="ring", size=4, durations=(1, 2), watches=False, horizon=3, seed=3, **arguments)
    losses = game.park.losses[game.strikes.nodes]
    paths = np.array(
        [path for path in product(range(4), repeat=4) if all(abs(a - b) % 4 in (0, 1, 3) for a, b in zip((0, *path), path, strict=False))]
    )

    def payoffs(gains: np.ndarray, fine: float) -> np.ndarray:
        table = np.zeros((len(paths), 3 * len(losses) + 1))
        for column, (t, m) in enumerate(product(range(3), range(len(losses)))):
            lasts = game.strikes.durations[m]
            there = paths[:, t : t + lasts] == game.strikes.nodes[m]
            paid = np.where(there.any(axis=1), -fine * game.discount ** there.argmax(axis=1), gains[m] * game.discount ** (lasts - 1))
            table[:, column] = game.discount**t * paid
        return table

    poacher, rangers = payoffs(game.strikes.values, game.strikes.penalty), payoffs(-losses, -game.catch)
    assert blind_value(game.walks, game.strikes, 3) == pytest.approx(-strong_commitment(-poacher, poacher).value, abs=1e-7)
    strong = strong_commitment(rangers, poacher).value
    assert blind_commitment(game.walks, game.strikes, 3, losses, game.catch) == pytest.approx(strong, abs=1e-7)
    assert game.bound() == pytest.approx(strong, abs=1e-7)


@pytest.mark.parametrize("arguments", [*SMALL, {"park": "ring", "size": 5, "durations": (3, 3), "catch": 0.3, "zero_sum": False}], ids=str)
def test_no_walk_beats_its_bound_and_to_watch_can_only_help(arguments: dict[str, Any]) -> None:
    """Random walks, sharp ones too, and what is found by search; hard poachers, by any tie, and soft ones."""
    seeing, blind = (patrol(**arguments, watches=watches, temperature=0.03) for watches in (True, False))
    rng = np.random.default_rng(0)
    xs = [scale * rng.normal(size=seeing.dimension) for scale in (0.5, 2.0, 8.0)]
    for game in (seeing, blind):
        found = [*xs, solvers.solve(game, "implicit", budget=8, optimiser="adam", lr=0.5).x]
        for follower, bound in ((HARD, game.bound()), (se.Hard("weak"), game.bound()), (None, game.bound(0.03))):
            assert max(worth(game, x, follower) for x in found) <= bound + 1e-7
    if seeing.catch == seeing.strikes.penalty:
        for x in xs:
            assert worth(seeing, x, HARD) <= worth(blind, x, HARD) + 1e-9


def test_to_look_ahead_tightens_the_bound() -> None:
    """By multiples."""
    game = patrol(park="ring", size=5, durations=(3, 3), equal=True)
    once, twice = (watcher_value(game.walks, game.strikes, ahead).value for ahead in (1, 2))
    assert once < twice - 0.005
    with pytest.raises(PlanningError, match="look less far ahead"):
        watcher_value(game.walks, game.strikes, 12)


def test_ties() -> None:
    """At the strong commitment the poacher is indifferent, and what it does then matters much: two values of one walk."""
    game = patrol(park="complete", size=4, durations=(1, 1), zero_sum=False, seed=2)
    values, fines = game.park.values, np.full(4, game.strikes.penalty)
    other = se.game(
        "security-v0",
        guards=1,
        defender_covered=np.zeros(4),
        defender_uncovered=-game.park.losses,
        attacker_covered=-fines,
        attacker_uncovered=values,
    )
    best = solvers.solve(other, "security_lp", follower=HARD, budget=1)
    x = game.commitment(np.tile(other.coverage(best.x), (4, 1)))  # type: ignore[attr-defined]
    strong, weak = worth(game, x, HARD), worth(game, x, se.Hard("weak"))
    assert strong == pytest.approx(best.leader_return, abs=1e-6)
    assert weak < strong - 0.1
    assert strong <= game.bound() + 1e-9


def test_what_it_refuses() -> None:
    for arguments, why in (
        ({"park": "forest"}, "no park"),
        ({"size": 1}, "size of a grid"),
        ({"durations": (3, 2)}, "most of durations"),
        ({"memory": 3}, "memory"),
        ({"discount": 1.0}, "discount"),
        ({"base": 9}, "base"),
    ):
        with pytest.raises(ValueError, match=why):
            patrol(**arguments)
    fine: dict[str, Any] = {
        "places": np.zeros((3, 2)),
        "paths": [(0, 1), (1, 2)],
        "values": np.ones(3),
        "losses": np.ones(3),
        "durations": np.ones(3),
    }
    for wrong, why in (
        ({"paths": [(0, 1)]}, "no path leads from node 0 to node 2"),
        ({"paths": [(0, 3)]}, "pairs of nodes from 0 to 2"),
        ({"values": np.zeros(3)}, "some value is above"),
        ({"durations": np.zeros(3)}, "at least 1 step"),
        ({"losses": np.ones(2)}, "losses and durations"),
    ):
        with pytest.raises(ValueError, match=why):
            Park(**{**fine, **wrong})
    with pytest.raises(ValueError, match="has its own"):
        patrol(park=Park(**fine), size=3)
    game = patrol()
    with pytest.raises(PlanningError, match="no outcome pays"):
        best_outcomes(game.strikes, game.park.losses, 0.5, 2.0)


def test_the_picture() -> None:
    """Moves of a node sum to 1 with staying, shares of time to 1, and a poacher who goes home struck no more than once."""
    for arguments in ({}, {"memory": 2}, {"watches": False}):
        game = patrol(size=2, **arguments)
        x = np.random.default_rng(0).normal(size=game.dimension)
        graph = game.graph(x, 0, se.evaluate(game, x).responses[0].policies)
        out = np.bincount(graph.ends[:, 0], graph.load)
        assert (out < 1).all()
        assert sum(float(note.rpartition(", ")[2].rstrip(" %")) for note in graph.notes) == pytest.approx(100, abs=2)
        assert sum(float(alarm[7:-2]) for alarm in graph.alarms if alarm) <= 102
        assert learned_figure(game, {"a walk": x}, None).axes


def test_a_park_as_in_guard() -> None:
    """One cluster: the rangers lose a fifth if they reach it in time, and all if not; two that are far from each other: one half each."""
    middle = (LOW + HIGH) / 2
    assert equilibrium(middle[None], np.array([3.0]), 5, 1, 20, 1) == pytest.approx(-0.2)
    assert equilibrium(middle[None], np.array([3.0]), 5, 1, 2, 2) == pytest.approx(-1.0)
    corners = LOW + np.array([[0.1, 0.1], [0.1, 0.11]]) * (HIGH - LOW)  # in one cell
    assert equilibrium(corners, np.array([1.0, 2.0]), 5, 1, 20, 1) == pytest.approx(-0.2)
