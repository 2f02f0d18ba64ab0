"""A game whose followers want something else but whose leader cannot know: the test of what a leader may see."""

from __future__ import annotations

from dataclasses import replace

from ..game import Induced, StackelbergGame, as_tuple
from ..mdp import Array


class Disguised(StackelbergGame):
    """``game`` with every follower's reward turned into ``1 - 3 r``; kernel, leader reward and spaces are the same."""

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
            "log_leader_policy",
            "incentive",
            "leader_cost",
        ):
            setattr(self, attribute, getattr(game, attribute))

    def induced(self, x: Array, context: int) -> Induced:
        disguised = tuple(replace(mdp, follower_reward=1 - 3 * mdp.follower_reward) for mdp in as_tuple(self._game.induced(x, context)))
        return disguised if self.followers > 1 else disguised[0]
