"""Broken spaces, observations, flags, rewards and ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from zoo.defect import Defect
from zoo.toll import DISTRICTS, ParallelToll, Toll


class OutsideAtTheEnd(Toll):
    def view(self, agent: str) -> np.ndarray:
        return super().view(agent) * (1 + self.arrived)


class DoublePrecision(Toll):
    def view(self, agent: str) -> Any:
        return super().view(agent).astype(np.float64)


class NewSpaces(Toll):
    def observation_space(self, agent: str) -> Any:
        return Box(0, 1, self.spaces[agent].shape, np.float32)


class NumpyFlags(Toll):
    def publish(self, paid: dict[str, float]) -> None:
        super().publish(paid)
        self.terminations = {agent: np.bool_(flag) for agent, flag in self.terminations.items()}  # pyright: ignore[reportAttributeAccessIssue]


class MixedFlags(Toll):
    def publish(self, paid: dict[str, float]) -> None:
        super().publish(paid)
        if self.arrived:
            self.terminations[self.lead], self.truncations[self.lead] = False, True


class MixedParallelFlags(ParallelToll):
    def flags(self, agents: list[str]) -> Any:
        ended = {agent: self.arrived and agent == self.follow for agent in agents}
        return ended, {agent: self.late or (self.arrived and agent == self.lead) for agent in agents}


class LeaderLeaves(Toll):
    def publish(self, paid: dict[str, float]) -> None:
        super().publish({agent: paid[agent] for agent in self.agents})
        if self.tolls is not None and self.lead in self.agents:
            self.terminations[self.lead] = True

    def step(self, action: Any) -> None:
        super().step(action)
        if self.lead in self.agents and self.terminations[self.lead] and not self.terminations[self.follow]:
            self._deads_step_first()


class DeathWithoutFlag(Toll):
    def publish(self, paid: dict[str, float]) -> None:
        super().publish(paid)
        if self.late:
            self.truncations = dict.fromkeys(self.agents, False)
            self.agents = []

    def step(self, action: Any) -> None:
        try:
            super().step(action)
        except IndexError:
            self.agent_selection = self.follow


class NobodyLeaves(ParallelToll):
    def step(self, actions: dict[str, Any]) -> Any:
        agents = list(self.agents)
        stepped = super().step(actions)
        self.agents = agents
        return stepped


class TruncationAsTermination(Toll):
    def publish(self, paid: dict[str, float]) -> None:
        super().publish(paid)
        self.terminations, self.truncations = dict.fromkeys(self.agents, self.arrived or self.late), dict.fromkeys(self.agents, False)


class NeverEnds(Toll):
    @property
    def late(self) -> bool:
        return False

    @property
    def arrived(self) -> bool:
        return False

    def chances(self, action: int) -> float:
        return super().chances(action) * (self.district < DISTRICTS - 1)


class NaNAfterAWhile(Toll):
    trips = 0

    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        self.trips = 0

    def pay(self, action: int) -> dict[str, float]:
        self.trips = self.trips + (action == 0) if self.day % 5 else 0
        with np.errstate(invalid="ignore", divide="ignore"):
            share = float(np.float64(self.trips) / np.float64(self.trips + (self.day % 5)))
        return {**super().pay(action), self.lead: share}


class NeverCleared(Toll):
    def step(self, action: Any) -> None:
        kept = dict(self._cumulative_rewards)
        super().step(action)
        for agent in self.agents if action is not None else ():
            self._cumulative_rewards[agent] = kept[agent] + self.rewards[agent]


class PaidOutsideRewards(Toll):
    def publish(self, paid: dict[str, float]) -> None:
        super().publish(dict.fromkeys(paid, 0.0))
        for agent in self.agents:
            self._cumulative_rewards[agent] += paid[agent]


ZOO = "https://github.com/Farama-Foundation/PettingZoo"
BROKEN = [
    Defect(
        OutsideAtTheEnd, "last observation outside its space", "observations lie in their spaces", "https://github.com/openai/gym/issues/88"
    ),
    Defect(DoublePrecision, "float64 observations in a float32 space", "observations lie in their spaces"),
    Defect(NewSpaces, "a new space at each call", "spaces are the same objects", single=False),
    Defect(NumpyFlags, "flags are NumPy booleans", "flags are bool"),
    Defect(MixedFlags, "one agent is cut, the other terminated", "the end is the same for all", kind="advice", single=False),
    Defect(MixedParallelFlags, "the same, in a parallel environment", "the end is the same for all", kind="advice", single=False),
    Defect(LeaderLeaves, "the leader leaves when it has committed", "the end is the same for all", kind="advice", single=False),
    Defect(DeathWithoutFlag, "agents leave without a flag", "agents are those that are possible", f"{ZOO}/issues/1085", single=False),
    Defect(NobodyLeaves, "agents stay in the list after the end", "after the end nobody is left", single=False),
    Defect(
        TruncationAsTermination,
        "a limit of time is reported as a termination",
        "a limit of time truncates",
        "https://github.com/JuliaReinforcementLearning/ReinforcementLearning.jl/issues/140",
    ),
    Defect(NeverEnds, "an episode never ends", "episodes end", f"{ZOO}/issues/752"),
    Defect(NaNAfterAWhile, "a reward is NaN on some days", "rewards are finite numbers"),
    Defect(NeverCleared, "earned rewards are paid again at each turn", "last() pays what was earned", single=False),
    Defect(
        PaidOutsideRewards,
        "rewards are paid by last() and missing in rewards",
        "last() pays what was earned",
        "https://github.com/thu-ml/tianshou/issues/900",
        single=False,
    ),
]
