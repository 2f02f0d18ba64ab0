"""Stored best commitments are worth what they say by a program that shares no line with the suite, tests/verify.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import command

VERIFY = Path(__file__).parent / "verify.py"


def verify(folder: Path) -> subprocess.CompletedProcess[str]:
    """The program as anybody runs it, where the suite cannot be imported."""
    return subprocess.run([sys.executable, "-I", str(VERIFY), str(folder)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    status, said = command("check", "--best", "--results", folder, "--worlds", folder / "tables")
    assert status == 0, said
    return folder / "tables"


def test_all_stored_commitments_are_worth_what_they_say(worlds: Path) -> None:
    done = verify(worlds)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "107 commitments: all are worth what they say" in done.stdout  # of 109; two worlds have no tables


def test_the_program_imports_nothing_of_the_suite() -> None:
    assert len(VERIFY.read_text().splitlines()) < 150
    imported = [line.split()[1] for line in VERIFY.read_text().splitlines() if line.startswith(("import ", "from "))]
    assert set(imported) == {"__future__", "sys", "pathlib", "numpy"}


@pytest.mark.parametrize(
    ("game", "change", "said"),
    [
        ("toy3-v0", lambda tables: tables["leader_reward"].__imul__(1.001), "and stored with"),
        ("toy3-v0", lambda tables: tables["transition"].__imul__(0.999), "and stored with"),
        ("four_rooms-v0", lambda tables: tables["follower_rewards"].__imul__(1.1), "follower 0 loses"),
        ("zero_sum_incentive-v0", lambda tables: tables.update(policy_1=np.roll(tables["policy_1"], 1, -1)), "follower 1 loses"),
        ("security-v0", lambda tables: tables.update(policy_0=np.roll(tables["policy_0"], 1, -1)), "and stored with"),  # it is indifferent
    ],
)
def test_what_was_changed_is_found(worlds: Path, tmp_path: Path, game: str, change: object, said: str) -> None:
    path = shutil.copy(sorted(worlds.glob(f"{game}-*.npz"))[0], tmp_path)
    with np.load(path) as file:
        tables = {name: file[name] for name in file.files}
    change(tables)  # type: ignore[operator]
    np.savez(path, **tables)
    done = verify(tmp_path)
    assert done.returncode == 1
    assert said in done.stdout


def test_an_empty_folder_is_no_success(tmp_path: Path) -> None:
    assert verify(tmp_path).returncode == 1
