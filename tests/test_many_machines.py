"""A benchmark on many machines: wherever runs take place they come out the same, in one part each, and parts go together."""

from __future__ import annotations

import io
import itertools
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import command
from rich.console import Console

from baselines.bench import best, configuration, executors, merge, results_file, shards
from baselines.bench.checkpoints import Checkpoints
from baselines.bench.execution import attempt
from baselines.bench.executors import ExecutorError, Task, Worker, supervise
from baselines.bench.runner import _preparation, run_all

CONFIG = """
name = "sweep"
seeds = 3
[[solvers]]
name = "implicit"
budget = 4
[[solvers]]
name = "zeroth_order"
budget = 6
[[games]]
id = "toy3-v0"
arguments = { R = 1.375 }
"""
BACKWARDS = """
from baselines.bench.executors import Executor, run_here


class Backwards(Executor):
    def __init__(self, workers=0, address=""):
        self.words = (workers, address)

    def run(self, jobs, task, *, report, say, interrupted):
        say(f"backwards {self.words}")
        return run_here(jobs[::-1], task, report=report, interrupted=interrupted)
"""
QUIET = Console(quiet=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(best, "COMMITTED", tmp_path / "nothing.jsonl")  # which takes seconds to read
    (tmp_path / "sweep.toml").write_text(CONFIG)
    (tmp_path / "my_cluster.py").write_text(BACKWARDS)
    return tmp_path


def numbers(path: Path) -> dict[str, dict[str, Any]]:
    """What a file says of each run, but for times; each run has one line."""
    lines = results_file.read_lines(path)
    assert len({line["id"] for _, line in lines}) == len(lines)
    return {line["id"]: results_file.comparable(line) for _, line in lines}


def test_a_sweep_is_the_same_wherever_it_runs(folder: Path) -> None:
    """In this process, in two others, in two parts put together, and by a stranger's executor; and a part is not run where it is there."""
    jobs = configuration.load("sweep.toml").jobs
    assert run_all(jobs, folder / "here.jsonl", processes=1, console=QUIET) == {}
    expected = numbers(folder / "here.jsonl")
    assert len(expected) == len(jobs)
    assert run_all(jobs, folder / "processes.jsonl", processes=2, console=QUIET) == {}
    assert numbers(folder / "processes.jsonl") == expected
    printed = io.StringIO()
    backwards = executors.load("my_cluster.py:Backwards", 3, "there")
    assert run_all(jobs, folder / "backwards.jsonl", console=Console(file=printed), executor=backwards) == {}
    assert "backwards (3, 'there')" in printed.getvalue()
    assert list(numbers(folder / "backwards.jsonl")) == list(expected)[::-1]
    assert numbers(folder / "backwards.jsonl") == expected
    for i in range(2):
        code, said = command("bench", "sweep.toml", "--jobs", 1, "--shard", f"{i}/2", "--costs", "here.jsonl")
        assert (code, f"Part {i} of 2, counted from 0" in said) == (0, True), said
        if i == 0:
            code, said = command("merge", "results", *sorted(Path("results").glob("shard-*")), "--plan", "sweep.toml")
            assert f"of {len(jobs)} runs of sweep are there Missing: " in said
            assert "core hours" in said
    parts = sorted(Path("results").glob("shard-*"))
    code, said = command("merge", "results", *parts, "--plan", "sweep.toml")
    assert (code, f"{len(jobs)} of {len(jobs)} runs of sweep are there" in said) == (0, True), said
    label = str(jobs[0].label or jobs[0].solver)
    some = len(configuration.load("sweep.toml", seeds=1).select((), [label], 1.0).jobs)
    code, said = command("merge", "results", *parts, "--plan", "sweep.toml", "--solvers", label, "--seeds", 1)
    assert (code, f"{some} of {some} run" in said) == (0, True), said
    assert some < len(jobs)
    assert numbers(folder / "results/sweep.jsonl") == expected
    code, said = command("bench", "sweep.toml", "--jobs", 1, "--shard", "0/5")
    assert code == 0
    assert "of them already in results/sweep.jsonl" in said
    assert not Path("results/shard-0-of-5/sweep.jsonl").exists()


def test_ray_gives_the_same_lines(folder: Path) -> None:
    """On a Ray of this machine's own, with code from a file; a run that is stopped there is kept here."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    jobs = configuration.load("sweep.toml").jobs
    assert run_all(jobs, folder / "here.jsonl", processes=1, console=QUIET) == {}
    assert run_all(jobs, folder / "ray.jsonl", console=QUIET, executor=executors.load("ray", 2, "")) == {}
    assert numbers(folder / "ray.jsonl") == numbers(folder / "here.jsonl")
    job, told = replace(jobs[1], budget=200), list[int]()
    task = Task(attempt, Checkpoints(folder / "kept"), partial(_preparation, [job]))
    stopping = partial(executors.load("ray", 1, "").run, [job], task, report=lambda id, used: told.append(used), say=print)
    assert list(stopping(interrupted=lambda: bool(told))) == [{"id": job.id, "stopped": ""}]
    assert task.kept.path(job.id).exists()
    began = told[-1]
    told.clear()
    (result,) = stopping(interrupted=lambda: False)
    assert told[0] >= began, "it goes on from there"
    assert results_file.comparable(result) == results_file.comparable(json.loads(json.dumps(attempt(job))))


def test_parts_are_as_even_as_grahams_theorem_says() -> None:
    """Each item is in one part, and the dearest part costs at most 4/3 - 1/(3n) times what the best of all divisions gives."""
    rng = np.random.default_rng(0)
    for count in (2, 3):
        for _ in range(30):
            costs = rng.integers(1, 30, size=7)
            parts = shards.divide(range(7), count, lambda item: float(costs[item]))  # noqa: B023
            assert sorted(item for part in parts for item in part) == list(range(7))
            best = min(
                max(sum(costs[i] for i in range(7) if owner[i] == part) for part in range(count))
                for owner in itertools.product(range(count), repeat=7)
            )
            assert max(costs[list(part)].sum() for part in parts) <= (4 / 3 - 1 / (3 * count)) * best + 1e-9


def test_seeds_of_a_kind_go_to_different_parts(folder: Path) -> None:
    """Without times, so that four parts of four seeds have one seed of each kind, and a part that there is not is refused."""
    config = configuration.load("sweep.toml", seeds=4)
    parts = [shards.part_of(config, shards.Shard(i, 4), shards.Costs()) for i in range(4)]
    kinds = {(job.world.key, job.label) for job in config.jobs}
    assert all({(job.world.key, job.label) for job in part} == kinds and len(part) == len(kinds) for part in parts)
    assert sorted(job.id for part in parts for job in part) == sorted(job.id for job in config.jobs)
    for wrong in ("4/4", "1", "-1/4", "0/0"):
        with pytest.raises(shards.ShardError, match="--shard"):
            shards.parse(wrong)


def test_lines_that_contradict_each_other_are_refused_and_nothing_is_lost(folder: Path) -> None:
    """A copy is left out, a damaged line is named, and of a run with two different scores both files are named and none is written."""
    jobs = configuration.load("sweep.toml").jobs[:3]
    run_all(jobs, folder / "one/sweep.jsonl", processes=1, console=QUIET)
    whole = (folder / "one/sweep.jsonl").read_bytes()
    first, second, third = whole.splitlines(keepends=True)
    (folder / "two").mkdir()
    later = json.loads(second)
    later["timing"]["seconds"] += 1.0
    again = (json.dumps(results_file.with_checksum(later)) + "\n").encode()
    (folder / "two/sweep.jsonl").write_bytes(first.replace(b'"seed": 0', b'"seed": 7') + again + third[:-20])
    code, said = command("merge", "out", "one", "two")
    assert (code, "3 lines, 3 of them new; 1 copy left out" in said) == (1, True), said
    assert f"{Path('two/sweep.jsonl')}, line 1: it was changed after it was written" in said
    assert f"{Path('two/sweep.jsonl')}, line 3: it is half written" in said
    assert (folder / "out/sweep.jsonl").read_bytes() == whole
    other = json.loads(third)
    other["leader_return"] = other["history"][-1]["leader_return"] = 99.0
    other["versions"]["numpy"] = "1.0"
    (folder / "two/sweep.jsonl").write_text(json.dumps(results_file.with_checksum(other)) + "\n")
    code, said = command("merge", "out", "one", "two")
    assert code != 0
    assert "out/sweep.jsonl: nothing was written. two/sweep.jsonl, line 1 and out/sweep.jsonl, line 3 are of the same run, toy3-v0" in said
    assert "leader_return is 99.0, and there" in said
    assert "(here 1.0)" in said
    assert (folder / "out/sweep.jsonl").read_bytes() == whole
    assert sorted(path.name for path in (folder / "out").iterdir()) == [".sweep.jsonl.lock", "sweep.jsonl"]


class Stillborn(Worker):
    """Ends before it is ready."""

    ready = False
    messages = lambda self: iter([("ended", "out of memory")])  # noqa: E731
    assign = stop = kill = close = lambda self, *job: None


def test_workers_that_never_start_end_the_benchmark() -> None:
    """And not only their runs, one after the other, for ever."""
    job = type("Job", (), {"id": "a", "title": "a run"})
    runs = supervise([job], 2, Stillborn, lambda workers, seconds: None, report=print, say=print, interrupted=lambda: False)
    with pytest.raises(ExecutorError, match="no worker can be started: out of memory"):
        list(runs)


def test_executors_that_there_are_not(folder: Path) -> None:
    with pytest.raises(ExecutorError, match=r"no executor 'rey'.*ray"):
        executors.load("rey", 0, "")
    with pytest.raises(ExecutorError, match="processes run on this machine"):
        executors.load("processes", 0, "auto")
    assert merge.ranges([3, 1, 2, 7]) == "1-3, 7"
