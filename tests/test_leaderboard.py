"""The leaderboard believes the referee: an entry whose commitments score what it says is shown, and a forged one is refused by name."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import command

from baselines.bench import best, entries, results_file

ROOT = Path(__file__).parent.parent
OURS = ROOT / "docs/leaderboard/stackelberg-envs"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def entry_with(folder: Path, change: Callable[[dict[str, Any]], Any], *, sign: bool = True) -> Path:
    """Our entry's runs of one method in one game, the third of them changed, with a checksum of what it says then if it is signed."""
    folder.mkdir()
    shutil.copy(OURS / "entry.toml", folder)
    found = [json.loads(line) for line in (OURS / "leaderboard.jsonl").read_text().splitlines()]
    runs = [run for run in found if run["job"]["world"]["id"] == "toy3-v0" and run["job"]["solver"] == "zeroth_order"]
    change(runs[2])
    lines = [json.dumps(results_file.with_checksum(run) if sign else run) for run in runs if run]
    (folder / "leaderboard.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def raise_score(run: dict[str, Any]) -> None:
    run["leader_return"] = run["history"][-1]["leader_return"] = run["leader_return"] + 0.5


FORGED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "score": (raise_score, "and its commitment scores 34.9042"),
    "shape": (lambda run: run["x"].append(0.0), "its x has shape"),
    "commitment": (lambda run: run.update(x=[0.0 for _ in run["x"]]), "a difference of +"),
    "unknown game": (lambda run: run["job"]["world"].update(id="easy_money-v0"), "unknown game 'easy_money-v0'"),
    "game of others": (lambda run: run["job"]["world"].update(id="/tmp/mine.py:Easy"), "unknown game 'mine:Easy'"),
    "other arguments": (lambda run: run["job"]["world"].update(arguments={"R": 9.0}), "is none of the games of the track leaderboard"),
    "other score": (lambda run: run["job"].update(score={"horizon": 150, "discount": 1.0}), "is none of the games of the track"),
    "budget": (lambda run: run["job"].update(budget=3), "its id is of a run with other settings"),
    "access": (lambda run: run.update(access="EVERYTHING"), "its access is EVERYTHING, and the entry says MODEL"),
    "older schema": (lambda run: run.pop("schema"), "it is of schema 1, and entries are of 3"),
    "not finite": (lambda run: run["x"].__setitem__(0, float("nan")), "x holds what is no finite number"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_line_is_named(folder: Path, name: str) -> None:
    """Whatever is changed, with a checksum that is right again, the line is named, and what it contradicts."""
    change, said = FORGED[name]
    checked = entries.check(entry_with(folder / "forged", change))
    (complaint,) = checked.complaints
    assert "leaderboard.jsonl, line 3 (" in complaint
    assert said in complaint
    assert sum(map(len, checked.results.values())) == 4


def test_an_edited_line_and_a_seed_that_is_missing_are_named(folder: Path) -> None:
    (edited,) = entries.check(entry_with(folder / "edited", raise_score, sign=False)).complaints
    assert "line 3 (toy3-v0, two-point, Adam, seed 2): it was changed after it was written" in edited
    (missing,) = entries.check(entry_with(folder / "missing", lambda run: run.clear())).complaints
    assert "Toy3, R = 1, two-point, Adam: its seeds are [0, 1, 3, 4], and the track's [0, 1, 2, 3, 4]" in missing
    (folder / "missing/entry.toml").write_text('name = "x"')
    assert command("verify", "missing")[1].endswith("entry.toml does not say authors, link, code, access")


def test_a_stranger_enters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a solver in a file to a page: two entries are on it, by level, and one that is forged is refused and is not."""
    monkeypatch.setattr(best, "COMMITTED", folder / "nothing.jsonl")  # which takes seconds to read
    assert command("new", "solver", "my_solver", "--method")[0] == 0
    code, said = command("new", "entry", "mine", "--solver", "my_solver.py:MySolver", "--budget", 3, "--authors", "B. Stranger")
    assert (code, "stackelberg verify mine" in said) == (0, True), said
    text = (folder / "mine/bench.toml").read_text()
    (folder / "mine/bench.toml").write_text(
        text[: text.index("[[games]]", text.index("[[games]]") + 1)]
    )  # the first game alone, to be fast
    code, said = command("bench", "mine/bench.toml", "--results", "mine", "--jobs", 1)
    assert code == 0, said
    monkeypatch.delitem(sys.modules, "my_solver")
    (folder / "my_solver.py").unlink()  # no code of an entry is needed, or run
    assert command("verify", "mine") == (0, "mine: 5 runs score what they say; verified")
    forged = entry_with(folder / "forged", raise_score)
    (forged / "entry.toml").write_text((OURS / "entry.toml").read_text().replace('name = "stackelberg-envs"', 'name = "Forgers"'))
    code, said = command("leaderboard", OURS, "mine", forged, "-o", "page.html")
    assert code == 1
    assert "stackelberg-envs: 70 runs score what they say; verified" in said
    assert "Forgers: 4 runs score what they say; refused: 1 complaint" in said
    page = (folder / "page.html").read_text()
    assert "B. Stranger" in page
    assert "Forgers" not in page
    toy = page[page.index("<h2>Toy3") : page.index("<h2>Conflict")]
    assert toy.index("<h3>MODEL") < toy.index("<h3>OUTCOME") < toy.index("<h3>RETURN") < toy.index("two-point, Adam")
    assert command("leaderboard", forged, "-o", "none.html")[0] == 1
    assert not (folder / "none.html").exists()
