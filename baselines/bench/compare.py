"""Results beside what was published: one table with intervals and verdicts, curves, and maps, for a page of the documentation.

A published entry of a configuration belongs to the solver with the same label.  The statistic is the published one: the mean over the last
tenth of the iterations, then over seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.markup import escape
from rich.table import Table

from . import results_file
from .figures import learned_figure, plain_text, style, svg
from .printing import fitting_table
from .quantities import quantity
from .report import Part
from .stats import Interval, mean_interval

ROUNDING = 0.005
"""Half a unit of the last printed digit of published means, which have two."""


@dataclass(frozen=True)
class Cell:
    """One method in one setting."""

    label: str
    ours: Interval | None
    """None if we have no runs of a published method."""
    published: dict[str, Any] | None
    best: float | None

    @property
    def agrees(self) -> bool | None:
        """Whether our 95 % interval meets the published mean +- 2 standard errors, widened by half a unit of its last digit.

        None without a published mean, or without two seeds of ours.
        """
        if self.published is None or self.ours is None or self.ours.seeds < 2:
            return None
        slack = 2 * self.published.get("error", 0.0) + ROUNDING
        return self.ours.low <= self.published["value"] + slack and self.published["value"] - slack <= self.ours.high


def cells(part: Part) -> list[Cell]:
    """Every method of a setting that has runs, in the order of the configuration, and after them published ones that have none."""
    published = {entry["label"]: entry for entry in part.section.published}
    best = highest(part)
    order = list(dict.fromkeys(job.label for job in part.section.jobs))
    named = {label: group[0]["job"]["label"] for label, group in part.groups.items()}  # a group that was split has a longer name
    ours = sorted(named, key=lambda label: order.index(named[label]))
    theirs = [label for label in published if label not in named.values()]
    means = {label: mean_interval([tail_mean(result) for result in part.groups[label]]) for label in ours}
    return [Cell(label, means.get(label), published.get(named.get(label, label)), best) for label in ours + theirs]


def highest(part: Part) -> float | None:
    """The best known value; where the score is of another kind than the record's, the highest that a run here has ended with."""
    if part.section.score is None:
        return part.best.leader_return if part.best else None
    return max(result["leader_return"] for group in part.groups.values() for result in group)


def best_name(part: Part) -> str:
    """What `highest` is the best of."""
    return part.best_name if part.section.score is None else "best of these runs"


def tail_mean(result: dict[str, Any]) -> float:
    """Mean score over the reports of the last tenth of the iterations."""
    last = result["history"][-1]["iteration"]
    return float(np.mean([row["leader_return"] for row in result["history"] if row["iteration"] > 0.9 * last]))


def most_commitments(part: Part, label: str) -> int:
    """The largest budget of the runs of a method."""
    return max(result["job"]["budget"] for result in part.groups[label])


HEADER = ("setting", "best known", "method", "published", "ours: mean [95 %]", "seeds", "agrees", "gap to best known, published", "ours")


def rows(parts: list[Part]) -> list[tuple[str, ...]]:
    """The table under `HEADER`: a row a setting and method; the setting and its best known value only in its first row.

    Games without runs are left out.
    """
    table = []
    for part in [part for part in parts if part.groups]:
        top = highest(part)
        setting, best = part.section.title, "-" if top is None else f"{top:.3f}"
        best += " (of these runs)" if part.only_ours else ""
        for cell in cells(part):
            quoted, ours, verdict = cell.published, cell.ours, {None: "-", True: "yes", False: "no"}[cell.agrees]
            if cell.agrees is not None and quoted is not None and (spent := most_commitments(part, cell.label)) < quoted.get("budget", 0):
                verdict += f", after {spent:,} commitments of {quoted['budget']:,}"
            said = "-" if quoted is None else f"{quoted['value']:.2f} ± {quoted.get('error', 0):.3f}"
            found, seeds = ("-", "-") if ours is None else (str(ours), str(ours.seeds))
            theirs = "-" if quoted is None or cell.best is None else f"{cell.best - quoted['value']:.2f}"
            gap = "-" if ours is None or cell.best is None else f"{round(cell.best - ours.centre, 3) + 0.0:.3f}"  # no -0.000
            table.append((setting, best, cell.label, said, found, seeds, verdict, theirs, gap))
            setting, best = "", ""
    return table


