"""What leaders learned in games on a graph, as pictures: links coloured by what the followers do, and what the leader set beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke

import stackelberg_envs as se
from stackelberg_envs.evaluation import Evaluation
from stackelberg_envs.optional import Graph

from .palette import INK, plain_text

FEW = 80
"""Links up to which labels are written, and places up to which names are."""
COLOURS = "YlOrRd"
ASIDE = 0.03
"""How far links are drawn to the right of the line between their ends, as a part of the picture's width."""


def graphs(game: se.StackelbergGame, shown: dict[str, np.ndarray], scored: dict[str, Evaluation]) -> Figure:
    """One graph a leader, of the first context; all have one scale of colours."""
    drawn = {label: game.graph(game.for_context(x, 0), 0, scored[label].responses[0].policies) for label, x in shown.items()}
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    height = _height(next(iter(drawn.values())))
    figure = Figure(figsize=(5.4 * columns + 0.6, (5.4 * height + 0.9) * rows), layout=ConstrainedLayoutEngine(h_pad=0.12))
    panels = figure.subplots(rows, columns, squeeze=False)
    for axis in panels.flat[len(shown) :]:
        axis.axis("off")
    colours = ScalarMappable(Normalize(0.0, max(float(graph.load.max(initial=0.0)) for graph in drawn.values()) or 1.0), COLOURS)
    for axis, (label, graph) in zip(panels.flat, drawn.items(), strict=False):
        _draw(axis, graph, colours)
        axis.set_title(f"{plain_text(label, 44)}\nF = {float(scored[label].leader_return):.3f}", fontsize=10)
    first = next(iter(drawn.values()))
    figure.colorbar(colours, ax=panels.ravel().tolist(), shrink=0.7, label=first.load_name, pad=0.02)
    if len(first.labels) <= FEW:
        figure.supxlabel(f"numbers: {first.label_name}", fontsize=10)
    return figure


def uniform_policies(game: se.StackelbergGame) -> list[np.ndarray]:
    """Policies in which followers of the first context take all actions alike, for what does not depend on them."""
    worlds: Any = game.null_worlds
    return [np.ones(np.shape(world.unloaded().leader_reward)) / world.actions[0] for world in worlds]


def _annotate(axis: Axes, place: np.ndarray, line: str, colour: str, below: int) -> None:
    """A line of text below a place and to the right, between its links; ``below`` in points."""
    if line:
        white = {"boxstyle": "square,pad=0.1", "facecolor": "#fefefe", "edgecolor": "none", "alpha": 0.85}
        axis.annotate(
            line, (place[0], place[1]), (18, -below), textcoords="offset points", va="top", fontsize=8, color=colour, bbox=white, zorder=5
        )


def _height(graph: Graph) -> float:
    """Of the picture, as a part of its width."""
    width, height = np.ptp(graph.places, axis=0)
    return float(np.clip(height / max(width, 1e-12), 0.5, 1.2))


def _draw(axis: Axes, graph: Graph, colours: Any) -> None:
    """Arrows to the right of the line between two places, and a disc for each place."""
    low, size = graph.places.min(axis=0), np.ptp(graph.places, axis=0)
    places = (graph.places - low) / np.where(size > 0, size, 1.0) * np.array([1.0, _height(graph)])
    few = len(graph.labels) <= FEW
    halo = [withStroke(linewidth=2.5, foreground="#fefefe")]
    for (start, end), load, label in zip(graph.ends, graph.load, graph.labels, strict=True):
        along = places[end] - places[start]
        length = float(np.hypot(*along)) or 1.0
        right = np.array([along[1], -along[0]]) / length * (ASIDE if few else 0.2 * ASIDE)
        cut = along * min(0.25, (0.05 if few else 0.01) / length)
        arrow = {
            "arrowstyle": "-|>,head_width=0.25,head_length=0.5" if few else "-",
            "lw": 3.0 if few else 1.4,
            "color": colours.to_rgba(load),
            "shrinkA": 0,
            "shrinkB": 0,
        }
        if few:
            arrow["path_effects"] = [withStroke(linewidth=4.2, foreground="#8a8f96")]  # the palest links are seen on white, too
        axis.annotate("", places[end] + right - cut, places[start] + right + cut, arrowprops=arrow)
        if few and label:
            where = places[start] + 0.4 * along + 1.4 * right
            side = 1.5 * right / ASIDE  # so that the text begins beside the link, whatever its length
            across, up = (("right", "center", "left"), ("top", "center", "bottom"))
            ha, va = across[1 + round(side[0] / 1.6)], up[1 + round(side[1] / 1.6)]
            axis.text(where[0], where[1], label, ha=ha, va=va, fontsize=8, color=INK, path_effects=halo)
    wide = few and max(map(len, graph.names)) > 2
    axis.plot(*places.T, "o", color="#546c60", ms=(22 if wide else 15) if few else 2, zorder=3)
    if few:
        for place, name in zip(places, graph.names, strict=True):
            axis.text(place[0], place[1], name, ha="center", va="center", fontsize=9, color="#fefefe", weight="bold", zorder=4)
        for lines, colour, below in ((graph.notes, INK, 13), (graph.alarms, "#b3122a", 23)):
            for place, line in zip(places, lines, strict=False):
                _annotate(axis, place, line, colour, below)
    axis.set_xlim(-0.1, 1.1)
    axis.set_ylim(-0.1, _height(graph) + 0.1)
    axis.set_aspect("equal")
    axis.axis("off")
