"""Markov chains of states: what a transition becomes under given policies."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import Array, array_namespace, as_numpy, detach
from .inverse_cdf import negligible_deficit

DIRECT = 400
"""States up to which every chain is written out as a matrix and factorised."""


FEW_STEPS = 32
"""Steps after which most chains that end have lost mass from every state."""


class MarkovChain(abc.ABC):
    """P(s'|s), shape (..., S, S), in some layout; rows sum to at most 1, and the deficit ends the episode."""

    @property
    @abc.abstractmethod
    def numbers(self) -> Array:
        """The array that holds the probabilities."""

    @property
    @abc.abstractmethod
    def states(self) -> int:
        """S."""

    @property
    @abc.abstractmethod
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch axes."""

    @abc.abstractmethod
    def map(self, f: Callable[[Array], Array]) -> MarkovChain:
        """The same chain with ``f`` applied to its numbers."""

    @abc.abstractmethod
    def dense(self) -> Array:
        """The chain as a matrix (..., S, S)."""

    @abc.abstractmethod
    def expect(self, values: Array) -> Array:
        """``sum_s' P(s'|s) V(s')``, (..., S) to (..., S)."""

    @abc.abstractmethod
    def push_forward(self, weights: Array) -> Array:
        """``sum_s w(s) P(s'|s)``, (..., S) to (..., S)."""

    def reaches_end(self) -> bool:
        """Whether every state leads, by steps that are possible, to one with a deficit."""
        if self.stages is None:  # a few steps in which every state loses mass are cheaper than a search of the graph
            xp, left = array_namespace(self.numbers), detach(self.numbers)
            detached = self.map(detach)
            going_on: Any = xp.ones((*self.batch, self.states), dtype=left.dtype, device=left.device)
            for _ in range(FEW_STEPS):
                going_on = detached.expect(going_on)
                if xp.max(going_on) < 1 - negligible_deficit(left):
                    return True
        return not self.endless_states().any()

    @abc.abstractmethod
    def select(self, states: Array) -> MarkovChain:
        """The chain with the rows of ``states``, booleans (..., S), and rows of 0 elsewhere: there the episode ends."""

    def endless_states(self) -> np.ndarray:
        """The states from which no steps that are possible lead to the end, booleans (..., S)."""
        from scipy.sparse import csr_matrix, hstack, vstack
        from scipy.sparse.csgraph import breadth_first_order

        count, states = max(1, math.prod(self.batch)), self.states
        endless = np.ones((count, states), dtype=bool)
        for index in range(count):
            matrix = self.sparse(index).copy()  # comparisons sum up duplicates in place
            deficits = np.asarray(matrix.sum(axis=1)).ravel() < 1 - negligible_deficit(self.numbers)
            graph = hstack([vstack([(matrix > 0).T, csr_matrix(deficits[None])]), csr_matrix((states + 1, 1))])
            back = breadth_first_order(graph.tocsr().astype(np.float64), states, return_predecessors=False)  # from the end, backwards
            endless[index, back[back < states]] = False
        return endless.reshape(*self.batch, states)

    def reachable_states(self, initial: Array) -> np.ndarray:
        """The states to which possible steps lead from where ``initial`` (..., S) is positive, booleans (..., S)."""
        from scipy.sparse import bmat, csr_matrix
        from scipy.sparse.csgraph import breadth_first_order

        count, states = max(1, math.prod(self.batch)), self.states
        begins = np.broadcast_to(as_numpy(initial) > 0, (*self.batch, states)).reshape(count, states)
        reached = np.zeros((count, states), dtype=bool)
        for index in range(count):
            graph = bmat([[self.sparse(index).copy() > 0, csr_matrix((states, 1))], [csr_matrix(begins[index][None]), None]])
            ahead = breadth_first_order(graph.tocsr().astype(np.float64), states, return_predecessors=False)
            reached[index, ahead[ahead < states]] = True
        return reached.reshape(*self.batch, states)

    def sparse(self, index: int) -> Any:
        """A scipy matrix (S, S) of one element of the batch, counted row-major, with NumPy's numbers."""
        from scipy.sparse import csr_matrix

        return csr_matrix(as_numpy(self.dense()).reshape(-1, self.states, self.states)[index])

    @property
    def iterative(self) -> bool:
        """Whether linear systems of this chain are solved by products with it, instead of factors."""
        return False

    @property
    def stages(self) -> int | None:
        """T, where each step leads to the next of T stages, and linear systems are solved stage by stage; else None."""
        return None


@dataclass(frozen=True, eq=False)
class DenseChain(MarkovChain):
    """A chain as a matrix (..., S, S)."""

    matrix: Array

    @property
    def numbers(self) -> Array:
        return self.matrix

    @property
    def states(self) -> int:
        return self.matrix.shape[-1]

    @property
    def batch(self) -> tuple[int, ...]:
        return tuple(self.matrix.shape[:-2])

    def map(self, f: Callable[[Array], Array]) -> DenseChain:
        return DenseChain(f(self.matrix))

    def select(self, states: Array) -> DenseChain:
        return DenseChain(array_namespace(self.matrix).where(states[..., None], self.matrix, 0.0))

    def dense(self) -> Array:
        return self.matrix

    def expect(self, values: Array) -> Array:
        return (self.matrix @ values[..., None])[..., 0]

    def push_forward(self, weights: Array) -> Array:
        return array_namespace(weights).matmul(weights[..., None, :], self.matrix)[..., 0, :]

    def reaches_end(self) -> bool:
        """Whether P^n with n = 2^20 has lost mass in every row."""
        power = self.matrix
        xp = array_namespace(power)
        for _ in range(20):  # row sums never grow again, so the first time is enough
            power = xp.matmul(power, power)
            if xp.max(xp.sum(power, axis=-1)) < 1 - negligible_deficit(power):
                return True
        return False
