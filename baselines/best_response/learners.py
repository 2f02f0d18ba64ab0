"""Algorithms that look for a best response in a `SingleAgentEnv`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Discrete

from stackelberg_envs.extras import missing_extra

from .single_agent import Policy, SingleAgentEnv, random_policy


class Learner(Protocol):
    """What finds a response: an object of this module, or a function of yours."""

    def __call__(self, env: SingleAgentEnv, seed: int, on_steps: Callable[[int], None]) -> Policy:
        """Train in ``env``; report steps that are done to ``on_steps`` from time to time.  Return the policy that was found."""
        ...


@dataclass(frozen=True)
class QLearning:
    """Tabular Q-learning (Watkins, 1989) with optimistic ties broken at random; for Discrete actions and few different observations.

    Step sizes are 1 / n^0.7, n the number of visits, so that they meet the conditions of Robbins and Monro.

    Args:
        steps: of the environment.
        discount: gamma of the learner's values.
        exploration: probability of an action at random.
    """

    steps: int = 100_000
    discount: float = 1.0
    exploration: float = 0.3

    def __call__(self, env: SingleAgentEnv, seed: int, on_steps: Callable[[int], None]) -> Policy:
        if not isinstance(env.action_space, Discrete):
            raise ValueError(
                f"Q-learning needs a Discrete action space, and that of {env.agent} is {env.action_space}; use StableBaselines"
            )
        rng, first, count = np.random.default_rng(seed), int(env.action_space.start), int(env.action_space.n)
        values: defaultdict[bytes, np.ndarray] = defaultdict(lambda: np.zeros(count))
        visits: defaultdict[bytes, np.ndarray] = defaultdict(lambda: np.zeros(count))
        observation, _ = env.reset(seed=seed)
        for _ in range(self.steps):
            key, legal = _key(observation), np.flatnonzero(env.action_masks())
            chosen = int(rng.choice(legal) if rng.random() < self.exploration else legal[np.argmax(values[key][legal])])
            observation, reward, terminated, truncated, _ = env.step(first + chosen)
            ahead = 0.0 if terminated else self.discount * values[_key(observation)][env.action_masks()].max(initial=-np.inf)
            visits[key][chosen] += 1
            target = reward + (ahead if np.isfinite(ahead) else 0.0)
            values[key][chosen] += (target - values[key][chosen]) / visits[key][chosen] ** 0.7
            if terminated or truncated:
                observation, _ = env.reset()
            on_steps(1)
        table = dict(values)

        def act(seen: Any, mask: np.ndarray | None, rng: np.random.Generator) -> int:
            del rng
            legal = np.arange(count) if mask is None else np.flatnonzero(mask)
            return first + int(legal[np.argmax(table.get(_key(seen), np.zeros(count))[legal])])

        return act


@dataclass(frozen=True)
class StableBaselines:
    """An algorithm of stable-baselines3 (Raffin et al., JMLR 2021; the extra ``rl``).

    Args:
        algorithm: ``"PPO"``, ``"DQN"``, ``"A2C"``, ``"SAC"`` or another of its classes.
        steps: of the environment.
        options: further arguments of the class, such as ``{"learning_rate": 1e-3}``.
    """

    algorithm: str = "PPO"
    steps: int = 100_000
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, env: SingleAgentEnv, seed: int, on_steps: Callable[[int], None]) -> Policy:
        try:
            import stable_baselines3
            from stable_baselines3.common.callbacks import BaseCallback
        except ImportError as error:
            raise missing_extra("this learner", error) from error
        from solvers.leader_ppo import private_generators

        class Progress(BaseCallback):
            def _on_step(self) -> bool:
                on_steps(1)
                return True

        with private_generators(np.random.default_rng(seed)):
            model = getattr(stable_baselines3, self.algorithm)("MlpPolicy", env, seed=seed, device="cpu", **self.options)
            model.learn(self.steps, callback=Progress())

        space = env.action_space

        def act(seen: Any, mask: np.ndarray | None, rng: np.random.Generator) -> Any:
            action, _ = model.predict(seen, deterministic=True)
            if not isinstance(space, Discrete):
                return action
            legal = mask is None or mask[int(action) - int(space.start)]
            return int(action) if legal else random_policy(space)(seen, mask, rng)

        return act


def _key(observation: Any) -> bytes:
    """What a table is indexed by."""
    return np.ascontiguousarray(observation).tobytes()
