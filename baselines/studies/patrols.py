"""Published equilibria of GUARD's park: ``python -m baselines.studies.patrols lobeke.csv GSG_SIMPLE_SSE_v2.csv``.

GUARD (https://github.com/CoffeeAndConvexity/GUARD, arXiv 2505.14547) makes security games of elephants' positions in Lobeke National Park.
Its repository has no licence, so its files stay where they are: ``notebooks/lobeke.csv`` (positions) and
``notebooks/experiment_data/GSG_SIMPLE_SSE_v2.csv`` (the defender's utility in 720 games).  This program makes each game again:

1. positions inside the park are put into clusters by k-means (scikit-learn, which is to be installed; random_state 42, as there)
2. the park is a grid; the cell of a cluster's centre is a target, whose score is its share of the animals
3. a poacher gains 2350 times the score, and up to as much again the nearer the river is; rangers lose 22966 times the score, and
   either has a fifth of that where the target is covered
4. a ranger protects one target that is near one of three posts: there, some steps of watch, and back again
5. the strong Stackelberg equilibrium of that game, by `stackelberg_envs.planning.security.strong_coverage`, over the largest number

It prints how many of the published values it agrees with, and the largest difference; ``--record`` keeps that.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from stackelberg_envs.planning.security import TargetPayoffs, strong_coverage

LOW, HIGH = np.array([2.0530, 15.8790]), np.array([2.2837, 16.2038])
"""Latitude and longitude of the corners of the park."""
POSTS = np.array([[2.0532352380408088, 16.085709866529694], [2.2037280296158355, 16.187056364164913], [2.2, 15.98]])
RIVER = np.array([[2.2837, 16.16283352464626], [2.053, 16.066212728001727]])
POACHER, RANGER, COVERED = 2350.0, 22966.0, 5.0
"""What an animal is worth to either, and by how much less where it is protected."""


def clusters(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (count, 2) and animals (count,) of the positions inside the park.

    Raises:
        SystemExit: without scikit-learn.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if all(row.values())]
    where = np.array([[float(row["lat"]), float(row["long"])] for row in rows])
    inside = np.all((where >= LOW) & (where <= HIGH), axis=1)
    animals = len({row["animal_id"] for row, there in zip(rows, inside, strict=True) if there})
    try:
        means = importlib.import_module("sklearn.cluster").KMeans(n_clusters=count, random_state=42, n_init="auto")
    except ImportError as error:
        raise SystemExit("GUARD's clusters are those of scikit-learn: pip install scikit-learn") from error
    labels = means.fit_predict(where[inside])
    return means.cluster_centers_, np.bincount(labels, minlength=count) * animals / inside.sum()


def equilibrium(centres: np.ndarray, animals: np.ndarray, size: int, rangers: int, steps: int, watch: int) -> float:
    """The rangers' utility, over the largest number in the game.

    Args:
        centres: of clusters, latitude and longitude, (k, 2).
        animals: of each, (k,).
        size: cells in a row and in a column.
        rangers: how many protect a target each.
        steps: of a patrol.
        watch: steps that it stays at its target.
    """
    side = (HIGH - LOW) / size
    scores: dict[tuple[int, int], float] = {}
    for cell, number in zip(((centres - LOW) / side).astype(np.int64).tolist(), animals.tolist(), strict=True):
        scores[tuple(cell)] = scores.get(tuple(cell), 0.0) + number
    cells, score = np.array(list(scores)), np.array(list(scores.values()))
    middles = LOW + (np.indices((size, size)).reshape(2, -1).T + 0.5) * side
    river = _distance((LOW + (cells + 0.5) * side)[:, ::-1], *RIVER)  # longitude and latitude against latitude and longitude, as there
    near = 1 - (river - river.min()) / (np.ptp(river) or 1.0)
    gain, loss = score * POACHER * (1 + near), -score * RANGER
    largest = max(gain.max(), -loss.min())
    posts = np.array(np.unravel_index([np.argmin(((middles - post) ** 2).sum(axis=1)) for post in POSTS], (size, size))).T
    away = np.abs(cells[:, None] - posts).sum(axis=-1).min(axis=1)
    far = 2 * away + watch > steps
    payoffs = TargetPayoffs(*(table / largest for table in (loss / COVERED, loss, gain / COVERED, gain)))
    limits = np.vstack([np.ones(len(score)), far * 1.0]), np.array([float(rangers), 0.0])
    found = strong_coverage(payoffs, *limits)
    assert found is not None
    return found.value


def _distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """From points (k, 2) to the segment between two, in degrees."""
    along = end - start
    share = np.clip((points - start) @ along / (along @ along), 0.0, 1.0)
    return np.linalg.norm(points - start - share[:, None] * along, axis=1)


def main() -> None:
    """Compare with the published table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("positions", type=Path, help="lobeke.csv")
    parser.add_argument("published", type=Path, help="GSG_SIMPLE_SSE_v2.csv")
    parser.add_argument("--record", type=Path, help="a file for the numbers")
    given = parser.parse_args()
    with given.published.open(encoding="utf-8", newline="") as file:
        published = list(csv.DictReader(file))
    parks = {count: clusters(given.positions, count) for count in sorted({int(row["num_clusters"]) for row in published})}
    columns = ("dims", "num_defenders", "num_timesteps", "defense_time_threshold")
    found = np.array([equilibrium(*parks[int(row["num_clusters"])], *(int(row[key]) for key in columns)) for row in published])
    apart = np.abs(found - [float(row["defender_utility"]) for row in published])
    agree = apart <= 1e-8
    numbers: dict[str, Any] = {
        "games": len(apart),
        "agree to 1e-8": int(agree.sum()),
        "largest difference": float(apart.max()),
        "first": [float(found[0]), float(published[0]["defender_utility"])],
        "agree by clusters": {str(count): int(agree[[int(row["num_clusters"]) == count for row in published]].sum()) for count in parks},
    }
    print(json.dumps(numbers, indent=1))
    if given.record:
        given.record.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
