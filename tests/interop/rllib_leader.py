"""A leader in RLlib: PPO whose steps are rounds, played side by side."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.tune.registry import register_env
from torch import nn

import stackelberg_envs as se


class Gaussian(TorchRLModule, ValueFunctionAPI):
    """A mean and a standard deviation; RLlib's own modules have no setting for where the exploration begins."""

    def setup(self) -> None:
        width, actions = self.observation_space.shape[0], self.action_space.shape[0]
        self.mean, self.value = nn.Linear(width, actions), nn.Sequential(nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, 1))
        nn.init.zeros_(self.mean.weight)
        nn.init.zeros_(self.mean.bias)
        self.log_std = nn.Parameter(torch.full((actions,), self.model_config["log_std"]))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, torch.Tensor]:
        mean = self.mean(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: torch.cat([mean, self.log_std.expand_as(mean)], dim=-1)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.value(batch[Columns.OBS]).squeeze(-1)


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
    arguments = {"rewards": "ex-ante", "leader_scale": leader_scale, **arguments}
    # RLlib steps once more after each end, as Gymnasium's NEXT_STEP asks; those steps are no rounds and cost nothing
    register_env("leader", lambda config: gymnasium.make_vec(id, config["num_envs"], autoreset_mode="NextStep", **arguments))
    config = (
        PPOConfig()
        .environment("leader", clip_actions=True, normalize_actions=False)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=num_envs,
            gym_env_vectorize_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
            rollout_fragment_length=1,
        )
        .training(
            train_batch_size_per_learner=num_envs,
            minibatch_size=num_envs,
            num_epochs=4,
            lr=[[0, learning_rate], [rounds, 0.0]],
            gamma=1.0,
            lambda_=1.0,
            use_kl_loss=False,
            entropy_coeff=0.0,
            clip_param=0.2,
            vf_clip_param=float("inf"),
            grad_clip=0.5,
            grad_clip_by="global_norm",
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=Gaussian, model_config={"log_std": log_std}))
        .debugging(seed=seed, log_level="ERROR")
    )
    algorithm = config.build_algo()
    envs = algorithm.env_runner.env.unwrapped
    game, follower = envs.game, envs.follower
    observation = torch.as_tensor(envs.reset()[0][:1])
    curve = []

    def score(played: int) -> None:
        with torch.no_grad():
            out = algorithm.get_module().forward_inference({Columns.OBS: observation})
        mean = out[Columns.ACTION_DIST_INPUTS][0, : game.dimension].clamp(-1, 1).numpy()
        x = np.clip(leader_scale * mean, game.leader_space.low, game.leader_space.high)
        curve.append((played, float(se.evaluate(game, x, follower=follower).leader_return)))

    updates = rounds // num_envs
    for update in range(updates):
        if update % max(updates // 20, 1) == 0:
            score(update * num_envs)
        algorithm.train()
    score(updates * num_envs)
    algorithm.stop()
    return curve


if __name__ == "__main__":
    learned = train("Stackelberg/Toy3-Leader-v0", leader_scale=5.0, rounds=2560, seed=0)
    print(f"result: PPO, a leader of toy3: {learned[0][1]:.2f} to {learned[-1][1]:.2f} of 34.99 in {learned[-1][0]} rounds")
