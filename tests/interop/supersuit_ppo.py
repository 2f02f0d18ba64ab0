"""SuperSuit and Stable-Baselines3: one network for leader and follower of random_markov_game-v0, after both are padded to one size.

That is what SuperSuit makes of a parallel environment, and not what a Stackelberg game is about: it takes games whose agents all act by
Discrete actions, and one policy plays both roles.
"""

from __future__ import annotations

import supersuit
from stable_baselines3 import PPO

import stackelberg_envs as se


def main() -> None:
    env = se.make_parallel("random_markov_game-v0", view="simultaneous")
    padded = supersuit.pad_action_space_v0(supersuit.pad_observations_v0(env))
    vector = supersuit.pettingzoo_env_to_vec_env_v1(padded)
    many = supersuit.concat_vec_envs_v1(vector, 2, num_cpus=1, base_class="stable_baselines3")
    model = PPO("MlpPolicy", many, n_steps=64, batch_size=64, device="cpu").learn(512)
    print(f"result: PPO with one network for both, {model.num_timesteps} moves")


if __name__ == "__main__":
    main()
