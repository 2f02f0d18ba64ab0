"""The figure and the table of docs/how-to/leaders-that-learn.md, from ``curves.jsonl``.

python -m tests.interop.draw_curves
"""

from __future__ import annotations

import json
from statistics import mean
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from .curves import TASKS
from .table import HERE, put

DOCS = HERE.parent.parent / "docs"
NAMES = {"sb3_leader": "Stable-Baselines3", "cleanrl_ppo": "one file of PPO", "torchrl_leader": "TorchRL", "rllib_leader": "RLlib"}


def runs() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Runs by game and recipe."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in map(json.loads, (HERE / "curves.jsonl").read_text(encoding="utf-8").splitlines()):
        found.setdefault((line["game"], line["recipe"]), []).append(line)
    return found


def table(found: dict[tuple[str, str], list[dict[str, Any]]]) -> str:
    """The table as Markdown."""
    lines = ["", "| game | library | seeds | rounds | reached, mean | lowest seed | CPU seconds a run |", "|---|---|---|---|---|---|---|"]
    for game in TASKS:
        for recipe, name in NAMES.items():
            several = found.get((game, recipe), [])
            if several:
                reached = [100 * line["reached"] for line in several]
                seconds = mean(line["cpu_seconds"] for line in several)
                head = f"| `{game}` | {name} | {len(several)} | {several[0]['rounds']:,}"
                lines.append(f"{head} | {mean(reached):.1f} % | {min(reached):.1f} % | {seconds:.0f} |")
    return "\n".join(lines) + "\n\n"


def draw(found: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """One panel a game, one line a seed."""
    mpl.rcParams["svg.hashsalt"] = "leaders"
    figure, panels = plt.subplots(1, len(TASKS), figsize=(9.0, 2.8), sharey=True, layout="constrained")
    for panel, (game, task) in zip(panels, TASKS.items(), strict=True):
        for colour, (recipe, name) in enumerate(NAMES.items()):
            for i, line in enumerate(found.get((game, recipe), [])):
                played, values = zip(*line["curve"], strict=True)
                reached = [100 * (value - task.start) / (task.best - task.start) for value in values]
                panel.plot(played, reached, color=f"C{colour}", linewidth=0.8, alpha=0.8, label=None if i else name)
        panel.axhline(95.0, color="0.6", linewidth=0.8, linestyle=":")
        panel.set(title=game, xlabel="rounds", ylim=(-5, 105))
    panels[0].set_ylabel("% of the way")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(DOCS / "images" / "leaders-that-learn.svg", metadata={"Date": None})


if __name__ == "__main__":
    all_runs = runs()
    draw(all_runs)
    put(DOCS / "how-to" / "leaders-that-learn.md", table(all_runs), "draw_curves")
