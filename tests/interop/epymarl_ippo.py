"""EPyMARL: IPPO on leader and follower of random_markov_game-v0, who move at once.

    python epymarl_ippo.py FOLDER-OF-EPYMARL

EPyMARL makes environments by Gymnasium id, with tuples of spaces for agents.  The module before the colon of its
``env_args.key`` is this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.spaces import Tuple

import stackelberg_envs as se


class AgentsInTuples(gymnasium.Env):
    """A parallel environment with tuples over agents in place of dictionaries."""

    def __init__(self, game: str, **arguments: Any) -> None:
        self._env = se.make_parallel(game, view="simultaneous", **arguments)
        self._agents = self._env.possible_agents
        self.n_agents = len(self._agents)
        self.observation_space = Tuple(self._env.observation_space(agent) for agent in self._agents)
        self.action_space = Tuple(self._env.action_space(agent) for agent in self._agents)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observations, _ = self._env.reset(seed=seed, options=options)
        return self._tuple(observations), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observations, rewards, terminated, truncated, _ = self._env.step(dict(zip(self._agents, action, strict=True)))
        return self._tuple(observations), list(self._tuple(rewards)), all(terminated.values()), all(truncated.values()), {}

    def _tuple(self, values: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(values[agent] for agent in self._agents)


gymnasium.register("RandomMarkovGame-v0", entry_point=AgentsInTuples, kwargs={"game": "random_markov_game-v0", "max_cycles": 50})


def main(folder: Path) -> None:
    settings = ["env_args.key=epymarl_ippo:RandomMarkovGame-v0", "env_args.time_limit=50", "common_reward=False", "use_cuda=False"]
    short = [
        "t_max=2000",
        "test_interval=1000",
        "test_nepisode=10",
        "log_interval=500",
        "learner_log_interval=500",
        "runner_log_interval=500",
    ]
    command = [sys.executable, "src/main.py", "--config=ippo", "--env-config=gymma", "with", *settings, *short]
    own = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    subprocess.run(command, check=True, cwd=folder, env=own)
    newest = max((folder / "results").rglob("info.json"), key=lambda file: file.stat().st_mtime)
    told = json.loads(newest.read_text(encoding="utf-8"))
    returns = ", ".join(f"{name} {told[f'test_agent_{i}_return_mean'][-1]['value']:.1f}" for i, name in enumerate(("leader", "follower")))
    print(f"result: IPPO, 2000 moves: test returns of {returns}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
