"""Broken treatment of actions: illegal ones, those that a mask excludes, and arrays of the caller."""

from __future__ import annotations

from typing import Any

import numpy as np
from zoo.broken_interfaces import ZOO
from zoo.defect import Defect
from zoo.toll import DISTRICTS, Toll


class ActionWritten(Toll):
    def commit(self, tolls: np.ndarray) -> None:
        tolls *= 0.5
        super().commit(tolls * 2)


class ActionKept(Toll):
    def commit(self, tolls: np.ndarray) -> None:
        self.tolls = tolls


class Clips(Toll):
    def check(self, agent: str, action: Any) -> None:
        """Everything will do."""

    def commit(self, tolls: np.ndarray) -> None:
        super().commit(np.clip(np.nan_to_num(tolls), 0, 1)[:DISTRICTS])


class MaskIgnored(Toll):
    def info(self, agent: str) -> dict[str, Any]:
        there = np.array([1, 1, self.district > 0], np.int8)
        return {"day": self.day, **({"action_mask": there} if agent == self.follow else {})}


class MaskAllowsTooMuch(MaskIgnored):
    def info(self, agent: str) -> dict[str, Any]:
        told = super().info(agent)
        return {key: np.array([0, 1, 1], np.int8) if key == "action_mask" and self.day == 0 else value for key, value in told.items()}

    def check(self, agent: str, action: Any) -> None:
        super().check(agent, action)
        if agent == self.follow and action == 2 and self.district == 0:
            raise ValueError("nobody waits in the first district")


BROKEN = [
    Defect(
        ActionWritten,
        "a step writes into the action",
        "actions remain the caller's",
        "https://github.com/mees/calvin/issues/29",
        "advice",
        False,
    ),
    Defect(ActionKept, "a commitment is kept by reference", "actions remain the caller's", None, "advice", False),
    Defect(Clips, "illegal commitments are clipped", "illegal actions are refused and change nothing", None, "advice", False),
    Defect(MaskIgnored, "what a mask excludes is played", "what a mask excludes is not played", None, "advice"),
    Defect(MaskAllowsTooMuch, "a mask allows what is refused", "legal actions can be played", f"{ZOO}/issues/1302"),
]
