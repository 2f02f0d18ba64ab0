"""Followers who learn at their leader's pace: ``python -m baselines.studies.online CONFIG``, of results with telemetry.

A leader commits; the follower makes U updates from where it stood, and acts; the leader learns from that, and commits again.  A row is a
method at one U, over all seeds:

* J online: the leader's exact return from the last answer, to the commitment that it answered
* J at the best response: the referee's score of the last commitment
* the follower's gap and its divergence (`solvers.telemetry`), at the end
* negative: the share of reports at which the gradient points away from the exact one, where that has a norm of at least `LEAST_NORM`
* ledger, a leader update each: steps that the leader watched, and samples from which the follower learned; queries; seconds of the run
* failed: runs whose last commitment scores below the first, at the best response
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..bench import figures, measured
from ..bench.report import Part
from ..bench.stats import mean_interval, share

LEAST_NORM = 1e-3
"""Of the exact gradient, for its direction to count."""
BATCH = 100
"""Samples that are one update of `SoftQLearning`."""
HEADER = (
    *("method", "U", "J online", "J at the best response", "gap", "KL, nats", "negative", "failed"),
    *("watched", "learned from", "queries", "seconds"),
)
LEARNERS = {"NaturalPolicyGradient": "natural policy gradient", "SoftQLearning": f"soft Q-learning, {BATCH} samples an update"}


def updates(follower: dict[str, Any]) -> int:
    """U of a follower of a configuration."""
    return follower["steps"] // BATCH if "steps" in follower else follower["iterations"]


def settings(parts: list[Part]) -> dict[tuple[str, str], dict[int, Part]]:
    """(game, learner) to U to what was run."""
    found: dict[tuple[str, str], dict[int, Part]] = {}
    for part in (part for part in parts if part.groups):
        follower = part.section.world.follower
        assert follower is not None
        game = part.section.title.partition(",")[0]
        found.setdefault((game, LEARNERS[follower["kind"]]), {})[updates(follower)] = part
    return found


def negative_share(runs: list[dict[str, Any]]) -> tuple[int, int]:
    """Reports with a negative cosine, and reports with a cosine that counts."""
    cosines = [row["cosine"] for run in runs for row in run["history"] if "cosine" in row and row["exact_norm"] >= LEAST_NORM]
    return sum(cosine < 0 for cosine in cosines), len(cosines)


def ledger(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Means over runs of what a commitment took; a step is in one entry."""
    names = ("outcome_steps", "training_steps", "queries")
    return {name: float(np.mean([run["cost"][name] / run["cost"]["commitments"] for run in runs])) for name in names}


def _row(label: str, count: int, runs: list[dict[str, Any]]) -> tuple[str, ...]:
    ends = [run["history"][-1] for run in runs]
    online, best = ([end[name] for end in ends] for name in ("online_return", "leader_return"))
    against, counted = negative_share(runs)
    failed = sum(run["history"][-1]["leader_return"] < run["history"][0]["leader_return"] for run in runs)
    spent = ledger(runs)
    return (
        *(label, str(count), str(mean_interval(online)), str(mean_interval(best))),
        *(_small(float(np.mean([end[name] for end in ends]))) for name in ("learned_gap", "follower_kl")),
        f"{share(against, counted)}" if counted else "-",
        f"{failed} of {len(runs)}",
        *(f"{amount:,.0f}" for amount in spent.values()),
        f"{float(np.median([run['timing']['seconds'] for run in runs])):.1f}",
    )


def _small(number: float) -> str:
    """Two digits; records keep seven decimals."""
    return f"{number:.2g}" if number >= 1e-6 else "< 1e-6"


def markdown(parts: list[Part]) -> str:
    """A table a game and learner."""
    tables = []
    for (game, learner), by_updates in settings(parts).items():
        labels = list(dict.fromkeys(label for part in by_updates.values() for label in part.groups))
        rows = [
            _row(label, count, part.groups[label]) for label in labels for count, part in sorted(by_updates.items()) if label in part.groups
        ]
        head, *body = ("| " + " | ".join(row) + " |" for row in [HEADER, *rows])
        tables.append("\n".join([f"**{game}: {learner}**", "", head, "|" + "---|" * len(HEADER), *body]))
    return "\n\n".join(tables) + "\n"


def draw(parts: list[Part]) -> Figure:
    """J at the best response (lines) and online (dashes) against U, with intervals over seeds; one panel a game and learner."""
    panels = settings(parts)
    columns = 2
    figure = Figure(figsize=(4.6 * columns, 3.0 * -(-len(panels) // columns)))
    axes = list(figure.subplots(-(-len(panels) // columns), columns, squeeze=False).flat)
    labels = list(dict.fromkeys(label for part in parts for label in part.groups))
    for axis, ((game, learner), by_updates) in zip(axes, panels.items(), strict=False):
        for label in labels:
            there = [(count, part.groups[label]) for count, part in sorted(by_updates.items()) if label in part.groups]
            for name, dashes in (("leader_return", "-"), ("online_return", ":")):
                intervals = [mean_interval([run["history"][-1][name] for run in runs]) for _, runs in there]
                if intervals:
                    counts, centres = [count for count, _ in there], [interval.centre for interval in intervals]
                    error = [[i.centre - i.low for i in intervals], [i.high - i.centre for i in intervals]]
                    line = {**figures.style(labels.index(label)), "ls": dashes, "marker": "o", "ms": 3}
                    axis.errorbar(counts, centres, error, capsize=2, label=figures.plain_text(label) if dashes == "-" else None, **line)
        axis.set_xscale("log")
        axis.set_xticks((ticks := sorted(by_updates)), [str(tick) for tick in ticks], minor=False)
        axis.minorticks_off()
        axis.set_title(f"{game}: {learner}", fontsize=9)
        axis.set(xlabel="follower updates a leader update", ylabel="leader's return at the end")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles = {text: handle for axis in figure.axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="upper center", ncol=4, frameon=False, bbox_to_anchor=(0.5, 0.0))
    figure.tight_layout()
    return figure


def main() -> None:
    """Write the tables and the figure of a configuration's results."""
    measured.from_results(__doc__, "table", lambda _, parts: markdown(parts), lambda _, parts: draw(parts))


if __name__ == "__main__":
    main()
