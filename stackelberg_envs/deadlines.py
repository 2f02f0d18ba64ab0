"""Deadlines: worlds that end after a number of steps, and followers who know it (finite horizon).

The state of such a world is t S + s, and everything that takes a world takes it: answers are policies that depend on time, found by
backward induction (`stackelberg_envs.planning.backward_induction`), and scores, derivatives, episodes and views are those of any world.
The leader commits to what it commits to without a deadline, and keeps to it at all times.
"""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import Any

from . import registry
from .arguments import whole
from .game import Layout, StackelbergGame, as_tuple
from .modified_game import ModifiedGame
from .processes.arrays import Array, array_namespace
from .processes.staged import StagedTransition
from .processes.tables import ProcessTables
from .processes.transitions import as_transition

_STATE_AXIS = {"leader_policy": -2}
"""Where states are in tables that do not end in (S, A, B)."""


@singledispatch
def with_deadline(world: Any, steps: int) -> Any:
    """The same world, or game, with a deadline: it ends after ``steps`` steps, and its followers plan for that many.

    States are numbered t S + s, with t = 0 .. steps - 1 and S the states of the world as it was; episodes begin at t = 0.  Memory is that
    of tables over these states: the transition is kept once.

    Args:
        world: what a commitment induces, with tables (`stackelberg_envs.InducedMDP`, `stackelberg_envs.InducedMarkovGame`); or a game of
            such worlds, which becomes a `WithDeadline`.
        steps: the number of steps, at least 1.

    Raises:
        ValueError: if there is a deadline already, or no such number of steps.
        TypeError: for anything else, worlds without tables among them.
    """
    del steps
    named = f"; a game by its id is stackelberg_envs.game({world!r})" if isinstance(world, str) else ""
    raise TypeError(f"a deadline is for a world with tables, or a game of such worlds, and not for {type(world).__name__}{named}")


@with_deadline.register(ProcessTables)
def _world_with_deadline(world: Any, steps: int) -> Any:
    xp, kernel = array_namespace(world.initial), StagedTransition(world.kernel, steps)
    names = [name for name in world.tables if name not in ("transition", "initial")] + ([] if world.available is None else ["available"])
    tables = {name: _repeat(getattr(world, name), _STATE_AXIS.get(name, -3), steps) for name in names}
    first = xp.concat([world.initial, *[xp.zeros_like(world.initial)] * (steps - 1)], axis=-1)
    return replace(world, transition=kernel, initial=first, **tables)


@with_deadline.register(StackelbergGame)
def _game_with_deadline(game: StackelbergGame, steps: int) -> WithDeadline:
    return WithDeadline(game, steps)


class WithDeadline(ModifiedGame):
    """A game with a deadline: its worlds are those of ``game`` with `with_deadline`, and an episode lasts ``steps`` steps at most.

    Commitments are those of ``game``: the leader does not change them with time.

    Args:
        game: any game with tables, or its id or reference.
        steps: the number of steps until the deadline.
        **arguments: of the game, where it is named by an id.

    Raises:
        ValueError: for games without tables, games whose objective is no sum over steps, and no such number of steps.
    """

    def __init__(self, game: StackelbergGame | str, steps: int, **arguments: Any) -> None:
        base = registry.game(game, **arguments) if isinstance(game, str) else game
        if arguments and base is game:
            raise TypeError(f"arguments are for a game that is named by an id, and {base.name} is built already: {', '.join(arguments)}")
        if not base.tabular or not base.additive:
            why = "no tables" if not base.tabular else "an objective that is no sum over steps"
            raise ValueError(f"{base.name} has {why}, and can have no deadline")
        super().__init__(base)
        self.steps = whole("steps until the deadline", steps, 1)
        self.name, self.max_cycles = f"{base.name}_deadline_{steps}", self.steps
        self.layout = None if base.layout is None else _repeat_layout(base.layout, self.steps)
        for piece in ("incentive", "leader_cost", "log_kernel", "log_leader_policy", "shading"):
            if getattr(base, piece) is not None:
                setattr(self, piece, getattr(self, f"_{piece}"))

    def modify(self, process: Any) -> Any:
        return with_deadline(process, self.steps)

    def _incentive(self, x: Array, context: int | str = 0) -> Any:
        return self._repeat_each(self._game.incentive(x, context))

    def _leader_cost(self, x: Array, context: int | str = 0) -> Any:
        return self._repeat_each(self._game.leader_cost(x, context))

    def _log_kernel(self, x: Array, context: int | str = 0) -> Any:
        logarithms = self._game.log_kernel(x, context)
        staged = tuple(StagedTransition(as_transition(logarithm), self.steps) for logarithm in as_tuple(logarithms))
        return staged if isinstance(logarithms, tuple) else staged[0]

    def _log_leader_policy(self, x: Array) -> Array:
        return _repeat(self._game.log_leader_policy(x), -2, self.steps)

    def _shading(self, x: Array) -> Array:
        return _repeat(self._game.shading(x), -1, self.steps)

    def _repeat_each(self, tables: Any) -> Any:
        """Tables that broadcast to (..., S, A, B), for all stages; those that are the same in all states stay as they are."""
        sizes = [size for size, *_ in self._game.sizes]
        found = tuple(
            _repeat(table, -3, self.steps) if table.ndim > 2 and table.shape[-3] == s else table
            for table, s in zip(as_tuple(tables), sizes, strict=False)
        )
        return found if isinstance(tables, tuple) else found[0]


def _repeat(table: Array, axis: int, stages: int) -> Array:
    """A table with the states of all stages along ``axis`` (negative): each stage the same."""
    xp, at = array_namespace(table), table.ndim + axis
    shape = tuple(table.shape)
    each = xp.broadcast_to(xp.expand_dims(table, axis=at), (*shape[:at], stages, *shape[at:]))
    return xp.reshape(each, (*shape[:at], stages * shape[at], *shape[at + 1 :]))


def _repeat_layout(layout: Layout, stages: int) -> Layout:
    """Where the states of all stages lie: where those of one do."""
    places = None if layout.places is None else tuple(own * stages for own in layout.places)
    return replace(layout, cells=layout.cells * stages, places=places)
