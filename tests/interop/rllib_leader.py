"""A leader in RLlib: PPO whose steps are rounds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.tune.registry import register_env

import stackelberg_envs as se


def train(id: str, *, leader_scale: float, rounds: int, seed: int, batch: int = 256, **arguments: Any) -> list[tuple[int, float]]:
    """Rounds played, and the leader's exact value there."""
    register_env("leader", lambda config: gymnasium.make(id, rewards="exact", leader_scale=leader_scale, **arguments))
    config = (
        PPOConfig()
        .environment("leader", clip_actions=True, normalize_actions=False)
        .env_runners(num_env_runners=0)
        .training(
            train_batch_size_per_learner=batch,
            minibatch_size=64,
            num_epochs=4,
            lr=[[0, 0.003], [rounds, 0.0]],
            gamma=1.0,
            lambda_=1.0,
            use_kl_loss=False,
            vf_clip_param=float("inf"),
            grad_clip=0.5,
        )
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[16], fcnet_activation="linear", vf_share_layers=False, free_log_std=True))
        .debugging(seed=seed)
    )
    algorithm = config.build_algo()
    game = gymnasium.make(id, **arguments).unwrapped.game
    observation = gymnasium.make(id, **arguments).reset()[0]
    learner = algorithm.learner_group._learner.module["default_policy"]  # there is no setting for where the exploration begins
    learner.pi.log_std.data.fill_(-1.0)
    algorithm.env_runner_group.sync_weights(from_worker_or_learner_group=algorithm.learner_group, inference_only=True)
    curve = []

    def score(played: int) -> None:
        module = algorithm.get_module()
        with torch.no_grad():
            out = module.forward_inference({Columns.OBS: torch.as_tensor(observation)[None]})
        mean = out[Columns.ACTION_DIST_INPUTS][0, : game.dimension].clamp(-1, 1).numpy()
        x = np.clip(leader_scale * mean, game.leader_space.low, game.leader_space.high)
        curve.append((played, float(se.evaluate(game, x).leader_return)))

    score(0)
    for update in range(rounds // batch):
        algorithm.train()
        if (update + 1) % max(rounds // batch // 20, 1) == 0:
            score((update + 1) * batch)
    algorithm.stop()
    return curve


if __name__ == "__main__":
    learned = train("Stackelberg/Toy3-Leader-v0", leader_scale=5.0, rounds=2560, seed=0)
    print(f"result: PPO, a leader of toy3: {learned[0][1]:.2f} to {learned[-1][1]:.2f} of 34.99 in {learned[-1][0]} rounds")
