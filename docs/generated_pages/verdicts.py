"""Which solver plays which game, and what it says if it declines: each solver is asked, and nothing is written down."""

from __future__ import annotations

import copy
from functools import cache

import stackelberg_envs as se
from baselines.bench import pieces
from solvers import Declined, Solver, admit
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame


@cache
def methods() -> dict[str, tuple[Solver, Access]]:
    """Every solver in its settings, and the access that it is granted."""
    return pieces.methods()


@cache
def _rounds(game: str) -> RepeatedGame:
    """A run on the game with its defaults; its follower answers the null commitment once, however many solvers ask."""
    played = se.game(game)
    follower = copy.copy(played.default_follower)
    answers: dict[int, se.Response] = {}

    def respond(*arguments: object, **settings: object) -> se.Response:
        if 0 not in answers:
            answers[0] = type(follower).respond(follower, *arguments, **settings)  # type: ignore[arg-type]
        return answers[0]

    object.__setattr__(follower, "respond", respond)
    return RepeatedGame(played, follower)


@cache
def verdict(method: str, game: str) -> str | None:
    """None if a method plays a game with its defaults, or why it declines."""
    solver, access = methods()[method]
    try:
        admit(solver, _rounds(game), access)
    except Declined as declined:
        return str(declined)
    return None
