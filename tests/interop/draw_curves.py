"""The figure and the table of docs/how-to/leaders-that-learn.md, from ``curves.jsonl``.

python -m tests.interop.draw_curves
"""

from __future__ import annotations

import json
from statistics import mean
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from baselines.bench.stats import Interval, mean_interval

from .curves import TASKS, Task
from .table import HERE, put

DOCS = HERE.parent.parent / "docs"
NAMES = {"sb3_leader": "Stable-Baselines3", "cleanrl_ppo": "one file of PPO", "torchrl_leader": "TorchRL", "rllib_leader": "RLlib"}
Runs = dict[tuple[str, str], list[dict[str, Any]]]


def runs() -> Runs:
    """Runs by game and recipe."""
    found: Runs = {}
    for line in map(json.loads, (HERE / "curves.jsonl").read_text(encoding="utf-8").splitlines()):
        found.setdefault((line["game"], line["recipe"]), []).append(line)
    return found


def reached(task: Task, values: list[float]) -> Interval:
    """Percent of the way from the null commitment's value to the best known one: the mean over seeds."""
    return mean_interval([100 * (value - task.start) / (task.best - task.start) for value in values])


def table(found: Runs) -> str:
    """The table as Markdown."""
    lines = [
        "",
        "| game | library | seeds | rounds | reached, mean [95 %] | lowest seed | CPU seconds a run |",
        "|---|---|---|---|---|---|---|",
    ]
    for game, task in TASKS.items():
        for recipe, name in NAMES.items():
            several = found.get((game, recipe), [])
            if several:
                end = reached(task, [line["curve"][-1][1] for line in several])
                lowest = 100 * min(line["reached"] for line in several)
                seconds = mean(line["cpu_seconds"] for line in several)
                head = f"| `{game}` | {name} | {len(several)} | {several[0]['rounds']:,}"
                lines.append(f"{head} | {end.centre:.1f} % [{end.low:.1f}, {end.high:.1f}] | {lowest:.1f} % | {seconds:.0f} |")
    return "\n".join(lines) + "\n\n"


def draw(found: Runs) -> None:
    """One panel a game: means over seeds, with their 95 % intervals, and seeds as thin lines."""
    mpl.rcParams["svg.hashsalt"] = "leaders"
    figure, panels = plt.subplots(2, 2, figsize=(9.0, 5.6), sharey=True, layout="constrained")
    for panel, (game, task) in zip(panels.flat, TASKS.items(), strict=True):
        for colour, (recipe, name) in enumerate(NAMES.items()):
            several = found.get((game, recipe), [])
            if not several:
                continue
            curves = np.array([line["curve"] for line in several])  # all seeds are scored after the same rounds
            band = [reached(task, list(column)) for column in curves[:, :, 1].T]
            style = {"color": f"C{colour}"}
            panel.plot(curves[0, :, 0], [one.centre for one in band], label=name, linewidth=1.6, **style)
            panel.fill_between(curves[0, :, 0], [one.low for one in band], [one.high for one in band], alpha=0.2, linewidth=0, **style)
            for curve in curves:
                panel.plot(curve[:, 0], 100 * (curve[:, 1] - task.start) / (task.best - task.start), linewidth=0.4, alpha=0.6, **style)
        panel.axhline(95.0, color="0.6", linewidth=0.8, linestyle=":")
        panel.set(title=game, xlabel="rounds", ylim=(-5, 105))
    for panel in panels[:, 0]:
        panel.set_ylabel("% of the way")
    panels[0, 0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(DOCS / "images" / "leaders-that-learn.svg", metadata={"Date": None})


if __name__ == "__main__":
    all_runs = runs()
    draw(all_runs)
    put(DOCS / "how-to" / "leaders-that-learn.md", table(all_runs), "draw_curves")
