"""What observations are made of: one slot for each thing that is seen, a one-hot block for an index, numbers for a vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

UNBOUNDED = 1e6
"""Where numbers have no bound they are shown up to this one: libraries warn of infinite bounds, and the width of a space of all float32
numbers is infinite in float32."""
LARGEST = float(np.finfo(np.float32).max)
"""Observations are float32: no bound is larger."""
SMALL = UNBOUNDED**2
"""Sum of squares up to which no number is beyond any bound."""


@dataclass(frozen=True)
class Index:
    """One of ``count`` things, or none: a one-hot block of ``count`` + 1, the last for "not yet" or "over"."""

    count: int

    @property
    def low(self) -> np.ndarray:
        """Lower bounds, (width,)."""
        return np.zeros(self.count + 1)

    @property
    def high(self) -> np.ndarray:
        """Upper bounds, (width,)."""
        return np.ones(self.count + 1)

    @property
    def width(self) -> int:
        """``count`` + 1."""
        return self.count + 1

    def write(self, block: np.ndarray, value: Any) -> None:
        """Show an index, or None, in zeros (width,)."""
        block[self.count if value is None else value] = 1.0


@dataclass(frozen=True)
class Vector:
    """Numbers between bounds, or none: the numbers and a 1, or all zeros."""

    space: Box

    @property
    def low(self) -> np.ndarray:
        """Lower bounds, (width,)."""
        return np.append(np.minimum(np.maximum(self.space.low, -self._largest[0]), 0.0), 0.0)

    @property
    def high(self) -> np.ndarray:
        """Upper bounds, (width,)."""
        return np.append(np.maximum(np.minimum(self.space.high, self._largest[1]), 0.0), 1.0)

    @cached_property
    def _largest(self) -> np.ndarray:
        """The largest magnitudes that are shown below and above 0, (2, width - 1)."""
        return np.where(np.isfinite([self.space.low, self.space.high]), LARGEST, UNBOUNDED)

    @cached_property
    def width(self) -> int:
        """One more than there are numbers."""
        return self.space.shape[0] + 1

    def write(self, block: np.ndarray, value: Any) -> None:
        """Show an array of the space's shape, or None, in zeros (width,)."""
        if value is not None:
            block[:-1] = value if value.dot(value) < SMALL else value.clip(-self._largest[0], self._largest[1])
            block[-1] = 1.0


Slot = Index | Vector


def encode(slots: Sequence[Slot], observed: Iterable[Any], after: int = 0) -> np.ndarray:
    """What slots show, one behind the other, and ``after`` zeros behind them: (n,) float32."""
    vector, end = np.zeros(sum([one.width for one in slots]) + after, dtype=np.float32), 0
    for one, value in zip(slots, observed, strict=True):
        begin, end = end, end + one.width
        one.write(vector[begin:end], value)
    return vector


def slot(space: Space[Any]) -> Slot:
    """The slot that shows an element of a space, Box or Discrete."""
    if isinstance(space, Discrete):
        return Index(int(space.n))
    assert isinstance(space, Box)
    return Vector(space)


def action_slot(space: Space[Any]) -> Slot:
    """The slot that shows an action: a vector without bounds, for policies that the environment plays need not keep those of agents."""
    return slot(Box(-np.inf, np.inf, space.shape, np.float64) if isinstance(space, Box) else space)


def index_of(slots: list[Slot], observed: list[Any]) -> np.int64:
    """All slots as one integer; each is an `Index`."""
    index = 0
    for one, value in zip(slots, observed, strict=True):
        assert isinstance(one, Index)
        index = index * (one.count + 1) + (one.count if value is None else int(value))
    return np.int64(index)
