"""The study of equilibrium selection: what its page says is recorded, the record is true, and theory says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stackelberg_envs as se
from baselines.studies import selection as study
from stackelberg_envs.games.escape_room import EscapeRoom

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return json.loads((FOLDER / "recorded/selection.json").read_text())


def test_the_page_is_what_the_record_says(rows: list[dict[str, Any]]) -> None:
    assert study.page(rows) == (FOLDER / "selection.md").read_text(), (
        "run  python -m baselines.studies.selection with --record and --figure"
    )


def test_the_record_is_true(rows: list[dict[str, Any]]) -> None:
    """Every tenth point of a curve, what was found, and the promise, again."""
    *games, last = rows
    assert [tuple(row["game"]) for row in games] == list(study.GAMES)
    for row in games:
        game = EscapeRoom(**dict(zip(("agents", "needed", "steps"), row["game"], strict=True)))
        for paid, point in list(zip(row["lever"], row["curves"], strict=True))[::10]:
            assert {name: pytest.approx(one, abs=1e-9) for name, one in point.items()} == study.score_all_selections(game, (paid, 0, 0))
        for name, found in row["found"].items():
            again = study.score_selection(game, found["paid"], name)
            assert again["return"] == pytest.approx(found["return"], abs=1e-9)
            assert again["regret"] <= study.PURE
        assert study.first_step(*row["game"])["worst"] == pytest.approx(row["first_step"]["worst"], abs=1e-9)
    for i in range(0, len(last["lever"]), 10):
        paid = last["lever"][i]
        for again, point in ((study.pay_all_places(paid), last["beside"][i]), (study.promise(paid), last["promised"][i])):
            assert {name: pytest.approx(one, abs=1e-9) for name, one in point.items()} == again
    assert study.promise() == {name: pytest.approx(one, abs=1e-9) for name, one in last["promise"].items()}


def test_no_pure_equilibrium_beats_the_ceiling(rows: list[dict[str, Any]]) -> None:
    """M followers must be paid for their move to the lever: cooperative value - cost M; payments at the first step alone come up to it."""
    for row in rows[:-1]:
        _, needed, _ = row["game"]
        ceiling = row["cooperative"] - needed
        every = [*row["curves"], row["unpaid"], row["zero"], row["first_step"]]
        assert all(one["return"] <= ceiling + 1e-6 for point in every for one in point.values() if one["regret"] <= study.PURE)
        for name in study.SELECTIONS:
            assert row["found"][name]["return"] <= ceiling + 1e-6
            assert row["first_step"][name]["regret"] <= study.PURE
            assert row["first_step"][name]["return"] == pytest.approx(ceiling - 0.01 * needed, abs=1e-6)


def test_played_once_the_closed_form() -> None:
    """Two followers, one needed: 9 - p where p > 1 is paid for the lever and 0 below, so 9 - M (1 + epsilon), whatever is selected."""
    game = EscapeRoom(agents=2, needed=1, steps=1)
    grid = np.arange(0.005, 2, 0.05)
    for selection in study.SELECTIONS:
        returns = np.array([study.score_selection(game, (paid, 0, 0), selection)["return"] for paid in grid])
        np.testing.assert_allclose(returns, np.where(grid > 1, 9 - grid, 0), atol=1e-6)
        assert grid[returns.argmax()] == pytest.approx(1.005)
        assert returns.max() == pytest.approx(9 - 1.005, abs=1e-6)


@pytest.mark.parametrize(("agents", "needed"), [(2, 1), (3, 2), (3, 1), (5, 3)])
def test_played_once_the_equilibrium_is_unique_up_to_names(agents: int, needed: int) -> None:
    """M go to the lever if it pays more than 1 above the best other place, whose movers lose 1; otherwise all go to that place."""
    game, rng = EscapeRoom(agents=agents, needed=needed, steps=1), np.random.default_rng(agents)
    for paid in rng.uniform(0, 2, size=(20, 3)):
        lever, start, door = paid
        alternatives = max(start, door - 1)
        if lever - 1 > alternatives:
            expected = 10 * (agents - needed) - needed - needed * lever - (agents - needed) * door
        else:
            expected = agents * (-start if start > door - 1 else -1 - door)
        for one in study.score_all_selections(game, paid).values():
            assert one["rest"] == 1
            assert one["regret"] <= study.PURE
            assert one["return"] == pytest.approx(expected, abs=1e-6)


def test_a_promise_makes_a_stag_hunt() -> None:
    """Waiting pays .15 for sure; going to the lever pays -1 + .99 x 1.4 if another one goes, and -1 alone.  Both are equilibria."""
    found = study.promise()
    together = 10 * 0.99 - 2 - study.WAITING - 2 * 0.99 * study.PROMISED
    for name, value in {"best": together, "payoff": together, "worst": -3 * study.WAITING, "risk": -3 * study.WAITING}.items():
        assert found[name]["return"] == pytest.approx(value, abs=1e-6)
        assert found[name]["regret"] <= study.PURE


def test_best_is_best_state_by_state_only() -> None:
    room, x = se.game("escape_room-v0"), study.logits((1.93, 1.25, 1.68))
    best, risk = (se.evaluate(room, x, follower=se.Nash(how)) for how in ("best", "risk"))
    assert max(best.follower_gap, risk.follower_gap) < 1e-9
    assert risk.leader_return > best.leader_return + 11
