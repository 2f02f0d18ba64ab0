"""Followers as configurations and the command line give them: by the suite's name, or by a place in code."""

from __future__ import annotations

from typing import Any

import stackelberg_envs as se
from stackelberg_envs import references

from .source import foreign

FOLLOWERS = {
    follower.__name__: follower
    for follower in (
        *(se.Soft, se.SoftInside, se.Hard, se.Quantal, se.Truncated, se.MirrorDescent, se.EpsilonOptimal, se.Saddle, se.Nash, se.SoftNash),
        *(se.SoftQLearning, se.NaturalPolicyGradient, se.IndependentQLearning),
    )
}


def build(kind: str, *, pretraining: int = 0, **settings: Any) -> se.Follower:
    """A follower by one of the names in `FOLLOWERS`, or by a reference to a class or to a function that returns one.

    Args:
        kind: the name, or the reference.
        pretraining: so many steps of its training come before its first answer (`stackelberg_envs.Pretrained`); 0 for none.
        settings: its own.

    Raises:
        ReferenceNotFoundError: if the reference leads nowhere, or to something that is no follower.
        TypeError: if it has no such setting.
    """
    if kind in FOLLOWERS:
        return _pretrained(FOLLOWERS[kind](**settings), pretraining)
    found: Any = references.load(kind)
    if not callable(found):
        raise references.ReferenceNotFoundError(f"{kind} is {references.describe(found)}, and not a class of followers")
    follower: Any = found(**settings)
    for needed in ("respond", "temperature"):
        if not hasattr(follower, needed):
            raise references.ReferenceNotFoundError(
                f"{kind} is no follower, for it has no {needed}; give it respond(game, x, context, ...) and temperature, as in "
                "stackelberg_envs.Follower"
            )
    return _pretrained(follower, pretraining)


def _pretrained(follower: Any, steps: int) -> Any:
    return se.Pretrained(follower, steps) if steps else follower


def identity(follower: se.Follower) -> str:
    """What names a follower on every machine: its ``repr``, after its module if it is none of the suite's.

    Raises:
        ValueError: if its ``repr`` does not say its settings.
    """
    cls = type(follower)
    if cls.__repr__ is object.__repr__:
        raise ValueError(
            f"{cls.__name__} does not say its settings, by which results are found again; make the follower a dataclass, or give it a "
            "__repr__"
        )
    return f"{cls.__module__}:{follower!r}" if foreign(cls) else repr(follower)
