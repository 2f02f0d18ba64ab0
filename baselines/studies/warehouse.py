"""Which layout is best, and who finds it?  ``python -m baselines.studies.warehouse`` scores every layout of the warehouse, exactly.

For each instance in `INSTANCES` (the default game `warehouse`, by the seed of its demands):

* every choice of K of the M sites, by the referee; the best one is the ground truth, and its commitment the certificate
* two rules of thumb, that take each site by itself: the K items most in demand, and the K with the largest demand x (worth - trip in an
  otherwise empty warehouse)
* the best relaxed commitment that `multistart` finds, by exact gradients; and the same commitment in the binary game, which rounds it
* two methods with the hyperparameters they come with, `BUDGET` commitments each, started at random: `zeroth_order` in the binary game,
  and `implicit` in the relaxed one, rounded
* random search: the expected best of `BUDGET` layouts drawn uniformly, with replacement, from the table of all
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from rich.progress import track

import solvers
import stackelberg_envs as se
from stackelberg_envs.drawing import Frame, rgb_array
from stackelberg_envs.games.warehouse import Warehouse

from ..bench import figures, measured, palette

INSTANCES = (0, 1, 2)
BUDGET = 100
SEARCHED = 200
"""Commitments of multistart."""
METHODS: dict[str, tuple[str, Literal["binary", "relaxed"]]] = {
    "zeroth_order, binary": ("zeroth_order", "binary"),
    "implicit, relaxed, rounded": ("implicit", "relaxed"),
}
SAME = 1e-6
"""Returns that differ by less are those of one layout."""


def layouts(game: Warehouse) -> list[tuple[int, ...]]:
    """Every choice of K sites, in lexicographic order."""
    return list(combinations(range(game.dimension), game.shelves))


def referee_score(game: Warehouse, x: Any) -> float:
    """The referee's score."""
    return float(se.evaluate(game, np.asarray(x, dtype=np.float64)).leader_return)


def enumerate_returns(game: Warehouse) -> list[float]:
    """The return of each of `layouts`."""
    return [referee_score(game, game.commitment(sites)) for sites in layouts(game)]


def standalone_values(seed: int) -> np.ndarray:
    """Demand x (worth - trip) of each site in a warehouse where no shelf is in the way, (M,)."""
    empty = Warehouse(variant="relaxed", squeeze=0.0, seed=seed)
    x = np.zeros(empty.dimension)  # K / M of a shelf everywhere
    return empty.context_probabilities * np.asarray(se.evaluate(empty, x).per_context) / empty.stock(x)


def top_sites(game: Warehouse, value: np.ndarray) -> tuple[int, ...]:
    """The K sites of largest ``value`` (M,), sorted."""
    return tuple(sorted(np.argsort(-value, kind="stable")[: game.shelves].tolist()))


def run(seed: int, method: str, solver_seed: int) -> dict[str, Any]:
    """One run of one of `METHODS`: its last commitment, and what that earns in the binary game."""
    name, variant = METHODS[method]
    x = solvers.solve(Warehouse(variant=variant, seed=seed), name, budget=BUDGET, seed=solver_seed, reports=1).x
    return {"x": x.tolist(), "return": referee_score(Warehouse(seed=seed), x)}


def best_relaxation(seed: int) -> dict[str, Any]:
    """The best relaxed commitment that is found, what it earns, and what its K largest components earn in the binary game."""
    game = Warehouse(variant="relaxed", seed=seed)
    found = solvers.solve(game, "multistart", budget=SEARCHED, seed=0, reports=SEARCHED)
    x, searches = found.x, [row for row in found.history if "search_return" in row]
    return {
        "x": x.tolist(),
        "return": referee_score(game, x),
        "rounded": referee_score(Warehouse(seed=seed), x),
        "fractional": float(np.minimum(game.stock(x), 1 - game.stock(x)).max()),
        "searches": [row["search_return"] for row in searches],
    }


def measure(runs: int) -> measured.Rows:
    """One row an instance."""
    rows: measured.Rows = []
    for seed in track(INSTANCES, "instances"):
        game = Warehouse(seed=seed)
        returns = enumerate_returns(game)
        best = layouts(game)[int(np.argmax(returns))]
        rows.append(
            {
                "seed": seed,
                "sites": game.sites,
                "returns": returns,
                "best": {"sites": best, "x": game.commitment(best).tolist(), "return": max(returns)},
                "rules": {
                    "most in demand": top_sites(game, game.context_probabilities),
                    "each by itself": top_sites(game, standalone_values(seed)),
                },
                "relaxed": best_relaxation(seed),
                "runs": {method: [run(seed, method, solver_seed) for solver_seed in range(runs)] for method in METHODS},
            }
        )
    return rows


