"""A leader in one file of PPO, in the manner of CleanRL's ppo_continuous_action.py: steps are rounds, played side by side."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal

import stackelberg_envs as se


class Agent(nn.Module):
    def __init__(self, observations: int, actions: int, log_std: float) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(observations, 32), nn.Tanh(), nn.Linear(32, 1))
        self.actor = nn.Linear(observations, actions)
        nn.init.zeros_(self.actor.weight)
        nn.init.zeros_(self.actor.bias)
        self.log_std = nn.Parameter(torch.full((actions,), log_std))

    def policy(self, observation: torch.Tensor) -> Normal:
        return Normal(self.actor(observation), self.log_std.exp())


def train(
    id: str,
    *,
    leader_scale: float,
    rounds: int,
    seed: int,
    num_envs: int = 64,
    learning_rate: float = 0.02,
    log_std: float = -1.0,
    epochs: int = 4,
    clip: float = 0.2,
    **arguments: Any,
) -> list[tuple[int, float]]:
    """Rounds played, and the exact value of the mean action's commitment there."""
    torch.manual_seed(seed)
    envs = gymnasium.make_vec(id, num_envs, rewards="ex-ante", leader_scale=leader_scale, autoreset_mode="SameStep", **arguments)
    game, follower = envs.unwrapped.game, envs.unwrapped.follower
    centre = np.zeros(game.dimension)
    agent = Agent(envs.single_observation_space.shape[0], game.dimension, log_std)
    optimizer = torch.optim.Adam(agent.parameters(), lr=learning_rate)
    observation = torch.as_tensor(envs.reset(seed=seed)[0])
    curve = []
    updates = rounds // num_envs
    for update in range(updates + 1):
        with torch.no_grad():
            policy = agent.policy(observation)
            if update % max(updates // 20, 1) == 0:
                action = policy.mean[0].clamp(-1, 1).numpy()
                x = np.clip(centre + leader_scale * action, game.leader_space.low, game.leader_space.high)
                curve.append((update * num_envs, float(se.evaluate(game, x, follower=follower).leader_return)))
            actions = policy.sample()
            old = policy.log_prob(actions).sum(-1)
        after, rewards, *_ = envs.step(actions.clamp(-1, 1).numpy())
        rewards = torch.as_tensor(rewards, dtype=torch.float32)
        with torch.no_grad():
            advantages = rewards - agent.critic(observation).squeeze(-1)
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
            scale = rewards.std() + 1e-8
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - update / (updates + 1))
        for _ in range(epochs):
            ratio = (agent.policy(observation).log_prob(actions).sum(-1) - old).exp()
            loss = -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()
            loss = loss + 0.5 * ((agent.critic(observation).squeeze(-1) - rewards) / scale).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()
        observation = torch.as_tensor(after)
    envs.close()
    return curve


if __name__ == "__main__":
    learned = train("Stackelberg/Toy3-Leader-v0", leader_scale=5.0, rounds=2560, seed=0)
    print(f"result: PPO, a leader of toy3: {learned[0][1]:.2f} to {learned[-1][1]:.2f} of 34.99 in {learned[-1][0]} rounds")
