"""What display rules do to sellers who learn: ``python -m baselines.studies.platform`` lets them learn, seed by seed.

In each market and under each rule of `CASES`, two Q-learners with the constants of Calvano et al. (AER 2020) play until their greedy prices
have been the same for 100,000 periods.  Then prices are on a cycle, which is often one pair.  Of each seed:

* the mean price, consumer surplus and the sellers' profit on that cycle; profit also as Calvano's gain, Delta: 0 at the static Nash
  price, 1 at the joint optimum
* the length of the cycle, the periods until then, and how much a seller could gain by a best response to the other's strategy
* the mean price that was played, in stretches of `STRETCH` periods: the picture

Beside them stands what the rule earns where sellers play the logit equilibrium, by which solvers are scored.  Numbers are kept a case at a
time, so that a run which was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.progress import track

import stackelberg_envs as se
from stackelberg_envs.followers.independent_q_learning import IndependentLearners
from stackelberg_envs.games.platform import Platform
from stackelberg_envs.games.platform_demand import demand_tables

from ..bench import figures, results_file

SHARP = 0.004
"""A softness at which a price that is one step lower is shown with probability 0.9999."""
STRETCH, STRETCHES = 50_000, 60
QUANTILES = (0.1, 0.5, 0.9)
CASES: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "published market, no rule": ({}, {"prominence": 0.0, "advantage": 0.0}),
    "published market, prominence": ({"softness": SHARP}, {"prominence": 1.0, "advantage": 0.0}),
    "published market, dynamic prominence": ({"softness": SHARP}, {"prominence": 1.0, "advantage": 0.09}),
    "published market, best for the equilibrium": ({}, {"prominence": 0.156, "advantage": 0.095}),
    "published market, half and dynamic": ({}, {"prominence": 0.5, "advantage": 0.09}),
    "published market, ceiling 1.49": ({"softness": SHARP, "instruments": ("ceiling",)}, {"ceiling": 1.49}),
    "prices down to cost, no rule": ({"below": 1.0}, {"prominence": 0.0, "advantage": 0.0}),
    "prices down to cost, prominence": ({"below": 1.0, "softness": SHARP}, {"prominence": 1.0, "advantage": 0.0}),
    "prices down to cost, dynamic prominence": ({"below": 1.0, "softness": SHARP}, {"prominence": 1.0, "advantage": 0.11}),
    "prices down to cost, best for the equilibrium": ({"below": 1.0}, {"prominence": 0.752, "advantage": 0.079}),
}
"""Arguments of the game, and the rule."""
DRAWN = (
    "published market, no rule",
    "published market, prominence",
    "published market, best for the equilibrium",
    "prices down to cost, no rule",
    "prices down to cost, prominence",
    "prices down to cost, dynamic prominence",
)


def cycle(learners: IndependentLearners) -> list[tuple[int, int]]:
    """The pairs (state, joint action) that greedy play comes back to for ever, in order; the state after (j, k) is that of the pair."""
    s, width, found = int(learners.stream[0]), learners.tables[1].shape[1], {}
    while s not in found:
        found[s] = int(learners.tables[0][s].argmax()) * width + int(learners.tables[1][s].argmax())
        s = found[s]
    states = list(found)
    return [(state, found[state]) for state in states[states.index(s) :]]


def static_profit(game: Platform, price: float) -> float:
    """A seller's profit where both ask ``price`` and both are shown."""
    sold = demand_tables(np.array([price]), np.array([price]), game.costs[0], game.differentiation)[0, 0]
    return float((price - game.costs[0]) * sold)


def learn(game: Platform, x: np.ndarray, seed: int) -> dict[str, Any]:
    """One pair of learners."""
    follower, rng = se.IndependentQLearning(), np.random.default_rng(seed)
    (world,) = game.problems(x)
    pairs = (game.prices[:, None] + game.prices[None, :]).ravel() / 2
    learners, path = None, []
    while learners is None or (learners.stream[2] < follower.patience and learners.periods < follower.steps):
        learners = follower.learn(game, x, periods=STRETCH, rng=rng, state=learners)
        played = learners.visits.sum(0)
        path.append(float(played @ pairs / played.sum()))
    states, actions = (np.array(each) for each in zip(*cycle(learners), strict=True))
    profits = world.follower_rewards[:, states, 0, actions].mean(1)
    low, high = (static_profit(game, price) for price in (game.nash_price, game.joint_price))
    response = follower.respond(game, x, budget=0, rng=rng, state=learners)
    price = float(pairs[actions].mean())
    return {
        "price": round(price, 5),
        "surplus": round(float(world.leader_reward[states, 0, actions].mean()) / (1 - game.discount), 5),
        "gain": round(float(profits.mean() - low) / (high - low), 5),
        "cycle": len(states),
        "periods": learners.periods,
        "exploitability": round(response.certificate * (1 - game.discount), 5),
        "path": np.round((path + [price] * STRETCHES)[:STRETCHES], 5).tolist(),
    }


