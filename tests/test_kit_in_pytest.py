"""The pytest plugin: each check of the kit is one item, and a session without the option is what it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stackelberg_envs.testing.pytest_items import report_of  # pytester unloads what a session imports, and NumPy cannot be loaded twice

pytest_plugins = ("pytester",)
TOLLS = """
import stackelberg_envs as se
from stackelberg_envs.views.aec import StackelbergAEC

def healthy():
    return se.make("toy3-v0", max_cycles=5)

class Silent(StackelbergAEC):
    def _publish(self, *, rewarded):
        super()._publish(rewarded=rewarded)
        self.rewards["leader_0"] *= 2

def unpaid():
    return Silent(se.game("toy3-v0", max_cycles=5))

def game():
    return se.game("toy3-v0")

def text():
    return "no environment"

def broken():
    raise RuntimeError("the road is closed")
"""
PASSING = "def test_one():\n    pass\n"


@pytest.fixture
def road(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(tolls=TOLLS, test_own=PASSING)
    return pytester


def run(road: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return road.runpytest_inprocess("-p", "pytest_stackelberg", "-p", "no:cacheprovider", *arguments)


def test_each_check_is_an_item(road: pytest.Pytester) -> None:
    """Of a game here; beside the tests of the project, and selected as they are."""
    result = run(road, "--stackelberg-env=tolls.py:game", "-v", "-rs")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] > 10
    assert "failed" not in outcomes
    result.stdout.fnmatch_lines(["test_own.py::test_one PASSED*", "tolls.py:game::episodes follow the tables PASSED*", "SKIPPED*"])
    run(road, "--stackelberg-env=tolls.py:game", "-k", "episodes and follow").assert_outcomes(
        passed=1, deselected=outcomes["passed"] + outcomes["skipped"] - 1
    )


def test_a_failure_says_what_was_found_and_nothing_else(road: pytest.Pytester) -> None:
    roles = "--stackelberg-leader=leader_0", "--stackelberg-followers=follower_0"
    result = run(road, "--stackelberg-env=tolls.py:unpaid", *roles, "--stackelberg-env=tolls.py:game", "-m", "not slow")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    said = result.stdout.str()
    assert "environment toy3_v0: steps follow the model's kernel\n  leader_0 was paid" in said
    assert "Traceback" not in said
    assert all(line.startswith("FAILED tolls.py:unpaid::") for line in result.outlines if line.startswith("FAILED"))


@pytest.mark.parametrize(
    ("reference", "leader", "said"),
    [
        ("nothere:env", None, "nothere"),
        ("tolls", None, "is not of the form package.module:Name or path/to/file.py:Name"),
        ("tolls.py:text", None, "returns str, and what can be checked is an AECEnv"),
        ("tolls.py:broken", None, "raised RuntimeError: the road is closed"),
        ("tolls.py:healthy", "planner", "planner"),
    ],
)
def test_what_cannot_be_checked_is_a_usage_error(road: pytest.Pytester, reference: str, leader: str | None, said: str) -> None:
    with pytest.raises(pytest.UsageError, match=f"^--stackelberg-env.*{said}"):
        report_of(reference, leader, None)


def test_which_is_said_in_a_line(road: pytest.Pytester) -> None:
    result = run(road, "--stackelberg-env=tolls.py:helthy")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --stackelberg-env: tolls.py defines no 'helthy'; did you mean 'healthy'?*"])
    assert "Traceback" not in result.stderr.str()


def test_without_the_option_nothing_changes(road: pytest.Pytester) -> None:
    """The same items, the same words; and the module that every session imports imports no other package."""
    with_plugin, without = (road.runpytest_inprocess("-q", "-p", name) for name in ("pytest_stackelberg", "no:stackelberg"))
    with_plugin.assert_outcomes(passed=1)
    assert [line.split(" in ")[0] for line in with_plugin.outlines] == [line.split(" in ")[0] for line in without.outlines]
    code = "import sys; before = set(sys.modules); import pytest_stackelberg; print(*{m.split('.')[0] for m in set(sys.modules) - before})"
    root = Path(__file__).parent.parent
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert set(loaded.split()) - sys.stdlib_module_names == {"pytest_stackelberg"}


def test_background_jobs_get_ctrl_c() -> None:
    """A shell starts background jobs with SIGINT ignored, and what they start inherits that: conftest puts the default back."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import conftest; "
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"
