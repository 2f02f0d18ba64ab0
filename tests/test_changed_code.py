"""A result belongs to the code that made it: source that changes, versions that differ, and lines that were edited are told apart."""

from __future__ import annotations

import abc
import importlib
import io
import json
import pickle
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import solvers
import stackelberg_envs as se
from baselines import read_results
from baselines.bench import audit, best, cli, compare, configuration, jobs, report, results_file, source
from baselines.bench.runner import run_all

SOLVER = """
from dataclasses import dataclass
from typing import ClassVar

from my_rules import direction
from solvers import Solver, State
from stackelberg_envs import Access


@dataclass(frozen=True)
class Steps(Solver):
    access: ClassVar[Access] = Access.RETURN

    def declines(self, oracle):
        return None

    def init(self, oracle, x):
        return State(x)

    def step(self, oracle, state, rng):
        oracle.returns(state.x)
        return State(state.x + direction())
"""
RULES = "def direction():\n    import my_numbers\n    return my_numbers.UP\n"
CONFIG = """
name = "mine"
seeds = 2
[[games]]
id = "toy3-v0"
arguments = { R = 1.375 }
[[games.solvers]]
label = "steps"
name = "my_solver.py:Steps"
budget = 4
[[games.solvers]]
label = "uphill"
name = "naive"
budget = 4
"""
MODULES = ("my_solver", "my_rules", "my_numbers")


def forget() -> None:
    """As a new process would begin."""
    for name in MODULES:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two versions of a file within a second have one time stamp
    monkeypatch.setattr(best, "COMMITTED", tmp_path / "nothing.jsonl")
    for name, text in (("my_solver", SOLVER), ("my_rules", RULES), ("my_numbers", "UP = 0.25\n")):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "mine.toml").write_text(CONFIG)
    yield tmp_path
    forget()


def bench(folder: Path, **options: Any) -> str:
    """Run the configuration as a new process would; what was said, on one line."""
    forget()
    printed = io.StringIO()
    assert run_all(configuration.load("mine.toml").jobs, folder / "mine.jsonl", processes=1, console=Console(file=printed), **options) == {}
    return " ".join(printed.getvalue().split())


def shown(folder: Path) -> tuple[report.Part, str]:
    """The report's one table, and all that is printed of it."""
    (part,) = report.collect_parts(configuration.load("mine.toml"), folder / "mine.jsonl")
    printed = io.StringIO()
    Console(file=printed, width=300).print(report.table(part), compare.table([part], "mine"))
    return part, " ".join(printed.getvalue().split())


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "mine.jsonl").read_text().splitlines()]


def rewrite(folder: Path, *results: dict[str, Any]) -> None:
    (folder / "mine.jsonl").write_text("".join(json.dumps(result) + "\n" for result in results))


def test_a_change_in_what_a_solver_imports_is_another_run(folder: Path) -> None:
    """Two imports down, inside a function: new results, the old ones kept in the file, left out of tables, and said so by line."""
    bench(folder)
    before = lines(folder)
    assert {"my_solver:Steps"} == before[0]["code"].keys() - {"suite"}
    assert "4 of 4 runs are already in" in bench(folder)
    (folder / "my_numbers.py").write_text("UP = 0.5\n")
    said = bench(folder)
    assert "2 of 4 runs are already in" in said
    day = before[0]["timing"]["finished"][:10]
    assert f"2 runs of steps by other code are not shown, made {day}: my_solver:Steps had another source" in said
    with pytest.warns(UserWarning, match="2 lines are runs of other code"):
        current = read_results(folder / "mine.jsonl")
    every = read_results(folder / "mine.jsonl", every=True)
    assert (len(current["id"]), len(every["id"]), len(set(every["code"]))) == (4, 6, 3)
    assert set(current["id"]) == {line["id"] for line in lines(folder)[1:] if line not in (before[0], before[2])}
    with pytest.warns(UserWarning, match="other code"):
        assert set(read_results(folder, history=True)["id"]) == set(current["id"])
    assert set(read_results(folder, history=True, every=True)["code"]) == set(every["code"])
    after = lines(folder)
    assert after[:4] == before
    part, text = shown(folder)
    assert [len(group) for group in part.groups.values()] == [2, 2]
    assert [result["x"] for result in part.groups["steps"]] == [after[4]["x"], after[5]["x"]] != [before[0]["x"], before[2]["x"]]
    assert text.count("2 runs of steps by other code are not shown") == 2, "in both tables"
    (folder / "my_numbers.py").write_text("UP = 0.25\n")
    said = bench(folder)
    assert "4 of 4 runs are already in" in said, "the old code has its old results"
    assert "2 of them are of code that has come back" in said
    assert "come back" not in bench(folder), "once"
    with pytest.warns(UserWarning, match="2 lines are runs of other code"):
        back = read_results(folder / "mine.jsonl")
    assert set(back["id"]) == {line["id"] for line in before}, "what the bench shows is what is read"
    assert sorted(back["again"]) == [0, 0, 1, 1]
    assert len(read_results(folder / "mine.jsonl", every=True)["id"]) == 6
    (folder / "my_numbers.py").write_text("UP = 0.5\n")
    assert "2 runs of steps by other code are not shown" in bench(folder), "runs are counted, and not their lines"
    changed = [line for line in lines(folder) if line["id"] not in {line["id"] for line in before}]
    rewrite(folder, *before, changed[0])  # the changed code has run once, and then failed
    with pytest.warns(UserWarning, match="other code"), pytest.warns(UserWarning, match="rows of my_solver:Steps are of 2 sources"):
        read_results(folder / "mine.jsonl")


