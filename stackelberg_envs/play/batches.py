"""Many episodes of one follower in worlds with tables, in lockstep; the noise of each episode is a stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import check_memory
from ..processes.inverse_cdf import inverse_cdf
from .rollouts import COMPILED
from .steps import TabularStepper, powers

BLOCK = 256
"""Variates that each stream draws at once."""


class Streams:
    """Uniform variates of N generators.  Each draws a block ahead, and gives single variates in their order.

    Args:
        generators: N of them.
    """

    def __init__(self, generators: Sequence[np.random.Generator]) -> None:
        self._generators = list(generators)
        count = len(self._generators)
        self.block = np.empty((count, BLOCK))
        """What each stream has drawn ahead, (N, BLOCK)."""
        self.next = np.full(count, BLOCK)
        """Where in its block each stream goes on, (N,); whoever moves it calls `spend` then."""
        self._fill()

    def replace(self, generators: dict[int, np.random.Generator]) -> None:
        """Give some streams other generators, by index."""
        for i, generator in generators.items():
            self._generators[i], self.next[i] = generator, BLOCK
        self._fill()

    def draw_from(self, streams: np.ndarray) -> np.ndarray:
        """The next variate of some streams, distinct indices (M,)."""
        drawn = self.block[streams, self.next[streams]]
        self.next[streams] += 1
        self.spend()
        return drawn

    def spend(self) -> None:
        """Some or all streams have given one variate: fill those whose block is empty."""
        self._draws -= 1
        if self._draws == 0:
            self._fill()

    def _fill(self) -> None:
        for i in np.flatnonzero(self.next == BLOCK).tolist():
            self._generators[i].random(out=self.block[i])
            self.next[i] = 0
        self._draws = BLOCK - int(self.next.max())
        """How many draws there are in every stream before one is empty."""


class StackedTables:
    """Tables of T processes of the same sizes, one above the other; the end is one more state, which leads to itself and pays nothing.

    A node is (t (S + 1) + s) A + a, a row is node B + b.

    Attributes:
        cumulated: thresholds of the K + 1 successors of each row, (K, rows).
        successors: next states, (rows (K + 1),).
        follower_reward: (rows,).
        leader_reward: (rows,).

    Args:
        steppers: one per process, of a single follower each.
    """

    def __init__(self, steppers: Sequence[TabularStepper]) -> None:
        self.states, self.leads, self.choices = steppers[0].process.sizes
        width = max(stepper.longest for stepper in steppers)
        rows = len(steppers) * (self.states + 1) * self.leads * self.choices
        check_memory(f"tables of {len(steppers)} processes, one per commitment and context,", rows * (2 * width + 3))
        parts = [stepper.all_moves(width) for stepper in steppers]
        self.cumulated = np.ascontiguousarray(np.concatenate([part[0] for part in parts]).T)
        self.successors = np.concatenate([part[1] for part in parts]).reshape(-1)
        self.follower_reward = np.concatenate([part[2] for part in parts])
        self.leader_reward = np.concatenate([part[3] for part in parts])
        self.initial = np.stack([stepper.initial_cumulated for stepper in steppers])
        """(T, S): cumulative probabilities of first states."""
        self.leader = np.concatenate([stepper.leader_cumulated for stepper in steppers]) if self.leads > 1 else None
        """(T (S + 1), A): the leader's policies; at the end it takes action 0."""

    def start(self, tables: np.ndarray, u: np.ndarray) -> np.ndarray:
        """First states (M,) of processes ``tables`` (M,), given variates."""
        return (self.initial[tables] <= u[:, None]).sum(axis=1)

    def lead(self, tables: np.ndarray, states: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The leader's actions (M,), given variates."""
        assert self.leader is not None
        return inverse_cdf(self.leader[tables * (self.states + 1) + states], u)


class EpisodeBatch:
    """N episodes, each in one of some stacked processes.

    Args:
        streams: the noise of N episodes.
        tables: the processes.
        limit: steps after which an episode is cut.
        discounts: of follower and leader.

    Attributes:
        table: the process of each episode, (N,).
        state: where its follower is, (N,); S at the end.
        lead: the leader's action that its next step takes, (N,); -1 where it has none to choose, and at the end.
        count: its steps so far, (N,).
        follower_return: discounted, so far, (N,).
        leader_return: discounted, so far, (N,).
    """

    def __init__(self, streams: Streams, tables: StackedTables, limit: int, discounts: tuple[float, float]) -> None:
        count = len(streams.next)
        self.streams, self.tables, self.limit = streams, tables, limit
        self.table, self.state, self.count = (np.zeros(count, dtype=np.int64) for _ in range(3))
        self.lead = np.full(count, -1)
        self.follower_return, self.leader_return = np.zeros(count), np.zeros(count)
        self._powers = np.array([powers(discount, limit) for discount in discounts])
        self._advance = compiled_advance() or advance
        self._all = np.ones(count, dtype=bool)

    def start(self, chosen: np.ndarray, tables: np.ndarray) -> None:
        """Begin episodes ``chosen`` (M,) in processes ``tables`` (M,): the first state and the leader's first action are drawn."""
        self.table[chosen], self.count[chosen] = tables, 0
        self.follower_return[chosen] = self.leader_return[chosen] = 0.0
        self.state[chosen] = self.tables.start(tables, self.streams.draw_from(chosen))
        self._draw_leads(chosen)

    def advance(self, actions: np.ndarray, moving: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Take one legal action in each episode, (N,), or in those that are ``moving``, booleans (N,).

        Returns:
            (follower rewards, leader rewards, terminated, truncated), (N,) each; zeros and False where nothing moves.
        """
        tables, streams = self.tables, self.streams
        result = self._advance(
            (self.table, self.state, self.lead, self.count, self.follower_return, self.leader_return),
            actions,
            self._all if moving is None else moving,
            (streams.block, streams.next),
            (tables.cumulated, tables.successors, tables.follower_reward, tables.leader_reward),
            (tables.states, tables.leads, tables.choices),
            self._powers,
            self.limit,
        )
        streams.spend()
        if tables.leads > 1:
            terminated = result[2]
            self._draw_leads(np.flatnonzero(~terminated if moving is None else moving & ~terminated))
            self.lead[terminated] = -1
        return result

    def _draw_leads(self, chosen: np.ndarray) -> None:
        if self.tables.leads > 1:
            self.lead[chosen] = self.tables.lead(self.table[chosen], self.state[chosen], self.streams.draw_from(chosen))


def advance(
    episodes: tuple[np.ndarray, ...],
    actions: np.ndarray,
    moving: np.ndarray,
    noise: tuple[np.ndarray, np.ndarray],
    tables: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    sizes: tuple[int, int, int],
    powers: np.ndarray,
    limit: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of `EpisodeBatch.advance`, changed in place; `stackelberg_envs.play.compiled.advance` is the same loop by numba.

    Args:
        episodes: table, state, lead, count, follower and leader returns, (N,) each.
        actions: (N,).
        moving: which episodes take a step, (N,).
        noise: the streams' blocks (N, BLOCK), and where each goes on (N,).
        tables: `StackedTables`: thresholds (K, rows), successors (rows (K + 1),), follower and leader rewards (rows,).
        sizes: S, A, B.
        powers: of the follower's and the leader's discount, (2, limit + 1).
        limit: steps after which an episode is cut.
    """
    table, state, lead, count, follower_return, leader_return = episodes
    thresholds, successors, follower_reward, leader_reward = tables
    states, leads, choices = sizes
    node = table * (states + 1) + state
    if leads > 1:
        node = node * leads + np.maximum(lead, 0)
    row = node * choices + actions
    row[~moving] = states * leads * choices  # the end, from which nothing changes
    block, following = noise
    u = block.reshape(-1).take(following + np.arange(len(block)) * block.shape[1])
    following += moving
    chosen = row * (len(thresholds) + 1)
    for threshold in thresholds:
        chosen += threshold.take(row) <= u
    rewards, paid = follower_reward.take(row), leader_reward.take(row)
    follower_return += powers[0].take(count) * rewards
    leader_return += powers[1].take(count) * paid
    np.copyto(state, successors.take(chosen), where=moving)
    count += moving
    terminated = (state == states) & moving
    truncated = (count >= limit) & moving & ~terminated
    return rewards, paid, terminated, truncated


def compiled_advance() -> Callable[..., Any] | None:
    """`advance` by numba, to the same bits; None where it is not installed or switched off."""
    if not COMPILED:
        return None
    from . import compiled

    return compiled.advance
