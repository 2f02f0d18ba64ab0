"""Games that are another's look-alikes to a leader that sees what it may and no more: the test of what a leader may see."""

from __future__ import annotations

import abc
from dataclasses import replace

from array_api_compat import array_namespace

from ..game import Induced, StackelbergGame, as_tuple
from ..mdp import Array, InducedMDP


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
            "log_leader_policy",
            "incentive",
            "leader_cost",
        ):
            setattr(self, attribute, getattr(game, attribute))

    @abc.abstractmethod
    def ruled(self, mdp: InducedMDP) -> InducedMDP:
        """What a follower faces instead."""

    def induced(self, x: Array, context: int) -> Induced:
        ruled = tuple(self.ruled(mdp) for mdp in as_tuple(self._game.induced(x, context)))
        return ruled if self.followers > 1 else ruled[0]


class Disguised(Changed):
    """Every follower's reward is turned into ``1 - 3 r``; kernel and leader reward are the same."""

    def ruled(self, mdp: InducedMDP) -> InducedMDP:
        return replace(mdp, follower_reward=1 - 3 * mdp.follower_reward)


class Powerless(Changed):
    """The world moves as if followers acted at random, whatever they do: with the same noise, other actions have the same outcomes."""

    def ruled(self, mdp: InducedMDP) -> InducedMDP:
        xp = array_namespace(mdp.transition)
        return replace(mdp, transition=xp.broadcast_to(xp.mean(mdp.transition, axis=-2, keepdims=True), mdp.transition.shape))
