"""All drawing: a game as text or as pixels, from plain NumPy.

A game with a map is drawn as the map, with the leader's shading (penalties) as a heat map and the followers' paths on it; a game
without one as a table, states by leader actions, shaded by the leader's policy, or, where the leader has no actions, as bars of what it
committed to beside the states; one whose states are vectors as curves over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from .game import StackelbergGame

PIXELS = 24
WALL = np.array([40, 44, 52], dtype=np.float64)
FLOOR = np.array([250, 250, 247], dtype=np.float64)
HEAT = np.array([200, 45, 35], dtype=np.float64)
PATHS = np.array([[31, 110, 190], [20, 140, 80], [150, 80, 180], [210, 140, 20]], dtype=np.float64)
MARK_COLOURS = {
    "T": np.array([235, 180, 20], dtype=np.float64),
    "G": np.array([20, 140, 80], dtype=np.float64),
    "S": np.array([31, 110, 190], dtype=np.float64),
}
MARK_NAMES = {"S": "a start", "G": "a goal", "T": "the target"}
"""What legends call the letters that games mark places with; others are drawn, and not explained."""
SHADES = " .:-=+*%@"
BARS = 24
"""How many components of a commitment are drawn."""


@dataclass(frozen=True)
class Frame:
    """What there is to draw."""

    game: StackelbergGame
    commitment: np.ndarray | None
    context: int
    paths: tuple[tuple[Any, ...], ...]
    """Visited states of each follower, the last one current."""
    time: int


def ansi(frame: Frame) -> str:
    """The frame as text: a title, then the map (or the table), then a legend."""
    title = f"{frame.game.name}, context {frame.game.contexts[frame.context]}, step {frame.time}"
    if frame.commitment is None:
        title += ", waiting for the leader's commitment"
    if _has_vector_states(frame):
        return "\n".join([title, *_ansi_vectors(frame.paths)])
    return "\n".join([title, *(_ansi_map(frame) if frame.game.layout else _ansi_table(frame))])


def rgb_array(frame: Frame, *, pixels: int = PIXELS) -> np.ndarray:
    """The frame as pixels, uint8, (height, width, 3)."""
    if _has_vector_states(frame):
        image = _rgb_vectors(frame.paths, 4 * pixels, colours=PATHS, floor=FLOOR)
    else:
        image = _rgb_map(frame, pixels) if frame.game.layout else _rgb_table(frame, pixels)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _has_vector_states(frame: Frame) -> bool:
    """Whether states are vectors, and drawn as curves."""
    return any(isinstance(spaces.state, Box) for spaces in frame.game.spaces)


def _scaled_shading(frame: Frame) -> np.ndarray | None:
    """The commitment's shading of each state, scaled so that the largest is 1."""
    if frame.commitment is None or frame.game.shading is None:
        return None
    shading = np.abs(np.asarray(frame.game.shading(frame.commitment)))
    top = shading.max()
    return shading / top if top > 0 else shading


def _ansi_map(frame: Frame) -> list[str]:
    layout = frame.game.layout
    assert layout is not None
    rows = [list(line) for line in layout.map]
    heat = _scaled_shading(frame)
    if heat is not None:
        for (row, col), value in zip(layout.cells, heat, strict=True):
            rows[row][col] = SHADES[round(value * (len(SHADES) - 1))]
    for i, path in enumerate(frame.paths):
        for state in path:
            row, col = layout.place(i, state)
            rows[row][col] = "o"
    for (row, col), mark in _marks(frame).items():
        rows[row][col] = mark
    for i, path in enumerate(frame.paths):
        if path:
            row, col = layout.place(i, path[-1])
            rows[row][col] = str(i)
    drawn = ["".join(line) for line in rows]
    there = set("".join(drawn))
    legend = ["0 follower" if len(frame.paths) == 1 else "0.. followers"] if any(frame.paths) else []
    legend += ["o visited"] if "o" in there else []
    legend += [f"{mark} {name}" for mark, name in MARK_NAMES.items() if mark in there & set(_marks(frame).values())]
    legend += [f"'{SHADES}' the leader's shading, least to most"] if heat is not None else []
    return drawn + ["  ".join(legend)] * bool(legend)


def _ansi_table(frame: Frame) -> list[str]:
    acts = frame.game.sizes[0][1] > 1
    policy = _leader_policy(frame) if acts else None
    chosen = {} if acts else _instruments(frame)
    lines = [f"{name}: {np.array2string(values, precision=3, threshold=16)}" for name, values in chosen.items()]
    lines.append("state  visits  leader policy" if acts else "state  visits")
    for state in range(frame.game.sizes[0][0]):
        here = ">" if frame.paths[0] and frame.paths[0][-1] == state else " "
        shown = "  ".join(f"{p:.2f}" for p in policy[state]) if policy is not None else "-"
        lines.append(f"{here}{state:>4}  {frame.paths[0].count(state):>6}" + (f"  {shown}" if acts else ""))
    return lines


