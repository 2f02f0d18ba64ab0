"""Wrappers that clip vectors to their spaces, for learners whose actions may lie outside.

PettingZoo's own wrapper asks that all agents act by vectors.  Here a leader may act by a vector beside followers who choose among a few
actions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from pettingzoo.utils import BaseParallelWrapper, BaseWrapper


class ClipActions(BaseWrapper):
    """An AEC environment in which vectors outside an agent's Box are moved to its bounds; other actions are passed on."""

    def step(self, action: Any) -> None:
        """Act for ``agent_selection``."""
        super().step(_nearest(self.action_space(self.agent_selection), action))


class ClipActionsParallel(BaseParallelWrapper):
    """A parallel environment in which vectors outside an agent's Box are moved to its bounds; other actions are passed on."""

    def step(self, actions: dict[str, Any]) -> Any:
        """Act for all."""
        return super().step({agent: _nearest(self.action_space(agent), action) for agent, action in actions.items()})


def _nearest(space: Any, action: Any) -> Any:
    """The nearest element of a Box; what is no vector of numbers is left for the environment to refuse."""
    if action is None or not isinstance(space, Box):
        return action
    try:
        given = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError):
        return action
    fits = given.shape == space.shape or (given.shape == () and space.shape == (1,))
    return np.clip(given, space.low, space.high) if fits else action
