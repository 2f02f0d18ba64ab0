"""TorchRL's PettingZooWrapper on every view of four games, and its GymEnv on ids of both sides."""

import warnings

from torchrl.envs import GymEnv, PettingZooWrapper, check_env_specs

import stackelberg_envs

warnings.filterwarnings("ignore", message="PettingZoo in TorchRL is tested using version == 1.24.3")

VIEWS = {
    "four_rooms-v0": ("commitment",),
    "toy3-v0": ("commitment", "play"),
    "random_markov_game-v0": ("commitment", "play"),
    "bimatrix-v0": ("commitment", "play"),
}


def check(name, env, **kwargs):
    env = PettingZooWrapper(env, **kwargs)
    check_env_specs(env)
    rollout = env.rollout(20)
    long = env.rollout(400, break_when_any_done=False)  # across episode ends
    print(f"{name:45} groups {list(env.group_map)} rollouts {tuple(rollout.shape)}, {tuple(long.shape)}")


for id, views in VIEWS.items():
    for view in views:
        check(f"{id} AEC {view}", stackelberg_envs.make(id, view=view), use_mask=True)
        check(f"{id} parallel {view}", stackelberg_envs.make_parallel(id, view=view))
for id in ("random_markov_game-v0", "bimatrix-v0"):
    check(f"{id} parallel simultaneous", stackelberg_envs.make_parallel(id, view="simultaneous"))
for id in ("Toy3-Follower", "Toy3-Leader", "FourRooms-Follower", "FourRooms-Leader", "Building-Follower", "LQGain-Leader"):
    env = GymEnv(f"Stackelberg/{id}-v0")
    check_env_specs(env)
    print(f"GymEnv {id:38} rollout {tuple(env.rollout(20, break_when_any_done=False).shape)}")
