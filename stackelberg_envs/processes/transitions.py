"""Transitions ``P(s'|s,a,b)``: one protocol, of which each layout of the probabilities is an implementation.

`DenseTransition` is an array; `stackelberg_envs.processes.shared_rows.SharedRows` and
`stackelberg_envs.processes.successor_lists.SuccessorLists` are for worlds too big for one.  A game writes an array or any `Transition`
into ``transition``; `as_transition` wraps arrays where they come in, and everything behind calls methods.
A new layout is one file: a subclass of `Transition`.  Only `Transition.dense` and what describes it must be written; operations that are
not overridden go through the dense array.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import Array, array_namespace, as_numpy
from .chains import DenseChain, MarkovChain
from .derived import derive, derive_jointly
from .inverse_cdf import cumulative


class Transition(abc.ABC):
    """``P(s'|s,a,b)``, shape (..., S, A, B, S), in some layout; rows sum to at most 1, and the deficit ends the episode."""

    @property
    @abc.abstractmethod
    def numbers(self) -> Array:
        """The array that holds the probabilities; what its axes mean is the layout's own."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """That of the dense array, (..., S, A, B, S)."""

    @abc.abstractmethod
    def map(self, f: Callable[[Array], Array]) -> Transition:
        """The same transition with ``f`` applied to its numbers."""

    @abc.abstractmethod
    def dense(self) -> Array:
        """The same transition as an array (..., S, A, B, S)."""

    @property
    def layout(self) -> Hashable:
        """What two transitions must have in common to be one batch, or to be compared by their numbers."""
        return type(self).__name__

    @property
    def ndim(self) -> int:
        """Number of axes of the dense array."""
        return len(self.shape)

    @property
    def iterative(self) -> bool:
        """Whether linear systems of its chains are solved by products, instead of factors."""
        return False

    @property
    def stages(self) -> int | None:
        """T, where states are numbered t S + s and each step leads to the next of T stages; None where time is not part of a state."""
        return None

    @property
    def stage_size(self) -> int:
        """S, the number of states of a stage; 0 where there are none."""
        return 0

    @property
    def requires_grad(self) -> bool:
        """Whether torch keeps its history."""
        return bool(getattr(self.numbers, "requires_grad", False))

    def as_given(self) -> Any:
        """What an author would write for it: an array, or the layout's object."""
        return self

    def __getitem__(self, node: tuple[int, int, int]) -> Array:
        """P(.|s,a,b), (S,), of a transition without batch axes."""
        return self.dense()[node]

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} is no array: use its methods, or dense() where the table is small")

    def expect(self, values: Array) -> Array:
        """The expectation in a Bellman backup, ``sum_s' P(s'|s,a,b) V(s')``: values (..., S) to (..., S, A, B)."""
        return DenseTransition(self.dense()).expect(values)

    def row_sums(self) -> Array:
        """``sum_s' P(s'|s,a,b)``, as many rows as are stored: the probability that the episode goes on."""
        xp, numbers = array_namespace(self.numbers), self.numbers
        return self.expect(xp.ones(self.shape[-1], dtype=numbers.dtype, device=numbers.device))

    def push_forward(self, weights: Array) -> Array:
        """``sum_(s,a,b) weights(s,a,b) P(s'|s,a,b)``, the adjoint of `expect`: (..., S, A, B) to (..., S)."""
        return DenseTransition(self.dense()).push_forward(weights)

    def markov_chain(self, joint: Array) -> MarkovChain:
        """The chain of states ``sum_ab joint(a,b|s) P(s'|s,a,b)`` under joint (..., S, A, B), which sums to 1 over actions."""
        return DenseTransition(self.dense()).markov_chain(joint)

    def pure_chain(self, weight: Array, actions: Array) -> MarkovChain:
        """The chain of states where the follower does ``actions``, integers (..., S, A), and the leader's are weighted, (..., S, A)."""
        xp = array_namespace(weight)
        pure = actions[..., None] == xp.arange(self.shape[-2], device=weight.device)
        return self.markov_chain(weight[..., None] * xp.astype(pure, weight.dtype))

    def mean_over_leader(self, leader_policy: Array) -> Transition:
        """The transition of a follower that sees only pi(a|s), (..., S, A): shape (..., S, 1, B, S)."""
        return DenseTransition(self.dense()).mean_over_leader(leader_policy)

    def mixture(self, weights: Array) -> Transition:
        """The transition of B' actions that are mixtures of the B: weights (..., S, A, B', B), shape (..., S, A, B', S)."""
        return DenseTransition(self.dense()).mixture(weights)

    def average_actions(self) -> Transition:
        """The transition of follower actions taken at random, whatever the follower does; the same shape."""
        return DenseTransition(self.dense()).average_actions()

    def join_actions(self) -> Transition:
        """The transition with the leader's and the follower's actions as one, (..., S, 1, A*B, S)."""
        return DenseTransition(self.dense()).join_actions()

    def sum_by_row(self, weights: Array) -> Array:
        """Weights of actions (..., B), summed over those that share a row, (..., R); here no actions share a row."""
        return weights

    def cumulative_successors(self) -> tuple[Array, Array, np.ndarray]:
        """A transition without batch axes by its few possible successors, for sampling; K is their largest number.

        Where there are stages, S is the number of states of one, and `arrivals` says which stage a successor is in.

        Returns:
            Next states, integers (S*A*R, K + 1), the last column S (the end); cumulative probabilities (S*A*R, K) for
            `stackelberg_envs.processes.inverse_cdf.inverse_cdf`, which chooses the successor that it would choose from the dense row; and
            which of the R rows at (s, a) each follower action takes, integers (B,).
        """
        return DenseTransition(self.dense()).cumulative_successors()

    def arrivals(self, states: Array, successors: Array) -> Array:
        """The next states of steps from ``states``, given the ``successors`` that were drawn from `cumulative_successors`."""
        del states
        return successors

    def structure(self) -> list[np.ndarray]:
        """Integer arrays that, beside the numbers, say what the transition is; none in a dense one."""
        return []

    def check(self) -> str | None:
        """What is wrong with this layout beyond its probabilities, or None."""
        return None


