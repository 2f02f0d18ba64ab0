"""A GPU: soft sweeps by the Triton kernel, compiled and eager torch; whole outer iterations beside one thread of the CPU.

``make cuda`` (python -m baselines.studies.gpu) times 496 sweeps on Four Rooms, from one process to many thousand, once all three forms
came to the same values.  It says which part of the issue bound the kernel reaches: the seconds in which the device could issue the
kernel's instructions if it did nothing else, ``sweeps * instructions * warps * M / (4 * processors * clock)``.  Before that it times outer
iterations, such as those of `baselines.studies.growth`, on the GPU and on the CPU.  Without a GPU ``--device cpu`` times what runs there.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

import stackelberg_envs as se
from solvers.estimators.hpgd import HPGD
from solvers.kernels.sweeps import CHUNK, StackedProblems, chunk, stack_problems
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.value_iteration import soft_backup
from stackelberg_envs.processes.mdp import DecisionProblem, decision_problem
from stackelberg_envs.processes.successor_lists import SuccessorLists

from ..bench import results_file
from .growth import works
from .growth.page import format_seconds
from .growth.timing import machine

RECORD = Path("docs/reproductions/recorded/gpu.json")
TEMPERATURE, SWEEPS, REPEAT, ENOUGH = 0.003, 496, 11, 2.0
"""496 sweeps are 62 chunks, and 124 looks of the kernel at its residual."""
BATCHES = (1, 64, 1024, 4096, 65536)


def sampled_estimate(episodes: int, device: str) -> works.Work:
    """An estimate of HPGD from so many episodes of Four Rooms, played by NumPy wherever the tables are."""
    game, estimator = se.game("four_rooms-v0"), HPGD(episodes=episodes)
    x = 0.3 * torch.tensor(np.random.default_rng(0).normal(size=game.dimension), device=device)

    def run() -> tuple[torch.Tensor, dict[str, int]]:
        oracle = RepeatedGame(game, se.Soft(works.ROOMS), 2).oracle(estimator.access, estimator.permissions)
        return estimator.estimate(oracle, x, None, np.random.default_rng(0)).gradient, {"episodes": episodes}

    return works.Work(run, run()[1])


ITERATIONS: dict[str, tuple[tuple[int, ...], Callable[[int, str], works.Work]]] = {
    "Four Rooms, Newton": ((1, 16, 256, 512), works.rooms_newton),
    "Four Rooms, HPGD": ((100, 10_000), sampled_estimate),
    "random world, dense": ((400, 1600), lambda s, device: works.of_states(works.random_world(s).dense().to(device))),
    "random world, lists": ((1000, 10_000, 100_000), lambda s, device: works.of_states(works.random_world(s).to(device))),
}
"""Outer iterations in float64: sizes (commitments in a batch, episodes of an estimate, or states) and how each is built."""


def rooms(batch: int, device: str) -> DecisionProblem:
    """Four Rooms with ``batch`` random commitments, float32."""
    game = se.game("four_rooms-v0", preset="hpgd")
    x = torch.tensor(np.random.default_rng(0).normal(size=(batch, game.dimension)))
    (mdp,) = game.problems(x)
    problem = decision_problem(mdp, mdp.follower_reward)
    lists = SuccessorLists.of(mdp.transition).map(lambda p: p.to(device, torch.float32))
    weight, reward = (table.to(device, torch.float32) for table in (problem.weight, problem.reward))
    return DecisionProblem(weight, reward, lists)


def eager_sweeps(problem: DecisionProblem) -> Callable[[], torch.Tensor]:
    """`soft_backup` again and again, V as (M, S)."""
    start = torch.zeros(problem.reward.shape[:-2], dtype=torch.float32, device=problem.reward.device)

    def run() -> torch.Tensor:
        v = start
        for _ in range(SWEEPS):
            v, _ = soft_backup(problem, 0.99, TEMPERATURE, v)
        return v

    return run


def compile_sweeps(tables: StackedProblems) -> Callable[[], torch.Tensor]:
    """Compiled chunks, V as (S, M); on a GPU all of them are one CUDA graph, so that no launch is waited for."""
    p, device = tables.probability, tables.reward.device
    step, tau = chunk(*p.shape[1:4], *tables.next_states.shape[:2]), torch.tensor(TEMPERATURE, dtype=torch.float32, device=device)
    r, p, w = (table.movedim(0, -1).contiguous() for table in (tables.reward, 0.99 * p, tables.weight))
    start, successors = tables.values.mT.contiguous(), tables.next_states.long()

    def run() -> torch.Tensor:
        v = start
        for _ in range(SWEEPS // CHUNK):
            v, _, _ = step(v, r, successors, p, w, tau)
        return v.mT

    run()  # compiles
    if device.type != "cuda":
        return run
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = run()

    # A graph reads where its tables were, so they must not be freed while it can be replayed.
    return partial(_replay, graph, out, start, r, successors, p, w, tau)


def _replay(graph: torch.cuda.CUDAGraph, out: torch.Tensor, *_kept: torch.Tensor) -> torch.Tensor:
    graph.replay()
    return out


def fused_kernel(tables: StackedProblems) -> Callable[[], torch.Tensor] | None:
    """The Triton kernel, told to stop for nothing; None where it does not run."""
    if tables.reward.device.type != "cuda" or find_spec("triton") is None:
        return None
    from solvers.kernels.triton_sweeps import sweep_many

    options: dict[str, Any] = {"discount": 0.99, "temperature": TEMPERATURE, "tolerance": 0.0, "max_sweeps": SWEEPS, "full": False}
    return lambda: sweep_many(*tables, **options)[0]


def seconds(run: Callable[[], object], device: str) -> float:
    """The median of several runs, on the clock of the wall; the first warms up, and where runs last seconds they are fewer."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < REPEAT and sum(times) < ENOUGH):
        _wait(device)
        began = time.perf_counter()
        run()
        _wait(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def bound(batch: int, device: str) -> float:
    """Seconds in which the device could issue the kernel's instructions."""
    from solvers.kernels.inspect import counters

    found, card = counters(1, 4, 4, 104, full=False), torch.cuda.get_device_properties(device)
    clock = 1e3 * getattr(card, "clock_rate", 1_980_000)  # kHz; an H100's where torch does not say
    return SWEEPS * found.instructions * found.warps * batch / (4 * card.multi_processor_count * clock)


def measure(batch: int, device: str) -> dict[str, Any]:
    """One row: accuracy first, then times."""
    problem = rooms(batch, device)
    tables = stack_problems(problem, None, torch.float32)
    runs = {"eager": eager_sweeps(problem), "compiled": compile_sweeps(tables), "fused": fused_kernel(tables)}
    values = {name: run() for name, run in runs.items() if run is not None}
    apart = max(float((v - values["eager"]).abs().max()) for v in values.values())
    if not apart < 1e-3:
        raise RuntimeError(f"the forms disagree by {apart:.2g} at batch {batch}: nothing is timed")
    row: dict[str, Any] = {"batch": batch, "sweeps": SWEEPS, "apart": apart}
    row |= {name: seconds(run, device) for name, run in runs.items() if run is not None}
    if "fused" in row:
        row |= {"bound": bound(batch, device), "over_compiled": row["compiled"] / row["fused"]}
        row["reached"] = row["bound"] / row["fused"]
    return row


def measure_iteration(name: str, size: int, device: str) -> dict[str, Any]:
    """One row: how far the two gradients are apart, then the seconds of each, on one thread of the CPU and on the GPU."""
    build, row = ITERATIONS[name][1], {"iteration": name, "size": size}
    here = build(size, "cpu")
    row |= {"cpu": seconds(here.run, "cpu")}
    if device.startswith("cuda"):
        there = build(size, device)
        gradients: list[Any] = [work.run() for work in (here, there)]
        expected, found = (gradient.cpu() for gradient, _ in gradients)
        row |= {"apart": float((found - expected).abs().max() / expected.abs().max()), "gpu": seconds(there.run, device)}
        row |= {"over_cpu": row["cpu"] / row["gpu"]}
    return row


def tables(record: dict[str, Any]) -> str:
    """The two tables of docs/reproductions/gpu.md, in Markdown."""
    lines = ["| outer iteration | size | one thread of the CPU | GPU | CPU / GPU | gradients apart |", "|---|---|---|---|---|---|"]
    for row in (row for row in record["rows"] if "gpu" in row):
        cpu, gpu = format_seconds(row["cpu"]), format_seconds(row["gpu"])
        lines.append(f"| {row['iteration']} | {row['size']:,} | {cpu} | {gpu} | {row['over_cpu']:.3g} | {row['apart']:.0e} |")
    lines += ["", "| processes | eager | compiled, one CUDA graph | Triton kernel | compiled / kernel | part of the issue bound |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in (row for row in record["rows"] if "fused" in row):
        times = " | ".join(format_seconds(row[name]) for name in ("eager", "compiled", "fused"))
        lines.append(f"| {row['batch']:,} | {times} | {row['over_compiled']:.3g} | {100 * row['reached']:.2g} % |")
    return "\n".join(lines)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m baselines.studies.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="where torch works (default: cuda)")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES), help="numbers of processes at once")
    parser.add_argument("--largest", type=int, default=10**6, help="leave out iterations of a larger size (default: none)")
    parser.add_argument("--record", type=Path, default=RECORD, help=f"where rows go (default: {RECORD})")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.exit(2, "there is no CUDA device here; --device cpu times torch alone\n")
    torch.set_num_threads(1)
    name = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else platform.processor() or platform.machine()
    work = [partial(measure_iteration, kind, size, options.device) for kind, (sizes, _) in ITERATIONS.items() for size in sizes]
    work = [one for one in work if one.args[1] <= options.largest] + [partial(measure, batch, options.device) for batch in options.batches]
    found: dict[str, Any] = {"device": name, "machine": machine(), "rows": []}
    for one in track(work, description="rows"):
        row = one()
        found["rows"].append(row)
        print("  ".join(f"{key} {value if isinstance(value, str) else format(value, '.4g')}" for key, value in row.items()))
        results_file.replace(options.record, json.dumps(found, indent=1) + "\n")  # at once: what is measured is not lost
    print(tables(found))
    print(options.record)


if __name__ == "__main__":
    main()
