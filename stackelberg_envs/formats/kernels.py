"""Transitions in the layouts in which people have them, as kernels (S, A, B, S) of `stackelberg_envs.processes`.

What is dense stays dense, what shares rows goes on sharing them, and what is sparse becomes lists of successors, never dense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..processes.arrays import Array
from ..processes.inverse_cdf import DEFICIT_TOLERANCE
from ..processes.shared_rows import SharedRows
from ..processes.successor_lists import SuccessorLists
from ..processes.successors import Successors
from ..processes.transitions import Transition, as_transition, expect, map_numbers
from .sparse import SparseRows, are_sparse, is_sparse, rows_by_action, rows_of_stack
from .validation import check_probabilities, divisors, entry_label, finite_array, first_index


def kernel(name: str, given: Any, *, normalise: bool = False) -> Array:
    """``given`` as a checked kernel (S, A, B, S), dense, `SharedRows` or `SuccessorLists`; rows that sum to 1 up to rounding do exactly.

    Args:
        name: what it is called in messages.
        given: in one of the layouts of `LAYOUTS`.
        normalise: whether rows that are further from 1, by up to `stackelberg_envs.formats.validation.NORMALISABLE`, do as well.

    Raises:
        ValueError: for wrong shapes, entries that are no probabilities, and rows that sum to more than 1.
    """
    return next(read(name, given, normalise) for known, read in LAYOUTS if known(given))


@dataclass(frozen=True)
class KernelWithEnd:
    """A kernel some of whose steps end the episode where they arrive."""

    arrivals: Array
    """(S, A, B, S), with these steps."""
    transition: Array
    """(S, A, B, S), without them."""

    @classmethod
    def from_kernel(cls, name: str, given: Any, *, normalise: bool = False) -> KernelWithEnd:
        """``given``, if it is one already, or a `kernel` whose steps all go on."""
        if isinstance(given, cls):
            return given
        steps = kernel(name, given, normalise=normalise)
        return cls(steps, steps)


def lists(rows: SparseRows, normalise: bool = False) -> SuccessorLists:
    """The lists (S, 1, B, K) of sparse rows; K is the length of the longest.

    Raises:
        ValueError: for entries that are no probabilities, and rows that sum to more than 1.
    """
    matrix, counts = rows.matrix, np.diff(rows.matrix.indptr)
    check_probabilities(*rows.entries)
    divisor = divisors(np.asarray(matrix.sum(axis=1)), rows.rounding, rows.label, normalise=normalise)
    shape = (matrix.shape[1], 1, rows.actions, max(1, int(counts.max())))
    table, probabilities = np.zeros((len(counts), shape[-1]), dtype=np.int64), np.zeros((len(counts), shape[-1]))
    listed = np.arange(shape[-1]) < counts[:, None]
    table[listed], probabilities[listed] = matrix.indices, matrix.data / np.repeat(divisor, counts)
    return SuccessorLists(Successors(table.reshape(shape)), probabilities.reshape(shape))


def check_stochastic(name: str, transition: Array, there: np.ndarray) -> None:
    """Refuse rows of a kernel that do not sum to 1, where actions are ``there``, booleans (S, A, B).

    Raises:
        ValueError: naming the first of them.
    """
    sums = expect(transition, np.ones(transition.shape[-1]))
    if (place := first_index(there & (sums < 1 - DEFICIT_TOLERANCE))) is not None:
        s, a, b = place
        row = (s, a, b) if sums.shape[1] > 1 else (s, b)
        raise ValueError(
            f"{entry_label(name)(*row)} sums to {sums[place]:.10g}, and rows were said to be stochastic: name the states where an episode "
            "ends in terminal, or leave stochastic=True out where a deficit is the probability of the end"
        )


def next_states(transition: Array) -> np.ndarray:
    """The next state of each number that a kernel stores, broadcastable to its numbers."""
    return transition.successors.table if isinstance(transition, SuccessorLists) else np.arange(transition.shape[-1])


def stop_at(transition: Array, ends: np.ndarray) -> Array:
    """The kernel of an episode that ends where it enters one of the states ``ends``, a mask (S,)."""
    entered = ends[next_states(transition)] | ends[:, None, None, None]
    return map_numbers(lambda table: np.where(entered, 0.0, table), transition)


def endless(transition: Array, available: np.ndarray | None = None) -> np.ndarray:
    """The states from which no actions, of leader or follower, ever lead to the end, a mask (S,); all are ``available`` if that is None."""
    shares, there = expect(transition, np.ones(transition.shape[-1])), True if available is None else available
    can_end = ((shares < 1 - DEFICIT_TOLERANCE) & there).any(axis=(-2, -1))
    while True:
        reached = can_end | ((expect(transition, can_end.astype(np.float64)) > 0) & there).any(axis=(-2, -1))
        if np.array_equal(reached, can_end):
            return ~can_end
        can_end = reached


def reachable(transition: Array, initial: np.ndarray, available: np.ndarray | None = None) -> np.ndarray:
    """The states that some available actions lead to from those where episodes begin, a mask (S,)."""
    found, kernel = initial > 0, as_transition(transition)
    there = np.ones(kernel.shape[:-1]) if available is None else available.astype(np.float64)
    while True:
        further = found | (kernel.push_forward(found[:, None, None] * there) > 0)
        if np.array_equal(further, found):
            return found
        found = further


def _dense(name: str, given: Any, normalise: bool) -> np.ndarray:
    table, rounding = finite_array(name, given)
    if table.ndim not in (3, 4) or table.shape[0] != table.shape[-1]:
        by_actions = table.ndim == 3 and table.shape[1] == table.shape[2]
        hint = f"; if it is (B, S, S), one matrix an action, give np.moveaxis({name}, 0, 1)" if by_actions else ""
        raise ValueError(f"{name} has shape {table.shape}: it is (S, B, S) or, where the leader acts, (S, A, B, S){hint}")
    table = _normalise(table, rounding, name, normalise)
    return table if table.ndim == 4 else table[:, None]


def _successor_lists(name: str, given: SuccessorLists, normalise: bool) -> SuccessorLists:
    table = given.successors.table
    if given.ndim != 4:
        raise ValueError(f"{name} has shape {given.shape}: a world is one kernel (S, A, B, S), without batch axes")
    probabilities = _normalise(*finite_array(f"{name}.probabilities", given.probabilities), f"{name}.probabilities", normalise)
    order = np.argsort(table, axis=-1, kind="stable")  # the same noise then draws the same states as from dense rows
    in_order = np.take_along_axis(probabilities, np.broadcast_to(order, probabilities.shape), axis=-1)
    return SuccessorLists(Successors(np.take_along_axis(table, order, axis=-1)), in_order)


def _shared_rows(name: str, given: SharedRows, normalise: bool) -> SharedRows:
    if given.ndim != 4 or given.shape[0] != given.shape[-1]:
        raise ValueError(f"{name} has shape {tuple(given.shape)}: it is (S, A, B, S), without batch axes")
    rows = _normalise(*finite_array(f"{name}.rows", given.rows), f"{name}.rows", normalise)
    return replace(given, rows=rows, index=given.index.copy())


def _normalise(table: np.ndarray, rounding: float, name: str, normalise: bool) -> np.ndarray:
    check_probabilities(table, entry_label(name))
    table /= divisors(table.sum(axis=-1), rounding, entry_label(name), normalise=normalise)[..., None]
    return table


LAYOUTS: tuple[tuple[Callable[[Any], bool], Callable[[str, Any, bool], Array]], ...] = (
    (lambda given: isinstance(given, SuccessorLists), _successor_lists),
    (lambda given: isinstance(given, SharedRows), _shared_rows),
    (lambda given: isinstance(given, Transition), lambda name, given, normalise: _dense(name, given.dense(), normalise)),
    (is_sparse, lambda name, given, normalise: lists(rows_of_stack(name, given), normalise)),
    (are_sparse, lambda name, given, normalise: lists(rows_by_action(name, given), normalise)),
    (lambda given: True, _dense),
)
"""How to know a layout, and how to read it; the first that knows it does."""