def test_the_best_of_discarded_runs_is_called_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commitment of none of the runs shown is no best known value; a gap of less than nothing is 0.000."""
    monkeypatch.setattr(best, "COMMITTED", folder / "nothing.jsonl")
    bench(folder)
    (part,) = report.collect_parts(configuration.load("mine.toml"), folder / "mine.jsonl")
    results = [result for group in part.groups.values() for result in group]
    best.improve(folder / "best_known.jsonl", results, known={})
    (part,) = report.collect_parts(configuration.load("mine.toml"), folder / "mine.jsonl", folder / "best_known.jsonl")
    assert part.best is not None
    assert part.best_name == "best of these runs"
    elsewhere = replace(part, best=replace(part.best, found_by="steps, seed 0"), only_ours=False, others=True)
    assert "best_known.jsonl beside the results (steps, seed 0)" in elsewhere.statistics
    assert "-0.000" not in table_text(replace(part, rows=[replace(row, gap=-1e-9) for row in part.rows]))
    top = part.best.x
    rewrite(folder, *(line for line in lines(folder) if not np.allclose(line["x"], top)))
    (part,) = report.collect_parts(configuration.load("mine.toml"), folder / "mine.jsonl", folder / "best_known.jsonl")
    assert part.best_name == "best of other runs"


def table_text(part: report.Part) -> str:
    printed = io.StringIO()
    Console(file=printed, width=300).print(report.table(part))
    return printed.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "unrelated.py").write_text("UP = 1.0\n"),
        lambda folder: (folder / "my_rules.py").write_bytes(RULES.replace("\n", "\r\n").encode()),
    ],
)
def test_what_is_not_imported_does_not_count_nor_do_line_ends(folder: Path, change: Callable[[Path], Any]) -> None:
    cls = solvers.solver_class(str(folder / "my_solver.py:Steps"))
    before = source.digests(cls)
    change(folder)
    assert source.digests(cls) == before
    (folder / "my_rules.py").write_text(RULES.replace("UP", "UP * 2"))
    assert source.digests(cls) != before


def test_bases_and_packages_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base class elsewhere, a package's own folder, relative imports; an installed package is followed no further than itself."""
    site = folder / "site-packages"
    for package in (folder / "mypack" / "deep", site / "theirs"):
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    (folder / "mypack" / "__init__.py").write_text("from . import rules\n")
    (folder / "mypack" / "rules.py").touch()
    (folder / "mypack" / "deep" / "game.py").write_text("from ..other import x\nfrom theirs import y\n")
    (folder / "mypack" / "other.py").touch()
    (site / "theirs" / "one.py").write_text("import another\nfrom theirs import __init__\n")
    (site / "another.py").touch()
    found = source.local_files("mypack.deep.game", folder / "mypack" / "deep" / "game.py")
    names = {"mypack/__init__.py", "mypack/rules.py", "mypack/other.py", "mypack/deep/__init__.py", "mypack/deep/game.py"}
    assert set(found) == names
    assert set(source.local_files("theirs.one", site / "theirs" / "one.py")) == {"theirs/__init__.py", "theirs/one.py"}
    (folder / "child.py").write_text("from parent import Parent\nclass Child(Parent): pass\n")
    (folder / "parent.py").write_text("class Parent: pass\n")
    sys.path.append(str(folder))
    before = source.digests(importlib.import_module("child").Child)
    with monkeypatch.context() as patched:  # Python's own files are not read
        patched.setattr(source, "local_files", lambda module, file: pytest.fail(f"{module} was looked at"))
        assert source.digests(abc.ABC).keys() == {"abc:ABC"}
    (folder / "parent.py").write_text("class Parent: x = 1\n")
    assert source.digests(sys.modules.pop("child").Child) != before
    del sys.modules["parent"]