def expected_best(returns: list[float], draws: int) -> float:
    """Mean of the best of ``draws`` layouts, uniform and with replacement: sum_k (k^n - (k-1)^n) / N^n times the k-th smallest."""
    share = (np.arange(len(returns) + 1) / len(returns)) ** draws
    return float(np.diff(share) @ np.sort(returns))


def rank(returns: list[float], value: float) -> int:
    """1 for the best layout."""
    return 1 + int((np.array(returns) > value + SAME).sum())


def page(rows: measured.Rows) -> str:
    """The layouts of each instance, and who finds what."""
    layout = ["| demands | layouts | best | median | worst | most in demand | each by itself |", "|---|---|---|---|---|---|---|"]
    gap = [
        "| demands | best layout | best relaxed | largest fraction | rounded | local searches | at the best |",
        "|---|---|---|---|---|---|---|",
    ]
    finds = ["| demands | best of random layouts, expected | " + " | ".join(METHODS) + " |", "|---|---|" + "---|" * len(METHODS)]
    for row in rows:
        returns, best, found = row["returns"], row["best"]["return"], row["relaxed"]
        value = dict(zip(combinations(range(len(row["sites"])), len(row["best"]["sites"])), returns, strict=True))
        rules = [value[tuple(sites)] for sites in row["rules"].values()]
        told = " | ".join(f"{rule:.3f} (rank {rank(returns, rule)})" for rule in rules)
        layout.append(f"| seed {row['seed']} | {len(returns)} | {best:.3f} | {np.median(returns):.3f} | {min(returns):.3f} | {told} |")
        ends = np.array(found["searches"])
        gap.append(
            f"| seed {row['seed']} | {best:.4f} | {found['return']:.4f} | {found['fractional']:.0e} | {found['rounded']:.4f} "
            f"(rank {rank(returns, found['rounded'])}) | {len(ends)} | {int((ends > found['return'] - 1e-3).sum())} |"
        )
        cells = []
        for runs in row["runs"].values():
            ended = [one["return"] for one in runs]
            ranks = ", ".join(str(rank(returns, one)) for one in ended)
            cells.append(f"{np.mean(ended):.3f} (ranks {ranks})")
        finds.append(f"| seed {row['seed']} | {expected_best(returns, BUDGET):.3f} | {' | '.join(cells)} |")
    titles = ("All layouts", "Relaxed against binary", f"What {BUDGET} commitments find")
    return "\n\n".join(f"**{title}**\n\n" + "\n".join(table) for title, table in zip(titles, (layout, gap, finds), strict=True)) + "\n"


def draw(rows: measured.Rows) -> Figure:
    """All layouts of the first instance by rank, and maps of the best and the worst."""
    row, game = rows[0], Warehouse(seed=rows[0]["seed"])
    figure = Figure(figsize=(11, 3.6))
    bars, *maps = figure.subplots(1, 3)
    bars.bar(np.arange(1, len(row["returns"]) + 1), sorted(row["returns"], reverse=True), width=1.0, color=figures.COLOURS[0])
    bars.axhline(float(np.median(row["returns"])), color="black", ls="--", lw=1, label="median")
    bars.axhline(row["relaxed"]["return"], color=figures.COLOURS[1], lw=1, label="best relaxed")
    bars.set_xlabel("layouts, by rank")
    bars.set_ylabel("leader's return an order")
    bars.spines[["top", "right"]].set_visible(False)
    bars.legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, 0.92))
    for axis, which, best in zip(maps, ("best", "worst"), (np.argmax, np.argmin), strict=True):
        sites = layouts(game)[int(best(row["returns"]))]
        axis.imshow(rgb_array(Frame(game, game.commitment(sites), sites[0], ((),), 0)))
        for (down, right), share in zip(game.sites, game.context_probabilities, strict=True):
            axis.text(24 * right + 12, 24 * down + 12, f"{100 * share:.0f}", ha="center", va="center", fontsize=9, color=palette.INK)
        axis.set_title(f"{which}: {float(np.asarray(row['returns'])[best(row['returns'])]):.2f}", fontsize=9.5, loc="left")
        axis.set_axis_off()
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    measured.main(__doc__, measure, draw, page=page, name="warehouse", option="runs", count=3, words="runs of each method")
