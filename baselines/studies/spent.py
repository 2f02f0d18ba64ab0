"""What the runs of a configuration ended with, and what they used for it: ``python -m baselines.studies.spent CONFIG``.

Methods are sorted by what they may know, so that those of one level stand together.  Steps are those that the leader watched, played by
followers who acted for themselves, and those from which copies or followers learned, each a commitment.  Seconds are of wall time, the
median over seeds, on whatever else the machine did.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stackelberg_envs.leader.access import Access

from ..bench import figures, measured
from ..bench.report import Part
from ..bench.stats import mean_interval

HEADER = (
    "method",
    "access",
    "return at the end: mean [95 %]",
    "lowest",
    "steps watched",
    "steps trained",
    "factorisations",
    "seconds a run",
)


def markdown(parts: list[Part]) -> str:
    """A table a setting, one row a method; the strongest access comes first."""
    tables = []
    for part in (part for part in parts if part.groups):
        groups = sorted(part.groups.items(), key=lambda item: -Access[item[1][0]["access"].split(" ")[0]])
        head, *body = ("| " + " | ".join(line) + " |" for line in [HEADER, *(_row(label, runs) for label, runs in groups)])
        tables.append("\n".join([f"**{part.section.title}**", "", head, "|" + "---|" * len(HEADER), *body]))
    return "\n\n".join(tables) + "\n"


def _row(label: str, runs: list[dict[str, Any]]) -> tuple[str, ...]:
    ends, costs = [run["leader_return"] for run in runs], [run["cost"] for run in runs]
    a_commitment = [
        float(np.mean([cost[name] / cost["commitments"] for cost in costs]))
        for name in ("outcome_steps", "training_steps", "factorisations")
    ]
    used = [f"{amount:,.0f}" if amount >= 10 else f"{amount:.1f}" if amount else "-" for amount in a_commitment]
    seconds = float(np.median([run["timing"]["seconds"] for run in runs]))
    return (label, f"`{runs[0]['access']}`", str(mean_interval(ends)), f"{min(ends):.3f}", *used, f"{seconds:.1f}")


def draw(parts: list[Part]) -> Figure:
    """Return at the end against seconds, one panel a setting: every seed a point."""
    shown = [part for part in parts if part.groups]
    figure = Figure(figsize=(4.2 * min(3, len(shown)), 3.0 * -(-len(shown) // 3)))
    panels = figure.subplots(-(-len(shown) // 3), min(3, len(shown)), squeeze=False).flat
    labels = list(dict.fromkeys(label for part in shown for label in part.groups))
    for axis, part in zip(panels, shown, strict=False):
        for label, runs in part.groups.items():
            ends = [run["leader_return"] for run in runs]
            line = {**figures.style(labels.index(label)), "ls": "", "marker": "o", "ms": 4}
            axis.plot([run["timing"]["seconds"] for run in runs], ends, **line, label=figures.plain_text(label))
        axis.set_xscale("log")
        axis.set_title(figures.plain_text(part.section.title), fontsize=9)
        axis.grid(alpha=0.25)
        axis.set_xlabel("seconds")
    handles = {text: handle for axis in panels for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="upper center", ncol=3, frameon=False, bbox_to_anchor=(0.5, 0.0))
    figure.tight_layout()
    return figure


def main() -> None:
    """Write the tables and the figure of a configuration's results."""
    measured.from_results(__doc__, "spent", lambda _, parts: markdown(parts), lambda _, parts: draw(parts))


if __name__ == "__main__":
    main()
