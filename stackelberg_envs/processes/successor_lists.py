"""A layout of transitions by lists: the few states that can follow, and how likely each is.

A dense table (..., S, A, B, S) of 10^4 states does not fit into memory, and nearly all of it is 0.  Here each row is a list of K::

    P(s'|s,a,b) = sum_k probabilities[s,a,b,k] [next_states[s,a,b,k] = s']

Where all actions lead to the same few states (a step on a grid that may slip), the lists of states have a 1 where the actions would be,
and policies mix them at no cost in length.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from . import chains
from .arrays import Array, array_namespace, as_numpy, numpy_view
from .chains import MarkovChain
from .derived import derive
from .inverse_cdf import cumulative
from .successors import Successors, scatter
from .transitions import Transition, as_transition, positive_entries


@dataclass(frozen=True, eq=False)
class SuccessorLists(Transition):
    """A transition by lists of next states.

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
        """A transition, array or object, as lists of the states that follow somewhere in its batch, as long as the longest.

        A probability that is 0 in all of these numbers is not listed, and has no derivative afterwards.
        """
        if isinstance(transition, cls):
            return transition
        next_states, probabilities, _ = positive_entries(as_transition(transition).dense())
        return cls(Successors(next_states), probabilities)

    @property
    def numbers(self) -> Array:
        return self.probabilities

    @property
    def layout(self) -> Hashable:
        return type(self).__name__, self.successors

    @property
    def iterative(self) -> bool:
        return self.probabilities.shape[-4] > chains.DIRECT

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the dense kernel, (..., S, A, B, S)."""
        return (*self.probabilities.shape[:-1], self.probabilities.shape[-4])

    def __getitem__(self, node: tuple[int, int, int]) -> Any:
        """P(.|s,a,b), (S,), of a kernel without batch axes; nothing else can be indexed."""
        if self.probabilities.ndim != 4 or not isinstance(node, tuple) or len(node) != 3:
            raise TypeError("SuccessorLists without batch axes can be asked for a row [s, a, b], and for nothing else: see dense()")
        s, a, b = node
        table = self.successors.table
        listed = table[s, a if table.shape[1] > 1 else 0, b if table.shape[2] > 1 else 0]
        return scatter(self.probabilities[s, a, b], Successors(listed.reshape(1, 1, 1, -1)), len(table))

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
        xp = array_namespace(self.probabilities)
        s, a, b, _ = self.probabilities.shape[-4:]
        table = self.successors.table.shape
        p, v = numpy_view(self.probabilities), numpy_view(values)
        if table[1:3] == (a, b) and p is not None and v is not None and p.ndim == 4 and v.ndim == 1:
            return xp.asarray(self._matrix @ v).reshape((s, a, b))
        listed = xp.reshape(xp.take(values, self.successors.like(values), axis=-1), (*values.shape[:-1], *table))
        if table[2] == 1 and b > 1:  # one list for all actions: a matrix times a vector at each node
            return xp.matmul(self.probabilities, listed[..., 0, :][..., None])[..., 0]
        return xp.sum(self.probabilities * listed, axis=-1)

    @cached_property
    def _matrix(self) -> Any:
        """The lists of a kernel without batch axes as a scipy matrix (S*A*B, S), where its numbers are NumPy's."""
        return self.successors.matrix(numpy_view(self.probabilities))  # type: ignore[arg-type]

    def row_sums(self) -> Array:
        return array_namespace(self.probabilities).sum(self.probabilities, axis=-1)

    def push_forward(self, weights: Any) -> Any:
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

    def markov_chain(self, joint: Any) -> SuccessorChain:
        xp = array_namespace(joint, self.probabilities)
        s, a, b, k = self.probabilities.shape[-4:]
        table = self.successors.table.shape
        if table[1:3] == (1, 1):  # one list: probabilities add up, and it gets no longer
            p = xp.reshape(self.probabilities, (*self.probabilities.shape[:-4], s, 1, a * b, k))
            w = xp.reshape(joint, (*joint.shape[:-2], 1, 1, a * b))
            return SuccessorChain(SuccessorLists(self.successors, xp.matmul(w, p)))
        w = joint[..., None] * self.probabilities
        if table[2] == 1:
            w = xp.sum(w, axis=-2, keepdims=True)
        if table[1] == 1:
            w = xp.sum(w, axis=-3, keepdims=True)
        return SuccessorChain(SuccessorLists(self.successors.union_over_actions, xp.reshape(w, (*w.shape[:-3], 1, 1, -1))))

    def pure_chain(self, weight: Array, actions: Array) -> MarkovChain:
        s, a, b, k = self.probabilities.shape[-4:]
        if a > 1 or self.probabilities.ndim > 4 or actions.ndim > 2 or self.successors.table.shape[1] > 1:
            return super().pure_chain(weight, actions)
        xp = array_namespace(self.probabilities)
        rows = xp.arange(s, device=actions.device) * b + actions[:, 0]
        chosen = xp.take(xp.reshape(self.probabilities, (-1, k)), rows, axis=0)  # whole rows: a third of the time of three indices
        lists = SuccessorLists(self.successors.choose(as_numpy(actions)[:, 0]), (weight * chosen)[:, None, None, :])
        return SuccessorChain(lists)

    def mean_over_leader(self, leader_policy: Any) -> SuccessorLists:
        """Lists (..., S, 1, B, A*K), or K long if the leader's actions share them."""
        xp = array_namespace(leader_policy, self.probabilities)
        w = leader_policy[..., None, None] * self.probabilities
        if self.successors.table.shape[1] == 1:
            return SuccessorLists(self.successors, xp.sum(w, axis=-3, keepdims=True))
        w = xp.moveaxis(w, -3, -2)  # (..., S, B, A, K)
        return SuccessorLists(self.successors.union_over_leader_actions, xp.reshape(w, (*w.shape[:-3], 1, w.shape[-3], -1)))

    def mixture(self, weights: Any) -> SuccessorLists:
        xp = array_namespace(weights, self.probabilities)
        if self.successors.table.shape[2] == 1:
            return SuccessorLists(self.successors, xp.matmul(weights, self.probabilities))
        w = weights[..., None] * self.probabilities[..., None, :, :]
        return SuccessorLists(self.successors.union_over_follower_actions, xp.reshape(w, (*w.shape[:-2], -1)))

    def average_actions(self) -> SuccessorLists:
        xp = array_namespace(self.probabilities)
        b = self.probabilities.shape[-2]
        even = xp.full((b, b), 1 / b, dtype=self.probabilities.dtype, device=self.probabilities.device)
        return self.mixture(xp.zeros_like(self.probabilities[..., :1]) + even)

    def join_actions(self) -> SuccessorLists:
        xp = array_namespace(self.probabilities)
        *batch, s, a, b, k = self.probabilities.shape
        table = self.successors.table
        shared = self.successors if table.shape[1:3] == (1, 1) else Successors(np.broadcast_to(table, (s, a, b, k))).joint_actions
        return SuccessorLists(shared, xp.reshape(self.probabilities, (*batch, s, 1, a * b, k)))

    def cumulative_successors(self) -> tuple[Array, Array, np.ndarray]:
        return derive(self.probabilities, ("cumulative_successors", self.successors), self._cumulative_successors)

    def _cumulative_successors(self) -> tuple[Array, Array, np.ndarray]:
        xp = array_namespace(self.probabilities)
        s, a, b, k = self.probabilities.shape
        table = xp.reshape(self.successors.like(self.probabilities), self.successors.table.shape)
        end = xp.full((s * a * b, 1), s, dtype=xp.int64, device=self.probabilities.device)
        next_states = xp.concat([xp.reshape(xp.broadcast_to(table, (s, a, b, k)), (-1, k)), end], axis=-1)
        return next_states, cumulative(xp.reshape(self.probabilities, (-1, k))), np.arange(b)

    def structure(self) -> list[np.ndarray]:
        return [self.successors.table]

    def check(self) -> str | None:
        """Lists must ascend, or noise would draw other episodes than of dense rows."""
        states = np.where(self.probabilities > 0, self.successors.table, -1)
        latest = np.maximum.accumulate(states, axis=-1)
        ascending = bool((np.where(states < 0, latest, states) == latest).all())
        return None if ascending else "a list of next states does not ascend: noise would draw other episodes than of dense rows"


