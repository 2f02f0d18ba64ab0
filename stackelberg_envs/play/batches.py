"""Many episodes of one follower in worlds with tables, in lockstep; the noise of each episode is a stream of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..arguments import check_memory
from ..processes.inverse_cdf import inverse_cdf
from .steps import TabularStepper, powers
from .streams import CompiledStreams, Streams

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
    def thresholds(self) -> np.ndarray:
        """``cumulated``, (K, rows)."""
        return np.ascontiguousarray(self.cumulated.T)


class EpisodeBatch:
    """N episodes, each in one of some stacked processes.

    Args:
        streams: the noise of N episodes.
        tables: the processes.
        limit: steps after which an episode is cut.
        discount: the follower's.

    Attributes:
        table: the process of each episode, (N,).
        state: where its follower is, (N,); S at the end.
        lead: the leader's action that its next step takes, (N,); -1 where it has none to choose, and at the end.
        count: its steps so far, (N,).
        follower_return: discounted, so far, (N,).
    """

    def __init__(self, streams: Streams | CompiledStreams, tables: StackedTables, limit: int, discount: float) -> None:
        count = streams.count
        self.streams, self.tables, self.limit = streams, tables, limit
        self._where = np.zeros((4, count), dtype=np.int64)
        self.table, self.state, self.lead, self.count = self._where
        self.lead[:] = -1
        self.follower_return = np.zeros(count)
        self._powers = np.array(powers(discount, limit))
        self._all = np.ones(count, dtype=bool)

    def start(self, chosen: np.ndarray, tables: np.ndarray) -> None:
        """Begin episodes ``chosen`` (M,) in processes ``tables`` (M,): the first state and the leader's first action are drawn."""
        self.table[chosen], self.count[chosen] = tables, 0
        self.follower_return[chosen] = 0.0
        self.state[chosen] = self.tables.start(tables, self.streams.draw_from(chosen))
        self._draw_leads(chosen)

    def advance(self, actions: np.ndarray, moving: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take one legal action in each episode, (N,), or in those that are ``moving``, booleans (N,).

        Returns:
            (follower rewards, terminated, truncated), (N,) each; zeros and False where nothing moves.
        """
        moves = self._all if moving is None else moving
        if isinstance(self.streams, CompiledStreams):
            return self.streams.advance(self._where, self.follower_return, actions, moves, self.tables, self._powers, self.limit)
        rewards, terminated, truncated = self._advance(actions, moves)
        if self.tables.leads > 1:
            self._draw_leads(np.flatnonzero(moves & ~terminated))
            self.lead[terminated] = -1
        return rewards, terminated, truncated

    def _advance(self, actions: np.ndarray, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`advance` without the leader's next actions; `stackelberg_envs.play.compiled.advance` is the same as one loop."""
        states, leads, choices, thresholds = self.tables.states, self.tables.leads, self.tables.choices, self.tables.thresholds
        row = self.table * ((states + 1) * leads * choices)
        row += self.state * (leads * choices) if leads == 1 else (self.state * leads + np.maximum(self.lead, 0)) * choices
        row += actions
        everybody = moving is self._all
        if not everybody:
            row[~moving] = states * leads * choices  # the end, from which nothing changes
        u = self.streams.draw_from(None if everybody else moving)
        chosen = row * (len(thresholds) + 1)
        for threshold in thresholds:
            chosen += threshold.take(row) <= u
        rewards = self.tables.follower_reward.take(row)
        self.follower_return += self._powers.take(self.count) * rewards
        arrived = self.tables.successors.reshape(-1).take(chosen)
        if everybody:
            self.state[:] = arrived
            self.count += 1
        else:
            np.copyto(self.state, arrived, where=moving)
            self.count += moving
        terminated, truncated = arrived == states, self.count >= self.limit
        truncated &= ~terminated
        return (rewards, terminated, truncated) if everybody else (rewards, terminated & moving, truncated & moving)

    def _draw_leads(self, chosen: np.ndarray) -> None:
        if self.tables.leads > 1:
            self.lead[chosen] = self.tables.lead(self.table[chosen], self.state[chosen], self.streams.draw_from(chosen))
