"""A leader in Stable-Baselines3: a step is a round, and rounds are played side by side."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

import stackelberg_envs as se


class Rounds(VecEnv):
    """Gymnasium's vector environment as Stable-Baselines3's; every step ends an episode."""

    def __init__(self, envs: gymnasium.vector.VectorEnv) -> None:
        self.envs, self._seed = envs, None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> Any:
        return self.envs.reset(seed=self._seed)[0]

    def seed(self, seed: int | None = None) -> list[int | None]:
        self._seed = seed
        return [seed] * self.num_envs

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        observations, rewards, over, _, infos = self.envs.step(self._actions)
        told = [{"terminal_observation": final, "TimeLimit.truncated": False} for final in infos["final_obs"]]
        return observations, rewards.astype(np.float32), over, told

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.envs.unwrapped, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("rounds have no attributes of their own")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError("rounds have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class Curve(BaseCallback):
    """The exact value of the mean action's commitment, twenty times."""

    def __init__(self, envs: Any, leader_scale: float, rounds: int) -> None:
        super().__init__()
        self.game, self.follower = envs.game, envs.follower
        self.leader_scale, self.every, self.points = leader_scale, rounds // 20, []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= len(self.points) * self.every:
            self.score()

    def _on_training_end(self) -> None:
        self.score()

    def score(self) -> None:
        action, _ = self.model.predict(self.model._last_obs[0], deterministic=True)
        x = np.clip(self.leader_scale * action, self.game.leader_space.low, self.game.leader_space.high)
        self.points.append((self.num_timesteps, float(se.evaluate(self.game, x, follower=self.follower).leader_return)))


def train(
    id: str,
    *,
    leader_scale: float,
    rounds: int,
    seed: int,
    num_envs: int = 64,
    learning_rate: float = 0.02,
    log_std: float = -1.0,
    **arguments: Any,
) -> list[tuple[int, float]]:
    """Rounds played, and the exact value of the mean action's commitment there."""
    envs = gymnasium.make_vec(id, num_envs, rewards="ex-ante", leader_scale=leader_scale, autoreset_mode="SameStep", **arguments)
    curve = Curve(envs.unwrapped, leader_scale, rounds)
    model = PPO(
        "MlpPolicy",
        VecNormalize(Rounds(envs), norm_obs=False),
        n_steps=1,  # a step is a whole episode
        batch_size=num_envs,
        n_epochs=4,
        learning_rate=lambda left: learning_rate * left,
        policy_kwargs={"log_std_init": log_std, "net_arch": {"pi": [], "vf": [32]}},
        seed=seed,
        device="cpu",
    )
    model.learn(rounds, callback=curve)
    return curve.points


if __name__ == "__main__":
    learned = train("Stackelberg/Toy3-Leader-v0", leader_scale=5.0, rounds=2560, seed=0)
    print(f"result: PPO, a leader of toy3: {learned[0][1]:.2f} to {learned[-1][1]:.2f} of 34.99 in {learned[-1][0]} rounds")
