"""Games, followers and solvers that live elsewhere: by reference, by registration, and by entry points of installed packages."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import io
import os
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
from rich.console import Console

import solvers
import stackelberg_envs as se
from baselines.bench import best, checks, configuration, printing, report, results_file
from baselines.bench.jobs import Job, World
from baselines.bench.runner import run_all
from stackelberg_envs.arguments import ArgumentError
from stackelberg_envs.plugins import EntryPointWarning, RegistrationError
from stackelberg_envs.references import ReferenceNotFoundError
from stackelberg_envs.views import registration

REGISTRY: Any = pettingzoo if hasattr(pettingzoo, "make") else None
"""PettingZoo has one from 1.27 on."""

QUIET = Console(quiet=True)
ROOT = Path(__file__).parent.parent
GAME = '''
"""Three rooms: a leader taxes the way from the second to the third."""

import abc
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from gymnasium.spaces import Box

import stackelberg_envs as se


class Rooms(se.StackelbergGame):
    """The walker stays (0) or goes on (1); in the last room it is paid, and the leader with it."""

    name = "rooms"

    def __init__(self, *, prize: float = 1.0) -> None:
        self.prize, self.max_cycles = prize, 6
        self.leader_space = Box(-5.0, 5.0, (1,), np.float64)
        self.default_follower = se.Soft(0.1)

    def induced(self, x, context):
        xp = array_namespace(x)
        steps = np.zeros((3, 1, 2, 3))
        for room in range(3):
            steps[room, 0, 0, room] = steps[room, 0, 1, min(room + 1, 2)] = 0.9
        paid = xp.asarray(np.array([[[0.0, 0.0]], [[0.0, 0.0]], [[self.prize, self.prize]]]), dtype=x.dtype)
        taxed = xp.asarray(np.array([[[0.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]]), dtype=x.dtype)
        tax = (1 / (1 + xp.exp(-x)))[..., None, None] * taxed
        return se.InducedMDP(
            leader_policy=xp.ones((3, 1), dtype=x.dtype),
            transition=xp.asarray(steps, dtype=x.dtype),
            follower_reward=paid - tax,
            leader_reward=paid / 2 + tax,
            initial=xp.asarray(np.array([1.0, 0.0, 0.0]), dtype=x.dtype),
            follower_discount=0.9,
            leader_discount=0.9,
        )


class Unfinished(se.StackelbergGame):
    name = "unfinished"


class Nameless(Rooms):
    def __init__(self):
        super().__init__()
        self.default_follower = Silent()


def rich(*, prize: float = 5.0):
    return Rooms(prize=prize)


def nothing():
    return 3


rooms = Rooms(prize=2.0)


@dataclass(frozen=True)
class Stubborn:
    """Answers as if nothing were taxed."""

    temperature: float = 0.1

    def respond(self, game, x, context=0, *, budget=None, rng=None, state=None):
        return se.Soft(self.temperature).respond(game, np.full_like(x, -5.0), context)


class Silent(Stubborn):
    __repr__ = object.__repr__


class Deaf:
    temperature = 0.1
'''
SOLVER = '''
from dataclasses import dataclass
from typing import ClassVar

import stackelberg_envs as se
import torch
from solvers import Estimate, Estimator, Solver, State


@dataclass(frozen=True)
class Uphill(Estimator):
    """Always up."""

    access: ClassVar[se.Access] = se.Access.RETURN
    slope: float = 1.0

    def declines(self, oracle):
        return None

    def estimate(self, oracle, x, memory, rng):
        return Estimate(torch.full_like(x, self.slope))


class Plain(Uphill.__base__):
    access = se.Access.RETURN

    def declines(self, oracle):
        return None

    def estimate(self, oracle, x, memory, rng):
        return Estimate(x)


@dataclass(frozen=True)
class Secretive(Solver):
    def declines(self, oracle):
        return None

    def init(self, oracle, x):
        return State(x)

    def step(self, oracle, state, rng):
        return state


@dataclass(frozen=True)
class Half(Estimator):
    access: ClassVar[se.Access] = se.Access.RETURN

    def declines(self, oracle):
        return None
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with both files; what is imported and registered from it is forgotten."""
    (tmp_path / "my_game.py").write_text(GAME)
    (tmp_path / "my_solver.py").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with registration.isolation(), solvers.registry.REGISTRY.isolation():
        yield tmp_path
    forget(tmp_path)


