"""For libraries that know no action masks, or no agents without one.

Where followers lack some action somewhere, ``infos[agent]["action_mask"]`` says which discrete actions an agent has now, and an unavailable
one is refused (`stackelberg_envs.views.episode.Episode.info`).  Libraries that never look there play unavailable actions: behind
`NextAvailable`, or `NextAvailableParallel`, these stand for the next available one.  And PettingZoo's ``TerminateIllegalWrapper`` looks for
a mask at every turn, where a leader that commits to a vector has none: `TerminateIllegal` lets it pass.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.utils import RecordConstructorArgs
from pettingzoo.utils.wrappers import BaseParallelWrapper, TerminateIllegalWrapper

MASK = "action_mask"


def next_available(action: Any, mask: np.ndarray | None) -> Any:
    """``action``, or the next one that ``mask`` allows, counted round; ``action`` itself where there is no mask."""
    if mask is None or not np.any(mask):
        return action
    order = (int(action) + np.arange(len(mask))) % len(mask)
    return int(order[np.argmax(np.asarray(mask)[order])])


class NextAvailable(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A Gymnasium environment in which an unavailable action stands for the next available one, counted round.

    Args:
        env: an environment whose infos may have an ``action_mask``.
    """

    _mask: np.ndarray | None = None

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """See `gymnasium.Env.reset`."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._mask = info.get(MASK)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env.step`."""
        observation, reward, terminated, truncated, info = self.env.step(next_available(action, self._mask))
        self._mask = info.get(MASK)
        return observation, reward, terminated, truncated, info


class NextAvailableParallel(BaseParallelWrapper[Any, Any, Any]):
    """The same for a PettingZoo parallel environment.

    Args:
        env: an environment whose infos may have an ``action_mask`` for some agents.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._masks: dict[str, np.ndarray | None] = {}

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """See `pettingzoo.ParallelEnv.reset`."""
        observations, infos = self.env.reset(seed=seed, options=options)
        self._masks = {agent: info.get(MASK) for agent, info in infos.items()}
        return observations, infos

    def step(self, actions: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """See `pettingzoo.ParallelEnv.step`."""
        stepped = self.env.step({agent: next_available(action, self._masks.get(agent)) for agent, action in actions.items()})
        self._masks = {agent: info.get(MASK) for agent, info in stepped[-1].items()}
        return stepped


class TerminateIllegal(TerminateIllegalWrapper[Any, Any, Any]):
    """PettingZoo's wrapper, which ends the episode at an unavailable action, for environments where some agents have no mask.

    Those whose actions are no indices are left to the environment, which refuses what it cannot take.

    Args:
        env: an AEC environment.
        illegal_reward: what the agent that played the action is paid.
    """

    def step(self, action: Any) -> None:
        """See `pettingzoo.AECEnv.step`."""
        if isinstance(self.action_space(self.agent_selection), Discrete):
            super().step(action)
        else:
            self.env.step(action)
            self._prev_obs = self._prev_info = None