def test_code_without_a_file_is_known_in_its_process_only() -> None:
    space: dict[str, Any] = {"__name__": "typed"}
    exec("class Typed:\n    def step(self): return 1", space)
    assert source.digests(space["Typed"]) == {"typed:Typed": source.PROCESS}


def test_again_makes_runs_anew_and_keeps_the_old_lines(folder: Path) -> None:
    """By label or pattern; an again that was stopped goes on; the last line of an id counts."""
    bench(folder)
    first = lines(folder)
    bench(folder, again=["up*"])
    second = lines(folder)
    assert second[:4] == first
    assert [result["again"] for result in second[4:]] == [1, 1]
    assert {result["job"]["label"] for result in second[4:]} == {"uphill"}
    assert [results_file.comparable(result) for result in second[4:]] == [results_file.comparable(first[i]) for i in (1, 3)]
    rewrite(folder, *second[:5])  # as if stopped after the first
    bench(folder, again=["uphill"])
    assert [result["id"] for result in lines(folder)] == [result["id"] for result in second]
    (part, _) = shown(folder)
    assert [result["again"] for result in part.groups["uphill"]] == [1, 1]
    with pytest.raises(ValueError, match="no solver here is called 'uphil'; did you mean 'uphill'"):
        run_all(configuration.load("mine.toml").jobs, folder / "mine.jsonl", processes=1, console=Console(quiet=True), again=["uphil"])


def test_mixed_versions_are_never_one_table(folder: Path) -> None:
    """An estimator with its sign turned between two seeds, or another numpy: two rows with what tells them apart, and a note."""
    bench(folder)
    turned = [
        {**result, "code": {**result["code"], "suite": "0" * 16}, "versions": {**result["versions"], "numpy": "2.0.0"}}
        if result["job"]["seed"] == 1 and result["job"]["label"] == "uphill"
        else result
        for result in lines(folder)
    ]
    rewrite(folder, *(results_file.with_checksum(result) for result in turned))
    part, text = shown(folder)
    now = source.suite_digest()
    mine = f"uphill (numpy {np.__version__}, suite code {now})"
    theirs = f"uphill (numpy 2.0.0, suite code {'0' * 16})"
    assert {label: len(group) for label, group in part.groups.items()} == {"steps": 2, mine: 1, theirs: 1}
    assert {row.label for row in part.rows} == {cell.label for cell in compare.cells(part)} == {"steps", mine, theirs}
    assert f"runs of uphill are kept apart, for they were made by different code (1 with numpy {np.__version__}" in text
    assert "They were made by other code: 1 of them with numpy 2.0.0" in bench(folder)
    bench(folder, again=["uphill"])
    assert {label: len(group) for label, group in shown(folder)[0].groups.items()} == {"steps": 2, "uphill": 2}
    older = [{key: value for key, value in result.items() if key not in ("code", "checksum", "schema", "access")} for result in turned]
    rewrite(folder, *(replace_versions(result) for result in older if result["job"]["label"] == "uphill"))
    assert {len(group) for group in shown(folder)[0].groups.values()} == {2}, "older lines are one table, with what they say"


def replace_versions(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "versions": {"stackelberg-envs": "0.2.0", "torch": "2.13.0", "numpy": "2.4.6"}}


