"""One agent of anybody's PettingZoo environment as a Gymnasium environment; the policies of all others are fixed and act inside.

What is left is a Markov decision process, or a partially observed one, whose optimum is the agent's best response: any algorithm for one
agent finds it, or a lower bound of its value.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Dict, Discrete, Space
from pettingzoo import ParallelEnv
from pettingzoo.utils.conversions import parallel_to_aec

Policy = Callable[[Any, "np.ndarray | None", np.random.Generator], Any]
"""``policy(observation, mask, rng)`` gives an action; ``mask`` says which actions are legal, booleans (A,), or is None."""
FRUITLESS = 100
"""Episodes in a row in which the agent never has a turn, before this is an error."""


def random_policy(space: Space[Any]) -> Policy:
    """The policy that is uniform over legal actions of a Discrete ``space``, or over the whole of another one."""
    own = copy.deepcopy(space)  # whose generator is nobody else's

    def act(observation: Any, mask: np.ndarray | None, rng: np.random.Generator) -> Any:
        del observation
        if isinstance(space, Discrete):
            legal = np.arange(space.n) if mask is None else np.flatnonzero(mask)
            return int(space.start + rng.choice(legal))
        own.seed(int(rng.integers(2**31)))
        return own.sample()

    return act


class SingleAgentEnv(gymnasium.Env[Any, Any]):
    """What ``agent`` faces while the others keep to their policies.

    An episode ends when the agent is out.  Rewards between two of its turns are added up, and so are those after its last one.  Actions
    that the environment does not allow are replaced by legal ones at random, so that algorithms without masks can learn here; this does not
    change what the best policy earns.

    Args:
        make: returns a new environment, AEC or parallel, of PettingZoo's interface.
        agent: which one learns.
        policies: a `Policy` for each other agent.

    Raises:
        ValueError: if the environment has no such agent, or another agent has no policy.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, make: Callable[[], Any], agent: str, policies: Mapping[str, Policy]) -> None:
        made = make()
        self._env: Any = parallel_to_aec(made) if isinstance(made, ParallelEnv) else made
        agents = list(self._env.possible_agents)
        if agent not in agents:
            raise ValueError(f"there is no agent {agent!r}; the agents are {', '.join(map(str, agents))}")
        if missing := [other for other in agents if other != agent and other not in policies]:
            raise ValueError(f"no policy for {', '.join(map(str, missing))}: every agent but {agent} has a fixed one")
        self.agent, self._policies = agent, policies
        seen = self._env.observation_space(agent)
        self.observation_space = seen["observation"] if _has_mask(seen) else seen
        self.action_space: Any = self._env.action_space(agent)
        self.mask: np.ndarray | None = None
        """Which actions are legal at this turn, booleans (A,); None where all are."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, and play until the agent's first turn.

        Raises:
            RuntimeError: if it has none in `FRUITLESS` episodes.
        """
        super().reset(seed=seed)
        for _ in range(FRUITLESS):
            self._env.reset(seed=int(self.np_random.integers(2**31)), options=options)
            observation, _, over, info = self._play_others()
            if not over:
                return observation, info
        raise RuntimeError(f"{self.agent} had no turn in {FRUITLESS} episodes")

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act, and play until the agent's next turn, or the end."""
        if isinstance(self.action_space, Discrete):
            action = int(action)
            if self.mask is not None and not self.mask[action - int(self.action_space.start)]:
                action = random_policy(self.action_space)(None, self.mask, self.np_random)
        self._env.step(action)
        observation, reward, over, info = self._play_others()
        truncated = over and bool(self._env.truncations.get(self.agent, False))
        return observation, reward, over and not truncated, truncated, info

    def action_masks(self) -> np.ndarray:
        """Which actions are legal now, booleans (A,), by the name under which sb3-contrib's MaskablePPO asks for them."""
        return np.ones(self.action_space.n, dtype=bool) if self.mask is None else self.mask

    def close(self) -> None:
        """Close the environment inside."""
        self._env.close()

    def _play_others(self) -> tuple[Any, float, bool, dict[str, Any]]:
        """(observation, reward since the agent's last turn, whether it is out, infos), once it is its turn."""
        env = self._env
        while env.agents and env.agent_selection != self.agent:
            observation, _, terminated, truncated, info = env.last()
            other = env.agent_selection
            if terminated or truncated:
                env.step(None)
                continue
            seen, mask = _split(observation, info)
            env.step(self._policies[other](seen, mask, self.np_random))
        if not env.agents:
            raise RuntimeError(f"the environment ended without a last turn for {self.agent}, which an AEC owes every agent")
        observation, reward, terminated, truncated, info = env.last()
        seen, self.mask = _split(observation, info)
        return seen, float(reward), bool(terminated or truncated), dict(info)


def _has_mask(space: Space[Any]) -> bool:
    return isinstance(space, Dict) and {"observation", "action_mask"} <= set(space.spaces)


def _split(observation: Any, info: Mapping[str, Any]) -> tuple[Any, np.ndarray | None]:
    """(what is observed, which actions are legal or None): PettingZoo's games put the mask into the observation, or into the infos."""
    mask = info.get("action_mask")
    if isinstance(observation, Mapping) and "action_mask" in observation:
        observation, mask = observation["observation"], observation["action_mask"]
    return observation, None if mask is None else np.asarray(mask, dtype=bool)
