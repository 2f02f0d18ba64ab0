"""Worlds and transitions of one's own, each with a defect in how it is planned in or played; `broken_games` names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from small_games import Bonuses, Masked

import stackelberg_envs as se
from stackelberg_envs.modified_game import ModifiedGame
from stackelberg_envs.processes.transitions import DenseTransition
from stackelberg_envs.worlds.markov_game import InducedMarkovGame
from stackelberg_envs.worlds.mdp import InducedMDP


def bonuses() -> Any:
    return Bonuses(discount=0.5, price=1.0)


def masked() -> Any:
    return Masked(se.game("random_markov_game-v0", states=4, follower_actions=3, max_cycles=20))


class Changed(ModifiedGame):
    """``game``, whose worlds are ``change(world, x, context)``; and attributes by name."""

    def __init__(self, game: Any, change: Callable[[Any, Any, int], Any] | None = None, **declared: Any) -> None:
        super().__init__(game)
        self.layout, self.change = game.layout, change
        vars(self).update(declared)

    def modify(self, process: Any) -> Any:
        return process

    def induced(self, x: Any, context: int) -> Any:
        induced = super().induced(x, context)
        if self.change is None:
            return induced
        changed = tuple(self.change(one, x, context) for one in (induced if isinstance(induced, tuple) else (induced,)))
        return changed if isinstance(induced, tuple) else changed[0]


class OtherSlip(DenseTransition):
    """Planners see more slip than there is in its rows, by which episodes are played."""

    def map(self, f: Callable[[Any], Any]) -> OtherSlip:
        return OtherSlip(f(self.table))

    def as_given(self) -> Any:
        return self

    def expect(self, values: Any) -> Any:
        mean = array_namespace(values).mean(values, axis=-1)[..., None, None, None]
        return 0.8 * super().expect(values) + 0.2 * mean


class Simulated(InducedMDP):
    """Episodes of another process than the one that is planned in."""

    def instead(self) -> InducedMDP:
        return InducedMDP(**{field.name: getattr(self, field.name) for field in fields(InducedMDP)})

    def play(self, policies: Any, *args: Any, **kwargs: Any) -> Any:
        return self.instead().play(policies, *args, **kwargs)


class SlipsInPlay(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), transition=0.6 * self.transition + 0.4 * np.full_like(self.transition, 0.25))


class PaysOtherwise(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), leader_reward=self.leader_reward + 0.01)


class StartsElsewhere(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), initial=np.eye(4)[0])


class NeverEnds(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), transition=self.transition / self.transition.sum(-1, keepdims=True))


class OverlooksMasks(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), available=None)

    def play(self, policies: Any, *args: Any, **kwargs: Any) -> Any:
        return super().play([np.full_like(policy, 1 / policy.shape[-1]) for policy in policies], *args, **kwargs)


class StepsPayLate(InducedMDP):
    """Its single steps pay what the step before earned."""

    def stepper(self) -> Any:
        inner, earned = super().stepper(), [0.0]

        class Late:
            initial, leader_action = inner.initial, inner.leader_action

            def step(self, *args: Any) -> Any:
                arrived, paid, led = inner.step(*args)
                earned.append(led)
                return arrived, paid, earned[-2]

        return Late()


class PaysTheOther(InducedMarkovGame):
    """In episodes each follower gets the other's reward."""

    def play(self, *args: Any, **kwargs: Any) -> Any:
        one, other = super().play(*args, **kwargs)
        return replace(one, follower_rewards=other.follower_rewards), replace(other, follower_rewards=one.follower_rewards)


def of(cls: type) -> Callable[..., Any]:
    """The same world as an object of ``cls``, where it is in NumPy."""

    def change(world: Any, x: Any, context: int) -> Any:
        return (cls if isinstance(x, np.ndarray) else type(world))(**{field.name: getattr(world, field.name) for field in fields(world)})

    return change