def edited(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The line with other fields and a checksum that fits, as a line of an older schema, which has none, would be."""
    return lambda line: results_file.with_checksum({**line, **changes})


EDITS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "score": (lambda line: {**line, "leader_return": 999.0}, "its leader_return is 999.0, and the last report of its history"),
    "both scores": (
        lambda line: {**line, "leader_return": 999.0, "history": [*line["history"][:-1], {**line["history"][-1], "leader_return": 999.0}]},
        "it was changed after it was written",
    ),
    "NaN": (edited(leader_return=float("nan")), "leader_return holds what is no finite number"),
    "text": (edited(leader_return="34.9"), "leader_return holds what is no finite number"),
    "x": (edited(x=[0.5]), "its x has shape (1,), and commitments here (6,)"),
    "NaN in x": (edited(x=[0.0, float("nan")]), "x holds what is no finite number"),
    "history": (edited(history=[]), "its history is empty"),
    "cost": (lambda line: {key: value for key, value in line.items() if key != "cost"}, "it has no cost"),
    "budget": (lambda line: edited(job={**line["job"], "budget": 3})(line), "job.budget is 3, and its id is of a run with 4"),
    "larger budget": (
        lambda line: edited(job={**line["job"], "budget": 50})(line),
        "it ended after 4 commitments, and its job has a budget of 50",
    ),
    "seed": (lambda line: edited(job={**line["job"], "seed": 7})(line), "job.seed is 7, and its id is of a run with 0"),
    "game": (
        lambda line: edited(job={**line["job"], "world": {**line["job"]["world"], "arguments": {"R": 2.0}}})(line),
        "its id is of a job with another world",
    ),
    "list": (edited(job=[]), "its job is [], and a run writes"),
    "schema": (edited(schema="3"), "its schema is '3', and a run writes a whole number"),
    "anew": (edited(again="1"), "its again is '1', and a run writes a whole number"),
    "code": (edited(code=[]), "its code is [], and a run writes"),
    "versions": (edited(versions="0.2.0"), "its versions is '0.2.0', and a run writes"),
    "no world": (lambda line: edited(job={name: line["job"][name] for name in ("solver", "budget")})(line), "it has no job.world"),
    "no seconds": (lambda line: edited(timing={"history": line["timing"]["history"]})(line), "it has no timing.seconds"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[configuration.Config, list[dict[str, Any]], Path]:
    """Four runs of ours, and their lines."""
    place = tmp_path_factory.mktemp("whole")
    (place / "mine.toml").write_text(CONFIG.replace('"my_solver.py:Steps"', '"zeroth_order"'))
    config = configuration.load(place / "mine.toml")
    run_all(config.jobs, place / "mine.jsonl", processes=1, console=Console(quiet=True))
    return config, lines(place), place


@pytest.mark.parametrize(("edit", "message"), EDITS.values(), ids=EDITS)
def test_a_line_edited_by_hand_is_named_and_not_shown(whole: Any, edit: Any, message: str) -> None:
    config, written, _ = whole
    checked = audit.audit(config.jobs, list(enumerate([edit(written[0]), *written[1:]], 1)))
    assert [result["id"] for result in checked.results] == [result["id"] for result in written[1:]]
    (remark,) = checked.remarks
    assert remark.startswith("line 1 is not shown (toy3-v0, steps, seed 0): ")
    assert message in remark
    if "score" in message or "changed" in message:
        assert f"the referee scores its x at {written[0]['leader_return']:.6g}, and the line says 999.0" in remark


def test_swapped_ids_are_named_and_the_runs_repeated(whole: Any, tmp_path: Path) -> None:
    config, written, _ = whole
    first, second = written[0], written[2]
    swapped = [edited(id=second["id"])(first), written[1], edited(id=first["id"])(second), written[3]]
    rewrite(tmp_path, *swapped)
    printed = io.StringIO()
    run_all(config.jobs, tmp_path / "mine.jsonl", processes=1, console=Console(file=printed, width=300))
    assert "line 1 is not shown" in printed.getvalue()
    assert "job.seed is 0, and its id is of a run with 1" in printed.getvalue()
    checked = audit.audit(config.jobs, results_file.read_lines(tmp_path / "mine.jsonl"))
    assert (checked.remarks, len(checked.results)) == ([], 4)
    assert lines(tmp_path)[:4] == swapped, "nothing is overwritten"
    twice = [*written, edited(leader_return=3.0)(first)]
    (remark,) = audit.audit(config.jobs, list(enumerate(twice, 1))).remarks
    assert remark == "line 5 is not shown: it has the id of line 1, and says something else"


def test_a_checkpoint_of_other_versions_is_refused_in_words() -> None:
    game = se.game("toy3-v0")
    kept = solvers.solve(game, "naive", budget=3).checkpoint
    older = replace(kept, versions=tuple({**dict(kept.versions), "numpy": "2.0.0"}.items()))
    with pytest.raises(ValueError, match=r"made with other versions: numpy 2\.0\.0 \(now .*\); start the run over, or install those"):
        solvers.solve(game, "naive", budget=6, resume=older)
    silent = pickle.loads(pickle.dumps(kept))
    del silent.__dict__["versions"]  # as pickles of before say nothing of it
    with pytest.raises(ValueError, match="stackelberg-envs not recorded"):
        solvers.solve(game, "naive", budget=6, resume=silent)


def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> tuple[int, str]:
    """The command line in this process: (exit status, what it said, on one line)."""
    monkeypatch.setattr(sys, "argv", ["stackelberg", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), " ".join("".join(c for c in said.out + said.err if c not in "│╭╮╰╯─").split())


def test_best_and_verify(whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The best of these runs becomes a record of one's own, to which gaps are; edited scores are found by scoring again."""
    _, written, place = whole
    monkeypatch.setattr(best, "COMMITTED", tmp_path / "nothing.jsonl")
    config = shutil.copy(place / "mine.toml", tmp_path / "mine.toml")
    rewrite(tmp_path, *written)
    top = max(result["leader_return"] for result in written)
    code, said = say(capsys, monkeypatch, "best", config, "--results", tmp_path, "--record", tmp_path / "records" / "mine.jsonl")
    assert (code, f"{top:.6f}" in said, "1 commitment stored in" in said) == (0, True, True)
    assert 'Write record = "records/mine.jsonl" at the top of the configuration, and gaps are to it.' in said
    own = tmp_path / "best_known.jsonl"
    (part,) = report.collect_parts(configuration.load(config), tmp_path / "mine.jsonl", own)
    assert part.best_name == "best of these runs"
    Path(config).write_text('record = "records/mine.jsonl"\n' + CONFIG.replace('"my_solver.py:Steps"', '"zeroth_order"'))
    (part,) = report.collect_parts(configuration.load(config), tmp_path / "mine.jsonl", own)
    assert (part.best_name, part.best and part.best.leader_return) == ("best known", top)
    assert re.fullmatch(rf".*\(best known {top:.4f}, mine.jsonl: \w+, seed \d, \d+ commitments\)", part.heading), part.heading
    stored = json.loads((tmp_path / "records" / "mine.jsonl").read_text())
    (tmp_path / "records" / "mine.jsonl").write_text(json.dumps({**stored, "id": "another"}) + "\n")
    loaded = configuration.load(config)
    with monkeypatch.context() as patched:
        patched.setattr(jobs.World, "ours", False)  # an entry for the suite's own games finds its world by their tables
        (part,) = report.collect_parts(loaded, tmp_path / "mine.jsonl", tmp_path / "none.jsonl")
    assert (part.best_name, part.record, part.best and part.best.leader_return) == ("best of these runs", "", top)
    assert "mine.jsonl has nothing for this world (an entry of toy3-v0 is of other code)." in part.statistics
    (tmp_path / "records" / "mine.jsonl").write_text(json.dumps(stored) + "\n")
    assert say(capsys, monkeypatch, "verify", config, "--results", tmp_path) == (0, "4 results scored again, 0 complaints")
    history = [*written[1]["history"][:-1], {**written[1]["history"][-1], "leader_return": 999.0}]
    rewrite(tmp_path, written[0], edited(leader_return=999.0, history=history)(written[1]), *written[2:])
    code, said = say(capsys, monkeypatch, "verify", config, "--results", tmp_path)
    assert (code, f"line 2 (toy3-v0, uphill, seed 0): it says 999, and its x scores {written[1]['leader_return']:.6g}" in said) == (1, True)
    (tmp_path / "mine.jsonl").write_text("")
    for words in ("report", "verify", "best"):
        code, said = say(capsys, monkeypatch, words, config, "--results", tmp_path)
        assert (code, "mine.jsonl has no results of mine; run stackelberg bench" in said) == (2, True), said


def test_what_cannot_be_written_is_said_before_anything_runs(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = shutil.copy(whole[2] / "mine.toml", tmp_path / "mine.toml")
    monkeypatch.chdir(tmp_path)
    Path("afile").touch()
    for words, message in {
        ("--results", "afile"): "--results afile: this is a file; give a folder",
        ("--report", "afile/page.html"): "--report afile: this is a file; give a folder",
        ("--report", "."): "--report .: this is a folder; give a file in it, such as report.html",
        ("--results", "afile/deeper"): "--results afile/deeper: nothing can be written there (Not a directory)",
        ("--again", "nobody"): "no solver here is called 'nobody'; Known: steps, uphill",
    }.items():
        code, said = say(capsys, monkeypatch, "bench", config, "--jobs", "1", *words)
        assert (code, message in said) == (2, True), said
        assert not list(tmp_path.rglob("mine.jsonl"))
    for figure, message in {"a.gif": "the name of a picture ends in .svg, .png, .pdf, such as a.svg", ".": "such as learned.svg"}.items():
        code, said = say(capsys, monkeypatch, "solve", "toy3-v0", "implicit", "--figure", figure)
        assert (code, message in said) == (2, True), said
    code, said = say(capsys, monkeypatch, "solve", "toy3-v0", "implicit", "--seed", "-1")
    assert (code, "Invalid value for '--seed'" in said) == (2, True), said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x", "name is letters, digits"),
        ("/tmp/x", "name is letters"),
        ("best_known", "another file of the benchmark's"),
        (".x", "letters"),
    ],
)
def test_names_stay_in_the_results_folder(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(f"name = '{name}'\n" + CONFIG.partition("\n")[2].replace('name = "mine"', ""))
    with pytest.raises(configuration.ConfigError, match=message):
        configuration.load(tmp_path / "mine.toml")


def test_missing_files_are_looked_for_where_they_would_be(tmp_path: Path) -> None:
    with pytest.raises(configuration.ConfigError, match=r"no file '.*mien\.toml'; in .*: no TOML file is there"):
        configuration.load(tmp_path / "mien.toml")
    (tmp_path / "mine.toml").touch()
    with pytest.raises(configuration.ConfigError, match=r"did you mean 'mine\.toml'\? Known: mine\.toml$"):
        configuration.load(tmp_path / "mien.toml")
    with pytest.raises(configuration.ConfigError, match=r"the embedded configuration 'thermal' is named without \.toml"):
        configuration.load(tmp_path / "thermal.toml")
    with pytest.raises(configuration.ConfigError, match=r"no configuration 'thermla'.*did you mean 'thermal'"):
        configuration.load("thermla")


def test_a_shared_solver_that_one_game_refuses_is_left_out_there(tmp_path: Path) -> None:
    """That game and why are named, the other cells are run; a game's own solver that it refuses is a mistake still."""
    shared = '[[solvers]]\nname = "multiple_lp"\nbudget = 1\n'
    games = '[[games]]\nid = "bimatrix-v0"\nfollower = { kind = "Hard", ties = "strong" }\n[[games]]\nid = "toy3-v0"\n'
    (tmp_path / "mine.toml").write_text(shared + games + 'solvers = [{ name = "naive", budget = 1 }]\n')
    said: list[str] = []
    loaded = configuration.load(tmp_path / "mine.toml", seeds=1, announce=said.append)
    assert [(job.world.id, job.solver) for job in loaded.jobs] == [("bimatrix-v0", "multiple_lp"), ("toy3-v0", "naive")]
    assert len(said) == 1
    assert said[0].startswith("Not run in toy3-v0: ")
    assert "multiple_lp plays against Hard(ties='strong')" in said[0]
    (tmp_path / "mine.toml").write_text(shared + games)
    assert [section.world.id for section in configuration.load(tmp_path / "mine.toml").sections] == ["bimatrix-v0"]
    (tmp_path / "mine.toml").write_text('[[games]]\nid = "toy3-v0"\nsolvers = [{ name = "multiple_lp", budget = 1 }]\n')
    with pytest.raises(configuration.ConfigError, match="multiple_lp plays against"):
        configuration.load(tmp_path / "mine.toml")


def test_a_folder_that_moved_is_no_other_run() -> None:
    """Of one run in two folders, by old code and by new, the last counts: places of code are compared without their folders."""
    world = {"id": "/old/my_game.py:Game", "arguments": {}, "follower": {"kind": "/old/my_rules.py:Rule"}}
    old = {"world": world, "referee": None, "solver": "/old/my_solver.py:Mine", "seed": 0}
    moved = json.loads(json.dumps(old).replace("/old/", "/new/"))
    assert results_file.portable_job(old) == results_file.portable_job(moved)
    assert results_file.portable_job(old) != results_file.portable_job({**moved, "seed": 1})
