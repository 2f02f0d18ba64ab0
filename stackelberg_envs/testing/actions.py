"""Legal and illegal actions of any Gymnasium space, from a generator of the kit's own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space


def sample(space: Any, rng: np.random.Generator, calm: float = 1.0, mask: Any = None) -> Any:
    """A legal action from ``rng``, so that the space's own generator is left alone.

    Args:
        space: any Gymnasium space.
        rng: what is drawn from.
        calm: scale of an action in a Box, as a fraction of its distance to the bounds.
        mask: which actions there are, as `gymnasium.spaces.Space.sample` takes it; None for all.
    """
    if isinstance(space, Discrete) and np.ndim(mask) == 1 and np.any(mask):
        return int(space.start + rng.choice(np.flatnonzero(mask)))
    if isinstance(space, Discrete):
        return int(space.start + rng.integers(space.n))
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        centre = np.clip(0.0, space.low, space.high)
        low, high = np.maximum(space.low, -10.0 + np.minimum(centre, 0)), np.minimum(space.high, 10.0 + np.maximum(centre, 0))
        return (centre + calm * (rng.uniform(low, high) - centre)).astype(space.dtype)
    twin = copy.deepcopy(space)
    twin.seed(int(rng.integers(2**31)))
    return twin.sample(mask) if mask is not None else twin.sample()


def different_actions(space: Any, mask: Any = None) -> tuple[Any, Any]:
    """Two legal actions far apart; equal ones where a space has one only."""
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        centre, top = np.clip(0.0, space.low, space.high), np.minimum(space.high, np.maximum(space.low, 0) + 10.0)
        other = np.where(top > centre, centre + 0.5 * (top - centre), np.maximum(space.low, -10.0))
        return centre.astype(space.dtype), other.astype(space.dtype)
    if isinstance(space, Discrete):
        there = np.arange(int(space.n)) if np.ndim(mask) != 1 or not np.any(mask) else np.flatnonzero(mask)
        return int(space.start + there[0]), int(space.start + there[-1])
    if isinstance(space, MultiDiscrete) and mask is None:
        return space.start.astype(space.dtype), (space.start + space.nvec - 1).astype(space.dtype)
    drawn = [sample(space, np.random.default_rng(i), mask=mask) for i in range(8)]
    return drawn[0], next((one for one in drawn if not equal(one, drawn[0])), drawn[0])


def illegal_actions(space: Space[Any]) -> list[Any]:
    """Actions outside a space; none where it has no outside that is worth trying."""
    if isinstance(space, Discrete):
        return [int(space.start + space.n), int(space.start) - 1]
    if isinstance(space, MultiDiscrete):
        return [space.start + space.nvec, space.start - 1]
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        above = np.where(np.isfinite(space.high), space.high + 1, np.clip(0.0, space.low, space.high)).astype(space.dtype)
        return [*([above] * bool(np.isfinite(space.high).any())), np.full(space.shape, np.nan, space.dtype)]
    return []


def equal(one: Any, other: Any) -> bool:
    """Whether two observations, numbers or infos are the same, in all that they contain; NaN is NaN."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return isinstance(other, (list, tuple)) and len(one) == len(other) and all(map(equal, one, other))
    try:
        return np.array_equal(one, other, equal_nan=True)
    except TypeError:  # text and objects are no numbers
        return np.array_equal(one, other)


def copy_arrays(value: Any) -> Any:
    """A copy whose arrays nobody else holds."""
    if isinstance(value, dict):
        return {key: copy_arrays(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [copy_arrays(one) for one in value]
    return value.copy() if isinstance(value, np.ndarray) else value
