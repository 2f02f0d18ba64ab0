"""The warehouse: trips by hand, layouts by enumeration, the relaxed game against the binary one, and the record of the study."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse.csgraph import shortest_path

import solvers
import stackelberg_envs as se
from baselines.studies import warehouse as study
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.games.warehouse import Picker, Warehouse, soft_top_k_indicator, top_k_indicator
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"
COLD = se.Soft(0.02)
CORRIDOR: dict[str, Any] = {"rows": 2, "columns": 4, "candidates": [(1, 1), (1, 3), (0, 1)], "pickers": [Picker((1, 0), (1, 2, 1))]}
"""Two rows; the dock is in the south-west corner, the first site next to it and the second at the end of its row."""


@pytest.mark.parametrize(
    ("sites", "squeeze", "times"),
    [
        ((0, 1), 20.0, (2, 10)),  # the shelf next to the dock is in the way: round it by the other row, 5 steps out and 5 back
        ((0, 1), 1.0, (2, 8)),  # over it: 3 steps and 1
        ((1, 2), 20.0, (6, 4)),
        ((0, 2), 20.0, (2, 4)),
    ],
)
def test_trips_by_hand(sites: tuple[int, int], squeeze: float, times: tuple[float, float]) -> None:
    """Without slip, a cold picker takes the shortest way; F = sum p (worth - time), and items out of stock earn nothing."""
    game = Warehouse(**CORRIDOR, shelves=2, slip=0.0, squeeze=squeeze)
    scored = se.evaluate(game, game.commitment(sites), follower=COLD)
    expected = np.zeros(3)
    expected[list(sites)] = 30.0 - np.array(times)
    np.testing.assert_allclose(scored.per_context, expected, atol=1e-6)
    assert scored.leader_return == pytest.approx(np.array([0.25, 0.5, 0.25]) @ expected, abs=1e-6)
    assert scored.follower_returns[0] < -2


def test_an_enclosed_shelf_is_dear_and_possible() -> None:
    """Two shelves shut the dock in; the third is 3 steps away, over one of them: 2 (3 + 20) steps."""
    game = Warehouse(rows=2, columns=4, candidates=[(1, 1), (0, 0), (1, 3), (0, 3)], pickers=[Picker((1, 0))], shelves=3, slip=0.0)
    scored = se.evaluate(game, game.commitment((0, 1, 2)), follower=COLD)
    np.testing.assert_allclose(scored.per_context, [28, 28, 30 - 46, 0], atol=1e-6)


@given(st.integers(0, 1000), st.floats(0, 30))
@settings(deadline=None, max_examples=5)
def test_enumeration_is_brute_force(seed: int, squeeze: float) -> None:
    """Returns of all layouts, and the best of them, are those of Dijkstra's algorithm (scipy) on the floor, for a hard follower."""
    rng = np.random.default_rng(seed)
    cells = [(row, col) for row in range(3) for col in range(3)]
    dock, *sites = (cells[i] for i in rng.permutation(9)[:6])
    game = Warehouse(rows=3, columns=3, candidates=sites, shelves=3, pickers=[Picker(dock)], slip=0.0, squeeze=squeeze, seed=seed)
    expected = [_by_dijkstra(game, chosen) for chosen in combinations(range(5), 3)]
    found = [float(se.evaluate(game, game.commitment(chosen), follower=se.Hard("strong")).leader_return) for chosen in study.layouts(game)]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def _by_dijkstra(game: Warehouse, chosen: tuple[int, ...]) -> float:
    """sum p (worth - time), by shortest paths in which leaving a cell costs 1, or 1 + squeeze on another item's shelf."""
    rows, columns = game.shape
    total = 0.0
    for m in chosen:
        graph = np.zeros((rows * columns, rows * columns))
        for cell in range(rows * columns):
            for other in range(rows * columns):
                (a, b), (c, d) = divmod(cell, columns), divmod(other, columns)
                if abs(a - c) + abs(b - d) == 1:
                    graph[cell, other] = 1 + game.squeeze * any(game.sites[k] == (a, b) for k in chosen if k != m)
        way = shortest_path(graph, method="D")
        dock, site = (row * columns + col for row, col in (game.pickers[0].dock, game.sites[m]))
        total += float(game.context_probabilities[m]) * (game.worth - way[dock, site] - way[site, dock])
    return total


def test_played_trips_cost_what_is_scored() -> None:
    """Slips included: the mean of 2000 played orders, within four standard errors."""
    game = Warehouse(rows=3, columns=4, shelves=3, candidates=6, slip=0.2, max_cycles=1000)
    x = game.commitment((0, 3, 5))
    paid = RepeatedGame(game, seed=1).play(x, episodes=2000).leader_returns(1.0)
    assert abs(paid.mean() - float(se.evaluate(game, x).leader_return)) < 4 * paid.std() / np.sqrt(len(paid))