def _rgb_map(frame: Frame, pixels: int) -> np.ndarray:
    layout = frame.game.layout
    assert layout is not None
    image = np.tile(WALL, (len(layout.map), len(layout.map[0]), 1))
    heat = _scaled_shading(frame)
    for state, cell in enumerate(layout.cells):
        weight = 0.0 if heat is None else heat[state]
        image[cell] = (1 - weight) * FLOOR + weight * HEAT
    image = image.repeat(pixels, axis=0).repeat(pixels, axis=1)
    for cell, mark in _marks(frame).items():
        _outline(image, cell, MARK_COLOURS.get(mark, WALL), pixels)
    for i, path in enumerate(frame.paths):
        _trace(image, [layout.place(i, state) for state in path], PATHS[i % len(PATHS)], pixels)
    return image


def _rgb_table(frame: Frame, pixels: int) -> np.ndarray:
    s, a, _ = frame.game.sizes[0]
    if a == 1:
        image = _rgb_bars(frame, s * pixels, pixels)
    else:
        policy = _leader_policy(frame)
        image = np.tile(FLOOR, (s, a, 1))
        if policy is not None:
            image = (1 - policy[..., None]) * FLOOR + policy[..., None] * HEAT
        image = image.repeat(pixels, axis=0).repeat(pixels, axis=1)
    column = image.shape[1] // pixels
    image = np.concatenate([image, np.tile(FLOOR, (s * pixels, pixels, 1))], axis=1)
    if frame.paths[0]:
        _trace(image, [(state, column) for state in frame.paths[0]], PATHS[0], pixels)
    return image


def _instruments(frame: Frame) -> dict[str, np.ndarray]:
    """What the leader committed to, by name: its instruments, or else its commitment; nothing before it has."""
    if frame.commitment is None:
        return {}
    x = frame.commitment if frame.commitment.ndim < 2 else frame.commitment[frame.context]
    chosen = {"x": x} if frame.game.instruments is None else frame.game.instruments(x)
    return {name: np.atleast_1d(np.asarray(values, dtype=np.float64)) for name, values in chosen.items()}


def _rgb_bars(frame: Frame, height: int, pixels: int) -> np.ndarray:
    """What the leader committed to, as at most `BARS` bars from a line in the middle; full height is 1, or the largest if that is more."""
    count = min(BARS, frame.game.dimension)
    image = np.tile(FLOOR, (height, count * pixels, 1))
    middle, margin = height // 2, max(1, pixels // 8)
    image[middle - 1 : middle + 1] = 0.6 * FLOOR
    values = np.concatenate([np.zeros(0), *(value.ravel() for value in _instruments(frame).values())])[:count]
    top = max(1.0, float(np.abs(values).max(initial=0.0)))
    for i, value in enumerate(values):
        end = middle - round(float(value) / top * (middle - 2))
        low, high = sorted((middle, end))
        image[low:high, i * pixels + margin : (i + 1) * pixels - margin] = HEAT
    return image


def _leader_policy(frame: Frame) -> np.ndarray | None:
    if frame.commitment is None:
        return None
    return np.asarray(frame.game.problems(frame.commitment, frame.context)[0].leader_policy)


def _marks(frame: Frame) -> dict[tuple[int, int], str]:
    return {} if frame.game.marks is None else frame.game.marks(frame.context)


def _outline(image: np.ndarray, cell: tuple[int, int], colour: np.ndarray, pixels: int) -> None:
    row, col = cell[0] * pixels, cell[1] * pixels
    width = max(1, pixels // 8)
    block = image[row : row + pixels, col : col + pixels]
    block[:width] = block[-width:] = colour
    block[:, :width] = block[:, -width:] = colour


def _trace(image: np.ndarray, cells: list[tuple[int, int]], colour: np.ndarray, pixels: int) -> None:
    """A line through the centres of ``cells`` and a disc on the last."""
    centres = [(row * pixels + pixels // 2, col * pixels + pixels // 2) for row, col in cells]
    half = max(1, pixels // 12)
    for (row, col), (to_row, to_col) in pairwise(centres):
        top, bottom = sorted((row, to_row))
        left, right = sorted((col, to_col))
        image[top - half : bottom + half, left - half : right + half] = colour
    if centres:
        row, col = centres[-1]
        rows, cols = np.ogrid[: image.shape[0], : image.shape[1]]
        image[(rows - row) ** 2 + (cols - col) ** 2 <= (pixels / 3.2) ** 2] = colour


def _ansi_vectors(paths: Sequence[Sequence[Any]]) -> list[str]:
    """One line a component: its last value, its range, and its course as shades from least to most."""
    lines = ["component      now      least       most  course"]
    for path in paths:
        for i, course in enumerate(np.array(path).T if len(path) else ()):
            shown = course[np.linspace(0, len(course) - 1, min(60, len(course))).astype(int)]
            span = np.ptp(course)
            shades = np.rint((shown - course.min()) / (span if span > 0 else 1.0) * (len(SHADES) - 1)).astype(int)
            drawn = "".join(SHADES[shade] for shade in shades)
            lines.append(f"{i:>9} {course[-1]:>8.4g} {course.min():>10.4g} {course.max():>10.4g}  {drawn}")
    return lines


def _rgb_vectors(paths: Sequence[Sequence[Any]], height: int, *, colours: np.ndarray, floor: np.ndarray) -> np.ndarray:
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
