"""A healthy leader-follower environment, written against PettingZoo's classes alone; the zoo's broken ones override one method each.

A government announces a toll for each of four districts.  Then a worker drives through them, each day by the toll road, by a lane, or
not at all; on the road it advances more often in dry weather.  It is paid by its own costs, which the government does not know, and the
government by the tolls.  The government sees the weather only once it has committed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import AECEnv, ParallelEnv

DISTRICTS, ROAD, LANE, WAIT = 4, 0, 1, 2
NAMES = ("leader", "follower")


class Town:
    """The world behind both interfaces: where the worker is, what is announced, and what a day's drive does."""

    slip = 0.1
    costs: tuple[float, ...] = (0.2, 0.4, 0.0)
    np_random: Any = None

    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        """Set up spaces; everything else is set by `begin`."""
        self.lead, self.follow = names
        self.possible_agents = list(names)
        self.agents: list[str] = []
        self.max_cycles = max_cycles
        self.spaces = {self.lead: Box(0, 1, (DISTRICTS + 2,), np.float32), self.follow: Box(0, 1, (2 * DISTRICTS + 2,), np.float32)}
        self.actions = {self.lead: Box(0, 1, (DISTRICTS,), np.float32), self.follow: Discrete(3)}

    def begin(self, seed: int | None) -> None:
        """Start an episode."""
        if seed is not None or self.np_random is None:
            self.np_random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.district, self.day = 0, 0
        self.tolls: Any = None
        self.weather = int(self.np_random.integers(2))

    def check(self, agent: str, action: Any) -> None:
        """Refuse an action outside its space."""
        if not self.actions[agent].contains(action):
            raise ValueError(f"{agent}: {action!r} is not in {self.actions[agent]}")

    def commit(self, tolls: np.ndarray) -> None:
        """Announce the tolls."""
        self.tolls = np.array(tolls)

    def chances(self, action: int) -> float:
        """How probably a day's drive advances."""
        return (0.9 - 0.3 * self.weather if action == ROAD else 0.5 * (action == LANE)) * (1 - self.slip)

    def drive(self, action: Any) -> dict[str, float]:
        """A day: what everybody is paid, and the worker may have advanced."""
        action = int(action)
        paid = self.pay(action)
        self.district += int(self.np_random.random() < self.chances(action))
        self.day += 1
        return paid

    def pay(self, action: int) -> dict[str, float]:
        """The rewards of a day."""
        toll = float(self.tolls[self.district]) * (action == ROAD)
        return {self.lead: toll - 0.1 * self.weather, self.follow: -1.0 - toll - self.costs[action]}

    @property
    def arrived(self) -> bool:
        """Whether the episode has ended by its own rules."""
        return self.district == DISTRICTS

    @property
    def late(self) -> bool:
        """Whether the episode is cut."""
        return not self.arrived and self.day >= self.max_cycles

    def view(self, agent: str) -> np.ndarray:
        """What an agent observes."""
        place = np.eye(DISTRICTS + 1)[min(self.district, DISTRICTS)]
        if agent == self.lead:
            return np.append(place, self.weather * (self.tolls is not None)).astype(np.float32)
        return np.concatenate([place, [self.weather], np.zeros(DISTRICTS) if self.tolls is None else self.tolls]).astype(np.float32)

    def info(self, agent: str) -> dict[str, Any]:
        """What an agent is told besides."""
        return {"day": self.day}


class Toll(Town, AECEnv):
    """One agent at a time: the leader once, then the follower day by day."""

    metadata = {"name": "toll_v0", "render_modes": ["ansi"], "is_parallelizable": False}

    def __init__(self, names: tuple[str, str] = NAMES, max_cycles: int = 12, render_mode: str | None = None) -> None:
        self.open(names, max_cycles)
        self.render_mode = render_mode

    def observation_space(self, agent: str) -> Any:
        return self.spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.actions[agent]

    def observe(self, agent: str) -> Any:
        return self.view(agent)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.begin(seed)
        self.agent_selection = self.lead
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.publish(dict.fromkeys(self.agents, 0.0))

    def step(self, action: Any) -> None:
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self.check(agent, action)
        self._cumulative_rewards[agent] = 0.0
        paid = dict.fromkeys(self.agents, 0.0)
        if agent == self.lead:
            self.commit(action)
        else:
            paid = self.drive(action)
        self.publish(paid)
        self._accumulate_rewards()
        self.agent_selection = self.agents[0] if self.arrived or self.late else self.follow

    def publish(self, paid: dict[str, float]) -> None:
        """Say what everybody is paid and told, and whether it is over."""
        self.rewards = paid
        self.terminations = dict.fromkeys(self.agents, self.arrived)
        self.truncations = dict.fromkeys(self.agents, self.late)
        self.infos = {agent: self.info(agent) for agent in self.agents}

    def close(self) -> None:
        """Nothing to release."""

    def render(self) -> Any:
        return None if self.render_mode is None else "." * self.district + "x"


class ParallelToll(Town, ParallelEnv):
    """Both agents in every step: in the first only the leader's action counts, later only the follower's."""

    metadata = {"name": "parallel_toll_v0", "render_modes": []}
    render_mode = None

    def __init__(self, names: tuple[str, str] = NAMES, max_cycles: int = 12) -> None:
        self.open(names, max_cycles)

    def observation_space(self, agent: str) -> Any:
        return self.spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.actions[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.begin(seed)
        return {agent: self.view(agent) for agent in self.agents}, {agent: self.info(agent) for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> Any:
        for agent in actions:
            self.check(agent, actions[agent])
        paid = self.play(actions)
        agents = list(self.agents)
        if self.arrived or self.late:
            self.agents = []
        ends = self.flags(agents)
        return {agent: self.view(agent) for agent in agents}, paid, *ends, {agent: self.info(agent) for agent in agents}

    def play(self, actions: dict[str, Any]) -> dict[str, float]:
        """Do what the actions of this phase say."""
        if self.tolls is not None:
            return self.drive(actions[self.follow])
        self.commit(actions[self.lead])
        return dict.fromkeys(self.agents, 0.0)

    def flags(self, agents: list[str]) -> tuple[dict[str, bool], dict[str, bool]]:
        """Whether the episode has ended, and whether it is cut."""
        return dict.fromkeys(agents, self.arrived), dict.fromkeys(agents, self.late)
