"""Benchmarks that survive being killed, and mistakes that get an answer."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_values import TOY3_OPTIMA, toy3_commitment
from rich.console import Console
from scipy.stats import trim_mean

import stackelberg_envs as se
from baselines.bench import best, checks, report, results_file
from baselines.bench import configuration as jobs
from baselines.bench.execution import execute
from baselines.bench.runner import run_all
from baselines.bench.stats import curve, iqm, mean_interval, share, summary
from baselines.studies import dqn_tax

QUIET = Console(quiet=True)
SMALL = """
name = "small"
seeds = 3

[[games]]
id = "toy3-v0"
title = "Toy"
published = [{ label = "BC-HG", value = 27.04, error = 0.155 }]

[[games.solvers]]
label = "exact"
name = "implicit"
budget = BUDGET
hyperparameters = { optimiser = "adam", lr = 0.1 }

[[games.solvers]]
label = "two-point"
name = "zeroth_order"
budget = BUDGET

[[games]]
id = "four_rooms-v0"
arguments = { preset = "bchg" }
follower = { kind = "Soft", temperature = 0.005 }
referee = { arguments = { preset = "bchg", beta = 1.0 } }

[[games.solvers]]
name = "naive"
budget = 20
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL.replace("BUDGET", "30"))
    return path


def command(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "baselines.bench.cli", *map(str, arguments)]
    return subprocess.run(call, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})


def comparable(path: Path) -> list[str]:
    return sorted(json.dumps(results_file.comparable(result), sort_keys=True) for result in results_file.read(path).values())


def test_a_run_is_a_function_of_its_job(config: Path, tmp_path: Path) -> None:
    loaded = jobs.load(config)
    assert len({job.id for job in loaded.jobs}) == len(loaded.jobs) == 9
    job = loaded.jobs[0]
    assert jobs.Job.from_dict(json.loads(json.dumps(job.as_dict()))).id == job.id
    assert results_file.comparable(execute(job)) == results_file.comparable(execute(job))
    path = tmp_path / "out.jsonl"
    assert run_all(loaded.jobs, path, processes=1, console=QUIET) == {}
    first = path.read_bytes()
    assert run_all(loaded.jobs, path, processes=1, console=QUIET) == {}
    assert path.read_bytes() == first, "what is there is not repeated"


