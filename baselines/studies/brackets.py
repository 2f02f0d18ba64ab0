"""How much the best known value of each world may still be short of: ``python -m baselines.studies.brackets`` bounds them all.

Each line of ``baselines/bounds.jsonl`` has the upper bounds of one world, by `stackelberg_envs.upper_bounds`; worlds that are there already
are passed over, so that the study may be stopped and started again.  The page shows each bracket, before and with the bounds that are
proved against one follower.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import stackelberg_envs as se

from ..bench import best, figures, printing, results_file

PAGE = Path("docs/reproductions/brackets-table.md")
FIGURE = Path("docs/reproductions/brackets.svg")
BOXES = 6_000
"""Of the search over a follower's values, for worlds of at most `SMALL` states; larger worlds have `BOXES_OF_LARGE`."""
SMALL, BOXES_OF_LARGE = 8, 12
BEFORE = ("cooperative", "transfers")
"""Bounds that there were before the games' own and those against one follower."""
LEVELS = (0.05, 0.2)
"""Gaps that are counted: the goals are half of all worlds within the first, and nine tenths within the second."""


@dataclass(frozen=True)
class Bracket:
    """A world between what has been found and what cannot be beaten."""

    world: str
    found: float
    bounds: dict[str, float]

    @property
    def upper(self) -> float:
        """The least bound; infinite if there is none."""
        return min(self.bounds.values(), default=float("inf"))

    @property
    def upper_before(self) -> float:
        """The least of those that there were."""
        return min((self.bounds[name] for name in BEFORE if name in self.bounds), default=float("inf"))

    @property
    def reason(self) -> str:
        """Where the least bound comes from."""
        return min(self.bounds, key=lambda name: self.bounds[name], default="-")

    def gap(self, upper: float) -> float:
        """(upper - found) / |upper|, and infinite without a bound; differences that rounding makes are none."""
        return float("inf") if upper == float("inf") else max(upper - self.found, 0.0) / max(abs(upper), 1e-9)


def bracket(entry: best.Best, boxes: int) -> dict[str, Any]:
    """One line of the record."""
    game, follower = entry.world.game(), entry.world.answerer()
    worlds = game.problems(np.zeros(game.dimension), 0) if game.tabular and not game.crowd else ()
    large = any(world.sizes[0] > SMALL for world in worlds)
    seen = any(world.follower_sees == "action" for world in worlds)  # whose cells are points, so that boxes take a tenth of the time
    searched = min(boxes, BOXES_OF_LARGE * (8 if seen else 1)) if large else boxes
    bounds = se.upper_bounds(game, follower, found=entry.leader_return, boxes=searched)
    return {"id": entry.world.key, "arguments": entry.world.arguments, "found": entry.leader_return, "boxes": searched, "bounds": bounds}


def record(path: Path, boxes: int, only: str, again: bool = False) -> None:
    """Bound every world that ``path`` does not have; all of them ``again``, of whose bounds the smaller are kept."""
    there = results_file.read(path)
    wanted = {key: entry for key, entry in best.read_best(best.COMMITTED).items() if only in f"{key} {entry.world.arguments}"}
    left = [key for key in wanted if again or key not in there]
    with printing.bar() as progress:
        for key in progress.track(left, description="worlds"):
            there[key] = smaller(bracket(wanted[key], boxes), there.get(key))
            results_file.replace(path, "".join(json.dumps(line) + "\n" for line in there.values()))


