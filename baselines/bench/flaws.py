"""What a line of results cannot say if a run wrote it: contradictions with itself and with its checksum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import results_file

NEEDED = ("job", "versions", "x", "leader_return", "reason", "history", "cost", "timing")


def flaw(result: dict[str, Any]) -> str | None:
    """Why a line cannot be what a run wrote, as far as it says itself; None if it can."""
    if result.get("schema", 1) > results_file.SCHEMA:
        return f"it is of schema {result['schema']}, and this version of stackelberg-envs reads up to {results_file.SCHEMA}"
    try:
        return next(_contradictions(result), None)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return f"it is not a whole result of a job ({error!r})"


def _contradictions(result: dict[str, Any]) -> Iterator[str]:
    yield from (f"it has no {name}" for name in NEEDED if name not in result)
    history, cost, score = result["history"], result["cost"], result["leader_return"]
    if not history:
        yield "its history is empty"
    scores = [row["leader_return"] for row in history]
    for name, values in (("leader_return", score), ("x", result["x"]), ("history[].leader_return", scores), ("cost", list(cost.values()))):
        if np.asarray(values).dtype.kind not in "if" or not np.isfinite(values).all():
            yield f"{name} holds what is no finite number"
    if abs(score - scores[-1]) > 1e-6 * max(1.0, abs(score)):
        yield f"its leader_return is {score}, and the last report of its history {scores[-1]}"
    if min(cost.values()) < 0 or cost["commitments"] < result["job"]["budget"]:
        yield f"it ended after {cost['commitments']} commitments, and its job has a budget of {result['job']['budget']}"
    if history[-1].get("commitments", cost["commitments"]) != cost["commitments"]:
        yield f"it ended after {cost['commitments']} commitments, and its last report after {history[-1]['commitments']}"
    if len(result["timing"]["history"]) != len(history):
        yield f"it has times of {len(result['timing']['history'])} reports, and {len(history)} reports"
    if result.get("schema", 1) >= 3 and result.get("checksum") != results_file.checksum(result):
        yield "it was changed after it was written (its checksum is of something else)"
