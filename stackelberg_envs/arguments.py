"""Checks of what people hand in, with messages that say what was wrong: whole numbers, real numbers, lengths of episodes, names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """A checked whole number.

    Raises:
        ValueError: if it is none, or outside [low, high].
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low or (high is not None and value > high):
        raise ValueError(f"{name} is a whole number {f'from {low}' if high is None else f'{low} to {high}'}, got {value!r}")
    return int(value)


def real(name: str, value: Any, low: float, high: float = float("inf"), *, open_low: bool = False) -> float:
    """A checked finite number.

    Raises:
        ValueError: if it is none, or outside [low, high] (with ``open_low``, (low, high]).
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and np.isfinite(value)
    if not number or value > high or value < low or (open_low and value == low):
        span = f"above {low}" if open_low else f"at least {low}"
        raise ValueError(f"{name} is a finite number {span}{f' and at most {high}' if np.isfinite(high) else ''}, got {value!r}")
    return float(value)


def cycles(count: Any) -> int:
    """A checked episode length.

    Raises:
        ValueError: if it is not a whole number from 1.
    """
    return whole("max_cycles", count, 1)


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of an error message: the closest known name, and all of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(known)}"