@given(st.lists(st.integers(-5, 5), min_size=10, max_size=10), st.permutations(range(4)), st.permutations(range(6)))
@settings(deadline=None, max_examples=30)
def test_only_the_largest_matter_to_the_binary_game(numbers: list[int], first: list[int], rest: list[int]) -> None:
    """Ties go to the lowest index; increasing maps, and shuffles above and below the gap, change no table."""
    game, x = Warehouse(), np.array(numbers, dtype=np.float64)
    kept = sorted(range(10), key=lambda m: (-x[m], m))[:4]
    stock = game.stock(x)
    assert np.flatnonzero(stock).tolist() == sorted(kept)
    shuffled = x.copy()
    shuffled[kept] = 6.0 + np.array(first)
    shuffled[[m for m in range(10) if m not in kept]] = np.array(rest) - 6.0
    for other in (x**3 + 2 * x, np.sinh(x), 1e6 * x - 3, shuffled):
        np.testing.assert_array_equal(game.stock(other), stock)
        for one, two in zip(game.problems(x, 3), game.problems(other, 3), strict=True):
            assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in one.tables)


@given(arrays(np.float64, (3, 7), elements=st.floats(-1e300, 1e300) | st.floats(-25, 25)), st.integers(1, 6))
@settings(deadline=None)
def test_soft_largest(x: np.ndarray, count: int) -> None:
    """It sums to the count, keeps the order, and its gradients are finite for any x; y is x up to a shift, by the logit."""
    leaf = torch.tensor(x, requires_grad=True)
    y = soft_top_k_indicator(leaf, count)
    torch.testing.assert_close(y.sum(-1), torch.full((3,), float(count), dtype=torch.float64), rtol=0, atol=1e-9)
    assert bool((torch.diff(torch.gather(y, 1, torch.argsort(leaf, dim=1)), dim=1) >= 0).all())
    (gradient,) = torch.autograd.grad((y * torch.arange(7.0)).sum(), leaf)
    assert bool(torch.isfinite(gradient).all())
    np.testing.assert_allclose(soft_top_k_indicator(x, count), y.detach().numpy(), atol=1e-12)
    inside = ((y > 1e-6) & (y < 1 - 1e-6)).detach().numpy()
    for row, within in zip(range(3), inside, strict=True):
        if within.any():
            shift = torch.logit(y[row].detach()).numpy()[within] - x[row][within]
            assert np.ptp(shift) < 1e-6 * (1 + np.abs(x[row][within]).max())


def test_layouts_are_corners_of_the_relaxed_game() -> None:
    """The same return at every corner, and y(c x) tends to the layout of x; several pickers add up to each alone."""
    arguments: dict[str, Any] = {"rows": 3, "columns": 5, "candidates": 5, "shelves": 2, "seed": 3}
    binary, relaxed = Warehouse(**arguments), Warehouse(**arguments, variant="relaxed")
    for sites in combinations(range(5), 2):
        x = binary.commitment(sites)
        assert float(se.evaluate(relaxed, x).leader_return) == pytest.approx(float(se.evaluate(binary, x).leader_return), abs=1e-5)
    x = np.array([0.3, -0.5, 0.9, 0.1, 0.7])
    np.testing.assert_allclose(relaxed.stock(300 * x), top_k_indicator(x, 2), atol=1e-9)

    docks = (Picker((2, 2), (1, 2, 3, 4, 5)), Picker((0, 2), (2, 2, 1, 1, 1)))
    both, *alone = (
        Warehouse(**{**arguments, "candidates": binary.sites}, variant="relaxed", pickers=who) for who in (docks, docks[:1], docks[1:])
    )
    total = sum(float(se.evaluate(game, x).leader_return) for game in alone)
    assert float(se.evaluate(both, x).leader_return) == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("pickers", [1, 2])
def test_the_relaxed_gradient_is_the_derivative(pickers: int) -> None:
    game = Warehouse(variant="relaxed", rows=3, columns=4, candidates=5, shelves=2, pickers=pickers)
    x, rng = np.random.default_rng(1).normal(size=5), np.random.default_rng(2)
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    gradient = exact_gradient(oracle, torch.tensor(x), None, reaction=True).gradient.numpy()
    for direction in rng.normal(size=(3, 5)):
        up, down = (float(se.evaluate(game, x + step * direction).leader_return) for step in (1e-5, -1e-5))
        assert gradient @ direction == pytest.approx((up - down) / 2e-5, abs=1e-6)
    assert gradient.sum() == pytest.approx(0, abs=1e-9), "moving all components together changes nothing"


