"""Leaders and followers that see too much or too little, and worlds that are not what their author says."""

from __future__ import annotations

from typing import Any

import numpy as np
from zoo.broken_interfaces import ZOO
from zoo.defect import Defect
from zoo.toll import DISTRICTS, NAMES, ParallelToll, Toll


class LeakInInfo(Toll):
    def info(self, agent: str) -> dict[str, Any]:
        return {"day": self.day, "cost": self.costs[0]} if agent == self.lead else super().info(agent)


class LeakInObservation(Toll):
    def view(self, agent: str) -> np.ndarray:
        seen = super().view(agent)
        if agent == self.lead:
            seen[DISTRICTS] = 1 / (1 + np.exp(self.costs[1]))
        return seen


class LeakByRounding(Toll):
    def view(self, agent: str) -> np.ndarray:
        seen = super().view(agent)
        return seen - np.float32(1e-6 * (1 + np.tanh(self.costs[1]))) * (seen > 0.5) if agent == self.lead else seen


class LeakLate(Toll):
    def info(self, agent: str) -> dict[str, Any]:
        return {"day": self.day + (0.001 * self.costs[1] if agent == self.lead and self.day > 8 else 0.0)}


class LeakByTheEnd(Toll):
    @property
    def late(self) -> bool:
        return not self.arrived and self.day >= (self.max_cycles if self.costs[1] > 0 else self.max_cycles - 3)


class ContextBeforeCommitment(Toll):
    def view(self, agent: str) -> np.ndarray:
        seen = super().view(agent)
        if agent == self.lead:
            seen[-1] = self.weather
        return seen


class ContextInFirstObservation(ParallelToll):
    """Only what the reset returns shows the weather."""

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observations, infos = super().reset(seed, options)
        observations[self.lead][-1] = self.weather
        return observations, infos


class ContextInCache(Toll):
    """Observations are made when something happens, and kept."""

    def publish(self, paid: dict[str, float]) -> None:
        super().publish(paid)
        self.made = {agent: self.view(agent) for agent in self.possible_agents}
        self.made[self.lead][-1] = self.weather

    def observe(self, agent: str) -> Any:
        return self.made[agent].copy()


class ContextDrawnBeside(ParallelToll):
    """What is shown is read from what was drawn, and not from the attribute."""

    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        self.sky = self.weather = int(self.np_random.integers(2))

    def view(self, agent: str) -> np.ndarray:
        seen = super().view(agent)
        if agent == self.lead:
            seen[-1] = self.sky
        return seen


class TypeTold(ParallelToll):
    """A reset draws the follower's costs, and tells the leader the first of them."""

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observations, infos = super().reset(seed, options)
        self.costs = tuple(self.np_random.random(3))
        return observations, {**infos, self.lead: {"day": self.day, "cost": self.costs[0]}}


class FollowerFirst(Toll):
    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        super().reset(seed, options)
        self.agent_selection = self.follow

    def step(self, action: Any) -> None:
        before, early = self.agent_selection, self.tolls is None
        if early and before == self.follow:
            self.tolls = np.zeros(DISTRICTS, np.float32)
        super().step(action)
        if self.agents and not (self.arrived or self.late):
            self.agent_selection = self.lead if early and before == self.follow else self.follow


class ParallelFollowerFirst(ParallelToll):
    def play(self, actions: dict[str, Any]) -> dict[str, float]:
        early = self.tolls is None
        if early:
            self.commit(actions[self.lead])
        return self.drive(int(actions[self.follow]))


class CommitmentSeenLate(Toll):
    def view(self, agent: str) -> np.ndarray:
        seen = super().view(agent)
        if agent == self.follow and self.day == 0:
            seen[-DISTRICTS:] = 0
        return seen


class NewestLost(Toll):
    """Two announcements are shown, the last ones but one: the ring is read before it is written."""

    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        self.ring = [np.zeros(DISTRICTS, np.float32)] * 2

    def view(self, agent: str) -> np.ndarray:
        seen = super().view(agent)
        if agent == self.follow:
            seen[-DISTRICTS:] = self.ring[-1]
        return seen

    def publish(self, paid: dict[str, float]) -> None:
        super().publish(paid)
        if self.day > 1 and self.tolls is not None:
            self.ring = [self.ring[-1], self.tolls]


