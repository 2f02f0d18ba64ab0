"""What solvers claim and what the referee finds, over the games of a configuration: ``python -m baselines.studies.claims CONFIG``.

Written for methods that train copies of the followers, and so can believe in a return that no real follower grants.  Games whose titles
agree up to the last comma are one setting.  Scores are shares of the best known value of each game; an instance counts once, by the mean
of its starts, and intervals are over instances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import stackelberg_envs as se

from ..bench import figures, measured
from ..bench.report import Part
from ..bench.stats import mean_interval, step_function

HEADER = (
    "method",
    "share of the best known: mean [95 %]",
    "lowest",
    "runs within 5 %",
    "beats the unregulated game",
    "beats the naive designer",
    "optimism gap, mean",
    "largest penalty of the copies at the end",
    "largest duality gap of the answers",
    "seconds per run",
)


@dataclass(frozen=True)
class Run:
    """One run of a method."""

    best: float
    """Of its game, whoever found it."""
    unregulated: float | None
    """The return of the smallest incentives, in games with incentives."""
    naive: float | None
    """What the naive gradient ends at, on average, if it was run."""
    result: dict[str, Any]

    @property
    def share(self) -> float:
        return self.result["leader_return"] / self.best

    def last(self, key: str) -> float:
        """Of the last report; not a number where it is not there."""
        return float(self.result["history"][-1].get(key, np.nan))


Settings = dict[str, dict[str, list[list[Run]]]]
"""Setting to method to games to runs."""


def runs_by_setting(parts: list[Part]) -> Settings:
    """All runs, by setting and method; one list a game."""
    found: Settings = {}
    for part in parts:
        if not part.groups:
            continue
        top = max(result["leader_return"] for group in part.groups.values() for result in group)
        top = max(top, part.best.leader_return) if part.best else top
        world = part.section.world
        game, unregulated = world.game(), None
        if game.incentive is not None:
            unregulated = float(se.evaluate(game, game.leader_space.low, follower=world.answerer()).leader_return)
        methods = found.setdefault(part.section.title.rpartition(",")[0] or part.section.title, {})
        ends = [result["leader_return"] for group in part.groups.values() for result in group if result["job"]["solver"] == "naive"]
        naive = float(np.mean(ends)) if ends else None
        for label, group in part.groups.items():
            methods.setdefault(label, []).append([Run(top, unregulated, naive, result) for result in group])
    return found


def markdown(parts: list[Part]) -> str:
    """A table a setting, one row a method; columns in which there is nothing to say are left out."""
    certified = _certificates(parts)
    tables = []
    for setting, methods in runs_by_setting(parts).items():
        rows = [_row(label, games, certified) for label, games in methods.items()]
        shown = [i for i in range(len(HEADER)) if any(row[i] != "-" for row in rows)]
        lines = [[HEADER[i] for i in shown], *([row[i] for i in shown] for row in rows)]
        head, *body = ("| " + " | ".join(line) + " |" for line in lines)
        tables.append("\n".join([f"**{setting[0].upper()}{setting[1:]}**", "", head, "|" + "---|" * len(shown), *body]))
    return "\n\n".join(tables) + "\n"


def _row(label: str, games: list[list[Run]], certified: dict[str, float]) -> tuple[str, ...]:
    runs = [run for game in games for run in game]
    shares = [run.share for run in runs]
    return (
        label,
        str(mean_interval([float(np.mean([run.share for run in game])) for game in games])) if min(shares) > 0 else _plain_returns(runs),
        f"{min(shares):.3f}" if min(shares) > 0 else "-",
        f"{sum(share >= 0.95 for share in shares)} of {len(shares)}" if min(shares) > 0 else "-",
        _games_above(games, lambda run: run.unregulated),
        "-" if runs[0].result["job"]["solver"] == "naive" else _games_above(games, lambda run: run.naive),
        _format_values(runs, "optimism_gap", np.nanmean, "+.3f"),
        _format_values(runs, "penalty", np.nanmax, ".1e"),
        f"{max(certified[run.result['id']] for run in runs):.0e}",
        f"{np.mean([run.result['timing']['seconds'] for run in runs]):.1f}",
    )


def _games_above(games: list[list[Run]], what: Callable[[Run], float | None]) -> str:
    """In how many games the mean over starts is above something."""
    marks = [(float(np.mean([run.result["leader_return"] for run in game])), what(game[0])) for game in games]
    known = [(mean, mark) for mean, mark in marks if mark is not None]
    return f"{sum(mean > mark for mean, mark in known)} of {len(known)}" if known else "-"


def _plain_returns(runs: list[Run]) -> str:
    """Returns that have no shares, because they are negative, beside the best known."""
    return f"return {np.mean([run.result['leader_return'] for run in runs]):.4f} (best known {np.mean([run.best for run in runs]):.4f})"


def _format_values(runs: list[Run], key: str, of: Callable[[Any], Any], form: str) -> str:
    values = np.array([run.last(key) for run in runs])
    return "-" if np.isnan(values).all() else format(float(of(values)), form)


def _certificates(parts: list[Part]) -> dict[str, float]:
    """The referee's duality gap of the answer to each final commitment (of one follower, its gap), by id of the run."""
    gaps = {}
    for part in parts:
        game, follower = part.section.world.game(), part.section.world.answerer()
        for result in (result for group in part.groups.values() for result in group):
            gaps[result["id"]] = float(se.evaluate(game, np.array(result["x"]), follower=follower).duality_gap)
    return gaps


def draw(parts: list[Part]) -> Figure:
    """Shares of the best known value against commitments, one panel a setting: the referee's, and dashed what the method claims."""
    found = runs_by_setting(parts)
    figure = Figure(figsize=(5.4 * len(found), 4.2))
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for axis, (setting, methods) in zip(panels, found.items(), strict=True):
        for i, (label, games) in enumerate(methods.items()):
            line, runs = figures.style(i), [run for game in games for run in game]
            grid = np.unique(np.concatenate([[row["commitments"] for row in run.result["history"]] for run in runs]))
            axis.plot(grid, _mean(runs, grid, claimed=False), **line, lw=1.8, label=figures.plain_text(label))
            if not np.isnan(runs[0].last("optimism_gap")):
                axis.plot(grid, _mean(runs, grid, claimed=True), color=line["color"], lw=1.3, ls=":")
        axis.axhline(1.0, color="black", lw=0.8, ls="--")
        axis.set_title(figures.plain_text(setting), fontsize=10)
        axis.set_xlabel("commitments")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share of the best known value\n(dotted: what the method claims)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="upper center", ncol=2, frameon=False, bbox_to_anchor=(0.5, 0.0))
    figure.tight_layout()
    return figure


def _mean(runs: list[Run], grid: np.ndarray, *, claimed: bool) -> np.ndarray:
    """Mean share over runs on a grid of commitments; a run keeps its last value, and there is none before all have reported."""
    curves = []
    for run in runs:
        history = run.result["history"]
        steps = np.array([row["commitments"] for row in history])
        scores = np.array([row["leader_return"] + (row["optimism_gap"] if claimed else 0.0) for row in history]) / run.best
        curves.append(step_function(steps, scores, grid))
    return np.mean(curves, axis=0)


def main() -> None:
    """Write the tables and the figure of a configuration's results."""
    measured.from_results(__doc__, "claims", lambda _, parts: markdown(parts), lambda _, parts: draw(parts))


if __name__ == "__main__":
    main()
