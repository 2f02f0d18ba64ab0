"""How biased, and how noisy, are HPGD's batch modes?  ``python -m baselines.studies.bias`` measures both and draws the figure.

Estimates of dF/dx on Four Rooms (temperature .003, beta 3, one kernel) at two commitments: the standard start x = 0, and where exact
gradient ascent stands after 1,000 iterations, on the plateau from which published HPGD escapes.  Each estimate is projected on two
directions: the exact gradient, and the logit of the top door, on which the good basin puts the budget.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import track

import solvers
import stackelberg_envs as se
from solvers.estimators.hpgd import HPGD
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.games.four_rooms import INDEX
from stackelberg_envs.leader.repeated_game import RepeatedGame

from ..bench import figures, measured

DOOR = INDEX[(3, 6)]
MODES: dict[str, dict[str, Any]] = {
    "same batch": {"batches": "same"},
    "independent batches": {"batches": "independent"},
    "geometric horizons": {"batches": "geometric"},
}
STEPS = (500, 2000, 20000)
"""Length of each of five streams; the geometric form samples pairs to about the same number of steps."""


def measure(estimates: int) -> list[dict[str, Any]]:
    """One row a (commitment, mode, batch): bias, standard error and spread along both directions."""
    game, follower = se.game("four_rooms-v0", preset="hpgd"), se.Soft(0.003)
    plateau = solvers.solve(game, "implicit", follower=follower, budget=1000, seed=0).x
    rows = []
    cases = [(point, mode, steps) for point in ("start", "plateau") for mode in MODES for steps in STEPS]
    for point, mode, steps in track(cases, description="bias of HPGD"):
        x = np.zeros(game.dimension) if point == "start" else plateau
        exact = exact_gradient(RepeatedGame(game, follower).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()
        directions = np.stack([exact / np.linalg.norm(exact), np.eye(game.dimension)[DOOR]])
        size: dict[str, Any] = {"episodes": steps // 7} if mode == "geometric horizons" else {"streams": 5, "steps": steps}
        estimator, rounds = HPGD(**MODES[mode], **size), RepeatedGame(game, follower, seed=1000)
        oracle, rng = rounds.oracle(se.Access.INCENTIVE, estimator.permissions), np.random.default_rng(1000)
        drawn = np.stack([directions @ estimator.estimate(oracle, torch.tensor(x), None, rng).gradient.numpy() for _ in range(estimates)])
        spread = drawn.std(axis=0, ddof=1)
        rows.append(
            {
                "point": point,
                "mode": mode,
                "steps": rounds.cost.outcome_steps / estimates,
                "estimates": estimates,
                "exact": (directions @ exact).tolist(),
                "bias": (drawn.mean(axis=0) - directions @ exact).tolist(),
                "error": (spread / np.sqrt(estimates)).tolist(),
                "spread": spread.tolist(),
            }
        )
    return rows


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Bias with two standard errors against the size of a batch; the exact gradient for comparison."""
    figure = Figure(figsize=(9.5, 6.2))
    panels = figure.subplots(2, 2, sharex=True)
    for line, point in zip(panels, ("start", "plateau"), strict=True):
        for k, (axis, direction) in enumerate(zip(line, ("along the exact gradient", "on the logit of the top door"), strict=True)):
            exact = 0.0
            for i, (colour, mode) in enumerate(zip(figures.COLOURS, MODES, strict=False)):
                chosen = [row for row in rows if row["point"] == point and row["mode"] == mode]
                x = np.array([row["steps"] for row in chosen]) * 1.06 ** (i - 1)
                y, error = (np.array([row[key][k] for row in chosen]) for key in ("bias", "error"))
                axis.errorbar(x, y, 2 * error, color=colour, fmt="o", ms=4, lw=1.2, capsize=3, label=mode)
                exact = chosen[0]["exact"][k]
            axis.axhline(0, color="#888888", lw=0.8)
            axis.axhline(exact, color="black", ls="--", lw=0.9, label="the exact gradient itself")
            axis.set_xscale("log")
            axis.set_yscale("symlog", linthresh=1e-3)
            axis.set_title(f"{'x = 0' if point == 'start' else 'plateau'}: {direction}", fontsize=9)
            axis.grid(alpha=0.25)
    for axis in panels[-1]:
        axis.set_xlabel("outcome steps of one estimate")
    for axis in panels[:, 0]:
        axis.set_ylabel("bias ± 2 standard errors")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="upper center", ncol=4, frameon=False, bbox_to_anchor=(0.5, 0.0))
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    measured.main(__doc__, measure, draw, name="hpgd-bias", option="estimates", count=400, words="estimates a point of the figure")
