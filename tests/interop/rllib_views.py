"""RLlib's PettingZoo wrappers with one PPO module per agent, new API stack."""

import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv, PettingZooEnv
from ray.tune.registry import register_env

import stackelberg_envs

AGENTS = ("leader_0", "follower_0")
register_env("parallel", lambda config: ParallelPettingZooEnv(stackelberg_envs.make_parallel(**config)))
register_env("aec", lambda config: PettingZooEnv(stackelberg_envs.make(**config)))

CASES = [("parallel", {"id": "toy3-v0"}), ("aec", {"id": "toy3-v0", "view": "play"}), ("aec", {"id": "four_rooms-v0", "max_cycles": 60})]
CASES += [("parallel", {"id": "random_markov_game-v0", "view": "simultaneous"})]

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
for api, env_config in CASES:
    config = (
        PPOConfig()
        .environment(api, env_config=env_config)
        .env_runners(num_env_runners=0)
        .multi_agent(policies=set(AGENTS), policy_mapping_fn=lambda agent, *args, **kwargs: agent)
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={agent: RLModuleSpec() for agent in AGENTS}))
        .training(train_batch_size_per_learner=320, minibatch_size=64, num_epochs=1)
    )
    algorithm = config.build_algo()
    returns = algorithm.train()["env_runners"]["agent_episode_returns_mean"]
    algorithm.stop()
    print(api, env_config, {agent: round(float(value), 2) for agent, value in returns.items()})
ray.shutdown()
