"""Observations of one agent in a world with tables, as lookups: what holds for the whole episode is looked up once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..play.steps import Memo
from .episode import LEADER, Episode

MOST_ROWS = 10_000
"""Observations of one agent up to which all are written at once."""


class VectorLookup:
    """Flat observations of one agent: a copy of what does not change, and two ones."""

    def __init__(self, episode: Episode, agent: str) -> None:
        first, *second = episode.own_blocks[agent]
        base = episode.observe(agent)
        assert isinstance(base, np.ndarray)
        for block in (first, *second):
            base[block] = 0.0
        self._base, self._state, self._action, self._none = base, first.start, None, 0
        if second:
            self._action, self._none = second[0].start, second[0].stop - 1

    rows: None = None
    """Each observation is a new array."""

    def observe(self, state: int, action: int) -> np.ndarray:
        """(n,) float32; ``action`` is the other's, -1 where there is none."""
        observation = self._base.copy()
        observation[self._state + state] = 1.0
        if self._action is not None:
            observation[self._none if action < 0 else self._action + action] = 1.0
        return observation

    @staticmethod
    def stack(lookups: Sequence[VectorLookup]) -> StackedVectors:
        """Of several processes."""
        return StackedVectors(lookups)

    @property
    def blocks(self) -> tuple[np.ndarray, int, int | None, int]:
        """(what does not change, where states begin, where actions begin or None, where no action is shown)."""
        return self._base, self._state, self._action, self._none


class SlotLookup:
    """Flat observations of one agent where states or actions are vectors: a copy of what does not change, and what its slots show."""

    rows: None = None
    """Each observation is a new array."""

    def __init__(self, episode: Episode, agent: str) -> None:
        self._blocks, self._slots = episode.own_blocks[agent], episode.own_slots(agent)
        base = episode.observe(agent)
        assert isinstance(base, np.ndarray)
        for block in self._blocks:
            base[block] = 0.0
        self._base = base

    def observe(self, state: Any, action: Any) -> np.ndarray:
        """(n,) float32; ``action`` is the other's, None where there is none."""
        observation = self._base.copy()
        for block, slot, value in zip(self._blocks, self._slots, (state, action), strict=False):
            slot.write(observation[block], value)
        return observation


class StackedVectors:
    """Flat observations of many environments, each in one of several processes."""

    def __init__(self, lookups: Sequence[VectorLookup]) -> None:
        bases, (self._state, *_), (self._action, *_), (self._none, *_) = zip(*(one.blocks for one in lookups), strict=True)
        self._bases = np.stack(bases)

    def observe_all(self, processes: np.ndarray, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """(N, n) float32, fresh."""
        observations = self._bases.take(processes, axis=0)
        flat, first = observations.reshape(-1), np.arange(0, observations.size, observations.shape[1])
        flat[first + (self._state + states)] = 1.0
        if self._action is not None:
            flat[first + np.where(actions < 0, self._none, self._action + actions)] = 1.0
        return observations


class IndexLookup:
    """Index observations of one agent: the part that does not change, and two digits."""

    def __init__(self, episode: Episode, agent: str) -> None:
        first, *second = episode.own_blocks[agent]
        states, width = first.stop - first.start, second[0].stop - second[0].start if second else 1
        radix = states * width
        self.width, self.base = width, int(episode.observe(agent)) // radix * radix
        _, leads, choices = episode.steppers[0].process.sizes
        self.rows = index_rows(self.base, states, width, (choices if agent == LEADER else leads) + 1)
        """The observation by state and the other's action, -1 where there is none."""

    def observe(self, state: int, action: int) -> np.int64:
        """An index; ``action`` is the other's, -1 where there is none."""
        return self.rows[state][action]

    @staticmethod
    def stack(lookups: Sequence[IndexLookup]) -> StackedIndices:
        """Of several processes."""
        return StackedIndices(lookups)


class StackedIndices:
    """Index observations of many environments, each in one of several processes."""

    def __init__(self, lookups: Sequence[IndexLookup]) -> None:
        self._bases, self._width = np.array([one.base for one in lookups]), lookups[0].width

    def observe_all(self, processes: np.ndarray, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """(N,) integers, fresh."""
        indices = self._bases.take(processes) + states * self._width
        return indices if self._width == 1 else indices + np.where(actions < 0, self._width - 1, actions)


@lru_cache(maxsize=64)
def index_rows(base: int, states: int, width: int, actions: int) -> list[list[np.int64]] | Memo[int, list[np.int64]]:
    """Index observations by state and the other's action, the last of ``actions`` for none; ``width`` is 1 where no action is seen.

    Few are written at once, many when they are asked for.
    """
    row = partial(_index_row, base, width, actions)
    return Memo(row) if states * actions > MOST_ROWS else [row(state) for state in range(states)]


def _index_row(base: int, width: int, actions: int, state: int) -> list[np.int64]:
    if width == 1:
        return [np.int64(base + state)] * actions
    return [np.int64(base + state * width + digit) for digit in range(width)]
