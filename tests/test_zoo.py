"""The conformance kit on environments of others: it finds what is broken, whatever agents are called, and nothing in what is sound."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from typer.testing import CliRunner
from zoo import healthy_others, healthy_styles, verdicts
from zoo.defect import Defect
from zoo.tables_of_toll import arguments
from zoo.toll import NAMES, ParallelToll, Toll

from baselines.bench.cli import app
from stackelberg_envs.testing import ConformanceError, check_env

OTHER_NAMES = ("government", "worker")
ROLES = {"leader": OTHER_NAMES[0], "followers": [OTHER_NAMES[1]]}


@pytest.mark.parametrize("names", [NAMES, OTHER_NAMES], ids=lambda names: names[0])
@pytest.mark.parametrize("defect", verdicts.DEFECTS, ids=lambda defect: defect.build.__name__)
@pytest.mark.filterwarnings("ignore")
def test_what_is_broken_is_found(defect: Defect, names: tuple[str, str]) -> None:
    report = verdicts.report_of(defect, names)
    found = {"error": report.failed, "advice": report.advice}[defect.kind]
    assert defect.check in found, str(report)
    assert defect.kind == "error" or not report.failed, "what libraries trip over is no error"


def test_the_table_is_true() -> None:
    """PettingZoo's and Gymnasium's verdicts, computed again; on the sound environment both find nothing."""
    page = (Path(__file__).parents[1] / "docs/reference/broken-environments.md").read_text()
    assert page.partition("<!-- generated -->\n\n")[2] == verdicts.table(), "PYTHONPATH=tests python -m zoo.verdicts writes it anew"
    assert [verdicts.pettingzoo_verdict(build) for build in (Toll, ParallelToll)] == ["passes"] * 2
    gymnasium_check_env(verdicts.FollowerAlone(Toll()), skip_render_check=True)


@pytest.mark.parametrize("names", [NAMES, OTHER_NAMES], ids=lambda names: names[0])
@pytest.mark.parametrize("build", [Toll, ParallelToll])
def test_the_sound_one_passes_with_everything_that_can_be_said_of_it(build: Any, names: tuple[str, str]) -> None:
    report = check_env(partial(build, names), **arguments(names))
    assert not report.failed
    assert not report.advice
    assert list(report.unchecked) == ["the leader sees nothing of hidden actions"]


@pytest.mark.parametrize("build", healthy_styles.STYLES, ids=lambda build: build.__name__)
@pytest.mark.filterwarnings("ignore")
def test_styles_of_others_have_no_errors(build: Any) -> None:
    report = verdicts.report_on(partial(build, OTHER_NAMES), **ROLES, private="costs")
    assert not report.failed


@pytest.mark.parametrize("id", healthy_others.TOYS)
def test_toy_text_has_no_errors(id: str) -> None:
    assert not verdicts.report_on(partial(healthy_others.TaxedToy, id), max_moves=300).failed


@pytest.mark.parametrize("name", healthy_others.THEIRS)
@pytest.mark.filterwarnings("ignore")
def test_pettingzoos_own_have_no_errors(name: str) -> None:
    report = verdicts.report_on(healthy_others.THEIRS[name])
    assert not report.failed
    assert "a guess" in report.notes[0]


@pytest.mark.parametrize("name", healthy_others.MPE)
@pytest.mark.parametrize("make", ["env", "parallel_env"])
@pytest.mark.filterwarnings("ignore")
def test_mpe_has_no_errors(name: str, make: str) -> None:
    pytest.importorskip("mpe2", reason="mpe2 is optional: pip install mpe2")
    assert not verdicts.report_on(healthy_others.pettingzoo_environment(f"mpe2.{name}", make)).failed


def test_what_cannot_be_looked_at_is_said_with_the_argument_that_would_help() -> None:
    """Roles are guessed by name or by order, and the report says so; a guess by order makes findings about roles advice."""
    report = check_env(Toll(("upper", "lower")))
    assert report.notes == ["roles: upper leads, lower follows (a guess: the first agent; leader= and followers= say it)"]
    said = " ".join(report.unchecked.values())
    assert all(argument in said for argument in ("private=", "twin=", "hidden=", "model="))
    assert "by name" in check_env(Toll(OTHER_NAMES)).notes[0]
    late = next(defect for defect in verdicts.DEFECTS if defect.build.__name__ == "CommitmentSeenLate")
    assert late.check in check_env(partial(late.build, ("upper", "lower"))).advice
    assert late.check in verdicts.report_on(partial(late.build, ("upper", "lower")), leader="upper").failed
    with pytest.raises(ValueError, match="there is no agent 'lord'; leader and followers are among upper, lower"):
        check_env(Toll(("upper", "lower")), leader="lord")
    with pytest.raises(ValueError, match="cannot both lead and follow"):
        check_env(Toll(), leader="leader", followers=["leader"])


def test_a_pass_without_an_end_or_a_step_says_so() -> None:
    report = check_env(Toll(max_cycles=100_000), max_moves=3)
    assert "NO EPISODE ENDED in 3 moves" in report.unchecked["episodes end"]
    assert "NO EPISODE ENDED" in str(report)

    class Refuses(Toll):
        def step(self, action: Any) -> None:
            raise RuntimeError("closed")

    with pytest.raises(ConformanceError, match=r"(?s)RuntimeError: closed.*NOTHING ELSE WAS CHECKED"):
        check_env(Refuses())


def test_a_twin_and_a_model_by_other_means() -> None:
    """A twin with other costs finds what ``private`` finds; the same costs, or an attribute that moves nothing, are no test."""

    class Twin(Toll):
        costs = (0.9, 0.1, 0.5)

    leaking = next(defect.build for defect in verdicts.DEFECTS if defect.build.__name__ == "LeakInInfo")
    twin = type("LeakingTwin", (leaking,), {"costs": Twin.costs})
    name = "the leader sees nothing of the followers' insides"
    assert "the info depends on a follower's reward" in verdicts.report_on(leaking, twin=twin).failed[name]
    assert name in check_env(Toll, twin=Twin()).passed
    assert "pays its followers the same" in check_env(Toll, twin=Toll).unchecked[name]
    assert "followers are paid the same" in check_env(Toll, private={"render_mode": "none"}).unchecked[name]
    assert "has no attribute 'cost'" in verdicts.report_on(Toll, private="cost").failed[name]


def test_advice_is_an_error_where_it_is_asked_for() -> None:
    clips = next(defect.build for defect in verdicts.DEFECTS if defect.build.__name__ == "Clips")
    assert check_env(clips).advice
    with pytest.raises(ConformanceError, match="illegal actions are refused"):
        check_env(clips, strict=True)


def test_the_command_takes_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    call = ["check", "zoo.toll:Toll", "--leader", "leader", "--followers", "follower"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0
    assert "roles: leader leads, follower follows (as given)" in done.output
    assert "checking AEC environment toll_v0" in done.output, "in a file, a line says what takes its time"
    assert "skipped (--verbose says why)" in done.output
    assert "pass private=" in done.output
    assert "private= and hidden= are --private and --hidden here" in done.output
    said = CliRunner().invoke(app, [*call, "--private", "costs", "--verbose"]).output
    assert "pass private=" not in said
    assert "  skipped " in said
    leaks = CliRunner().invoke(app, ["check", "zoo.broken_roles:ContextInFirstObservation", "--hidden", "weather"])
    assert leaks.exit_code == 1
    assert "parallel environment" in leaks.output
    wrong = CliRunner().invoke(app, [*call[:3], "lord"])
    assert wrong.exit_code == 1
    assert "there is no agent 'lord'" in wrong.output
    assert CliRunner().invoke(app, ["check", "--leader", "leader"]).exit_code == 2


def test_tables_whose_axes_are_all_agents() -> None:
    """A game of simultaneous moves, with the leader's action as an axis; a table with two entries exchanged is found."""
    from stackelberg_envs.testing import Tables

    class Pennies(ParallelToll):
        def open(self, names: tuple[str, str], max_cycles: int) -> None:
            super().open(names, max_cycles)
            self.actions[self.lead] = self.actions[self.follow]

        def play(self, actions: dict[str, Any]) -> dict[str, float]:
            self.tolls = np.zeros(4)
            self.drive(1)
            same = float(actions[self.lead] == actions[self.follow])
            return {self.lead: same, self.follow: -same}

    rows = np.zeros((4, 3, 3, 4))
    for s in range(4):
        rows[s, :, :, s] = 1 - 0.5 * 0.9
        if s < 3:
            rows[s, :, :, s + 1] = 0.5 * 0.9
    pays = np.broadcast_to(np.eye(3), (4, 3, 3))
    tables = Tables(lambda env: min(env.district, 4), rows, {"leader": pays, "follower": -pays}, agents=NAMES)
    name = "steps follow the model's kernel"
    assert name in check_env(Pennies, model=tables, kernel_steps=300).passed
    exchanged = Tables(tables.state, rows, {"leader": pays[:, ::-1]}, agents=NAMES)
    assert "the model says" in verdicts.report_on(Pennies, model=exchanged, kernel_steps=300).failed[name]