@dataclass(frozen=True, eq=False)
class DenseTransition(Transition):
    """A transition as an array (..., S, A, B, S)."""

    table: Array

    @property
    def numbers(self) -> Array:
        return self.table

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.table.shape)

    def map(self, f: Callable[[Array], Array]) -> DenseTransition:
        return DenseTransition(f(self.table))

    def dense(self) -> Array:
        return self.table

    def as_given(self) -> Array:
        return self.table

    def row_sums(self) -> Array:
        return derive(self.table, "row_sums", lambda: array_namespace(self.table).sum(self.table, axis=-1))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return np.asarray(self.table, *args, **kwargs)

    def expect(self, values: Array) -> Array:
        """The one place where a Bellman backup's fast path is chosen.

        Without batch axes it is one matrix product, and with them a row vector times the transposed table (the same product the other way
        round took torch four times as long).
        """
        table = self.table
        xp = array_namespace(table, values)
        s, n, b, _ = table.shape[-4:]
        rows = xp.reshape(table, (*table.shape[:-4], s * n * b, s))
        if table.ndim > 4:
            backed_up = (values[..., None, :] @ rows.mT)[..., 0, :]
        elif values.ndim == 1:
            backed_up = rows @ values
        else:
            backed_up = values @ rows.T
        return xp.reshape(backed_up, (*backed_up.shape[:-1], s, n, b))

    def push_forward(self, weights: Array) -> Array:
        table = self.table
        xp = array_namespace(weights, table)
        flat = xp.reshape(weights, (*weights.shape[:-3], 1, -1))
        return xp.matmul(flat, xp.reshape(table, (*table.shape[:-4], flat.shape[-1], -1)))[..., 0, :]

    def markov_chain(self, joint: Array) -> DenseChain:
        table = self.table
        xp = array_namespace(joint, table)
        s, n, b, _ = table.shape[-4:]
        weights = xp.reshape(joint, (*joint.shape[:-2], 1, n * b))
        rows = xp.reshape(table, (*table.shape[:-4], s, n * b, s))
        return DenseChain((weights @ rows)[..., 0, :])

    def pure_chain(self, weight: Array, actions: Array) -> MarkovChain:
        s, a, b, _ = self.table.shape[-4:]
        if a > 1 or self.table.ndim > 4 or actions.ndim > 2:
            return super().pure_chain(weight, actions)
        xp = array_namespace(self.table)
        rows = xp.arange(s, device=actions.device) * b + actions[:, 0]  # copies S rows, where a product reads all S B of them
        return DenseChain(weight * xp.take(xp.reshape(self.table, (s * b, s)), rows, axis=0))

    def mean_over_leader(self, leader_policy: Array) -> DenseTransition:
        xp = array_namespace(leader_policy)
        return DenseTransition(xp.sum(leader_policy[..., None, None] * self.table, axis=-3)[..., None, :, :])

    def mixture(self, weights: Array) -> DenseTransition:
        return DenseTransition(array_namespace(weights).matmul(weights, self.table))

    def average_actions(self) -> DenseTransition:
        xp = array_namespace(self.table)
        return DenseTransition(xp.broadcast_to(xp.mean(self.table, axis=-2, keepdims=True), self.table.shape))

    def join_actions(self) -> DenseTransition:
        xp = array_namespace(self.table)
        *batch, s, a, b, _ = self.table.shape
        return self if a == 1 else DenseTransition(xp.reshape(self.table, (*batch, s, 1, a * b, s)))

    def cumulative_successors(self) -> tuple[Array, Array, np.ndarray]:
        return derive(self.table, "cumulative_successors", self._cumulative_successors)

    def _cumulative_successors(self) -> tuple[Array, Array, np.ndarray]:
        xp, table = array_namespace(self.table), self.table
        s, a, b, _ = table.shape
        next_states, probabilities, _ = positive_entries(table)
        k = next_states.shape[-1]
        at = xp.asarray(next_states.reshape(-1, k), device=table.device)
        end = xp.full((s * a * b, 1), s, dtype=xp.int64, device=table.device)
        return xp.concat([at, end], axis=-1), cumulative(xp.reshape(probabilities, (-1, k))), np.arange(b)