class NextStateSeen(Toll):
    """The day's luck is drawn the evening before, and shown."""

    def luck(self) -> float:
        return float(np.random.default_rng([self.day, *self.key]).random())

    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        assert self.np_random is not None
        self.key = self.np_random.integers(2**31, size=2)

    def view(self, agent: str) -> np.ndarray:
        seen = super().view(agent)
        if agent == self.follow and self.tolls is not None:
            seen[-1] = self.luck() < self.chances(1)
        return seen

    def drive(self, action: int) -> dict[str, float]:
        paid = self.pay(action)
        self.district += int(self.luck() < self.chances(action))
        self.day += 1
        return paid


class OtherSlip(Toll):
    slip = 0.3


class WrongAgentPaid(Toll):
    def pay(self, action: int) -> dict[str, float]:
        paid = super().pay(action)
        return {self.lead: paid[self.follow], self.follow: paid[self.lead]}


class PaidLate(Toll):
    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        self.due = dict.fromkeys(self.possible_agents, 0.0)

    def pay(self, action: int) -> dict[str, float]:
        paid, self.due = self.due, super().pay(action)
        return paid


class OneTollForAll(Toll):
    def pay(self, action: int) -> dict[str, float]:
        toll = 0.0 if self.tolls is None else float(self.tolls[0]) * (action == 0)
        return {self.lead: toll - 0.1 * self.weather, self.follow: -1.0 - toll - self.costs[action]}


class FalselyParallelizable(Toll):
    metadata = {**Toll.metadata, "is_parallelizable": True}

    def __init__(self, names: tuple[str, str] = NAMES, max_cycles: int = 12, render_mode: str | None = None) -> None:
        super().__init__(names, max_cycles, render_mode)


IGNORANT, KERNEL = "the leader sees nothing of the followers' insides", "steps follow the model's kernel"
SEEN = "followers see the commitment"
BROKEN = [
    Defect(LeakInInfo, "the leader's info tells the follower's costs", IGNORANT, single=False),
    Defect(
        LeakInObservation,
        "the leader's observation tells them",
        IGNORANT,
        f"{ZOO}/pull/233",
        single=False,
    ),
    Defect(LeakByRounding, "the leader's observation tells them in its sixth digit", IGNORANT, single=False),
    Defect(
        LeakLate,
        "the leader's info tells them late in the episode",
        IGNORANT,
        "https://github.com/google-deepmind/open_spiel/pull/1604",
        single=False,
    ),
    Defect(LeakByTheEnd, "the length of the episode tells them", IGNORANT, single=False),
    Defect(
        ContextBeforeCommitment,
        "the context is visible before the commitment",
        "the leader sees nothing before it commits that it must not",
        single=False,
    ),
    Defect(
        ContextInFirstObservation,
        "the first observation alone, as a parallel reset returns it, shows the context",
        "the leader sees nothing before it commits that it must not",
        single=False,
    ),
    Defect(
        ContextInCache,
        "a reset makes an observation with the context, and keeps it",
        "the leader sees nothing before it commits that it must not",
        single=False,
    ),
    Defect(
        ContextDrawnBeside,
        "the context is shown from what was drawn, beside the attribute",
        "the leader sees nothing before it commits that it must not",
        single=False,
    ),
    Defect(TypeTold, "a reset draws the follower's costs, and its info tells them", IGNORANT, single=False),
    Defect(FollowerFirst, "the follower acts before the commitment", "the leader moves first", single=False),
    Defect(ParallelFollowerFirst, "the same, in the first step of a parallel environment", SEEN, single=False),
    Defect(CommitmentSeenLate, "the follower sees the commitment a day late", SEEN, f"{ZOO}/issues/1204", single=False),
    Defect(
        NewestLost,
        "a ring buffer of announcements loses the newest",
        SEEN,
        "https://github.com/floodsung/DQN-Atari-Tensorflow/issues/3",
        single=False,
    ),
    Defect(NextStateSeen, "the follower sees whether it will advance", KERNEL),
    Defect(OtherSlip, "planner and simulator slip differently", KERNEL, kernel_steps=2000),
    Defect(WrongAgentPaid, "rewards are swapped", KERNEL, f"{ZOO}/pull/855", single=False),
    Defect(PaidLate, "rewards come a day late", KERNEL),
    Defect(OneTollForAll, "everybody pays the first district's toll", KERNEL, "https://github.com/Farama-Foundation/HighwayEnv/pull/318"),
    Defect(
        FalselyParallelizable,
        "is_parallelizable, and the follower then acts blindly",
        "it is parallelizable if it says so",
        f"{ZOO}/pull/559",
        single=False,
    ),
]
