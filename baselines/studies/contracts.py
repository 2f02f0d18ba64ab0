"""What is a promise worth, and what is it worth to see?  ``python -m baselines.studies.contracts`` measures contracts on random trees.

On each tree of `contract_tree`, for one, two and three decisions, against an agent that breaks ties for the principal:

* zero contract: nothing is paid, and the agent idles
* per step: the subgame-perfect contracts; committed: the best payments that are promised for the whole tree; both exact
* first best: the principal sees what the agent does, and pays what that costs
* returns alone: `zeroth_order` (RETURN) from x = 0 for 300 commitments, in the committed game (radius 0.3, Adam with 0.2, chosen on the
  trees with seeds 100 to 104)

Intervals are 95 % bootstrap intervals of the mean over trees.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.progress import track

import solvers
import stackelberg_envs as se
from stackelberg_envs.games.contract_tree import ContractTree
from stackelberg_envs.planning import contracts

from ..bench import figures, measured
from ..bench.stats import Interval, mean_interval

DEPTHS = (1, 2, 3)
SHOWN = {
    "zero": "zero contract",
    "learned": "returns alone",
    "per_step": "per step",
    "committed": "committed",
    "first_best": "first best",
}
AGENT = se.Hard("strong")


def exact(game: ContractTree) -> dict[str, float]:
    """The principal's value of one tree, without and with contracts of either kind, and if it saw the actions."""
    return {
        "zero": float(se.evaluate(game, game.leader_space.low, follower=AGENT).leader_return),
        "per_step": contracts.subgame_perfect(game.tree).value,
        "committed": contracts.optimal_contract(game.tree).value,
        "first_best": contracts.first_best(game.tree),
    }


def learned_value(game: ContractTree, seed: int) -> float:
    """What `zeroth_order` ends with."""
    options: dict[str, Any] = {"radius": 0.3, "optimiser": "adam", "lr": 0.2, "reports": 1}
    return solvers.solve(game, "zeroth_order", follower=AGENT, budget=300, seed=seed, **options).leader_return


def measure(trees: int) -> measured.Rows:
    """One row a tree."""
    rows = []
    for depth, seed in track([(depth, seed) for depth in DEPTHS for seed in range(trees)], "trees"):
        game = ContractTree(depth=depth, seed=seed)
        rows.append({"depth": depth, "seed": seed, **exact(game), "learned": learned_value(game, seed)})
    return rows


def draw(rows: measured.Rows) -> Figure:
    """Mean values by depth; and, tree by tree, the share of what contracts can gain over paying nothing."""
    figure = Figure(figsize=(9.5, 3.4))
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for i, (key, label) in enumerate(SHOWN.items()):
        found = [mean_interval([row[key] for row in rows if row["depth"] == depth]) for depth in DEPTHS]
        centres, errors = _bars(found)
        left.bar(np.array(DEPTHS) + 0.17 * (i - 2), centres, 0.16, yerr=errors, color=figures.COLOURS[i], label=label, error_kw={"lw": 0.9})
    gained = {key: [gain(rows, depth, key) for depth in DEPTHS] for key in ("learned", "per_step", "committed")}
    for i, (key, intervals) in enumerate(gained.items()):
        centres, errors = _bars(intervals)
        colour = figures.COLOURS[list(SHOWN).index(key)]
        right.errorbar(np.array(DEPTHS) + 0.06 * (i - 1), centres, errors, color=colour, marker="o", ms=4, lw=1.6, label=SHOWN[key])
    left.set_ylabel("principal's value")
    right.set_ylabel("share of the first best's gain")
    right.set_ylim(0, 1)
    for axis in (left, right):
        axis.set_xticks(DEPTHS)
        axis.set_xlabel("decisions (depth)")
        axis.grid(axis="y", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.legend(*left.get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=5, frameon=False, fontsize=10)
    return figure


def _bars(intervals: list[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Centres, and the lengths of error bars below and above, (2, n)."""
    centres = np.array([interval.centre for interval in intervals])
    return centres, np.abs(np.array([(interval.low, interval.high) for interval in intervals]).T - centres)


def gain(rows: measured.Rows, depth: int, key: str) -> Interval:
    """Mean of value - zero over mean of first best - zero, over the trees of a depth; the interval draws trees, each with both."""
    pairs = np.array([(row[key] - row["zero"], row["first_best"] - row["zero"]) for row in rows if row["depth"] == depth])
    drawn = pairs[np.random.default_rng(0).integers(len(pairs), size=(10_000, len(pairs)))].mean(axis=1)
    own, whole = pairs.mean(axis=0)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    return Interval(float(own / whole), float(low), float(high), len(pairs))


if __name__ == "__main__":
    measured.main(__doc__, measure, draw, name="contracts", option="trees", count=20, words="trees of each depth")
