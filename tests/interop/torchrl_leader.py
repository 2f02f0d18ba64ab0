"""A leader in TorchRL: PPO whose steps are rounds, played side by side."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from tensordict.nn import AddStateIndependentNormalScale, TensorDictModule
from torch import nn
from torchrl.envs import ExplorationType, GymWrapper, set_exploration_type
from torchrl.modules import IndependentNormal, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import stackelberg_envs as se


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
    torch.manual_seed(seed)
    rounds_at_once = gymnasium.make_vec(id, num_envs, rewards="ex-ante", leader_scale=leader_scale, autoreset_mode="SameStep", **arguments)
    game, follower = rounds_at_once.unwrapped.game, rounds_at_once.unwrapped.follower
    env = GymWrapper(rounds_at_once)
    env.set_seed(seed)
    width = env.observation_spec["observation"].shape[-1]
    mean = nn.Linear(width, game.dimension)
    nn.init.zeros_(mean.weight)
    nn.init.zeros_(mean.bias)
    normal = nn.Sequential(mean, AddStateIndependentNormalScale(game.dimension, scale_mapping="exp"))
    nn.init.constant_(normal[1].state_independent_scale, log_std)
    actor = ProbabilisticActor(
        TensorDictModule(normal, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        distribution_class=IndependentNormal,
        return_log_prob=True,
    )
    critic = ValueOperator(nn.Sequential(nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, 1)), in_keys=["observation"])
    estimate = GAE(gamma=1.0, lmbda=1.0, value_network=critic)
    losses = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=0.0, critic_coeff=0.5, normalize_advantage=True)
    updates = rounds // num_envs
    optimizer = torch.optim.Adam(losses.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, updates)
    observation, curve, scale = env.reset(), [], None

    def score(played: int) -> None:
        with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
            action = actor(observation.clone())["action"][0].clamp(-1, 1).numpy()
        x = np.clip(leader_scale * action, game.leader_space.low, game.leader_space.high)
        curve.append((played, float(se.evaluate(game, x, follower=follower).leader_return)))

    for update in range(updates):
        if update % max(updates // 20, 1) == 0:
            score(update * num_envs)
        with torch.no_grad(), set_exploration_type(ExplorationType.RANDOM):
            data = actor(observation.clone())
            drawn = data["action"]
            played, observation = env.step_and_maybe_reset(data.set("action", drawn.clamp(-1, 1)))
            played["action"] = drawn  # what has the log-probability that was recorded
            reward = played["next", "reward"]
            scale = scale or float(reward.std()) + 1e-8  # returns of some games are in hundreds, and one optimizer is for actor and critic
            played["next", "reward"] = reward / scale
        played = played.unsqueeze(1)  # (num_envs, 1): episodes of one step
        with torch.no_grad():
            estimate(played)
        for _ in range(4):
            loss = losses(played)
            optimizer.zero_grad()
            sum(value for name, value in loss.items() if name.startswith("loss_")).backward()
            nn.utils.clip_grad_norm_(losses.parameters(), 0.5)
            optimizer.step()
        schedule.step()
    score(updates * num_envs)
    env.close()
    return curve


if __name__ == "__main__":
    learned = train("Stackelberg/Toy3-Leader-v0", leader_scale=5.0, rounds=2560, seed=0)
    print(f"result: PPO, a leader of toy3: {learned[0][1]:.2f} to {learned[-1][1]:.2f} of 34.99 in {learned[-1][0]} rounds")
