"""What a file says of one follower's world, as tables: what every reader returns, and what makes a game of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arguments import nearest
from ..game import StackelbergGame
from ..processes.arrays import Array
from ..processes.chains import DIRECT
from .arrays import from_arrays
from .kernels import lists
from .sparse import rows_of_stack
from .validation import indices

DENSE_NUMBERS = 10_000_000
"""More numbers than these are kept as lists of successors, whatever the number of states."""


@dataclass(frozen=True, eq=False)
class WorldTables:
    """A follower's world of S states and B actions (A of the leader, where it acts), and a game of it with `game`.

    Args:
        transition: (S, B, S), or, of many states, `stackelberg_envs.SuccessorLists`; (S, A, B, S) where the leader acts.
        follower_reward: (S, B), or (S, A, B); costs are negative.
        states: the name of each state, S.
        actions: the names of the actions of each state; empty where ``available`` says that there is none.
        initial: (S,), the distribution of the first state; None for uniform over all that are not terminal.
        terminal: booleans (S,), the states whose entering ends the episode.
        available: booleans (S, B); None where every state has all actions.
        leader_reward: (S, A, B) where the file says it, else None.
        labels: masks of states (S,) by name.
        arguments: what else the file implies for `stackelberg_envs.from_arrays`, such as ``follower_discount`` and ``name``.
    """

    transition: Array
    follower_reward: np.ndarray
    states: Sequence[str]
    actions: Sequence[Sequence[str]]
    initial: np.ndarray | None
    terminal: np.ndarray
    available: np.ndarray | None = None
    leader_reward: np.ndarray | None = None
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def game(self, leader_reward: Any = None, **arguments: Any) -> StackelbergGame:
        """A game of this world, in which a leader sets something beside it.

        Args:
            leader_reward: what the leader gets: a number, (S,), (S, B) or (S, B, S); None for what the file says.
            **arguments: of `stackelberg_envs.from_arrays`, such as ``instrument``; they go before what the file says.

        Raises:
            ValueError: for what is none of these; the message says what.
        """
        chosen = self.leader_reward if leader_reward is None else leader_reward
        if chosen is None:
            raise ValueError("leader_reward is missing: the file says what the follower gets, and you what the leader gets")
        known = {"initial": self.initial, "available": self.available, "terminal": self.terminal, **self.arguments}
        arguments = {**known, **arguments}
        if "follower_discount" not in arguments:
            raise ValueError("follower_discount is missing: the file does not say it, and it is an argument of game()")
        return from_arrays(self.transition, self.follower_reward, chosen, **arguments)

    def pairs(self, state: str | int | None = None, action: str | None = None) -> list[tuple[int, int]]:
        """The pairs (state, action) that a follower can take, by their names, as places for an instrument.

        Args:
            state: its name or number; None for all that are not terminal.
            action: its name; None for all.

        Raises:
            ValueError: if there is no such pair.
        """
        chosen = range(len(self.states)) if state is None else [self.state(state)]
        mask = np.ones((len(self.states), self.follower_reward.shape[-1]), dtype=bool) if self.available is None else self.available
        found = [
            (s, b)
            for s in chosen
            if not self.terminal[s]
            for b, name in enumerate(self.actions[s])
            if mask[s, b] and (action is None or name == action)
        ]
        if not found and action is None:
            raise ValueError(f"{'every state' if state is None else f'state {state!r}'} is terminal: nobody acts there")
        if not found:
            names = sorted({name for s in chosen for name in self.actions[s]})
            where = "any state" if state is None else f"state {state!r}"
            raise ValueError(f"there is no action {action!r} in {where}; {nearest(str(action), names)}")
        return found

    def state(self, name: str | int) -> int:
        """The number of a state, from 0, by its name or its number.

        Raises:
            ValueError: if there is none.
        """
        return state_index(self.states, name)


def state_index(states: Sequence[str], name: str | int) -> int:
    """The number of a state by its name or its number.

    Raises:
        ValueError: if there is none.
    """
    if isinstance(name, str):
        if name not in states:
            raise ValueError(f"there is no state {name!r}; {nearest(name, states) if len(states) <= 20 else f'there are {len(states)}'}")
        return states.index(name)
    return int(indices("state", [name], (len(states),))[0, 0])


def state_mask(states: Sequence[str], given: Any, labels: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """States as a mask (S,), from a label, a state's name, a list of names, or what `stackelberg_envs.from_arrays` takes.

    Raises:
        ValueError: if there are no such states.
    """
    mask = np.zeros(len(states), dtype=bool)
    if isinstance(given, str):
        known = {} if labels is None else labels
        if given in known:
            return known[given].copy()
        if given not in states:
            raise ValueError(f"terminal is a label or states, and there is no {given!r}; {nearest(given, [*known, *states][:40])}")
        given = [given]
    if isinstance(given, (list, tuple)):
        given = [state_index(states, name) for name in given]
    mask[indices("terminal", given, mask.shape)[:, 0]] = True
    return mask


def kernel_of_entries(name: str, rows: np.ndarray, columns: np.ndarray, probability: np.ndarray, sizes: tuple[int, int]) -> Array:
    """A kernel (S, 1, B, S) from entries at rows s*B + b: dense or, of `DIRECT` states or `DENSE_NUMBERS` numbers and more, lists."""
    from scipy.sparse import coo_array

    s, b = sizes
    listed = lists(rows_of_stack(name, coo_array((probability, (rows, columns)), shape=(s * b, s))))
    return listed if s >= DIRECT or s * b * s > DENSE_NUMBERS else listed.dense()
