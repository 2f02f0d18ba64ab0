"""A layout of transitions in which actions that move the world alike share a row.

Where many follower actions differ only in what they pay (1,250 baskets of goods, of which 130 cost differently much), a dense table
(..., S, A, B, S) repeats each row many times over.  Here each is kept once::

    P(s'|s,a,b) = rows[s, a, index[b], s']
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .arrays import Array, array_namespace
from .chains import DenseChain
from .transitions import DenseTransition, Transition


@dataclass(frozen=True, eq=False)
class SharedRows(Transition):
    """A kernel by its R distinct rows of each (s, a).

    Args:
        rows: ``P(s'|s,a,r)``, shape (..., S, A, R, S); non-negative, sums at most 1, as rows of a dense kernel.
        index: which row each of the B follower actions takes, integers (B,) in 0..R-1, NumPy whatever the library of ``rows``.

    Raises:
        ValueError: if ``index`` is no list of rows.
    """

    rows: Any
    index: np.ndarray

    def __post_init__(self) -> None:
        shaped = isinstance(self.index, np.ndarray) and self.index.ndim == 1 and len(self.index) > 0 and self.index.dtype.kind in "iu"
        if self.rows.ndim < 4 or not shaped or self.index.min() < 0 or self.index.max() >= self.rows.shape[-2]:
            raise ValueError(
                f"SharedRows needs rows (..., S, A, R, S) and a NumPy index (B,) into its R rows, got rows {tuple(self.rows.shape)} and "
                f"index {self.index!r}"
            )

    @property
    def numbers(self) -> Array:
        return self.rows

    @property
    def layout(self) -> Hashable:
        return type(self).__name__, self.index.tobytes()

    def structure(self) -> list[np.ndarray]:
        return [self.index]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the dense kernel, (..., S, A, B, S)."""
        return (*self.rows.shape[:-2], len(self.index), self.rows.shape[-1])

    def __getitem__(self, node: tuple[int, int, int]) -> Any:
        """P(.|s,a,b), (S,), of a kernel without batch axes; nothing else can be indexed."""
        s, a, b = node
        return self.rows[s, a, int(self.index[b])]

    def map(self, f: Callable[[Any], Any]) -> SharedRows:
        """The same kernel with ``f`` applied to its rows."""
        return SharedRows(f(self.rows), self.index)

    def expand_rows(self, table: Any) -> Any:
        """Entries of rows (..., R) for each action that uses them, (..., B)."""
        xp = array_namespace(table)
        return xp.take(table, xp.asarray(self.index, device=table.device), axis=-1)

    def sum_by_row(self, weights: Any) -> Any:
        """Weights of actions (..., B), summed over those that share a row, (..., R).

        As a sum over places for actions at each row, the empty ones filled with 0: a quarter of the time of a product with a 0-1 matrix.
        """
        xp = array_namespace(weights)
        padded = xp.concat([weights, xp.zeros_like(weights[..., :1])], axis=-1)
        placed = xp.take(padded, xp.asarray(self._actions_by_row.ravel(), device=weights.device), axis=-1)
        return xp.sum(xp.reshape(placed, (*weights.shape[:-1], *self._actions_by_row.shape)), axis=-1)

    @cached_property
    def _actions_by_row(self) -> np.ndarray:
        """The actions that use each row, (R, W), W the largest number that share one; B fills the rest."""
        order, counts = np.argsort(self.index, kind="stable"), np.bincount(self.index, minlength=self.rows.shape[-2])
        taken = self.index[order]
        places = np.full((len(counts), counts.max()), len(self.index))
        places[taken, np.arange(len(order)) - (np.cumsum(counts) - counts)[taken]] = order
        return places

    def expect(self, values: Array) -> Array:
        return self.expand_rows(DenseTransition(self.rows).expect(values))

    def row_sums(self) -> Array:
        return array_namespace(self.rows).sum(self.rows, axis=-1)

    def push_forward(self, weights: Array) -> Array:
        return DenseTransition(self.rows).push_forward(self.sum_by_row(weights))

    def markov_chain(self, joint: Array) -> DenseChain:
        return DenseTransition(self.rows).markov_chain(self.sum_by_row(joint))

    def mean_over_leader(self, leader_policy: Array) -> SharedRows:
        return SharedRows(DenseTransition(self.rows).mean_over_leader(leader_policy).table, self.index)

    def mixture(self, weights: Array) -> DenseTransition:
        return DenseTransition(self.rows).mixture(self.sum_by_row(weights))

    def average_actions(self) -> SharedRows:
        xp = array_namespace(self.rows)
        even = xp.full((1, len(self.index)), 1 / len(self.index), dtype=self.rows.dtype, device=self.rows.device)
        return SharedRows(xp.matmul(self.sum_by_row(even), self.rows), np.zeros_like(self.index))

    def join_actions(self) -> Transition:
        return self if self.shape[-3] == 1 else super().join_actions()

    def cumulative_successors(self) -> tuple[Array, Array, np.ndarray]:
        successors, cumulated, _ = DenseTransition(self.rows).cumulative_successors()
        return successors, cumulated, self.index

    def dense(self) -> Any:
        """The same kernel as an array (..., S, A, B, S), B / R times as large."""
        xp = array_namespace(self.rows)
        return xp.take(self.rows, xp.asarray(self.index, device=self.rows.device), axis=-2)
