"""Copies of a game with other rules, for tests of what a leader may see.

A leader at a level of access must not be able to tell `GameWithOtherFollowerRewards` from the game, where followers act alike in both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..modified_game import ModifiedGame
from ..planning.linear_systems import PlanningError
from ..processes.successor_lists import SuccessorLists


class GameWithOtherFollowerRewards(ModifiedGame):
    """A game whose follower rewards r are replaced by ``1 - 3 r`` (``-3 r`` in a zero-sum game); kernel and leader reward are the same.

    Where that could be earned for ever they become ``3 r - 1``: at discount 1, costs of going on would be gains.  In a crowd they become
    ``4 r``, and its temperature too is multiplied: its equilibrium is the same to the bit, because 4 is a power of two.
    """

    def modify(self, process: Any) -> Any:
        if process.crowd:
            return process.with_rewards(4.0, 0.0)
        reversed_rewards = process.with_rewards(-3.0, 1.0)
        if process.follower_discount == 1 and process.tabular and len(process.actions) == 1:
            try:
                reversed_rewards.soft_answer(1.0, None)
            except PlanningError:
                return process.with_rewards(3.0, -1.0)
        return reversed_rewards


class GameWithIneffectiveFollowers(ModifiedGame):
    """A game whose transitions ignore the followers' actions: they are those of uniformly random actions that are available, averaged."""

    def modify(self, process: Any) -> Any:
        if process.available is None:
            return replace(process, transition=process.kernel.average_actions())
        even = np.asarray(process.available, dtype=np.float64)
        even = np.broadcast_to((even / even.sum(axis=-1, keepdims=True))[..., None, :], (*even.shape, even.shape[-1]))
        return replace(process, transition=process.kernel.mixture(even))


class GameWithSuccessorLists(ModifiedGame):
    """The same game with transitions as lists of successors, for tests that compare transition layouts."""

    def modify(self, process: Any) -> Any:
        return replace(process, transition=SuccessorLists.of(process.kernel.dense()))
