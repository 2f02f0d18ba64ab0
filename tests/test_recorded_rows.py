"""Studies whose rows are kept one by one: they resume, they stop in words, and they say how far they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from baselines.bench import measured


def page(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['n']}: {row['square']}" for row in rows) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["squares", "--output", str(tmp_path)])
    return tmp_path


def test_stopped_and_resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C leaves what was measured; a line that was cut off is measured again, and nothing else is."""
    asked: list[int] = []

    def square(n: int, stop: int | None = None) -> dict[str, Any]:
        asked.append(n)
        if n == stop:
            raise KeyboardInterrupt
        return {"square": n * n}

    def wanted(stop: int | None = None) -> list[measured.Measurement]:
        return [({"n": n}, square, (n, stop)) for n in range(5)]

    with pytest.raises(SystemExit) as stopped:
        measured.record_rows("Squares.", wanted(stop=3), page, name="squares")
    assert stopped.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    record = folder / "squares.jsonl"
    assert [json.loads(line)["n"] for line in record.read_text().splitlines()] == [0, 1, 2]
    record.write_text(record.read_text()[:-4])
    asked.clear()
    measured.record_rows("Squares.", wanted(), page, name="squares")
    assert asked == [2, 3, 4]
    shown = capsys.readouterr()
    assert "5 of 5 runs" in shown.err
    assert (folder / "squares.md").read_text() == "0: 0, 1: 1, 2: 4, 3: 9, 4: 16\n"
    assert shown.out.strip() == "0: 0, 1: 1, 2: 4, 3: 9, 4: 16"
    measured.record_rows("Squares.", wanted(), page, name="squares")
    assert asked == [2, 3, 4], "all of it is there"
