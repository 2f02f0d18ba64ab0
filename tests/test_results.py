"""What docs/reference/results.md says of results is what they are, and the tables of them are what the lines say."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from baselines import read_results
from baselines.bench import best, cli, configuration, results_file, results_table
from baselines.bench.runner import run_all

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "docs" / "reproductions" / "recorded"
JOBS = """
name = "fresh"
seeds = 1
[[games]]
id = "toy3-v0"
arguments = { R = 2.0 }
follower = { kind = "Soft", temperature = 0.5 }
referee = { follower = { kind = "Hard", ties = "strong" } }
[[games.solvers]]
name = "penalty"
budget = 2
hyperparameters = { lr = 0.1 }
[[games.solvers]]
name = "independent_pg"
budget = 2
[[games.solvers]]
name = "slac"
budget = 2
[[games.solvers]]
name = "inverse_planning"
budget = 1
access = "INCENTIVE"
hyperparameters = { planning_steps = 1 }
[[games.solvers]]
label = "inverse planning, with options"
name = "inverse_planning"
budget = 1
access = "INCENTIVE"
hyperparameters = { planning_steps = 1, first = 0, confidence = 0.9, tolerance = 0.1, draws = 2, horizons = [1.0, 2.0] }
[[games.solvers]]
name = "qse_mle"
budget = 1
hyperparameters = { planning_steps = 1 }
[[games.solvers]]
name = "plan_after_estimation"
budget = 1
hyperparameters = { planning_steps = 1 }
[[games.solvers]]
name = "active_inverse"
budget = 1
hyperparameters = { planning_steps = 1 }
[[games.solvers]]
name = "multistart"
budget = 2
[[games.solvers]]
name = "combinatorial"
budget = 2
hyperparameters = { kept = 1, evaluations = 5 }
[[games.solvers]]
name = "line_search"
budget = 2
[[games.solvers]]
name = "enumeration"
budget = 2
[[games.solvers]]
name = "leader_ppo"
budget = 1
[[games]]
id = "bimatrix-v0"
follower = { kind = "Hard", ties = "strong" }
solvers = [{ name = "multiple_lp", label = "“LP”, exact", budget = 1, start = { 0 = 1.0 } }]
[[games]]
id = "contract_tree-v0"
follower = { kind = "Hard", ties = "strong" }
solvers = [{ name = "contract_lp", budget = 1 }]
[[games]]
id = "security-v0"
follower = { kind = "Hard", ties = "strong" }
solvers = [{ name = "security_lp", budget = 1 }]
[[games]]
id = "subsidy-v0"
follower = { kind = "Hard", ties = "strong" }
solvers = [{ name = "subsidy_planner", budget = 1 }]
[[games]]
id = "building-v0"
solvers = [{ name = "naive", budget = 1 }]
[[games]]
id = "toy3-v0"
follower = { kind = "SoftQLearning", temperature = 0.5, steps = 50 }
score = { horizon = 10, discount = 1.0 }
solvers = [{ name = "zeroth_order", budget = 2 }]
[[games]]
id = "guided_cartpole-v0"
solvers = [{ name = "zeroth_order", budget = 1 }]
[[games]]
id = "toy3-v0"
arguments = { R = 3.0 }
solvers = [{ name = "of_others.py:Mine", budget = 1 }]
"""
"""Runs that write, between them, every field of a history."""


def tables(heading: str) -> list[dict[str, str]]:
    """The rows of the first table under a heading of the page, by the names in its head."""
    section = (ROOT / "docs/reference/results.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    return [{name: cell.strip("`") if i == 0 else cell for i, (name, cell) in enumerate(zip(head, row, strict=True))} for row in rows]


FIELDS = {row["field"]: row for row in tables("A line") + tables("Reports")}
COLUMNS = {row["column"]: row for row in tables("Tables")}
KINDS = {
    "text": {str},
    "true": {bool},
    "false": {bool},
    "whole number": {int},
    "number": {int, float},
    "table": {dict},
    "list of numbers": {list},
    "list of tables": {list},
}
KINDS |= {"null": {type(None)}, "any": {str, int, float, bool, dict, list, type(None)}}
INSIDE = {"job.referee": "job.world.", "job.believed": "job.world.", "history": "history[]."} | {
    field: f"{field}." for field in FIELDS if any(other.startswith(f"{field}.") for other in FIELDS)
}
"""Tables whose own fields the page has, and how these begin."""


def leaves(table: dict[str, Any], within: str = "") -> Iterator[tuple[str, type]]:
    """(field as the page calls it, type) of all that a line holds."""
    for key, value in table.items():
        name = within + key if within + key in FIELDS or within + "*" not in FIELDS else within + "*"
        yield name, type(value)
        if name in INSIDE and value is not None:
            for entry in value if type(value) is list else [value]:
                yield from leaves(entry, INSIDE[name])


def dig(result: dict[str, Any], field: str) -> Any:
    value: Any = result
    for key in field.split("."):
        value = (value or {}).get(key)
    return value


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


RESULTS = results_table.files([RECORDED])
"""The recorded files with results of jobs."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    (folder / "fresh.toml").write_text(JOBS)
    (folder / "of_others.py").write_text("from solvers.estimators.naive import Naive\n\n\nclass Mine(Naive):\n    pass\n")
    path, wanted = folder / "fresh.jsonl", configuration.load(folder / "fresh.toml").jobs
    assert run_all(wanted, path, processes=1, console=Console(quiet=True)) == {}
    assert len(lines(path)) == len(wanted) == 21
    assert run_all(wanted, path, processes=1, console=Console(quiet=True), again=["naive"]) == {}
    assert len(lines(path)) == len(wanted) + 1
    return path


