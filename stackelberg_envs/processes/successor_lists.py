"""A third layout of a transition: the few states that can follow, and how likely each is.

A dense kernel (..., S, A, B, S) of 10^4 states does not fit into memory, and nearly all of it is 0.  Here each row is a list of K::

    P(s'|s,a,b) = sum_k probabilities[s,a,b,k] [next_states[s,a,b,k] = s']

`SuccessorLists` stands in `stackelberg_envs.processes.mdp.InducedMDP.transition` where a dense array would, as
`stackelberg_envs.processes.shared_rows.SharedRows` does; the functions of `stackelberg_envs.processes.mdp` that read a kernel choose by its
type.  Where all actions lead to the same few states (a step on a grid that may slip), the lists of states have a 1 where the actions would
be, and policies mix them at no cost in length.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array


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

    @cached_property
    def merged(self) -> Successors:
        """Where a state can lead by any action, (S, 1, 1, M), M the length of all its lists together."""
        return self if self.table.shape[1:3] == (1, 1) else Successors(self.table.reshape(len(self.table), 1, 1, -1))

    @cached_property
    def over_leads(self) -> Successors:
        """Where a state can lead by each follower action whatever the leader does, (S, 1, B or 1, A*K)."""
        s, a, b, _ = self.table.shape
        return self if a == 1 else Successors(self.table.transpose(0, 2, 1, 3).reshape(s, 1, b, -1))

    @cached_property
    def over_follows(self) -> Successors:
        """Where a state can lead by each leader action whatever the follower does, (S, A or 1, 1, B*K)."""
        s, a, b, _ = self.table.shape
        return self if b == 1 else Successors(self.table.reshape(s, a, 1, -1))

    @cached_property
    def joint_actions(self) -> Successors:
        """The lists with the players' actions as one, (S, 1, A*B or 1, K)."""
        s, a, b, k = self.table.shape
        return self if a == b == 1 else Successors(self.table.reshape(s, 1, a * b, k))


