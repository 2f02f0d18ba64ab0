"""Does a better fit to preferences make a better policy?  ``python -m baselines.studies.preferences`` asks instances of ``preference``.

Each arm ends at a reward model w, and has both numbers measured on the response to it: the true return, and the on-policy log-likelihood
of labels, with the entropy of those labels, below whose negative no model's likelihood is:

* offline MLE: fitted from w = 0 by the gradient of `two_stage`, so to labels of uniform play
* iterated: the same by the gradient of `naive`, to labels of the present response, as in Christiano et al. 2017
* bilevel, likelihood: `multistart` on the on-policy likelihood, its first search from the offline MLE
* bilevel, return: the same on the true return, which a leader that has only labels cannot see
* best trajectory: the largest true return there is

The first two follow dw/dt = gradient, the limit of small learning rates, to where its norm is `STATIONARY`: iterated fits may oscillate
at a fixed rate, and drift for 10^5 steps.  The curves are those of plain ascent from w = 0, on the first ten instances.  The learning
rate was chosen on seeds from 100.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import track
from scipy.integrate import solve_ivp

import solvers
import stackelberg_envs as se
from stackelberg_envs.leader.repeated_game import RepeatedGame

from ..bench import figures, measured, stats
from ..bench.system import peak_memory, usable_cores

UNIFORM, OFFLINE, ITERATED = "uniform play, w = 0", "offline MLE", "iterated"
LIKELIHOOD, RETURN = "bilevel, likelihood", "bilevel, return"
ARMS: tuple[str, ...] = (UNIFORM, OFFLINE, ITERATED, LIKELIHOOD, RETURN)
ASCENTS = {OFFLINE: "two_stage", ITERATED: "naive", LIKELIHOOD: "implicit", RETURN: "implicit"}
RATE: dict[str, Any] = {"lr": 0.05, "optimiser": "adam"}
STEPS = 150
"""Gradient steps of a curve."""
STATIONARY = 5e-5
"""Norm of the gradient, with the response frozen, at which a model is fitted."""
LONGEST = 1e8
"""Time in which a fit must get there."""
SEARCHED = 400
"""Commitments of a search from many starts."""
CURVES = 10
"""Instances whose curves are drawn."""
COMPARED = ((LIKELIHOOD, OFFLINE), (LIKELIHOOD, ITERATED), (ITERATED, OFFLINE), (LIKELIHOOD, RETURN))


def instance(seed: int) -> dict[str, Any]:
    """Everything that is measured on one instance."""
    began = time.perf_counter()
    game: Any = se.game("preference-v0", objective="likelihood", seed=seed)
    paid: Any = se.game("preference-v0", objective="return", seed=seed)
    start = np.zeros(game.dimension)
    ascents = {label: (paid if label == RETURN else game, name) for label, name in ASCENTS.items()}
    curves = (
        {label: [_page_values(game, x) for x in _ascent_path(*ascent, start)] for label, ascent in ascents.items()} if seed < CURVES else {}
    )
    arms = {UNIFORM: start, **{label: stationary_point(game, ASCENTS[label], start) for label in (OFFLINE, ITERATED)}}
    for label, world in ((LIKELIHOOD, game), (RETURN, paid)):
        arms[label] = solvers.solve(world, "multistart", start=arms[OFFLINE], budget=SEARCHED, seed=seed, reports=1).x
    return {
        "seed": seed,
        "best": game.best_return,
        "arms": {label: {"x": arms[label].tolist(), "numbers": _page_values(game, arms[label])} for label in ARMS},
        "curves": curves,
        "seconds": time.perf_counter() - began,
        "peak_mib": peak_memory(),
    }


def slopes(game: se.StackelbergGame, name: str, start: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The gradient (n,) that `solvers` follow by ``name`` in ``game`` from ``start``, at any w (n,)."""
    solver: Any = solvers.build(name)
    oracle, rng = RepeatedGame(game).oracle(solver.access), np.random.default_rng(0)
    memory = solver.estimator.estimate(oracle, torch.tensor(start), None, rng).memory
    return lambda w: solver.estimator.estimate(oracle, torch.tensor(w), memory, rng).gradient.numpy()


def stationary_point(game: se.StackelbergGame, name: str, start: np.ndarray) -> np.ndarray:
    """Where dw/dt = `slopes` has a norm of `STATIONARY`; it is stiff, so the integrator is implicit."""
    gradient = slopes(game, name, start)

    def excess_norm(_: float, w: np.ndarray) -> float:
        return float(np.linalg.norm(gradient(w))) - STATIONARY

    excess_norm.terminal = True  # type: ignore[attr-defined]
    flow = solve_ivp(lambda _, w: gradient(w), (0, LONGEST), start, method="BDF", events=excess_norm, rtol=1e-6, atol=1e-8)
    if flow.status != 1:
        raise RuntimeError(f"{game.name}: {name} has not come to rest: {flow.message}")
    return flow.y[:, -1]


def _ascent_path(game: se.StackelbergGame, name: str, start: np.ndarray) -> list[np.ndarray]:
    """Commitments of one ascent, every tenth."""
    way, checkpoint = [start], None
    for budget in range(10, STEPS + 1, 10):
        begun = {"start": start} if checkpoint is None else {"resume": checkpoint}
        solution = solvers.solve(game, name, budget=budget, reports=1, **begun, **RATE)
        checkpoint = solution.checkpoint
        way.append(solution.x)
    return way


def _page_values(game: Any, x: np.ndarray) -> list[float]:
    """(true return, likelihood, entropy of the labels)."""
    return [float(value) for value in game.scores(x)]


