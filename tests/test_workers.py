"""A run that is killed, raises or is stopped costs itself at most: what else there is goes on, and comes out the same."""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from baselines.bench import configuration, results_file
from baselines.bench.execution import RunStopped
from baselines.bench.runner import run_all
from solvers.base import deferred_interrupts

SOLVER = """
import multiprocessing, os, signal, time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from solvers import Solver, State
from stackelberg_envs import Access


@dataclass(frozen=True)
class Walks(Solver):
    access: ClassVar[Access] = Access.RETURN
    end: str = ""

    def declines(self, oracle):
        return None

    def init(self, oracle, x):
        return State(x)

    def step(self, oracle, state, rng):
        oracle.returns(state.x)
        if self.end and state.iteration == 20 - 18 * (self.end != "stops"):
            getattr(self, self.end)()
        return State(state.x + 0.01 * rng.normal(size=state.x.shape), row={"size": np.float32(0.5), "gone": np.nan})

    def dies(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def stops(self):
        if not os.path.exists("stopped"):
            open("stopped", "w").close()
            os.kill(os.getppid() if multiprocessing.parent_process() else os.getpid(), signal.SIGINT)
            time.sleep(0.5 if multiprocessing.parent_process() else 0)

    def leaves(self):
        raise SystemExit(3)

    def divides(self):
        return 1 / (len(self.end) - 7)
"""
GAME = '\n[[games]]\nid = "toy3-v0"\narguments = { R = 1.375 }\n'
METHOD = '[[games.solvers]]\nlabel = "{0}"\nname = "my_solver.py:Walks"\nbudget = 5\nhyperparameters = {{ end = "{0}" }}\n'
LONG = """
name = "long"
seeds = 1
[[games]]
id = "toy3-v0"
[[games.solvers]]
name = "implicit"
budget = 60
hyperparameters = { optimiser = "adam", lr = 0.1 }
[[games.solvers]]
label = "stops"
name = "my_solver.py:Walks"
budget = 60
hyperparameters = { end = "stops" }
[[games.solvers]]
name = "bchg"
budget = 8
[[games]]
id = "toy3-v0"
follower = { kind = "SoftQLearning", temperature = 0.5, steps = 20 }
solvers = [{ name = "zeroth_order", budget = 10 }]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_solver.py").write_text(SOLVER)
    yield tmp_path
    sys.modules.pop("my_solver", None)


def test_a_killed_worker_ends_its_run_alone(folder: Path) -> None:
    """One solver kills its own process, one leaves it, one divides by zero: named, with the place; the others are there."""
    (folder / "mine.toml").write_text(f"name = 'mine'\nseeds = 1\n{GAME}" + "".join(map(METHOD.format, ("dies", "leaves", "divides", ""))))
    jobs = configuration.load("mine.toml").jobs
    printed = io.StringIO()
    failed = run_all(jobs, folder / "mine.jsonl", processes=2, console=Console(file=printed, width=300))
    died, left, divided = (failed[job.id] for job in jobs[:3])
    assert died == "toy3-v0, dies, seed 0: its process was ended by signal 9 (SIGKILL, as the system sends where memory runs out), twice"
    assert "toy3-v0, dies, seed 0: its process was ended by signal 9" in printed.getvalue()
    assert "it is tried once more, after the others" in printed.getvalue()
    line = SOLVER[: SOLVER.index("raise SystemExit")].count("\n") + 1
    assert left == f"toy3-v0, leaves, seed 0: SystemExit: 3 (my_solver.py, line {line}, in leaves)"
    assert divided == f"toy3-v0, divides, seed 0: ZeroDivisionError: division by zero (my_solver.py, line {line + 3}, in divides)"
    (result,) = results_file.read(folder / "mine.jsonl").values()
    assert result["id"] == jobs[3].id
    assert {(row.get("size"), row.get("gone")) for row in result["history"]} == {(None, None), (0.5, None)}, "plain numbers, and null"


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_keeps_runs_in_progress(folder: Path, processes: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Stopped in the midst of its runs, the same call goes on inside them, to the lines of a run that was not stopped."""
    (folder / "long.toml").write_text(LONG)
    jobs = configuration.load("long.toml").jobs
    call = partial(run_all, jobs, console=Console(file=(printed := io.StringIO()), width=300))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as it is in a terminal
    try:
        with pytest.raises(RunStopped):
            call(folder / "long.jsonl", processes=processes)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Stopping after the running steps; Ctrl-C again ends at once" in capfd.readouterr().err
    kept = list((folder / "long.checkpoints").iterdir())
    assert 1 <= len(kept) <= processes
    assert len(results_file.read(folder / "long.jsonl")) < len(jobs)
    heads = [json.loads(file.read_bytes().partition(b"\n")[0]) for file in kept]
    assert {"suite code", "numpy", "python"} <= heads[0]["made_by"].keys()
    copied = shutil.copytree(folder / "long.checkpoints", folder / "older.checkpoints")
    assert call(folder / "long.jsonl", processes=1) == {}
    resumed = "1 run goes on from where it was stopped" if len(kept) == 1 else f"{len(kept)} runs go on from where they were stopped"
    assert resumed in printed.getvalue()
    assert f"{len(jobs)} of {len(jobs)} runs, " in printed.getvalue()  # a file has lines instead of bars
    assert not (folder / "long.checkpoints").exists()
    for file in copied.iterdir():  # the same, made by another numpy, with a pickle that must not be read
        head, _, _ = file.read_bytes().partition(b"\n")
        file.write_bytes(head.replace(np.__version__.encode(), b"2.0.0") + b"\nno pickle")
    assert call(folder / "older.jsonl", processes=1) == {}
    assert f"starts over: where it stood was kept, but it was made with numpy 2.0.0 (now {np.__version__})" in printed.getvalue()
    first, second = (results_file.read(folder / f"{name}.jsonl") for name in ("long", "older"))
    assert len(first) == len(jobs)
    assert {id: results_file.comparable(line) for id, line in first.items()} == {
        id: results_file.comparable(line) for id, line in second.items()
    }


def test_a_run_and_its_benchmark_hear_of_the_same_ctrl_c() -> None:
    """A press in the last step of a run, or in its warm-up, ends the benchmark too."""
    with deferred_interrupts() as outer:
        with deferred_interrupts() as inner:
            assert not inner()
            signal.raise_signal(signal.SIGINT)
            assert inner()
        assert outer()
        with deferred_interrupts() as following:
            assert following()
    with deferred_interrupts() as fresh:
        assert not fresh()


@pytest.mark.parametrize("ignored", [False, True], ids=["Ctrl-C works", "Ctrl-C is ignored, as in a script's background job"])
def test_sigterm_stops_a_run_between_its_steps(ignored: bool) -> None:
    """Clusters send it before they kill; a second one ends at once, and afterwards all is as before."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        with deferred_interrupts(signal.SIGTERM) as benchmark:
            with deferred_interrupts() as run:
                assert not run()
                signal.raise_signal(signal.SIGTERM)
                assert run()
            assert benchmark()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) == (signal.SIG_IGN if ignored else signal.default_int_handler)
    finally:
        signal.signal(signal.SIGINT, before)
