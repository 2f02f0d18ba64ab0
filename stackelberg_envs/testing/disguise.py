"""Games that are another's look-alikes to a leader that sees what it may and no more: the test of what a leader may see."""

from __future__ import annotations

import abc
from dataclasses import replace
from typing import Any

from array_api_compat import array_namespace

from ..game import StackelbergGame
from ..processes.markov_game import InducedMarkovGame
from ..processes.mdp import Array, dense
from ..processes.sampled import SampledProcess
from ..processes.shared_rows import SharedRows
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
            "log_leader_policy",
            "log_leader_density",
            "log_kernel_density",
            "incentive",
            "incentive_at",
            "leader_cost",
            "log_kernel",
        ):
            setattr(self, attribute, getattr(game, attribute))

    @abc.abstractmethod
    def ruled(self, process: Any) -> Any:
        """What followers face instead."""

    def induced(self, x: Array, context: int) -> Any:
        induced = self._game.induced(x, context)
        return tuple(self.ruled(process) for process in induced) if isinstance(induced, tuple) else self.ruled(induced)


class Disguised(Changed):
    """Every follower's reward is turned into ``1 - 3 r`` (``-3 r`` where they interact); kernel and leader reward are the same."""

    def ruled(self, process: Any) -> Any:
        if isinstance(process, SampledProcess):
            return PaidOtherwise(process)
        if isinstance(process, InducedMarkovGame):
            return replace(process, follower_rewards=-3 * process.follower_rewards)  # zero-sum games stay so
        return replace(process, follower_reward=1 - 3 * process.follower_reward)


class PaidOtherwise(SampledProcess):
    """A process without tables that pays the follower ``1 - 3 r``."""

    def __init__(self, process: SampledProcess) -> None:
        self.process = process
        for name in (
            "state_space",
            "leader_actions",
            "follower_action",
            "noise",
            "follower_discount",
            "leader_discount",
            "follower_sees",
        ):
            setattr(self, name, getattr(process, name))

    def start(self, u: Array) -> Array:
        return self.process.start(u)

    def lead(self, states: Array, u: Array) -> Array:
        return self.process.lead(states, u)

    def step(self, states: Array, leads: Array, actions: Array, u: Array) -> tuple[Array, Array]:
        return self.process.step(states, leads, actions, u)

    def rewards(self, states: Array, leads: Array, actions: Array, arrived: Array) -> tuple[Array, Array]:
        earned, paid = self.process.rewards(states, leads, actions, arrived)
        return 1 - 3 * earned, paid


class Powerless(Changed):
    """The world moves as if followers acted at random, whatever they do: with the same noise, other actions have the same outcomes."""

    def ruled(self, process: Any) -> Any:
        if isinstance(process.transition, (SharedRows, SuccessorLists)):
            return replace(process, transition=process.transition.averaged())
        xp = array_namespace(process.transition)
        mean = xp.mean(process.transition, axis=-2, keepdims=True)
        return replace(process, transition=xp.broadcast_to(mean, process.transition.shape))


class Listed(Changed):
    """The same game with transitions as lists of successors, whatever they are in ``game``: what a test of layouts compares."""

    def ruled(self, process: Any) -> Any:
        return replace(process, transition=SuccessorLists.of(dense(process.transition)))
