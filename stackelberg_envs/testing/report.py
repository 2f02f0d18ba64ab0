"""What a conformance check found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

ON_CHECK: ContextVar[Callable[[str, str], None] | None] = ContextVar("ON_CHECK", default=None)
"""What is called before each check, with the subject and the name of the check: for progress."""


class ConformanceError(AssertionError):
    """At least one check failed; the message lists them all, and `report` holds what was found besides."""

    report: Report | None = None


class Violation(AssertionError):
    """One check found an error; raised inside it, collected by `Report`."""


class Advice(AssertionError):
    """One check found what the interface allows and libraries trip over; raised inside it, collected by `Report`."""


class NotChecked(Exception):
    """One check could not look at what it is for; the message says which argument would let it."""


@dataclass
class Report:
    """Checks by name: which passed, which failed and why, what to mend, which could not look, and which did not apply.

    Attributes:
        subject: what was checked.
        passed: names of checks that found nothing.
        failed: errors, by check.
        skipped: checks that do not apply, and why.
        advice: findings that are no errors, by check.
        unchecked: checks that could not look, and the argument that would let them.
        notes: what was assumed, such as who leads.
        strict: whether advice counts as an error.
    """

    subject: str
    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    advice: dict[str, str] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    strict: bool = True

    def check(self, name: str, body: Callable[..., str | None], *args: Any, lenient: bool = False) -> None:
        """Run ``body``: it raises to fail, returns a reason to skip, and None to pass; what a lenient check finds is advice."""
        began = ON_CHECK.get()
        if began is not None:
            began(self.subject, name)
        try:
            reason = body(*args)
        except NotChecked as why:
            self.unchecked[name] = str(why)
        except Advice as advice:
            self._findings(lenient=True)[name] = str(advice)
        except Violation as violation:
            self._findings(lenient)[name] = str(violation)
        except Exception as error:
            self._findings(lenient)[name] = f"raised {type(error).__name__}: {error}"
        else:
            if reason is None:
                self.passed.append(name)
            else:
                self.skipped[name] = reason

    def conclude(self) -> Report:
        """This report, if nothing failed; else raises `ConformanceError`."""
        if self.failed:
            found = "\n".join(f"  {name}: {why}" for name, why in self.failed.items())
            besides = self._lines("advice", self.advice) + self._lines("not checked", self.unchecked) + [f"  {note}" for note in self.notes]
            tried = len(self.failed) + len(self.passed) + len(self.advice)
            error = ConformanceError("\n".join([f"{self.subject} fails {len(self.failed)} of {tried} checks:", found, *besides]))
            error.report = self
            raise error
        return self

    def __str__(self) -> str:
        return self.text()

    def text(self, *, skipped: bool = True) -> str:
        """What was found, in lines; without ``skipped`` checks that do not apply are counted and not named."""
        counts = [f"{len(self.passed)} passed", f"{len(self.failed)} failed", f"{len(self.skipped)} skipped"]
        counts += [f"{len(self.advice)} with advice"] * bool(self.advice) + [f"{len(self.unchecked)} not checked"] * bool(self.unchecked)
        lines = [f"{self.subject}: {', '.join(counts)}", *(f"  {note}" for note in self.notes)]
        lines += self._lines("FAILED", self.failed) + self._lines("advice", self.advice)
        lines += self._lines("not checked", self.unchecked)
        return "\n".join(lines + (self._lines("skipped", self.skipped) if skipped else []))

    def _findings(self, lenient: bool) -> dict[str, str]:
        return self.advice if lenient and not self.strict else self.failed

    @staticmethod
    def _lines(word: str, found: dict[str, str]) -> list[str]:
        return [f"  {word} {name}: {why}" for name, why in found.items()]


def unpicklable(subject: Any) -> str | None:
    """Why ``subject`` cannot be pickled although it could be: its class is defined where pickle cannot import it; else None."""
    for cls in {type(subject), type(getattr(subject, "unwrapped", subject)), type(getattr(subject, "game", subject))}:
        module = sys.modules.get(cls.__module__)
        if "<locals>" in cls.__qualname__ or module is None or not hasattr(module, cls.__qualname__.split(".")[0]):
            return f"{cls.__qualname__} is defined where pickle cannot import it"
    return None


def require(condition: bool, message: str) -> None:
    """Raise `Violation` with ``message`` unless ``condition``."""
    if not condition:
        raise Violation(message)


def advise(condition: bool, message: str) -> None:
    """Raise `Advice` with ``message`` unless ``condition``."""
    if not condition:
        raise Advice(message)


def short(value: Any, length: int = 100) -> str:
    """``repr`` of a value on one line, cut to ``length`` characters."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= length else text[: length - 3] + "..."
