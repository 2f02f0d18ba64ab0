"""Other systems, other installations, other people's conventions: what is missing is replaced or named, and what is usual is understood.

The suite runs on Linux.  What it would do elsewhere is tested by taking modules away.
"""

from __future__ import annotations

import ast
import copy
import io
import os
import pickle
import re
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pettingzoo.test.max_cycles_test import max_cycles_test
from rich.console import Console

import stackelberg_envs as se
from baselines.bench import configuration, results_file, system
from baselines.bench.execution import execute
from baselines.bench.runner import run_all
from stackelberg_envs.extras import EXTRAS

ROOT = Path(__file__).parent.parent
FILES = [path for folder in ("stackelberg_envs", "solvers", "baselines") for path in sorted((ROOT / folder).rglob("*.py"))]


TOY = """
name = "toy"
seeds = 2

[[games]]
id = "toy3-v0"

[[games.solvers]]
label = "“exact”, not in the alphabet of every system"
name = "implicit"
budget = 5
"""


def windows_locks() -> Any:
    """A stand-in for Windows' module: one byte far beyond the end, never waited for, held by an open file and not by a process."""
    fcntl = pytest.importorskip("fcntl", reason="this system has no fcntl")

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (os.lseek(descriptor, 0, os.SEEK_CUR), count) == (system.LOCKED_BYTE, 1)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    return SimpleNamespace(locking=locking, LK_UNLCK=0, LK_NBLCK=2)


@pytest.fixture(params=["Unix", "Windows", "neither"])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A system with the locks of ..."""
    if request.param != "Unix":
        modules = {"fcntl": None, "resource": None, "msvcrt": windows_locks() if request.param == "Windows" else None}
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    return request.param


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_systems_differ_in_one_file(path: Path) -> None:
    """And text is UTF-8: Python 3.11 reads and writes in the system's own encoding unless it is told."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        name = getattr(node, "attr", None)
        used = {"fcntl", "msvcrt", "resource", "termios", "pwd", "grp"} & set(names)
        used |= {"sched_getaffinity", "fork", "getrusage", "killpg"} & {name}
        assert not used or path.name == "system.py" or path.parts[-2:] == ("growth", "timing.py"), f"{path.name} uses {used}"
        called = getattr(getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", None))
        if isinstance(node, ast.Call) and called in ("read_text", "write_text", "open"):
            binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in node.args)
            told = any(keyword.arg == "encoding" for keyword in node.keywords)
            assert binary or told, f"{path.name}:{node.lineno} leaves the encoding to the system"


def test_cores_are_counted_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "sched_getaffinity"):
        assert system.usable_cores() == len(os.sched_getaffinity(0))
        monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 80, raising=False)
    assert system.usable_cores() == 80
    monkeypatch.setattr(sys, "platform", "win32")
    assert system.usable_cores() == 61  # more processes are none that a pool on Windows takes
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert system.usable_cores() == 1


def test_memory_is_in_mebibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_maxrss=3 * 2**20))
    monkeypatch.setitem(sys.modules, "resource", usage)
    monkeypatch.setattr(sys, "platform", "linux")
    assert system.peak_memory() == 3 * 2**10  # Linux counts KiB
    monkeypatch.setattr(sys, "platform", "darwin")
    assert system.peak_memory() == 3  # macOS counts bytes
    monkeypatch.setitem(sys.modules, "resource", None)
    assert system.peak_memory() == 0


