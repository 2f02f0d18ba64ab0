"""What in tables is no probability or no number, in words that name the first bad row by its indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..processes.arrays import Array, array_namespace, as_numpy
from ..processes.inverse_cdf import negligible_deficit
from ..processes.transitions import Transition

AXES = {
    "leader_policy": ("s", "a"),
    "transition": ("s", "a", "b", "s'"),
    "follower_rewards": ("i", "s", "a", "b"),
    "leader_reward": ("s", "a", "b"),
    "initial": ("s",),
    "policy": ("s", "a", "b"),
    "signal": ("s", "a", "k"),
}
"""What the axes of the tables of a world are called."""


def distribution_errors(name: str, table: Any) -> list[str]:
    """What is wrong with rows that are distributions: each sums to 1."""
    numbers = as_numpy(table)
    return _errors(name, numbers, numbers.sum(-1), exact=True)


def transition_errors(kernel: Transition) -> list[str]:
    """What is wrong with rows of a transition: each sums to at most 1, as many rows as are stored."""
    return _errors("transition", as_numpy(kernel.numbers), as_numpy(kernel.row_sums()), exact=False)


def reward_errors(name: str, table: Any) -> list[str]:
    """What is wrong with rewards: each is a finite number; -inf, which says that an action is not available, is none by now."""
    numbers = as_numpy(table)
    finite = np.isfinite(numbers)
    if finite.all():
        return []
    place = _first(~finite)
    return [f"{name} is {numbers[place]} at {_label(name, place)}: rewards are finite numbers"]


def check_policy(policy: Array) -> None:
    """Refuse a follower's policy (..., S, A, B) that is none, in any library.

    Raises:
        ValueError: naming the first row that is no distribution.
    """
    xp = array_namespace(policy)
    rounding = max(1e-6, 1e4 * float(xp.finfo(policy.dtype).eps))  # a solver's answer, and not a table
    off = xp.abs(xp.sum(policy, axis=-1) - 1)
    if not bool(xp.all(off <= rounding)) or bool(xp.any(policy < -rounding)):
        numbers = as_numpy(policy).reshape(-1, *policy.shape[-3:])
        wrong = next(errors for one in numbers if (errors := distribution_errors("policy", one)))
        raise ValueError(f"the follower's policy is none: {'; '.join(wrong)}")


def shape_errors(name: str, table: Any, shape: tuple[int, ...]) -> list[str]:
    """What is wrong with the shape of a table of a world without batch axes."""
    return [] if tuple(table.shape) == shape else [f"{name} has shape {tuple(table.shape)}, not {shape}"]


def discount_errors(**discounts: float) -> list[str]:
    """What is wrong with discounts, by name: each is in [0, 1]."""
    return [f"{name} is {value}: a discount is in [0, 1]" for name, value in discounts.items() if not 0 <= value <= 1]


def _errors(name: str, numbers: np.ndarray, sums: np.ndarray, *, exact: bool) -> list[str]:
    tolerance = negligible_deficit(numbers)
    off = ~(np.abs(sums - 1) <= tolerance) if exact else ~(sums <= 1 + tolerance)  # NaN fails both
    bad = numbers < 0
    found = []
    if bad.any():
        place = _first(bad)
        found.append(f"{_row(name, place[:-1])} has the entry {numbers[place]:.6g}: probabilities are not negative")
    if off.any():
        place = _first(off)
        rule = "a distribution sums to 1" if exact else "a row of probabilities sums to 1, or to less where the episode may end"
        found.append(f"{_row(name, place)} sums to {sums[place]:.10g}: {rule}")
    return found


def _row(name: str, place: tuple[int, ...]) -> str:
    return f"row {_label(name, place)} of {name}" if place else name


def _label(name: str, place: tuple[int, ...]) -> str:
    return f"({', '.join(f'{axis}={i}' for axis, i in zip(AXES.get(name, ()), place, strict=False))})"


def _first(bad: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
