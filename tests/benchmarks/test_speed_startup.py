"""What starting costs, as ratios to the import that no command can do without: CPU time of new processes, interleaved."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.speed

ROOT = Path(__file__).parents[2]
CLI = ("-m", "baselines.bench.cli")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # compiled once, as for users


def cpu_seconds(*arguments: str) -> float:
    """User and system time of ``python ARGUMENTS``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize(
    ("command", "floor", "goal"),
    [
        ((*CLI, "--help"), "numpy", 6),
        ((*CLI, "list"), "numpy", 9),
        (("-c", "import stackelberg_envs"), "numpy", 4),
        ((*CLI, "solve", "bimatrix-v0", "multiple_lp", "--budget", "1", "--follower", "kind=Hard"), "numpy", 12),
        ((*CLI, "solve", "toy3-v0", "implicit", "--budget", "1"), "torch", 1.8),
        ((*CLI, "solve", "toy3-v0", "implicit", "--budget", "100"), "torch", 2.2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_commands_beside_the_import_that_they_need(
    command: tuple[str, ...], floor: str, goal: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first round, which may compile bytecode, does not count."""
    pairs = [(cpu_seconds(*command), cpu_seconds("-c", f"import {floor}")) for _ in range(6)][1:]
    of_floor = statistics.median(mine / its for mine, its in pairs)
    seconds, least = (statistics.median(times) for times in zip(*pairs, strict=True))
    with capsys.disabled():
        print(f"\n{' '.join(command)}: {seconds:.2f} s, import {floor} {least:.2f} s ({of_floor:.1f} x)")
    assert of_floor <= goal
