"""Environments by id or reference, and their names in PettingZoo, in Gymnasium and as modules."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import gymnasium
import pettingzoo

from .. import registry
from ..arguments import ArgumentError
from ..game import StackelbergGame
from ..references import is_reference
from .aec import StackelbergAEC
from .parallel import StackelbergParallel

_VIEW_ARGUMENTS = ("view", "observations", "max_cycles", "render_mode")
_PACKAGE = registry.__name__.rpartition(".")[0]
_VECTORS = {"Leader": "leader_vector_env", "Follower": "follower_vector_env"}
_SIDES = tuple(_VECTORS)


def make(id: str, **kwargs: Any) -> StackelbergAEC:
    """The canonical AEC environment of a game, leader first.

    Args:
        id: e.g. ``"four_rooms-v0"``; or a reference, as in `stackelberg_envs.game`.
        **kwargs: arguments of `stackelberg_envs.views.aec.StackelbergAEC` (view, observations, max_cycles, render_mode); the rest goes
            to the game.

    Raises:
        ArgumentError: for a game in place of an id.
    """
    _check_id("make", id, StackelbergAEC)
    view, rest = _split(kwargs)
    return _with_name(StackelbergAEC(registry.game(id, **rest), **view), id)


def make_parallel(id: str, **kwargs: Any) -> StackelbergParallel:
    """The parallel environment of a game; two-phase unless ``view="simultaneous"``.

    Args:
        id: e.g. ``"four_rooms-v0"``; or a reference, as in `stackelberg_envs.game`.
        **kwargs: arguments of `stackelberg_envs.views.parallel.StackelbergParallel`; the rest goes to the game.

    Raises:
        ArgumentError: for a game in place of an id.
    """
    _check_id("make_parallel", id, StackelbergParallel)
    view, rest = _split(kwargs)
    return _with_name(StackelbergParallel(registry.game(id, **rest), **view), id)


def pettingzoo_module(name: str) -> ModuleType:
    """What PettingZoo calls an environment module, e.g. ``four_rooms_v0``: ``env``, ``raw_env`` and ``parallel_env``.

    ``env`` is ``raw_env``: what PettingZoo's wrappers check is checked inside, with better messages and a tenth of the cost.
    """
    id = re.sub(r"_v(?=\d+$)", "-v", name)
    module = ModuleType(f"{_PACKAGE}.{name}", f"PettingZoo's view of {id}: env, raw_env and parallel_env.")

    def env(**kwargs: Any) -> StackelbergAEC:
        return make(id, **kwargs)

    def parallel_env(**kwargs: Any) -> StackelbergParallel:
        return make_parallel(id, **kwargs)

    module.__dict__.update(env=env, raw_env=env, parallel_env=parallel_env)
    return module


def register(id: str, entry: str | type[StackelbergGame] | Callable[..., StackelbergGame]) -> None:
    """Give a game of yours an id; from then on it has everything that the suite's own have.

    That is: a place in `stackelberg_envs.games`, `stackelberg_envs.game`, `stackelberg_envs.make` and ``make_parallel``; the PettingZoo id
    ``stackelberg/my_game-v0``; the Gymnasium ids ``Stackelberg/MyGame-Leader-v0`` and ``-Follower-v0``; and the module
    ``stackelberg_envs.my_game_v0``.  Nothing is imported before it is asked for.  The same registration again is silent.

    Args:
        id: lower_case and a version, e.g. ``"my_game-v0"``.
        entry: a reference (``package.module:Name`` or ``path/to/file.py:Name``, from here), a class of games, or a function that returns a
            game.

    Raises:
        RegistrationError: if the id is of another form or taken, or the entry is none.
        ReferenceNotFoundError: if a class is none of games, or lacks something.
    """
    registry.register(id, entry)
    _publish(id)


def register_all() -> None:
    """Register every game, those that installed packages advertise among them, with PettingZoo (if it is 1.27 or newer) and Gymnasium.

    Silent when repeated.
    """
    registry.REGISTRY.discover()
    for side in _SIDES:
        _register_gymnasium(f"Stackelberg/{side}-v0", side, {})  # of any game: game=id or reference
    for id in registry.games():
        _publish(id)


@contextmanager
def isolation() -> Iterator[None]:
    """Games that are registered inside are forgotten at the end, by PettingZoo and Gymnasium too; for tests."""
    before = set(registry.games())
    with registry.REGISTRY.isolation():
        try:
            yield
        finally:
            for id in set(registry.games()) - before:
                _withdraw(id)


class _Maker:
    """A picklable entry point that builds an environment only when called."""

    def __init__(self, make: Callable[..., Any], id: str) -> None:
        self.make, self.id = make, id

    def __call__(self, **kwargs: Any) -> Any:
        return self.make(self.id, **kwargs)


def _publish(id: str) -> None:
    """Make the views of a registered game known to PettingZoo and Gymnasium, and as a module; silent when repeated."""
    for kind, known in _pettingzoo_registries().items():
        if f"stackelberg/{id}" not in known:
            pettingzoo.register(kind, f"stackelberg/{id}", entry_point=_Maker(make if kind == "aec" else make_parallel, id))
    for side in _SIDES:
        for name in registry.gymnasium_ids(id, side):
            _register_gymnasium(name, side, {"game": id})
    name = registry.module_name(id)
    module = sys.modules.setdefault(f"{_PACKAGE}.{name}", pettingzoo_module(name))
    setattr(sys.modules[_PACKAGE], name, module)


def _register_gymnasium(id: str, side: str, arguments: dict[str, Any]) -> None:
    if id not in gymnasium.registry:
        single, many = f"{__package__}.gym:{side}Env", f"{__package__}.vector:{_VECTORS[side]}"
        gymnasium.register(id, entry_point=single, vector_entry_point=many, kwargs=arguments)


def _withdraw(id: str) -> None:
    """The opposite of `_publish`."""
    for known in _pettingzoo_registries().values():
        known.pop(f"stackelberg/{id}", None)
    for side in _SIDES:
        for name in registry.gymnasium_ids(id, side):
            gymnasium.registry.pop(name, None)
    sys.modules.pop(f"{_PACKAGE}.{registry.module_name(id)}", None)
    vars(sys.modules[_PACKAGE]).pop(registry.module_name(id), None)


def _pettingzoo_registries() -> dict[Any, dict[str, Any]]:
    """PettingZoo's registries by kind of environment; none before 1.27."""
    try:
        from pettingzoo.env_registry.registration import aec_registry, parallel_registry
    except ImportError:
        return {}
    return {"aec": aec_registry, "parallel": parallel_registry}


def _with_name(env: Any, id: str) -> Any:
    """An environment that goes by its id, version included; one by reference goes by the name of its game."""
    if not is_reference(id):
        env.metadata["name"] = registry.module_name(registry.REGISTRY.full_name(id))
    return env


def _check_id(maker: str, id: Any, view: type) -> None:
    if not isinstance(id, str):
        raise ArgumentError(f"{maker} takes an id or a reference, got {id!r}; of a game that is built, make {view.__name__}(game)")


def _split(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of the view, and the rest.  ``max_cycles`` is the view's: it overrides the game's own."""
    return {k: v for k, v in kwargs.items() if k in _VIEW_ARGUMENTS}, {k: v for k, v in kwargs.items() if k not in _VIEW_ARGUMENTS}