@pytest.fixture
def stackelberg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the command in this process: (exit status, what it said, on one line)."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["stackelberg", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), " ".join(re.sub("[│╭╮╰╯─]", "", said.out + said.err).split())

    return run


MEASURED = """
name = "measured"
seeds = 1
telemetry = true
[[games]]
id = "four_rooms-v0"
follower = { kind = "SoftQLearning", temperature = 0.05, steps = 50, pretraining = 20 }
[[games.solvers]]
name = "aho"
budget = 1
believes = { follower = { kind = "Soft", temperature = 0.1 } }
hyperparameters = { samples = 5 }
[[games]]
title = "Four Rooms, policy gradient"
id = "four_rooms-v0"
follower = { kind = "NaturalPolicyGradient", temperature = 0.05 }
[[games.solvers]]
name = "aho"
budget = 1
hyperparameters = { samples = 5 }
"""


def test_the_page_has_every_field_and_no_other(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "measured.toml").write_text(MEASURED)
    run_all(configuration.load(tmp_path / "measured.toml").jobs, tmp_path / "measured.jsonl", processes=1, console=Console(quiet=True))
    found = {pair for path in [fresh, tmp_path / "measured.jsonl", *RESULTS] for result in lines(path) for pair in leaves(result)}
    assert {name for name, _ in found} == set(FIELDS)
    for name, kind in found:
        assert kind in set().union(*(KINDS[word] for word in FIELDS[name]["type"].split(" or "))), name


def test_the_page_says_which_solver_writes_what(fresh: Path) -> None:
    said = {(name, solver) for name, row in FIELDS.items() for solver in re.findall(r"`(\w+)`", row.get("written by", ""))}
    wrote = {(f"history[].{key}", result["job"]["solver"]) for result in lines(fresh) for row in result["history"] for key in row}
    assert said == {(name, solver) for name, solver in wrote if "`" in FIELDS[name]["written by"]}
    ascending = {solver for name, solver in wrote if name == "history[].gradient_norm" and ":" not in solver}
    assert ascending == {"naive", "zeroth_order", "penalty", "independent_pg", "slac"}
    for result in lines(fresh):  # what every run writes is in every report
        every = {name.removeprefix("history[].") for name, row in FIELDS.items() if row.get("written by") == "every run"}
        assert all(every <= row.keys() for row in result["history"])


def test_the_table_is_what_the_lines_say(fresh: Path) -> None:
    """Column by column, by the field that the page says it is; a line that two files have is a row of the first."""
    paths = [fresh, *RESULTS]
    every = [(path, result) for path in paths for result in results_file.read(path).values()]
    first = {results_file.checksum(result): path for path, result in reversed(every)}
    table, results = read_results(paths), [(path, result) for path, result in every if first[results_file.checksum(result)] == path]
    assert list(table) == list(COLUMNS)
    assert table["file"].tolist() == [str(path) for path, _ in results]
    for name, row in COLUMNS.items():
        field, column = re.search(r"`(.*?)`", row["field"]), table[name]
        assert len(column) == len(results) > 2600
        assert column.dtype == object or row["type"] == "number"
        if field is None or name in ("access", "schema", "again"):
            continue
        expected = [dig(result, field[1]) for _, result in results]
        got = [None if value != value else value for value in column.tolist()]
        assert [json.loads(value) if value and row["type"] == "JSON" else value for value in got] == expected, name
    whole = {"seed", "budget", "commitments", "gradient_steps", "schema"}
    assert {name for name, column in table.items() if column.dtype == np.int64} >= whole


