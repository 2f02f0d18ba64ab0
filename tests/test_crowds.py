"""Crowds: equilibria against theorems and published networks, gradients through them, and travellers who are sampled one by one."""

from __future__ import annotations

import json
import pickle
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar, root

import stackelberg_envs as se
from baselines.bench import figures
from baselines.studies import tolls as study
from solvers import Declined, solve
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.games.toll_network import TollNetwork
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.mean_field import soft_crowd
from stackelberg_envs.views.gym import FollowerEnv
from stackelberg_envs.worlds.mean_field import InducedMeanField

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"


@cache
def town(**arguments: Any) -> TollNetwork:
    return TollNetwork(**arguments)


def crowd(game: TollNetwork, x: np.ndarray) -> InducedMeanField:
    (world,) = game.problems(x)
    return world


def loads(game: TollNetwork, x: np.ndarray, follower: se.Follower | None = None) -> np.ndarray:
    """The flow at equilibrium, (L,)."""
    (policy,) = se.evaluate(game, x, follower=follower).responses[0].policies
    return crowd(game, x).loads_of(policy)


def random_town(seed: int, nodes: int = 4) -> TollNetwork:
    """A ring with chords, in both directions, and trips between all of three nodes."""
    rng = np.random.default_rng(seed)
    pairs = {(i, (i + 1) % nodes) for i in range(nodes)} | {tuple(rng.choice(nodes, 2, replace=False).tolist()) for _ in range(2)}
    pairs |= {(b, a) for a, b in pairs}
    start, end = (np.array(column) + 1 for column in zip(*sorted(pairs), strict=True))
    count = len(start)
    links = {"init_node": start, "term_node": end, "capacity": rng.uniform(2, 8, count), "free_flow_time": rng.uniform(1, 6, count)}
    links |= {"b": rng.uniform(0.1, 1, count), "power": rng.integers(1, 5, count).astype(float), "length": np.ones(count)}
    return TollNetwork(network=se.RoadNetwork("random", nodes, 3, 1, links, rng.uniform(0.5, 4, (3, 3)) * (1 - np.eye(3))))


def test_braess_is_the_published_paradox() -> None:
    """Braess 1968: each of six travellers takes 92 minutes, where 83 would do; marginal-cost tolls lead there."""
    game = town(network="braess")
    nothing, marginal = np.full(5, -20.0), game.at_tolls(game.marginal_cost_tolls(), margin=1e-8)
    assert float(se.evaluate(game, nothing, follower=se.Hard()).leader_return) == pytest.approx(-92, abs=1e-5)
    assert game.upper_bound() == pytest.approx(-83, abs=1e-6)
    assert float(se.evaluate(game, marginal, follower=se.Hard()).leader_return) == pytest.approx(-83, abs=1e-5)
    np.testing.assert_allclose(loads(game, nothing, se.Hard()), [4, 2, 2, 2, 4], atol=1e-6)
    np.testing.assert_allclose(loads(game, marginal, se.Hard()), [3, 3, 3, 0, 3], atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 3.0, 20.0])
def test_recursive_logit_is_logit_over_routes(temperature: float) -> None:
    """Without cycles, an equilibrium of link choices is the fixed point of a logit over all routes, here found by another program."""
    game = town(network="braess", temperature=temperature)
    x = np.random.default_rng(0).normal(size=5)
    uses = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 1, 1]])  # three routes, of links 1-3, 1-4, 3-2, 3-4, 4-2

    def off(shares: np.ndarray) -> np.ndarray:
        cost = uses @ (game.times(6 * shares @ uses) + game.tolls(x)) / temperature
        return shares - np.exp(cost.min() - cost) / np.exp(cost.min() - cost).sum()

    found = root(off, np.full(3, 1 / 3), tol=1e-13)
    np.testing.assert_allclose(loads(game, x), 6 * found.x @ uses, atol=1e-8)


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 10_000))
def test_random_towns_have_one_equilibrium_and_a_bound(seed: int) -> None:
    """Baillon and Cominetti 2008: unique where times rise.  Gaps are at most 1e-8, and no tolls beat the system optimum."""
    game = random_town(seed)
    rng = np.random.default_rng(seed)
    x = 2 * rng.normal(size=game.dimension)
    world = crowd(game, x).in_numpy()
    first, second = (soft_crowd(world, 1.0, loads=start * rng.uniform(size=game.dimension)) for start in (0.1, 30.0))
    np.testing.assert_allclose(first.loads, second.loads, atol=1e-8)
    assert max(first.gap, second.gap) <= 1e-8
    assert max(first.residual, second.residual) <= 1e-9
    bound = game.upper_bound()
    assert bound is not None
    for follower in (se.Soft(1.0), se.Soft(0.2)):
        scored = se.evaluate(game, x, follower=follower)
        assert float(np.max(scored.follower_gap)) <= 1e-8
        assert float(scored.leader_return) <= bound + 1e-9


