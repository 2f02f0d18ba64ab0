"""Games whose commit, objective or follower has a defect, and changes of worlds that are one; `broken_games` names them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from broken_worlds import Changed
from small_games import Bonuses

import stackelberg_envs as se


class Stale(Changed):
    """Keeps what it induced first in each context."""

    def induced(self, x: Any, context: int) -> Any:
        kept = vars(self).setdefault("kept", {})
        key = (context, x.ndim, type(x))
        return kept.setdefault(key, super().induced(x, context))


class Stateful(Changed):
    """What a commitment induces depends on how often it was asked."""

    def induced(self, x: Any, context: int) -> Any:
        self.calls = getattr(self, "calls", 0) + 1
        return super().induced(x + 1e-3 * self.calls, context)


class Overwrites(Changed):
    def induced(self, x: Any, context: int) -> Any:
        if isinstance(x, np.ndarray) and x.flags.writeable:
            np.clip(x, -0.1, 0.1, out=x)
        return super().induced(x, context)


class Lenient(Changed):
    """Takes what is not finite for zero."""

    def check_commitment(self, commitment: Any) -> Any:
        return super().check_commitment(np.nan_to_num(np.asarray(commitment, dtype=np.float64)))


class DrawsAnew(Bonuses):
    """Its tables are drawn again where it is unpickled: in each worker process another game."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        transition, base, leader = self.tables
        self.tables = transition, base + np.random.default_rng().normal(size=base.shape), leader


class Thresholds(Changed):
    """A subsidy is granted from half on, which has no slope; and the game does not say so."""

    def induced(self, x: Any, context: int) -> Any:
        xp = array_namespace(x)
        return super().induced(xp.round(x), context)


class Single(Changed):
    """Computes in single precision, and converts back."""

    def induced(self, x: Any, context: int) -> Any:
        xp = array_namespace(x)
        return super().induced(xp.astype(xp.astype(x, xp.float32), x.dtype), context)


class Detached(Changed):
    def induced(self, x: Any, context: int) -> Any:
        return super().induced(x.detach() if hasattr(x, "detach") else x, context)


class NumPyInside(Changed):
    def induced(self, x: Any, context: int) -> Any:
        bonus = np.exp(-np.square(x))[..., :1]
        return replace(super().induced(x, context), leader_reward=super().induced(x, context).leader_reward + bonus[..., None, None])


class Transposed(Bonuses):
    """Reads a batch of commitments the wrong way round."""

    def incentive(self, x: Any, context: int = 0) -> Any:
        return super().incentive(array_namespace(x).reshape(x.T, x.shape) if x.ndim == 2 else x)


class PaysMore(Changed):
    """Its objective has a bonus that no step pays, and it does not say that it is no sum."""

    def objective(self, problems: Any, policies: Any, **kwargs: Any) -> Any:
        return super().objective(problems, policies, **kwargs) + 1.0


class Uniform(se.Soft):
    """Plays every action alike, whether it is there or not, and calls that a soft response."""

    def respond(self, game: Any, x: Any, context: Any = 0, **kwargs: Any) -> Any:
        response = super().respond(game, x, context)
        answers = tuple(replace(answer, policy=np.full_like(answer.policy, 1 / answer.policy.shape[-1])) for answer in response.answers)
        return replace(response, answers=answers)


def negative(world: Any, x: Any, context: int) -> Any:
    xp = array_namespace(x)
    tilt = xp.tanh(x[..., :1])[..., None, None, None] * xp.asarray([1.0, -1.0, 0.0, 0.0], dtype=x.dtype)
    return replace(world, transition=world.transition + tilt)


def bursting(world: Any, x: Any, context: int) -> Any:
    return replace(world, transition=world.transition * (1 + x[..., :1] ** 2 / (1 + x[..., :1] ** 2))[..., None, None, None])


def drifting_start(world: Any, x: Any, context: int) -> Any:
    xp = array_namespace(x)
    return replace(world, initial=world.initial * xp.exp(0.1 * x[..., :1]))


def softplus(x: Any) -> Any:
    xp = array_namespace(x)
    return xp.log(1 + xp.exp(x[..., :1]))[..., None, None]


def overflowing(world: Any, x: Any, context: int) -> Any:
    return replace(world, leader_reward=world.leader_reward - softplus(x))


def swapped_discounts(world: Any, x: Any, context: int) -> Any:
    swapped = {"leader_discount": world.follower_discount, "follower_discount": world.leader_discount}
    return replace(world, **swapped) if context else world


def patient(world: Any, x: Any, context: int) -> Any:
    return replace(world, follower_discount=0.4 if bool((x > 0).any()) else 0.5)


def growing(world: Any, x: Any, context: int) -> Any:
    """The last follower action is only there where the first component is not positive."""
    if not bool((x[..., 0] > 0).any()):
        return world
    return replace(
        world, transition=world.transition[..., :2, :], **{n: getattr(world, n)[..., :2] for n in ("follower_reward", "leader_reward")}
    )


def single_table(world: Any, x: Any, context: int) -> Any:
    xp = array_namespace(x)
    return replace(world, initial=xp.astype(world.initial, xp.float32))


def fewer_actions(world: Any, x: Any, context: int) -> Any:
    xp = array_namespace(x)
    there = (xp.reshape(x, (*x.shape[:-1], 4, 1, 3)) <= 2) | (xp.arange(3) == 0)
    return replace(world, available=there) if bool(xp.any(x != 0)) else world


def absorbing(world: Any, x: Any, context: int) -> Any:
    return replace(world, transition=0.8 * world.transition)
