"""Observations of one agent in a world with tables, as lookups: what holds for the whole episode is looked up once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np

from ..play.steps import Memo
from .episode import Episode


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

    def observe(self, state: int, action: int | None) -> np.ndarray:
        """(n,) float32; ``action`` is what the agent sees of the other's, None where there is none."""
        observation = self._base.copy()
        observation[self._state + state] = 1.0
        if self._action is not None:
            observation[self._none if action is None else self._action + action] = 1.0
        return observation

    @staticmethod
    def stack(lookups: Sequence[VectorLookup]) -> StackedVectors:
        """Of several processes."""
        return StackedVectors(lookups)

    @property
    def blocks(self) -> tuple[np.ndarray, int, int | None, int]:
        """(what does not change, where states begin, where actions begin or None, where no action is shown)."""
        return self._base, self._state, self._action, self._none


class StackedVectors:
    """Flat observations of many environments, each in one of several processes."""

    def __init__(self, lookups: Sequence[VectorLookup]) -> None:
        bases, (self._state, *_), (self._action, *_), (self._none, *_) = zip(*(one.blocks for one in lookups), strict=True)
        self._bases = np.stack(bases)

    def observe_all(self, processes: np.ndarray, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """(N, n) float32, fresh."""
        observations = self._bases.take(processes, axis=0)
        rows = np.arange(len(states))
        observations[rows, self._state + states] = 1.0
        if self._action is not None:
            observations[rows, np.where(actions < 0, self._none, self._action + actions)] = 1.0
        return observations


class IndexLookup:
    """Index observations of one agent: the part that does not change, and two digits."""

    def __init__(self, episode: Episode, agent: str) -> None:
        first, *second = episode.own_blocks[agent]
        width = second[0].stop - second[0].start if second else 1
        radix = (first.stop - first.start) * width
        self.width, self.base = width, int(episode.observe(agent)) // radix * radix
        self._rows = _index_rows(self.base, width)
        self._sees_action = bool(second)

    def observe(self, state: int, action: int | None) -> np.int64:
        """An index; ``action`` is what the agent sees of the other's, None where there is none."""
        return self._rows[state][-1 if action is None or not self._sees_action else action]

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
def _index_rows(base: int, width: int) -> Memo[int, list[np.int64]]:
    return Memo(partial(_index_row, base, width))


def _index_row(base: int, width: int, state: int) -> list[np.int64]:
    return [np.int64(base + state * width + digit) for digit in range(width)]
