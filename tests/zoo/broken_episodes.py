"""Episodes that something moves besides their seeds and actions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium.utils import EzPickle
from zoo.broken_interfaces import ZOO
from zoo.defect import Defect
from zoo.toll import NAMES, ParallelToll, Toll

SURPRISE = np.random.default_rng()
"""Seeded by the operating system, as a generator is that nobody seeds."""


class SeedIgnored(Toll):
    def begin(self, seed: int | None) -> None:
        self.np_random = self.np_random or np.random.default_rng()
        super().begin(None)


class ParallelSeedIgnored(ParallelToll):
    def begin(self, seed: int | None) -> None:
        self.np_random = self.np_random or np.random.default_rng()
        super().begin(None)


class SeedZeroIsNone(Toll):
    def begin(self, seed: int | None) -> None:
        super().begin(seed or None)


class GlobalGenerator(Toll):
    def drive(self, action: int) -> dict[str, float]:
        paid = self.pay(action)
        self.district += int(np.random.random() < self.chances(action))  # noqa: NPY002 - the defect
        self.day += 1
        return paid


class SeedsEverybody(Toll):
    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        np.random.seed(seed)  # noqa: NPY002 - the defect


class NoiseFromDayTwo(Toll):
    def pay(self, action: int) -> dict[str, float]:
        noise = float(SURPRISE.normal()) * (self.day > 1)
        return {agent: paid + noise for agent, paid in super().pay(action).items()}


class ResetRepeats(Toll):
    seed = 0

    def begin(self, seed: int | None) -> None:
        self.seed = self.seed if seed is None else seed
        super().begin(self.seed)


class CommitmentCarriedOver(Toll):
    def begin(self, seed: int | None) -> None:
        kept = getattr(self, "tolls", None)
        super().begin(seed)
        self.tolls = kept


class HistoryKept(Toll):
    trips = 0

    def pay(self, action: int) -> dict[str, float]:
        self.trips += 1
        return super().pay(action)

    def info(self, agent: str) -> dict[str, Any]:
        return {"day": self.trips}


class RenderMoves(Toll):
    def render(self) -> Any:
        return super().render() if self.np_random is None else "x" * int(self.np_random.integers(9))


class ObserveMoves(Toll):
    looks = 0

    def view(self, agent: str) -> np.ndarray:
        self.looks += agent == self.lead
        return super().view(agent)

    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        self.looks = 0

    def info(self, agent: str) -> dict[str, Any]:
        return {"frames": self.looks}


class SharedByAll(Toll):
    log: ClassVar[list[int]] = []

    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        self.log.clear()

    def info(self, agent: str) -> dict[str, Any]:
        self.log.append(0)
        return {"day": len(self.log)}


class SharedBuffer(Toll):
    def __init__(self, names: tuple[str, str] = NAMES, max_cycles: int = 12, render_mode: str | None = None) -> None:
        super().__init__(names, max_cycles, render_mode)
        self.buffers = {agent: np.zeros(space.shape, np.float32) for agent, space in self.spaces.items()}

    def view(self, agent: str) -> np.ndarray:
        self.buffers[agent][...] = super().view(agent)
        return self.buffers[agent]


class CopyForgets(Toll, EzPickle):
    def __init__(self, names: tuple[str, str] = NAMES, max_cycles: int = 12, render_mode: str | None = None) -> None:
        EzPickle.__init__(self, names, max_cycles, render_mode)
        super().__init__(names, max_cycles, render_mode)


class OtherOrder(Toll):
    def begin(self, seed: int | None) -> None:
        super().begin(seed)
        self.agents.reverse()

    def step(self, action: Any) -> None:
        super().step(action)
        over = bool(self.agents) and (self.arrived or self.late)
        self.agent_selection = self.agents[0] if over else self.agent_selection


REPEATS = "https://github.com/SofaDefrost/SofaGym/pull/36"
BROKEN = [
    Defect(SeedIgnored, "the seed is not used", "a seed determines every step", f"{ZOO}/issues/1223"),
    Defect(ParallelSeedIgnored, "the same, in a parallel environment", "a seed determines every step", f"{ZOO}/issues/1223"),
    Defect(SeedZeroIsNone, "a seed of 0 is taken for none", "a seed determines every step", f"{ZOO}/pull/1440"),
    Defect(
        GlobalGenerator,
        "moves draw from NumPy's global generator",
        "a seed determines every step",
        "https://github.com/datamllab/rlcard/issues/125",
    ),
    Defect(
        SeedsEverybody,
        "a reset seeds NumPy's global generator",
        "a seed determines every step",
        "https://github.com/automl/DACBench/issues/30",
    ),
    Defect(
        NoiseFromDayTwo,
        "rewards are random from the second day on",
        "a seed determines every step",
        "https://github.com/koulanurag/ma-gym/issues/22",
    ),
    Defect(ResetRepeats, "each reset without a seed starts the same episode", "resets without a seed go on", REPEATS),
    Defect(
        CommitmentCarriedOver,
        "the commitment of the last episode holds",
        "an episode leaves nothing behind",
        "https://github.com/minerllabs/minerl/issues/59",
        single=False,
    ),
    Defect(
        HistoryKept, "a counter goes on over resets", "an episode leaves nothing behind", "https://github.com/fan-ziqi/rl_sar/issues/177"
    ),
    Defect(RenderMoves, "drawing uses up random numbers", "looking and drawing change nothing", single=False),
    Defect(
        ObserveMoves,
        "observing moves a history on",
        "looking and drawing change nothing",
        "https://github.com/isaac-sim/IsaacLab/issues/2884",
        single=False,
    ),
    Defect(
        SharedByAll,
        "two environments share a list",
        "environments do not touch each other",
        "https://github.com/Kaggle/kaggle-environments/issues/156",
        single=False,
    ),
    Defect(
        SharedBuffer,
        "observations are one buffer",
        "observations are fresh arrays",
        "https://github.com/google-deepmind/dm_control/issues/34",
    ),
    Defect(CopyForgets, "a copy in mid-episode starts anew", "deep copies go on alike", f"{ZOO}/issues/1307", "advice", False),
    Defect(OtherOrder, "agents in another order than possible_agents", "agents keep their order", None, "advice", False),
]