def test_a_lock_excludes_and_lets_go(locks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "held"
    with system.exclusive(path, wait=False) as file:
        file.write(b"one\n")
        with pytest.raises(BlockingIOError), system.exclusive(path, wait=False):
            pass
        monkeypatch.setattr(system, "PATIENCE", 0.1)
        if locks != "Unix":  # which would wait for ever, as it should
            with pytest.raises(BlockingIOError), system.exclusive(path, wait=True):
                pass
    holder = system.exclusive(path, wait=True)
    holder.__enter__().write(b"two\n")
    assert not holder.__exit__(KeyError, KeyError(), None)  # what goes wrong meanwhile is passed on
    with system.exclusive(path, wait=False):
        pass
    assert path.read_bytes() == b"one\ntwo\n"
    assert [each.name for each in tmp_path.iterdir()] == ["held"]


def test_a_benchmark_runs_and_resumes(locks: str, tmp_path: Path) -> None:
    """What is written is what is written on Linux."""
    (tmp_path / "toy.toml").write_text(TOY, encoding="utf-8")
    jobs = configuration.load(str(tmp_path / "toy.toml")).jobs
    path, said = tmp_path / "results" / "toy.jsonl", Console(record=True, file=io.StringIO())
    assert run_all(jobs[:1], path, processes=1, console=said) == {}
    assert run_all(jobs[:2], path, processes=1, console=said) == {}
    assert "1 of 2 runs is already in" in said.export_text()
    written = results_file.read(path)
    assert list(written) == [job.id for job in jobs[:2]]
    assert results_file.comparable(written[jobs[0].id]) == results_file.comparable(execute(jobs[0]))
    with results_file.writing(path), pytest.raises(results_file.ResultsError, match="another benchmark is writing") as refused:
        run_all(jobs, path, processes=1, console=said)
    assert (".toy.jsonl.lock.held" in str(refused.value)) == (locks == "neither"), "a lock that a killed process left is named"


def test_the_command_line_needs_nothing_of_linux(tmp_path: Path) -> None:
    """In a process that never had it: the command's own way from a configuration to its runs, one process a core."""
    (tmp_path / "toy.toml").write_text(TOY, encoding="utf-8")
    code = """
import os, sys
from pathlib import Path
sys.modules.update(dict.fromkeys(["fcntl", "resource", "termios", "pwd", "grp"]))
del os.sched_getaffinity, os.fork
os.cpu_count = lambda: 1
from baselines.bench import commands
results, failed = commands.run(commands.load("toy.toml").jobs, Path("toy.jsonl"), 0)
assert not failed and len(results) == 2
"""
    run = python(code, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert len(results_file.read(tmp_path / "toy.jsonl")) == 2


def python(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False, env=environment)


PLAIN = """
import sys

class NotInstalled:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "numba":  # asked for by name, which finds none
            return None
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled)
"""
COMMAND = "sys.argv = ['stackelberg', *ARGUMENTS]; from baselines.bench.cli import main; main()"


@pytest.mark.parametrize(
    ("missing", "arguments", "said"),
    [
        (tuple(EXTRAS), ["list"], r"The command line needs (typer|rich): pip install 'stackelberg-envs\[cli\]'"),
        (("torch",), ["solve", "toy3-v0", "implicit"], r"Error: This command needs torch: pip install 'stackelberg-envs\[solvers\]'"),
        (("matplotlib",), ["compare", "hpgd-table"], r"Error: This command needs matplotlib: pip install 'stackelberg-envs\[plots\]'"),
    ],
)
def test_the_command_line_names_the_missing_extra(missing: tuple[str, ...], arguments: list[str], said: str) -> None:
    """One sentence and a status, after a plain ``pip install``."""
    run = python(f"MISSING, ARGUMENTS = {missing}, {arguments}" + PLAIN + COMMAND)
    assert run.returncode != 0
    assert re.match(said, run.stderr), run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_solvers_name_the_missing_extra() -> None:
    run = python("MISSING = 'torch'," + PLAIN + "import stackelberg_envs\nfrom solvers import solve")
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "ModuleNotFoundError: solvers needs torch: pip install 'stackelberg-envs[solvers]'"
    assert run.stderr.count("Traceback") == 1


def test_extras_install_what_they_are_named_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for module, extra in EXTRAS.items():
        packages = [re.split(r"[>=;]", requirement)[0] for requirement in extras[extra]]
        assert module.replace("_", "-") in packages, f"{extra} does not install {module}"


# -- the conventions of PettingZoo and of those who use it


@pytest.mark.parametrize("make", [se.make, se.make_parallel])
def test_spaces_are_there_as_dictionaries(make: Any) -> None:
    env = make("toy3-v0")
    for each in (env, copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        for dictionary, space in ((each.observation_spaces, each.observation_space), (each.action_spaces, each.action_space)):
            assert list(dictionary) == each.possible_agents
            assert all(dictionary[agent] is space(agent) for agent in dictionary)


def test_a_number_is_a_vector_of_one() -> None:
    """In the play view of lq_gain both agents choose one number, and libraries give it without an axis."""
    states = []
    for action in (np.array([0.5]), np.array(0.5), 0.5, np.float32(0.5)):
        env = se.make("lq_gain-v0", view="play")
        env.reset(seed=0)
        for _ in range(4):
            env.step(action)
        states.append(env.state())
    assert all(np.array_equal(state, states[0]) for state in states)
    for wrong in (np.array(np.nan), "one", None, [[0.5]]):
        with pytest.raises(ValueError, match="leader_0"):
            env.step(wrong)


@pytest.mark.parametrize(
    ("row", "value"), [(0, 14.632071), (1, 16.055027), (2, 0.017136), (3, 0.000072)], ids=["first", "second", "third", "fourth"]
)
def test_a_commitment_of_single_precision_is_scored_in_double(row: int, value: float) -> None:
    """Of these four, two were refused once, as if the best response were none."""
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)[row]
    game = se.game("toy3-v0")
    found = se.evaluate(game, x)
    assert float(found.leader_return) == float(se.evaluate(game, x.astype(np.float64)).leader_return)
    assert float(found.leader_return) == pytest.approx(value, abs=5e-7)
    tensor = torch.tensor(x)
    assert float(se.evaluate(game, tensor).leader_return) == pytest.approx(value, abs=5e-7)
    single = se.evaluate(game, tensor, responses=(game.default_follower.respond(game, tensor),))  # what is handed in stays as it is
    assert single.leader_return.dtype == torch.float32
    assert float(single.leader_return) == pytest.approx(value, rel=2e-4, abs=1e-5)


@pytest.mark.parametrize("id", ["four_rooms-v0", "contract_tree-v0", "warehouse-v0"])
def test_ties_of_single_precision_are_those_of_double(id: str) -> None:
    """A hard follower in single precision took other ways out of ties, and a tree's answers for impossible ones."""
    game, follower = se.game(id), se.Hard()
    x = np.random.default_rng(1).normal(size=(3, *game.commitment_shape)).astype(np.float32)[2]
    double = float(se.evaluate(game, x.astype(np.float64), follower=follower).leader_return)
    assert float(se.evaluate(game, torch.tensor(x), follower=follower).leader_return) == pytest.approx(double, abs=1e-9)


def test_max_cycles_test_of_pettingzoo() -> None:
    """It asks that each agent act in each of max_cycles steps: so it is where both move at once, and nowhere else."""
    module = se.pettingzoo_module("random_markov_game-v0")
    both = SimpleNamespace(env=partial(module.env, view="play"), parallel_env=partial(module.parallel_env, view="simultaneous"))
    max_cycles_test(both)
    with pytest.raises(AssertionError):
        max_cycles_test(module)
    env = module.parallel_env(max_cycles=4)
    env.reset(seed=0)
    steps = 0
    while env.agents:
        env.step({agent: env.action_space(agent).sample() for agent in env.agents})
        steps += 1
    assert steps == 1 + 4