def markdown(parts: list[Part]) -> str:
    """`rows` for a page of the documentation, disagreement in bold."""
    lines = [HEADER, *((*row[:6], f"**no**{row[6][2:]}" if row[6].startswith("no") else row[6], *row[7:]) for row in rows(parts))]
    head, *body = ("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(HEADER), *body]) + "\n"


def page(parts: list[Part]) -> str:
    """`markdown`, and below it what its numbers are; the same for a slim record of the results."""
    return f"{markdown(parts)}\n{STATISTIC}\n"


UNITS = {4: "ours", 5: "seeds", 8: "ours"}
"""What follows the numbers of `table` that stand below others."""


def table(parts: list[Part], title: str, width: int = 400) -> Table:
    """`rows` for a terminal of so many characters, with what its numbers are, and after how many commitments."""
    cells = [tuple(map(escape, row)) for row in rows(parts)]
    stacks = ((0, 1), (2, 5), (3, 4), (6,), (7, 8))
    narrow = [name.replace("gap to best known, ", "gap to best\nknown,\n") if width < 160 else name for name in HEADER]
    return fitting_table(
        narrow, cells, stacks, width=width, left=(0, 1, 2, 6), title=escape(title), caption=escape(caption(parts)), units=UNITS
    )


def caption(parts: list[Part]) -> str:
    """What the numbers of the table are: the statistic, what agreement means, budgets, and which results are not among them."""
    return "\n".join([STATISTIC, budgets(parts), *remarks(parts)])


def remarks(parts: list[Part]) -> list[str]:
    """Which results are not among the table's, and which are kept apart."""
    return [f"Note, {part.section.title}: {remark}." for part in parts for remark in part.remarks]


STATISTIC = (
    "ours: mean over seeds of a run's mean score in the last tenth of its iterations, with its 95 % bootstrap interval "
    "(stackelberg report has the interquartile mean at the last report). "
    f"agrees: this interval meets the published mean ± (2 standard errors + {ROUNDING}), where {ROUNDING} is half a unit of its last "
    "printed digit; budgets may differ."
)


def budgets(parts: list[Part]) -> str:
    """Commitments of our runs beside published budgets, for each published method, or that the configuration does not state them."""
    lines = {}
    for part in [part for part in parts if part.groups]:
        for label, entry in [(cell.label, cell.published) for cell in cells(part) if cell.ours and cell.published]:
            ours = sorted({result["job"]["budget"] for result in part.groups[label]})
            theirs = f"{entry['budget']:,}" if "budget" in entry else "not stated in the configuration"
            lines[f"{label}: ours {' or '.join(f'{n:,}' for n in ours)} commitments, published {theirs}"] = None
    return "Budgets. " + "; ".join(lines) + "." if lines else "No method here has a published value."


def write(name: str, parts: list[Part], folder: Path, *, mapped: list[int]) -> None:
    """Write the table, the curves, and maps of some parts (by their number) into ``folder``; games without runs are left out."""
    results_file.replace(folder / f"{name}.md", page(parts))
    results_file.replace(folder / f"{name}-curves.svg", svg(curves([part for part in parts if part.groups])))
    for i in mapped:
        results_file.replace(folder / f"{name}-maps-{i}.svg", svg(maps(parts[i])))


def curves(parts: list[Part]) -> Figure:
    """F against the share of iterations, one panel a setting: every seed thin, the mean thick, published values at the right edge."""
    columns = min(3, len(parts))
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.0 * rows) if len(parts) > 1 else (7.0, 4.0))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axis in panels.flat[len(parts) :]:
        axis.axis("off")
    legend: dict[str, Any] = {}
    order = list(dict.fromkeys(cell.label for part in parts for cell in cells(part) if cell.ours))  # a label looks alike in all panels
    titles = [part.section.title for part in parts]
    short = [title.partition(", ")[2] or title for title in titles]
    for axis, part, title in zip(panels.flat, parts, short if len({*short}) == len(short) else titles, strict=False):
        for cell in [cell for cell in cells(part) if cell.ours]:
            line = style(order.index(cell.label))
            runs = part.groups[cell.label]
            steps = [np.array([row["iteration"] for row in run["history"]]) for run in runs]
            scores = [np.array([row["leader_return"] for row in run["history"]]) for run in runs]
            for x, y in zip(steps, scores, strict=True):
                axis.plot(x / x[-1], y, color=line["color"], lw=0.5, alpha=0.35)
            grid = np.linspace(0, 1, 101)
            mean = np.mean([np.interp(grid, x / x[-1], y) for x, y in zip(steps, scores, strict=True)], axis=0)
            axis.plot(grid, mean, **line, lw=1.8, label=plain_text(cell.label))
            if cell.published is not None:
                axis.errorbar(
                    1.03,
                    cell.published["value"],
                    2 * cell.published.get("error", 0.0),
                    color=line["color"],
                    marker="<",
                    ms=5,
                    clip_on=False,
                )
        if (top := highest(part)) is not None:
            axis.axhline(top, color="black", lw=0.9, ls="--", label=best_name(part))
        axis.set_title(plain_text(title), fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        legend |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    if any(cell.published for part in parts for cell in cells(part)):
        label = "published, ± 2 standard errors"
        legend[label] = Line2D([], [], color="black", ls="", marker="<", ms=5, label=label)
    for axis in panels[-1]:
        axis.set_xlabel("share of the iterations")
    for axis in panels[:, 0]:
        axis.set_ylabel("F(x)")
    figure.legend(
        legend.values(), legend.keys(), loc="upper center", ncol=min(columns + 1, len(legend)), frameon=False, bbox_to_anchor=(0.5, 0.0)
    )
    figure.tight_layout()
    return figure


def maps(part: Part) -> Figure:
    """What the leader of the median seed learned by each method, and the best known commitment."""
    shown = {}
    for cell in [cell for cell in cells(part) if cell.ours]:
        runs = sorted(part.groups[cell.label], key=tail_mean)
        shown[f"{cell.label}, median of {quantity(len(runs), 'seed')}"] = np.array(runs[(len(runs) - 1) // 2]["x"])
    if part.best is not None:
        shown[best_name(part)] = np.array(part.best.x)
    judged = part.section.referee or part.section.world
    return learned_figure(judged.game(), shown, judged.answerer(), part.section.score)
