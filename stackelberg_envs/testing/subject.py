"""What is checked: an environment, where fresh ones come from, who leads, and what its author says of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from pettingzoo import AECEnv

from .driver import Driver, Snapshot, drive, has_model
from .report import NotChecked, require
from .roles import Roles

STEPS = 250
"""Moves that are played where an episode does not end before."""
LIMITS = ("max_cycles", "max_steps", "max_episode_steps", "_max_cycles", "_max_steps", "_max_episode_steps", "time_limit")
"""Attributes that are taken for a limit on an episode's length."""
Changes = str | Sequence[str] | Mapping[str, Any]
"""Names of attributes, or what to set them to: a value, or a function of the present one."""


@dataclass
class Subject:
    """An environment to check.

    Attributes:
        env: the environment that is played.
        seed: of the episodes.
        roles: who leads and who follows.
        build: returns a fresh environment; None where there is no way to one.
        max_moves: after how many moves an episode is given up.
        spaces: in each episode that was looked at, the observation space of each agent; agents may come and go.
    """

    env: Any
    seed: int
    roles: Roles
    build: Callable[[], Any] | None
    max_moves: int = 2000
    spaces: list[dict[str, Any]] = field(default_factory=list)

    @property
    def aec(self) -> bool:
        """Whether agents act one at a time."""
        return isinstance(self.env, AECEnv)

    @property
    def ours(self) -> bool:
        """Whether the environment is a view of this suite."""
        return has_model(self.env)

    @property
    def commits_to_a_vector(self) -> bool:
        """Whether the leader acts in a box."""
        return isinstance(self.env.action_space(self.roles.leader), Box)

    def fresh(self) -> Any:
        """An environment that nobody has played."""
        if self.build is None:
            raise NotChecked("the environment cannot be copied; pass a function that builds it")
        return self.build()

    def play(self, env: Any = None, moves: int = STEPS, *, seed: int | None = None, **options: Any) -> list[Snapshot]:
        """An episode's moments; options are those of `Driver`."""
        return list(drive(self.env if env is None else env, self.seed if seed is None else seed, moves, self.roles, **options))

    def driver(self, env: Any = None, **options: Any) -> Driver:
        """An episode to play move by move."""
        return Driver(self.env if env is None else env, self.seed, self.roles, **options)

    def limit(self) -> tuple[str, int] | None:
        """The attribute that limits an episode's length, and its value."""
        for name in LIMITS:
            value = getattr(self.env.unwrapped, name, None)
            if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 0:
                return name, int(value)
        return None


def subject_of(given: Any, env: Any, seed: int, roles: Roles, max_moves: int) -> Subject:
    """What is checked, with fresh environments from a function if one is given, or else from a copy made now."""
    if given is not env:
        return Subject(env, seed, roles, given, max_moves)
    game = getattr(env.unwrapped, "game", None)
    shared = {id(game): game} if has_model(env) else {}  # games are never written to, and their tables may be large
    try:
        kept = copy.deepcopy(env, dict(shared))
    except Exception:  # whatever a stranger's environment holds: the check of copies says more
        return Subject(env, seed, roles, None, max_moves)
    return Subject(env, seed, roles, lambda: copy.deepcopy(kept, dict(shared)), max_moves)


def change_attributes(env: Any, changes: Mapping[str, Any]) -> None:
    """Set attributes of ``env.unwrapped``, to values or to functions of what they are."""
    inner = env.unwrapped
    for name, change in changes.items():
        require(hasattr(inner, name), f"{type(inner).__name__} has no attribute {name!r}")
        present = getattr(inner, name)
        setattr(inner, name, change(present) if callable(change) else copy.deepcopy(change))


def other_number(value: Any) -> Any:
    """1 - 3 times a number, or each number of an array, list or dictionary."""
    if isinstance(value, Mapping):
        return {key: other_number(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(other_number(one) for one in value)
    number = np.asarray(value)
    require(number.dtype.kind in "iuf", f"{value!r} is no number; say what to change it to, as in private={{'name': value}}")
    return 1 - 3 * value
