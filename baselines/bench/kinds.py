"""What ``stackelberg check`` accepts, and how each kind is checked: games, environments of anybody, and solvers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
from pettingzoo import AECEnv, ParallelEnv

import solvers.registry
import stackelberg_envs.registry
from solvers import Estimator, Solver
from solvers.testing import check_solver
from stackelberg_envs.game import StackelbergGame
from stackelberg_envs.references import ReferenceNotFoundError, checked_class, describe
from stackelberg_envs.testing import Report, check_env, check_game
from stackelberg_envs.views.aec import StackelbergAEC
from stackelberg_envs.views.parallel import StackelbergParallel

Checks = Sequence[Callable[[Any], Report]]


@dataclass(frozen=True)
class Kind:
    """How things of one kind are checked."""

    words: str
    checks: Checks


_GAME: Checks = (check_game, lambda game: check_env(StackelbergAEC(game)), lambda game: check_env(StackelbergParallel(game)))
KINDS: dict[type, Kind] = {
    StackelbergGame: Kind("a game", _GAME),
    AECEnv: Kind("an AECEnv", (check_env,)),
    ParallelEnv: Kind("a ParallelEnv", (check_env,)),
    gymnasium.Env: Kind("a gymnasium.Env", (check_env,)),
    Solver: Kind("a solver", (check_solver,)),
    Estimator: Kind("an estimator", (check_solver,)),
}
"""By base class; the first one that fits counts."""


def load(what: str, arguments: Mapping[str, Any] | None = None) -> tuple[Any, Kind]:
    """The thing behind an id of a game, a name of a solver or a reference, built if it is a class or a function, and its kind.

    Args:
        what: the id, name or reference.
        arguments: what the class or the function is called with; None for nothing.

    Raises:
        KeyError: if there is no such name.
        ReferenceNotFoundError: if a reference leads nowhere, to something that cannot be built with these arguments, or to none of `KINDS`.
    """
    registry = solvers.registry.REGISTRY if what in solvers.registry.REGISTRY else stackelberg_envs.registry.REGISTRY
    found = registry.load(what)
    thing = found if _kind(found) is not None else _build(found, what, arguments or {})
    kind = _kind(thing)
    if kind is None:
        came = "is" if thing is found else "returns"
        raise ReferenceNotFoundError(f"{what} {came} {describe(thing)}; what can be checked is {_accepted()}")
    return thing, kind


def _kind(thing: Any) -> Kind | None:
    return next((kind for base, kind in KINDS.items() if isinstance(thing, base)), None)


def _accepted() -> str:
    return f"{', '.join(kind.words for kind in KINDS.values())}, a class of these, or a function that returns one"


def _build(found: Any, what: str, arguments: Mapping[str, Any]) -> Any:
    """What a class or a function makes of ``arguments``; other things as they are."""
    if inspect.isclass(found):
        if not issubclass(found, tuple(KINDS)):
            raise ReferenceNotFoundError(f"{what} is {describe(found)}; what can be checked is {_accepted()}")
        checked_class(found, tuple(KINDS), what)
    elif not callable(found):
        return found
    try:
        inspect.signature(found).bind(**arguments)
    except TypeError as error:
        raise ReferenceNotFoundError(
            f"{what}: {error}; give its arguments with --game KEY=VALUE, or refer to a function without arguments that returns one"
        ) from error
    try:
        return found(**arguments)
    except Exception as error:
        raise ReferenceNotFoundError(f"{what}: building it raised {type(error).__name__}: {error}") from error
