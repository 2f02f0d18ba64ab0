"""What a large sweep costs: ``python -m baselines.studies.sweep_costs`` measures the units, and multiplies them.

Times are CPU times of one process, so that other work on the machine counts little.  The page docs/how-to/plan-a-sweep.md has a table of
ours and says what limits a sweep.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..bench import configuration, results_file, shards
from ..bench.audit import audit
from ..bench.execution import execute
from ..bench.executors import Worker, supervise
from ..bench.jobs import Job
from ..bench.merge import merge_files
from ..bench.system import peak_memory

COPIES = 2000
"""Of the measured lines, for what is done with many."""


class Instant(Worker):
    """A worker that has its result at once: what is left is the loop of the command."""

    def assign(self, job: Any) -> None:
        self.job, self.said = job, [("result", {"id": job.id})]

    def messages(self) -> Any:
        while self.said:
            yield self.said.pop()

    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...


def seconds(call: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def measure_runs(jobs: list[Job]) -> list[tuple[Job, float, dict[str, Any]]]:
    """Each job, its CPU seconds without imports and compilation, and its result."""
    measured = []
    for job in jobs:
        execute(replace(job, budget=1))  # imports, compilation, and tables that a worker keeps from one run to the next
        began = time.process_time()
        result = execute(job)
        measured.append((job, time.process_time() - began, result))
    return measured


def measure_handling(config: configuration.Config, results: list[dict[str, Any]]) -> dict[str, float]:
    """CPU seconds a run of what the command does around runs, and bytes a job."""
    jobs = [replace(config.jobs[i % len(config.jobs)], seed=i) for i in range(COPIES)]
    lines = [{**results[i % len(results)], "id": f"{i:016x}"} for i in range(COPIES)]
    tracemalloc.start()
    kept = [replace(job) for job in jobs]
    _ = [job.id for job in kept]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    ids = seconds(lambda: [job.id for job in jobs])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.jsonl"
        write = seconds(lambda: [results_file.append(path, results_file.with_checksum(line)) for line in lines])
        began = time.monotonic()
        for line in lines[:200]:
            results_file.append(path.with_name("disk.jsonl"), line)
        disk = (time.monotonic() - began) / 200
        merge = seconds(lambda: merge_files(path.with_name("merged.jsonl"), [path]))
        read = seconds(lambda: audit(jobs, results_file.read_lines(path)))
        tracemalloc.start()
        there = results_file.read_lines(path)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del there
    loop = seconds(lambda: list(supervise(jobs, 64, Instant, lambda w, s: None, report=print, say=print, interrupted=lambda: False)))
    split = seconds(lambda: shards.divide(jobs, 100, shards.Costs().of))
    costs = {"id of a job": ids, "loop of the command, 64 workers": loop, "line written": write, "line read again": read}
    costs |= {"line merged": merge, "job given to one of 100 parts": split}
    return {
        **{name: cost / COPIES for name, cost in costs.items()},
        "line on this disk (wall time)": disk,
        "bytes a job": size / COPIES,
        "bytes a line read": held / COPIES,
    }


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("config", nargs="?", default="leaderboard", help="whose runs are measured, one seed of each")
    options.add_argument("--instances", type=int, default=10_000)
    options.add_argument("--solvers", type=int, default=50)
    options.add_argument("--seeds", type=int, default=100)
    asked = options.parse_args()
    began = time.process_time()
    config = configuration.load(asked.config, seeds=1)
    loading = (time.process_time() - began) / len(config.sections)
    measured = measure_runs(config.jobs)
    print("| game | solver | budget | CPU seconds a run | kB a line |\n|---|---|---|---|---|")
    for job, cost, result in measured:
        print(f"| {job.world.label} | {job.label} | {job.budget} | {cost:.2f} | {len(json.dumps(result)) / 1000:.1f} |")
    memory = peak_memory()
    handling = measure_handling(config, [result for _, _, result in measured])
    runs = asked.instances * asked.solvers * asked.seeds
    mean = sum(cost for _, cost, _ in measured) / len(measured)
    line = sum(len(json.dumps(result)) for _, _, result in measured) / len(measured)
    print(f"\n| unit | a run | {runs:.0e} runs |\n|---|---|---|")
    print(f"| solver, mean of the table | {mean:.2f} s | {mean * runs / 3600:,.0f} core hours |")
    for name, cost in handling.items():
        said = ("B", f"{cost * runs / 1e9:,.0f} GB") if name.startswith("bytes") else ("s", f"{cost * runs / 3600:,.1f} h")
        print(f"| {name} | {cost:.3g} {said[0]} | {said[1]} |")
    print(f"| line of results | {line / 1000:.1f} kB | {line * runs / 1e9:,.0f} GB |")
    print(f"| game of a configuration loaded | {loading:.2f} s a game | {loading * asked.instances / 3600:.1f} h |")
    print(f"\nMemory of the process that ran one of each: {memory:,.0f} MiB")


if __name__ == "__main__":
    main()
