"""The checks of the conformance kit as items of a pytest session; `baselines.pytest_plugin` loads this where its option is given."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import pytest
from pettingzoo import AECEnv, ParallelEnv

from ..game import StackelbergGame
from ..references import ReferenceNotFoundError, load
from .env_checks import check_env
from .game_checks import check_game
from .report import ConformanceError, Report

KINDS = (StackelbergGame, AECEnv, ParallelEnv, gymnasium.Env)


class KitItems:
    """Adds the checks of what ``--stackelberg-env`` names to a session."""

    @pytest.hookimpl(tryfirst=True)  # so that -k and -m select among them, too
    def pytest_collection_modifyitems(self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Run the kit, and append an item for each check.

        Raises:
            pytest.UsageError: if a reference leads nowhere, or to nothing that can be checked.
        """
        leader, followers = config.getoption("stackelberg_leader"), config.getoption("stackelberg_followers")
        names = None if followers is None else [name.strip() for name in followers.split(",")]
        for reference in config.getoption("stackelberg_env") or []:
            checks: Checks = Checks.from_parent(session, name=reference, nodeid=reference, report=report_of(reference, leader, names))
            items += checks.collect()


class Checks(pytest.Collector):
    """All checks of one environment or game."""

    def __init__(self, *, report: Report, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.report = report

    def collect(self) -> list[pytest.Item]:
        """One item for each check."""
        report = self.report
        names = [*report.passed, *report.failed, *report.advice, *report.unchecked, *report.skipped]
        return [Check.from_parent(self, name=name, report=report) for name in names]


class Check(pytest.Item):
    """One check: it fails by what was found, is skipped where it does not apply, and is an expected failure where it has advice."""

    def __init__(self, *, report: Report, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.report = report

    def runtest(self) -> None:
        """Say what the kit found."""
        report, name = self.report, self.name
        if name in report.failed:
            raise ConformanceError(report.failed[name])
        if name in report.advice:
            pytest.xfail(f"advice: {report.advice[name]}")
        if name in report.unchecked:
            pytest.skip(f"not checked: {report.unchecked[name]}")
        if name in report.skipped:
            pytest.skip(report.skipped[name])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The finding alone, without the kit's own lines of code."""
        if not isinstance(excinfo.value, ConformanceError):
            return super().repr_failure(excinfo, style)
        notes = [f"  ({note})" for note in self.report.notes]
        return "\n".join([f"{self.report.subject}: {self.name}", f"  {excinfo.value}", *notes])

    def reportinfo(self) -> tuple[Any, None, str]:
        """Where it is listed: under the reference."""
        return self.path, None, f"{self.parent.name if self.parent else ''}: {self.name}"


def report_of(reference: str, leader: str | None, followers: list[str] | None) -> Report:
    """What the kit finds in the environment or game behind a reference.

    Raises:
        pytest.UsageError: if the reference leads nowhere, to nothing that can be built or checked, or there is no such agent.
    """
    try:
        found = load(reference)
        thing = found if isinstance(found, KINDS) else found()
    except ReferenceNotFoundError as error:
        raise pytest.UsageError(f"--stackelberg-env: {error}") from error
    except Exception as error:
        raise pytest.UsageError(f"--stackelberg-env: building {reference} raised {type(error).__name__}: {error}") from error
    if not isinstance(thing, KINDS):
        kinds = "an AECEnv, a ParallelEnv, a gymnasium.Env or a StackelbergGame"
        raise pytest.UsageError(f"--stackelberg-env: {reference} returns {type(thing).__name__}, and what can be checked is {kinds}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # a project may turn warnings into errors: what the kit judges is not that
            if isinstance(thing, StackelbergGame):
                return check_game(thing)
            return check_env(thing if thing is found else found, leader, followers)
    except ConformanceError as failure:
        return failure.report or Report(reference, failed={"the kit": str(failure)})
    except ValueError as error:  # there is no such agent
        raise pytest.UsageError(f"--stackelberg-env {reference}: {error}") from error