def test_no_tolls_beat_the_system_optimum() -> None:
    """In the town with bridges, either: soft travellers, and hard ones."""
    game = town()
    points = 3 * np.random.default_rng(1).normal(size=(12, game.dimension))
    bound = game.upper_bound()
    assert bound == se.upper_bound(game)
    assert bound is not None
    assert (np.asarray(se.evaluate(game, points).leader_return) <= bound).all()
    assert all(float(se.evaluate(game, x, follower=se.Hard()).leader_return) <= bound + 1e-9 for x in points[:2])
    assert TollNetwork(network="braess", revenue_weight=0.1).upper_bound() is None


def test_wardrop_equilibria_minimise_beckmanns_objective() -> None:
    """Beckmann, McGuire and Winsten 1956: against any other flow of the same trips, here of soft travellers, on the whole line between."""
    game = town()
    nothing = np.full(game.dimension, -20.0)
    best = loads(game, nothing, se.Hard())
    least = study.beckmann(game, best)
    for temperature in (0.3, 3.0):
        other = loads(game, nothing, se.Soft(temperature))
        along = minimize_scalar(lambda a, other=other: study.beckmann(game, best + a * (other - best)), bounds=(0, 1), method="bounded")
        assert along.fun >= least - 1e-6
        assert study.beckmann(game, other) > least + 1e-3


def test_cold_crowds_come_to_wardrop() -> None:
    game = town(network="braess")
    x = np.full(5, -20.0)
    hard = loads(game, x, se.Hard())
    away = [np.abs(loads(game, x, se.Soft(temperature)) - hard).max() for temperature in (10.0, 1.0, 0.1)]
    assert away[0] > away[1] > away[2]
    assert away[2] < 1e-3


@pytest.mark.parametrize("arguments", [{"tolled": [0, 8, 9]}, {"revenue_weight": 0.3}, {"network": "braess", "temperature": 5.0}], ids=str)
def test_gradients_are_central_differences(arguments: dict[str, Any]) -> None:
    """To 1e-6; without the reaction, the gradient is that of a crowd that stays."""
    game = town(**{key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()})
    x = np.random.default_rng(2).normal(size=game.dimension)
    exact = exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True)
    assert exact.value == pytest.approx(float(se.evaluate(game, x).leader_return), abs=1e-9)
    for i in range(0, game.dimension, 3):
        step = 1e-4 * np.eye(game.dimension)[i]
        ahead, behind = (float(se.evaluate(game, x + sign * step).leader_return) for sign in (1, -1))
        assert float(exact.gradient[i]) == pytest.approx((ahead - behind) / 2e-4, abs=1e-6)


def test_a_missed_target_costs_what_it_says_and_a_met_one_nothing() -> None:
    """On both sides of the hinge: value and exact gradient, against the game without a target and central differences of its revenue."""
    plain, weight = town(tolled=(0, 8, 9)), 4.0
    x = np.random.default_rng(8).normal(size=3)

    def revenue(at: np.ndarray) -> float:
        return float(plain.revenue(at, loads(plain, at)))

    def exact(game: TollNetwork) -> tuple[float, np.ndarray]:
        found = exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True)
        assert found.value is not None
        assert found.value == pytest.approx(float(se.evaluate(game, x).leader_return), abs=1e-9)
        return found.value, found.gradient.numpy()

    value, gradient = exact(plain)
    met = exact(town(tolled=(0, 8, 9), revenue_target=0.99 * revenue(x), shortfall_weight=weight))
    missed = exact(town(tolled=(0, 8, 9), revenue_target=1.01 * revenue(x), shortfall_weight=weight))
    slope = np.array([(revenue(x + step) - revenue(x - step)) / 2e-4 for step in 1e-4 * np.eye(3)])
    assert met[0] == value
    np.testing.assert_array_equal(met[1], gradient)
    assert missed[0] == pytest.approx(value - weight * 0.01 * revenue(x), abs=1e-9)
    np.testing.assert_allclose(missed[1], gradient + weight * slope, atol=1e-6)
    assert np.abs(slope).min() > 1e-2


