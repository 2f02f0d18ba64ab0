"""Healthy leader-follower environments in the styles in which people write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from pettingzoo import AECEnv
from pettingzoo.utils import wrappers
from pettingzoo.utils.conversions import parallel_to_aec, turn_based_aec_to_parallel
from zoo.toll import DISTRICTS, LANE, ROAD, WAIT, ParallelToll, Toll


class IntegerRewards(Toll):
    def pay(self, action: int) -> dict[str, Any]:
        return {self.lead: int(action == ROAD), self.follow: -1 - (action == LANE)}


class NumpyRewards(Toll):
    def pay(self, action: int) -> dict[str, Any]:
        return {agent: np.float32(paid) for agent, paid in super().pay(action).items()}


class ClearedRewards(Toll):
    """Rewards are cleared by PettingZoo's own method, which sets integers."""

    def publish(self, paid: dict[str, float]) -> None:
        super().publish(dict(paid))
        if not any(paid.values()):
            self._clear_rewards()


class ObservedMask(Toll):
    """The follower observes its mask in a dictionary, as in PettingZoo's classics; who waits in the first district stays in its bed."""

    def observation_space(self, agent: str) -> Any:
        return self.dictionaries[agent] if agent == self.follow else super().observation_space(agent)

    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        super().open(names, max_cycles)
        inner = {"observation": self.spaces[self.follow], "action_mask": Box(0, 1, (3,), np.int8)}
        self.dictionaries = {self.follow: Dict(inner)}

    def available(self) -> np.ndarray:
        return np.array([1, 1, self.district > 0], np.int8)

    def view(self, agent: str) -> Any:
        seen = super().view(agent)
        return {"observation": seen, "action_mask": self.available()} if agent == self.follow else seen


class ToldMask(ObservedMask):
    """The same in the info, and what it excludes is refused."""

    def observation_space(self, agent: str) -> Any:
        return self.spaces[agent]

    def view(self, agent: str) -> Any:
        return Toll.view(self, agent)

    def info(self, agent: str) -> dict[str, Any]:
        return {"day": self.day, **({"action_mask": self.available()} if agent == self.follow else {})}

    def check(self, agent: str, action: Any) -> None:
        super().check(agent, action)
        if agent == self.follow and not self.available()[action]:
            raise ValueError(f"action {action} is not available")


class StepwiseTolls(Toll):
    """The leader chooses one of five tolls in each district."""

    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        super().open(names, max_cycles)
        self.actions[self.lead] = MultiDiscrete([5] * DISTRICTS)

    def commit(self, tolls: np.ndarray) -> None:
        super().commit(np.asarray(tolls) / 4)


class OpenRoads(Toll):
    """The leader says which roads cost something."""

    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        super().open(names, max_cycles)
        self.actions[self.lead] = MultiBinary(DISTRICTS)


class OneToll(Toll):
    """The leader chooses one of five tolls for all districts."""

    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        super().open(names, max_cycles)
        self.actions[self.lead] = Discrete(5)

    def commit(self, tolls: Any) -> None:
        super().commit(np.full(DISTRICTS, int(tolls) / 4))


class CountsFromOne(Toll):
    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        super().open(names, max_cycles)
        self.actions[self.follow] = Discrete(3, start=1)

    def drive(self, action: int) -> dict[str, float]:
        return super().drive(action - 1)


class Unbounded(Toll):
    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        super().open(names, max_cycles)
        self.spaces = {agent: Box(-np.inf, np.inf, space.shape, np.float32) for agent, space in self.spaces.items()}
        self.actions[self.lead] = Box(-np.inf, np.inf, (DISTRICTS,), np.float32)


class TextInfos(Toll):
    def info(self, agent: str) -> dict[str, Any]:
        return {"sky": ("dry", "rain")[self.weather] if self.tolls is not None else "unknown", "day": self.day}


class DoublePrecision(Toll):
    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        super().open(names, max_cycles)
        self.spaces = {agent: Box(0, 1, space.shape, np.float64) for agent, space in self.spaces.items()}

    def view(self, agent: str) -> Any:
        return super().view(agent).astype(np.float64)


