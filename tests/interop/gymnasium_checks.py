"""Gymnasium's check_env on both sides of every game, its vector environments, and tabular Q-learning of a follower."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

import stackelberg_envs as se


def q_learning(id: str, episodes: int, seed: int, rate: float = 0.1, discount: float = 0.9) -> tuple[float, float]:
    """Mean returns of the first and the last tenth of episodes, exploring."""
    env = gymnasium.make(id, observations="index", max_cycles=50)
    values = np.zeros((env.observation_space.n, env.action_space.n))
    rng, returns = np.random.default_rng(seed), []
    for episode in range(episodes):
        state, _ = env.reset(seed=seed if episode == 0 else None)
        total, over = 0.0, False
        while not over:
            action = int(rng.integers(len(values[0])) if rng.random() < 0.1 else values[state].argmax())
            after, reward, terminated, truncated, _ = env.step(action)
            values[state, action] += rate * (reward + discount * (not terminated) * values[after].max() - values[state, action])
            state, total, over = after, total + reward, terminated or truncated
        returns.append(total)
    tenth = episodes // 10
    return float(np.mean(returns[:tenth])), float(np.mean(returns[-tenth:]))


def main() -> None:
    warnings.simplefilter("ignore")  # Gymnasium warns of Box bounds that are as wide as numbers go
    checked = 0
    for spec in sorted(gymnasium.registry):
        if spec.startswith("Stackelberg/") and not spec.startswith(("Stackelberg/Leader", "Stackelberg/Follower")):
            check_env(gymnasium.make(spec).unwrapped, skip_render_check=True)
            envs = gymnasium.make_vec(spec, num_envs=3)
            envs.reset(seed=0)
            envs.step(envs.action_space.sample())
            checked += 1
    first, last = q_learning("Stackelberg/Toy3-Follower-v0", 300, seed=0)
    print(
        f"result: check_env and make_vec on {checked} ids of {len(se.games())} games; "
        f"Q-learning of toy3's follower, 300 episodes: {first:.1f} to {last:.1f}"
    )


if __name__ == "__main__":
    main()
