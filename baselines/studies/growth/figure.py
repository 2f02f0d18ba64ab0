"""The figure that `baselines.studies.growth` draws of a record: time, memory and counted products against each size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from .page import HEARD, memory_fit, points_of, time_fit
from .timing import Point
from .works import SERIES

PALETTE, MARKERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), "osD^"
"""Okabe and Ito's colours, which the colour-blind tell apart."""
Drawn = Callable[[Point], tuple[float, float, float] | None]


def _seconds(point: Point) -> tuple[float, float, float]:
    return point["seconds"], point["low"], point["high"]


def _megabytes(point: Point) -> tuple[float, float, float] | None:
    mb = point["megabytes"]
    return (mb, mb, mb) if mb >= HEARD else None


def _products(point: Point) -> tuple[float, float, float] | None:
    count = float(point["work"].get("products", 0))
    return (count, count, count) if count else None


PANELS: tuple[tuple[str, str, Drawn, tuple[str, ...]], ...] = (
    ("States: seconds", "S", _seconds, ("states",)),
    ("States: MB on top of the tables", "S", _megabytes, ("states",)),
    ("States: products with the chain, counted", "S", _products, ("states",)),
    ("Actions and successors, S = 1,000: seconds", "B or K", _seconds, ("actions", "successors")),
    ("Four Rooms as a batch: seconds", "processes", _seconds, ("batch",)),
    ("Commitments of a long x, S = 208: seconds", "dim x", _seconds, ("dimension",)),
    ("Commitments of a long x, S = 208: MB on top of the tables", "dim x", _megabytes, ("dimension",)),
    ("Followers: seconds", "followers", _seconds, ("followers",)),
)


def draw(record: dict[str, Any]) -> Figure:
    """Time, memory and counted products against each size; lines are labelled where they end, with what they were fitted to grow as."""
    figure = Figure(figsize=(11.5, 13))
    for axis, (title, label, drawn, studies) in zip(figure.subplots(4, 2).flat, PANELS, strict=True):
        ends: list[tuple[float, float, str, str]] = []
        silent: list[str] = []
        lines = [line for line in SERIES if line.study in studies and points_of(record, line.study, line.name)]
        for line, colour, marker in zip(lines, PALETTE, MARKERS, strict=False):
            shown = [(point["size"], *values) for point in points_of(record, line.study, line.name) if (values := drawn(point))]
            if not shown:
                silent.append(line.name)
                continue
            sizes, middle, low, high = np.array(shown, dtype=float).T
            axis.errorbar(sizes, middle, [middle - low, high - middle], color=colour, marker=marker, ms=4, lw=1.5, elinewidth=0.8)
            fit = {_seconds: time_fit, _megabytes: memory_fit}.get(drawn, lambda *_: None)(record, line)
            grows = "" if fit is None else f", x {fit.value:.1f} each" if line.factor else f", n^{fit.value:.2f}"
            ends.append((sizes[-1], middle[-1], line.name.removesuffix(" sensitivities") + grows, colour))
        axis.set(yscale="log", xlabel=label)
        if studies != ("followers",):
            axis.set_xscale("log", base=10 if studies == ("states",) else 2)
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_title(title, fontsize=10, loc="left")
        axis.margins(y=0.12)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        _label_ends(axis, ends)
        if drawn is _megabytes and silent:
            axis.text(
                0.98, 0.04, f"below {HEARD:g} MB at every size:\n" + "; ".join(silent), transform=axis.transAxes, fontsize=8, ha="right"
            )
    figure.tight_layout(w_pad=2.5, h_pad=1.8)
    return figure


def _label_ends(axis: Any, ends: list[tuple[float, float, str, str]], apart: float = 0.075) -> None:
    """Names beside the ends of lines: right of the panel, moved apart where they would lie on each other, or at ends that come early."""
    if not ends:
        return
    last = max(size for size, *_ in ends)
    early = [end for end in ends if axis.get_xscale() == "log" and end[0] < last / 10]
    for i, (size, value, name, colour) in enumerate(early):
        place, side = ((0, 9), "center") if i % 2 == 0 else ((-6, 0), "right")
        axis.annotate(name, (size, value), place, textcoords="offset points", color=colour, fontsize=8.5, ha=side, va="center")
    low, high = (math.log(limit) for limit in axis.get_ylim())
    ordered = sorted((value, name, colour) for size, value, name, colour in ends if (size, value, name, colour) not in early)
    heights = [(math.log(value) - low) / (high - low) for value, _, _ in ordered]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + apart)
    for height, (_, name, colour) in zip(heights, ordered, strict=True):
        axis.text(1.01, height, name, color=colour, transform=axis.transAxes, fontsize=8.5, va="center")
