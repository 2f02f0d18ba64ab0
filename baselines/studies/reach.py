"""Who comes how close to the best, how soon, and in how many runs: ``python -m baselines.studies.reach CONFIG`` over a configuration.

A run's normalised score is (J - J_start) / (J* - J_start), with J* the best known value of its game, or J / J* with ``of = "optimum"``;
J is always the referee's.  A run reaches the target at its first report with a score that high; what it has later is in the columns of
scores.  With ``stays`` it reaches the target at the first report from which on no score is lower.  The configuration's ``reach`` says what
to show: ``at`` (commitments at which scores are quoted: 10 and 100), ``target`` (0.95), ``of`` ("gain" or "optimum"), ``split`` (tell games
apart by their titles), ``only`` (labels of methods), ``stays``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import quantile_test

from ..bench import figures, measured
from ..bench.configuration import Config
from ..bench.report import Part
from ..bench.stats import curve, mean_interval, share, step_function

TARGET = 0.95


@dataclass(frozen=True)
class Run:
    """One run on a common scale."""

    commitments: np.ndarray
    steps: np.ndarray
    """Outcome steps at each report."""
    scores: np.ndarray

    def score_after(self, commitments: int) -> float:
        """The score after so many commitments: that of the last report until then; NaN before the first."""
        return float(step_function(self.commitments, self.scores, np.array(commitments)))

    def commitments_to_reach(self, target: float, *, stays: bool = False) -> float:
        """Commitments at the first report with a score of at least ``target``; infinite if there is none.

        With ``stays`` all later reports have it too.
        """
        above = self.scores >= target
        above = np.logical_and.accumulate(above[::-1])[::-1] if stays else above
        (there,) = np.nonzero(above)
        return float(self.commitments[there[0]]) if len(there) else float("inf")


def held_from(commitments: np.ndarray, scores: np.ndarray, target: float = TARGET) -> int | None:
    """The commitments (reports,) from which on no score (reports,) is below ``target``; None for never."""
    when = Run(commitments, commitments, scores).commitments_to_reach(target, stays=True)
    return int(when) if np.isfinite(when) else None


def normalise_runs(parts: list[Part], *, of: str = "gain", split: bool = False) -> dict[str, list[Run]]:
    """Runs of each method over all games, on a common scale: the ``"gain"`` over the start, or ``"optimum"``.

    With ``split`` games are told apart by their titles, up to the last comma, which begin the method's name then.
    """
    runs: dict[str, list[Run]] = {}
    for part in parts:
        setting = f"{part.section.title.rpartition(',')[0] or part.section.title}: " if split else ""
        best = max(row["leader_return"] for group in part.groups.values() for result in group for row in result["history"])
        best = max(best, part.best.leader_return) if part.best else best
        for label, group in part.groups.items():
            for result in group:
                history = result["history"]
                scores = np.array([row["leader_return"] for row in history])
                zero = scores[0] if of == "gain" else 0.0
                commitments, steps = (np.array([row[key] for row in history]) for key in ("commitments", "outcome_steps"))
                runs.setdefault(setting + label, []).append(Run(commitments, steps, (scores - zero) / (best - zero)))
    return runs


def runs_to_show(config: Config, parts: list[Part]) -> dict[str, list[Run]]:
    """The runs that the configuration wants to see, on its scale."""
    wanted = config.reach
    runs = normalise_runs([part for part in parts if part.groups], of=wanted.get("of", "gain"), split=wanted.get("split", False))
    return {label: group for label, group in runs.items() if label.rpartition(": ")[2] in wanted.get("only", [label.rpartition(": ")[2]])}


def page(config: Config, parts: list[Part]) -> str:
    """The table of a configuration."""
    wanted = config.reach
    runs, at = runs_to_show(config, parts), wanted.get("at", [10, 100])
    return markdown(runs, at, wanted.get("target", TARGET), stays=wanted.get("stays", False))


def markdown(runs: dict[str, list[Run]], at: list[int], target: float, *, stays: bool = False) -> str:
    """One row a method: mean score at some commitments, runs that have reached the target by then, and the median of when.

    A mean is "-" where a run has not reported yet.  With ``stays`` the median has its interval, by the sign test.
    """
    heads = (
        [f"score at {k}" for k in at]
        + [f"{'holds' if stays else 'reached'} {target:.2f} by {k}" for k in at]
        + ["median commitments to it", "runs"]
    )
    lines = ["| method | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 1)]
    for label, group in runs.items():
        when = np.array([run.commitments_to_reach(target, stays=stays) for run in group])
        scores = [[run.score_after(k) for run in group] for k in at]
        cells = ["-" if np.isnan(found).any() else str(mean_interval(found)) for found in scores]
        cells += [str(share(int((when <= k).sum()), len(group))) for k in at]
        cells += [_median(when, interval=stays and len(when) > 1), str(len(group))]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _median(when: np.ndarray, *, interval: bool) -> str:
    """The median of commitments to a target, with its 95 % interval of order statistics (`scipy.stats.quantile_test`) if wanted."""

    def words(commitments: float) -> str:
        return f"{commitments:.0f}" if np.isfinite(commitments) else "never"

    median = words(float(np.quantile(when, 0.5, method="higher")))
    if not interval:
        return median
    low, high = quantile_test(when, p=0.5).confidence_interval(0.95)
    if np.isnan(low):  # fewer than six runs have no such interval
        return median
    return f"{median} [{words(low)}, {words(high)}]"


def draw(runs: dict[str, list[Run]], target: float) -> Figure:
    """Scores against commitments and against outcome steps: interquartile mean over games and seeds, and its bootstrap band."""
    figure = Figure(figsize=(11, max(4.0, 0.25 * len(runs))))  # the legend has a line for each
    panels = figure.subplots(1, 2, sharey=True)
    for axis, quantity in zip(panels, ("commitments", "steps"), strict=True):
        for i, (label, group) in enumerate(runs.items()):
            style = figures.style(i)
            spent = [np.asarray(getattr(run, quantity), dtype=float) for run in group]
            if quantity == "steps" and not all(used[-1] for used in spent):
                continue
            grid, middle, low, high = curve(spent, [run.scores for run in group], np.unique(np.concatenate(spent)))
            axis.step(grid, middle, where="post", lw=1.8, **style, label=figures.plain_text(label))
            axis.fill_between(grid, low, high, step="post", color=style["color"], alpha=0.18, lw=0)
        axis.axhline(target, color="black", lw=0.8, ls="--")
        axis.set_xscale("symlog", linthresh=10 if quantity == "commitments" else 4500)
        axis.set_xlim(left=0)
        axis.set_xlabel(quantity if quantity == "commitments" else "outcome steps")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("normalised score")
    panels[0].set_ylim(-0.3, 1.05)
    panels[1].legend(*panels[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figure.tight_layout()
    return figure


def main() -> None:
    """Write the tables and the figure of a configuration's results."""
    measured.from_results(
        __doc__, "reach", page, lambda config, parts: draw(runs_to_show(config, parts), config.reach.get("target", TARGET))
    )


if __name__ == "__main__":
    main()