def smaller(line: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """A line with the smaller of its bounds and those from before."""
    if before is None:
        return line
    old, new = before["bounds"], line["bounds"]
    bounds = {name: min(some[name] for some in (old, new) if name in some) for name in (*old, *(name for name in new if name not in old))}
    return {**line, "boxes": max(line["boxes"], before["boxes"]), "bounds": bounds}


def read(path: Path) -> list[Bracket]:
    """The brackets of all worlds with a best known value, the widest first."""
    bounds = results_file.read(path)
    brackets = [
        Bracket(_title(key, entry), entry.leader_return, bounds[key]["bounds"])
        for key, entry in best.read_best(best.COMMITTED).items()
        if key in bounds
    ]
    return sorted(brackets, key=lambda b: -b.gap(b.upper))


def _title(key: str, entry: best.Best) -> str:
    """The game, its arguments, and its follower if it is not the game's own."""
    arguments = ", ".join(f"{name}={value}" for name, value in entry.world.arguments.items())
    follower = "" if entry.world.follower is None else f" against {entry.world.answerer()}"
    return f"{entry.world.id} {arguments}{follower}"


def table(brackets: list[Bracket]) -> str:
    """The page: how many are how wide, then each."""
    lines = ["| gap at most | before | now |", "|---|---|---|"]
    for level in LEVELS:
        counts = [sum(b.gap(upper(b)) <= level for b in brackets) for upper in (lambda b: b.upper_before, lambda b: b.upper)]
        lines.append(f"| {level:.0%} | {counts[0]} of {len(brackets)} | {counts[1]} of {len(brackets)} |")
    medians = [float(np.median([b.gap(upper(b)) for b in brackets])) for upper in (lambda b: b.upper_before, lambda b: b.upper)]
    lines += [f"| median gap | {medians[0]:.1%} | {medians[1]:.1%} |", ""]
    lines += ["| world | best known | bound before | bound now | gap | by |", "|---|---|---|---|---|---|"]
    for b in brackets:
        before, now = ("-" if upper == float("inf") else f"{upper:.4f}" for upper in (b.upper_before, b.upper))
        gap = "-" if b.upper == float("inf") else f"{b.gap(b.upper):.1%}"
        lines.append(f"| {b.world} | {b.found:.4f} | {before} | {now} | {gap} | {b.reason} |")
    return "\n".join(lines) + "\n"


def draw(brackets: list[Bracket]) -> Figure:
    """Share of worlds whose gap is at most so much, before and now."""
    figure = Figure(figsize=(6.5, 3.4))
    axis = figure.subplots()
    share = np.arange(1, len(brackets) + 1) / len(brackets)
    for colour, label, upper in zip(figures.COLOURS, ("before", "now"), (lambda b: b.upper_before, lambda b: b.upper), strict=False):
        gaps = np.sort([min(b.gap(upper(b)), 1.0) for b in brackets])
        axis.step(100 * gaps, 100 * share, where="post", color=colour, lw=1.8, label=label)
    for level, goal in zip(LEVELS, (50, 90), strict=True):
        axis.plot(100 * level, goal, marker="x", color="0.3")
        axis.annotate("goal", (100 * level, goal), xytext=(5, -10), textcoords="offset points", color="0.3")
    axis.set(xlim=(0, 100), ylim=(0, 100), xlabel="gap, % of the bound (100: none, or no bound)", ylabel="worlds, %")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.tight_layout()
    return figure


def main() -> None:
    """Bound all worlds, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, default=best.BOUNDS, help="the bounds that are kept; delete lines to have them made again")
    parser.add_argument("--boxes", type=int, default=BOXES, help="of the search in worlds of few states; 6,000 take about half a minute")
    parser.add_argument("--only", default="", help="worlds whose key or arguments have this text")
    parser.add_argument("--again", action="store_true", help="also worlds that are there, of whose bounds the smaller are kept")
    parser.add_argument("--page", type=Path, default=PAGE, help="the table to write")
    parser.add_argument("--figure", type=Path, default=FIGURE, help="the figure to write")
    arguments = parser.parse_args()
    record(arguments.record, arguments.boxes, arguments.only, arguments.again)
    brackets = read(arguments.record)
    results_file.replace(arguments.page, table(brackets))
    results_file.replace(arguments.figure, figures.svg(draw(brackets)))
    print(f"{len(brackets)} brackets in {arguments.page} and {arguments.figure}")


if __name__ == "__main__":
    main()
