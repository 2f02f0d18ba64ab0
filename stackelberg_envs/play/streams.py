"""Uniform variates of many generators, one stream each, in their order.

`Streams` draws blocks from the generators themselves.  `CompiledStreams` steps copies of their states by numba, to the same bits: PCG64,
which is what Gymnasium seeds, is a few multiplications.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import rollouts

if TYPE_CHECKING:
    from .batches import StackedTables

BLOCK = 256
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


class CompiledStreams:
    """`Streams` of PCG64 generators by numba: the generators are left as they are, and nothing is drawn ahead.

    Args:
        generators: N of them.

    Attributes:
        count: N.
    """

    def __init__(self, generators: Sequence[np.random.Generator]) -> None:
        from . import compiled

        self._compiled = compiled
        self.count = len(generators)
        self._states = np.empty((self.count, 4), dtype=np.uint64)
        self.replace(dict(enumerate(generators)))

    @staticmethod
    def applies(generators: Sequence[np.random.Generator]) -> bool:
        """Whether numba is installed and not switched off, and the generators are PCG64."""
        return rollouts.COMPILED and all(type(one.bit_generator) is np.random.PCG64 for one in generators)

    def replace(self, generators: Mapping[int, np.random.Generator]) -> None:
        """Give some streams other generators, by index."""
        for i, generator in generators.items():
            numbers: Any = generator.bit_generator.state["state"]
            self._states[i] = [part for one in ("state", "inc") for part in divmod(numbers[one], HALF)]

    def draw_from(self, streams: np.ndarray) -> np.ndarray:
        """The next variate of some streams, distinct indices (M,)."""
        return self._compiled.draw_from(self._states, streams)

    def advance(
        self,
        where: np.ndarray,
        returns: np.ndarray,
        actions: np.ndarray,
        moving: np.ndarray,
        tables: StackedTables,
        powers: np.ndarray,
        limit: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`stackelberg_envs.play.batches.EpisodeBatch.advance` as one loop; ``where`` and ``returns`` are changed in place."""
        return self._compiled.advance(
            self._states,
            where,
            returns,
            actions,
            moving,
            (tables.cumulated, tables.successors, tables.follower_reward, tables.leader),
            (tables.states, tables.leads, tables.choices),
            powers,
            limit,
        )


def streams_of(generators: Sequence[np.random.Generator]) -> Streams | CompiledStreams:
    """Streams of N generators, compiled where they can be."""
    return CompiledStreams(generators) if CompiledStreams.applies(generators) else Streams(generators)
