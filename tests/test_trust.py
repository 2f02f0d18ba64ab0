"""What is reported is what happened: iterations, curves, labels, statistics and lines on a disk that is full."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import stackelberg_envs as se
from baselines.bench import best, compare, configuration, figures, report, results_file, stats, system
from baselines.bench.runner import run_all
from baselines.studies import reach
from solvers import Solution, Solver, State, base


@dataclass(frozen=True)
class Climbs(Solver):
    """Moves to better neighbours, and says of each state how many came before it."""

    access = se.Access.RETURN

    def declines(self, oracle: se.Oracle) -> str | None:
        return None

    def init(self, oracle: se.Oracle, x: np.ndarray) -> State:
        return State(x, self.count(0), oracle.returns(x))

    def step(self, oracle: se.Oracle, state: State, rng: np.random.Generator) -> State:
        x = state.x + rng.normal(size=len(state.x))
        value = oracle.returns(x)
        better = value > state.carried
        return State(x if better else state.x, self.count(state.iteration + 1), value if better else state.carried)

    def count(self, iteration: int) -> int:
        return iteration


class Forgets(Climbs):
    def count(self, iteration: int) -> int:
        return 0


class Stutters(Climbs):
    def count(self, iteration: int) -> int:
        return iteration // 2 + 7


def without_clock(solution: Solution) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in solution.history]


@pytest.mark.parametrize("liar", [Forgets, Stutters])
def test_the_loop_counts_iterations_whatever_a_state_says(liar: type[Solver]) -> None:
    """A solver that miscounts has the history of one that counts, to the last report, also where it goes on from a checkpoint."""
    game = se.game("toy3-v0")
    honest = base.run(Climbs(), game, budget=60, reports=10)
    found = base.run(liar(), game, budget=60, reports=10)
    assert without_clock(found) == without_clock(honest)
    assert found.leader_return == se.evaluate(game, found.x).leader_return > found.history[0]["leader_return"]
    half = base.run(liar(), game, budget=30, reports=5)
    resumed = base.run(liar(), game, budget=60, reports=5, resume=half.checkpoint)
    assert resumed.history[-1]["iteration"] == honest.history[-1]["iteration"]
    assert np.array_equal(resumed.x, honest.x)


def test_nothing_is_known_before_the_first_report() -> None:
    """A curve of runs whose first reports came after 4 and after 10 commitments begins at 10, and never at their final values."""
    xs, ys = [np.array([4, 20, 40]), np.array([10, 20, 40])], [np.array([1.0, 2.0, 90.0]), np.array([3.0, 4.0, 100.0])]
    grid, *lines = stats.curve(xs, ys, np.arange(0, 41, 2))
    middle = dict(zip(grid.tolist(), lines[0].tolist(), strict=True))
    for line in lines:
        assert np.array_equal(np.isnan(line), grid < 10)
    assert (middle[10], middle[18], middle[20], middle[40]) == (2.0, 2.0, 3.0, 95.0)


def test_a_run_that_reports_late_has_no_early_score() -> None:
    """The table of who reaches what: a method that uses 12 commitments before its first report has no score at 10."""
    late = reach.Run(np.array([12, 100]), np.array([0, 0]), np.array([0.2, 0.97]))
    early = reach.Run(np.array([0, 100]), np.array([0, 0]), np.array([0.0, 0.97]))
    page = reach.markdown({"late": [late, early], "early": [early]}, [10, 100], 0.95)
    cells = {row.split(" | ")[0].strip("| "): row.split(" | ")[1:3] for row in page.splitlines()[2:]}
    assert cells["late"][0] == "-"
    assert cells["late"][1].startswith("0.970")
    assert cells["early"] == ["0.000", "0.970"]


@dataclass
class FullDisk:
    """An unbuffered file on a disk with so many bytes left; it takes a part of what does not fit, as the system does, without an error."""

    file: io.FileIO
    left: int

    def write(self, line: bytes) -> int:
        taken = self.file.write(line[: self.left])
        self.left -= taken
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_full_disk_is_an_error_and_the_file_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many bytes are left, every line in the file is whole, and with room again the run goes in."""
    path, line = tmp_path / "small.jsonl", len(json.dumps({"id": "b", "x": [1.0, 2.0]})) + 1
    results_file.append(path, {"id": "a"})
    before, exclusive = path.read_bytes(), system.exclusive

    @contextmanager
    def full(path: Path, *, wait: bool) -> Iterator[FullDisk]:
        with exclusive(path, wait=wait) as file:
            yield FullDisk(file, left)

    for left in range(line):
        monkeypatch.setattr(system, "exclusive", full)
        with pytest.raises(results_file.ResultsError, match=rf"disk took {left} of {line} .* as it was"):
            results_file.append(path, {"id": "b", "x": [1.0, 2.0]})
        assert path.read_bytes() == before
    monkeypatch.undo()
    results_file.append(path, {"id": "b", "x": [1.0, 2.0]})
    assert list(results_file.read(path)) == ["a", "b"]


