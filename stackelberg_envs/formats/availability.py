"""Which actions a follower has, as people say it: a mask beside the tables, or rewards of -inf."""

from __future__ import annotations

from typing import Any

import numpy as np

from .validation import first_index


def action_mask(
    name: str, given: Any, missing: np.ndarray | None, ends: np.ndarray, sizes: tuple[int, int, int], *, together: bool
) -> np.ndarray | None:
    """Which actions there are, booleans (S, A, B), or None where all are.

    Args:
        name: what the mask is called in messages.
        given: booleans (S, B) or (S, A, B), or None.
        missing: actions that are not there in any case, booleans (S, A, B), or None.
        ends: terminal states, booleans (S,): nobody acts there, and their actions, which end the episode, are all there.
        sizes: (S, A, B).
        together: whether an action must be there whatever the leader does, as for a follower that does not see it.

    Raises:
        ValueError: for another shape or type, and for a state without any action that is not terminal.
    """
    if given is None and missing is None:
        return None
    s, a, b = sizes
    mask = np.ones(sizes, dtype=bool)
    if given is not None:
        table = np.asarray(given)
        if table.dtype != bool or table.shape not in ((s, b), sizes):
            raise ValueError(
                f"{name} is booleans (S, B) = {(s, b)} or (S, A, B) = {sizes}, True where the follower has the action; got dtype "
                f"{table.dtype}, shape {table.shape}"
            )
        mask &= table[:, None] if table.ndim == 2 else table
    if missing is not None:
        mask &= ~missing
    mask |= ends[:, None, None]
    some = np.asarray((mask.all(axis=1, keepdims=True) if together else mask).any(axis=-1))
    if (place := first_index(~some)) is not None:
        state, action = place
        leader = "" if a == 1 else " whatever the leader does" if together else f" where the leader does {action}"
        raise ValueError(
            f"state {state} has no available action{leader}: give it one in {name} or, if the episode ends there, name it in terminal"
        )
    return None if mask.all() else mask
