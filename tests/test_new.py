"""``stackelberg new`` and ``check``: from an empty folder to what is checked; and solvers that break their promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

import stackelberg_envs as se
from baselines.bench import checks, cli, configuration, kinds, new
from solvers import Estimate, Estimator, Solver, State, build
from solvers.estimators.implicit import exact_gradient
from solvers.testing import check_solver
from stackelberg_envs.references import ReferenceNotFoundError
from stackelberg_envs.testing import ConformanceError

ROOT = Path(__file__).parent.parent
THEIRS = '''
import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from pettingzoo import ParallelEnv


class Coin(gymnasium.Env):
    """Guess a coin."""

    observation_space, action_space = Discrete(2), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return int(self.np_random.integers(2)), float(action), True, False, {}


class Liar(Coin):
    """Shows what is not in its space."""

    def step(self, action):
        return 7, 0.0, True, False, {}


class Same(ParallelEnv):
    """Two players for three steps, paid where they do the same."""

    metadata = {"name": "same_v0"}

    def __init__(self):
        self.possible_agents, self.agents = ["one", "other"], []
        self.render_mode = None
        self.seen, self.choices = Discrete(4), {agent: Discrete(2) for agent in self.possible_agents}

    def observation_space(self, agent):
        return self.seen

    def action_space(self, agent):
        return self.choices[agent]

    def reset(self, seed=None, options=None):
        self.agents, self.time = list(self.possible_agents), 0
        return self._all(np.int64(0)), {agent: {} for agent in self.agents}

    def step(self, actions):
        for agent, action in actions.items():
            if not self.action_space(agent).contains(action):
                raise ValueError(f"{agent} cannot do {action!r}")
        self.time += 1
        over, paid = self.time == 3, float(len(set(map(int, actions.values()))) == 1)
        told = self._all(np.int64(self.time)), self._all(paid), self._all(over), self._all(False), {agent: {} for agent in self.agents}
        self.agents = [] if over else self.agents
        return told

    def _all(self, value):
        return {agent: value for agent in self.agents}


class Unrelated:
    pass


def coin():
    return Coin()


def number():
    return 3


def needy(size):
    return Coin()


constant = 3
'''


def command(*arguments: str, cwd: Path, module: str = "baselines.bench.cli") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_from_an_empty_folder_to_a_checked_game_and_solver(folder: Path) -> None:
    """What is written works as it is: its tests pass, and ``check`` passes."""
    for kind, name, *options in (("game", "mine"), ("solver", "mine_too"), ("solver", "method", "--method")):
        said = command("new", kind, name, *options, cwd=folder)
        assert said.returncode == 0, said.stderr
        assert f"pytest test_{name}.py" in said.stdout
    tested = command("-q", "-p", "no:cacheprovider", "-W", "error", cwd=folder, module="pytest")
    assert tested.returncode == 0, tested.stdout
    assert "7 passed" in tested.stdout
    checked = CliRunner().invoke(cli.app, ["check", "mine.py:Mine", "mine_too.py:MineToo"])
    assert checked.exit_code == 0, checked.output
    for subject in ("game mine: ", "environment mine_v0: ", "solver MineToo: "):
        assert subject in checked.output
    assert checked.output.count(" 0 failed") == 4


def test_written_files_are_short_and_clean_and_never_overwritten(folder: Path) -> None:
    new.game("a_game")
    new.solver("a_solver")
    new.solver("a_method", method=True)
    before = {path: path.read_text() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match=r"a_game\.py, test_a_game\.py; nothing was written"):
        new.solver("a_game")
    (folder / "a_game.py").unlink()
    with pytest.raises(FileExistsError, match=r"there already: test_a_game\.py"):
        new.game("a_game")
    assert not (folder / "a_game.py").exists()
    (folder / "a_game.py").write_text(before[folder / "a_game.py"])
    for path in folder.glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) < 90
        assert "$" not in text
        compile(text, path.name, "exec")
    linted = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "140", "--extend-select", "I,RET,N,UP,RUF", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("name", ["1a", "class", "none", "my-game", "_", "numpy", "json"])
def test_names_that_python_could_not_import(name: str, folder: Path) -> None:
    with pytest.raises(Exception, match=r"cannot be the name of a module|is a module already"):
        new.game(name)
    assert not list(folder.iterdir())


def test_a_benchmark_of_ones_own_beside_three_others(folder: Path) -> None:
    """Whoever declines a game is left out of it, with the reason; the file is a configuration as it stands."""
    new.solver("climber")
    new.game("sea")
    new.bench("mine", ["climber.py:Climber"], ["sea.py:Sea", "lq_gain-v0"])
    new.bench("theirs", ["climber.py:Climber"])
    for file, labels, counts in (("mine", ["sea:Sea", "lq_gain-v0"], [4, 3]), ("theirs", list(new.GAMES), [4, 4, 4])):
        loaded = configuration.load(f"{file}.toml")
        assert [section.world.label for section in loaded.sections] == labels
        assert [len({job.label for job in section.jobs}) for section in loaded.sections] == counts
    assert "# bchg is left out: BCHG works on tables" in (folder / "mine.toml").read_text()
    with pytest.raises(FileExistsError, match=r"mine\.toml; nothing was written"):
        new.bench("mine")


def test_anything_that_can_be_checked_is_checked_by_what_it_is(folder: Path) -> None:
    (folder / "theirs.py").write_text(THEIRS)
    with checks.console.capture() as captured:
        failed, of_games = checks.everything(["theirs.py:coin", "theirs.py:Same", "theirs.py:Liar", "contract_lp", "theirs.py:Unrelated"])
    said = " ".join(captured.get().split())
    assert (failed, of_games) == (3, [])
    assert "Gymnasium environment <Coin instance>: 1 passed" in said
    assert "environment same_v0: " in said
    assert "Gymnasium environment <Liar instance> fails 1 of 1 checks" in said
    assert "solver ContractLP fails 1 of " in said, "it plays contract trees only"
    assert "give check_solver games that it plays" in said
    assert CliRunner().invoke(cli.app, ["check", "theirs.py:Liar"]).exit_code == 1
    accepted = "what can be checked is a game, an AECEnv"
    for place, problem in {
        "theirs.py:Unrelated": f"is the class Unrelated; {accepted}",
        "theirs.py:number": f"returns an object of type int; {accepted}",
        "theirs.py:constant": f"is an object of type int; {accepted}",
        "theirs.py:needy": "missing a required argument: 'size'; give its arguments with --game KEY=VALUE",
        "theirs.py:Sama": "did you mean 'Same'",
    }.items():
        with pytest.raises(ReferenceNotFoundError, match=problem):
            kinds.load(place)


@dataclass(frozen=True)
class Sound(Solver):
    """Moves to better neighbours; the broken ones below differ from it in one thing each."""

    access: ClassVar[se.Access] = se.Access.RETURN
    tabular: ClassVar[bool] = False
    scale: float = 0.1

    def declines(self, oracle: se.Oracle) -> str | None:
        return None

    def init(self, oracle: se.Oracle, x: np.ndarray) -> State:
        return State(x, carried=self.value(oracle, x))

    def step(self, oracle: se.Oracle, state: State, rng: np.random.Generator) -> State:
        x = state.x + self.scale * self.noise(rng, len(state.x))
        value = self.value(oracle, x)
        better = value > state.carried
        return State(x if better else state.x, state.iteration + 1, value if better else state.carried)

    def value(self, oracle: se.Oracle, x: np.ndarray) -> float:
        return oracle.returns(x)

    def noise(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.normal(size=size)


class DrawsGlobally(Sound):
    def noise(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return np.random.normal(size=size)  # noqa: NPY002 - which is what is wrong with it


class Remembers(Sound):
    """Keeps a generator of its own on itself, seeded at the first step that it sees, and not in the state."""

    def step(self, oracle: se.Oracle, state: State, rng: np.random.Generator) -> State:
        object.__setattr__(self, "own", getattr(self, "own", None) or np.random.default_rng(0))
        return super().step(oracle, state, rng)

    def noise(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return self.own.normal(size=size)  # type: ignore[attr-defined]


class ForgetsOnResume(Remembers):
    """The same, but seeded anew in each ``init``: two runs agree, and a resumed one does not."""

    def init(self, oracle: se.Oracle, x: np.ndarray) -> State:
        object.__setattr__(self, "own", np.random.default_rng(0))
        return super().init(oracle, x)


class Peeks(Sound):
    """Digs the game out of the oracle, and climbs the follower's reward."""

    def value(self, oracle: se.Oracle, x: np.ndarray) -> float:
        oracle.returns(x)
        mdp = oracle.returns.__closure__[0].cell_contents.__self__.game.problems(x)[0]
        return float(np.sum(mdp.follower_reward * mdp.leader_policy[..., None]))


