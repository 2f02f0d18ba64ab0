"""Results beside what was published: one table with intervals and verdicts, curves, and maps, for a page of the documentation.

A published entry of a configuration belongs to the solver with the same label.  The statistic is the published one: the mean over the last
tenth of the iterations, then over seeds.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .figures import COLOURS, learned
from .report import Part
from .stats import Interval, mean_interval


@dataclass(frozen=True)
class Cell:
    """One method in one setting."""

    label: str
    ours: Interval
    published: dict[str, Any] | None
    best: float | None

    @property
    def agrees(self) -> bool | None:
        """Whether our 95 % interval meets the published mean +- 2 standard errors, widened by half a unit of its last digit.

        None without a published mean, or from a single seed.
        """
        if self.published is None or self.ours.seeds < 2:
            return None
        slack = 2 * self.published.get("error", 0.0) + 0.005
        return self.ours.low <= self.published["value"] + slack and self.published["value"] - slack <= self.ours.high


def cells(part: Part) -> list[Cell]:
    """Every method of a setting, in the order of the configuration."""
    published = {entry["label"]: entry for entry in part.section.published}
    best = part.best.leader_return if part.best else None
    labels = list(dict.fromkeys(job.label for job in part.section.jobs))
    return [
        Cell(label, mean_interval([tail(result) for result in part.groups[label]]), published.get(label), best)
        for label in labels
        if label in part.groups
    ]


def tail(result: dict[str, Any]) -> float:
    """Mean score over the reports of the last tenth of the iterations."""
    last = result["history"][-1]["iteration"]
    return float(np.mean([row["leader_return"] for row in result["history"] if row["iteration"] > 0.9 * last]))


def markdown(parts: list[Part]) -> str:
    """A table, one row a setting and method."""
    lines = [
        "| setting | best known | method | published | ours: mean [95 %] | seeds | agrees | gap to best known, published | ours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for part in parts:
        setting, best = part.section.title, f"{part.best.leader_return:.3f}" if part.best else "-"
        for cell in cells(part):
            quoted = cell.published
            said = "-" if quoted is None else f"{quoted['value']:.2f} ± {quoted.get('error', 0):.3f}"
            verdict = {None: "-", True: "yes", False: "**no**"}[cell.agrees]
            theirs = "-" if quoted is None or cell.best is None else f"{cell.best - quoted['value']:.2f}"
            gap = "-" if cell.best is None else f"{round(cell.best - cell.ours.centre, 3) + 0.0:.3f}"  # no -0.000
            lines.append(f"| {setting} | {best} | {cell.label} | {said} | {cell.ours} | {cell.ours.seeds} | {verdict} | {theirs} | {gap} |")
            setting, best = "", ""
        for quoted in part.section.published:
            if quoted["label"] not in part.groups:
                theirs = f"{part.best.leader_return - quoted['value']:.2f}" if part.best else "-"
                said = f"{quoted['value']:.2f} ± {quoted.get('error', 0):.3f}"
                lines.append(f"| {setting} | {best} | {quoted['label']} | {said} | - | - | - | {theirs} | - |")
                setting, best = "", ""
    return "\n".join(lines) + "\n"


def curves(parts: list[Part]) -> Figure:
    """F against the share of iterations, one panel a setting: every seed thin, the mean thick, published values at the right edge."""
    columns = min(3, len(parts))
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.0 * rows) if len(parts) > 1 else (7.0, 4.0))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axis in panels.flat[len(parts) :]:
        axis.axis("off")
    legend: dict[str, Any] = {}
    for axis, part in zip(panels.flat, parts, strict=False):
        for colour, cell in zip(itertools.cycle(COLOURS), cells(part)):
            runs = part.groups[cell.label]
            steps = [np.array([row["iteration"] for row in run["history"]]) for run in runs]
            scores = [np.array([row["leader_return"] for row in run["history"]]) for run in runs]
            for x, y in zip(steps, scores, strict=True):
                axis.plot(x / x[-1], y, color=colour, lw=0.5, alpha=0.35)
            grid = np.linspace(0, 1, 101)
            mean = np.mean([np.interp(grid, x / x[-1], y) for x, y in zip(steps, scores, strict=True)], axis=0)
            axis.plot(grid, mean, color=colour, lw=1.8, label=cell.label)
            if cell.published is not None:
                axis.errorbar(
                    1.03, cell.published["value"], 2 * cell.published.get("error", 0.0), color=colour, marker="<", ms=5, clip_on=False
                )
        if part.best is not None:
            axis.axhline(part.best.leader_return, color="black", lw=0.9, ls="--", label="best known")
        axis.set_title(part.section.title.partition(", ")[2] or part.section.title, fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        legend |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    for axis in panels[-1]:
        axis.set_xlabel("share of the iterations")
    for axis in panels[:, 0]:
        axis.set_ylabel("F(x)")
    figure.legend(
        legend.values(), legend.keys(), loc="upper center", ncol=min(2 * columns + 1, len(legend)), frameon=False, bbox_to_anchor=(0.5, 0.0)
    )
    figure.tight_layout()
    return figure


def maps(part: Part) -> Figure:
    """What the leader of the median seed learned by each method, and the best known commitment."""
    shown = {}
    for cell in cells(part):
        runs = sorted(part.groups[cell.label], key=tail)
        shown[f"{cell.label}, median of {len(runs)} seeds"] = np.array(runs[(len(runs) - 1) // 2]["x"])
    if part.best is not None:
        shown["best known"] = np.array(part.best.x)
    judged = part.section.referee or part.section.world
    return learned(judged.game(), shown, judged.answerer(), part.section.score)
