"""A game whose followers want something else but whose leader cannot know: the test of what a leader may see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..game import StackelbergGame
from ..markov_game import InducedMarkovGame
from ..mdp import Array


class Disguised(StackelbergGame):
    """``game`` with other follower rewards, ``1 - 3 r``, or ``-3 r`` where they interact; kernel, leader reward and spaces are the same."""

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
            "additive",
            "log_leader_policy",
            "incentive",
            "leader_cost",
        ):
            setattr(self, attribute, getattr(game, attribute))

    def induced(self, x: Array, context: int) -> Any:
        induced = self._game.induced(x, context)
        return tuple(_disguised(process) for process in induced) if isinstance(induced, tuple) else _disguised(induced)


def _disguised(process: Any) -> Any:
    if isinstance(process, InducedMarkovGame):
        return replace(process, follower_rewards=-3 * process.follower_rewards)  # zero-sum games stay so
    return replace(process, follower_reward=1 - 3 * process.follower_reward)
