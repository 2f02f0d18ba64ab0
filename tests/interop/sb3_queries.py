"""A leader in Stable-Baselines3 that learns by steps: each is a query, what it does in one state, and the last is paid for the round."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

import stackelberg_envs as se


def train(id: str, *, leader_scale: float, rounds: int, seed: int, rounds_at_once: int = 64, **arguments: Any) -> list[tuple[int, float]]:
    """Rounds played, and the leader's exact value there."""
    asked = {"mode": "query", "rewards": "exact", "leader_scale": leader_scale, **arguments}
    envs = make_vec_env(id, 16, seed=seed, env_kwargs=asked)
    leader: Any = gymnasium.make(id, **asked).unwrapped  # one more, to score with
    game, queries = leader.game, leader.game.dimension // leader.action_space.shape[0]
    model = PPO(
        "MlpPolicy",
        VecNormalize(envs, norm_obs=False, gamma=1.0),
        n_steps=rounds_at_once * queries // 16,
        batch_size=rounds_at_once * queries // 2,
        n_epochs=4,
        gamma=1.0,  # the last query is paid for all of them
        gae_lambda=1.0,
        learning_rate=0.01,
        policy_kwargs={"log_std_init": -1.0, "net_arch": {"pi": [], "vf": [32]}},
        seed=seed,
        device="cpu",
    )
    curve = [(0, _value(model, leader, game))]
    for tenth in range(1, 11):
        model.learn(rounds * queries // 10, reset_num_timesteps=tenth == 1)
        curve.append((model.num_timesteps // queries, _value(model, leader, game)))
    return curve


def _value(model: PPO, leader: Any, game: Any) -> float:
    """F of the commitment that the mean answers make."""
    observation, over, rows = leader.reset()[0], False, []
    while not over:
        rows.append(model.predict(observation, deterministic=True)[0])
        observation, _, over, _, _ = leader.step(rows[-1])
    return float(se.evaluate(game, leader.commitment_of(np.concatenate(rows)), follower=leader.follower).leader_return)


if __name__ == "__main__":
    learned = train("Stackelberg/Toy3-Leader-v0", leader_scale=5.0, rounds=1280, seed=0)
    print(f"result: PPO, a leader of toy3 by queries: {learned[0][1]:.2f} to {learned[-1][1]:.2f} of 34.99 in {learned[-1][0]} rounds")
