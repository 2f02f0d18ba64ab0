"""How good is one estimate?  ``python -m baselines.studies.quality`` measures every sampled estimator against the exact hypergradient.

For each game, at three commitments on the way of exact ascent, and at about 10^2, 10^3 and 10^4 outcome steps an estimate:

* cosine: mean cosine of one estimate with the exact gradient
* relative bias: |E g - dF/dx| / |dF/dx|, of the mean of all draws; what sampling alone would leave of it is stored beside it
* relative variance: E |g - E g|^2 / |dF/dx|^2

Estimators start without memory at each draw, so that critics know nothing but the steps of their own estimate; BC-HG from outcomes also
watches eight random commitments before, with as many steps each, because one commitment alone identifies no reward.  It is left out on
Four Rooms, where a fit takes a second; leader PPO has no gradient to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import track

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.leader.repeated_game import RepeatedGame

from ..bench import figures, measured

EARLIER = 8
"""Random commitments, N(0, 1), that BC-HG from outcomes has seen before."""


@dataclass(frozen=True)
class Case:
    """One game, where to look at it, and who is compared there."""

    title: str
    game: Callable[[], se.StackelbergGame]
    temperature: float
    checkpoints: tuple[int, ...]
    """Iterations of exact ascent (Adam, 0.1) from the standard start."""
    estimators: dict[str, Callable[[int], dict[str, Any]]]
    """Label to (name and hyperparameters) for about so many steps."""


def _acting_leader_options(steps_an_episode: int) -> dict[str, Callable[[int], dict[str, Any]]]:
    def episodes(steps: int) -> int:
        return max(1, round(steps / steps_an_episode))

    return {
        "BC-HG, values read": lambda steps: {"name": "bchg", "episodes": episodes(steps)},
        "BC-HG, from outcomes": lambda steps: {"name": "bchg", "level": "outcome", "episodes": episodes(steps)},
        "Bi-AC": lambda steps: {"name": "biac", "episodes": episodes(steps)},
        "two points, sampled returns": lambda steps: {
            "name": "zeroth_order",
            "radius": 0.3,
            "episodes": max(1, round(steps / steps_an_episode / 2)),
        },
    }


def _design_options(critic: str, centred: str) -> Callable[[int], dict[str, Any]]:
    return lambda steps: {
        "name": "bchg",
        "level": "policy",
        "critic": critic,
        "centred": centred,
        "streams": max(1, steps // 200),
        "steps": min(steps, 200),
    }


CASES = (
    Case("toy3, R = 1", lambda: se.game("toy3-v0"), 0.05, (0, 5, 50), _acting_leader_options(150)),
    Case("random Markov game, policy seen", lambda: se.game("random_markov_game-v0"), 0.05, (0, 10, 100), _acting_leader_options(50)),
    Case(
        "random Markov game, action seen",
        lambda: se.game("random_markov_game-v0", follower_sees="action"),
        0.05,
        (0, 10, 100),
        _acting_leader_options(50),
    ),
    Case(
        "Four Rooms, one goal, temperature .003",
        lambda: se.game("four_rooms-v0", preset="bchg"),
        0.003,
        (0, 100, 300),
        {
            "BC-HG, one pass of SARSA": _design_options("sarsa", "leader"),
            "BC-HG, counted critic": _design_options("counts", "leader"),
            "HPGD (SA)": _design_options("sarsa", "both"),
            "HPGD (MC)": _design_options("returns", "both"),
            "HPGD (oracle), 10,000 more": _design_options("reset", "both"),
            "HPGD, independent batches": lambda steps: {
                "name": "hpgd",
                "batches": "independent",
                "streams": max(1, steps // 400),
                "steps": min(steps // 2, 200),
            },
            "HPGD, geometric horizons": lambda steps: {"name": "hpgd", "batches": "geometric", "episodes": max(1, steps // 300)},
            "SoBiRL": lambda steps: {"name": "sobirl", "episodes": max(1, round(steps / 55))},
            "two points, sampled returns": lambda steps: {"name": "zeroth_order", "radius": 0.3, "episodes": max(1, round(steps / 2 / 55))},
        },
    ),
)


def measure(draws: int) -> list[dict[str, Any]]:
    """One row a (game, checkpoint, estimator, size)."""
    rows = []
    points = [
        (case, checkpoint, label, size)
        for case in CASES
        for checkpoint in case.checkpoints
        for label in case.estimators
        for size in (100, 1000, 10000)
    ]
    ways: dict[str, dict[int, np.ndarray]] = {}
    for case, checkpoint, label, size in track(points, description="quality of estimators"):
        game, follower = case.game(), se.Soft(case.temperature)
        if case.title not in ways:
            ways[case.title] = _ascent_path(game, follower, case.checkpoints)
        x = ways[case.title][checkpoint]
        exact = exact_gradient(RepeatedGame(game, follower).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()
        drawn, steps = _sample_estimates(game, follower, x, case.estimators[label](size), draws if size < 10000 else max(2, draws // 4))
        norm, mean = np.linalg.norm(exact), drawn.mean(axis=0)
        lengths = np.linalg.norm(drawn, axis=1)
        variance = float(((drawn - mean) ** 2).sum(-1).mean())
        rows.append(
            {
                "game": case.title,
                "checkpoint": checkpoint,
                "estimator": label,
                "size": size,
                "steps": steps,
                "draws": len(drawn),
                "norm": float(norm),
                "cosine": float(np.mean(drawn @ exact / np.maximum(lengths, 1e-300) / norm)),
                "bias": float(np.linalg.norm(mean - exact) / norm),
                "bias_of_sampling": float(np.sqrt(variance / len(drawn)) / norm),
                "variance": variance / float(norm) ** 2,
            }
        )
    return rows


def _ascent_path(game: se.StackelbergGame, follower: se.Soft, checkpoints: tuple[int, ...]) -> dict[int, np.ndarray]:
    """Commitments on the way of exact ascent."""
    kept, start = {}, np.zeros(game.dimension)
    for checkpoint in checkpoints:
        kept[checkpoint] = start
        if checkpoint > 0:
            kept[checkpoint] = solvers.solve(
                game, "implicit", follower=follower, budget=checkpoint, start=start, lr=0.1, optimiser="adam", reports=1
            ).x
    return kept


def _sample_estimates(
    game: se.StackelbergGame, follower: se.Soft, x: np.ndarray, options: dict[str, Any], draws: int
) -> tuple[np.ndarray, float]:
    """Independent estimates (draws, n), and the outcome steps of one."""
    solver = solvers.build(options.pop("name"), **options)
    assert isinstance(solver, solvers.Ascent)
    estimator, rng, drawn, steps = solver.estimator, np.random.default_rng(1000), [], 0.0
    for seed in range(draws):
        rounds = RepeatedGame(game, follower, seed=seed)
        oracle, memory = rounds.oracle(estimator.access, estimator.permissions), None
        if options.get("level") == "outcome":
            for earlier in rng.normal(size=(EARLIER, game.dimension)):
                memory = estimator.estimate(oracle, torch.tensor(earlier), memory, rng).memory
        before = rounds.cost.outcome_steps
        drawn.append(estimator.estimate(oracle, torch.tensor(x), memory, rng).gradient.numpy())
        steps += (rounds.cost.outcome_steps - before) / draws
    return np.stack(drawn), steps


def draw(rows: list[dict[str, Any]]) -> Figure:
    """A row a game; cosine, relative bias and relative variance against steps; thin lines are checkpoints, thick ones their mean."""
    games = list(dict.fromkeys(row["game"] for row in rows))
    figure = Figure(figsize=(11, 2.9 * len(games)))
    panels = figure.subplots(len(games), 3, squeeze=False)
    for line, game in zip(panels, games, strict=True):
        mine = [row for row in rows if row["game"] == game]
        for i, label in enumerate(dict.fromkeys(row["estimator"] for row in mine)):
            line_style = figures.style(i)
            for axis, what in zip(line, ("cosine", "bias", "variance"), strict=True):
                curves, steps = [], np.zeros(0)
                for checkpoint in dict.fromkeys(row["checkpoint"] for row in mine):
                    chosen = [row for row in mine if row["estimator"] == label and row["checkpoint"] == checkpoint]
                    steps, values = np.array([row["steps"] for row in chosen]), np.array([row[what] for row in chosen])
                    axis.plot(steps, values, color=line_style["color"], ls=line_style["ls"], lw=0.6, alpha=0.6)
                    curves.append(values)
                mean = np.mean(curves, axis=0) if what == "cosine" else np.exp(np.mean(np.log(np.maximum(curves, 1e-8)), axis=0))
                axis.plot(steps, mean, **{**line_style, "markevery": None}, lw=2, label=label)
        for axis, what in zip(line, ("cosine", "relative bias", "relative variance"), strict=True):
            axis.set_xscale("log")
            axis.set_title(what, fontsize=9, loc="left")
            axis.grid(alpha=0.25)
            if what == "cosine":
                axis.set_ylim(-0.25, 1.05)
                axis.axhline(0, color="#888888", lw=0.8)
            else:
                axis.set_yscale("log")
                axis.set_ylim(bottom=max(axis.get_ylim()[0], 1e-6))
        line[0].set_ylabel(game.replace(", ", "\n"), fontsize=9)
        line[2].legend(fontsize=10, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for axis in panels[-1]:
        axis.set_xlabel("outcome steps of one estimate")
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    measured.main(
        __doc__, measure, draw, name="quality", option="draws", count=32, words="estimates a point of the figure; a quarter at 10^4 steps"
    )
