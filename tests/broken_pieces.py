"""Games whose optional pieces are wrong in one way each: omitted, of the wrong sign or shape, of another context, of another player."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from gymnasium.spaces import Box

import stackelberg_envs as se
from stackelberg_envs.commitments import sigmoid
from stackelberg_envs.game import Layout, as_tuple
from stackelberg_envs.modified_game import ModifiedGame

INCENTIVES, KERNEL, POLICY = (
    "incentive and cost are what the leader sets",
    "log_kernel is the kernel, if the leader sets rewards and moves it",
    "log_leader_policy is the leader's policy",
)
"""The checks that find them, with the one for shading."""
SHADING, STEPS = "shading is one number a place", "incentive_at and cost are what the leader sets"


class Steered(se.StackelbergGame):
    """Two independent followers in two contexts; the leader pays each for its second action, at a price, and opens doors to a second state.

    Nothing is wrong with it.
    """

    name = "steered"
    followers = 2
    contexts = ("calm", "busy")
    context_probabilities = np.array([0.5, 0.5])
    max_cycles = 20

    def __init__(self) -> None:
        self.leader_space = Box(-3.0, 3.0, (2,), np.float64)
        self.default_follower = se.Soft(0.5)
        self.layout = Layout(("..",), ((0, 0), (0, 1)))

    def incentive(self, x: Any, context: int | str = 0) -> Any:
        """Each follower's own component, more in the second context, (..., 1, 1, B)."""
        xp = array_namespace(x)
        paid = (1 + self.context_index(context)) * sigmoid(x)
        return tuple(xp.stack([0 * paid[..., i], paid[..., i]], axis=-1)[..., None, None, :] for i in range(2))

    def leader_cost(self, x: Any, context: int | str = 0) -> Any:
        return tuple(0.5 * paid for paid in self.incentive(x, context))

    def log_kernel(self, x: Any, context: int | str = 0) -> Any:
        """Logarithms of P(s'|s,a,b), (..., S, A, B, S): doors open by a follower's own component, less in the second context."""
        xp = array_namespace(x)
        opens = tuple(sigmoid(x[..., i] - self.context_index(context)) for i in range(2))
        return tuple(
            xp.log(xp.stack([xp.stack([xp.stack([1 - p, p], axis=-1)] * 2, axis=-2)] * 2, axis=-3)[..., None, :, :]) for p in opens
        )

    def shading(self, x: Any) -> Any:
        return sigmoid(x)

    def induced(self, x: Any, context: int) -> Any:
        xp = array_namespace(x)
        base = xp.asarray([[[0.3, 0.0]], [[0.0, 0.2]]], dtype=x.dtype)
        good = xp.asarray([[[0.0, 1.0]], [[0.5, 1.0]]], dtype=x.dtype)
        parts = zip(
            Steered.incentive(self, x, context), Steered.leader_cost(self, x, context), Steered.log_kernel(self, x, context), strict=True
        )
        return tuple(
            se.InducedMDP(
                leader_policy=xp.ones((2, 1), dtype=x.dtype),
                transition=xp.exp(log),
                follower_reward=base + paid,
                leader_reward=good - cost,
                initial=xp.asarray([0.5, 0.5], dtype=x.dtype),
                follower_discount=0.8,
                leader_discount=0.9,
            )
            for paid, cost, log in parts
        )


class With(ModifiedGame):
    """``game``, which says other things of itself: pieces by name, None for one that is omitted."""

    def __init__(self, game: Any, **pieces: Any) -> None:
        super().__init__(game)
        self.layout = game.layout
        for name, piece in pieces.items():
            setattr(self, name, piece)

    def modify(self, process: Any) -> Any:
        return process


def _each(piece: str, change: Callable[[Any], Any]) -> Any:
    """`Steered` with ``change`` made to each follower's table of a piece."""
    own = getattr(game := Steered(), piece)
    return With(game, **{piece: lambda x, context=0: tuple(change(table) for table in as_tuple(own(x, context)))})


def _first_context(piece: str) -> Any:
    own = getattr(game := Steered(), piece)
    return With(game, **{piece: lambda x, context=0: own(x)})


def _other_player(piece: str) -> Any:
    own = getattr(game := Steered(), piece)
    return With(game, **{piece: lambda x, context=0: own(x, context)[::-1]})


def _one_player(piece: str) -> Any:
    own = getattr(game := Steered(), piece)
    return With(game, **{piece: lambda x, context=0: own(x, context)[0]})


def _acting(change: Any) -> Any:
    game: Any = se.game("toy3-v0")
    return With(game, log_leader_policy=change and (lambda x: change(game.log_leader_policy(x))))


