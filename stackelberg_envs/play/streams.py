"""Uniform variates of many generators, one stream each, in their order.

`Streams` draws blocks from the generators themselves.  Loops by numba draw them one by one from a copy of the generators' states, to the
same bits: PCG64, which is what Gymnasium seeds, is a few multiplications.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import rollouts

BLOCK = 512
"""Variates that each stream draws at once."""
HALF = 2**64


class Streams:
    """Uniform variates of N generators.  Each draws a block ahead, and gives single variates in their order.

    Args:
        generators: N of them.

    Attributes:
        count: N.
    """

    def __init__(self, generators: Sequence[np.random.Generator]) -> None:
        self._generators = list(generators)
        self.count = len(self._generators)
        self._block = np.empty((self.count, BLOCK))
        self._next = np.arange(1, self.count + 1) * BLOCK
        """Where in the flat block each stream goes on."""
        self._first = np.arange(self.count) * BLOCK
        self._fill()

    def replace(self, generators: Mapping[int, np.random.Generator]) -> None:
        """Give some streams other generators, by index."""
        for i, generator in generators.items():
            self._generators[i], self._next[i] = generator, self._first[i] + BLOCK
        self._fill()

    def draw_from(self, streams: np.ndarray | None) -> np.ndarray:
        """The next variate of some streams, distinct indices (M,), of all of them, or of those where booleans (N,) say so.

        With booleans there are N variates, and those of the other streams will come again.
        """
        if streams is None:
            drawn = self._block.reshape(-1).take(self._next)
            self._next += 1
        elif streams.dtype == bool:
            drawn = self._block.reshape(-1).take(self._next)
            self._next += streams
        else:
            drawn = self._block.reshape(-1).take(self._next[streams])
            self._next[streams] += 1
        self._draws -= 1
        if self._draws == 0:
            self._fill()
        return drawn

    def _fill(self) -> None:
        """Fill blocks that are empty."""
        for i in np.flatnonzero(self._next == self._first + BLOCK).tolist():
            self._generators[i].random(out=self._block[i])
            self._next[i] = self._first[i]
        self._draws = BLOCK - int((self._next - self._first).max(initial=0))
        """How many draws there are in every stream before one is empty."""


def compiles(generators: Sequence[np.random.Generator]) -> bool:
    """Whether `states_of` these generators serve `stackelberg_envs.play.compiled`: numba is installed and not switched off."""
    return rollouts.COMPILED and all(type(one.bit_generator) is np.random.PCG64 for one in generators)


def states_of(generators: Iterable[np.random.Generator]) -> np.ndarray:
    """States and increments of PCG64 generators in halves, (4, N) unsigned integers: those of the generators stand still."""
    numbers: list[Any] = [one.bit_generator.state["state"] for one in generators]
    return np.array([[*divmod(one["state"], HALF), *divmod(one["inc"], HALF)] for one in numbers], dtype=np.uint64).reshape(-1, 4).T.copy()