@dataclass(frozen=True, eq=False)
class SuccessorLists:
    """A kernel by lists of next states.

    Args:
        successors: which states can follow; integers (S, A or 1, B or 1, K), 1 where actions share their lists.  In what games commit to
            each list ascends, which makes the episode of given noise that of the dense kernel; what is left of a shorter list repeats
            any state, at probability 0.
        probabilities: of each, (..., S, A, B, K), non-negative; sums below 1 end the episode, as in a dense kernel.

    Raises:
        ValueError: if the two do not fit together, or a next state is none.
    """

    successors: Successors
    probabilities: Any

    def __post_init__(self) -> None:
        if not isinstance(self.successors, Successors):
            object.__setattr__(self, "successors", Successors(_integers(self.successors)))
        table, shape = self.successors.table, tuple(self.probabilities.shape[-4:])
        fits = table.ndim == 4 and len(shape) == 4 and table.size > 0 and (table.shape[0], table.shape[3]) == (shape[0], shape[3])
        if not fits or any(mine not in (1, own) for mine, own in zip(table.shape, shape, strict=True)):
            raise ValueError(
                f"SuccessorLists needs next states (S, A or 1, B or 1, K) and probabilities (..., S, A, B, K), got {table.shape} and "
                f"{tuple(self.probabilities.shape)}"
            )
        if table.min() < 0 or table.max() >= len(table):
            raise ValueError(f"next states are 0 to {len(table) - 1}, got {table.min()} to {table.max()}; a deficit is the end")

    @classmethod
    def of(cls, transition: Any) -> SuccessorLists:
        """A dense kernel (..., S, A, B, S) as lists of the states that follow somewhere in its batch, as long as the longest.

        A probability that is 0 in all of these numbers is not listed, and has no derivative afterwards.
        """
        xp = array_namespace(transition)
        given = np.asarray(transition.detach().cpu() if hasattr(transition, "detach") else transition)
        possible = (given != 0).reshape(-1, *given.shape[-4:]).any(axis=0)
        counts = possible.sum(-1)
        table = np.zeros((*counts.shape, max(1, int(counts.max()))), dtype=np.int64)
        listed = np.arange(table.shape[-1]) < counts[..., None]
        table[listed] = np.nonzero(possible)[-1]
        at = xp.broadcast_to(xp.asarray(table, device=transition.device), (*transition.shape[:-1], table.shape[-1]))
        picked = xp.take_along_axis(transition, at, axis=-1)
        return cls(Successors(table), xp.where(xp.asarray(listed, device=transition.device), picked, xp.zeros_like(picked)))

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the dense kernel, (..., S, A, B, S)."""
        return (*self.probabilities.shape[:-1], self.probabilities.shape[-4])

    @property
    def ndim(self) -> int:
        """Number of axes of the dense kernel."""
        return self.probabilities.ndim

    @property
    def requires_grad(self) -> bool:
        """Whether torch keeps its history."""
        return bool(getattr(self.probabilities, "requires_grad", False))

    def __getitem__(self, node: tuple[int, int, int]) -> Any:
        """P(.|s,a,b), (S,), of a kernel without batch axes; nothing else can be indexed."""
        if self.probabilities.ndim != 4 or not isinstance(node, tuple) or len(node) != 3:
            raise TypeError("SuccessorLists without batch axes can be asked for a row [s, a, b], and for nothing else: see dense()")
        s, a, b = node
        table = self.successors.table
        listed = table[s, a if table.shape[1] > 1 else 0, b if table.shape[2] > 1 else 0]
        return scatter(self.probabilities[s, a, b], Successors(listed.reshape(1, 1, 1, -1)), len(table))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(
            "SuccessorLists is no array: use the functions of stackelberg_envs.processes.mdp, or dense() where the kernel is small"
        )

    def map(self, f: Callable[[Any], Any]) -> SuccessorLists:
        """The same kernel with ``f`` applied to its probabilities."""
        return replace(self, probabilities=f(self.probabilities))

    def dense(self) -> Any:
        """The same kernel as an array (..., S, A, B, S)."""
        xp = array_namespace(self.probabilities)
        *batch, s, a, b, k = self.probabilities.shape
        columns = np.broadcast_to(self.successors.table, (s, a, b, k)).reshape(-1, k)
        cells = Successors((np.arange(len(columns))[:, None] * s + columns).reshape(1, 1, 1, -1))
        flat = xp.reshape(self.probabilities, (*batch, -1))
        return xp.reshape(scatter(flat, cells, len(columns) * s), (*batch, s, a, b, s))

    def expect(self, values: Any) -> Any:
        """``sum_s' P(s'|.) V(s')``, values (..., S) to (..., S, A, B)."""
        xp = array_namespace(self.probabilities)
        s, a, b, _ = self.probabilities.shape[-4:]
        table = self.successors.table.shape
        p, v = plain(self.probabilities), plain(values)
        if table[1:3] == (a, b) and p is not None and v is not None and p.ndim == 4 and v.ndim == 1:
            return xp.asarray(self.successors.matrix(p) @ v).reshape((s, a, b))
        listed = xp.reshape(xp.take(values, self.successors.like(values), axis=-1), (*values.shape[:-1], *table))
        if table[2] == 1 and b > 1:  # one list for all actions: a matrix times a vector at each node
            return xp.matmul(self.probabilities, listed[..., 0, :][..., None])[..., 0]
        return xp.sum(self.probabilities * listed, axis=-1)

    def carry(self, weights: Any) -> Any:
        """Where weights of nodes and actions arrive: (..., S, A, B) to (..., S)."""
        xp = array_namespace(weights, self.probabilities)
        s, a, b, _ = self.probabilities.shape[-4:]
        table = self.successors.table.shape
        if table[2] == 1 and b > 1:
            arriving = xp.matmul(weights[..., None, :], self.probabilities)  # (..., S, A, 1, K)
        else:
            arriving = weights[..., None] * self.probabilities
        if table[1] == 1 and a > 1:
            arriving = xp.sum(arriving, axis=-3, keepdims=True)
        return scatter(xp.reshape(arriving, (*arriving.shape[:-4], -1)), self.successors, s)

    def chain(self, joint: Any) -> SuccessorLists:
        """State to state, ``sum_ab joint(a,b|s) P(s'|s,a,b)`` for joint (..., S, A, B): lists (..., S, 1, 1, M)."""
        xp = array_namespace(joint, self.probabilities)
        s, a, b, k = self.probabilities.shape[-4:]
        table = self.successors.table.shape
        if table[1:3] == (1, 1):  # one list: probabilities add up, and it gets no longer
            p = xp.reshape(self.probabilities, (*self.probabilities.shape[:-4], s, 1, a * b, k))
            w = xp.reshape(joint, (*joint.shape[:-2], 1, 1, a * b))
            return SuccessorLists(self.successors, xp.matmul(w, p))
        w = joint[..., None] * self.probabilities
        if table[2] == 1:
            w = xp.sum(w, axis=-2, keepdims=True)
        if table[1] == 1:
            w = xp.sum(w, axis=-3, keepdims=True)
        return SuccessorLists(self.successors.merged, xp.reshape(w, (*w.shape[:-3], 1, 1, -1)))

    def unseen(self, leads: Any) -> SuccessorLists:
        """The mean over the leader's action, which follows ``leads`` (..., S, A): lists (..., S, 1, B, A*K, or K if leads share them)."""
        xp = array_namespace(leads, self.probabilities)
        w = leads[..., None, None] * self.probabilities
        if self.successors.table.shape[1] == 1:
            return SuccessorLists(self.successors, xp.sum(w, axis=-3, keepdims=True))
        w = xp.moveaxis(w, -3, -2)  # (..., S, B, A, K)
        return SuccessorLists(self.successors.over_leads, xp.reshape(w, (*w.shape[:-3], 1, w.shape[-3], -1)))

    def mixed(self, weights: Any) -> SuccessorLists:
        """Rows that are mixtures of an action's: weights (..., S, A, B', B) of B at each of B' new actions."""
        xp = array_namespace(weights, self.probabilities)
        if self.successors.table.shape[2] == 1:
            return SuccessorLists(self.successors, xp.matmul(weights, self.probabilities))
        w = weights[..., None] * self.probabilities[..., None, :, :]
        return SuccessorLists(self.successors.over_follows, xp.reshape(w, (*w.shape[:-2], -1)))

    def averaged(self) -> SuccessorLists:
        """The kernel of actions taken at random: what any of the B actions does."""
        xp = array_namespace(self.probabilities)
        b = self.probabilities.shape[-2]
        even = xp.full((b, b), 1 / b, dtype=self.probabilities.dtype, device=self.probabilities.device)
        return self.mixed(xp.zeros_like(self.probabilities[..., :1]) + even)

    def joined(self) -> SuccessorLists:
        """The kernel with the players' actions as one, (..., S, 1, A*B, S)."""
        xp = array_namespace(self.probabilities)
        *batch, s, a, b, k = self.probabilities.shape
        table = self.successors.table
        shared = self.successors if table.shape[1:3] == (1, 1) else Successors(np.broadcast_to(table, (s, a, b, k))).joint_actions
        return SuccessorLists(shared, xp.reshape(self.probabilities, (*batch, s, 1, a * b, k)))


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


def plain(array: Any) -> np.ndarray | None:
    """``array`` as a NumPy array without a copy, if it is in the CPU's memory and nobody differentiates it; else None."""
    if is_numpy_array(array):
        return array
    if getattr(array, "requires_grad", False) or str(getattr(array, "device", "")) != "cpu":
        return None
    torch = sys.modules.get("torch")
    if torch is not None and getattr(torch.autograd.forward_ad, "_current_level", -1) >= 0:
        return None  # forward-mode derivatives ride on tensors that do not require gradients
    return np.asarray(array)


def _integers(table: Any) -> np.ndarray:
    given = np.asarray(table)
    if given.dtype.kind not in "iu":
        raise ValueError(f"next states are integers, got {given.dtype}")
    return given