def forget(folder: Path) -> None:
    """Leave no module of this folder behind, as if in a new process."""
    for name, module in list(sys.modules.items()):
        known = getattr(module, "__dict__", {})
        places = [known.get("__file__"), *known.get("__path__", ())]  # a folder without __init__.py has no file
        if any(str(place).startswith(str(folder)) for place in places):
            del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if not entry.startswith(str(folder))]
    importlib.invalidate_caches()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, entry_points: str, name: str = "their-package") -> None:
    """An installed distribution, as far as its metadata go."""
    info = folder / "site" / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(str(folder / "site"))


def test_the_registry_knows_no_view() -> None:
    """Views import it, and no import points up."""
    for file in ("registry.py", "plugins.py", "references.py"):
        imports = [node for node in ast.walk(ast.parse((ROOT / "stackelberg_envs" / file).read_text())) if isinstance(node, ast.ImportFrom)]
        assert not any("views" in f"{node.module} {[alias.name for alias in node.names]}" for node in imports)


def value(game: se.StackelbergGame) -> float:
    return float(se.evaluate(game, np.zeros(1)).leader_return)


@pytest.mark.parametrize("place", ["my_game.py:Rooms", "./my_game.py:Rooms", "PACKAGE:Rooms"])
def test_a_place_in_code_works_wherever_a_game_is_named(place: str, folder: Path) -> None:
    """With the same outcome as the class itself, arguments and copies included."""
    if place.startswith("PACKAGE"):
        (folder / "their_package").mkdir()
        (folder / "my_game.py").rename(folder / "their_package" / "games.py")
        sys.path.append(str(folder))
        place = "their_package.games:Rooms"
    game = se.game(place, prize=3.0)
    assert value(game) == value(type(game)(prize=3.0)) != value(se.game(place))
    env = se.make(place, prize=3.0, max_cycles=50)
    assert (env.game.prize, env.max_cycles, str(env)) == (3.0, 50, "rooms_v0")  # type: ignore[attr-defined]
    assert str(se.make_parallel(place)) == "rooms_v0"
    env.reset(seed=1)
    env.step(np.zeros(1))
    ends = set()
    for each in (env, copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        while each.agents and not each.terminations["follower_0"]:
            each.step(1)
        ends.add((each.episode.time, each.episode.returns["leader_0"], each.np_random.random()))
    assert len(ends) == 1
    for side in ("Leader", "Follower"):
        single = gymnasium.make(f"Stackelberg/{side}-v0", game=place, prize=3.0)
        assert single.reset(seed=0)[0] in single.observation_space
        assert single.unwrapped.game.prize == 3.0  # type: ignore[attr-defined]
        many = gymnasium.make_vec(f"Stackelberg/{side}-v0", num_envs=2, vectorization_mode="vector_entry_point", game=place)
        assert many.reset(seed=0)[0].shape[0] == 2
        many.close()


def test_functions_and_games_have_places_too() -> None:
    assert se.game("my_game.py:rich").prize == 5.0  # type: ignore[attr-defined]
    assert value(se.game("my_game.py:rich", prize=2.0)) == value(se.game("my_game.py:rooms"))
    assert se.game("my_game.py:rooms") is se.game("my_game.py:rooms")


@pytest.mark.parametrize("entry", ["my_game.py:Rooms", "class", "function"])
@pytest.mark.parametrize("version", [0, 7])
def test_a_registered_game_has_everything_that_ours_have(entry: str, version: int) -> None:
    module = importlib.import_module("my_game") if entry != "my_game.py:Rooms" and not sys.path.append(str(Path.cwd())) else None
    given = {"class": getattr(module, "Rooms", None), "function": getattr(module, "rich", None)}.get(entry, entry)
    id, name = f"my_rooms-v{version}", f"my_rooms_v{version}"
    for _ in range(2):  # silent when repeated
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            se.register(id, given)
    assert se.games()[-1] == id
    for game in (se.game(id, prize=3.0), se.game("my_rooms", prize=3.0)):
        assert game.prize == 3.0  # type: ignore[attr-defined]
    made = [se.make(id), se.make_parallel(id)]
    if REGISTRY is not None:
        made += [REGISTRY.make("aec", f"stackelberg/{id}"), REGISTRY.make("parallel", f"stackelberg/{id}", prize=2.0)]
        pickle.loads(pickle.dumps(REGISTRY.spec("aec", f"stackelberg/{id}")))
    module = importlib.import_module(f"stackelberg_envs.{name}")
    assert getattr(se, name) is module
    assert {str(env) for env in (*made, module.env(prize=1.0), module.raw_env(), module.parallel_env())} == {name}
    for side in ("Leader", "Follower"):
        env = gymnasium.make(f"Stackelberg/MyRooms-{side}-v{version}", prize=4.0)
        assert env.unwrapped.game.prize == 4.0  # type: ignore[attr-defined]
        assert env.reset(seed=0)[0] in env.observation_space


def test_an_id_without_version_is_the_newest() -> None:
    """As in PettingZoo and Gymnasium."""
    for version, prize in ((2, "rooms"), (10, "rich"), (0, "Rooms")):
        se.register(f"my_rooms-v{version}", f"my_game.py:{prize}")
    assert se.game("my_rooms").prize == 5.0  # type: ignore[attr-defined]
    assert str(se.make("my_rooms")) == "my_rooms_v10"
    assert REGISTRY is None or str(REGISTRY.make("aec", "stackelberg/my_rooms")) == "my_rooms_v10"
    assert World("my_rooms").key.startswith("my_rooms-v10 ")


def test_a_registration_is_lazy_and_a_class_defined_anew_takes_the_old_ones_place(folder: Path) -> None:
    (folder / "loud.py").write_text("raise RuntimeError('imported')")
    se.register("loud-v0", "loud.py:Game")
    se.register("later-v0", "not_written_yet.py:Game")
    solvers.register("loud", "loud.py:Solver")
    with pytest.raises(ReferenceNotFoundError, match=r"game 'loud-v0': .*importing loud fails \(RuntimeError: imported, loud.py line 1\)"):
        se.game("loud-v0")
    with pytest.raises(ReferenceNotFoundError, match=r"'later-v0': .*there is no file .*not_written_yet.py; check the path"):
        se.make("later-v0")

    def cell(prize: float) -> type[se.StackelbergGame]:
        class Rooms(type(se.game("my_game.py:rooms"))):
            def __init__(self) -> None:
                super().__init__(prize=prize)

        return Rooms

    for prize in (1.0, 2.0):
        se.register("cell-v0", cell(prize))
        assert se.make("cell-v0").game.prize == prize  # type: ignore[attr-defined]


def test_installed_packages_advertise_games_and_solvers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are listed with the distribution that brings them; one that is broken is left out by name, or fails when it is asked for."""
    install(
        folder,
        monkeypatch,
        "[stackelberg_envs.games]\ntheir_rooms-v1 = my_game:Rooms\nlost-v0 = not_installed.games:Lost\nBad = my_game:Rooms\n"
        "toy3-v0 = my_game:Rooms\nnowhere-v0 = my_game\n"
        "[stackelberg_envs.solvers]\nuphill = my_solver:Uphill\nimplicit = my_solver:Uphill\n",
    )
    with pytest.warns(EntryPointWarning) as warned:
        registration.register_all()
    with pytest.warns(EntryPointWarning, match="their-package advertises a solver that is left out: the solver 'implicit' is solvers"):
        solvers.registry.REGISTRY.discover()
    said = [str(warning.message) for warning in warned]
    printed = warnings.formatwarning(warned[0].message, warned[0].category, warned[0].filename, warned[0].lineno)
    assert re.fullmatch(r"entry points of their-package:1: EntryPointWarning: .*\n", printed), "one line, and none of ours"
    for line, words in zip(said, ("'Bad'", "'toy3-v0' is stackelberg_envs.games.toy3", "'my_game' is not of the form"), strict=True):
        assert line.startswith("their-package advertises a game that is left out: ")
        assert words in line
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registration.register_all()
    assert se.games()[-2:] == ("their_rooms-v1", "lost-v0")
    assert "my_game" not in sys.modules, "nothing is imported before it is asked for"
    sys.path.append(str(folder))
    assert REGISTRY is None or str(REGISTRY.make("aec", "stackelberg/their_rooms-v1")) == "their_rooms_v1"
    assert gymnasium.make("Stackelberg/TheirRooms-Leader-v1").reset(seed=0)
    assert solvers.solve(se.game("their_rooms"), "uphill", budget=3).cost.commitments == 3
    with pytest.raises(ReferenceNotFoundError, match=r"game 'lost-v0' of their-package: .*no module 'not_installed'; install"):
        se.game("lost-v0")
    with pytest.raises(RegistrationError, match=r"'their_rooms-v1' is my_game:Rooms of their-package already.*'their_rooms-v2'"):
        se.register("their_rooms-v1", "my_game.py:rich")
    monkeypatch.setattr(se, "games", lambda: ("toy3-v0", "their_rooms-v1", "lost-v0"))
    shown = io.StringIO()
    Console(width=250, file=shown).print(printing.games(), printing.methods())
    text = {line.split()[0]: line.rstrip() for line in shown.getvalue().splitlines() if line.strip()}
    assert "A leader taxes the way from the second to the third. (from their-package)" in text["their_rooms-v1"]
    assert "install the package" in text["lost-v0"]
    assert "Always up. (from their-package)" in text["uphill"]
    assert "(from" not in text["toy3-v0"]


def test_a_broken_package_does_not_break_the_import(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(folder, monkeypatch, "[stackelberg_envs.games]\nfour_rooms-v0 = evil:Rooms\nfine-v0 = my_game:Rooms\n")
    code = "import stackelberg_envs as se, gymnasium as g; print(se.make('fine'), se.four_rooms_v0, g.make('Stackelberg/Fine-Leader-v0'))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder / "site"), str(folder)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "their-package advertises a game that is left out: the game 'four_rooms-v0' is stackelberg_envs.games.four_rooms" in done.stderr


def test_solvers_by_place_and_by_name() -> None:
    """Estimators are driven by the ascent, and hyperparameters go where they belong."""
    game = se.game("my_game.py:Rooms")
    by_place = solvers.solve(game, "my_solver.py:Uphill", budget=5, start=[0.0], slope=0.5, lr=0.1)
    solvers.register("my_uphill", "my_solver.py:Uphill")
    solvers.register("my_uphill", solvers.solver_class("my_solver.py:Uphill"))
    by_name = solvers.solve(game, "my_uphill", budget=5, start=[0.0], slope=0.5, lr=0.1)
    assert by_place.x == by_name.x == pytest.approx(5 * 0.1 * 0.5)
    assert solvers.names()[-1] == "my_uphill"
    assert "my_uphill" not in solvers.SOLVERS


CONFIGURATION = """
name = "mine"
seeds = 1

[[solvers]]
name = "my_solver.py:Uphill"
budget = 4
hyperparameters = { slope = 0.5 }

[[games]]
id = "my_game.py:Rooms"
arguments = { prize = 2.0 }
follower = { kind = "my_game.py:Stubborn", temperature = 0.2 }

[[games.solvers]]
name = "zeroth_order"
budget = 4
"""


def test_a_benchmark_of_files_in_worker_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From TOML to the report; ids that were registered in this process reach the workers, and names are the same on every machine."""
    monkeypatch.setattr(best, "COMMITTED", folder / "none.jsonl")
    (folder / "study").mkdir()
    for file in ("my_game.py", "my_solver.py"):
        (folder / file).rename(folder / "study" / file)
    (folder / "mine.toml").write_text(CONFIGURATION.replace('"my_', '"study/my_'))
    loaded = configuration.load(folder / "mine.toml")
    se.register("my_rooms-v2", se.game("study/my_game.py:rich").__class__)
    solvers.register("my_uphill", "study/my_solver.py:Uphill")
    jobs = [*loaded.jobs, Job(World("my_rooms"), "my_uphill", 4, 0)]
    path = folder / "mine.jsonl"
    assert run_all(jobs, path, processes=2, console=QUIET) == {}
    found = results_file.read(path)
    assert set(found) == {job.id for job in jobs}
    assert [job.world.label for job in jobs] == ["my_game:Rooms", "my_game:Rooms", "my_rooms-v2"]
    assert jobs[0].world.key.endswith(" my_game:Stubborn(temperature=0.2)")
    assert jobs[0].title == "my_game:Rooms, my_solver:Uphill, seed 0"
    (part,) = report.collect_parts(loaded, path)
    assert {row.label for row in part.rows} == {"my_solver:Uphill", "zeroth_order"}
    assert str(folder) not in part.settings
    ((new),) = best.improve(folder / "best_known.jsonl", [found[job.id] for job in loaded.jobs], known={})
    report.write(loaded, [part], folder / "page.html", command=["x"], figure_folder=folder / "figures")
    assert {figure.name for figure in (folder / "figures").iterdir()} == {"my_game_Rooms-curves.svg", "my_game_Rooms-learned.svg"}
    # elsewhere: another folder, another process, and the results of this one
    keys, ids = [job.world.key for job in loaded.jobs], [job.id for job in loaded.jobs]
    (folder / "study").rename(folder / "elsewhere")
    forget(folder)
    (folder / "mine.toml").rename(folder / "elsewhere" / "mine.toml")
    (folder / "elsewhere" / "mine.toml").write_text(CONFIGURATION)
    moved = configuration.load(folder / "elsewhere" / "mine.toml")
    assert ([job.world.key for job in moved.jobs], [job.id for job in moved.jobs]) == (keys, ids)
    (part,) = report.collect_parts(moved, path)
    assert len(part.rows) == 2
    # the record of best commitments survives that its game has moved, and says so
    assert best.read_best(folder / "best_known.jsonl")[keys[0]].leader_return == new.leader_return
    assert best.improve(folder / "best_known.jsonl", [], known={}) == []
    monkeypatch.setattr(checks, "console", Console(width=400))
    with checks.console.capture() as captured:
        assert checks.best_known(folder / "best_known.jsonl", None) == 1
    assert "there is no file" in " ".join(captured.get().split())


def test_what_workers_cannot_import_is_said_before_they_start(folder: Path) -> None:
    class Local(type(se.game("my_game.py:rooms"))):
        pass

    se.register("local-v0", Local)
    job = Job(World("local-v0"), "implicit", 2, 0)
    with pytest.raises(
        RegistrationError, match=r"'local-v0' is .*<locals>.Local, which worker processes cannot import; put it into a module"
    ):
        run_all([job], folder / "r.jsonl", processes=2, console=QUIET)
    assert run_all([job], folder / "r.jsonl", processes=1, console=QUIET) == {}, "one process has it"


def test_paths_in_a_configuration_start_where_it_lies(folder: Path) -> None:
    """And in the working directory where there is no such file."""
    (folder / "study").mkdir()
    (folder / "study" / "mine.toml").write_text(CONFIGURATION)
    (folder / "study" / "my_game.py").write_text(GAME)
    job = configuration.load("study/mine.toml").jobs[0]
    assert job.world.id == f"{folder / 'study' / 'my_game.py'}:Rooms"
    assert job.solver == f"{folder / 'my_solver.py'}:Uphill"


def test_whose_code_runs_is_said_before_it_is_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(folder, monkeypatch, "[stackelberg_envs.games]\ntheirs-v0 = their_package.games:Theirs\n", name="their-distribution")
    registration.register_all()
    (folder / "my_solver.py").write_text("from pathlib import Path\nPath('imported').touch()\n" + SOLVER)
    (folder / "mine.toml").write_text(CONFIGURATION + '[[games]]\nid = "theirs"\n[[games]]\nid = "other_package.games:Other"\n')

    def announced(line: str) -> None:
        assert not (folder / "imported").exists()
        said.append(line)

    said: list[str] = []
    with pytest.raises(configuration.ConfigError, match="no module 'their_package'"):
        configuration.load("mine.toml", announce=announced)
    assert said == ["This configuration runs code from: ./my_game.py, ./my_solver.py, other_package, their-distribution"]
    assert (folder / "imported").exists()
    configuration.load("toy", announce=announced)
    assert len(said) == 1, "ours goes without saying"


def test_a_changed_file_is_another_run(folder: Path) -> None:
    """Tables say of a game what it is; of solvers and followers only their files do."""
    world = World(f"{folder / 'my_game.py'}:Rooms")
    job = Job(world, "my_solver.py:Uphill", 4, 0)
    before = job.id
    assert Job(world, "my_solver.py:Uphill", 4, 0).id == before
    (folder / "my_solver.py").write_text(SOLVER.replace("full_like(x, self.slope)", "full_like(x, 2 * self.slope)"))
    assert Job(world, "my_solver.py:Uphill", 4, 0).id != before
    mistaken = World(world.id, {"prize": 2.0}, {"kind": "my_game.py:Stubborn", "believes": {}})
    assert [cls.__name__ for cls in mistaken.code] == ["Rooms", "Stubborn"], "itself, whatever world it believes in"
    by_place = Job(World("stackelberg_envs.games.toy3:Toy3"), "solvers.estimators.implicit:Implicit", 4, 0)
    assert by_place.id == Job(World("toy3-v0"), "implicit", 4, 0).id, "ours by place is ours"


def test_the_command_line_takes_places(folder: Path) -> None:
    (folder / "mine.toml").write_text(CONFIGURATION)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-P", "-m", "baselines.bench.cli", *arguments]
        environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
        return subprocess.run(call, capture_output=True, text=True, check=False, env=environment)

    solved = command("solve", "my_game:Rooms", "my_solver.py:Uphill", "--budget", "3", "--follower", "kind=my_game.py:Stubborn")
    assert "budget of 3 commitments used: F = " in solved.stdout, solved.stderr
    bench = command("bench", "mine.toml", "--jobs", "1")
    assert bench.stdout.startswith("This configuration runs code from: ./my_game.py, ./my_solver.py\n"), bench.stderr
    assert "New best known for my_game:Rooms {'prize': 2.0}" in bench.stdout
    wrong = command("solve", "my_gam:Rooms", "implicit")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 2)
    assert "there is no module 'my_gam'; install the package" in wrong.stderr