def test_what_a_reset_draws_is_advice_where_it_only_goes_with_what_is_public() -> None:
    """A public season makes the hidden rain likely: no attribute moves what the leader sees, and a forecast is not a leak for certain."""

    class Forecast(healthy_styles.DrawnCosts):
        def begin(self, seed: int | None) -> None:
            super().begin(seed)
            self.weather = int(self.np_random.random() < 0.03 + 0.94 * self.season)

    name = "the leader sees nothing before it commits that it must not"
    assert "goes with weather in 100 resets" in verdicts.report_on(Forecast, hidden="weather").advice[name]
    assert name in verdicts.report_on(healthy_styles.DrawnCosts, hidden="weather", private="costs").passed
    crashes = {"weather": lambda weather: "rain"}
    assert "say what to change them to" in verdicts.report_on(ParallelToll, hidden=crashes).unchecked[name]


def test_an_impossible_move_is_told_with_state_and_action() -> None:
    """And so are states beyond the tables, which are no IndexError."""
    from stackelberg_envs.testing import Tables

    name, stays = "steps follow the model's kernel", np.tile(np.eye(4)[:, None], (1, 3, 1))
    moved = r"from state (\d) with actions \(\d,\): the environment went to \d, and the model says \1"
    for state, rows, said in (
        (lambda env: min(env.district, 4), stays, moved),
        (lambda env: env.district + 9, stays, "state gives 9 before a move, and the tables have states 0 to 3; 4 is after the end"),
        (lambda env: 9 * (env.district > 0), stays, "from state 0 state gives 9: the tables have states 0 to 3, and 4 is the end"),
    ):
        found = verdicts.report_on(Toll, model=Tables(state, rows, {}), kernel_steps=60).failed[name]
        assert re.fullmatch(said, found), found
