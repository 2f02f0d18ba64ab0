"""skrl: IPPO on leader and follower of random_markov_game-v0, who move at once."""

from __future__ import annotations

import tempfile

from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.multi_agents.torch.ippo import IPPO
from skrl.trainers.torch import SequentialTrainer
from skrl.utils.model_instantiators.torch import categorical_model, deterministic_model

import stackelberg_envs as se

NETWORK = [{"name": "net", "input": "OBSERVATIONS", "layers": [32], "activations": "tanh"}]


def main() -> None:
    env = wrap_env(se.make_parallel("random_markov_game-v0", view="simultaneous"), verbose=False)
    agents = env.possible_agents
    models, memories = {}, {}
    for agent in agents:
        spaces = {"observation_space": env.observation_space(agent), "action_space": env.action_space(agent), "device": "cpu"}
        policy = categorical_model(**spaces, network=NETWORK, output="ACTIONS")
        models[agent] = {"policy": policy, "value": deterministic_model(**spaces, network=NETWORK, output="ONE")}
        for role, model in models[agent].items():
            model.init_state_dict(role=role)
        memories[agent] = RandomMemory(memory_size=64, num_envs=1, device="cpu")
    # skrl 2.1.1 takes its own empty defaults for settings of no agent
    names = ("learning_rate_scheduler", "observation_preprocessor", "state_preprocessor", "value_preprocessor")
    empty = {f"{name}_kwargs": {agent: {} for agent in agents} for name in names}
    with tempfile.TemporaryDirectory() as place:
        learner = IPPO(
            possible_agents=agents,
            models=models,
            memories=memories,
            observation_spaces=env.observation_spaces,
            state_spaces=env.state_spaces,
            action_spaces=env.action_spaces,
            device="cpu",
            cfg={"rollouts": 64, "experiment": {"directory": place, "write_interval": 0, "checkpoint_interval": 0}, **empty},
        )
        before = next(models["leader_0"]["policy"].parameters()).detach().clone()
        SequentialTrainer(env=env, agents=learner, cfg={"timesteps": 256, "headless": True, "disable_progressbar": True}).train()
    moved = float((next(models["leader_0"]["policy"].parameters()) - before).detach().abs().max())
    print(f"result: IPPO, 256 moves: the leader's weights moved by up to {moved:.3f}")


if __name__ == "__main__":
    main()