class Pictures(Toll):
    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        super().open(names, max_cycles)
        self.spaces = {agent: Box(0, 255, (4, 4, 3), np.uint8) for agent in names}

    def view(self, agent: str) -> Any:
        picture, seen = np.zeros(48, np.uint8), super().view(agent)
        picture[: len(seen)] = (255 * seen).astype(np.uint8)
        return picture.reshape(4, 4, 3)


class NoLuck(Toll):
    """Nothing is random, so that all episodes are alike but for their actions."""

    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        self.weather = 0

    def chances(self, action: int) -> float:
        return float(action != WAIT)


class ContinuousFollower(Toll):
    """The follower chooses how far it will drive by the road."""

    def open(self, names: tuple[str, str], max_cycles: int) -> None:
        super().open(names, max_cycles)
        self.actions[self.follow] = Box(-1, 1, (1,), np.float32)

    def drive(self, action: Any) -> dict[str, float]:
        return super().drive(ROAD if action[0] > 0 else LANE)


class SeenContext(Toll):
    """The leader knows the weather when it commits."""

    def view(self, agent: str) -> np.ndarray:
        seen = super().view(agent)
        return np.append(seen[:-1], np.float32(self.weather)) if agent == self.lead else seen


class DrawnCosts(ParallelToll):
    """Each reset draws the follower's costs and a season; the season is public, and rain is likelier in winter."""

    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        self.costs = None  # type: ignore[assignment]
        self.season = int(self.np_random.integers(2))
        self.weather = int(self.np_random.random() < 0.2 + 0.5 * self.season)
        self.costs = tuple(self.np_random.random(3))

    def info(self, agent: str) -> dict[str, Any]:
        return {"day": self.day, "season": self.season}


class CachedViews(Toll):
    """Observations are made when something happens, and kept."""

    def publish(self, paid: dict[str, float]) -> None:
        super().publish(paid)
        self.made = {agent: self.view(agent) for agent in self.possible_agents}

    def observe(self, agent: str) -> Any:
        return self.made[agent].copy()


class DailyToll(Toll):
    """The leader announces its tolls anew each day, before the follower drives."""

    def step(self, action: Any) -> None:
        leads = self.agent_selection == self.lead
        super().step(action)
        if self.agents and not leads and not (self.arrived or self.late):
            self.agent_selection = self.lead


class Simultaneous(ParallelToll):
    """A Markov game: each day both act at once, and the follower sees yesterday's toll."""

    def play(self, actions: dict[str, Any]) -> dict[str, float]:
        self.commit(actions[self.lead])
        return self.drive(int(actions[self.follow]))


def wrapped(names: tuple[str, str]) -> AECEnv:
    """Behind the wrappers that PettingZoo's own environments have."""
    return wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(OneToll(names)))


def both_at_once(names: tuple[str, str]) -> AECEnv:
    """A parallel environment as an AEC."""
    return parallel_to_aec(Simultaneous(names))


def two_phases_in_turn(names: tuple[str, str]) -> AECEnv:
    """A parallel environment with two phases as an AEC: the follower acts beside the leader, and its first action is ignored."""
    return parallel_to_aec(ParallelToll(names))


def turns_in_parallel(names: tuple[str, str]) -> Any:
    """An AEC as a parallel environment in which one agent acts."""
    return turn_based_aec_to_parallel(Toll(names))


STYLES: list[Callable[[tuple[str, str]], Any]] = [
    Toll,
    ParallelToll,
    IntegerRewards,
    NumpyRewards,
    ClearedRewards,
    ObservedMask,
    ToldMask,
    StepwiseTolls,
    OpenRoads,
    OneToll,
    CountsFromOne,
    Unbounded,
    TextInfos,
    DoublePrecision,
    Pictures,
    NoLuck,
    ContinuousFollower,
    SeenContext,
    DrawnCosts,
    CachedViews,
    DailyToll,
    Simultaneous,
    wrapped,
    both_at_once,
    two_phases_in_turn,
    turns_in_parallel,
]
