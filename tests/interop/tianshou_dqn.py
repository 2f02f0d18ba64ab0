"""Tianshou: DQN as the follower of toy3-v0 under a fixed commitment.

Tianshou's own wrapper of PettingZoo wants the same spaces for all agents, which leaders and followers do not have.
"""

from __future__ import annotations

import gymnasium
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net

import stackelberg_envs  # noqa: F401  (registers the ids)


def main() -> None:
    envs = DummyVectorEnv([lambda: gymnasium.make("Stackelberg/Toy3-Follower-v0")] * 4)
    single = gymnasium.make("Stackelberg/Toy3-Follower-v0")
    network = Net(state_shape=single.observation_space.shape, action_shape=single.action_space.n, hidden_sizes=[32])
    policy = DiscreteQLearningPolicy(model=network, action_space=single.action_space, eps_training=0.1)
    learner = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), target_update_freq=100)
    collector = Collector(learner, envs, VectorReplayBuffer(2000, 4), exploration_noise=True)
    collector.reset()
    parameters = OffPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=1200,
        collection_step_num_env_steps=120,
        update_step_num_gradient_steps_per_sample=0.1,
        verbose=False,
        show_progress=False,
    )
    result = learner.run_training(parameters)
    print(f"result: DQN as the follower of toy3, {result.train_step} moves, {result.update_step} updates")


if __name__ == "__main__":
    main()