def measure(name: str, seeds: int) -> dict[str, Any]:
    """All seeds of a case."""
    arguments, rule = CASES[name]
    game = Platform(**arguments)
    x = game.at_rule(**rule)
    scored = se.evaluate(game, x)
    runs = [learn(game, x, seed) for seed in track(range(seeds), name)]
    paths = np.quantile([run.pop("path") for run in runs], QUANTILES, axis=0)
    return {
        "case": name,
        "nash": game.nash_price,
        "joint": game.joint_price,
        "bound": game.upper_bound(),
        "equilibrium": float(scored.leader_return),
        "price of the equilibrium": round(_mean_price(game, x, scored), 5),
        "paths": np.round(paths, 4).tolist(),
        "runs": runs,
    }


def _mean_price(game: Platform, x: np.ndarray, scored: se.Evaluation) -> float:
    """Of both sellers, in the first period."""
    (world,) = game.problems(x)
    return float(np.mean([world.initial @ policy[:, 0] @ game.prices for policy in scored.responses[0].policies]))


def page(rows: list[dict[str, Any]]) -> str:
    """Quantiles of what sellers came to, and the equilibrium beside them."""
    lines = [
        "| market and rule | seeds | mean price: 10 %, median, 90 % | surplus: 10 %, median, 90 % | mean profit gain | cycles of one pair "
        "| median exploitability | median periods | equilibrium: price | surplus |",
        "|" + "---|" * 10,
    ]
    for row in rows:
        runs = row["runs"]
        price, surplus = (_quantiles(runs, key) for key in ("price", "surplus"))
        gain = np.array([run["gain"] for run in runs])
        lines.append(
            f"| {row['case']} | {len(runs)} | {price} | {surplus} | {gain.mean():.3f} ± {1.96 * gain.std(ddof=1) / len(gain) ** 0.5:.3f} | "
            f"{np.mean([run['cycle'] == 1 for run in runs]):.0%} | {np.median([run['exploitability'] for run in runs]):.4f} | "
            f"{np.median([run['periods'] for run in runs]) / 1e6:.2f} million | {row['price of the equilibrium']:.3f} | "
            f"{row['equilibrium']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _quantiles(runs: list[dict[str, Any]], key: str) -> str:
    return ", ".join(f"{value:.3f}" for value in np.quantile([run[key] for run in runs], QUANTILES))


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Prices while sellers learn: median and the band between the outer quantiles, with the static prices."""
    shown = [row for name in DRAWN for row in rows if row["case"] == name]
    figure = Figure(figsize=(11, 5.6))
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    periods = STRETCH * (np.arange(STRETCHES) + 0.5) / 1e6
    for axis, row in zip(panels.ravel(), shown, strict=True):
        low, middle, high = row["paths"]
        axis.fill_between(periods, low, high, color=figures.COLOURS[0], alpha=0.25, lw=0)
        axis.plot(periods, middle, color=figures.COLOURS[0], label="median and 10 to 90 % of seeds")
        axis.axhline(row["joint"], color="black", ls=":", lw=1, label="joint optimum, no rule")
        axis.axhline(row["nash"], color="black", ls="--", lw=1, label="static Nash price, no rule")
        axis.axhline(row["price of the equilibrium"], color=figures.COLOURS[1], lw=1, label="logit equilibrium, this rule")
        axis.set_title(row["case"], fontsize=9.5, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    for axis in panels[-1]:
        axis.set_xlabel("million periods")
    for axis in panels[:, 0]:
        axis.set_ylabel("mean price")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    return figure


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="pairs of learners in each case (50)")
    parser.add_argument("--record", type=Path, default=Path("results/platform.json"), help="where numbers are kept, by case")
    parser.add_argument("--figure", type=Path, default=Path("compared/platform.svg"), help="the figure to write, and beside it the table")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("an interval needs two seeds")
    rows = json.loads(arguments.record.read_text(encoding="utf-8")) if arguments.record.exists() else []
    for name in CASES:
        if all(row["case"] != name for row in rows):
            rows.append(measure(name, arguments.seeds))
            results_file.replace(arguments.record, json.dumps(rows, indent=None) + "\n")
    results_file.replace(arguments.figure, figures.svg(draw(rows)))
    results_file.replace(arguments.figure.with_suffix(".md"), page(rows))
    print(page(rows))


if __name__ == "__main__":
    main()
