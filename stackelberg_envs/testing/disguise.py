"""Games that are another's look-alikes to a leader that sees what it may and no more: the test of what a leader may see."""

from __future__ import annotations

import abc
from dataclasses import replace
from typing import Any

from ..game import StackelbergGame
from ..optional import PIECES
from ..processes.arrays import Array
from ..processes.successor_lists import SuccessorLists


class Changed(StackelbergGame):
    """``game`` with other rules, but the same spaces."""

    def __init__(self, game: StackelbergGame) -> None:
        self._game = game
        for attribute in (
            "name",
            "leader_space",
            "default_follower",
            "max_cycles",
            "followers",
            "contexts",
            "context_probabilities",
            "context_visibility",
            "follower_actions_public",
            "additive",
            "smooth",
            *PIECES,
        ):
            setattr(self, attribute, getattr(game, attribute))

    @abc.abstractmethod
    def change_rules(self, process: Any) -> Any:
        """What followers face instead."""

    def induced(self, x: Array, context: int) -> Any:
        induced = self._game.induced(x, context)
        return tuple(self.change_rules(process) for process in induced) if isinstance(induced, tuple) else self.change_rules(induced)


class Disguised(Changed):
    """Every follower's reward is turned into ``1 - 3 r`` (``-3 r`` in a zero-sum game); kernel and leader reward are the same."""

    def change_rules(self, process: Any) -> Any:
        return process.with_rewards(-3.0, 1.0)


class Powerless(Changed):
    """The world moves as if followers acted at random, whatever they do: with the same noise, other actions have the same outcomes."""

    def change_rules(self, process: Any) -> Any:
        return replace(process, transition=process.kernel.average_actions())


class Listed(Changed):
    """The same game with transitions as lists of successors, whatever they are in ``game``: what a test of layouts compares."""

    def change_rules(self, process: Any) -> Any:
        return replace(process, transition=SuccessorLists.of(process.kernel.dense()))
