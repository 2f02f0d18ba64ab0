"""Rewards in the shapes in which people have them, as tables (S, A, B): expected over next states where they depend on those."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..processes.arrays import Array
from ..processes.successor_lists import SuccessorLists
from ..processes.transitions import as_transition
from .kernels import next_states
from .sparse import SparseRows, are_sparse, is_sparse, rows_by_action, rows_of_stack
from .validation import entry_label, finite_array, first_index


def reward(name: str, given: Any, arrivals: Array) -> np.ndarray:
    """``given`` as a checked table (S, A, B).

    Args:
        name: what it is called in messages.
        given: a number, or one for each state (S,), pair (S, B) or (S, A, B), or step (S, B, S) or (S, A, B, S), the latter also as
            sparse matrices, laid out as a sparse transition is.  (S, A, B) goes before (S, B, S), which is read where A = 1 alone.
        arrivals: the kernel (S, A, B, S) with which next states are entered, those that end the episode included.

    Raises:
        ValueError: for another shape, or an entry that is not a finite real number.
    """
    s, a, b = (int(size) for size in arrivals.shape[:3])
    if is_sparse(given) or are_sparse(given):
        return _expected_sparse_reward(name, (rows_by_action if are_sparse(given) else rows_of_stack)(name, given), arrivals, (s, a, b))
    table, _ = finite_array(name, given)
    shape = table.shape
    if shape in ((s, a, b, s), *(((s, b, s),) if a == 1 else ())) and shape != (s, a, b):
        return _expected_reward(table.reshape(s, a, b, s), arrivals)
    of_each = _shapes((s, a, b))
    if shape not in of_each:
        step = f"(S, B, S) = {(s, b, s)}" if a == 1 else f"(S, A, B, S) = {(s, a, b, s)}"
        raise ValueError(
            f"{name} has shape {shape}: it is a number, (S,) = {(s,)}, (S, B) = {(s, b)}, (S, A, B) = {(s, a, b)} or {step}, by the sizes "
            "of transition"
        )
    return np.broadcast_to(table.reshape(of_each[shape]), (s, a, b))


def unavailable(given: Any, sizes: tuple[int, int, int]) -> tuple[Any, np.ndarray | None]:
    """Rewards of states or pairs with 0 for -inf, and where that is, booleans (S, A, B); as they are, and None, where it is nowhere."""
    of_each = _shapes(sizes)
    if is_sparse(given) or are_sparse(given):
        return given, None
    try:
        table = np.asarray(given)
    except ValueError:  # no table at all, which `reward` says
        return given, None
    if table.ndim == 0 or table.shape not in of_each or table.dtype.kind != "f" or not (missing := table == -np.inf).any():
        return given, None
    return np.where(missing, 0.0, table), np.broadcast_to(missing.reshape(of_each[table.shape]), sizes)


def check_no_reward_after_end(name: str, table: np.ndarray, ends: np.ndarray) -> None:
    """Refuse rewards (S, A, B) of states ``ends``, a mask (S,), which nobody would ever earn.

    Raises:
        ValueError: naming the first of them.
    """
    if (place := first_index((table != 0) & ends[:, None, None])) is not None:
        s, a, b = place
        which = entry_label(name)(s, a, b) if table.shape[1] > 1 else entry_label(name)(s, b)
        raise ValueError(
            f"{which} is {table[place]:.6g}, and state {s} is terminal: entering it ends the episode, so that nobody earns this.  "
            "Pay it where the state is entered (rewards of shape (S, B, S)) and set it to 0 here"
        )


def _shapes(sizes: tuple[int, int, int]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The shapes of rewards that do not depend on next states, and those in which they broadcast to (S, A, B)."""
    s, a, b = sizes
    return {(): (), (s,): (s, 1, 1), (s, b): (s, 1, b), (s, a, b): (s, a, b)}


def _expected_reward(table: np.ndarray, arrivals: Array) -> np.ndarray:
    if not isinstance(arrivals, SuccessorLists):
        return np.einsum("sabt,sabt->sab", as_transition(arrivals).dense(), table)
    listed = np.broadcast_to(next_states(arrivals), arrivals.probabilities.shape)
    return (arrivals.probabilities * np.take_along_axis(table, listed, axis=-1)).sum(axis=-1)


def _expected_sparse_reward(name: str, rows: SparseRows, arrivals: Array, sizes: tuple[int, int, int]) -> np.ndarray:
    s, a, b = sizes
    if a > 1 or rows.matrix.shape != (s * b, s):
        raise ValueError(
            f"{name} is sparse, for {rows.actions} follower actions in {rows.matrix.shape[1]} states: sparse rewards are for worlds where "
            f"the leader does not act, and here (S, A, B) = {sizes}"
        )
    kernel = SuccessorLists.of(arrivals)
    shape = kernel.probabilities.shape
    at = np.broadcast_to(np.arange(s * b).reshape(s, 1, b, 1), shape), np.broadcast_to(next_states(kernel), shape)
    paid = np.asarray(rows.matrix[at[0].ravel(), at[1].ravel()]).reshape(shape)
    return (kernel.probabilities * paid).sum(axis=-1)
