"""Interleaved timing of two functions in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def ratio(slow: Callable[[], object], fast: Callable[[], object], *, rounds: int = 7, repeat: int = 5) -> tuple[float, float, float]:
    """(median ratio, seconds of slow, seconds of fast), interleaved."""
    pairs = []
    for _ in range(rounds):
        began = time.process_time()
        slow()
        middle = time.process_time()
        for _ in range(repeat):
            fast()
        pairs.append((middle - began, (time.process_time() - middle) / repeat))
    return (
        statistics.median(a / b for a, b in pairs),
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
    )