def test_kill_and_resume(tmp_path: Path) -> None:
    """``kill -9`` in the middle of ``stackelberg bench``, twice, then the same command: every seed once, as in an uninterrupted run."""
    config = tmp_path / "small.toml"
    config.write_text(SMALL.replace("BUDGET", "1500"))
    whole = command("bench", config, "--jobs", "2", "--results", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    path = tmp_path / "killed" / "small.jsonl"
    call = [sys.executable, "-m", "baselines.bench.cli", "bench", str(config), "--jobs", "2", "--results", "killed"]
    for enough in (1, 3):
        process = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 120
        while (not path.exists() or path.read_bytes().count(b"\n") < enough) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert 1 <= len(results_file.read(path)) < 9
    last = command(*call[3:], cwd=tmp_path)
    assert last.returncode == 0, last.stderr
    assert len(path.read_text().splitlines()) == 9
    assert comparable(path) == comparable(tmp_path / "whole" / "small.jsonl")


def test_ctrl_c_leaves_finished_work(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(SMALL.replace("BUDGET", "4000"))
    for processes in ("1", "2"):
        path = tmp_path / processes / "small.jsonl"
        call = [sys.executable, "-m", "baselines.bench.cli", "bench", str(config), "--jobs", processes, "--results", processes]
        process = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        while not path.exists() or not path.read_bytes().count(b"\n"):
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert re.search(r"Stopped with \d of 9 runs in .*; the same command goes on from there", said.replace("\n", " "))
        assert "Traceback" not in said
        assert len(results_file.read(path)) >= 1


def test_a_killed_parent_leaves_no_workers(tmp_path: Path) -> None:
    """SIGKILL to the parent alone, and SIGINT to it alone: its workers end."""
    config = tmp_path / "small.toml"
    config.write_text(SMALL.replace("BUDGET", "100000000"))
    for number in (signal.SIGKILL, signal.SIGINT):
        call = [sys.executable, "-m", "baselines.bench.cli", "bench", str(config), "--jobs", "2", "--results", str(int(number))]
        process = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 90
        while len(_alive(process.pid)) < 4:  # the parent, a resource tracker, two workers
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(3)  # into the runs
        process.send_signal(number)
        process.wait(timeout=60)
        while _alive(process.pid):
            assert time.monotonic() < deadline + 60, "workers are still there"
            time.sleep(0.1)


def _alive(session: int) -> list[str]:
    """Processes of a session that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def test_torn_last_line_is_cut_with_a_warning(config: Path, tmp_path: Path) -> None:
    loaded, path = jobs.load(config), tmp_path / "out.jsonl"
    run_all(loaded.jobs[:3], path, processes=1, console=QUIET)
    intact = path.read_bytes()
    path.write_bytes(intact + b'{"id": "abc", "x": [1.0, 2')
    with pytest.warns(results_file.TornLineWarning, match="half written, and its run will be repeated"):
        assert len(results_file.read(path)) == 3
    with pytest.warns(results_file.TornLineWarning):
        assert run_all(loaded.jobs[:4], path, processes=1, console=QUIET) == {}
    assert path.read_bytes().startswith(intact)
    assert len(results_file.read(path)) == 4


def test_corruption_in_the_middle_is_an_error_and_nothing_changes(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "results" / "small.jsonl"
    run_all(jobs.load(config).jobs[:2], path, processes=1, console=QUIET)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "garbage", lines[1]]) + "\n")
    before = path.read_bytes()
    with pytest.raises(results_file.ResultsError, match=r"line 2 is not a result: b'garbage"):
        results_file.read(path)
    path.write_text("\n".join([*lines, "garbage"]) + "\n")
    with pytest.raises(results_file.ResultsError, match="line 3 is not a result"):  # a whole line is not a torn one
        results_file.read(path, repair=True)
    path.write_bytes(before)
    said = command("bench", config, "--jobs", "1", cwd=tmp_path)
    assert said.returncode == 2
    assert "line 2 is not a result" in said.stderr
    assert "Delete that line" in said.stderr
    assert path.read_bytes() == before


@given(st.lists(st.binary(max_size=40), max_size=5))
@settings(deadline=None, max_examples=50)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("store") / "any.jsonl"
    path.write_bytes(b"\n".join(lines))
    whole = all(results_file.parse(line) is not None for line in path.read_bytes().split(b"\n")[:-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", results_file.TornLineWarning)
        if whole:
            assert isinstance(results_file.read(path), dict)
        else:
            with pytest.raises(results_file.ResultsError, match="is not a result"):
                results_file.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds = 3", "seed = 3"), r"unknown key 'seed'; did you mean 'seeds'"),
        (("seeds = 3", "seeds = 0"), "seeds is a whole number 1 to 100000, got 0"),
        (("budget", "budgett"), r"games\[0\].solvers\[0\]: unknown key 'budgett'; did you mean 'budget'"),
        (('id = "toy3-v0"', 'id = "toy4-v0"'), "did you mean 'toy3-v0'"),
        (('name = "implicit"', 'name = "implict"'), "did you mean 'implicit'"),
        (("lr = 0.1", "learning_rate = 0.1"), "implicit has no hyperparameter 'learning_rate'"),
        (('preset = "bchg"', 'prest = "bchg"'), "takes no argument 'prest'; did you mean 'preset'"),
        (('kind = "Soft"', 'kind = "Softy"'), "follower.kind is one of Soft"),
        (('follower = { kind = "Soft", temperature = 0.005 }', 'follower = "Soft"'), "follower.kind is one of Soft"),
        (("lr = 0.1", 'lr = "fast"'), "implicit: lr is a number, got 'fast'"),
        (("seeds = 3", "seeds = "), "is not TOML"),
        (("budget = 30", 'budget = "many"'), r"solvers\[0\]: budget is a whole number from 1, got 'many'"),
        (("budget = 30", "start = { 9 = 1.0 }"), "no component 9; they are 0 to 5"),
        (('name = "implicit"', ""), r"solvers\[0\] has no name; known solvers: implicit"),
        (('name = "implicit"', 'name = "hpgd"'), "has no hyperparameter|the game has no incentive"),
        (('label = "two-point"', 'label = "exact"'), "two solvers have the same label"),
        (('name = "implicit"', 'name = "implicit"\naccess = "MODELL"'), "no access level 'MODELL'; did you mean 'MODEL'"),
        (('name = "implicit"', 'name = "implicit"\naccess = "outcome"'), "needs access MODEL, and was granted OUTCOME"),
        (('name = "naive"', 'name = "inverse_planning"'), r"solvers\[0\]: inverse_planning .* grant it access INCENTIVE"),
        (('title = "Toy"', "score = { horizn = 150 }"), "unknown key 'horizn'; did you mean 'horizon'"),
        (('title = "Toy"', "score = { horizon = 1.5 }"), r"games\[0\].score: horizon is a whole number, got 1.5"),
        (('title = "Toy"', 'score = { discount = "all" }'), "discount is a number, got 'all'"),
        (('title = "Toy"', "score = { discount = 1.0 }"), "an infinite horizon with discount 1 has no value"),
        (("value = 27.04", "valeu = 27.04"), "unknown key 'valeu'; did you mean 'value'"),
    ],
)
def test_mistakes_in_a_configuration(config: Path, tmp_path: Path, change: tuple[str, str], message: str) -> None:
    config.write_text(config.read_text().replace(*change, 1))
    with pytest.raises(jobs.ConfigError, match=message):
        jobs.load(config)


def test_the_command_line_answers_mistakes_in_a_line(tmp_path: Path) -> None:
    for arguments, message in (
        (("bench", "defualt"), "did you mean 'default'"),
        (("solve", "four_rooms", "implicitt"), "did you mean 'implicit'"),
        (("solve", "four_rooms-v9", "implicit"), "did you mean 'four_rooms-v0'"),
        (("solve", "toy3-v0", "implicit", "--set", "lr"), "not of the form name=value"),
        (("solve", "toy3-v0", "implicit", "--access", "mdel"), "did you mean 'MODEL'"),
        (("solve", "toy3-v0", "implicit", "--follower", "kind=Hart"), "follower.kind is one of Soft"),
        (("solve", "toy3-v0", "implicit", "--follower", "kind=Hard", "--temperature", "0.1"), "give one of them"),
        (("report", "--results", "nowhere"), "stackelberg bench default"),
    ):
        said = command(*arguments, cwd=tmp_path)
        assert said.returncode == 2, said
        assert message in said.stderr.replace("\n", " ")
        assert "Traceback" not in said.stderr


@pytest.mark.parametrize("module", ["tax", "claims", "reach"])
def test_pages_of_unknown_configurations_end_in_a_line(module: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", [module, "nope"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"baselines.studies.{module}").main()
    assert ended.value.code == 2
    assert "no configuration 'nope'" in capsys.readouterr().err


def test_the_dqns_curve_is_appended_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """By default in results, never in the committed record."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dqn_tax, "curve", lambda steps, **_: iter([{"steps": steps}]))
    monkeypatch.setattr(sys, "argv", ["dqn_tax", "--steps", "3"])
    dqn_tax.main()
    assert Path("results/dqn-tax.jsonl").read_text() == '{"steps": 3}\n'
    recorded = Path(dqn_tax.__file__).parents[2] / "docs/reproductions/recorded/dqn-tax.jsonl"
    monkeypatch.setattr(sys, "argv", ["dqn_tax", "--out", str(recorded), "--figure", "compared/dqn.svg"])
    dqn_tax.main()
    assert "<svg" in Path("compared/dqn.svg").read_text()
    assert "drawn in compared/dqn.svg" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["dqn_tax", "--out", "nowhere.jsonl", "--figure", "compared/dqn.svg"])
    with pytest.raises(SystemExit):
        dqn_tax.main()
    assert "nowhere.jsonl does not exist" in capsys.readouterr().err


def test_solve_list_and_help_tell_the_story(tmp_path: Path) -> None:
    said = command("solve", "four_rooms-v0", "implicit", "--budget", "20", "--game", "preset=bchg", "--set", "lr=0.1", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "budget of 20 commitments used: F = " in said.stdout
    assert "#############" in said.stdout
    hard = ("--game", "preset=maintain", "--follower", "kind=Hard", "--follower", "ties=strong")
    assert "F = 27.500000" in command("solve", "bimatrix-v0", "multiple_lp", "--budget", "1", *hard, cwd=tmp_path).stdout
    listed = command("list", cwd=tmp_path).stdout
    assert all(id in listed for id in (*se.games(), "implicit", "MODEL", "RETURN"))
    for name in ("", "list", "solve", "bench", "report", "results", "check", "instances", "new"):
        help_ = command(*([name] if name else []), "--help", cwd=tmp_path)
        assert help_.returncode == 0
        assert len(help_.stdout) > 200


def test_report_and_best_known(config: Path, tmp_path: Path) -> None:
    said = command("bench", config, "--jobs", "1", "--report", "page.html", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert str(tmp_path / "page.html") in said.stdout
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 6, "for two games curves, curves for narrow screens, and what was learned"
    assert "http" not in re.sub(r"data:[^\"]+", "", page), "self-contained"
    for expected in ("Toy", "exact", "two-point", "published: BC-HG", "MODEL", "RETURN"):
        assert expected in page
    loaded = jobs.load(config)
    parts = report.collect_parts(loaded, tmp_path / "results" / "small.jsonl", tmp_path / "results" / "best_known.jsonl")
    values = [result["leader_return"] for result in parts[0].groups["exact"]]
    assert parts[0].rows[0].score.centre == pytest.approx(trim_mean(values, 0.25))
    records = best.read_best(tmp_path / "results" / "best_known.jsonl")
    for record in records.values():
        assert record.rescore() == pytest.approx(record.leader_return, abs=1e-9)
    judged = next(record for record in records.values() if record.world.id == "four_rooms-v0")
    assert judged.world.arguments["beta"] == 1.0, "recorded where the score lives"
    checked = command("check", "--best", cwd=tmp_path)
    assert checked.returncode == 0
    spoiled = re.sub(r'"leader_return": [-0-9.e]+', '"leader_return": 99.0', (tmp_path / "results" / "best_known.jsonl").read_text())
    (tmp_path / "results" / "best_known.jsonl").write_text(spoiled)
    assert command("check", "--best", cwd=tmp_path).returncode == 1


def test_best_known_values_are_found_by_ids_without_version(tmp_path: Path) -> None:
    """And those of other games are left out."""
    tables = []
    for id in ("lq_gain", "lq_gain-v0"):
        with checks.console.capture() as captured:
            assert checks.best_known(tmp_path / "none.jsonl", [id]) == 0
        tables.append(captured.get())
    assert tables[0] == tables[1]
    assert "lq_gain-v0" in tables[0]
    assert "toy3" not in tables[0]
    with pytest.raises(KeyError, match="did you mean 'lq_gain-v0'"):
        checks.best_known(tmp_path / "none.jsonl", ["lq_gian"])


def test_committed_best_commitments_are_in_the_leaders_space() -> None:
    records = best.read_best(best.COMMITTED)  # that they are worth what they say is in test_verify
    assert records
    for record in records.values():
        assert np.array(record.x) in record.world.game().leader_space


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
@settings(deadline=None, max_examples=30)
def test_intervals(values: list[float]) -> None:
    result = summary(values)
    assert result.centre == pytest.approx(float(iqm(np.array(values))))
    assert min(values) - 1e-9 <= result.low <= result.centre + 1e-9
    assert result.centre - 1e-9 <= result.high <= max(values) + 1e-9


def test_curves_hold_the_last_report() -> None:
    grid, middle, low, high = curve(
        [np.array([0, 10, 20]), np.array([0, 5, 20])], [np.array([1.0, 2, 3]), np.array([1.0, 4, 5])], np.linspace(0, 20, 21)
    )
    assert middle[0] == 1.0
    assert middle[7] == pytest.approx((1 + 4) / 2)
    assert (low <= middle + 1e-12).all()
    assert (middle <= high + 1e-12).all()
    assert grid[-1] == 20


def test_two_benchmarks_do_not_write_to_one_file(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "results" / "small.jsonl"
    with results_file.writing(path):
        said = command("bench", config, "--jobs", "1", cwd=tmp_path)
    assert said.returncode == 2
    assert "another benchmark is writing to" in said.stderr
    assert not path.exists()
    (tmp_path / "file").touch()
    said = command("bench", config, "--results", "file", cwd=tmp_path)
    assert said.returncode == 2
    assert "Error" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_world_is_known_by_what_it_is() -> None:
    """However its arguments are spelt; and a run by its solver's defaults too."""
    keys = {jobs.World("toy3-v0").key, jobs.World("toy3", {"R": 1}).key, jobs.World("toy3-v0", {"R": 1.0, "max_cycles": 7}).key}
    assert len(keys) == 1
    assert jobs.World("toy3-v0", {"R": 2}).key not in keys
    world = jobs.World("toy3-v0")
    assert jobs.Job(world, "implicit", 5, 0).id == jobs.Job(world, "implicit", 5, 0, hyperparameters={"lr": 0.5}, label="x").id
    assert jobs.Job(world, "implicit", 5, 0).id != jobs.Job(world, "implicit", 5, 0, hyperparameters={"lr": 0.4}).id


def test_a_failed_run_is_named_and_the_others_go_on(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("lr = 0.1", "lr = 1e308", 1))
    for processes in ("1", "2"):
        said = command("bench", config, "--jobs", processes, "--results", processes, cwd=tmp_path)
        assert said.returncode == 1
        assert "Failed: toy3-v0, exact, seed 1: FloatingPointError" in said.stderr
        assert "Traceback" not in said.stderr
        assert len(results_file.read(tmp_path / processes / "small.jsonl")) == 6


def test_outcomes_from_a_changed_game(tmp_path: Path) -> None:
    """``outcomes`` is the published arrangement: the world slips less than followers and referee think."""
    path = tmp_path / "c.toml"
    path.write_text("""
first_seed = 1000
[[solvers]]
name = "naive"
budget = 3
[[games]]
id = "four_rooms-v0"
seeds = 2
arguments = { preset = "hpgd" }
follower = { kind = "Soft", temperature = 0.003 }
[[games.solvers]]
name = "hpgd"
budget = 3
outcomes = { slip = 0.33 }
hyperparameters = { episodes = 20 }
[[games.solvers]]
label = "planned for"
name = "hpgd"
budget = 3
hyperparameters = { episodes = 20 }
""")
    loaded = jobs.load(path)
    assert [job.seed for job in loaded.jobs] == [1000, 1000, 1000, 1001, 1001, 1001]
    by_label = {job.label: job for job in loaded.jobs}
    odd, plain = by_label["hpgd"], by_label["planned for"]
    believing = odd.world.answerer()
    assert isinstance(believing, se.Believes)
    worlds = (odd.world.game(), believing.game, odd.score_world.game())
    assert [getattr(game, "slip") for game in worlds] == [0.33, 0.44, 0.44]  # noqa: B009 - only this game has one
    assert odd.score_world.key == plain.score_world.key
    assert odd.world.key != plain.world.key
    assert odd.id != plain.id
    assert jobs.Job.from_dict(json.loads(json.dumps(odd.as_dict()))).id == odd.id
    played = {label: execute(job) for label, job in by_label.items()}
    assert played["hpgd"]["x"] != played["planned for"]["x"]
    assert len({row["history"][0]["leader_return"] for row in played.values()}) == 1, "one start, one referee"


def test_a_level_of_access_is_granted_and_shown(tmp_path: Path) -> None:
    """Inverse planning declines to design rewards that it may not know; told of its instrument it runs, and the report says so."""
    path = tmp_path / "c.toml"
    path.write_text("""
seeds = 1
[[games]]
id = "four_rooms-v0"
arguments = { preset = "bchg" }
[[games.solvers]]
name = "inverse_planning"
access = "Incentive"
budget = 2
[[games.solvers]]
name = "implicit"
access = "model"
budget = 2
""")
    loaded = jobs.load(path)
    design, exact = loaded.jobs
    assert design.granted_access == se.Access.INCENTIVE
    assert exact.id == jobs.Job(exact.world, "implicit", 2, 0).id, "what it has anyway is not another run"
    assert "access" not in jobs.Job(exact.world, "implicit", 2, 0).as_dict(), "lines of results stay what they were"
    assert design.id != jobs.Job(design.world, "inverse_planning", 2, 0).id
    assert jobs.Job.from_dict(json.loads(json.dumps(design.as_dict()))) == design
    assert run_all(loaded.jobs, tmp_path / "r.jsonl", processes=1, console=QUIET) == {}
    (part,) = report.collect_parts(loaded, tmp_path / "r.jsonl")
    assert {row.label: row.knows for row in part.rows} == {"implicit": "MODEL", "inverse_planning": "INCENTIVE"}
    assert list(report.table(part).columns[0].cells) == ["MODEL", "INCENTIVE"]
    solved = command(
        "solve", "four_rooms-v0", "inverse_planning", "--game", "preset=bchg", "--budget", "1", "--access", "incentive", cwd=tmp_path
    )
    assert solved.returncode == 0, solved.stderr


def test_reports_say_what_solvers_claim_beyond_their_score(tmp_path: Path) -> None:
    """The mean over seeds of the last optimism gap, where a solver scores itself; in records too, of which older ones have none."""
    path = tmp_path / "c.toml"
    path.write_text(
        'name = "c"\nseeds = 2\n[[games]]\nid = "random_markov_game-v0"\n'
        + "".join(f'[[games.solvers]]\nname = "{name}"\nbudget = 5\n' for name in ("penalty", "implicit"))
    )
    loaded = jobs.load(path)
    assert run_all(loaded.jobs, tmp_path / "r.jsonl", processes=1, console=QUIET) == {}
    found = results_file.read(tmp_path / "r.jsonl")
    ends = [result["history"][-1] for result in found.values() if result["job"]["solver"] == "penalty"]
    expected = float(np.mean([row["claimed_return"] - row["leader_return"] for row in ends]))
    results_file.record(tmp_path / "slim.jsonl", list(found.values()))
    for file in ("r.jsonl", "slim.jsonl"):
        (part,) = report.collect_parts(loaded, tmp_path / file)
        optimism = {row.label: row.optimism for row in part.rows}
        assert optimism == {"penalty": pytest.approx(expected, abs=1e-6), "implicit": None}
        shown = report.table(part).columns[-1]
        assert shown.header == "optimism"
        assert set(shown.cells) == {f"{expected:+.3f}", "-"}
    older = [{**result, "cost": {k: v for k, v in result["cost"].items() if k != "training_steps"}} for result in found.values()]
    results_file.record(tmp_path / "older.jsonl", older)
    assert len(report.collect_parts(loaded, tmp_path / "older.jsonl")[0].rows) == 2
    report.write(loaded, [part], tmp_path / "page.html", command=["x"])
    assert f"<td>{expected:+.3f}</td>" in (tmp_path / "page.html").read_text()


def test_scores_on_another_horizon(tmp_path: Path) -> None:
    """At the optimum of the undiscounted 150 steps the referee's first row is that optimum; nothing of it is mixed with other scores."""
    R, _, horizon, discount, optimum, _ = TOY3_OPTIMA[2]
    assert discount is not None
    game = se.game("toy3-v0", R=float(R))

    def value(p: float) -> float:
        return float(se.evaluate(game, toy3_commitment(p), horizon=horizon, leader_discount=discount).leader_return)

    p = max(np.linspace(0.01, 0.99, 981), key=value)
    path = tmp_path / "c.toml"
    text = f"""
name = "c"
seeds = 1
[[games]]
id = "toy3-v0"
arguments = {{ R = {R}.0 }}
published = [{{ label = "BC-HG", value = 58.9, error = 0.35 }}]
SCORE
[[games.solvers]]
name = "implicit"
budget = 2
start = {{ 3 = {toy3_commitment(p)[3]} }}
"""
    path.write_text(text.replace("SCORE", ""))
    (usual,) = jobs.load(path).jobs
    assert "score" not in usual.as_dict()
    path.write_text(text.replace("SCORE", "score = {}"))
    assert jobs.load(path).jobs[0].id == usual.id
    path.write_text(text.replace("SCORE", f"score = {{ horizon = {horizon}, discount = {int(discount)} }}"))
    (job,) = jobs.load(path).jobs
    assert job.id != usual.id
    assert jobs.Job.from_dict(json.loads(json.dumps(job.as_dict()))) == job
    result = execute(job)
    assert result["history"][0]["leader_return"] == pytest.approx(optimum, abs=0.01)
    assert result["x"] == execute(usual)["x"], "the leader's own objective is the game's"
    assert best.improve(tmp_path / "best.jsonl", [result], known={}) == []
    assert len(best.improve(tmp_path / "best.jsonl", [execute(usual)], known={})) == 1
    assert command("bench", path, "--results", "r", "--jobs", "1", "--report", "page.html", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "r" / "best_known.jsonl").exists()
    (part,) = report.collect_parts(jobs.load(path), tmp_path / "r" / "c.jsonl", tmp_path / "best.jsonl")
    assert part.best is None
    assert part.rows[0].score.centre == pytest.approx(result["leader_return"])
    assert "Score(horizon=150, discount=1.0)" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("first_seed = -1\nSECTION\nRUN", "first_seed is a whole number from 0, got -1"),
        ("SECTION\nseeds = 0\nRUN", "seeds is a whole number 1 to 100000, got 0"),
        ('SECTION\nfollower = { kind = "Soft", temperature = 0.1 }\nRUN\noutcomes = { slid = 0.3 }', "has no argument|slid"),
        ("SECTION\nRUN\noutcomes = { slip = 0.3 }", "need a game with a follower.kind of its own"),
        ("SECTION\nRUN\noutcomes = 3", "outcomes are arguments of the game"),
        ('SECTION\nfollower = { kind = "Soft", temperature = 0.1 }\nRUN\noutcomes = { walkers = 2 }', "cannot take"),
        ("games = [3]", r"games\[0\] is a table"),
        ("solvers = [3]\nSECTION\nRUN", r"solvers\[0\] is a table"),
        ("SECTION\npublished = 3\nRUN", "published is a list of tables"),
        ('SECTION\npublished = ["HPGD"]\nRUN', "published is a table"),
        ('SECTION\npublished = [{ label = "a", value = 1, error = "x" }]\nRUN', "an error is a number"),
        ("SECTION\ntitle = 3\nRUN", "title is text"),
    ],
)
def test_bad_seeds_and_outcomes(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(line.replace("SECTION", '[[games]]\nid = "four_rooms-v0"').replace("RUN", '[[games.solvers]]\nname = "naive"'))
    with pytest.raises(jobs.ConfigError, match=said):
        jobs.load(path)


def test_polish_ascends_from_every_end_point(config: Path, tmp_path: Path) -> None:
    """What it stores is at least what it started from, re-scored; worlds without gradients and repeated calls cost nothing."""
    assert command("bench", config, "--results", "r", "--jobs", "1", cwd=tmp_path).returncode == 0
    nothing = command("polish", config, "--results", "elsewhere", cwd=tmp_path)
    assert nothing.returncode == 2
    assert "no finished runs" in nothing.stderr
    first = command("polish", config, "--results", "r", "--jobs", "1", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "9 end points polished" in first.stdout
    before = results_file.read(tmp_path / "r" / "small.jsonl").values()
    polished = results_file.read(tmp_path / "r" / "polished.jsonl")
    starts = {tuple(np.ravel(result["x"])): result["leader_return"] for result in before}
    for result in polished.values():
        start = result["job"]["start"]
        assert result["leader_return"] >= starts[tuple(start[str(i)] for i in range(len(start)))] - 1e-12
    for record in best.read_best(tmp_path / "r" / "best_known.jsonl").values():
        assert record.rescore() == pytest.approx(record.leader_return, abs=1e-6)
        assert record.leader_return >= max(
            result["leader_return"] for result in polished.values() if jobs.Job.from_dict(result["job"]).score_world.key == record.world.key
        )
    again = command("polish", config, "--results", "r", "--jobs", "1", cwd=tmp_path)
    assert "9 of 9 runs are already" in again.stdout


def test_compare_says_what_agrees(config: Path, tmp_path: Path) -> None:
    """Published entries meet the solver of the same label; a record is a results file of its own; intervals decide."""
    text = config.read_text().replace('label = "BC-HG", value = 27.04', 'label = "exact", value = 99.0')
    config.write_text(text + 'seeds = 2\n[[games.solvers]]\nlabel = "alone"\nname = "naive"\nseeds = 1\nbudget = 20\n')
    assert command("bench", config, "--results", "r", "--jobs", "1", cwd=tmp_path).returncode == 0
    done = command("compare", config, "--results", "r", "--output", "c", "--maps", "1", "--record", "kept", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "c" / "small.md").read_text()
    rows = {
        row.split("|")[3].strip(): [cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:] if row.startswith("|")
    }
    assert "mean score in the last tenth of its iterations" in table, "the page says which statistic it has"
    assert rows["exact"][3] == "99.00 ± 0.155"
    assert rows["exact"][6] == "**no**"
    assert rows["alone"][4].count("[") == 0, "one seed has no interval"
    assert rows["alone"][3] == "-"
    assert "99.00 ± 0.155" in done.stdout, "the terminal shows the same"
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"small.md", "small-curves.svg", "small-maps-1.svg"}
    (tmp_path / "kept" / "best_known.jsonl").write_bytes((tmp_path / "r" / "best_known.jsonl").read_bytes())
    again = command("compare", config, "--results", "kept", "--output", "d", cwd=tmp_path)
    assert again.returncode == 0
    assert (tmp_path / "d" / "small.md").read_text() == table
    assert command("bench", config, "--results", "kept", "--jobs", "1", cwd=tmp_path).stdout.count("are already in") == 1
    assert "another folder" in command("compare", config, "--results", "r", "--record", "r", cwd=tmp_path).stderr
    assert "counted from 0 to 1" in command("compare", config, "--results", "r", "--maps", "7", cwd=tmp_path).stderr
    assert "no results of" in command("compare", config, "--results", "none", cwd=tmp_path).stderr


def test_means_and_shares() -> None:
    """Means and shares against their textbook values."""
    drawn = np.random.default_rng(0).normal(size=400)
    interval = mean_interval(drawn.tolist())
    assert interval.centre == pytest.approx(drawn.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * drawn.std(ddof=1) / 20, rel=0.05)
    assert mean_interval([1.0, 1.0]) == (1.0, 1.0, 1.0, 2)
    assert str(share(8, 10)) == "8 of 10 [0.49, 0.94]", "Wilson's interval, Brown, Cai and DasGupta 2001"
