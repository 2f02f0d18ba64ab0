"""How much of a sampled hypergradient is noise, in thermal control: ``python -m baselines.studies.noise``.

Each estimator of the configuration ``thermal`` (or of others: ``noise thermal-full thermal-ablation``) estimates the gradient again and
again, all walls half open, from 100 episodes of 100 steps.
Noise is the root of the summed variances of an estimate, signal the norm of the exact gradient that it is after (the naive one for naive
estimators).  Nets that are warm-started first see ten estimates that do not count.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from solvers.ascent import Ascent
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame

from ..bench import configuration as jobs
from ..bench import results_file

WARM, COUNTED = 10, 20


def measure(job: jobs.Job) -> dict[str, Any]:
    """Noise, signal, their ratio, and the mean cosine with the exact gradient, at x = 0."""
    game, solver = job.world.game(), job.build()
    assert isinstance(solver, Ascent)
    x, rng = torch.zeros(game.dimension, dtype=torch.float64), np.random.default_rng(0)
    reacts = job.hyperparameters.get("centred") != "none"
    exact = exact_gradient(RepeatedGame(game).oracle(Access.MODEL), x, None, reaction=reacts).gradient.numpy()
    oracle, memory, drawn = RepeatedGame(game, seed=1).oracle(solver.access), None, []
    for _ in range(WARM + COUNTED):
        estimate = solver.estimator.estimate(oracle, x, memory, rng)
        memory = estimate.memory
        drawn.append(estimate.gradient.numpy())
    counted = np.array(drawn[WARM:])
    noise, signal = float(np.sqrt(counted.var(axis=0, ddof=1).sum())), float(np.linalg.norm(exact))
    cosines = counted @ exact / (np.linalg.norm(counted, axis=1) * signal)
    return {"label": job.label, "noise": noise, "signal": signal, "ratio": noise / signal, "cosine": float(cosines.mean())}


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table for the documentation."""
    lines = ["| estimator | noise / signal | mean cosine with the exact gradient |", "|---|---|---|"]
    lines += [f"| {row['label']} | {row['ratio']:.2g} | {row['cosine']:+.2f} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the record and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["thermal"], help="configurations with the estimators; the first names the files")
    parser.add_argument("--output", type=Path, default=Path("compared"), help="folder for FIRST-noise.json and FIRST-noise.md")
    options = parser.parse_args()
    sampled = [job for name in options.names for job in jobs.load(name, seeds=1).jobs if job.solver == "neural_bchg"]
    rows = [measure(job) for job in sampled]
    results_file.replace(options.output / f"{options.names[0]}-noise.json", json.dumps(rows, indent=1) + "\n")
    results_file.replace(options.output / f"{options.names[0]}-noise.md", markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