@dataclass(frozen=True, eq=False)
class SuccessorChain(MarkovChain):
    """A chain as lists of next states (..., S, 1, 1, M)."""

    lists: SuccessorLists

    @property
    def numbers(self) -> Array:
        return self.lists.probabilities

    @property
    def states(self) -> int:
        return self.lists.probabilities.shape[-4]

    @property
    def batch(self) -> tuple[int, ...]:
        return tuple(self.lists.probabilities.shape[:-4])

    def map(self, f: Callable[[Array], Array]) -> SuccessorChain:
        return SuccessorChain(self.lists.map(f))

    def dense(self) -> Array:
        return self.lists.dense()[..., 0, 0, :]

    def expect(self, values: Array) -> Array:
        return self.lists.expect(values)[..., 0, 0]

    def push_forward(self, weights: Array) -> Array:
        return self.lists.push_forward(weights[..., None, None])

    @property
    def iterative(self) -> bool:
        return self.states > chains.DIRECT

    def sparse(self, index: int) -> Any:
        numbers = as_numpy(self.numbers)
        return self.lists.successors.matrix(numbers.reshape(-1, *numbers.shape[-4:])[index])

    def select(self, states: Array) -> SuccessorChain:
        keep = states[..., None, None, None]
        return self.map(lambda numbers: array_namespace(numbers).where(keep, numbers, 0.0))


def _integers(table: Any) -> np.ndarray:
    given = np.asarray(table)
    if given.dtype.kind not in "iu":
        raise ValueError(f"next states are integers, got {given.dtype}")
    return given
