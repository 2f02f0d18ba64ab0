"""How `baselines.studies.growth` measures a point: CPU seconds and peak memory, in a fork of a process that does nothing else."""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import platform
import signal
import statistics
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ...bench.system import peak_memory
from .works import SERIES, Series, Work

ROUNDS = {0.1: 15, 1.0: 7, math.inf: 5}
"""Timed samples of a point, by the seconds that one run takes at most."""
LEAST, QUICK = 0.02, 0.002
"""CPU seconds that a sample takes at least, and if quick: short runs are repeated in it."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")
Point = dict[str, Any]


def time_work(work: Work, small: Work, rounds: int | None) -> dict[str, Any]:
    """Median, least and most CPU seconds of one run, and the median ratio to ``small``, which takes its turns in between."""

    def sample(which: Work, repeats: int) -> float:
        began = time.process_time()
        for _ in range(repeats):
            which.run()
        return (time.process_time() - began) / (repeats * which.each)

    def repetitions(which: Work) -> int:
        return max(1, math.ceil((QUICK if rounds else LEAST) / max(sample(which, 1) * which.each, 1e-7)))

    often, often_small = repetitions(work), repetitions(small)
    once = sample(work, often)
    count = rounds or next(many for most, many in ROUNDS.items() if once * work.each <= most)
    gc.collect()
    pairs = [(sample(work, often), sample(small, often_small)) for _ in range(count)]
    samples = [mine for mine, _ in pairs]
    low, middle, high = (float(f"{f(samples):.4g}") for f in (min, statistics.median, max))
    ratio = float(f"{statistics.median(mine / other for mine, other in pairs):.4g}")
    return {"seconds": middle, "low": low, "high": high, "ratio": ratio, "rounds": count, "repeats": often}


def peak(work: Work, small: Work) -> float:
    """Megabytes that one run adds to the high-water mark of a process that has the tables, and has run ``small`` already.

    In a fork, whose mark begins at what is resident.  Freed memory is handed back before, and arrays come from and go to the system
    directly, so that none hides in what the allocator has kept.
    """
    ready, done = os.pipe()
    _allocator().malloc_trim(0)
    child = os.fork()
    if child == 0:
        grown = math.nan
        try:
            _allocator().mallopt(-3, 1 << 16)  # M_MMAP_THRESHOLD
            small.run()
            before = peak_memory()
            work.run()
            grown = peak_memory() - before
        finally:
            os.write(done, struct.pack("d", grown))
            os._exit(0)
    os.waitpid(child, 0)
    grown = struct.unpack("d", os.read(ready, 8))[0]
    os.close(ready)
    os.close(done)
    return round(grown, 2)


def _allocator() -> Any:
    return ctypes.CDLL(None)


def _point(index: int, size: int, rounds: int | None) -> Point:
    """Measure one point in this process."""
    line = SERIES[index]
    work = line.build(size)
    small = work if size == line.sizes[0] else line.build(line.sizes[0])
    found: Point = {"study": line.study, "series": line.name, "size": size, "work": work.counted}
    found["megabytes"] = peak(work, small)
    return found | time_work(work, small, rounds)


def serve() -> None:
    """Measure what standard input asks for, each point in a fork: this process has imported everything, and does nothing else."""
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # what is imported is left alone by collections in the forks, which would copy all of it
    for asked in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                answer = _point(*json.loads(asked))
            except Exception:
                answer = {"failed": traceback.format_exc()}
            print(json.dumps(answer), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps({"failed": f"its process ended with status {status}: is there enough memory?"}), flush=True)


class MeasurementFailed(RuntimeError):
    """A point could not be measured."""


@contextmanager
def serving() -> Iterator[subprocess.Popen[str]]:
    """A process that does `serve`, on one thread; it and all that it started end with the context."""
    # Lists import scipy.sparse when they first need it: it is there before the forks, and not imported in each.
    imports = "import scipy.sparse.csgraph, scipy.sparse.linalg; from baselines.studies.growth.timing import serve"
    command = [sys.executable, "-c", f"{imports}; serve()"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    # Ctrl-C in a terminal goes to all of a session: this one has its own, and is ended from here.
    process = subprocess.Popen(command, env=os.environ | dict.fromkeys(THREADS, "1"), start_new_session=True, **pipes)
    with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def measure(process: subprocess.Popen[str], line: Series, size: int, rounds: int | None = None) -> Point:
    """One point, by a process that is `serving`.

    Raises:
        Failed: with what went wrong there.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    index = [(each.study, each.name) for each in SERIES].index((line.study, line.name))
    with suppress(BrokenPipeError):
        print(json.dumps([index, size, rounds]), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline() or '{"failed": "the process that measures is gone"}')
    if "failed" in answer:
        raise MeasurementFailed(f"{line.study}, {line.name}, {size:,}: {answer['failed']}")
    return answer


def machine() -> dict[str, str]:
    """Where it is measured, and with what."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    versions = {name: version(name) for name in ("stackelberg-envs", "torch", "numpy", "scipy")}
    return {"cpu": f"{cpu}, {os.cpu_count()} cores", "system": platform.platform(), "python": platform.python_version(), **versions}
