"""Many episodes of one follower in worlds with tables, in lockstep; the noise of each episode is a stream of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..processes.inverse_cdf import inverse_cdf
from .steps import TabularStepper

BLOCK = 512
"""Variates that each stream draws at once."""
LARGEST = 50_000_000
"""Numbers in stacked tables, 0.4 GB: larger ones are refused."""


class Streams:
    """Uniform variates of N generators.  Each draws a block ahead, and gives single variates in their order.

    Args:
        generators: N of them.
    """

    def __init__(self, generators: Sequence[np.random.Generator]) -> None:
        self._generators = list(generators)
        count = len(self._generators)
        self._block = np.empty((count, BLOCK))
        self._flat = self._block.reshape(-1)
        self._first = np.arange(count) * BLOCK
        self._next = np.full(count, BLOCK)
        self._fill()

    def replace(self, generators: dict[int, np.random.Generator]) -> None:
        """Give some streams other generators, by index."""
        for i, generator in generators.items():
            self._generators[i], self._next[i] = generator, BLOCK
        self._fill()

    def draw(self, wanted: np.ndarray | None = None) -> np.ndarray:
        """The next variate of each stream, (N,); those not ``wanted`` (booleans (N,)) give it again next time."""
        drawn = self._flat.take(self._first + self._next)
        self._next += 1 if wanted is None else wanted
        self._spend()
        return drawn

    def draw_from(self, streams: np.ndarray) -> np.ndarray:
        """The next variate of some streams, distinct indices (M,)."""
        drawn = self._block[streams, self._next[streams]]
        self._next[streams] += 1
        self._spend()
        return drawn

    def _spend(self) -> None:
        self._draws -= 1
        if self._draws == 0:
            self._fill()

    def _fill(self) -> None:
        for i in np.flatnonzero(self._next == BLOCK).tolist():
            self._generators[i].random(out=self._block[i])
            self._next[i] = 0
        self._draws = BLOCK - int(self._next.max())
        """How many draws there are in every stream before one is empty."""


class StackedTables:
    """Tables of T processes of the same sizes, one above the other; the end is one more state, which leads to itself and pays nothing.

    A node is (t (S + 1) + s) A + a, a row is node B + b.

    Args:
        steppers: one per process, of a single follower each.
    """

    def __init__(self, steppers: Sequence[TabularStepper]) -> None:
        self.states, self.leads, self.choices = steppers[0].process.sizes
        width = max(stepper.longest for stepper in steppers)
        rows = len(steppers) * (self.states + 1) * self.leads * self.choices
        if rows * (2 * width + 3) > LARGEST:
            raise ValueError(
                f"{len(steppers)} processes of {self.states} states, {self.leads} x {self.choices} actions and {width} successors "
                f"would take {8 * rows * (2 * width + 3) / 1e9:.1f} GB as one table; take fewer commitments at once"
            )
        parts = [stepper.all_moves(width) for stepper in steppers]
        self.cumulated = np.ascontiguousarray(np.concatenate([part[0] for part in parts]).T)
        """(K, rows): thresholds of the K + 1 successors."""
        self.successors = np.concatenate([part[1] for part in parts]).reshape(-1)
        """(rows (K + 1),): next states."""
        self.width = width + 1
        self.follower_reward = np.concatenate([part[2] for part in parts])
        self.leader_reward = np.concatenate([part[3] for part in parts])
        self.initial = [stepper.initial_cumulated for stepper in steppers]
        self.leader = np.concatenate([stepper.leader_cumulated for stepper in steppers]) if self.leads > 1 else None
        """(T (S + 1), A): the leader's policies; at the end it takes action 0."""

    @property
    def end_row(self) -> int:
        """A row of the end, from which nothing changes."""
        return self.states * self.leads * self.choices

    def rows(self, tables: np.ndarray, states: np.ndarray, leads: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The rows (N,) of moves; negative ``leads`` count as 0."""
        nodes = tables * (self.states + 1) + states
        if self.leads > 1:
            nodes = nodes * self.leads + np.maximum(leads, 0)
        return nodes * self.choices + actions

    def start(self, tables: np.ndarray, u: np.ndarray) -> np.ndarray:
        """First states (M,) of processes ``tables`` (M,), given variates."""
        states = np.empty(len(tables), dtype=np.int64)
        for table in np.unique(tables):
            chosen = tables == table
            states[chosen] = self.initial[table].searchsorted(u[chosen], side="right")
        return states

    def lead(self, tables: np.ndarray, states: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The leader's actions (M,), given variates."""
        assert self.leader is not None
        return inverse_cdf(self.leader[tables * (self.states + 1) + states], u)

    def move(self, rows: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(next states, follower rewards, leader rewards) of ``rows``, given variates; (N,) each."""
        chosen = rows * self.width
        for thresholds in self.cumulated:
            chosen += thresholds.take(rows) <= u
        return self.successors.take(chosen), self.follower_reward.take(rows), self.leader_reward.take(rows)
