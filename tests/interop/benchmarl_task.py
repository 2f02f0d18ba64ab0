"""A BenchMARL task: leader and follower of random_markov_game-v0, who move at once, trained by IPPO."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from benchmarl.algorithms import IppoConfig
from benchmarl.environments.common import Task
from benchmarl.environments.pettingzoo.common import PettingZooClass
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from torchrl.envs import EnvBase, PettingZooWrapper

import stackelberg_envs as se


class StackelbergClass(PettingZooClass):
    """Games by id: ``config`` holds the id and the arguments of ``make_parallel``."""

    def get_env_fun(self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any) -> Callable[[], EnvBase]:
        arguments = dict(self.config)
        id = arguments.pop("id")
        return lambda: PettingZooWrapper(
            se.make_parallel(id, **arguments), categorical_actions=True, seed=seed, device=device, return_state=True
        )

    def supports_continuous_actions(self) -> bool:
        return False

    def supports_discrete_actions(self) -> bool:
        return True

    def has_state(self) -> bool:
        return True

    def has_render(self, env: EnvBase) -> bool:
        return False

    @staticmethod
    def env_name() -> str:
        return "stackelberg"


class StackelbergTask(Task):
    """One member a game; defaults are in `get_task`'s config."""

    RANDOM_MARKOV_GAME = None

    @staticmethod
    def associated_class() -> type[StackelbergClass]:
        return StackelbergClass


def main() -> None:
    config = ExperimentConfig.get_from_yaml()
    config.max_n_iters, config.loggers, config.create_json, config.render = 2, [], False, False
    config.on_policy_collected_frames_per_batch, config.on_policy_n_envs_per_worker = 200, 1
    config.on_policy_n_minibatch_iters, config.on_policy_minibatch_size, config.evaluation = 2, 100, False
    with tempfile.TemporaryDirectory() as place:
        config.save_folder = place
        experiment = Experiment(
            task=StackelbergTask.RANDOM_MARKOV_GAME.get_task({"id": "random_markov_game-v0", "view": "simultaneous", "max_cycles": 50}),
            algorithm_config=IppoConfig.get_from_yaml(),
            model_config=MlpConfig.get_from_yaml(),
            critic_model_config=MlpConfig.get_from_yaml(),
            seed=0,
            config=config,
        )
        experiment.run()
        print(f"result: IPPO, two iterations of 200 moves: mean return {float(experiment.mean_return):.2f}")


if __name__ == "__main__":
    main()
