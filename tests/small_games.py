"""Games that only tests play, and smaller editions of registered ones whose defaults are large."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from gymnasium.spaces import Box

import stackelberg_envs as se
from stackelberg_envs.commitments import softmax_policy
from stackelberg_envs.modified_game import ModifiedGame
from stackelberg_envs.worlds.markov_game import InducedMarkovGame
from stackelberg_envs.worlds.mdp import InducedMDP

SMALLER: dict[str, dict[str, Any]] = {
    "sentinel_intruder-v0": {"size": 2},
    "tax_design-v0": {"grid": 21, "hours": 3, "spendings": 2},
    "tax_economy-v0": {"grid": 21, "hours": 3, "spendings": 2},
    "tariff-v0": {"households": 2, "levels": 2},
    "toll_network-v0": {"network": "braess"},
    "commons-v0": {"levels": 6, "efforts": 3},
    "platform-v0": {"prices": 3, "memory": "winner"},
    "patrol-v0": {"park": "ring", "size": 4, "durations": (1, 2), "temperature": 0.05},
}
"""Arguments for tests that go through all games: the defaults of most have millions of transitions."""


class Bonuses(se.StackelbergGame):
    """Four states in which the leader sets a bonus for each (s, b), the smallest game in which SoBiRL can react.

    Free of charge, or ``price`` times its square a step.
    """

    name = "bonuses"

    def __init__(self, *, discount: float, price: float = 0.0) -> None:
        rng = np.random.default_rng(5)
        self.leader_space = Box(-20.0, 20.0, (12,), np.float64)
        self.default_follower = se.Soft(0.5)
        self.max_cycles = 20
        self.discount, self.price = discount, price
        self.tables = rng.dirichlet(np.ones(4), size=(4, 1, 3)), rng.uniform(size=(4, 1, 3)), rng.uniform(size=(4, 1, 3))
        self.incentive_jacobian = np.eye(12).reshape(4, 3, 12)

    def incentive(self, x: Any, context: int = 0) -> Any:
        return array_namespace(x).reshape(x, (*x.shape[:-1], 4, 1, 3))

    def leader_cost(self, x: Any, context: int = 0) -> Any:
        return self.price * self.incentive(x) ** 2

    def induced(self, x: Any, context: int) -> InducedMDP:
        xp = array_namespace(x)
        transition, base, leader = (xp.asarray(table, dtype=x.dtype) for table in self.tables)
        return InducedMDP(
            leader_policy=xp.ones((4, 1), dtype=x.dtype),
            transition=transition,
            follower_reward=base + self.incentive(x),
            leader_reward=leader - self.leader_cost(x),
            initial=xp.full((4,), 0.25, dtype=x.dtype),
            follower_discount=self.discount,
            leader_discount=0.5,
        )


class Three(se.StackelbergGame):
    """Three states, two actions, a bonus for each pair at a price: small enough for formulas to be computed component by component."""

    name, max_cycles, temperature, discount = "three", 30, 0.4, 0.7

    def __init__(self, leader_discount: float = 0.6) -> None:
        self.leader_discount = leader_discount
        rng = np.random.default_rng(3)
        self.leader_space = Box(-5.0, 5.0, (6,), np.float64)
        self.default_follower = se.Soft(self.temperature)
        self.tables = rng.dirichlet(np.ones(3), size=(3, 1, 2)), rng.uniform(size=(3, 1, 2)), rng.uniform(size=(3, 1, 2))

    def incentive(self, x: Any, context: int | str = 0) -> Any:
        return array_namespace(x).reshape(x, (*x.shape[:-1], 3, 1, 2))

    def leader_cost(self, x: Any, context: int | str = 0) -> Any:
        return 0.2 * self.incentive(x) ** 2

    def induced(self, x: Any, context: int) -> InducedMDP:
        xp = array_namespace(x)
        transition, own, paid = (xp.asarray(table, dtype=x.dtype) for table in self.tables)
        return InducedMDP(
            leader_policy=xp.ones((3, 1), dtype=x.dtype),
            transition=transition,
            follower_reward=own + self.incentive(x),
            leader_reward=paid - self.leader_cost(x),
            initial=xp.asarray([0.5, 0.3, 0.2], dtype=x.dtype),
            follower_discount=self.discount,
            leader_discount=self.leader_discount,
        )


class Doors(se.StackelbergGame):
    """Four states in which the leader moves the dynamics, P(.|s,b) = softmax of its logits, and also where an episode starts."""

    name = "doors"

    def __init__(self, *, discount: float = 0.8) -> None:
        rng = np.random.default_rng(6)
        self.leader_space = Box(-20.0, 20.0, (4 * 3 * 4 + 4,), np.float64)
        self.default_follower = se.Soft(0.3)
        self.max_cycles = 20
        self.discount = discount
        self.tables = rng.uniform(size=(4, 1, 3)), rng.uniform(size=(4, 1, 3))

    def induced(self, x: Any, context: int) -> InducedMDP:
        xp = array_namespace(x)
        follower, leader = (xp.asarray(table, dtype=x.dtype) for table in self.tables)
        doors, start = xp.reshape(x[..., :48], (*x.shape[:-1], 4, 1, 3, 4)), xp.exp(x[..., 48:])
        return InducedMDP(
            leader_policy=xp.ones((4, 1), dtype=x.dtype),
            transition=xp.exp(doors) / xp.sum(xp.exp(doors), axis=-1, keepdims=True),
            follower_reward=follower,
            leader_reward=leader,
            initial=start / xp.sum(start, axis=-1, keepdims=True),
            follower_discount=self.discount,
            leader_discount=self.discount,
        )


class Umpired(se.StackelbergGame):
    """Two opponents in three states whose umpire, the leader, acts by a policy, moves the dynamics and pays; other discounts for each."""

    name = "umpired"
    followers = 2

    def __init__(self, *, follower_sees: Any, contexts: int = 1) -> None:
        rng = np.random.default_rng(7)
        self.leader_space = Box(-20.0, 20.0, (6 + 3,), np.float64)
        self.default_follower = se.Saddle(0.3)
        self.max_cycles = 20
        self.follower_sees = follower_sees
        self.contexts = tuple(f"day {i}" for i in range(contexts))
        self.context_probabilities = np.arange(1.0, contexts + 1) / np.arange(1.0, contexts + 1).sum()
        self.tables = [(rng.dirichlet(np.ones(3), size=(3, 2, 6)), *rng.uniform(size=(2, 3, 2, 6))) for _ in range(contexts)]

    def induced(self, x: Any, context: int) -> InducedMarkovGame:
        xp = array_namespace(x)
        kernel, reward, leader = (xp.asarray(table, dtype=x.dtype) for table in self.tables[context])
        paid = x[..., 6:, None, None]
        stays = 1 / (1 + xp.exp(-xp.sum(x[..., 6:], axis=-1)))[..., None, None, None, None]
        earned = reward + paid * xp.asarray(np.linspace(-1, 1, 6), dtype=x.dtype)
        return InducedMarkovGame(
            leader_policy=xp.exp(softmax_policy(x[..., :6], 3, 2)),
            transition=kernel * (0.5 + 0.5 * stays),
            follower_rewards=xp.stack([earned, -earned], axis=-4),
            leader_reward=leader - 0.1 * paid**2,
            initial=xp.full((3,), 1 / 3, dtype=x.dtype),
            actions=(2, 3),
            follower_discount=0.8,
            leader_discount=0.7,
            follower_sees=self.follower_sees,
            zero_sum=True,
        )


class Masked(ModifiedGame):
    """A game whose followers lack some of their actions in some states, drawn at random; the first half of the states lacks none.

    Args:
        game: with tables.
        seed: of the draw.
        infinite: whether unavailable actions are written as rewards of -inf, and not as a mask.
        by_action: whether what is available depends on the leader's action too; of a follower that does not see it an action stays.
    """

    def __init__(self, game: se.StackelbergGame, *, seed: int = 0, infinite: bool = False, by_action: bool = False) -> None:
        super().__init__(game)
        self.infinite = infinite
        self.masks: list[np.ndarray] = []
        rng = np.random.default_rng(seed)
        for world in game.null_worlds:
            s, a, _ = world.sizes
            joint = np.ones((s, a, 1), dtype=bool)
            for count in world.actions:
                own = rng.random((s, a if by_action else 1, count)) < 0.5
                own[: s // 2] = True
                own[np.arange(s), :, rng.integers(count, size=s)] = True
                joint = (joint[..., None] & own[..., None, :]).reshape(s, a, -1)
            self.masks.append(joint)

    def induced(self, x: Any, context: int) -> Any:
        worlds = self._game.problems(x, context)
        changed = tuple(self._mask(world, mask) for world, mask in zip(worlds, self.masks, strict=True))
        return changed if len(changed) > 1 else changed[0]

    def modify(self, process: Any) -> Any:
        return self._mask(process, self.masks[0])

    def _mask(self, world: Any, mask: np.ndarray) -> Any:
        xp = array_namespace(world.leader_reward)
        there = xp.asarray(mask, device=world.leader_reward.device)
        if not self.infinite:
            return replace(world, available=there)
        if isinstance(world, InducedMarkovGame):
            return replace(world, follower_rewards=xp.where(there, world.follower_rewards, -float("inf")))
        return replace(world, follower_reward=xp.where(there, world.follower_reward, -float("inf")))
