"""Parks: graphs with something worth stealing at their nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from ..planning.patrols import Walks


@dataclass(frozen=True, eq=False)
class Park:
    """A graph whose nodes poachers strike at.

    Args:
        places: positions of the nodes in a picture, to the right and upwards, (N, 2).
        paths: pairs of nodes between which rangers walk in a step, both ways, (E, 2).
        values: what a strike at each node pays a poacher, not below 0, (N,).
        losses: what it costs the rangers, not below 0, (N,).
        durations: how many steps it takes, at least 1, (N,).

    Raises:
        ValueError: if these do not fit together, or a node cannot be reached.
    """

    places: np.ndarray
    paths: np.ndarray
    values: np.ndarray
    losses: np.ndarray
    durations: np.ndarray

    def __post_init__(self) -> None:
        for name, kind in {"places": float, "paths": int, "values": float, "losses": float, "durations": int}.items():
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=kind))
        count = len(self.places)
        if self.places.shape != (count, 2) or any(table.shape != (count,) for table in (self.values, self.losses, self.durations)):
            raise ValueError("a park has places (N, 2), and values, losses and durations (N,)")
        if (
            self.paths.ndim != 2
            or self.paths.shape[1] != 2
            or self.paths.size == 0
            or not (0 <= self.paths.min() <= self.paths.max() < count)
        ):
            raise ValueError(f"paths are pairs of nodes from 0 to {count - 1}, (E, 2), and at least one")
        if not np.isfinite([*self.values, *self.losses]).all() or min(self.values.min(), self.losses.min()) < 0 or self.values.max() == 0:
            raise ValueError("values and losses are finite and not below 0, and some value is above")
        if self.durations.min() < 1:
            raise ValueError(f"a strike takes at least 1 step, got {self.durations.min()}")
        reached = np.linalg.matrix_power(self._adjacent.astype(np.float64), count) > 0
        if not reached.all():
            raise ValueError(f"no path leads from node 0 to node {int(np.flatnonzero(~reached[0])[0])}: rangers could not get there")

    @cached_property
    def middle(self) -> int:
        """The node that is nearest to all others, by the steps that the farthest of them is away; the first of several."""
        reached, away = np.eye(len(self.places), dtype=bool), np.zeros(len(self.places), dtype=np.int64)
        while not reached.all():
            away += ~reached.all(axis=1)
            reached = reached @ self._adjacent
        return int(np.argmin(away))

    @cached_property
    def _adjacent(self) -> np.ndarray:
        """Where a ranger can be after a step, itself included, booleans (N, N)."""
        table = np.eye(len(self.places), dtype=bool)
        table[tuple(self.paths.T)] = table[tuple(self.paths.T[::-1])] = True
        return table

    def walks(self, base: int, memory: int) -> Walks:
        """The moves of a ranger: to stay, and to each neighbour, in the order of their numbers.

        Args:
            base: the node where it starts.
            memory: 1 for a ranger that chooses by its node, 2 for one that chooses by the node before, too.
        """
        neighbours = [np.flatnonzero(row) for row in self._adjacent]
        if memory == 1:
            pairs = [(node, node) for node in range(len(neighbours))]
            number = {(before, node): node for before, near in enumerate(neighbours) for node in near.tolist()}
        else:
            pairs = [(before, node) for before, near in enumerate(neighbours) for node in near.tolist()]
            number = {pair: p for p, pair in enumerate(pairs)}
        most = max(map(len, neighbours))
        moves = np.zeros((len(pairs), most), dtype=np.int64)
        possible = np.zeros((len(pairs), most), dtype=bool)
        for p, (_, node) in enumerate(pairs):
            to = [number[node, next_node] for next_node in neighbours[node].tolist()]
            moves[p] = number[node, node]
            moves[p, : len(to)], possible[p, : len(to)] = to, True
        return Walks(moves, possible, np.array([node for _, node in pairs]), number[base, base])


def _ring(size: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    angle = 2 * np.pi * np.arange(size) / size
    return np.column_stack([np.sin(angle), np.cos(angle)]), [(i, (i + 1) % size) for i in range(size)]


def _grid(size: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    cells = np.array([(col, size - 1 - row) for row in range(size) for col in range(size)], dtype=np.float64)
    right = [(i, i + 1) for i in range(size * size) if (i + 1) % size]
    return cells, right + [(i, i + size) for i in range(size * (size - 1))]


def _complete(size: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    return _ring(size)[0], list(combinations(range(size), 2))


GRAPHS: dict[str, Callable[[int], tuple[np.ndarray, list[tuple[int, int]]]]] = {"grid": _grid, "ring": _ring, "complete": _complete}
"""Graphs of a size: cells in a row, or nodes."""


def random_park(graph: str, size: int, durations: tuple[int, int], zero_sum: bool, equal: bool, seed: int) -> Park:
    """A park with values and losses ~ U(0.3, 1), or 1 each, and durations drawn evenly from a range."""
    places, paths = GRAPHS[graph](size)
    rng = np.random.default_rng(seed)
    values, losses = rng.uniform(0.3, 1.0, size=(2, len(places)))
    values = np.ones_like(values) if equal else values
    lasts = rng.integers(durations[0], durations[1] + 1, size=len(places))
    return Park(places, np.array(paths), values, values if zero_sum else losses, lasts)
