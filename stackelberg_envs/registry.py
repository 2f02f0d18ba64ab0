"""Which games there are, and where: the suite's own by a table of strings, those of others by registration, entry point or reference.

A new game of the suite is one file in ``games/`` and one line here; from that line it gets every view, exact scores, contract tests, a
command-line name and a place in the docs.  A game of anybody else gets the same from `stackelberg_envs.register`, or from an entry point of
the group ``stackelberg_envs.games``; and any is named by its place in code, ``package.module:Name`` or ``path/to/file.py:Name``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from .arguments import no_argument
from .game import StackelbergGame
from .plugins import RegistrationError, Registry
from .references import ReferenceNotFoundError, checked_class, describe

GAMES = {
    "four_rooms-v0": "four_rooms:FourRooms",
    "toy3-v0": "toy3:Toy3",
    "random_markov_game-v0": "random_markov_game:RandomMarkovGame",
    "bimatrix-v0": "bimatrix:Bimatrix",
    "zero_sum_incentive-v0": "zero_sum_incentive:ZeroSumIncentive",
    "sentinel_intruder-v0": "sentinel_intruder:SentinelIntruder",
    "escape_room-v0": "escape_room:EscapeRoom",
    "contract_tree-v0": "contract_tree:ContractTree",
    "subsidy-v0": "subsidy:Subsidy",
    "security-v0": "security:Security",
    "preference-v0": "preference:Preference",
    "lq_gain-v0": "lq_gain:LQGain",
    "building-v0": "building:Building",
    "continuous_toy-v0": "continuous_toy:ContinuousToy",
    "guided_cartpole-v0": "guided_cartpole:GuidedCartPole",
    "guided_pendulum-v0": "guided_pendulum:GuidedPendulum",
    "tax_design-v0": "tax_design:TaxDesign",
    "tax_economy-v0": "tax_economy:TaxEconomy",
    "warehouse-v0": "warehouse:Warehouse",
    "tariff-v0": "tariff:Tariff",
    "toll_network-v0": "toll_network:TollNetwork",
    "commons-v0": "commons:Commons",
    "platform-v0": "platform:Platform",
    "patrol-v0": "patrol:Patrol",
}
"""The suite's own, id to module and class below `stackelberg_envs.games`; imported only when asked for."""

_ID = re.compile(r"([a-z][a-z0-9_]*)-v(0|[1-9][0-9]*)")


class _Games(Registry):
    """Games by id: lower_case, and a version."""

    def full_name(self, name: str) -> str:
        """An id with its version: of one without, the newest that there is."""
        versions = [version for family, version in map(_parts, self.names()) if family == name]
        return f"{name}-v{max(versions)}" if versions else name

    def check_name(self, name: Any) -> None:
        if not isinstance(name, str) or _ID.fullmatch(name) is None:
            raise RegistrationError(f"an id of a game is lower_case and ends in a version, such as 'my_game-v0'; got {name!r}")
        for other in self.names():
            if gymnasium_id(other, "Leader") == gymnasium_id(name, "Leader"):
                raise RegistrationError(f"{name!r} and {other!r} are the same in CamelCase, as Gymnasium writes ids; choose another")

    def check_class(self, found: Any, name: str) -> type[StackelbergGame]:
        return checked_class(found, StackelbergGame, name)

    def alternative(self, name: str) -> str:
        family, _ = _parts(name)
        return f"{family}-v{1 + max(version for other, version in map(_parts, self.names()) if other == family)}"


REGISTRY = _Games("game", {id: f"{__package__}.games.{place}" for id, place in GAMES.items()}, "stackelberg_envs.games")
"""All games by id."""


def games() -> tuple[str, ...]:
    """The ids of all games: the suite's own, and those that were registered or that installed packages advertise."""
    return REGISTRY.names()


def game_class(id: str) -> type[StackelbergGame]:
    """The class behind an id or a reference.

    Raises:
        KeyError: if there is no such game; the message suggests the nearest.
        ReferenceNotFoundError: if a reference leads nowhere, or to something that is no class of games.
    """
    return REGISTRY.check_class(REGISTRY.load(id), id)


def game(id: str, **kwargs: Any) -> StackelbergGame:
    """The functional game: ``commit(x, context)`` and its declarations.

    Args:
        id: e.g. ``"four_rooms-v0"``, or without the version for the newest; or a reference, ``package.module:Name`` or
            ``path/to/file.py:Name``, to a class of games, to a function that returns a game, or to a game.
        **kwargs: arguments of the class or function.

    Raises:
        KeyError: if there is no such game.
        ReferenceNotFoundError: if a reference leads nowhere, or to something that is no game.
        TypeError: if the game takes no such argument.
    """
    found = REGISTRY.load(id)
    if isinstance(found, StackelbergGame):
        if kwargs:
            raise TypeError(f"{id} is built already and takes no arguments, got {', '.join(kwargs)}; refer to its class instead")
        return found
    if inspect.isclass(found) or not callable(found):
        REGISTRY.check_class(found, id)
    built = _call(found, id, kwargs)
    if not isinstance(built, StackelbergGame):
        raise ReferenceNotFoundError(f"{id} returns {describe(built)}, and not a game; a function that is named returns a StackelbergGame")
    return built


def register(id: str, entry: str | type[StackelbergGame] | Callable[..., StackelbergGame]) -> None:
    """Give a game an id; see `stackelberg_envs.register`, which also makes its views known."""
    REGISTRY.register(id, entry)


def module_name(id: str) -> str:
    """An id as PettingZoo names modules: ``"four_rooms-v0"`` to ``"four_rooms_v0"``."""
    return id.replace("-v", "_v")


def gymnasium_id(id: str, side: str) -> str:
    """An id as Gymnasium writes it: ``"four_rooms-v0"`` and ``"Leader"`` to ``"Stackelberg/FourRooms-Leader-v0"``."""
    family, version = _parts(id)
    return f"Stackelberg/{''.join(part.capitalize() for part in family.split('_'))}-{side}-v{version}"


def gymnasium_ids(id: str, side: str) -> list[str]:
    """All ids of one side in Gymnasium: `gymnasium_id` and, for the suite's own, the id that is spelled as the class of the game."""
    _, _, name = GAMES.get(id, "").partition(":")
    ids = [gymnasium_id(id, side), f"Stackelberg/{name}-{side}-v{_parts(id)[1]}"]
    return ids if name and ids[0] != ids[1] else ids[:1]


def _parts(id: str) -> tuple[str, int]:
    """Name and version of an id."""
    family, _, version = id.rpartition("-v")
    return family, int(version)


def _call(make: Any, id: str, arguments: dict[str, Any]) -> Any:
    """``make(**arguments)``; raises TypeError that names an unknown argument and the nearest known one."""
    try:
        return make(**arguments)
    except TypeError as error:
        known = inspect.signature(make).parameters
        unknown = [name for name in arguments if name not in known]
        if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
            raise TypeError(no_argument(id, unknown[0], tuple(known))) from error
        raise
