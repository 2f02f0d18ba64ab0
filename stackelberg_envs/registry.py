"""One table of strings: which games there are, and how to build a view of one.

A new game is one file in ``games/`` and one line here; from that line it gets every view, exact scores, contract tests, a command-line
name and a place in the docs.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import gymnasium

from .arguments import nearest
from .game import StackelbergGame

if TYPE_CHECKING:
    from .views.aec import StackelbergAEC
    from .views.parallel import StackelbergParallel

GAMES = {
    "four_rooms-v0": "four_rooms:FourRooms",
    "toy3-v0": "toy3:Toy3",
    "random_markov_game-v0": "random_markov_game:RandomMarkovGame",
    "bimatrix-v0": "bimatrix:Bimatrix",
    "zero_sum_incentive-v0": "zero_sum_incentive:ZeroSumIncentive",
    "sentinel_intruder-v0": "sentinel_intruder:SentinelIntruder",
    "escape_room-v0": "escape_room:EscapeRoom",
    "contract_tree-v0": "contract_tree:ContractTree",
    "preference-v0": "preference:Preference",
    "lq_gain-v0": "lq_gain:LQGain",
    "building-v0": "building:Building",
    "continuous_toy-v0": "continuous_toy:ContinuousToy",
    "guided_cartpole-v0": "guided_cartpole:GuidedCartPole",
    "guided_pendulum-v0": "guided_pendulum:GuidedPendulum",
    "tax_design-v0": "tax_design:TaxDesign",
    "tax_economy-v0": "tax_economy:TaxEconomy",
    "warehouse-v0": "warehouse:Warehouse",
}
"""Id to module and class, below `stackelberg_envs.games`; imported only when asked for."""

_VIEW_ARGUMENTS = ("view", "observations", "max_cycles", "render_mode")


def games() -> tuple[str, ...]:
    """The ids of all games."""
    return tuple(GAMES)


def game_class(id: str) -> type[StackelbergGame]:
    """The class behind an id.

    Raises:
        KeyError: if there is no such game; the message suggests the nearest.
    """
    known = id if id in GAMES else f"{id}-v0"
    if known not in GAMES:
        raise KeyError(f"no game {id!r}; {nearest(id, games())}")
    module, name = GAMES[known].split(":")
    return getattr(importlib.import_module(f".games.{module}", __package__), name)


def game(id: str, **kwargs: Any) -> StackelbergGame:
    """The functional game: ``commit(x, context)`` and its declarations.

    Args:
        id: e.g. ``"four_rooms-v0"``.
        **kwargs: arguments of the game.

    Raises:
        KeyError: if there is no such game.
        TypeError: if the game takes no such argument.
    """
    cls = game_class(id)
    try:
        return cls(**kwargs)
    except TypeError as error:
        known = [name for name in cls.__init__.__kwdefaults__ or {} if name not in _VIEW_ARGUMENTS]
        unknown = [name for name in kwargs if name not in (cls.__init__.__kwdefaults__ or {})]
        if unknown:
            raise TypeError(f"{id} takes no argument {unknown[0]!r}; {nearest(unknown[0], known)}") from error
        raise


def make(id: str, **kwargs: Any) -> StackelbergAEC:
    """The canonical AEC environment of a game, leader first.

    Args:
        id: e.g. ``"four_rooms-v0"``.
        **kwargs: arguments of `stackelberg_envs.views.aec.StackelbergAEC` (view, observations, max_cycles, render_mode); the rest goes
            to the game.
    """
    from .views.aec import StackelbergAEC

    view, rest = _split(kwargs)
    return StackelbergAEC(game(id, **rest), **view)


def make_parallel(id: str, **kwargs: Any) -> StackelbergParallel:
    """The parallel environment of a game; two-phase unless ``view="simultaneous"``.

    Args:
        id: e.g. ``"four_rooms-v0"``.
        **kwargs: arguments of `stackelberg_envs.views.parallel.StackelbergParallel`; the rest goes to the game.
    """
    from .views.parallel import StackelbergParallel

    view, rest = _split(kwargs)
    return StackelbergParallel(game(id, **rest), **view)


def pettingzoo_module(name: str) -> ModuleType:
    """What PettingZoo calls an environment module, e.g. ``four_rooms_v0``: ``env``, ``raw_env`` and ``parallel_env``.

    ``env`` is ``raw_env``: what PettingZoo's wrappers check is checked inside, with better messages and a tenth of the cost.
    """
    id = name.replace("_v0", "-v0")
    module = ModuleType(f"{__package__}.{name}", f"PettingZoo's view of {id}: env, raw_env and parallel_env.")

    def env(**kwargs: Any) -> StackelbergAEC:
        return make(id, **kwargs)

    def parallel_env(**kwargs: Any) -> StackelbergParallel:
        return make_parallel(id, **kwargs)

    module.__dict__.update(env=env, raw_env=env, parallel_env=parallel_env)
    return module


def camel(id: str) -> str:
    """``"four_rooms-v0"`` to ``"FourRooms"``."""
    return "".join(part.capitalize() for part in id.removesuffix("-v0").split("_"))


def register_all() -> None:
    """Register every game with PettingZoo (if it is 1.27 or newer) and Gymnasium; silent when repeated."""
    try:
        from pettingzoo import register
        from pettingzoo.env_registry.registration import aec_registry, parallel_registry
    except ImportError:  # PettingZoo before 1.27 has no registry
        register, aec_registry, parallel_registry = None, {}, {}
    for id in games():
        name = f"stackelberg/{id}"
        module = f"{__package__}.{id.replace('-', '_')}"
        if register is not None and name not in aec_registry:
            register("aec", name, entry_point=_Maker(module, "env"))
        if register is not None and name not in parallel_registry:
            register("parallel", name, entry_point=_Maker(module, "parallel_env"))
        for side in ("Leader", "Follower"):
            gym_id = f"Stackelberg/{camel(id)}-{side}-v0"
            if gym_id not in gymnasium.registry:
                gymnasium.register(
                    gym_id,
                    entry_point=f"{__package__}.views.gym:{side}Env",
                    vector_entry_point=f"{__package__}.views.vector:{side}VectorEnv",
                    kwargs={"game": id},
                )


class _Maker:
    """A picklable entry point that builds an environment only when called."""

    def __init__(self, module: str, attribute: str) -> None:
        self.module, self.attribute = module, attribute

    def __call__(self, **kwargs: Any) -> Any:
        return getattr(pettingzoo_module(self.module.rpartition(".")[2]), self.attribute)(**kwargs)


def _split(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of the view, and the rest.  ``max_cycles`` is the view's: it overrides the game's own."""
    return {k: v for k, v in kwargs.items() if k in _VIEW_ARGUMENTS}, {k: v for k, v in kwargs.items() if k not in _VIEW_ARGUMENTS}
