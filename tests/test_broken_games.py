"""The zoo of broken games: each is noticed by the check that the page says, and no healthy game by any."""

from __future__ import annotations

import re

import numpy as np
import pytest
from broken_games import BROKEN_GAMES, PAGE, table
from broken_pieces import Steered
from broken_worlds import bonuses, masked
from small_games import Umpired

import stackelberg_envs as se
from stackelberg_envs.processes.constants import Constants
from stackelberg_envs.testing import ConformanceError, check_game
from stackelberg_envs.testing.modified_games import GameWithSuccessorLists


@pytest.mark.parametrize("name", BROKEN_GAMES)
def test_the_named_check_finds_it(name: str) -> None:
    build, check, said, _ = BROKEN_GAMES[name]
    with pytest.raises(ConformanceError, match=rf"\n  {re.escape(check)}: .*{re.escape(said)}"):
        check_game(build())


def test_what_they_are_made_from_is_healthy() -> None:
    """In other layouts, and under another seed of the kit, too; the games of the registry are in `test_games`."""
    healthy = [bonuses(), masked(), Steered(), Umpired(follower_sees="action", contexts=2), Umpired(follower_sees="policy")]
    for seed, game in enumerate([*healthy, GameWithSuccessorLists(bonuses()), GameWithSuccessorLists(masked())]):
        report = check_game(game, seed=seed)
        assert "episodes follow the tables" in report.passed
        assert ("operations of a transition agree with its rows" in report.passed) == isinstance(game, GameWithSuccessorLists)


def test_rows_that_end_an_episode_are_noted() -> None:
    """A number that was forgotten looks like an end, which is allowed: the report says how many there are, and where the largest is."""
    transition = np.full((3, 2, 3), 1 / 3)
    transition[1, 1], transition[2, 0] = (0.4, 0.4, 0.1), (0.5, 0.3, 0.0)
    world = {"follower_discount": 0.9, "instrument": se.Subsidies(), "available": np.array([[True, True], [True, True], [True, False]])}
    report = check_game(se.from_arrays(transition, 0, [0, 0, 1], **world))
    lost = "episodes may end in 2 of 5 rows, least sum 0.8 at (s=2, a=0, b=0); if no episode should end there, rows lost probability"
    assert report.notes == [f"{lost}; endless=True (--endless) makes this an error"]
    with pytest.raises(ConformanceError) as found:
        check_game(se.from_arrays(transition, 0, [0, 0, 1], **world), endless=True)
    assert found.value.report is not None
    assert found.value.report.failed == {"episodes have no end": lost}
    assert "  episodes may end in 2 of 5 rows" in str(report)
    assert check_game(bonuses()).notes == []
    assert "episodes have no end" in check_game(bonuses(), endless=True).passed


def test_constants_are_in_double_precision() -> None:
    """Widened to float64, 0.1 in float32 would be off by 1e-9, and no table would show it."""
    with pytest.raises(ValueError, match=r"effort is float32, .*: make effort in float64"):
        Constants(effort=np.full(3, 0.1, np.float32))
    assert Constants(effort=np.full(3, 0.1), here=np.arange(3)).like(np.zeros(1)).effort.dtype == np.float64


def test_far_commitments_may_saturate() -> None:
    """A price that overflows on its way to 0 is no NaN: the registry's games pass with warnings as errors, and so does this one."""
    game = se.game("four_rooms-v0")
    assert np.isfinite(se.evaluate(game, np.full(105, 1e6)).leader_return)


def test_the_page_has_the_table() -> None:
    """``python tests/broken_games.py`` writes it."""
    assert table() in PAGE.read_text()
