"""What each method makes of the taxes, and when: ``python -m baselines.studies.tax CONFIG`` over a configuration of tax games.

"Ordered by taste" counts runs whose last VAT rates are lower the more a good is liked, on average over contexts, for all three goods: one
order of six.  The spread is the highest rate less the lowest.  The gain is what exact ascent has gained over the start in as many
iterations as it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stackelberg_envs.games.tax_design import GOODS, TaxDesign

from ..bench import figures, measured
from ..bench.report import Part
from ..bench.stats import mean_interval

EXACT = "exact hypergradient"
HEADER = (
    "method",
    "F at the end: mean [95 %]",
    "iterations to 90 % of the gain",
    "income tax",
    "VAT of the three goods",
    "spread of VAT: mean [95 %]",
    "ordered by taste",
    "iterations",
    "steps watched",
)


def markdown(parts: list[Part]) -> str:
    """A table a setting, one row a method."""
    tables = []
    for part in [part for part in parts if part.groups]:
        title = part.section.title
        body = [_row(part, label, group) for label, group in part.groups.items()]
        lines = [HEADER, ("---",) * len(HEADER), *body]
        tables.append("\n".join([f"**{title[0].upper()}{title[1:]}**", "", *(f"| {' | '.join(line)} |" for line in lines)]))
    return "\n\n".join(tables) + "\n"


def _row(part: Part, label: str, group: list[dict[str, Any]]) -> tuple[str, ...]:
    vat, income = np.array([_last(run)["VAT"] for run in group]), [_last(run)["income tax"] for run in group]
    liked = np.argsort(-tastes(part))
    ordered = int((np.diff(vat[:, liked], axis=1) > 0).all(axis=1).sum())
    first = [iterations_to_reach(run, part) for run in group]
    median = sorted(first)[(len(first) - 1) // 2]
    return (
        label,
        str(mean_interval([run["leader_return"] for run in group])),
        f"{sum(np.isfinite(first))} of {len(first)} runs" + (f", median {median:.0f}" if np.isfinite(median) else ""),
        str(mean_interval(income)),
        ", ".join(f"{rate:.3f}" for rate in vat.mean(axis=0)),
        str(mean_interval(list(np.ptp(vat, axis=1)))),
        f"{ordered} of {len(group)}",
        f"{group[0]['history'][-1]['iteration']:,}",
        f"{np.mean([run['cost']['outcome_steps'] for run in group]) / 1e6:.1f} million" if group[0]["cost"]["outcome_steps"] else "-",
    )


def tastes(part: Part) -> np.ndarray:
    """How much each good is liked, (3,): the mean over contexts of the (first) consumer's tastes."""
    game = part.section.world.game()
    assert isinstance(game, TaxDesign)
    return np.mean(game.consumers[0].tastes, axis=0)


def _last(run: dict[str, Any]) -> dict[str, Any]:
    return run["history"][-1]["instruments"]


def iterations_to_reach(run: dict[str, Any], part: Part) -> float:
    """Iterations at the first report with 90 % of the gain of exact ascent; infinite if there is none."""
    (exact,) = part.groups[EXACT]
    start, end = exact["history"][0]["leader_return"], exact["leader_return"]
    there = [row["iteration"] for row in run["history"] if row["leader_return"] - start >= 0.9 * (end - start)]
    return float(there[0]) if there else float("inf")


def draw(parts: list[Part]) -> Figure:
    """A row a setting: F against iterations, and the rates of each method; every run thin, means thick."""
    there = [part for part in parts if part.groups]
    columns = 1 + max(len(part.groups) for part in there)
    figure = Figure(figsize=(3.1 * columns, 3.0 * len(there)))
    panels = figure.subplots(len(there), columns, squeeze=False)
    for row, part in zip(panels, there, strict=True):
        for i, (label, group) in enumerate(part.groups.items()):
            line = figures.style(i)
            _lines(row[0], group, lambda report: report["leader_return"], line, label)
            _lines(row[i + 1], group, lambda report: report["instruments"]["income tax"], {"color": "black", "ls": "--"}, "income tax")
            for good in range(GOODS):
                liked = f"VAT, good {good + 1} (taste {tastes(part)[good]:.2f})"
                _lines(row[i + 1], group, lambda report, good=good: report["instruments"]["VAT"][good], figures.style(good + 4), liked)
            row[i + 1].set_title(label.replace("HPGD without the", "HPGD without the\n"), fontsize=8)
            row[i + 1].set_ylim(0, 1)
        row[0].set_title(part.section.title, fontsize=9)
        row[0].set_ylabel("F(x)")
        for axis in row[len(part.groups) + 1 :]:
            axis.axis("off")
    for axis in panels.flat:
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("iterations", fontsize=8)
    figure.tight_layout()
    named = [dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True)) for axis in panels[:, :2].flat]
    for where, legends in ((0.02, named[0::2]), (0.5, named[1::2])):  # of the methods, and of their rates
        shown = {label: handle for legend in legends for label, handle in legend.items()}
        figure.legend(shown.values(), shown.keys(), loc="upper left", bbox_to_anchor=(where, 0.0), ncol=2, frameon=False, fontsize=10)
    return figure


def _lines(axis: Any, group: list[dict[str, Any]], value: Any, line: dict[str, Any], label: str) -> None:
    steps = [np.array([report["iteration"] for report in run["history"]]) for run in group]
    curves = [np.array([value(report) for report in run["history"]]) for run in group]
    for x, y in zip(steps, curves, strict=True):
        axis.plot(x, y, color=line["color"], lw=0.5, alpha=0.4)
    grid = np.linspace(0, min(x[-1] for x in steps), 101)
    axis.plot(grid, np.mean([np.interp(grid, x, y) for x, y in zip(steps, curves, strict=True)], axis=0), **line, lw=1.6, label=label)


def main() -> None:
    """Write the tables and the figure of a configuration's results."""
    measured.from_results(__doc__, "rates", lambda _, parts: markdown(parts), lambda _, parts: draw(parts))


if __name__ == "__main__":
    main()
