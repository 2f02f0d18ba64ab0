"""The follower: PPO by stable-baselines3 on a Gymnasium task, paid by whom its caller chooses.

`play` records whole episodes, `improve` takes the rewards of that play from outside and makes one update of PPO (Schulman et al., arXiv
1707.06347; the library's advantages and its ``train``), so that the newest reward pays the play it was fitted on, and the true reward
never enters.  The policy persists: a changed reward finds it where the last one left it.

Tasks have episodes of one length that only the clock ends (else the length itself would tell what is good: Christiano et al., section
2.1.1), and box actions.  The clock is no end of the world: the last reward has gamma V(s_T) added, as everywhere in that library.

The library draws from global generators: run this inside `private_generators`.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import torch

from .teacher import Rollout

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.buffers import RolloutBuffer
    from stable_baselines3.common.logger import Logger
except ImportError as error:
    raise ImportError("preferences need stable-baselines3 for their followers: pip install 'stackelberg-envs[rl]'") from error


class Task:
    """A Gymnasium task with episodes of one length and box actions, and what a reward may look at.

    Args:
        id: of a registered environment, e.g. ``"Pendulum-v1"``.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        env = self.env()
        acts, sees, steps = env.action_space, env.observation_space, env.spec.max_episode_steps if env.spec else None
        if not (isinstance(acts, gymnasium.spaces.Box) and isinstance(sees, gymnasium.spaces.Box) and len(sees.shape) == 1):
            raise ValueError(f"{id} has observations {sees} and actions {acts}; preferences need boxes for both, e.g. Pendulum-v1")
        if steps is None or not np.isfinite([acts.low, acts.high]).all():
            raise ValueError(f"{id} has no limit of steps, or unbounded actions; preferences need both bounded, e.g. Pendulum-v1")
        self.actions, self.observations, self.steps = acts, sees, steps
        self.size = np.where(np.isfinite(sees.high), np.abs(sees.high), 1.0)
        """What observations are divided by."""

    def env(self) -> gymnasium.Env:
        return gymnasium.make(self.id, disable_env_checker=True)

    def clip(self, actions: np.ndarray) -> np.ndarray:
        """Actions as they take effect."""
        return np.clip(actions, self.actions.low, self.actions.high)

    def inputs(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """What rewards are functions of, (..., d), float32."""
        middle, half = (self.actions.high + self.actions.low) / 2, (self.actions.high - self.actions.low) / 2
        return np.concatenate([observations / self.size, (self.clip(actions) - middle) / half], axis=-1).astype(np.float32)


class Follower:
    """A policy and its learner.

    Args:
        task: what is played.
        episodes: N, played side by side and learned from at once.
        seed: of the starts of episodes.
        options: hyperparameters of the library's PPO.
    """

    def __init__(self, task: Task, *, episodes: int, seed: int, options: dict[str, Any]) -> None:
        self.task = task
        self.envs = [task.env() for _ in range(episodes)]
        for i, env in enumerate(self.envs):
            env.reset(seed=seed + i)
        self.model = PPO("MlpPolicy", task.env(), device="cpu", n_steps=task.steps, **options)
        self.model.set_logger(Logger(None, []))

    def copy_state_from(self, other: Follower) -> None:
        """Take the other's policy, critic and state of Adam."""
        self.model.policy.load_state_dict(other.model.policy.state_dict())
        self.model.policy.optimizer.load_state_dict(other.model.policy.optimizer.state_dict())

    def play(self, seed: int | None = None) -> Rollout:
        """N episodes under the present policy, from new starts; a seed sets them."""
        model, task, count = self.model, self.task, len(self.envs)
        buffer = RolloutBuffer(
            task.steps, task.observations, task.actions, "cpu", gae_lambda=model.gae_lambda, gamma=model.gamma, n_envs=count
        )
        rewards = np.zeros((task.steps, count))
        seen = np.stack([env.reset(seed=None if seed is None else seed + i)[0] for i, env in enumerate(self.envs)])
        for t in range(task.steps):
            with torch.no_grad():
                actions, values, log_probs = model.policy(torch.as_tensor(seen, dtype=torch.float32))
            after, rewards[t] = _step(self.envs, task.clip(actions.numpy()))
            buffer.add(seen, actions.numpy(), np.zeros(count), np.full(count, t == 0), values, log_probs)
            seen = after
        with torch.no_grad():
            self._beyond = model.policy.predict_values(torch.as_tensor(seen, dtype=torch.float32)).numpy()[:, 0]
        model.rollout_buffer = buffer
        observations = buffer.observations.copy()
        return Rollout(task.inputs(observations, buffer.actions), observations, rewards)

    def improve(self, rewards: np.ndarray, player: Follower | None = None) -> None:
        """One update of PPO on the last play, its own or the ``player``'s, paid ``rewards`` (T, N).

        PPO's ratios have the player's probabilities below the line, so that play of a policy close by is as good as its own.  Own play
        comes first: after another's it is gone.
        """
        if player is not None:
            self.model.rollout_buffer, self._beyond = deepcopy(player.model.rollout_buffer), player._beyond
        buffer = self.model.rollout_buffer
        buffer.rewards[:] = rewards
        buffer.rewards[-1] += self.model.gamma * self._beyond
        buffer.compute_returns_and_advantage(torch.zeros(len(self.envs)), np.ones(len(self.envs)))
        self.model.train()

    def sample_actions(self, observations: np.ndarray, count: int) -> np.ndarray:
        """Actions of the present policy at observations (..., o): (..., count, actions)."""
        with torch.no_grad():
            flat = torch.as_tensor(observations.reshape(-1, observations.shape[-1]), dtype=torch.float32)
            gaussian: Any = self.model.policy.get_distribution(flat).distribution
            drawn = gaussian.sample((count,))
        return drawn.movedim(0, 1).numpy().reshape(*observations.shape[:-1], count, -1)


def true_returns(task: Task, follower: Follower, seeds: range) -> np.ndarray:
    """The referee: undiscounted true returns of the policy's mean actions in one episode a seed, (len(seeds),)."""
    envs = [task.env() for _ in seeds]
    seen = np.stack([env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)])
    total = np.zeros(len(envs))
    for _ in range(task.steps):
        actions, _ = follower.model.predict(seen, deterministic=True)
        seen, rewards = _step(envs, task.clip(actions))
        total += rewards
    return total


def _step(envs: list[gymnasium.Env], actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step of all: (observations, rewards)."""
    seen, rewards = [], []
    for env, action in zip(envs, actions, strict=True):
        observation, reward, ended, _, _ = env.step(action)
        if ended:
            raise ValueError("an episode ended before its time; preferences need a task that only the clock ends, e.g. Pendulum-v1")
        seen.append(observation)
        rewards.append(float(reward))
    return np.stack(seen), np.array(rewards)
