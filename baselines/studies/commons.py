"""A fishery against its closed forms, and a picture of it: ``python -m baselines.studies.commons``.

* The great fish war (Levhari and Mirman 1980): what each fisher takes in the Markov-perfect equilibrium, if all cooperate, and under the
  tax that makes them, each beside its closed form, with ever finer efforts.  The temperature falls as the square of their distance.
* The Schaefer model: the stock that the planner leaves (Spence and Starrett 1975), with ever finer stocks and efforts.
* The picture: efforts by stock, and the stock over the years, under open access, under a regulator's best mechanism, and under the planner.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import stackelberg_envs as se
from solvers import solve
from stackelberg_envs.games.commons import Commons
from stackelberg_envs.games.commons_stocks import FishWar, Schaefer

from ..bench import figures, results_file

EFFORTS = {2: (9, 17, 33, 65), 3: (9, 17)}
"""Of each fisher, by the number of fishers."""
WARMTH = 8
"""Temperature of the fish war in squares of the distance between two efforts."""
GRIDS = ((20, 4), (50, 7), (100, 13), (200, 25))
"""Stock levels, and efforts of each of two fishers."""
DISCOUNT = 0.9
YEARS = 40


def fish_war(fishers: int, efforts: int) -> dict[str, float]:
    """What each takes: in the equilibrium, if all cooperate, and under the cooperative tax."""
    distance = 0.8 / (efforts - 1) / fishers
    game = Commons(
        stock="fish_war",
        fishers=fishers,
        levels=4,
        efforts=efforts,
        mechanism=("tax",),
        discount=DISCOUNT,
        temperature=WARMTH * distance**2,
    )
    tax = FishWar().cooperative_tax(fishers, DISCOUNT)

    def taken(x: np.ndarray) -> float:
        return float(game.mean_efforts(x, se.evaluate(game, x).responses[0].policies)[-1]) / fishers

    planned = float(game.planned_efforts()[-1]) / fishers
    return {"equilibrium": taken(game.open_access()), "cooperation": planned, "under the tax": taken(game.commitment(tax=tax))}


def schaefer(levels: int, efforts: int) -> float:
    """The mean stock that the planner leaves in the long run, in tonnes."""
    game = Commons(levels=levels, efforts=efforts, mechanism=("tax",))
    efforts_of_all, rows = game.planned_efforts(), np.argmax(game.planner.action_values[:, 0], axis=-1)
    chain = game.tables.transition[np.arange(levels), 0, rows]
    at = np.linalg.matrix_power(chain, 2**12)[-1]
    return float(at @ (game.tables.stocks * np.exp(-efforts_of_all)))


def page() -> str:
    """Tables of all numbers beside their closed forms."""
    war, rows = FishWar(), ["| N | efforts | what | on the grid | closed form | difference |", "|" + "---|" * 6]
    for fishers, counts in EFFORTS.items():
        together = war.cooperative_rate(fishers, DISCOUNT)
        exact = {"equilibrium": war.equilibrium_rate(fishers, DISCOUNT), "cooperation": together, "under the tax": together}
        for efforts in counts:
            found = fish_war(fishers, efforts)
            rows += [f"| {fishers} | {efforts} | {k} | {v:.5f} | {exact[k]:.5f} | {abs(v - exact[k]):.1e} |" for k, v in found.items()]
    left = Schaefer().best_escapement(0.95)
    stocks = ["| stock levels | efforts | left by the planner, tonnes | closed form | difference |", "|" + "---|" * 5]
    for levels, efforts in GRIDS:
        kept = schaefer(levels, efforts)
        stocks.append(f"| {levels} | {efforts} | {kept:.2f} | {left:.2f} | {abs(kept - left):.2f} |")
    return "\n".join(rows) + "\n\n" + "\n".join(stocks) + "\n"


def draw(game: Commons, mechanism: np.ndarray) -> Figure:
    """Efforts by stock, and the mean stock over the years."""
    figure = Figure(figsize=(9, 3.6))
    left, right = figure.subplots(1, 2)
    for i, (label, x) in enumerate({"open access": game.open_access(), "best mechanism found": mechanism}.items()):
        policies = se.evaluate(game, x).responses[0].policies
        line: dict[str, Any] = figures.style(i) | {"label": label}
        left.plot(game.tables.stocks, game.mean_efforts(x, policies), **line)
        (world,) = game.problems(x)
        right.plot(game.mean_stocks(world.transition, world.product(policies), YEARS), **line)
    line = figures.style(2) | {"label": "planner"}
    left.plot(game.tables.stocks, game.planned_efforts(), **line)
    rows = np.argmax(game.planner.action_values[:, 0], axis=-1)
    pure = np.eye(game.tables.utility.shape[-1])[rows][:, None, :]
    right.plot(game.mean_stocks(game.tables.transition, pure, YEARS), **line)
    for axis, (x_name, y_name) in zip(
        (left, right), (("stock, tonnes", "effort of all, a year"), ("year", "mean stock, tonnes")), strict=True
    ):
        _finish(axis, x_name, y_name)
    right.set_ylim(0, 1.05 * game.stock.unfished)
    right.axhline(game.stock.unfished / 2, color="black", lw=0.8, ls=":")
    right.annotate("maximum sustainable yield", (YEARS, game.stock.unfished / 2), fontsize=8, ha="right", va="top")
    handles, labels = left.get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    figure.legend(handles, labels, loc="upper center", ncol=3, frameon=False, fontsize=10)
    return figure


def _finish(axis: Axes, x_name: str, y_name: str) -> None:
    axis.set_xlabel(x_name)
    axis.set_ylabel(y_name)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=Path("compared/commons.md"), help="the tables to write")
    parser.add_argument("--figure", type=Path, help="the picture to write, SVG; none without it")
    arguments = parser.parse_args()
    tables = page()
    results_file.replace(arguments.page, tables)
    print(tables)
    if arguments.figure is not None:
        game = Commons()
        figures.save(draw(game, solve(game, "multistart", budget=80, evaluations=80).x), arguments.figure)


if __name__ == "__main__":
    main()