class AsksAbove(Sound):
    def value(self, oracle: se.Oracle, x: np.ndarray) -> float:
        return float(oracle.policies(x)[0].sum())


class AsksAboveQuietly(Sound):
    """Takes what it gets, and goes on without it."""

    def value(self, oracle: se.Oracle, x: np.ndarray) -> float:
        try:
            return float(oracle.policies(x)[0].sum())
        except se.AccessError:
            return oracle.returns(x)


class LeavesTheReals(Sound):
    def noise(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return np.full(size, np.inf)

    def value(self, oracle: se.Oracle, x: np.ndarray) -> float:
        return float(x[0])


class ChargesBackwards(Sound):
    def value(self, oracle: se.Oracle, x: np.ndarray) -> float:
        oracle.charge(linear_solves=-1)
        return oracle.returns(x)


class AsksNothing(Sound):
    def value(self, oracle: se.Oracle, x: np.ndarray) -> float:
        return float(x.sum())


class StandsStill(Sound):
    def step(self, oracle: se.Oracle, state: State, rng: np.random.Generator) -> State:
        return State(super().step(oracle, state, rng).x, state.iteration, state.carried)


class Carries(Sound):
    """Keeps something that no other process could read."""

    def value(self, oracle: se.Oracle, x: np.ndarray) -> float:
        class Value(float):
            pass

        return Value(oracle.returns(x))


@dataclass(frozen=True)
class Hides(Sound):
    width: float = field(default=1.0, repr=False)


@dataclass(frozen=True, init=False)
class TakesAnything(Sound):
    def __init__(self, **anything: Any) -> None:
        object.__setattr__(self, "scale", anything.get("scale", 0.1))


class Fails(Sound):
    def noise(self, rng: np.random.Generator, size: int) -> np.ndarray:
        raise ZeroDivisionError("a mistake")


class DeclinesAll(Sound):
    def declines(self, oracle: se.Oracle) -> str | None:
        return "not today"


SMALL_GAMES = [se.game("bimatrix-v0")]
BROKEN = {
    DrawsGlobally: ("draws from its own generator only", "global generator of np.random"),
    Remembers: ("a seed determines the run", "two runs with one seed differ"),
    ForgetsOnResume: ("a pickled run goes on bit for bit", "ends elsewhere"),
    Peeks: ("followers' rewards are not looked at", "sees what it may not"),
    AsksAbove: ("asks for nothing above its access", r"declares RETURN, and asks for oracle.policies \(access POLICY\)"),
    AsksAboveQuietly: ("asks for nothing above its access", r"asks for oracle.policies \(access POLICY\)"),
    LeavesTheReals: ("commitments stay finite", "the commitment after step 1 is not finite"),
    ChargesBackwards: ("asks for nothing above its access", "charges only its own work"),
    AsksNothing: ("the ledger counts what it uses", "nothing was asked"),
    StandsStill: ("an iteration is a step", "counts the steps from 0"),
    Carries: ("a pickled run goes on bit for bit", "cannot be pickled"),
    Hides: ("hyperparameters are named, and others refused", "without width"),
    TakesAnything: ("hyperparameters are named, and others refused", "any misspelled one"),
    Fails: ("comes through a run", "ZeroDivisionError: a mistake"),
    DeclinesAll: ("plays at least one game", "not today"),
}


@pytest.mark.parametrize("broken", list(BROKEN), ids=lambda cls: cls.__name__)
def test_a_broken_solver_fails_the_check_that_is_meant(broken: type[Sound]) -> None:
    check, why = BROKEN[broken]
    with pytest.raises(ConformanceError, match=rf"(?m)^  {check}[^:]*: .*{why}"):
        check_solver(broken, SMALL_GAMES)


class SaysExact(Estimator):
    """The exact gradient; the broken ones below say so, too."""

    access: ClassVar[se.Access] = se.Access.MODEL
    tabular: ClassVar[bool] = False
    exact: ClassVar[bool] = True

    def declines(self, oracle: se.Oracle) -> str | None:
        return None

    def estimate(self, oracle: se.Oracle, x: Any, memory: Any, rng: np.random.Generator) -> Estimate:
        return exact_gradient(oracle, x, memory, reaction=True)


class Descends(SaysExact):
    def estimate(self, oracle: se.Oracle, x: Any, memory: Any, rng: np.random.Generator) -> Estimate:
        return Estimate(-super().estimate(oracle, x, memory, rng).gradient)


class HoldsAnswers(SaysExact):
    def estimate(self, oracle: se.Oracle, x: Any, memory: Any, rng: np.random.Generator) -> Estimate:
        return exact_gradient(oracle, x, memory, reaction=False)


class KeepsTheFirst(SaysExact):
    """Right once: what it remembers stands in for the next gradient."""

    def estimate(self, oracle: se.Oracle, x: Any, memory: Any, rng: np.random.Generator) -> Estimate:
        found = super().estimate(oracle, x, None, rng).gradient if memory is None else memory
        return Estimate(found, found)


class SaysNothing(Descends):
    exact: ClassVar[bool] = False


def test_gradients_that_say_that_they_are_exact_are_compared_with_the_referee() -> None:
    """With minus the gradient, without the followers' reaction, with the gradient of another commitment; and who says nothing is told."""
    name = "the gradient is that of the referee's score"
    for wrong, why in ((Descends, "the sign is wrong"), (HoldsAnswers, "along a direction"), (KeepsTheFirst, "along a direction")):
        with pytest.raises(ConformanceError, match=rf"(?m)^  {name} \(bimatrix\): .*{why}") as error:
            check_solver(dataclass(frozen=True)(wrong), SMALL_GAMES, budget=2)
        assert len(error.value.report.failed) == 1  # type: ignore[attr-defined]
    silent = check_solver(dataclass(frozen=True)(SaysNothing), SMALL_GAMES)
    assert "exact: ClassVar[bool] = True" in silent.unchecked[name]
    two = [se.game("four_rooms-v0", max_cycles=20), se.game("lq_gain-v0")]
    assert {f"{name} (four_rooms)", f"{name} (lq_gain)"} <= set(check_solver("implicit", two, budget=2).passed)
    assert name in check_solver(build("implicit", one_context=True), SMALL_GAMES, budget=2).unchecked


def test_a_sound_solver_passes_everywhere() -> None:
    report = check_solver(Sound)
    assert not report.failed
    assert list(report.skipped) == ["followers' rewards are not looked at (lq_gain)"]


@pytest.mark.parametrize(
    ("solver", "game"),
    [
        (build("implicit"), se.game("random_markov_game-v0", states=4)),
        (build("hpgd", episodes=5), se.game("four_rooms-v0", max_cycles=20)),
        (build("zeroth_order"), se.game("toy3-v0")),
        (build("bchg", level="outcome"), se.game("toy3-v0")),
        (build("line_search"), se.game("bimatrix-v0")),
        (build("inverse_planning"), se.game("bimatrix-v0")),
    ],
    ids=lambda value: value.name if isinstance(value, se.StackelbergGame) else type(getattr(value, "estimator", value)).__name__,
)
def test_reference_solvers_keep_their_promises(solver: Solver, game: se.StackelbergGame) -> None:
    assert len(check_solver(solver, [game], budget=4).passed) >= 10


def test_what_is_checked_takes_arguments() -> None:
    """A class with arguments is built with those of ``--game``; a wrong or a missing one is named, and so is the way to give it."""
    game, kind = kinds.load("stackelberg_envs.deadlines:WithDeadline", {"game": "toy3-v0", "steps": 4})
    assert kind is kinds.KINDS[se.StackelbergGame]
    assert game.max_cycles == 4
    for arguments, wrong in (
        ({}, "'game'"),
        ({"game": "toy3-v0", "steps": 4, "speed": 1}, "speed"),
        ({"game": "toy3-v0", "steps": 0}, "whole number from 1"),
    ):
        with pytest.raises(ReferenceNotFoundError, match=wrong):
            kinds.load("stackelberg_envs.deadlines:WithDeadline", arguments)
