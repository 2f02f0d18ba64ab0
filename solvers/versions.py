"""The versions of what computes a run's numbers."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version

PACKAGES = ("stackelberg-envs", "torch", "numpy", "scipy")


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    return (*((name, version(name)) for name in PACKAGES), ("python", platform.python_version()))


def versions() -> dict[str, str]:
    """Of this suite, torch, NumPy, SciPy and Python, by name."""
    return dict(_installed())


def version_changes(before: dict[str, str], now: dict[str, str]) -> str:
    """What differs, in words, as in ``numpy 2.3.1 (now 2.4.6)``; empty if nothing does."""
    names = [name for name in now if before.get(name) != now[name]]
    return ", ".join(f"{name} {before.get(name, 'not recorded')} (now {now[name]})" for name in names)
