"""Drawing states that are vectors: each component as a curve over time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

BLOCKS = " .:-=+*%@"


def ansi_vectors(paths: Sequence[Sequence[Any]]) -> list[str]:
    """One line a component: its last value, its range, and its course as shades from least to most."""
    lines = ["component      now      least       most  course"]
    for path in paths:
        for i, course in enumerate(np.array(path).T if len(path) else ()):
            shown = course[np.linspace(0, len(course) - 1, min(60, len(course))).astype(int)]
            span = np.ptp(course)
            shades = np.rint((shown - course.min()) / (span if span > 0 else 1.0) * (len(BLOCKS) - 1)).astype(int)
            drawn = "".join(BLOCKS[shade] for shade in shades)
            lines.append(f"{i:>9} {course[-1]:>8.4g} {course.min():>10.4g} {course.max():>10.4g}  {drawn}")
    return lines


def rgb_vectors(paths: Sequence[Sequence[Any]], height: int, *, colours: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """One strip a component, ``height`` pixels high and four times as wide, time to the right, each scaled to its own range."""
    strips = []
    for path in paths:
        courses = np.array(path).T if len(path) else np.zeros((1, 0))
        for i, course in enumerate(courses):
            strip = np.tile(floor, (height, 4 * height, 1))
            strip[-1] = 0.8 * floor
            span = np.ptp(course) if len(course) else 0.0
            heights = (course - course.min()) / (span if span > 0 else 1.0) if len(course) else course
            rows = height - 4 - np.rint(heights * (height - 8)).astype(int)
            columns = np.linspace(3, 4 * height - 4, max(2, len(course))).astype(int)[: len(course)]
            for (row, column), (to_row, to_column) in pairwise(zip(rows, columns, strict=True)):
                count = max(abs(to_row - row), abs(to_column - column), 1)
                ys, xs = np.linspace(row, to_row, count + 1).astype(int), np.linspace(column, to_column, count + 1).astype(int)
                for offset in (-1, 0, 1):
                    strip[ys + offset, xs] = colours[i % len(colours)]
            strips.append(strip)
    return np.concatenate(strips)
