"""The tables of a world as they are given, checked: one world for each context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import nearest
from ..processes.arrays import Array
from .availability import action_mask
from .kernels import KernelWithEnd, check_stochastic, stop_at
from .rewards import check_no_reward_after_end, reward, unavailable
from .validation import check_loaded, distribution, indices


@dataclass(frozen=True)
class ContextTables:
    """The tables of one context."""

    transition: Array
    """(S, A, B, S), in any layout; a deficit is the probability of the end."""
    follower_reward: np.ndarray
    """(S, A, B), without what the leader sets."""
    leader_reward: np.ndarray
    """(S, A, B), without what the leader pays."""
    initial: np.ndarray
    """(S,)."""
    terminal: np.ndarray
    """Booleans (S,)."""
    available: np.ndarray | None
    """Which actions there are, booleans (S, A, B); None where all are."""


def context_tables(
    common: Mapping[str, Any],
    contexts: Mapping[str, Mapping[str, Any]],
    *,
    sees_policy: bool = False,
    normalise: bool = False,
    stochastic: bool = False,
) -> dict[str, ContextTables]:
    """The world in each context.

    Args:
        common: the arguments of `stackelberg_envs.formats.arrays.from_arrays` that make up a world, by name.
        contexts: those that are others in a context, by its name.
        sees_policy: whether the follower sees the leader's policy alone, and not its action.
        normalise: whether rows whose sums are near 1 are divided by them.
        stochastic: whether rows of actions that are there must sum to 1, those of terminal states aside.

    Raises:
        ValueError: for what is no world, and contexts whose sizes differ.
    """
    if not isinstance(contexts, Mapping) or not contexts or not all(isinstance(name, str) for name in contexts):
        raise ValueError(f"contexts are tables by the name of each context, got {contexts!r}")
    read: dict[tuple[int, int], tuple[KernelWithEnd, np.ndarray]] = {}  # what contexts share is read and kept once
    found: dict[str, ContextTables] = {}
    for context, changes in contexts.items():
        if not isinstance(changes, Mapping):
            raise ValueError(
                f"contexts[{context!r}] is {changes!r}, and not tables by name; {', '.join(common)} may be others in a context"
            )
        for name in changes:
            if name not in common:
                raise ValueError(f"contexts[{context!r}] has a table {name!r}; {nearest(str(name), tuple(common))}")
        names = {name: f"contexts[{context!r}][{name!r}]" if name in changes else name for name in common}
        given = {**common, **changes}
        for name, table in given.items():
            check_loaded(names[name], table)
        key = id(given["transition"]), id(given["terminal"])
        if key not in read:
            read[key] = _dynamics(names, given, normalise)
        found[context] = _world(names, given, *read[key], sees_policy=sees_policy, normalise=normalise, stochastic=stochastic)
        first, here = next(iter(found.values())).transition.shape, found[context].transition.shape
        if here != first:
            raise ValueError(f"transition of context {context!r} has the sizes {tuple(here)}, and that of the first {tuple(first)}")
    return found


def _dynamics(names: Mapping[str, str], given: Mapping[str, Any], normalise: bool) -> tuple[KernelWithEnd, np.ndarray]:
    """How states follow one another, and which are terminal, a mask (S,)."""
    steps = KernelWithEnd.from_kernel(names["transition"], given["transition"], normalise=normalise)
    ends = np.zeros(steps.transition.shape[0], dtype=bool)
    ends[indices(names["terminal"], given["terminal"], ends.shape)[:, 0]] = True
    return (KernelWithEnd(steps.arrivals, stop_at(steps.transition, ends)) if ends.any() else steps), ends


def _world(
    names: Mapping[str, str],
    given: Mapping[str, Any],
    steps: KernelWithEnd,
    ends: np.ndarray,
    *,
    sees_policy: bool,
    normalise: bool,
    stochastic: bool,
) -> ContextTables:
    if ends.all():
        raise ValueError(f"{names['terminal']} are all {len(ends)} states: no episode would begin")

    sizes: tuple[int, int, int] = steps.transition.shape[:3]
    finite, missing = unavailable(given["follower_reward"], sizes)
    available = action_mask(names["available"], given["available"], missing, ends, sizes, together=sees_policy)
    if stochastic:
        acts = np.broadcast_to(~ends[:, None, None], sizes)
        check_stochastic(names["transition"], steps.arrivals, acts if available is None else acts & available)

    def reward_table(which: str, numbers: Any) -> np.ndarray:
        table = reward(names[which], numbers, steps.arrivals)
        if np.ndim(numbers) == 0:  # a number for every step that is taken
            return np.where(ends[:, None, None], 0.0, table)
        check_no_reward_after_end(names[which], table, ends)
        return table

    initial = (
        ~ends / (~ends).sum()
        if given["initial"] is None
        else distribution(names["initial"], given["initial"], len(ends), "states", normalise=normalise)
    )
    if (initial * ends).any():
        raise ValueError(f"{names['initial']} begins in state {int((initial * ends).argmax())}, which is terminal")
    rewards = reward_table("follower_reward", finite), reward_table("leader_reward", given["leader_reward"])
    return ContextTables(steps.transition, *rewards, initial, ends, available)
