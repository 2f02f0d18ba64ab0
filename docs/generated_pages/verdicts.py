"""Which solver plays which game, and what it says if it declines: each solver is asked, and nothing is written down."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import stackelberg_envs as se
from baselines.bench import pieces
from solvers import Declined, Solver, admit
from stackelberg_envs.leader.access import Access, Oracle, Permission
from stackelberg_envs.leader.repeated_game import RepeatedGame

from .markdown import code

OTHERS = (se.Hard("strong"), se.SoftQLearning(0.1, 100))
"""Followers for whom some solvers are made."""


@cache
def methods() -> dict[str, tuple[Solver, Access]]:
    """Every solver in its settings, and the access that it is granted; settings that are the defaults are left out."""
    found: dict[str, tuple[Solver, Access]] = {}
    for method, (solver, access) in pieces.methods().items():
        if (repr(solver), access) not in [(repr(other), granted) for other, granted in found.values()]:
            found[method] = solver, access
    return found


@cache
def null_run(game: str) -> RepeatedGame:
    """A run on a game with its defaults, for the null commitment: its follower computes one answer in each context, whoever asks."""
    played = se.game(game)
    follower = copy.copy(played.default_follower)
    answers: dict[int, se.Response] = {}

    def respond(of: se.StackelbergGame, x: Any, context: int | str = 0, **settings: Any) -> se.Response:
        index = of.context_index(context)
        if index not in answers:
            answers[index] = type(follower).respond(follower, of, x, context, **settings)
        return answers[index]

    object.__setattr__(follower, "respond", respond)
    return RepeatedGame(played, follower)


@cache
def verdict(method: str, game: str) -> str | None:
    """None if a method plays a game with its defaults, or why it declines."""
    solver, access = methods()[method]
    try:
        admit(solver, null_run(game), access)
    except Declined as declined:
        return str(declined)
    return None


@cache
def _oracle(game: str, other: int, access: Access, permissions: Permission) -> Oracle:
    """The handle on a game against one of `OTHERS`."""
    return RepeatedGame(null_run(game).game, OTHERS[other]).oracle(access, permissions)


def other_followers(method: str, game: str) -> list[str]:
    """Followers, beside the game's own, against whom a method plays a game; it is asked, and they do not answer."""
    solver, access = methods()[method]
    oracles = (_oracle(game, other, access, solver.permissions) for other in range(len(OTHERS)))
    return [code(repr(OTHERS[i])) for i, oracle in enumerate(oracles) if pieces.plays(solver, oracle, [])]


def access_words(method: str) -> str:
    """Level and permissions that a method is granted, as in ``MODEL + TRAINING``."""
    solver, access = methods()[method]
    return " + ".join([access.name, *(str(permission.name) for permission in solver.permissions)])
