"""Many episodes of one follower in worlds with tables, in lockstep; the noise of each episode is a stream of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..arguments import check_memory
from ..processes.inverse_cdf import inverse_cdf
from .steps import TabularStepper, powers
from .streams import Streams, compiles, states_of


class StackedTables:
    """Tables of T processes of the same sizes, one above the other; the end is one more state, which leads to itself and pays nothing.

    A node is (t (S + 1) + s) A + a, a row is node B + b.

    Attributes:
        cumulated: thresholds of the K + 1 successors of each row, (rows, K).
        successors: next states, (rows, K + 1).
        follower_reward: (rows,).

    Args:
        steppers: one per process, of a single follower each.
    """

    def __init__(self, steppers: Sequence[TabularStepper]) -> None:
        self.states, self.leads, self.choices = steppers[0].process.sizes
        width = max(stepper.longest for stepper in steppers)
        rows = len(steppers) * (self.states + 1) * self.leads * self.choices
        check_memory(f"tables of {len(steppers)} processes, one per commitment and context,", rows * (2 * width + 3))
        parts = [stepper.all_moves(width) for stepper in steppers]
        self.cumulated, self.successors, self.follower_reward = (
            np.ascontiguousarray(np.concatenate(tables)) for tables in zip(*parts, strict=True)
        )
        self.initial = np.stack([stepper.initial_cumulated for stepper in steppers])
        """(T, S): cumulative probabilities of first states."""
        self.leader = np.concatenate([stepper.leader_cumulated for stepper in steppers])
        """(T (S + 1), A): the leader's policies; at the end it takes action 0."""

    def start(self, tables: np.ndarray, u: np.ndarray) -> np.ndarray:
        """First states (M,) of processes ``tables`` (M,), given variates."""
        return (self.initial[tables] <= u[:, None]).sum(axis=1)

    def lead(self, tables: np.ndarray, states: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The leader's actions (M,), given variates."""
        return inverse_cdf(self.leader[tables * (self.states + 1) + states], u)

    @cached_property
    def loops(self) -> tuple[tuple[np.ndarray, ...], tuple[int, int, int]]:
        """What `stackelberg_envs.play.compiled.advance` takes of these tables."""
        return (self.cumulated, self.successors, self.follower_reward), (self.states, self.leads, self.choices)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """``cumulated``, (K, rows)."""
        return np.ascontiguousarray(self.cumulated.T)


class EpisodeBatch:
    """N episodes, each in one of some stacked processes, by operations on arrays; see also `CompiledBatch`.

    Args:
        generators: the noise of N episodes.
        contexts: cumulative probabilities of the contexts.
        limit: steps after which an episode is cut.

    Attributes:
        tables: the processes; `play_in` says which.
        table: the process of each episode, (N,).
        state: where its follower is, (N,); S at the end.
        lead: the leader's action that its next step takes, (N,); -1 where it has none to choose, and at the end.
        count: its steps so far, (N,).
        follower_return: discounted, so far, (N,).
    """

    tables: StackedTables

    def __init__(self, generators: Sequence[np.random.Generator], contexts: np.ndarray, limit: int) -> None:
        count = len(generators)
        self._contexts, self._limit = contexts, limit
        self._where = np.zeros((5, count), dtype=np.int64)
        self.table, self.state, self.lead, self.count, self._first_table = self._where
        self.lead[:] = -1
        self.follower_return = np.zeros(count)
        self._seed(generators)

    def _seed(self, generators: Sequence[np.random.Generator]) -> None:
        self._streams = Streams(generators)

    def replace(self, generators: dict[int, np.random.Generator]) -> None:
        """Give some episodes other noise, by index."""
        self._streams.replace(generators)

    def play_in(self, tables: StackedTables, discount: float, commitments: np.ndarray) -> None:
        """Go on in other processes.

        Args:
            tables: of all contexts under the first commitment, then under the second, and so on.
            discount: the follower's.
            commitments: which of them each episode has, (N,).
        """
        self.tables, self._powers = tables, np.array(powers(discount, self._limit))
        first = commitments * len(self._contexts)
        self.table += first - self._first_table
        self._first_table[:] = first

    def start(self, chosen: np.ndarray, context: int | None = None) -> None:
        """Begin episodes ``chosen`` (M,): context (if None is given), first state and the leader's first action are drawn, in order."""
        contexts = self._contexts.searchsorted(self._streams.draw_from(chosen), side="right")
        self.table[chosen] = tables = self._first_table[chosen] + (contexts if context is None else context)
        self.count[chosen] = 0
        self.follower_return[chosen] = 0.0
        self.state[chosen] = self.tables.start(tables, self._streams.draw_from(chosen))
        self._draw_leads(chosen)

    def advance(self, actions: np.ndarray, over: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take one legal action in each episode, (N,), and begin those anew that are ``over``, booleans (N,).

        Returns:
            (follower rewards, terminated, truncated), (N,) each; zeros and False where an episode begins.
        """
        tables = self.tables
        leads, choices, states = tables.leads, tables.choices, tables.states
        nodes = self.table * (states + 1) + self.state
        row = (nodes if leads == 1 else nodes * leads + np.maximum(self.lead, 0)) * choices + actions
        begins = bool(over.any())
        moving = ~over if begins else None
        if begins:
            row[over] = states * leads * choices  # the end, from which nothing changes
        u = self._streams.draw_from(moving)
        chosen = row * (tables.cumulated.shape[1] + 1)
        for threshold in tables.thresholds:
            chosen += threshold.take(row) <= u
        rewards = tables.follower_reward.take(row)
        self.follower_return += self._powers.take(self.count) * rewards
        self.state[:] = arrived = tables.successors.reshape(-1).take(chosen)
        self.count += 1
        terminated = arrived == states
        if begins:
            terminated &= moving
        truncated = self.count >= self._limit
        truncated &= arrived != states
        if leads > 1:
            self._draw_leads(np.flatnonzero(~terminated if moving is None else moving & ~terminated))
            self.lead[terminated] = -1
        if begins:
            self.start(np.flatnonzero(over))
        return rewards, terminated, truncated

    def _draw_leads(self, chosen: np.ndarray) -> None:
        if self.tables.leads > 1:
            self.lead[chosen] = self.tables.lead(self.table[chosen], self.state[chosen], self._streams.draw_from(chosen))


class CompiledBatch(EpisodeBatch):
    """The same episodes, to the same bits, by loops of numba's that draw from copies of the generators' states."""

    def _seed(self, generators: Sequence[np.random.Generator]) -> None:
        from . import compiled

        self._compiled, self._states = compiled, states_of(generators)

    def replace(self, generators: dict[int, np.random.Generator]) -> None:
        self._states[:, list(generators)] = states_of(generators.values())

    def start(self, chosen: np.ndarray, context: int | None = None) -> None:
        self._compiled.start(chosen, -1 if context is None else context, *self._episodes, self.tables.states)

    def advance(self, actions: np.ndarray, over: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._compiled.advance(actions, over, *self._episodes, *self.tables.loops, self._powers, self._limit)

    @property
    def _episodes(self) -> tuple[Any, ...]:
        return self._states, self._where, self.follower_return, self._contexts, (self.tables.initial, self.tables.leader)


def batch_of(generators: Sequence[np.random.Generator], contexts: np.ndarray, limit: int) -> EpisodeBatch:
    """Episodes with the noise of N generators, compiled where they can be."""
    return (CompiledBatch if compiles(generators) else EpisodeBatch)(generators, contexts, limit)
