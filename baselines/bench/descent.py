"""What to say of a run that ended with less than it began with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .quantities import quantity

MORE_EPISODES, SMALLER_STEP = 4, 5
"""Factors that are proposed."""


def descent_note(history: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str | None:
    """That F fell over a run and which hyperparameters to try; None if it did not fall, or by less than its error says.

    Args:
        history: rows of a run, the first and the last of which are compared.
        settings: the solver's hyperparameters, as they were.
    """
    first, last = history[0], history[-1]
    error = 2 * (first.get("standard_error", 0.0) + last.get("standard_error", 0.0))
    start, end = first["leader_return"], last["leader_return"]
    if start - end <= error + 1e-9 * (1 + abs(start)):
        return None
    best = max(history, key=lambda row: row["leader_return"])
    fell = f"F fell, from {start:.6g} at the start to {end:.6g}"
    fell += "" if best is first else f" (at best {best['leader_return']:.6g}, after {quantity(best['commitments'], 'commitment')})"
    return f"{fell}. To try: {', '.join(_proposals(settings)) or 'another --seed, or a larger --start-scale'}"


def _proposals(settings: Mapping[str, Any]) -> list[str]:
    """Options of ``stackelberg solve`` by which sampled gradients are less biased, have less noise, or count for less."""
    tried = ["--set batches=independent"] if settings.get("batches") == "same" else []
    episodes = settings.get("episodes")
    if isinstance(episodes, int) and episodes > 0:
        tried.append(f"--set episodes={MORE_EPISODES * episodes} (it was {episodes})")
    rates = [name for name in ("lr", "learning_rate") if isinstance(settings.get(name), (int, float))]
    return tried + [f"--set {name}={settings[name] / SMALLER_STEP:g} (it was {settings[name]:g})" for name in rates]