def test_a_target_for_revenue_is_met_at_the_least_time() -> None:
    """With one toll, on Braess's short cut, the best is the larger of two tolls that raise the target: a root of another program."""
    arguments: dict[str, Any] = {"network": "braess", "tolled": (3,)}
    game = town(**arguments, revenue_target=0.9, shortfall_weight=3.0)
    found = solve(game, "multistart", budget=30, evaluations=30, start=np.full(1, -3.0))
    raised = float(game.revenue(found.x, loads(game, found.x)))
    assert raised == pytest.approx(0.9, rel=1e-3)
    free = town(**arguments)
    toll = brentq(lambda z: float(free.revenue(np.array([z]), loads(free, np.array([z])))) - 0.9, -2.5, -1.5)
    assert float(game.tolls(found.x)[3]) == pytest.approx(float(free.tolls(np.array([toll]))[3]), rel=1e-3)
    bound = game.upper_bound()
    assert bound == free.upper_bound()
    assert bound is not None
    assert found.leader_return <= float(se.evaluate(free, np.zeros(1)).leader_return) <= bound


def test_travellers_who_are_sampled_agree_with_the_continuum() -> None:
    """The law of large numbers: flows of 100,000 trips lie within five standard errors of the crowd's."""
    game, count = town(), 100_000
    x = np.random.default_rng(3).normal(size=game.dimension)
    policies = se.evaluate(game, x).responses[0].policies
    world = crowd(game, x)
    (trips,) = world.play([np.asarray(policies[0])], np.full(count, game.max_cycles), np.random.default_rng(4))
    traveller, step = np.nonzero(trips.alive)
    taken = game.traffic.link[trips.states[traveller, step], trips.follower_actions[traveller, step]]
    uses = np.zeros((count, game.dimension))
    np.add.at(uses, (traveller, taken), 1.0)
    flows, errors = game.traffic.trips * uses.mean(axis=0), game.traffic.trips * uses.std(axis=0) / np.sqrt(count)
    assert (np.abs(flows - world.loads_of(policies[0])) <= 5 * errors + 1e-12).all()


