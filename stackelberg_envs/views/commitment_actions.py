"""How a learner's actions stand for commitments: on which scale, and all at once or one query after another.

Learners explore on a scale of 1, with or without bounds at -1 and 1.  Leader spaces are many times as wide, since the best commitments of
some games are; most of what a learner would try there is nearly the same policy, and without a slope.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from ..arguments import real
from ..game import StackelbergGame
from .episode import LEADER, Observations, check_vector
from .slots import Index, Slot, encode, index_of


class CommitmentActions:
    """Actions in the box from -1 to 1: the commitment is ``centre + scale * action``, moved to the leader's bounds.

    Without a scale an action is the commitment.

    Args:
        game: what is played.
        scale: commitments per unit of action; None for actions that are commitments.
        centre: what the action 0 stands for, (n,).
    """

    def __init__(self, game: StackelbergGame, scale: float | None, centre: np.ndarray) -> None:
        self.bounds = game.leader_space
        self.scale = None if scale is None else real("leader_scale", scale, 0.0, open_low=True)
        self.centre = centre
        self.space = self.bounds if scale is None else Box(-1.0, 1.0, self.bounds.shape, np.float32)

    def commitment(self, action: Any) -> Any:
        """The commitment (n,) that an action stands for; raises `ActionError` if the action is not legal, and leaves what is not scaled."""
        if self.scale is None:
            return action
        unit = check_vector(LEADER, self.space, action, "its action")
        return np.clip(self.centre + self.scale * unit, self.bounds.low, self.bounds.high)


class Queries:
    """A commitment in rows, one a query: what the leader does in each state, or one component of an incentive after another.

    Args:
        game: what is played.
        actions: what a whole action stands for.
        observations: ``"vector"`` or ``"index"``.

    Raises:
        ValueError: if rows have different bounds.
    """

    def __init__(self, game: StackelbergGame, actions: CommitmentActions, observations: Observations) -> None:
        self.width = _row_width(game)
        self.count = game.dimension // self.width
        low, high = (bound.reshape(self.count, self.width) for bound in (actions.space.low, actions.space.high))
        if (low != low[0]).any() or (high != high[0]).any():
            raise ValueError(f"{game.name}: its components have different bounds, and one action space is for all; give a leader_scale")
        self.action_space = Box(low[0], high[0], dtype=actions.space.dtype)  # type: ignore[arg-type]
        self._slots: list[Slot] = [*([Index(len(game.contexts))] if len(game.contexts) > 1 else []), Index(self.count)]
        self._index = observations == "index"
        width = sum(len(one.low) for one in self._slots)
        count = int(np.prod([len(one.low) for one in self._slots]))
        self.observation_space: Space[Any] = Discrete(count) if self._index else Box(0.0, 1.0, (width,), np.float32)
        self._rows: list[np.ndarray] = []

    def start(self, context: int | None) -> Any:
        """Ask for the first row; ``context`` is what the leader sees of it, or None."""
        self._context, self._rows = context, []
        return self.observe()

    def take(self, action: Any) -> None:
        """Take the row that is asked for; raises `ActionError` if it is not legal."""
        self._rows.append(check_vector(LEADER, self.action_space, action, "its action"))

    @property
    def action(self) -> np.ndarray | None:
        """The whole action, once all rows are there."""
        return np.concatenate(self._rows) if len(self._rows) == self.count else None

    def observe(self) -> Any:
        """What is asked for: the context, where there are several, and the row, each with a last place for none; fresh."""
        asked = len(self._rows) if len(self._rows) < self.count else None
        seen = [self._context, asked][-len(self._slots) :]
        if self._index:
            return index_of(self._slots, seen)
        return encode(self._slots, seen)


def _row_width(game: StackelbergGame) -> int:
    """How many components belong together: those of one state, where the commitment is a policy; else 1."""
    state, lead = game.spaces[0].state, game.spaces[0].lead
    policy = isinstance(lead, Discrete) and isinstance(state, Discrete) and game.dimension == int(state.n) * int(lead.n)
    return int(lead.n) if policy else 1  # type: ignore[union-attr]
