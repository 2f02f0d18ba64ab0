"""One solve with its gradient at S = 10^5 in a process of its own, for its memory: ``python -m benchmarks.large garnet|grid|idle``."""

from __future__ import annotations

import json
import resource
import sys
import time

import torch
from benchmarks.value_iteration import gradient_at
from benchmarks.worlds import TEMPERATURE, garnet, grid

from solvers.linear import factors
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration

STATES, SIDE, TOLERANCE = 100_000, 316, 1e-6


def main(which: str) -> dict[str, float]:
    """What it took, as a dictionary; all of 0 for ``idle``, but the memory."""
    torch.set_num_threads(1)
    report = {"evaluations": 0, "products": 0, "solving": 0.0, "gradient": 0.0, "bound": 0.0, "norm": 0.0}
    if which != "idle":
        world = garnet(STATES) if which == "garnet" else grid(SIDE)
        leaf = torch.zeros(world.states, dtype=torch.float64, requires_grad=True)
        began = time.process_time()
        mdp = world.induced(leaf)
        frozen = mdp.map(torch.Tensor.detach)
        plan = soft_policy_iteration(frozen, TEMPERATURE, factorise=factors, tolerance=TOLERANCE / TEMPERATURE)
        middle = time.process_time()
        slope = gradient_at(mdp, frozen, plan, TEMPERATURE, leaf)
        report = {
            "evaluations": plan.evaluations,
            "products": plan.products,
            "solving": middle - began,
            "gradient": time.process_time() - middle,
            "bound": plan.bound,
            "norm": float(slope.norm()),
        }
    return {**report, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