def positive_entries(table: Array) -> tuple[np.ndarray, Array, np.ndarray]:
    """The states that follow somewhere in the batch of a dense table (..., S, A, B, S), as long lists as the longest, K.

    Returns:
        Next states, integers (S, A, B, K), ascending, filled with 0; their probabilities (..., S, A, B, K), filled with 0; and which
        entries are no filling, booleans (S, A, B, K).
    """
    xp = array_namespace(table)
    possible = (as_numpy(table) != 0).reshape(-1, *table.shape[-4:]).any(axis=0)
    counts = possible.sum(-1)
    next_states = np.zeros((*counts.shape, max(1, int(counts.max()))), dtype=np.int64)
    listed = np.arange(next_states.shape[-1]) < counts[..., None]
    next_states[listed] = np.nonzero(possible)[-1]
    at = xp.broadcast_to(xp.asarray(next_states, device=table.device), (*table.shape[:-1], next_states.shape[-1]))
    entries = xp.take_along_axis(table, at, axis=-1)
    return next_states, xp.where(xp.asarray(listed, device=table.device), entries, xp.zeros_like(entries)), listed


def as_transition(given: Any) -> Transition:
    """An array (..., S, A, B, S) as a `DenseTransition`; a `Transition` as it is."""
    return given if isinstance(given, Transition) else DenseTransition(given)


def expect(transition: Any, values: Array) -> Array:
    """``sum_s' P(s'|.) V(s')``: a transition (..., S, N, B, S), array or `Transition`, and values (..., S) to (..., S, N, B)."""
    return as_transition(transition).expect(values)


def numbers_of(table: Any) -> Array:
    """The array that holds a table: an array itself, or the numbers of a `Transition`."""
    return table.numbers if isinstance(table, Transition) else table


def map_numbers(f: Callable[[Array], Array], table: Any) -> Any:
    """``f`` of an array, or of the numbers of a `Transition`, which keeps its layout."""
    return table.map(f) if isinstance(table, Transition) else f(table)


def equal_tables(one: Any, other: Any) -> bool:
    """Whether two tables of NumPy numbers are equal, transitions also in layout."""
    layouts = [table.layout if isinstance(table, Transition) else None for table in (one, other)]
    return layouts[0] == layouts[1] and np.array_equal(numbers_of(one), numbers_of(other))


def stack_transitions(transitions: Sequence[Transition]) -> Transition:
    """Transitions of one layout as one batch, along a new leading axis.

    Raises:
        ValueError: if their layouts differ.
    """
    first = transitions[0]
    if any(transition.layout != first.layout for transition in transitions):
        raise ValueError("processes whose transitions are laid out differently cannot be one batch")
    if len(transitions) == 1:  # a view: copying a table takes longer than solving with it
        return first.map(lambda numbers: numbers[None, ...])
    tables = [transition.numbers for transition in transitions]
    stacked = derive_jointly(tables, "stack", lambda: array_namespace(tables[0]).stack(tables))
    return first.map(lambda _: stacked)
