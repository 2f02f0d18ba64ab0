"""A stranger's first ten minutes: two files of theirs beside what is ours in an own folder, and then the same as an installed package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REGISTERED = """
import warnings
import gymnasium, pettingzoo
import numpy as np
import stackelberg_envs as se
from stackelberg_envs.testing import check_env

if {register!r}:
    se.register("canal-v0", "canal.py:Canal")
there = hasattr(pettingzoo, "make")  # from PettingZoo 1.27 on
aec = (pettingzoo.make if there else lambda _, __, **mode: se.make("canal-v0", **mode))("aec", "stackelberg/canal-v0", render_mode="ansi")
aec.reset(seed=0)
aec.step(np.zeros(3))
print(aec.render().splitlines()[0])
check_env(pettingzoo.make("parallel", "stackelberg/canal-v0") if there else se.make_parallel("canal-v0"))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Gymnasium recommends of ranges
    for side in ("Leader", "Follower"):
        env = gymnasium.make(f"Stackelberg/Canal-{{side}}-v0")
        env.reset(seed=0)
        env.step(env.action_space.sample())
print(len(gymnasium.make_vec("Stackelberg/Canal-Follower-v0", num_envs=2).reset(seed=0)[0]))
"""


def configuration(game: str, solver: str) -> str:
    """Three games, in each the stranger's solver beside three of ours; a handful of commitments."""
    runs = "".join(f'[[solvers]]\nname = "{name}"\nbudget = 8\n\n' for name in (solver, "zeroth_order", "implicit", "bchg"))
    games = "".join(f'[[games]]\nid = "{name}"\n\n' for name in (game, "toy3-v0", "random_markov_game-v0"))
    return f"seeds = 1\n\n{runs}{games}"


def command(folder: Path, *arguments: str, path: str = "") -> str:
    said = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH", "")])), "COLUMNS": "130"},
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


STACKELBERG = ("-m", "baselines.bench.cli")


def results(folder: Path, name: str) -> dict[tuple[str, str], float]:
    lines = (folder / "results" / f"{name}.jsonl").read_text().splitlines()
    runs = [json.loads(line) for line in lines]
    return {(run["job"]["world"]["id"].rpartition("/")[2], run["job"]["solver"].rpartition("/")[2]): run["leader_return"] for run in runs}


def test_two_files_and_then_a_package(tmp_path: Path) -> None:
    """Written, benchmarked in worker processes, checked, drawn and registered; the package's runs score what the files' did."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for kind, name in (("game", "canal"), ("solver", "drift")):
        command(mine, *STACKELBERG, "new", kind, name)
    (mine / "first.toml").write_text(configuration("canal.py:Canal", "drift.py:Drift"))
    said = command(mine, *STACKELBERG, "bench", "first.toml", "--jobs", "2", "--report", "report.html")
    assert "This configuration runs code from: ./canal.py, ./drift.py" in said
    assert said.count("drift:Drift") == 3
    own = results(mine, "first")
    assert len(own) == 12
    page = (mine / "report.html").read_text()
    assert "canal:Canal" in page
    assert page.count("data:image/svg+xml") >= 3
    shown = command(mine, "-c", REGISTERED.format(register=True)).splitlines()
    assert shown == ["canal, context only, step 0", "2"]

    theirs = tmp_path / "theirs"
    theirs.mkdir()
    site = tmp_path / "site"
    (site / "fishery").mkdir(parents=True)
    (site / "fishery" / "__init__.py").write_text("")
    for name in ("canal", "drift"):
        (site / "fishery" / f"{name}.py").write_text((mine / f"{name}.py").read_text())
    about = site / "fishery-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fishery\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[stackelberg_envs.games]\ncanal-v0 = fishery.canal:Canal\n\n[stackelberg_envs.solvers]\ndrift = fishery.drift:Drift\n"
    )
    (theirs / "second.toml").write_text(configuration("canal-v0", "drift"))
    said = command(theirs, *STACKELBERG, "bench", "second.toml", "--jobs", "2", path=str(site))
    assert "This configuration runs code from: fishery" in said
    installed = results(theirs, "second")
    assert [installed[key] for key in sorted(installed)] == pytest.approx([own[key] for key in sorted(own)], abs=0), (
        "the same code, to the bit"
    )
    assert command(theirs, "-c", REGISTERED.format(register=False), path=str(site)).splitlines() == shown