ROOMS = se.game("four_rooms-v0")


def world(**follower: Any) -> World:
    return configuration.world_of({"id": "my_game.py:Rooms", "follower": follower}, "here")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: se.game("roooms"),
            KeyError,
            "no game 'roooms'; did you mean 'four_rooms-v0'.*package.module:Name or path",
        ),
        (lambda: se.make("my_game.py"), KeyError, "is a file, and not what is in it; write my_game.py:Name"),
        (lambda: se.game("my_game.py:Room"), ReferenceNotFoundError, "my_game.py defines no 'Room'; did you mean 'Rooms'"),
        (lambda: se.game("mygame.py:Rooms"), ReferenceNotFoundError, "there is no file .*mygame.py; check the path"),
        (lambda: se.game("nowhere.games:Rooms"), ReferenceNotFoundError, "no module 'nowhere'; install the package that has it"),
        (lambda: se.game(".games:Rooms"), ReferenceNotFoundError, "not of the form package.module:Name or path/to/file.py:Name"),
        (lambda: se.game("my_game.py:Unfinished"), ReferenceNotFoundError, "cannot be used yet: it does not define induced"),
        (lambda: se.game("my_game.py:Stubborn"), ReferenceNotFoundError, "the class Stubborn, and not a class that derives from"),
        (lambda: se.game("my_game.py:np"), ReferenceNotFoundError, "is a module, and not a class that derives from"),
        (lambda: se.game("my_game.py:nothing"), ReferenceNotFoundError, "returns an object of type int, and not a game"),
        (lambda: se.game("my_game.py:rooms", prize=1.0), TypeError, "built already and takes no arguments, got prize; refer to its class"),
        (lambda: se.game("my_game.py:Rooms", price=1.0), TypeError, "takes no argument 'price'; did you mean 'prize'"),
        (lambda: se.game("my_game.py:nothing", price=1.0), TypeError, "takes no argument 'price'; it takes none"),
        (lambda: se.register("MyGame-v0", "my_game.py:Rooms"), RegistrationError, "lower_case and ends in a version, such as 'my_game-v0'"),
        (lambda: se.register("my_game", "my_game.py:Rooms"), RegistrationError, "lower_case and ends in a version"),
        (lambda: se.register("my_game-v01", "my_game.py:Rooms"), RegistrationError, "lower_case and ends in a version"),
        (lambda: se.register("toy3-v0", "my_game.py:Rooms"), RegistrationError, "is stackelberg_envs.games.toy3:Toy3 already.*'toy3-v1'"),
        (lambda: se.register("toy_3-v0", "my_game.py:Rooms"), RegistrationError, "the same in CamelCase"),
        (lambda: se.register("a-v0", "my_game.Rooms"), RegistrationError, "not of the form package.module:Name"),
        (lambda: se.register("a-v0", 3), RegistrationError, "and not an object of type int"),  # type: ignore[arg-type]
        (lambda: se.register("a-v0", dict), ReferenceNotFoundError, "the class dict, and not a class that derives"),  # type: ignore[arg-type]
        (lambda: se.game(5), TypeError, "a game goes by its name, such as 'four_rooms-v0'; got 5"),  # type: ignore[arg-type]
        (lambda: solvers.build(None), TypeError, "a solver goes by its name, such as .*; got None"),  # type: ignore[arg-type]
        (lambda: solvers.solve(ROOMS, solvers.build("naive")), TypeError, "a built one goes to solvers.run"),  # type: ignore[arg-type]
        (lambda: solvers.solve(ROOMS, "naive", access="MODEL"), ArgumentError, "access is Access.RETURN or .*, got 'MODEL'"),  # type: ignore[arg-type]
        (lambda: solvers.solver_class("uphil"), KeyError, "no solver 'uphil'; .*package.module:Name or path/to/file.py:Name"),
        (lambda: solvers.build("my_solver.py:Uphil"), ReferenceNotFoundError, "did you mean 'Uphill'"),
        (lambda: solvers.build("my_solver.py:Uphill", slop=1.0), TypeError, "has no hyperparameter 'slop'; did you mean 'slope'"),
        (lambda: solvers.build("my_solver.py:Plain"), ReferenceNotFoundError, r"write @dataclass\(frozen=True\) above the class"),
        (lambda: solvers.build("my_solver.py:Half"), ReferenceNotFoundError, r"does not define estimate \(see Estimator\)"),
        (lambda: solvers.build("my_solver.py:Secretive"), ReferenceNotFoundError, "does not say what it may know; write  access:"),
        (lambda: solvers.build("my_game.py:Rooms"), ReferenceNotFoundError, "derives from solvers.Solver or solvers.Estimator"),
        (lambda: solvers.register("Mine", "my_solver.py:Uphill"), RegistrationError, "lower_case, such as 'my_solver'"),
        (lambda: solvers.register("hpgd", "my_solver.py:Uphill"), RegistrationError, "'hpgd' is solvers.estimators.hpgd.* 'hpgd_2'"),
        (lambda: world(kind="Stubborn"), configuration.ConfigError, "follower.kind is one of Soft.* or a place"),
        (lambda: world(kind="my_game.py:Deaf"), configuration.ConfigError, "is no follower, for it has no respond; give it respond"),
        (lambda: world(kind="my_game.py:rooms"), configuration.ConfigError, "an object of type Rooms, and not a class of followers"),
        (lambda: world(kind="my_game.py:Stubborn", heat=1), configuration.ConfigError, "unexpected keyword argument 'heat'"),
        (lambda: world(kind="my_game.py:Silent").key, ValueError, "Silent does not say its settings.*make the follower a dataclass"),
        (lambda: World("my_game.py:Nameless").key, ValueError, "Silent does not say its settings"),
        (lambda: configuration.world_of({"id": 3}, "here"), configuration.ConfigError, "id is text"),
    ],
)
def test_mistakes_get_a_line_that_says_what_to_do(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        call()
    assert "\n" not in str(raised.value.args[0])


TAKE_A_GAME = [
    function
    for name in se.__all__
    if inspect.isfunction(function := getattr(se, name)) and "game" in inspect.signature(function).parameters
]
"""Public functions of a game."""


@pytest.mark.parametrize("function", TAKE_A_GAME, ids=lambda function: function.__name__)
def test_a_games_name_in_place_of_the_game_is_refused_in_words(function: Callable[..., Any]) -> None:
    required = [
        name
        for name, one in inspect.signature(function).parameters.items()
        if one.default is one.empty and one.kind == one.POSITIONAL_OR_KEYWORD
    ]
    with pytest.raises(ArgumentError, match=r"a game is wanted, such as stackelberg_envs.game\('toy3-v0'\); got 'toy3-v0'"):
        function(**{name: "toy3-v0" if name == "game" else np.zeros(6) for name in required})


def test_files_that_cannot_be_imported_say_why(folder: Path) -> None:
    for name, text, message in (
        ("half.py", "x = (", r"SyntaxError: '\(' was never closed \(half.py, line 1\)"),
        ("needy.py", "\nimport not_installed", "ModuleNotFoundError: No module named 'not_installed', needy.py line 2"),
        ("json.py", "", "the name 'json' is taken by .*; rename the file"),
        ("my-game.py", "", "Python cannot import a file called my-game.py"),
    ):
        (folder / name).write_text(text)
        with pytest.raises(ReferenceNotFoundError, match=message):
            se.game(f"{name}:Game")
