"""Healthy environments of others: PettingZoo's, and Gymnasium's toy text with a leader that taxes an action."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock, patch

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Tuple
from pettingzoo import ParallelEnv


class TaxedToy(ParallelEnv):
    """A leader announces a tax on the first action of a Gymnasium environment; then the follower plays it."""

    metadata = {"name": "taxed_toy_v0", "render_modes": []}
    render_mode = None

    def __init__(self, id: str, names: tuple[str, str] = ("leader", "follower")) -> None:
        self.toy = gymnasium.make(id)
        self.lead, self.follow = names
        self.possible_agents, self.agents = list(names), []
        tax = Box(0, 1, (1,), np.float32)
        self.spaces = {self.lead: tax, self.follow: Tuple([self.toy.observation_space, Box(0, 1, (1,), np.float32)])}
        self.actions = {self.lead: tax, self.follow: self.toy.action_space}

    def observation_space(self, agent: str) -> Any:
        return self.spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.actions[agent]

    def view(self) -> dict[str, Any]:
        tax = np.zeros(1, np.float32) if self.tax is None else self.tax
        return {self.lead: tax.copy(), self.follow: (self.place, tax.copy())}

    def infos(self, told: dict[str, Any]) -> dict[str, Any]:
        return {self.lead: {}, self.follow: dict(told)}

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.place, told = self.toy.reset(seed=seed)
        self.agents, self.tax = list(self.possible_agents), None
        self.told = told
        return self.view(), self.infos(told)

    def step(self, actions: dict[str, Any]) -> Any:
        agents, paid, ended, cut = list(self.agents), dict.fromkeys(self.agents, 0.0), False, False
        if self.tax is None:
            self.tax = np.array(actions[self.lead])
        else:
            due = float(self.tax[0]) * (actions[self.follow] == 0)
            self.place, reward, ended, cut, self.told = self.toy.step(actions[self.follow])
            paid = {self.lead: due, self.follow: float(reward) - due}
        self.agents = [] if ended or cut else agents
        return self.view(), paid, dict.fromkeys(agents, bool(ended)), dict.fromkeys(agents, bool(cut and not ended)), self.infos(self.told)


TOYS = ["FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4", "Blackjack-v1"]


def pettingzoo_environment(place: str, make: str, **arguments: Any) -> Callable[[], Any]:
    """A function that builds an environment of a module; where pygame is missing, something stands for it that draws nothing."""

    def build() -> Any:
        missing = {} if importlib.util.find_spec("pygame") else {"pygame": MagicMock()}
        with patch.dict(sys.modules, missing):
            module = importlib.import_module(place)
            return getattr(module, make)(**arguments)

    return build


THEIRS: dict[str, Callable[[], Any]] = {
    "rps_v2": pettingzoo_environment("pettingzoo.classic.rps.rps", "env"),
    "rps_v2, parallel": pettingzoo_environment("pettingzoo.classic.rps.rps", "parallel_env"),
    "tictactoe_v3": pettingzoo_environment("pettingzoo.classic.tictactoe.tictactoe", "env"),
    "connect_four_v3": pettingzoo_environment("pettingzoo.classic.connect_four.connect_four", "env"),
}
"""Those whose modules can be imported wherever PettingZoo is."""
MPE = ["simple_v3", "simple_adversary_v3", "simple_crypto_v3", "simple_push_v3", "simple_reference_v3"]
MPE += ["simple_speaker_listener_v4", "simple_spread_v3", "simple_tag_v3", "simple_world_comm_v3"]
"""Of the package ``mpe2``, where it is installed."""
