"""Can plain search beat the stored values?  ``python -m baselines.studies.blind_search`` tries, and knows nothing of the solvers.

It asks the referee for returns, and uses nothing else: no gradient, no model, no stored commitment.  For each world it draws commitments at
four scales, and improves the best one by steps that either set a few random components to new values or move all of them a little: an
evolution strategy with batches, whose step grows by success and shrinks by failure (Rechenberg, "Evolutionsstrategie", 1973).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import stackelberg_envs as se

from ..bench import best, printing, results_file

BATCH = 32
STARTS = 4
"""Restarts, each with an equal share of the time."""


@dataclass
class Search:
    """The best of one search."""

    x: np.ndarray
    value: float
    commitments: int


def search(game: se.StackelbergGame, follower: se.Follower | None, seconds: float, seed: int) -> Search:
    """The best commitment in ``seconds`` of processor time."""
    rng = np.random.default_rng(seed)
    low, high = game.leader_space.low, game.leader_space.high
    top = Search(np.zeros(game.dimension), -np.inf, 0)

    def returns(xs: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.asarray(se.evaluate(game, xs, follower=follower).leader_return), len(xs))

    for _ in range(STARTS):
        until = time.process_time() + seconds / STARTS
        scales = rng.choice([0.0, 1.0, 6.0, 20.0], size=(BATCH, 1))
        xs = np.clip(scales * rng.normal(size=(BATCH, game.dimension)), low, high)
        values = returns(xs)
        x, value, step, count = xs[values.argmax()], values.max(), 1.0, BATCH
        while time.process_time() < until:
            xs = np.repeat(x[None], BATCH, axis=0)
            half = BATCH // 2
            xs[:half] += step * rng.normal(size=(half, len(x)))
            for row in xs[half:]:
                at = rng.choice(len(x), size=rng.integers(1, min(4, len(x)) + 1), replace=False)
                row[at] = np.where(rng.random(len(at)) < 0.5, rng.uniform(low[at], high[at]), row[at] + 2 * rng.normal(size=len(at)))
            xs = np.clip(xs, low, high)
            values = returns(xs)
            count += BATCH
            better = values.max() > value
            if better:
                x, value = xs[values.argmax()], values.max()
            step = min(8.0, step * (1.3 if better else 0.93)) if step > 1e-3 else 1.0
        top = Search(x, float(value), top.commitments + count) if value > top.value else Search(top.x, top.value, top.commitments + count)
    return top


def main() -> None:
    """Search, and print what it found beside what is stored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of processor time for each world; 6 are ten minutes for all")
    parser.add_argument("--only", default="", help="worlds whose key has this text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, help="a table to write")
    arguments = parser.parse_args()
    entries = {key: entry for key, entry in best.read_best(best.COMMITTED).items() if arguments.only in key}
    rows = []
    with printing.bar() as progress:
        for key, entry in progress.track(entries.items(), description="worlds"):
            found = search(entry.world.game(), entry.world.answerer(), arguments.seconds, arguments.seed)
            rows.append(
                (
                    found.value / entry.leader_return - 1 if entry.leader_return > 0 else 1 - found.value / entry.leader_return,
                    key,
                    found,
                    entry,
                )
            )
    rows.sort(key=lambda row: -row[0])
    lines = ["| world | stored | blind search | by | commitments |", "|---|---|---|---|---|"]
    lines += [
        f"| {key} {entry.world.arguments} | {entry.leader_return:.6f} | {found.value:.6f} | {share:+.2%} | {found.commitments:,} |"
        for share, key, found, entry in rows
    ]
    print("\n".join(lines))
    if arguments.page:
        results_file.replace(arguments.page, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
