"""What observations are made of: one slot for each thing that is seen, a one-hot block for an index, numbers for a vector."""

from __future__ import annotations

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

    def encode(self, value: Any) -> np.ndarray:
        """(width,); ``value`` is an index, or None."""
        block = np.zeros(self.count + 1)
        block[self.count if value is None else value] = 1.0
        return block


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

    def encode(self, value: Any) -> np.ndarray:
        """(width,); ``value`` is an array of the space's shape, or None."""
        if value is None:
            return np.zeros(self.space.shape[0] + 1)
        block = np.ones(self.space.shape[0] + 1)
        block[:-1] = np.asarray(value).clip(-self._largest[0], self._largest[1])
        return block


Slot = Index | Vector


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
