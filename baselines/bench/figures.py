"""Figures of the report: curves here, and what leaders learned in `baselines.bench.learned`."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from .learned import caption, learned_figure
from .palette import COLOURS, data_uri, plain_text, save, style, svg
from .stats import curve

__all__ = ["COLOURS", "caption", "curves", "curves_caption", "data_uri", "learned_figure", "plain_text", "save", "style", "svg"]

AXES = {"commitments": "commitments", "outcome_steps": "outcome steps", "seconds": "solver seconds"}
WIDE_RANGE = 20
"""Where solvers' outcome steps differ by more than this factor, their axis is logarithmic."""

Groups = dict[str, list[dict[str, Any]]]


def without_steps(groups: Groups) -> list[str]:
    """Solvers that are not in the panel of outcome steps: some run of theirs used none."""
    return [label for label, results in groups.items() if not all(result["cost"]["outcome_steps"] for result in results)]


def has_wide_range(groups: Groups) -> bool:
    """Whether the solvers' outcome steps, at the end of their runs, are of very different sizes."""
    ends = [max(run["cost"]["outcome_steps"] for run in groups[label]) for label in groups if label not in without_steps(groups)]
    return bool(ends) and max(ends) > WIDE_RANGE * min(ends)


def curves(
    groups: Groups, best: float | None, published: list[dict[str, Any]], best_name: str = "best known", *, stacked: bool = False
) -> Figure:
    """F against commitments, outcome steps (where anybody used some) and wall time: interquartile mean and bootstrap band over seeds.

    Args:
        groups: runs by label.
        best: the value of the dashed line, if there is one.
        published: values of the dotted lines.
        best_name: what ``best`` is the best of.
        stacked: panels one below the other, for narrow screens, and not side by side.
    """
    absent, wide = without_steps(groups), has_wide_range(groups)
    quantities = [quantity for quantity in AXES if quantity != "outcome_steps" or len(absent) < len(groups)]
    figure = Figure(figsize=(4.3, 3.2 * len(quantities)) if stacked else (4.3 * len(quantities), 3.6))
    panels = figure.subplots(*((len(quantities), 1) if stacked else (1, len(quantities))), sharey=True)
    for axis, quantity in zip(panels, quantities, strict=True):
        logarithmic = quantity == "outcome_steps" and wide
        for i, (label, results) in enumerate(groups.items()):
            line = style(i)
            if quantity == "outcome_steps" and label in absent:
                continue
            at = [_axis_values(result, quantity) for result in results]
            first = min(float(x[x > 0].min()) for x in at) if logarithmic else 0.0
            grid = np.geomspace(first, max(float(x[-1]) for x in at), 120) if logarithmic else None
            grid, middle, low, high = curve(at, [_scores(result) for result in results], grid)
            axis.plot(grid, middle, **line, label=plain_text(label, 40 if stacked else None), lw=1.8, drawstyle="steps-post")
            axis.fill_between(grid, low, high, color=line["color"], alpha=0.18, lw=0, step="post")
        if best is not None:
            axis.axhline(best, color="black", lw=1, ls="--", label=f"{best_name}, {best:.3f}")
        for i, entry in enumerate(published):
            error = f" ± {entry['error']:.3f}" if "error" in entry else ""
            label = plain_text(f"published {entry['label']}, {entry['value']:.2f}{error}")
            axis.axhline(entry["value"], color="#888888", lw=1.2, ls=(0, (1, 1 + i)), label=label)
        finish(axis, AXES[quantity], integers=quantity != "seconds")
        if logarithmic:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(numticks=5))
            axis.set_xlabel(f"{AXES[quantity]}, logarithmic")
    for axis in panels if stacked else panels[:1]:
        axis.set_ylabel("F(x), scored by the referee")
    figure.tight_layout()
    legend_below(figure, panels[0], columns=1 if stacked else 2)
    return figure


def finish(axis: Axes, name: str, *, integers: bool) -> None:
    """The horizontal axis of a panel: at most five ticks, that do not collide, and a light grid."""
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=integers, prune="lower" if not integers else None))
    axis.set_xlabel(name)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def curves_caption(groups: Groups) -> str:
    """What the lines and bands of `curves` are, and who is missing in which panel."""
    said = ["Line: interquartile mean over seeds; band: its 95 % bootstrap interval."]
    counts = sorted({len(results) for results in groups.values()})
    if counts[0] == 1:
        said.append("A single seed has no band.")
    if any(1 < count < 4 for count in counts):
        said.append(
            "With 2 or 3 seeds the interquartile mean is the mean, and a bootstrap over so few says little: the band is too narrow."
        )
    absent = without_steps(groups)
    if 0 < len(absent) < len(groups):
        said.append(f"Solvers that use no outcome steps are not in the panel of outcome steps: {', '.join(absent)}.")
    if has_wide_range(groups):
        said.append("The axis of outcome steps is logarithmic, and a line begins at its solver's first report with such steps.")
    said.append("Solver seconds are wall time; they are those of the table at the end of a line.")
    return " ".join(said)


def legend_below(figure: Figure, axis: Axes, extra: tuple[Line2D, ...] = (), *, columns: int = 2) -> None:
    """The legend of ``axis``, and of further handles, under the figure in so many columns, or one where labels are long."""
    handles, labels = axis.get_legend_handles_labels()
    labels = [*labels, *(str(handle.get_label()) for handle in extra)]
    longest = max((len(label) for label in labels), default=0)
    figure.legend(
        [*handles, *extra],
        labels,
        loc="upper left",
        bbox_to_anchor=(0.06, 0.0),
        ncol=columns if longest < 48 else 1,
        frameon=False,
        fontsize=10,
    )


def _axis_values(result: dict[str, Any], quantity: str) -> np.ndarray:
    return np.array(result["timing"]["history"] if quantity == "seconds" else [row[quantity] for row in result["history"]], dtype=float)


def _scores(result: dict[str, Any]) -> np.ndarray:
    return np.array([row["leader_return"] for row in result["history"]])