def test_old_lines_get_their_level_of_access_and_new_ones_say_it(fresh: Path) -> None:
    table = read_results([fresh, RECORDED / "toy.jsonl"])
    known = {(str(solver), str(level)) for solver, level in zip(table["solver"], table["access"], strict=True)}
    assert known >= {
        *(("penalty", "MODEL + TRAINING"), ("inverse_planning", "INCENTIVE"), ("leader_ppo", "OUTCOME"), ("zeroth_order", "RETURN")),
        *(("bchg", "OUTCOME"), ("bchg", "VALUE")),
    }
    assert set(table["schema"]) == {1, results_file.SCHEMA}
    assert set(table["again"]) == {0, 1}
    first = lines(fresh)[0]
    assert results_file.comparable(first) != results_file.comparable({**first, "leader_return": 0.0})
    for result in lines(fresh):
        older = {key: value for key, value in result.items() if key not in ("schema", "access")}
        assert results_file.comparable(older) == results_file.comparable(result)


@pytest.mark.parametrize("name", ["fresh", "tax", "sentinel"])
def test_a_row_a_report(fresh: Path, name: str) -> None:
    path = fresh if name == "fresh" else RECORDED / f"{name}.jsonl"
    table, results = read_results(path, history=True), list(results_file.read(path).values())
    reports = [(result["id"], *report) for result in results for report in zip(result["timing"]["history"], result["history"], strict=True)]
    assert [(id, seconds) for id, seconds, _ in reports] == list(zip(table["id"], table["seconds"], strict=True))
    for key in {key for _, _, row in reports for key in row}:
        got = [None if value != value else value for value in table[key].tolist()]
        expected = [row.get(key) for *_, row in reports]
        assert [json.loads(value) if isinstance(value, str) else value for value in got] == expected, key
    runs = read_results(path)
    shared = list(runs)[: list(runs).index("start_scale") + 1]
    assert list(table)[: len(shared) + 3] == [*shared, "iteration", "leader_return", "seconds"]
    last = np.flatnonzero(np.append(table["id"][1:] != table["id"][:-1], True))
    for column in shared:
        np.testing.assert_array_equal(table[column][last], runs[column], err_msg=column)


