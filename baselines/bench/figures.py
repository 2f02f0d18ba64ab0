"""Figures of the report: curves here, and what leaders learned in `baselines.bench.learned`."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .behaviour import likeliest_paths
from .learned import caption, learned_figure
from .palette import COLOURS, data_uri, plain_text, style, svg
from .stats import curve

__all__ = ["COLOURS", "caption", "curves", "data_uri", "learned_figure", "likeliest_paths", "plain_text", "style", "svg"]

AXES = {"commitments": "commitments", "outcome_steps": "outcome steps", "seconds": "solver seconds"}


def curves(
    groups: dict[str, list[dict[str, Any]]], best: float | None, published: list[dict[str, Any]], best_name: str = "best known"
) -> Figure:
    """F against commitments, outcome steps (where anybody used some) and wall time: interquartile mean and bootstrap band over seeds."""
    sampled = any(result["cost"]["outcome_steps"] for results in groups.values() for result in results)
    quantities = [quantity for quantity in AXES if quantity != "outcome_steps" or sampled]
    figure = Figure(figsize=(4.3 * len(quantities), 3.6))
    panels = figure.subplots(1, len(quantities), sharey=True)
    for axis, quantity in zip(panels, quantities, strict=True):
        for i, (label, results) in enumerate(groups.items()):
            line = style(i)
            if quantity == "outcome_steps" and not all(result["cost"][quantity] for result in results):
                continue
            grid, middle, low, high = curve([_axis_values(result, quantity) for result in results], [_scores(result) for result in results])
            axis.plot(grid, middle, **line, label=plain_text(label), lw=1.8, drawstyle="steps-post")
            axis.fill_between(grid, low, high, color=line["color"], alpha=0.18, lw=0, step="post")
        if best is not None:
            axis.axhline(best, color="black", lw=1, ls="--", label=f"{best_name}, {best:.3f}")
        for i, entry in enumerate(published):
            error = f" ± {entry['error']:.3f}" if "error" in entry else ""
            label = plain_text(f"published {entry['label']}, {entry['value']:.2f}{error}")
            axis.axhline(entry["value"], color="#888888", lw=1.2, ls=(0, (1, 1 + i)), label=label)
        finish(axis, AXES[quantity], integers=quantity != "seconds")
    panels[0].set_ylabel("F(x), scored by the referee")
    figure.tight_layout()
    legend_below(figure, panels[0])
    return figure


def finish(axis: Axes, name: str, *, integers: bool) -> None:
    """The horizontal axis of a panel: at most five ticks, that do not collide, and a light grid."""
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=integers, prune="lower" if not integers else None))
    axis.set_xlabel(name)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def legend_below(figure: Figure, axis: Axes, extra: tuple[Line2D, ...] = ()) -> None:
    """The legend of ``axis``, and of further handles, under the figure in two columns, or one where labels are long."""
    handles, labels = axis.get_legend_handles_labels()
    labels = [*labels, *(str(handle.get_label()) for handle in extra)]
    longest = max((len(label) for label in labels), default=0)
    figure.legend(
        [*handles, *extra], labels, loc="upper left", bbox_to_anchor=(0.06, 0.0), ncol=2 if longest < 48 else 1, frameon=False, fontsize=10
    )


def _axis_values(result: dict[str, Any], quantity: str) -> np.ndarray:
    return np.array(result["timing"]["history"] if quantity == "seconds" else [row[quantity] for row in result["history"]], dtype=float)


def _scores(result: dict[str, Any]) -> np.ndarray:
    return np.array([row["leader_return"] for row in result["history"]])
