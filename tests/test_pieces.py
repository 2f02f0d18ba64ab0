"""What a game says of its instrument is what its leader moves; else the kit fails it, and who must trust it declines."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from broken_pieces import BROKEN_PIECES, BROKEN_STEPS, REWARD_PIECES, Steered, With
from small_games import Bonuses

import stackelberg_envs as se
from solvers import Declined, solve
from stackelberg_envs.piece_errors import piece_errors
from stackelberg_envs.registry import GAMES
from stackelberg_envs.testing import ConformanceError, check_game
from stackelberg_envs.testing.report import Violation
from stackelberg_envs.testing.sampled_checks import steered_rewards

LARGE = {"tax_design-v0": {"grid": 21, "hours": 3, "spendings": 2}, "sentinel_intruder-v0": {"size": 2}}


def test_the_sound_game_passes() -> None:
    check_game(Steered())


@pytest.mark.parametrize("name", [*BROKEN_PIECES, "leader_cost of steps, omitted"])
def test_the_kit_says_what_is_wrong(name: str) -> None:
    """The named check fails, and says what to write."""
    build, check, said = {**BROKEN_PIECES, **BROKEN_STEPS}[name]
    with pytest.raises(ConformanceError, match=f"{re.escape(check)}: .*{re.escape(said)}"):
        check_game(build())


@pytest.mark.parametrize("name", BROKEN_STEPS)
def test_steps_say_what_is_wrong(name: str) -> None:
    """The check alone: the others of worlds without tables take seconds."""
    build, _, said = BROKEN_STEPS[name]
    game = build()
    with pytest.raises(Violation, match=re.escape(said)):
        steered_rewards(game, np.stack([np.zeros(game.dimension), np.ones(game.dimension)]))


@pytest.mark.parametrize("name", [name for name in BROKEN_PIECES if not name.startswith("shading")])
def test_two_commitments_show_it(name: str) -> None:
    """What the kit finds by three commitments, admission finds by two."""
    build, _, said = BROKEN_PIECES[name]
    assert said in "; ".join(piece_errors(build()))


@pytest.mark.parametrize("id", GAMES)
def test_no_game_of_the_suite_is_at_fault(id: str) -> None:
    assert not piece_errors(se.game(id, **LARGE.get(id, {})))


@pytest.mark.parametrize("name", [name for name in REWARD_PIECES if name.startswith("leader_cost")])
def test_who_trusts_the_pieces_declines(name: str) -> None:
    """The leader's side alone: whether a leader is admitted must not depend on the followers' rewards, which are theirs."""
    build, _, said = REWARD_PIECES[name]
    with pytest.raises(Declined, match=f"HPGDKernel knows the leader's instrument .*{re.escape(said)}"):
        solve(build(), "hpgd_kernel", budget=2)


@pytest.mark.parametrize(("solver", "settings"), [("hpgd", {}), ("sobirl", {}), ("bchg", {"level": "policy"})])
def test_wrong_and_silent_no_more(solver: str, settings: dict[str, Any]) -> None:
    """Issue: a game without ``leader_cost`` whose leader pays was climbed the wrong way; now it is declined, and with it all play."""
    game = Bonuses(discount=0.5, price=1.0)
    with pytest.raises(Declined, match=r"leader_reward moves with x, and the game has no leader_cost: write leader_cost\(x, context\)"):
        solve(With(game, leader_cost=None), solver, budget=2, start=np.ones(12), **settings)
    solve(game, solver, budget=2, start=np.ones(12), **settings)


def test_who_does_not_need_them_plays_on() -> None:
    game = With(Bonuses(discount=0.5, price=1.0), leader_cost=None)
    assert solve(game, "implicit", budget=2).cost.commitments == 2
    assert solve(game, "zeroth_order", budget=4).cost.commitments


def test_the_follower_whose_rewards_are_left_out_is_named() -> None:
    """Two followers are paid by the leader, and the incentive says so of one."""
    game = Steered()
    half = With(game, incentive=lambda x, context=0: (game.incentive(x, context)[0], 0 * game.incentive(x, context)[1]))
    said = piece_errors(half)
    assert said
    assert all("in the rewards of follower_1;" in error for error in said)
    assert "in the rewards of follower_0 and follower_1, and" in piece_errors(With(game, incentive=None))[0]