def test_batches_tensors_and_copies_say_the_same() -> None:
    game = town()
    points = np.random.default_rng(5).normal(size=(3, game.dimension))
    each = [float(se.evaluate(game, x).leader_return) for x in points]
    np.testing.assert_allclose(se.evaluate(game, points).leader_return, each, atol=1e-9)
    np.testing.assert_allclose(np.asarray(se.evaluate(game, torch.tensor(points)).leader_return), each, atol=1e-9)
    np.testing.assert_allclose(game.incentive(torch.tensor(points)).numpy(), game.incentive(points), atol=1e-14)
    world = crowd(game, points[0])
    again = pickle.loads(pickle.dumps(world))
    np.testing.assert_array_equal(again.follower_reward, world.follower_reward)
    for ours, theirs in zip(again.fingerprint(), world.fingerprint(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    answer = se.Soft(1.0).respond(game, points[0])
    warm = se.Soft(1.0).respond(game, points[1], state=answer.state)
    np.testing.assert_allclose(warm.policies[0], se.Soft(1.0).respond(game, points[1]).policies[0], atol=1e-9)


def test_one_traveller_is_paid_what_the_crowd_makes() -> None:
    """In the views one traveller meets the crowd at equilibrium, and moves no load: its rewards are those of the table."""
    env = FollowerEnv(town(), observations="index")
    x = np.random.default_rng(6).normal(size=env.game.dimension)
    table = np.asarray(crowd(town(), x).follower_reward)
    state, info = env.reset(seed=1, options={"commitment": x})
    over, rng = False, np.random.default_rng(7)
    while not over:
        action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        after, reward, terminated, truncated, info = env.step(action)
        assert reward == pytest.approx(table[state, 0, action], abs=1e-12)
        state, over = after, terminated or truncated


def test_what_a_crowd_cannot_do_is_said() -> None:
    game = town(network="braess")
    with pytest.raises(PlanningError, match=r"a crowd responds to itself: take Soft\(temperature\), or Hard\(\)"):
        se.evaluate(game, np.zeros(5), follower=se.Quantal(0.1))
    with pytest.raises(Declined, match="plans or trains for one follower, and in toll_network a crowd responds to itself"):
        solve(game, "bchg", budget=2)
    for wrong, message in (
        ({"network": "nowhere"}, "network is 'braess', 'bridges', or a file"),
        ({"tolled": []}, "tolled needs at least one link"),
        ({"tolled": [12]}, "a tolled link"),
    ):
        with pytest.raises(ValueError, match=message):
            TollNetwork(**wrong)  # type: ignore[arg-type]


def test_circles_are_named() -> None:
    """Entropy of 8 minutes a link is worth more than the links of the town cost: the sum over all walks is infinite, as the error says."""
    with pytest.raises(PlanningError, match="going round in circles for ever is then best: take a temperature below 8"):
        se.evaluate(town(), np.full(12, -20.0), follower=se.Soft(8.0))


def test_recorded_networks() -> None:
    """Files that are not ours to give away: the published objective of Sioux Falls, 42.31335287107440e5, and what theory says of tolls.

    The page says what is recorded.
    """
    rows = json.loads((FOLDER / "recorded" / "tolls.json").read_text())
    assert (FOLDER / "tolls-networks.md").read_text() == study.page(rows)
    by_name = {row["network"]: row for row in rows}
    falls = by_name["SiouxFalls"]
    assert falls["user"]["objective"] == pytest.approx(42.31335287107440e5, rel=1e-12)
    assert falls["size"] == {"nodes": 24, "links": 76, "trips": 360600.0, "states": 552}
    assert falls["optimum"]["total"] == pytest.approx(7_194_256.05, abs=0.1)
    assert by_name["Anaheim"]["user"]["objective"] == pytest.approx(1_286_032.171096, rel=1e-12)
    circles = [scale for scale, entry in by_name["Anaheim"]["soft"].items() if "going round in circles" in entry.get("none", "")]
    assert circles == ["0.5", "1.0"]
    for row in rows:
        assert row["user"]["objective"] == pytest.approx(row["published flow"]["objective"], rel=1e-9)
        assert row["user, charged"]["total"] == pytest.approx(row["optimum"]["total"], rel=1e-7)
        soft = [entry for entry in (*row["soft"].values(), *row["soft, charged"].values()) if "none" not in entry]
        assert all(entry["gap"] <= 1e-8 and entry["total"] >= row["optimum"]["total"] for entry in soft)


BRAESS = """<NUMBER OF ZONES> 2
<NUMBER OF NODES> 4
<FIRST THRU NODE> 1
<NUMBER OF LINKS> 5
<END OF METADATA>
~ init_node term_node capacity length free_flow_time b power speed toll link_type ;
1 3 1 1 1e-8 1e9 1 0 0 1 ;
1 4 1 1 50 0.02 1 0 0 1 ;
3 2 1 1 50 0.02 1 0 0 1 ;
3 4 1 1 10 0.1 1 0 0 1 ;
4 2 1 1 1e-8 1e9 1 0 0 1 ;
"""


def test_a_study_goes_on_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers are those of Braess 1968, and those of a run at once; nothing is computed twice, and other files start anew."""
    net, trips, parts = tmp_path / "braess_net.tntp", tmp_path / "braess_trips.tntp", tmp_path / "parts.json"
    net.write_text(BRAESS)
    trips.write_text("<NUMBER OF ZONES> 2\n<END OF METADATA>\nOrigin 1\n 2 : 6.0;\n")
    monkeypatch.setattr(study, "SCALES", (1.0,))
    numbers = ("optimum", "user", "user, charged", "soft", "soft, charged")
    whole = study.measure(net, trips, None, parts)
    assert whole["user"]["total"] == pytest.approx(6 * 92, abs=1e-3)
    assert whole["optimum"]["total"] == pytest.approx(6 * 83, abs=1e-3)
    evaluate, calls = se.evaluate, []

    def interrupted(*given: Any, **options: Any) -> se.Evaluation:
        calls.append(options)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*given, **options)

    monkeypatch.setattr(se, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.measure(net, trips, None, parts)
    half = parts.read_text()
    again = study.measure(net, trips, None, parts)
    assert len(calls) == 1 + 1 + 3
    strip = partial(json.loads, object_hook=lambda entry: {key: value for key, value in entry.items() if key != "seconds"})
    assert [strip(json.dumps(again[name])) for name in numbers] == [strip(json.dumps(whole[name])) for name in numbers]
    parts.write_text(half)
    trips.write_text(trips.read_text().replace("6.0", "3.0"))
    assert study.measure(net, trips, None, parts)["user"]["total"] < 6 * 46


def test_networks_are_drawn_with_flows_and_tolls(tmp_path: Path) -> None:
    """Every link and every place; a toll is written where it is charged; coordinates of a file are the picture's."""
    game = town()
    x = game.at_tolls(game.marginal_cost_tolls())
    (policy,) = se.evaluate(game, x).responses[0].policies
    graph = game.graph(x, 0, [policy])
    assert [label != "" for label in graph.labels] == [toll >= 0.1 for toll in game.tolls(x).round(3)]
    np.testing.assert_allclose(graph.load, loads(game, x) / game.network.links["capacity"], atol=1e-12)
    text = figures.svg(figures.learned_figure(game, {"tolls": x}, None))
    assert "flow / capacity" in text
    assert "toll in minutes" in text
    assert figures.caption(game).startswith("Colours: flow / capacity. Numbers: toll in minutes.")
    placed = random_town(0).network.places
    assert np.linalg.matrix_rank(placed - placed.mean(axis=0)) == 2
