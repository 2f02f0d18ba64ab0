"""AgileRL: IPPO on leader and follower of random_markov_game-v0, who move at once, in processes of its own."""

from __future__ import annotations

from agilerl.algorithms import IPPO
from agilerl.training.train_multi_agent_on_policy import train_multi_agent_on_policy
from agilerl.vector.pz_async_vec_env import AsyncPettingZooVecEnv

import stackelberg_envs as se


def main() -> None:
    env = AsyncPettingZooVecEnv([lambda: se.make_parallel("random_markov_game-v0", view="simultaneous")] * 2)
    single = se.make_parallel("random_markov_game-v0", view="simultaneous")
    agents = single.possible_agents
    learner = IPPO(
        observation_spaces=[single.observation_space(agent) for agent in agents],
        action_spaces=[single.action_space(agent) for agent in agents],
        agent_ids=agents,
        batch_size=64,
        learn_step=128,
        device="cpu",
    )
    _, fitness = train_multi_agent_on_policy(
        env, "random_markov_game", "IPPO", [learner], sum_scores=False, max_steps=512, evo_steps=256, eval_steps=50, verbose=False
    )
    env.close()
    scores = ", ".join(f"{agent} {score:.1f}" for agent, score in sorted(fitness[-1].items()))
    print(f"result: IPPO, 512 moves: {scores}")


if __name__ == "__main__":
    main()
