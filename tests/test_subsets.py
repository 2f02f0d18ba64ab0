"""Parts of a configuration, runs that are missing, and the best of these runs where there is no record."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from baselines.bench import best, configuration, failures, report
from baselines.bench.configuration import ConfigError
from baselines.bench.runner import run_all

CONFIG = """
name = "mine"
seeds = 2
[[games]]
id = "toy3-v0"
title = "The toy"
[[games]]
id = "bimatrix-v0"
[[solvers]]
label = "uphill"
name = "naive"
budget = 20
[[solvers]]
label = "fails"
name = "fails.py:Fails"
budget = 4
"""
SOLVER = """
from dataclasses import dataclass
import numpy as np
from solvers import Solver, State
from stackelberg_envs import Access

@dataclass(frozen=True)
class Fails(Solver):
    access = Access.RETURN
    def declines(self, oracle):
        return None
    def init(self, oracle, x):
        return State(x, 0)
    def step(self, oracle, state, rng):
        oracle.returns(state.x)
        raise ZeroDivisionError("my own bug")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(best, "COMMITTED", tmp_path / "nothing.jsonl")
    monkeypatch.delitem(sys.modules, "fails", raising=False)
    (tmp_path / "mine.toml").write_text(CONFIG)
    (tmp_path / "fails.py").write_text(SOLVER)
    return tmp_path


def test_a_configuration_in_part(folder: Path) -> None:
    whole = configuration.load("mine.toml")
    one = whole.select(games=["The*"], solvers=["uphill"])
    assert [(job.world.label, job.label, job.seed, job.budget) for job in one.jobs] == [("toy3-v0", "uphill", seed, 20) for seed in (0, 1)]
    assert {job.id for job in one.jobs} < {job.id for job in whole.jobs}, "they are the same runs"
    assert {job.budget for job in whole.select(solvers=["naive"], budget_scale=0.01).jobs} == {1}
    with pytest.raises(ConfigError, match=r"no game here is called 'toy4-v0'; did you mean 'toy3-v0'"):
        whole.select(games=["toy4-v0"])
    with pytest.raises(ConfigError, match=r"no solver here is called 'bchg'"):
        whole.select(solvers=["bchg"])


def test_failed_and_missing_runs_are_said_below_the_table(folder: Path) -> None:
    """And gaps are to the best of these runs, also where a folder has no record beside the results."""
    results, printed = folder / "mine.jsonl", io.StringIO()
    config = configuration.load("mine.toml").select(games=["toy3-v0"])
    failed = run_all(config.jobs, results, processes=1, console=Console(file=printed, width=200))
    assert len(failed) == 2
    (part,) = report.collect_parts(config, results)
    assert "2 of 2 runs of fails failed: " in part.statistics
    assert "my own bug" in part.statistics
    assert all(run["leader_return"] < run["history"][0]["leader_return"] for run in part.groups["uphill"])  # the naive gradient is biased
    assert "F fell in 2 of 2 runs of uphill" in part.statistics
    assert part.best is not None
    assert part.best_name == "best of these runs"
    assert [row.gap_text == "-" for row in part.rows] == [False]
    (wider,) = report.collect_parts(configuration.load("mine.toml", seeds=3).select(games=["toy3-v0"], solvers=["uphill"]), results)
    assert "1 of 3 runs of uphill is not there yet" in wider.statistics
    (folder / "fails.py").write_text(SOLVER.replace('raise ZeroDivisionError("my own bug")', "return State(state.x, 1)"))
    del sys.modules["fails"]
    config = configuration.load("mine.toml").select(games=["toy3-v0"])
    assert run_all(config.jobs, results, processes=1, console=Console(file=printed, width=200)) == {}
    (part,) = report.collect_parts(config, results)
    assert "failed" not in part.statistics
    assert failures.file_of(results).exists(), "what other code did is kept, for other configurations"
