"""Followers who learn at their leader's pace: ``python -m baselines.studies.online CONFIG``, of results with telemetry.

A leader commits; the follower makes U updates, and acts; the leader learns from that, and commits again.  A row is a method at one U, over
all seeds; a method whose followers start cold or pre-trained says so in its name:

* J online: the leader's exact return from the last answer, to the commitment that it answered
* J at the best response: the referee's score of the last commitment
* the follower's gap and its divergence (`solvers.telemetry`), at the end; left out where no exact follower is known
* negative: the share of reports at which the gradient points away from the exact one, where that has a norm of at least `LEAST_NORM`
* ledger, a leader update each: steps that the leader watched, and samples from which the follower learned, updates of its actor and of its
  critic; queries.  Pre-training and seconds are of the whole run.  Columns in which no run has anything are left out
* failed: runs whose last commitment scores below the first, at the best response
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import stackelberg_envs as se

from ..bench import figures, measured
from ..bench.report import Part
from ..bench.stats import mean_interval, share

LEAST_NORM = 1e-3
"""Of the exact gradient, for its direction to count."""
BATCH, NETWORK_BATCH = 100, 20
"""Samples that are one update of `SoftQLearning`; steps of Adam that are one of networks."""
LEARNERS: dict[str, tuple[str, Callable[[dict[str, Any]], int]]] = {
    "NaturalPolicyGradient": ("natural policy gradient", lambda follower: follower["iterations"]),
    "SoftQLearning": (f"soft Q-learning, {BATCH} samples an update", lambda follower: follower["steps"] // BATCH),
    "solvers.proximal:PPO": ("PPO, 100 samples an update", lambda follower: follower["updates"]),
    "solvers.learners:SAC": (f"SAC, {NETWORK_BATCH} steps an update", lambda follower: follower["steps"] // NETWORK_BATCH),
    "solvers.dqn:DQN": (f"DQN, {NETWORK_BATCH} steps an update", lambda follower: follower["steps"] // NETWORK_BATCH - 1),
}
"""Kind of a follower to its name, and to U; DQN spends as much as one update on filling its memory."""
LEDGER = ("outcome_steps", "training_steps", "actor_updates", "critic_updates", "queries")
HEADER = (
    *("method", "U", "J online", "J at the best response", "gap", "KL, nats", "negative", "failed"),
    *("watched", "learned from", "actor", "critic", "queries", "pre-training", "seconds"),
)
NOTHING = ("-", "0")

Methods = dict[str, dict[int, list[dict[str, Any]]]]


def written_rule(game: str) -> se.Follower:
    """The rule by which a game's default follower acts: the referee's, where no best response is known."""
    return se.game(game).default_follower


def settings(parts: list[Part]) -> dict[tuple[str, str], Methods]:
    """(game, learner) to method to U to runs, seed by seed, whichever version of the suite's code made them."""
    found: dict[tuple[str, str], Methods] = {}
    for part in parts:
        follower, game = part.section.world.follower, part.section.title.partition(",")[0]
        assert follower is not None
        learner, updates = LEARNERS[follower["kind"]]
        for run in (run for runs in part.groups.values() for run in runs):
            methods = found.setdefault((game, learner), {})
            methods.setdefault(run["job"]["label"] + _begins(follower), {}).setdefault(updates(follower), []).append(run)
    for by_updates in (by_updates for methods in found.values() for by_updates in methods.values()):
        for runs in by_updates.values():
            runs.sort(key=lambda run: run["job"]["seed"])
    return found


STARTS = {"": "full", ", cold start": "none", ", pre-trained": "left"}
"""What there is to say of how a follower begins, after a method's name; and how a marker is filled."""


def _begins(follower: dict[str, Any]) -> str:
    """One of `STARTS`."""
    if "pretraining" in follower:
        return ", pre-trained"
    return ", cold start" if follower.get("start") == "reset" else ""


def _method(label: str) -> tuple[str, str]:
    """A method's name without what is said of the start, and that."""
    begins = next(begins for begins in reversed(STARTS) if label.endswith(begins))
    return label.removesuffix(begins), begins


def negative_share(runs: list[dict[str, Any]]) -> tuple[int, int]:
    """Reports with a negative cosine, and reports with a cosine that counts."""
    cosines = [row["cosine"] for run in runs for row in run["history"] if "cosine" in row and row["exact_norm"] >= LEAST_NORM]
    return sum(cosine < 0 for cosine in cosines), len(cosines)


