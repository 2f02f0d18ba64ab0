"""A simplex cut into small ones, each of which is cut into smaller ones.

Points of the simplex of n probabilities are ordered coordinates 0 <= y_1 <= ... <= y_{n-1} <= K, whose differences, divided by K, are the
probabilities.  Cutting there along all y_i = integer and y_i - y_j = integer gives K^(n-1) congruent cells, and doubling K cuts every cell
into 2^(n-1): Kuhn's triangulation (Kuhn, "Some combinatorial lemmas in topology", IBM Journal of Research and Development, 1960), also
known as edgewise subdivision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, permutations

import numpy as np

COARSEST = 4
"""K of the first level."""


@dataclass(frozen=True)
class SimplexGrid:
    """Nested cells of a simplex, over the vertices of the finest."""

    vertices: np.ndarray
    """Probabilities, (V, n)."""
    cells: tuple[np.ndarray, ...]
    """Of each level, coarsest first: the vertices of each cell, (C, n)."""
    children: tuple[np.ndarray, ...]
    """Of each level but the last: the cells of the next that make up each cell, (C, 2^(n-1))."""


@cache
def simplex_grid(size: int, depth: int) -> SimplexGrid:
    """Cells of the simplex of ``size`` probabilities, halved ``depth`` times; treat it as read-only."""
    levels = [_kuhn(size, COARSEST << level) for level in range(depth + 1)]
    finest = {point: number for number, point in enumerate(levels[-1][0])}
    cells, children = [], []
    for level, (points, numbered) in enumerate(levels):
        scale = 1 << (depth - level)
        index = np.array([finest[tuple(scale * y for y in point)] for point in points])
        cells.append(index[np.array(list(numbered.values()))])
        if level:
            children.append(_children(levels[level - 1][1], points, numbered))
    coordinates = np.array(levels[-1][0], dtype=np.float64).reshape(len(levels[-1][0]), size - 1)
    ends = np.zeros((len(coordinates), 1)), np.full((len(coordinates), 1), float(COARSEST << depth))
    vertices = np.diff(np.concatenate([ends[0], coordinates, ends[1]], axis=1), axis=1) / (COARSEST << depth)
    return SimplexGrid(vertices, tuple(cells), tuple(children))


Cell = tuple[tuple[int, ...], tuple[int, ...]]
"""The corner of the unit cube in which a cell is, and the order in which its coordinates grow."""


def _kuhn(size: int, k: int) -> tuple[list[tuple[int, ...]], dict[Cell, list[int]]]:
    """Points and cells, by number, of the triangulation with K = ``k``."""
    points: dict[tuple[int, ...], int] = {}
    cells: dict[Cell, list[int]] = {}
    for corner in combinations_with_replacement(range(k), size - 1):
        for order in permutations(range(size - 1)):
            path = [corner]
            for axis in order:
                path.append(tuple(y + (i == axis) for i, y in enumerate(path[-1])))
            if all(list(point) == sorted(point) and (not point or point[-1] <= k) for point in path):
                cells[corner, order] = [points.setdefault(point, len(points)) for point in path]
    return list(points), cells


def _children(coarse: dict[Cell, list[int]], points: list[tuple[int, ...]], fine: dict[Cell, list[int]]) -> np.ndarray:
    """The fine cells in each coarse one: where their centres are."""
    centres = np.array(points, dtype=np.float64)[np.array(list(fine.values()))].mean(axis=1) / 2
    corners = np.floor(centres).astype(int)
    orders = np.argsort(corners - centres, axis=1, kind="stable")
    number = {cell: i for i, cell in enumerate(coarse)}
    parents = [number[tuple(c), tuple(o)] for c, o in zip(corners.tolist(), orders.tolist(), strict=True)]
    return np.argsort(parents, kind="stable").reshape(len(coarse), -1)
