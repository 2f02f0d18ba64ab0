"""Which states can follow: the part of `stackelberg_envs.processes.successor_lists.SuccessorLists` that has no probabilities."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import is_numpy_array

from .arrays import array_namespace


class Successors:
    """Which states can follow: what kernels share that differ in probabilities alone; make it once, and keep it.

    Args:
        table: next states, integers (S, A or 1, B or 1, K), NumPy; K are ascending in the kernels that games commit to.
    """

    def __init__(self, table: np.ndarray) -> None:
        self.table = np.array(table, dtype=np.int64, order="C")
        self.table.flags.writeable = False
        self._moved: dict[Any, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"table": self.table, "_moved": {}}

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Successors) and np.array_equal(self.table, other.table))

    @cached_property
    def _hash(self) -> int:
        return hash((self.table.shape, self.table.tobytes()))

    def __hash__(self) -> int:
        return self._hash

    def __deepcopy__(self, memo: Any) -> Successors:
        return self  # it never changes

    def like(self, array: Any) -> Any:
        """The table as one row of integers, in the library and on the device of ``array``; moved there once."""
        if is_numpy_array(array):
            return self.table.reshape(-1)
        xp = array_namespace(array)
        key = (xp.__name__, str(array.device))
        if key not in self._moved:
            self._moved[key] = xp.asarray(self.table.reshape(-1).copy(), device=array.device)  # torch wants arrays it could write to
        return self._moved[key]

    @cached_property
    def _pointers(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns and row ends of a sparse matrix with a row for each list; 32 bits where they do, which is half the traffic."""
        kind = np.int32 if self.table.size < 2**31 else np.int64
        return self.table.reshape(-1).astype(kind), np.arange(0, self.table.size + 1, self.table.shape[-1], dtype=kind)

    def matrix(self, probabilities: np.ndarray) -> Any:
        """The lists as a scipy matrix (lists, S), for ``probabilities`` laid out as the table."""
        from scipy.sparse import csr_matrix

        columns, ends = self._pointers
        return csr_matrix((probabilities.reshape(-1), columns, ends), shape=(len(ends) - 1, len(self.table)))

    def choose(self, actions: np.ndarray) -> Successors:
        """Where each state can lead by its own follower action, integers (S,): tables (S, 1, 1, K) of (S, 1, B or 1, K)."""
        if self.table.shape[2] == 1:
            return self
        states, _, own, k = self.table.shape
        return Successors(np.take(self.table.reshape(-1, k), np.arange(states) * own + actions, axis=0).reshape(states, 1, 1, k))

    @cached_property
    def union_over_actions(self) -> Successors:
        """Where a state can lead by any action, (S, 1, 1, M), M the length of all its lists together."""
        return self if self.table.shape[1:3] == (1, 1) else Successors(self.table.reshape(len(self.table), 1, 1, -1))

    @cached_property
    def union_over_leader_actions(self) -> Successors:
        """Where a state can lead by each follower action whatever the leader does, (S, 1, B or 1, A*K)."""
        s, a, b, _ = self.table.shape
        return self if a == 1 else Successors(self.table.transpose(0, 2, 1, 3).reshape(s, 1, b, -1))

    @cached_property
    def union_over_follower_actions(self) -> Successors:
        """Where a state can lead by each leader action whatever the follower does, (S, A or 1, 1, B*K)."""
        s, a, b, _ = self.table.shape
        return self if b == 1 else Successors(self.table.reshape(s, a, 1, -1))

    @cached_property
    def joint_actions(self) -> Successors:
        """The lists with the players' actions as one, (S, 1, A*B or 1, K)."""
        s, a, b, k = self.table.shape
        return self if a == b == 1 else Successors(self.table.reshape(s, 1, a * b, k))


def scatter(weights: Any, successors: Successors, size: int) -> Any:
    """Sums of weights (..., M) by their M next states, (..., size): the one place where weights are sent to states.

    On a GPU sums are in no fixed order, and their last digits may differ from run to run.
    """
    if is_numpy_array(weights):
        batch, count = weights.shape[:-1], weights.shape[-1]
        rows = weights.reshape(-1, count)
        at = successors.like(weights)
        index = at if len(rows) == 1 else (np.arange(len(rows))[:, None] * size + at).reshape(-1)
        return np.bincount(index, rows.reshape(-1), size * len(rows)).astype(weights.dtype, copy=False).reshape(*batch, size)
    xp = array_namespace(weights)
    empty = xp.zeros((*weights.shape[:-1], size), dtype=weights.dtype, device=weights.device)
    return empty.index_add(-1, successors.like(weights), weights)