def test_nothing_is_glued_to_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "small.jsonl"
    path.write_bytes(b'{"id": "a"}\n{"id": "b"')
    with pytest.raises(results_file.ResultsError, match="the last line has no end"):
        results_file.append(path, {"id": "c"})
    assert path.read_bytes() == b'{"id": "a"}\n{"id": "b"'
    with pytest.warns(results_file.TornLineWarning):
        results_file.read(path, repair=True)
    results_file.append(path, {"id": "c"})
    assert list(results_file.read(path)) == ["a", "c"]


LABELS = ("exact [adam]", "exact [sgd]", "exact [/sgd]", r"$\frac$", "_exact :warning:", "exact | 2\\")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> list[report.Part]:
    """Short runs in a game that nobody has a record of, under labels that are markup elsewhere."""
    folder = tmp_path_factory.mktemp("labelled")
    methods = "".join(f"[[games.solvers]]\nlabel = '{label}'\nname = 'naive'\nbudget = 4\nseeds = 2\n" for label in LABELS)
    published = "published = [{ label = 'exact [sgd]', value = 99.0, budget = 10_000 }, { label = 'exact [adam]', value = 99.0 }]\n"
    (folder / "labels.toml").write_text(
        f"name = 'labels'\n[[games]]\nid = 'toy3-v0'\narguments = {{ R = 1.375 }}\ntitle = 'Toy [/b] $x$'\n{published}{methods}"
    )
    config = configuration.load(str(folder / "labels.toml"))
    assert run_all(config.jobs, folder / "labels.jsonl", processes=1, console=Console(quiet=True)) == {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(best, "COMMITTED", folder / "nothing.jsonl")  # which takes seconds to read, and has nothing of this world
        return report.collect_parts(config, folder / "labels.jsonl")


def test_labels_are_text_in_every_table_and_figure(labelled: list[report.Part]) -> None:
    printed = io.StringIO()
    Console(file=printed, width=400, emoji=False).print(report.table(labelled[0]), compare.table(labelled, "labels [/b]"))
    for text in (*LABELS, "Toy [/b] $x$", "published: exact [sgd]", "labels [/b]"):
        assert printed.getvalue().count(text) >= 1 + (text in LABELS), text
    drawn = [*report.draw(labelled[0]).values(), figures.svg(compare.curves(labelled)), figures.svg(compare.maps(labelled[0]))]
    for picture in drawn:
        for label in LABELS:
            assert f"<!-- {label}" in picture or f"<!--  {label}" in picture, label
    assert all(row.count(" | ") == 8 for row in compare.markdown(labelled).splitlines()[2:])


def test_the_best_of_these_runs_is_called_so(labelled: list[report.Part], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the record has nothing of a world, a gap to the own best run is said to be that, in every table, the page and the figure."""
    (part,) = labelled
    results, own = [run for group in part.groups.values() for run in group], tmp_path / "best_known.jsonl"
    assert best.improve(own, results, known={})
    results_file.record(tmp_path / "labels.jsonl", [])
    for result in results:
        results_file.append(tmp_path / "labels.jsonl", result)
    config = configuration.Config("labels", (part.section,))
    monkeypatch.setattr(best, "COMMITTED", tmp_path / "nothing.jsonl")
    (ours,) = parts = report.collect_parts(config, tmp_path / "labels.jsonl", own)
    assert ours.best is not None
    printed = io.StringIO()
    Console(file=printed, width=400).print(report.table(ours), compare.table(parts, "labels"))
    report.write(config, parts, tmp_path / "page.html", command=["stackelberg"])
    page = (tmp_path / "page.html").read_text()
    for text in (" ".join(printed.getvalue().split()), page):
        assert "gap to best of these runs" in text
        assert "This world has no recorded value" in text
        assert "interquartile mean over seeds of the score at the last report" in text
    assert f"{ours.best.leader_return:.3f} (of these runs)" in printed.getvalue()
    drawn = figures.svg(figures.curves(ours.groups, ours.best.leader_return, [], ours.best_name))
    assert "<!-- best of these runs, " in drawn
    known = dataclasses.replace(ours.best, leader_return=99.0, x=(0.0,) * len(ours.best.x))
    others = tmp_path / "committed.jsonl"
    others.write_text(json.dumps({"id": known.world.key, **dataclasses.asdict(known)}) + "\n")
    monkeypatch.setattr(best, "COMMITTED", others)
    (other,) = report.collect_parts(config, tmp_path / "labels.jsonl", own)
    assert other.best_name == "best known"
    assert "no recorded value" not in other.statistics


def test_budgets_and_statistics_are_named_where_results_are_compared(labelled: list[report.Part]) -> None:
    """4 commitments beside a published 10,000 say so in the verdict; what the configuration does not state is called so."""
    verdicts = {row[2]: row[6] for row in compare.rows(labelled)}
    assert verdicts["exact [sgd]"] == "no, after 4 commitments of 10,000"
    assert verdicts["exact [adam]"] == "no"
    assert "| **no**, after 4 commitments of 10,000 |" in compare.markdown(labelled)
    said = compare.caption(labelled)
    assert "exact [sgd]: ours 4 commitments, published 10,000" in said
    assert "exact [adam]: ours 4 commitments, published not stated in the configuration" in said
    assert "last tenth of its iterations" in said