class PaidLeader(ModifiedGame):
    """The leader of ``game``, which acts, also sets a reward of the follower, or its own, and does not say so."""

    def __init__(self, reward: str) -> None:
        super().__init__(se.game("toy3-v0"))
        self.reward = reward

    def modify(self, process: Any) -> Any:
        return process

    def induced(self, x: Any, context: int) -> Any:
        from dataclasses import replace

        mdp: Any = super().induced(x, context)
        return replace(mdp, **{self.reward: getattr(mdp, self.reward) + 0.1 * sigmoid(x[..., :1])[..., None, None]})


def _building(change: Any) -> Any:
    game: Any = se.game("building-v0")
    return With(game, leader_cost=change and (lambda x, context=0: change(game.leader_cost(x, context))))


def _economy(change: Any) -> Any:
    game: Any = se.game("tax_economy-v0", grid=21, hours=3, spendings=2)
    return With(game, incentive_at=change and (lambda x, context, states, actions: change(game.incentive_at(x, context, states, actions))))


Broken = tuple[Callable[[], Any], str, str]
REWARD_PIECES: dict[str, Broken] = {
    f"{piece}, {fault}": (lambda build=build, piece=piece: build(piece), INCENTIVES, f"{piece}{said}")
    for piece in ("incentive", "leader_cost")
    for fault, build, said in (
        ("omitted", lambda piece: With(Steered(), **{piece: None}), f": write {piece}(x, context)"),
        ("wrong sign", lambda piece: _each(piece, lambda table: -table), " has the wrong sign"),
        ("wrong scale", lambda piece: _each(piece, lambda table: 2 * table), "(x, context) is"),
        ("wrong shape", lambda piece: _each(piece, lambda table: table[..., 0, :] + np.zeros((2, 2))), " number 0 has shape (2, 2)"),
        ("a table too few", _one_player, " is 1 tables"),
        ("wrong context", _first_context, " still depends on the commitment in context 'busy'"),
        ("wrong player", _other_player, " still depends on the commitment in context 'calm'"),
    )
}
BROKEN_PIECES: dict[str, Broken] = {
    **REWARD_PIECES,
    "log_kernel, omitted": (lambda: With(Steered(), log_kernel=None), KERNEL, "write log_kernel(x, context)"),
    "log_kernel, wrong sign": (lambda: _each("log_kernel", lambda table: -table), KERNEL, "exp(log_kernel) is not the transition"),
    "log_kernel, wrong shape": (
        lambda: _each("log_kernel", lambda table: table[..., 0, :, :, :, None]),
        KERNEL,
        "log_kernel number 0 has shape",
    ),
    "log_kernel, a table too few": (lambda: _one_player("log_kernel"), KERNEL, "log_kernel is 1 tables"),
    "log_kernel, wrong context": (lambda: _first_context("log_kernel"), KERNEL, "in context 'busy'"),
    "log_kernel, wrong player": (lambda: _other_player("log_kernel"), KERNEL, "exp(log_kernel) is not the transition"),
    "log_leader_policy, wrong sign": (lambda: _acting(lambda table: -table), POLICY, "exp(log_leader_policy) is not leader_policy"),
    "log_leader_policy, wrong shape": (lambda: _acting(lambda table: table[..., None]), POLICY, "log_leader_policy has shape (3, 2, 1)"),
    "an acting leader sets the follower's reward": (lambda: PaidLeader("follower_reward"), INCENTIVES, "write incentive(x, context)"),
    "an acting leader sets its own reward": (lambda: PaidLeader("leader_reward"), INCENTIVES, "write leader_cost(x, context)"),
    "shading, wrong shape": (
        lambda: With(Steered(), shading=lambda x: x[..., None]),
        SHADING,
        "shading of one commitment has shape (2, 1)",
    ),
    "shading of no batch": (
        lambda: With(Steered(), shading=lambda x: x.reshape(-1)[:2]),
        SHADING,
        "shading of 5 commitments has shape (2,)",
    ),
}
"""Name to (game, the check that must fail, what it says)."""
BROKEN_STEPS: dict[str, Broken] = {
    "leader_cost of steps, omitted": (lambda: _building(None), STEPS, "leader_cost is missing: write it"),
    "leader_cost of steps, wrong sign": (lambda: _building(lambda cost: -cost), STEPS, "leader_cost is not all"),
    "incentive_at, omitted": (lambda: _economy(None), STEPS, "incentive_at is missing: write it"),
    "incentive_at, wrong sign": (lambda: _economy(lambda paid: -paid), STEPS, "incentive_at is not all"),
}
"""The same in worlds without tables."""
