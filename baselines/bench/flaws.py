"""What a line of results cannot say if a run wrote it: contradictions with itself and with its checksum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from stackelberg_envs.annotations import allows, in_words

from . import results_file
from .quantities import quantity

KINDS = {"job": dict, "versions": dict, "x": list, "leader_return": object, "reason": str, "history": list, "cost": dict, "timing": dict}
"""Of the fields that every line has."""
INNER = {
    "job": {"world": dict, "solver": str, "budget": int},
    "timing": {"history": list, "seconds": float, "finished": str, "machine": str},
}
OPTIONAL = {"code": dict, "again": int, "schema": int}


def flaw(result: dict[str, Any]) -> str | None:
    """Why a line cannot be what a run wrote, as far as it says itself; None if it can."""
    try:
        return next(_contradictions(result), None)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return f"it is not a whole result of a job ({error!r})"


def _wrong_kinds(part: dict[str, Any], kinds: dict[str, type], where: str) -> Iterator[str]:
    for name, kind in kinds.items():
        if name not in part:
            yield f"it has no {where}{name}"
        elif not allows(kind, part[name]):
            yield f"its {where}{name} is {part[name]!r}, and a run writes {in_words(kind)}"


def _contradictions(result: dict[str, Any]) -> Iterator[str]:
    yield from _wrong_kinds(result, KINDS, "")
    for name, kinds in INNER.items():
        yield from _wrong_kinds(result[name], kinds, f"{name}.")
    yield from _wrong_kinds(result, {name: kind for name, kind in OPTIONAL.items() if name in result}, "")
    if result.get("schema", 1) > results_file.SCHEMA:
        yield f"it is of schema {result['schema']}, and this version of stackelberg-envs reads up to {results_file.SCHEMA}"
    for world in (result["job"]["world"], result["job"].get("referee") or {}):
        follower = world.get("follower") or {"kind": ""}
        if not isinstance(world.get("id", ""), str) or not isinstance(follower.get("kind"), str):
            yield "its job names no game, or no kind of follower"
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
        yield f"it ended after {quantity(cost['commitments'], 'commitment')}, and its job has a budget of {result['job']['budget']}"
    if history[-1].get("commitments", cost["commitments"]) != cost["commitments"]:
        yield f"it ended after {quantity(cost['commitments'], 'commitment')}, and its last report after {history[-1]['commitments']}"
    if len(result["timing"]["history"]) != len(history):
        yield f"it has times of {len(result['timing']['history'])} reports, and {len(history)} reports"
    if result.get("schema", 1) >= 3 and result.get("checksum") != results_file.checksum(result):
        yield "it was changed after it was written (its checksum is of something else)"
