"""Stable-Baselines3 on the leader's and the follower's Gymnasium environments."""

import warnings

import gymnasium
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_checker import check_env

import stackelberg_envs  # noqa: F401  (registers the ids)

warnings.filterwarnings("ignore", message="We recommend you to use a symmetric and normalized Box action space")
warnings.filterwarnings("ignore", message="Your action space has dtype float64")

GAMES = ("Toy3", "FourRooms", "RandomMarkovGame", "Bimatrix")
CASES = [(f"Stackelberg/{game}-Leader-v0", {}) for game in GAMES]  # one step is one round
CASES += [(f"Stackelberg/{game}-Leader-v0", {"mode": "move"}) for game in GAMES if game != "FourRooms"]
CASES += [(f"Stackelberg/{game}-Follower-v0", {}) for game in GAMES]

for id, kwargs in CASES:
    check_env(gymnasium.make(id, **kwargs))
    PPO("MlpPolicy", gymnasium.make(id, **kwargs), n_steps=64, batch_size=64, device="cpu").learn(256)
    print("check_env, PPO", id, kwargs)
for game in GAMES:
    SAC("MlpPolicy", gymnasium.make(f"Stackelberg/{game}-Leader-v0"), learning_starts=50, batch_size=32, device="cpu").learn(100)
    print("SAC", game)
