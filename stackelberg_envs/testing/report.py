"""What a conformance check found."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


class ConformanceError(AssertionError):
    """At least one check failed; the message lists them all."""


class Violation(AssertionError):
    """One check found something; raised inside it, collected by `Report`."""


@dataclass
class Report:
    """Checks by name: which passed, which failed and why, which did not apply and why."""

    subject: str
    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def check(self, name: str, body: Callable[..., str | None], *args: Any) -> None:
        """Run ``body``: it raises to fail, returns a reason to skip, and None to pass."""
        try:
            reason = body(*args)
        except Violation as violation:
            self.failed[name] = str(violation)
        except Exception as error:
            self.failed[name] = f"raised {type(error).__name__}: {error}"
        else:
            if reason is None:
                self.passed.append(name)
            else:
                self.skipped[name] = reason

    def conclude(self) -> Report:
        """This report, if nothing failed; else raises `ConformanceError`."""
        if self.failed:
            found = "\n".join(f"  {name}: {why}" for name, why in self.failed.items())
            raise ConformanceError(f"{self.subject} fails {len(self.failed)} of {len(self.failed) + len(self.passed)} checks:\n{found}")
        return self

    def __str__(self) -> str:
        lines = [f"{self.subject}: {len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"]
        lines += [f"  FAILED {name}: {why}" for name, why in self.failed.items()]
        lines += [f"  skipped {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)


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


def import_torch() -> Any:
    """torch where it is installed, or None: a game that nobody can differentiate does not show it in NumPy."""
    with suppress(ImportError):
        return importlib.import_module("torch")
    return None
