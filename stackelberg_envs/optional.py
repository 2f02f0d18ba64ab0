"""What a game may also say: one small protocol for each optional piece, and the class that holds them.

A game is its `stackelberg_envs.game.StackelbergGame.induced`.  Each piece beside it is a method that the game may have.  Some say which
part of a reward or of the dynamics the leader sets, so that solvers that may not call ``commit`` can differentiate that part.  Others are
for people.

In all of them ``x`` is a checked commitment (..., n), and ``context`` an index or a name.  Tables are (..., S, A, B) over states, leader
actions and follower actions, or broadcast to that.  Rewards are those of one step, and log-probabilities are natural.  Methods that solvers
see are array-API code: NumPy in gives NumPy out, a tensor in gives a tensor with gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, get_type_hints

import numpy as np

from .processes.arrays import Array

EachFollower = Array | tuple[Array, ...]
"""A table or, where there are several followers, a tuple of one for each."""


class Incentive(Protocol):
    """The part of the follower's reward that the leader sets, with a plus sign: ``follower_reward`` less this does not depend on x.

    It broadcasts to (..., S, A, B); several followers have a tuple, one for each.
    """

    def incentive(self, x: Array, context: int | str = 0) -> EachFollower: ...


class LeaderCost(Protocol):
    """What the leader pays for its instrument, with a minus sign in its reward: ``leader_reward`` plus this does not depend on x.

    It broadcasts to (..., S, A, B), and is (...) in worlds without tables; several independent followers have a tuple, one for each.
    Where the leader earns by its instrument, the cost is below 0.  Without it the leader's reward has to be the same for every x:
    `check_game` fails a game in which it is not, and solvers that may not call ``commit`` decline it, for they might climb the wrong way.
    """

    def leader_cost(self, x: Array, context: int | str = 0) -> EachFollower: ...


class LogKernel(Protocol):
    """``log P(s'|s,a,b)``, laid out like ``transition``, where the leader sets rewards and also moves the dynamics.

    Its exponential is the transition, and it is -inf where that is 0; several independent followers have a tuple, one for each.  Methods
    that only know how rewards are steered decline games that have it.
    """

    def log_kernel(self, x: Array, context: int | str = 0) -> EachFollower: ...


class LogLeaderPolicy(Protocol):
    """``log pi(a|s)``, (..., S, A), where the leader acts in the game (A > 1): its exponential is ``leader_policy``."""

    def log_leader_policy(self, x: Array) -> Array: ...


class LogLeaderDensity(Protocol):
    """``log pi(a|s)`` of single steps, (...), where the leader acts in a world without tables.

    States are (..., d) and the leader's actions, ``leads``, (..., k).
    """

    def log_leader_density(self, x: Array, states: Array, leads: Array) -> Array: ...


class LogKernelDensity(Protocol):
    """``log P(s'|s,a,b)`` of single steps, (...), up to a constant in x, where the leader moves the dynamics of a world without tables.

    ``states`` and the next ones, ``arrived``, are (..., d), the leader's actions ``leads`` (..., k) and the follower's actions those of its
    space.
    """

    def log_kernel_density(self, x: Array, states: Array, leads: Array, actions: Array, arrived: Array) -> Array: ...


class IncentiveAt(Protocol):
    """The incentive of single steps, (...), in a world without tables: the part of the follower's reward that the leader sets.

    It has a plus sign in the reward; states are (..., d), and the follower's actions those of its space.
    """

    def incentive_at(self, x: Array, context: int | str, states: Array, actions: Array) -> Array: ...


class Marks(Protocol):
    """For the map: a letter to print at each (row, col), such as S for a start and G for a goal; the game also has a ``layout``."""

    def marks(self, context: int) -> Mapping[tuple[int, int], str]: ...


class Instruments(Protocol):
    """For reports: what the commitment comes to, by name and in units of its own (tax rates, insulation), arrays (..., k)."""

    def instruments(self, x: Array) -> Mapping[str, np.ndarray]: ...


class Shading(Protocol):
    """For the heat map: what the commitment does to each state of the ``layout``, (..., S), drawn by its absolute value."""

    def shading(self, x: Array) -> Array: ...


@dataclass(frozen=True, eq=False)
class Graph:
    """Places and the links between them, as a picture shows them."""

    places: np.ndarray
    """Positions (N, 2), to the right and upwards."""
    names: tuple[str, ...]
    """Of the places."""
    ends: np.ndarray
    """Indices of the places from which and to which each link leads, (L, 2)."""
    load: np.ndarray
    """What the colour of each link says, (L,)."""
    load_name: str
    """What that is."""
    labels: tuple[str, ...]
    """What is written at each link, "" for nothing."""
    label_name: str
    """What that is."""
    notes: tuple[str, ...] = ()
    """What is written below each place, if anything."""
    alarms: tuple[str, ...] = ()
    """What is written below that, in red, "" for nothing."""


class HasGraph(Protocol):
    """For pictures: places, links, and what is drawn of them at a commitment while the followers play ``policies``, one each."""

    def graph(self, x: Array, context: int | str, policies: Sequence[Array]) -> Graph: ...


@dataclass(frozen=True, eq=False)
class Profile:
    """A day, or another cycle, as a picture shows it: what the leader set in each period, and what the followers then do."""

    periods: tuple[str, ...]
    """Names of the T periods."""
    amounts: Mapping[str, np.ndarray]
    """What the followers do, by name, (T,) each: the first is drawn as an area, the others as lines to compare it with."""
    amount_name: str
    """What that is, and its unit."""
    instrument: np.ndarray
    """What the leader set, (T,)."""
    instrument_name: str
    """What that is, and its unit."""
    note: str
    """A few words more."""


class HasProfile(Protocol):
    """For pictures: a profile over periods at a commitment, while followers play ``policies``: for each context, one each."""

    def profile(self, x: Array, policies: Sequence[Sequence[Array]]) -> Profile: ...


class UpperBound(Protocol):
    """For tables: a proved upper bound on the leader's return, whatever it commits to and whatever its followers want; None for none.

    `stackelberg_envs.bounds.upper_bound` takes it where it is smaller than the cooperative value.
    """

    def upper_bound(self) -> float | None: ...


class UpperBoundAgainst(Protocol):
    """For tables: a proved upper bound on the leader's return against one follower, whatever it commits to; None for none."""

    def upper_bound_against(self, follower: Any) -> float | None: ...


class OptionalPieces:
    """The pieces of a game, each None unless the game has it: a method of that name, or an attribute set in ``__init__``.

    Each is typed Any, because a type checker does not let a method override a variable of another type; what it is stands beside it.
    """

    incentive: Annotated[Any, Incentive] = None
    leader_cost: Annotated[Any, LeaderCost] = None
    log_kernel: Annotated[Any, LogKernel] = None
    log_leader_policy: Annotated[Any, LogLeaderPolicy] = None
    log_leader_density: Annotated[Any, LogLeaderDensity] = None
    log_kernel_density: Annotated[Any, LogKernelDensity] = None
    incentive_at: Annotated[Any, IncentiveAt] = None
    marks: Annotated[Any, Marks] = None
    instruments: Annotated[Any, Instruments] = None
    shading: Annotated[Any, Shading] = None
    graph: Annotated[Any, HasGraph] = None
    profile: Annotated[Any, HasProfile] = None
    upper_bound: Annotated[Any, UpperBound] = None
    upper_bound_against: Annotated[Any, UpperBoundAgainst] = None


PIECES: dict[str, type] = {name: hint.__metadata__[0] for name, hint in get_type_hints(OptionalPieces, include_extras=True).items()}
"""The protocol of each piece, by name and in the order in which pages list them."""