@pytest.mark.parametrize("name", solvers.SOLVERS)
def test_who_differentiates_declines_the_binary_game(name: str) -> None:
    """Those who accept take returns only, and improve on the first layout or stay."""
    game = Warehouse(rows=3, columns=4, candidates=4, shelves=2)
    solver = solvers.build(name)
    reason = solver.declines(RepeatedGame(game, None).oracle(solver.access, solver.permissions))
    if name in ("zeroth_order", "line_search"):
        assert reason is None
        return
    assert reason is not None
    if solver.declines(RepeatedGame(Warehouse(variant="relaxed")).oracle(solver.access, solver.permissions)) is None:
        assert "piecewise constant" in reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "relaxd"}, "did you mean 'relaxed'"),
        ({"rows": 1}, "rows is a whole number from 2"),
        ({"candidates": 60}, "has 59 free cells for candidates, and 60 are asked for"),
        ({"rows": 3, "columns": 3}, r"a floor of 3 x 3 has 5 free cells .* give fewer candidates \(and fewer shelves"),
        ({"candidates": [(1.7, 4), (0, 0)]}, r"each entry a list of 2, each a whole number, got \[\(1.7, 4\)"),
        ({"candidates": [(1, 4, 1), (0, 0)]}, r"each entry a list of 2, .* got \[\(1, 4, 1\)"),
        ({"pickers": [Picker((6.0, 4))]}, r"docks and candidates are cells .* got \(6.0, 4\)"),
        ({"seed": "a"}, "warehouse: seed is a whole number, got 'a'"),
        ({"candidates": [(6, 4), (0, 0)]}, "none is a dock"),
        ({"candidates": [(7, 0), (0, 0)]}, r"\(0, 0\) to \(6, 8\), got \(7, 0\)"),
        ({"candidates": [(0, 0), (0, 0)]}, "two different cells"),
        ({"shelves": 10}, "shelves is a whole number 1 to 9, got 10"),
        ({"pickers": 5}, "pickers is a whole number 1 to 4"),
        ({"pickers": [(6, 4)]}, "each entry a Picker"),
        ({"pickers": [Picker((6, 4), (1.0,))]}, "demand is 10 positive numbers"),
        ({"slip": 1.0}, "slip is a finite number at least 0.0 and below 1.0"),
        ({"worth": 0}, "worth is a finite number above 0"),
        ({"squeeze": -1.0}, "squeeze is a finite number at least 0"),
    ],
)
def test_senseless_warehouses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        se.game("warehouse-v0", **arguments)


def test_senseless_layouts_and_followers() -> None:
    game = Warehouse()
    for sites in ((0, 1, 2), (0, 1, 2, 2), (0, 1, 2, 10)):
        with pytest.raises(ValueError, match=r"4 different sites|whole number 0 to 9"):
            game.commitment(sites)
    with pytest.raises(PlanningError):  # an entropy of log 4 a step is worth more than a step costs
        se.evaluate(game, np.zeros(10), follower=se.Soft(2.0))


def test_the_map_shows_shelves_dock_and_order() -> None:
    env = se.make("warehouse-v0", render_mode="ansi")
    env.reset(seed=0, options={"context": "item 3 at (4, 4)"})
    env.step(Warehouse().commitment((0, 1, 2, 3)))
    lines = str(env.render()).splitlines()[1:]
    assert [lines[row][col] for row, col in ((5, 4), (6, 3), (6, 5))] == ["@"] * 3
    assert (lines[6][4], lines[4][4], lines[5][3]) == ("0", "G", " "), "the picker stands at the dock, and other sites are floor"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return json.loads((FOLDER / "recorded/warehouse.json").read_text())


def test_the_page_is_what_the_record_says(rows: list[dict[str, Any]]) -> None:
    assert study.page(rows) == (FOLDER / "warehouse.md").read_text(), (
        "run  python -m baselines.studies.warehouse with --record and --figure"
    )


def test_the_record_is_true(rows: list[dict[str, Any]]) -> None:
    """All 210 layouts of each instance are there; every fortieth, the certificates, the relaxed optima and what was found score as said."""
    assert [row["seed"] for row in rows] == list(study.INSTANCES)
    for row in rows:
        game, soft = Warehouse(seed=row["seed"]), Warehouse(variant="relaxed", seed=row["seed"])
        assert len(row["returns"]) == len(study.layouts(game)) == 210
        for i in range(row["seed"], 210, 40):
            assert study.referee_score(game, game.commitment(study.layouts(game)[i])) == pytest.approx(row["returns"][i], abs=1e-6)
        best = row["best"]
        assert best["return"] == max(row["returns"]) == pytest.approx(study.referee_score(game, best["x"]), abs=1e-6)
        assert row["relaxed"]["return"] == pytest.approx(study.referee_score(soft, row["relaxed"]["x"]), abs=1e-6)
        for one in ({"x": row["relaxed"]["x"], "return": row["relaxed"]["rounded"]}, *(runs[0] for runs in row["runs"].values())):
            assert study.referee_score(game, one["x"]) == pytest.approx(one["return"], abs=1e-6)
            assert min(abs(np.array(row["returns"]) - one["return"])) < 1e-6, "it is one of the layouts"
        assert row["relaxed"]["return"] == pytest.approx(best["return"], abs=1e-4), "the relaxation is tight"
        assert row["relaxed"]["rounded"] == pytest.approx(best["return"], abs=1e-9)
        alone = row["returns"][study.layouts(game).index(tuple(row["rules"]["each by itself"]))]
        assert study.rank(row["returns"], alone) == {0: 1, 1: 51, 2: 1}[row["seed"]]


def test_expected_best_of_draws() -> None:
    """Of two draws from {0, 1, 3}: (0 + 3 x 1 + 5 x 3) / 9."""
    assert study.expected_best([3.0, 0.0, 1.0], 2) == pytest.approx(18 / 9)
