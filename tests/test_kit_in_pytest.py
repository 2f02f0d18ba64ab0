"""The pytest plugin: each check of the kit is one item, and a session without the option is what it was."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stackelberg_envs.testing.pytest_items import report_of

ROOT = Path(__file__).parent.parent
TOLLS = """
import stackelberg_envs as se
from stackelberg_envs.views.aec import StackelbergAEC

class PaysTwice(StackelbergAEC):
    def _publish(self, *, rewarded):
        super()._publish(rewarded=rewarded)
        self.rewards["leader_0"] *= 2

def unpaid():
    return PaysTwice(se.game("toy3-v0", max_cycles=5))

def game():
    return se.game("toy3-v0")

def text():
    return "no environment"

def broken():
    raise RuntimeError("the road is closed")
"""
SESSIONS = """
import contextlib, io, json, pytest, sys
ran = {}
for name, arguments in json.loads(sys.argv[1]).items():
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        code = pytest.main(["-p", "no:cacheprovider", *arguments])
    ran[name] = int(code), said.getvalue()
print(json.dumps(ran))
"""
KIT, GAME = ("-p", "stackelberg"), "--stackelberg-env=tolls.py:game"
ARGUMENTS = {
    "game": [*KIT, GAME, "-v", "-rs"],
    "selected": [*KIT, GAME, "-k", "episodes and follow"],
    "failing": [*KIT, GAME, "--stackelberg-env=tolls.py:unpaid", "--stackelberg-leader=leader_0", "--stackelberg-followers=follower_0"],
    "misspelt": [*KIT, "--stackelberg-env=tolls.py:gaem"],
    "with plugin": [*KIT, "-v"],
    "without": ["-p", "no:stackelberg", "-v"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one test of its own."""
    folder = tmp_path_factory.mktemp("road")
    (folder / "tolls.py").write_text(TOLLS)
    (folder / "test_own.py").write_text("def test_one():\n    pass\n")
    return folder


@pytest.fixture(scope="module")
def sessions(folder: Path) -> dict[str, tuple[int, str]]:
    """Exit codes and words of sessions by name, one after the other in a process of their own: NumPy and torch are imported once."""
    ran = subprocess.run(
        [sys.executable, "-c", SESSIONS, json.dumps(ARGUMENTS)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
    )
    return json.loads(ran.stdout.splitlines()[-1])


def test_each_check_is_an_item(sessions: dict[str, tuple[int, str]]) -> None:
    """Beside the tests of the project, and selected as they are."""
    code, said = sessions["game"]
    assert code == pytest.ExitCode.OK
    for line in ("test_own.py::test_one PASSED", "tolls.py:game::episodes follow the tables PASSED", "SKIPPED [1]"):
        assert line in said
    code, said = sessions["selected"]
    assert code == pytest.ExitCode.OK
    assert "1 passed" in said
    assert "deselected" in said


def test_a_failure_says_what_was_found_and_nothing_else(sessions: dict[str, tuple[int, str]]) -> None:
    code, said = sessions["failing"]
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "environment toy3_v0: steps follow the model's kernel\n  leader_0 was paid" in said
    assert "Traceback" not in said
    assert all("tolls.py:unpaid::" in line for line in said.splitlines() if line.startswith("FAILED"))


def test_what_cannot_be_found_is_said_in_a_line(sessions: dict[str, tuple[int, str]]) -> None:
    code, said = sessions["misspelt"]
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --stackelberg-env: tolls.py defines no 'gaem'; did you mean 'game'?" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("reference", "leader", "said"),
    [
        ("nothere:env", None, "nothere"),
        ("tolls", None, "is not of the form package.module:Name or path/to/file.py:Name"),
        ("tolls.py:text", None, "returns str, and what can be checked is an AECEnv"),
        ("tolls.py:broken", None, "raised RuntimeError: the road is closed"),
        ("tolls.py:unpaid", "planner", "planner"),
    ],
)
def test_what_cannot_be_checked_is_a_usage_error(
    folder: Path, reference: str, leader: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(pytest.UsageError, match=f"^--stackelberg-env.*{said}"):
        report_of(reference, leader, None)


def test_without_the_option_nothing_changes(sessions: dict[str, tuple[int, str]]) -> None:
    """The same items, the same words; and the module that every session imports imports no other package."""
    (code, with_plugin), (_, without) = sessions["with plugin"], sessions["without"]
    assert code == pytest.ExitCode.OK
    with_plugin = re.sub(r"stackelberg-envs-[^,]*, ", "", with_plugin)  # pytest names the plugins that it loads
    assert with_plugin.split(" in ")[0] == without.split(" in ")[0]
    imported = (
        "import sys; before = set(sys.modules); import baselines.pytest_plugin; "
        "print(*{m.split('.')[0] for m in set(sys.modules) - before})"
    )
    loaded = subprocess.run([sys.executable, "-c", imported], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(loaded.split()) - sys.stdlib_module_names == {"baselines"}


def test_background_jobs_get_ctrl_c() -> None:
    """A shell starts background jobs with SIGINT ignored, and what they start inherits that: conftest puts the default back."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import conftest; "
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"