def ledger(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Means over runs of what a commitment took, those that count it; a step is in one entry."""
    spent = {name: [run["cost"][name] / run["cost"]["commitments"] for run in runs if name in run["cost"]] for name in LEDGER}
    return {name: float(np.mean(amounts)) if amounts else 0.0 for name, amounts in spent.items()}


def _row(label: str, count: int, runs: list[dict[str, Any]]) -> tuple[str, ...]:
    ends = [run["history"][-1] for run in runs]
    online, best = ([end[name] for end in ends] for name in ("online_return", "leader_return"))
    against, counted = negative_share(runs)
    failed = sum(run["history"][-1]["leader_return"] < run["history"][0]["leader_return"] for run in runs)
    pretrained = float(np.mean([run["cost"].get("pretraining_steps", 0) for run in runs]))
    return (
        *(label, str(count), str(mean_interval(online)), str(mean_interval(best))),
        *(_small([end.get(name) for end in ends]) for name in ("learned_gap", "follower_kl")),
        f"{share(against, counted)}" if counted else "-",
        f"{failed} of {len(runs)}",
        *(f"{amount:,.0f}" for amount in ledger(runs).values()),
        f"{pretrained:,.0f}",
        f"{float(np.median([run['timing']['seconds'] for run in runs])):.1f}",
    )


def _small(numbers: list[float | None]) -> str:
    """Their mean in two digits, as records keep seven decimals; a dash where some are not known."""
    known = [number for number in numbers if number is not None]
    mean = float(np.mean(known)) if known else 0.0
    return "-" if len(known) < len(numbers) else f"{mean:.2g}" if mean >= 1e-6 else "< 1e-6"


def gain(runs: list[dict[str, Any]]) -> float:
    """By how much the last commitment is better than the first, at the best response: the mean over runs."""
    return float(np.mean([run["history"][-1]["leader_return"] - run["history"][0]["leader_return"] for run in runs]))


def share_of_gain(by_updates: dict[int, list[dict[str, Any]]]) -> float | None:
    """The gain at the fewest updates over that at the most; None where the latter is not clearly above 0, or seeds are fewer than three."""
    least, most = min(by_updates), max(by_updates)
    gains = [run["history"][-1]["leader_return"] - run["history"][0]["leader_return"] for run in by_updates[most]]
    known = least < most and len(gains) > 2 and mean_interval(gains).low > 0
    return gain(by_updates[least]) / gain(by_updates[most]) if known else None


def survival(parts: list[Part]) -> str:
    """A table of `share_of_gain`, a row a game and learner and a column a method; nothing where nothing is known yet."""
    panels = settings(parts)
    methods = list(dict.fromkeys(method for panel in panels.values() for method in panel))
    rows = []
    for (game, learner), panel in panels.items():
        shares = [share_of_gain(panel[method]) if method in panel else None for method in methods]
        rows.append((f"{game}: {learner}", *("-" if part is None else f"{100 * part:.0f} %" for part in shares)))
    known = any(cell != "-" for row in rows for cell in row[1:])
    return "**What is kept at the fewest updates, of the gain at the most**\n\n" + _table(("", *methods), rows) if known else ""


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in [header, *rows])
    return "\n".join([head, "|" + "---|" * len(header), *body])


def markdown(parts: list[Part]) -> str:
    """How many runs there are, what is kept at the fewest updates, and a table a game and learner."""
    groups = [runs for panel in settings(parts).values() for by_updates in panel.values() for runs in by_updates.values()]
    runs, seeds = [run for group in groups for run in group], sorted({len(group) for group in groups})
    words = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
    hours = sum(run["timing"]["seconds"] for run in runs) / 3600
    codes = len({(run["code"]["suite"], *sorted(run["versions"].items())) for run in runs})
    said = f"{len(runs):,} runs, seeds a row: {words}; {hours:.1f} hours of leaders and followers (no telemetry, no referee)."
    said += f" Made by {codes} versions of the suite's code or of its packages." if codes > 1 else ""
    tables = [f"*{said}*", *filter(None, [survival(parts)])]
    for (game, learner), panel in settings(parts).items():
        rows = [_row(method, count, runs) for method, by in panel.items() for count, runs in sorted(by.items())]
        columns = [i for i in range(len(HEADER)) if any(row[i] not in NOTHING for row in rows)]
        shown = [tuple(row[i] for i in columns) for row in [HEADER, *rows]]
        tables += [f"**{game}: {learner}**", _table(shown[0], shown[1:])]
    return "\n\n".join(tables) + "\n"


def draw(parts: list[Part]) -> Figure:
    """J at the best response (lines) and online (dots) against U, with intervals over seeds; one panel a game and learner.

    A method has a colour and a marker, which is hollow for cold starts and half full for pre-trained followers, and a little to the right.
    """
    panels = settings(parts)
    columns = 2
    figure = Figure(figsize=(4.6 * columns, 3.0 * -(-len(panels) // columns)))
    axes = list(figure.subplots(-(-len(panels) // columns), columns, squeeze=False).flat)
    labels = list(dict.fromkeys(label for panel in panels.values() for label in panel))
    methods = list(dict.fromkeys(_method(label)[0] for label in labels))
    for axis, ((game, learner), panel) in zip(axes, panels.items(), strict=False):
        for label, by_updates in panel.items():
            counts, (method, begins) = sorted(by_updates), _method(label)
            beside = [count * 1.04 ** list(STARTS).index(begins) for count in counts]
            for name, dashes in (("leader_return", "-"), ("online_return", ":")):
                intervals = [mean_interval([run["history"][-1][name] for run in by_updates[count]]) for count in counts]
                centres = [interval.centre for interval in intervals]
                error = [[i.centre - i.low for i in intervals], [i.high - i.centre for i in intervals]]
                line = {**figures.style(methods.index(method)), "ls": dashes, "ms": 4, "markevery": 1, "fillstyle": STARTS[begins]}
                axis.errorbar(beside, centres, error, capsize=2, label=figures.plain_text(label) if dashes == "-" else None, **line)
        axis.set_xscale("log")
        axis.set_xticks((ticks := sorted({count for by in panel.values() for count in by})), [str(tick) for tick in ticks], minor=False)
        axis.minorticks_off()
        axis.set_title(f"{game}: {learner}", fontsize=9)
        axis.set(xlabel="follower updates a leader update", ylabel="leader's return at the end")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles = {text: handle for axis in figure.axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(
        handles.values(), handles.keys(), loc="upper center", ncol=4 if len(labels) < 6 else 2, frameon=False, bbox_to_anchor=(0.5, 0.0)
    )
    figure.tight_layout()
    return figure


def main() -> None:
    """Write the tables and the figure of a configuration's results."""
    measured.from_results(__doc__, "table", lambda _, parts: markdown(parts), lambda _, parts: draw(parts))


if __name__ == "__main__":
    main()