def measure(seeds: int) -> list[dict[str, Any]]:
    """One row an instance."""
    with ProcessPoolExecutor(usable_cores(), mp_context=get_context("spawn")) as pool:
        return list(track(pool.map(instance, range(seeds)), total=seeds, description="instances"))


def table(rows: list[dict[str, Any]]) -> np.ndarray:
    """(instances, arms, 3)."""
    return np.array([[row["arms"][label]["numbers"] for label in ARMS] for row in rows])


def page(rows: list[dict[str, Any]]) -> str:
    """The tables of the documentation."""
    numbers, best = table(rows), np.array([row["best"] for row in rows])
    lines = ["| reward model | true return | on-policy log-likelihood | entropy of its labels |", "|---|---|---|---|"]
    for i, label in enumerate(ARMS):
        lines.append(f"| {label} | " + " | ".join(str(stats.mean_interval(list(numbers[:, i, k]))) for k in range(3)) + " |")
    lines += [f"| best trajectory | {stats.mean_interval(list(best))} | | |", ""]
    lines += ["| paired difference | in return | in likelihood | in entropy | return lower |", "|---|---|---|---|---|"]
    for one, other in COMPARED:
        gap = numbers[:, ARMS.index(one)] - numbers[:, ARMS.index(other)]
        differences = " | ".join(str(stats.mean_interval(list(gap[:, k]))) for k in range(3))
        lines.append(f"| {one} - {other} | {differences} | {stats.share(int((gap[:, 0] < 0).sum()), len(gap))} |")
    seconds, peak = sum(row["seconds"] for row in rows), max(row["peak_mib"] for row in rows)
    lines += [
        "",
        f"Values are means over {len(rows)} instances (seeds 0 to {len(rows) - 1}). Likelihoods and entropies are in nats. "
        "Brackets are 95 % bootstrap intervals, and Wilson's intervals for shares. "
        f"All processes together took {seconds:.0f} seconds of wall time. One process used at most {peak:.0f} MiB.",
    ]
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Arrows from the offline MLE and from iterated to bilevel likelihood, one an instance; and both numbers along plain ascent.

    Returns are rescaled: 0 is uniform play and 1 the best trajectory.
    """
    figure = Figure(figsize=(10.5, 7.6))
    (*clouds,), (*panels,) = figure.subplots(2, 2)
    numbers, best = table(rows), np.array([row["best"] for row in rows])
    base = numbers[:, :1, 0]
    returns = (numbers[..., 0] - base) / (best[:, None] - base)
    colours = dict(zip(ARMS, ("#7a7a7a", *figures.COLOURS), strict=False))
    end = ARMS.index(LIKELIHOOD)
    for cloud, source in zip(clouds, (OFFLINE, ITERATED), strict=True):
        begin = ARMS.index(source)
        for label in (OFFLINE, ITERATED, LIKELIHOOD, RETURN):
            i = ARMS.index(label)
            cloud.scatter(numbers[:, i, 1], returns[:, i], s=9, color=colours[label], alpha=0.55, lw=0)
            centre = numbers[:, i, 1].mean(), returns[:, i].mean()
            cloud.scatter(*centre, s=90, color=colours[label], edgecolor="black", zorder=4, label=label)
        for row, ys in zip(numbers, returns, strict=True):
            arrow = {"arrowstyle": "->", "color": "#c8452c" if ys[end] < ys[begin] else "#148c50", "lw": 0.8, "alpha": 0.6}
            cloud.annotate("", xy=(row[end, 1], ys[end]), xytext=(row[begin, 1], ys[begin]), arrowprops=arrow)
        falls = int((returns[:, end] < returns[:, begin]).sum())
        cloud.set_title(f"{source} to bilevel likelihood: return lower in {falls} of {len(rows)} (red)", fontsize=9, loc="left")
        cloud.set_xlabel("on-policy log-likelihood of labels, nats")
    drawn = [row for row in rows if row["curves"]]
    steps = np.linspace(0, STEPS, STEPS // 10 + 1)
    for label in ASCENTS:
        curves = np.array([row["curves"][label] for row in drawn])
        low, top = np.array([[row["arms"][UNIFORM]["numbers"][0], row["best"]] for row in drawn]).T[..., None]
        for axis, ys in zip(panels, ((curves[..., 0] - low) / (top - low), curves[..., 1]), strict=True):
            grid, middle, below, above = stats.curve([steps] * len(ys), list(ys), steps)
            axis.plot(grid, middle, color=colours[label], lw=1.8, label=label)
            axis.fill_between(grid, below, above, color=colours[label], alpha=0.15, lw=0)
    for axis in (*clouds, panels[0]):
        axis.axhline(1, color="black", lw=1, ls="--", label="best trajectory")
        axis.set_ylabel("true return, rescaled: uniform 0, best 1")
    panels[1].axhline(-np.log(2), color="black", lw=1, ls=":", label="a coin")
    panels[1].set_ylabel("on-policy log-likelihood of labels, nats")
    for axis in panels:
        axis.set_xlabel("gradient steps from w = 0")
        axis.set_title(f"{len(drawn)} instances: interquartile mean, 95 % band", fontsize=9, loc="left")
    for axis in (*clouds, *panels):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    legends = (axis.get_legend_handles_labels() for axis in (clouds[0], panels[1]))
    handles = [pair for legend in legends for pair in zip(*legend, strict=True)]
    shown = {label: handle for handle, label in reversed(handles)}
    figure.tight_layout()
    figure.legend(shown.values(), shown.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    measured.main(
        __doc__,
        measure,
        draw,
        page=page,
        name="preferences",
        option="seeds",
        count=20,
        words="instances; the first ten have curves",
    )