def parsed(path: Path, table: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """A CSV file's columns, of the types of ``table``."""
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    kinds: dict[str, Callable[[str], Any]] = {"i": int, "f": lambda cell: float(cell or "nan"), "O": lambda cell: cell or None}
    return {
        name: [kinds[table[name].dtype.kind](cell) for cell in cells] for name, cells in zip(head, zip(*rows, strict=True), strict=True)
    }


@pytest.mark.parametrize("options", [(), ("--history",)])
def test_csv_has_every_digit(fresh: Path, tmp_path: Path, stackelberg: Any, options: tuple[str, ...]) -> None:
    """A configuration by name, and a file: what is parsed back is the table."""
    code, said = stackelberg("results", "thermal", fresh, "--results", RECORDED, "--output", tmp_path / "a" / "runs.csv", *options)
    table = read_results([RECORDED / "thermal.jsonl", fresh], history=bool(options))
    assert (code, said) == (0, f"Table: {tmp_path}/a/runs.csv ({len(table['id'])} rows)")
    back = parsed(tmp_path / "a" / "runs.csv", table)
    assert list(back) == list(table)
    for name, column in table.items():
        np.testing.assert_array_equal(back[name], column.tolist(), err_msg=name)
    assert "“LP”, exact" in back["label"]


def test_parquet_without_pyarrow(fresh: Path, tmp_path: Path, stackelberg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, said = stackelberg("results", fresh, "--output", tmp_path / "runs.parquet")
    assert code == 2
    assert "Error: Parquet needs pyarrow: pip install pyarrow" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed: pip install 'stackelberg-envs[parquet]'")
def test_parquet_read_back_is_the_table(fresh: Path, tmp_path: Path, stackelberg: Any) -> None:
    parquet = importlib.import_module("pyarrow.parquet")
    assert stackelberg("results", fresh, "--to", "parquet", "--history", "--output", tmp_path / "runs")[0] == 0
    back = parquet.read_table(tmp_path / "runs").to_pydict()
    for name, column in read_results(fresh, history=True).items():
        assert back[name] == [None if value != value else value for value in column.tolist()], name


def test_a_configuration_ends_in_a_table_and_nothing_is_overwritten(
    tmp_path: Path, stackelberg: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run, its table, and the table again: the second is refused, and so is the results file as output, whatever is forced."""
    monkeypatch.chdir(tmp_path)
    solver = '[[games.solvers]]\nname = "implicit"\nbudget = 3\n'
    Path("my.toml").write_text(f'name = "mine"\nseeds = 2\n[[games]]\nid = "toy3-v0"\n{solver}')
    code, said = stackelberg("results")
    assert (code, "there are no results at results" in said) == (2, True)
    run_all(configuration.load("my.toml").jobs, Path("results/mine.jsonl"), processes=1, console=Console(quiet=True))
    assert stackelberg("results", "my.toml") == (0, f"Table: {tmp_path}/results.csv (2 rows)")
    assert parsed(Path("results.csv"), read_results("results"))["seed"] == [0, 1]
    before = Path("results.csv").read_bytes()
    code, said = stackelberg("results", "--history", "--output", "results.csv")
    assert code == 2
    assert "results.csv exists; give another --output, or --force to replace it" in said
    assert Path("results.csv").read_bytes() == before
    assert stackelberg("results", "mine", "--history", "--output", "results.csv", "--force")[0] == 0
    assert Path("results.csv").read_bytes() != before
    kept = Path("results/mine.jsonl").read_bytes()
    code, said = stackelberg("results", "--output", "results/mine.jsonl", "--force")
    assert (code, "is read, and cannot be the output" in said) == (2, True)
    assert Path("results/mine.jsonl").read_bytes() == kept
    code, said = stackelberg("results", "mien", "--force")
    assert (code, "no results of 'mien'" in said, "did you mean 'mine'?" in said) == (2, True, True)


def test_folders_and_what_is_not_a_result(fresh: Path, tmp_path: Path) -> None:
    assert {Path(name) for name in read_results(fresh.parent)["file"]} == {fresh}
    rows = [path.read_text().splitlines()[0] for path in (fresh, RECORDED / "preference-control.jsonl", RECORDED / "tax-dqn.jsonl")]
    for name, row in zip("abc", rows, strict=True):
        (tmp_path / f"{name}.jsonl").write_text(row + "\n")
    (tmp_path / "none.jsonl").touch()
    assert [Path(name).name for name in read_results(tmp_path)["file"]] == ["a.jsonl"]
    with pytest.raises(results_file.ResultsError, match=r"b\.jsonl.* is not a result of a job: it has no job\.world"):
        read_results([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    with pytest.raises(results_file.ResultsError, match=r"c\.jsonl, line 1 is not a result"):
        read_results(str(tmp_path / "c.jsonl"))
    with pytest.raises(FileNotFoundError, match=r"there are no results at .*nowhere"):
        read_results(tmp_path / "nowhere")
    assert {len(column) for column in read_results(tmp_path / "none.jsonl").values()} == {0}
    assert list(read_results(tmp_path / "none.jsonl")) == list(COLUMNS)


def test_copies_of_a_line_are_one_row(fresh: Path, tmp_path: Path, stackelberg: Any) -> None:
    """Files put together with ``cat`` lie beside their parts; a run that was made twice, or a copy that was edited, is no copy."""
    parts = fresh.read_text().splitlines(keepends=True)[:4]
    for name, content in {"a": parts[:2], "b": parts[2:], "whole": parts}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(content))
    for history in (False, True):
        both, alone = (read_results(path, history=history) for path in (tmp_path, tmp_path / "whole.jsonl"))
        assert list(both["id"]) == list(alone["id"])
    assert [Path(name).name for name in read_results(tmp_path)["file"]] == ["a.jsonl"] * 2 + ["b.jsonl"] * 2
    assert "(4 rows)" in stackelberg("results", "--results", tmp_path, "--output", tmp_path / "runs.csv")[1]
    first = json.loads(parts[0])
    repeated = results_file.with_checksum({**first, "timing": {**first["timing"], "finished": "2026-01-01T00:00:00+00:00"}})
    (tmp_path / "b.jsonl").write_text(json.dumps(repeated) + "\n")
    assert sorted(read_results(tmp_path)["id"]) == sorted([first["id"], *(json.loads(part)["id"] for part in parts)])
    (tmp_path / "b.jsonl").write_text(json.dumps({**first, "leader_return": 999.0}) + "\n")
    with pytest.raises(results_file.ResultsError, match=r"b\.jsonl, line 1 is not what a run wrote"):
        read_results(tmp_path)


def test_tasks_of_a_cluster_share_the_seeds(tmp_path: Path, stackelberg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journey of docs/how-to/run-on-a-cluster.md: two tasks with a folder each, their lines in one file, and the report of all."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(best, "COMMITTED", tmp_path / "nothing.jsonl")  # which takes seconds to read
    Path("my.toml").write_text(
        'name = "mine"\nfirst_seed = 5\n[[games]]\nid = "toy3-v0"\n[[games.solvers]]\nname = "zeroth_order"\nbudget = 2\n'
    )
    for task in range(2):
        arguments = ("--first-seed", 2 * task, "--seeds", 2, "--jobs", 1, "--results", f"results/{task}")
        assert stackelberg("bench", "my.toml", *arguments)[0] == 0
    Path("results/mine.jsonl").write_text("".join(Path(f"results/{task}/mine.jsonl").read_text() for task in range(2)))
    assert list(read_results("results")["seed"]) == [0, 1, 2, 3]
    assert [job.id for job in configuration.load("my.toml", seeds=4, first_seed=0).jobs] == list(read_results("results")["id"])
    code, said = stackelberg("report", "my.toml", "--first-seed", 0, "--seeds", 4)
    assert (code, "report.html" in said) == (0, True)
    assert stackelberg("report", "my.toml")[0] == 2, "there are no results of the seeds 5 to 9"
    assert [job.seed for job in configuration.load("my.toml", seeds=1).jobs] == [5]
    assert stackelberg("bench", "my.toml", "--first-seed", -1)[0] == 2


def test_corrupt_torn_and_newer_lines(fresh: Path, tmp_path: Path) -> None:
    first, second, *_ = fresh.read_text().splitlines(keepends=True)
    path = tmp_path / "some.jsonl"
    path.write_text(first + second[:-20])
    with pytest.warns(results_file.TornLineWarning, match="half written"):
        assert len(read_results(path)["id"]) == 1
    assert path.read_text() == first + second[:-20]
    path.write_text(first + "garbage\n" + second)
    with pytest.raises(results_file.ResultsError, match="line 2 is not a result"):
        read_results(tmp_path)
    path.write_text(json.dumps({**json.loads(first), "schema": results_file.SCHEMA + 1}) + "\n")
    with pytest.raises(
        results_file.ResultsError, match=f"schema {results_file.SCHEMA + 1}, and this version of stackelberg-envs reads up to"
    ):
        read_results(path)
    for key in ("cost", "leader_return", "timing"):
        path.write_text(json.dumps({name: value for name, value in json.loads(first).items() if name != key}) + "\n")
        with pytest.raises(results_file.ResultsError, match=f"line 1 is not what a run wrote: it has no {key}"):
            read_results(path)
    path.write_text(second + json.dumps({**json.loads(first), "leader_return": 999.0}) + "\n")
    with pytest.raises(results_file.ResultsError, match=r"line 2 is not what a run wrote: its leader_return is 999\.0"):
        read_results(path)


def test_reading_needs_no_torch(fresh: Path) -> None:
    """Not for new lines; the level of access of an old one is left empty without it, with a warning.  Importing needs nothing at all."""
    program = f"""if True:
        import sys, warnings
        import baselines
        assert not {{"torch", "rich", "numpy"}} & sys.modules.keys()
        sys.modules["torch"] = None
        table = baselines.read_results({str(fresh)!r})
        assert "rich" not in sys.modules and table["access"][0]
        with warnings.catch_warnings(record=True) as caught:
            table = baselines.read_results({str(RECORDED / "sentinel.jsonl")!r})
        assert set(table["access"]) == {{None}}, table["access"]
        assert "was allowed to know is left empty" in str(caught[0].message)
    """
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
