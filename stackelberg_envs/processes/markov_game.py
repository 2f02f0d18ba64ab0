"""The tables of a Markov game among several followers, with the leader's action axis kept.

All followers act at once, in one state that they share.  Symbols are those of `stackelberg_envs.processes.mdp`; in addition::

    B = B_0 x ... x B_{n-1}    joint actions of the n followers, one index, row-major
    r_i(s,a,b)                 follower i's reward;  g_i(b_i|s,a) its policy
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np
from array_api_compat import is_numpy_array

from .arrays import Array, array_namespace
from .availability import available_to, check_product, check_some_action, mask_rewards
from .mdp import MDP, entropy
from .tables import ProcessTables


@dataclass(frozen=True)
class MarkovGame(ProcessTables):
    """The Markov game of n followers, as tables over joint actions.

    The docstring of `stackelberg_envs.worlds.markov_game.InducedMarkovGame` has the arguments.
    """

    leader_policy: Array
    transition: Any
    follower_rewards: Array
    leader_reward: Array
    initial: Array
    actions: tuple[int, ...]
    follower_discount: float
    leader_discount: float
    follower_sees: Literal["action", "policy"] = "action"
    zero_sum: bool = False
    available: Array | None = None

    tables: ClassVar[tuple[str, ...]] = ("leader_policy", "transition", "follower_rewards", "leader_reward", "initial")
    """The array fields."""

    def __post_init__(self) -> None:
        self._check_discounts()
        self._unwrap_transition()
        players, joint = self.follower_rewards.shape[-4], self.transition.shape[-2]
        if len(self.actions) != players or prod(self.actions) != joint:
            raise ValueError(f"{players} followers with {self.actions} actions do not make {joint} joint actions")
        if self.follower_sees not in ("action", "policy"):
            raise ValueError(f"follower_sees is 'action' or 'policy', got {self.follower_sees!r}")
        if self.zero_sum and players != 2:
            raise ValueError(f"a zero-sum game has two followers, not {players}")
        available, rewards, leader = mask_rewards(self.available, self.follower_rewards, self.leader_reward, followers=True)
        if available is not None:
            check_some_action(available, together=self.follower_sees == "policy")
            check_product(available, self.actions)
            self._set(available=available, follower_rewards=rewards, leader_reward=leader)

    @cached_property
    def joint(self) -> MDP:
        """The process with all followers' actions as one, and the sum of their rewards (their welfare) as reward."""
        return MDP(
            leader_policy=self.leader_policy,
            transition=self.transition,
            follower_reward=array_namespace(self.follower_rewards).sum(self.follower_rewards, axis=-4),
            leader_reward=self.leader_reward,
            initial=self.initial,
            follower_discount=self.follower_discount,
            leader_discount=self.leader_discount,
            follower_sees=self.follower_sees,
            available=self.available,
        )

    def of(self, player: int) -> MDP:
        """The process with all followers' actions as one, and the reward of one of them."""
        return replace(self.joint, follower_reward=self.follower_rewards[..., player, :, :, :])

    def product(self, policies: Sequence[Array]) -> Array:
        """prod_i g_i(b_i|s,a) of policies (..., S, A, B_i), shape (..., S, A, B)."""
        xp = array_namespace(*policies)
        together, *others = policies
        for policy in others:
            together = together[..., :, None] * policy[..., None, :]
            together = xp.reshape(together, (*together.shape[:-2], -1))
        return together

    def facing(self, player: int, policies: Sequence[Array], temperature: float = 0.0) -> MDP:
        """What one follower faces while the others keep to ``policies``: an ordinary process with its own B_i actions.

        Args:
            player: index of the follower, i.
            policies: g_j(b_j|s,a) of all followers, each (..., S, A, B_j); that of ``player`` is not used.
            temperature: in a zero-sum game, what the opponent earns by its entropy at this temperature is charged to the player.
        """
        key, keeps = f"_last_facing_{player}", all(map(is_numpy_array, policies))
        last_temperature, last_policies, kept = vars(self).get(key, (None, (), None))
        if keeps and temperature == last_temperature and all(map(np.array_equal, policies, last_policies)):
            return kept  # followers say what they planned in, and are then scored in it
        faced = self._facing(player, policies, temperature)
        if keeps:
            vars(self)[key] = temperature, [policy.copy() for policy in policies], faced
        return faced

    def _facing(self, player: int, policies: Sequence[Array], temperature: float) -> MDP:
        xp = array_namespace(*policies)
        own = policies[player]
        pure = xp.eye(self.actions[player], dtype=own.dtype, device=own.device)
        each = [[*policies[:player], xp.zeros_like(own) + pure[b], *policies[player + 1 :]] for b in range(len(pure))]
        weight = xp.stack([self.product(row) for row in each], axis=-2)  # of joint actions given its own, (..., S, A, B_i, B)

        def mean(reward: Array) -> Array:
            return xp.matmul(weight, reward[..., None])[..., 0]

        reward = mean(self.follower_rewards[..., player, :, :, :])
        if self.zero_sum and temperature > 0:
            reward = reward - temperature * entropy(policies[1 - player])[..., None]
        return replace(
            self.joint,
            transition=self.kernel.mixture(weight),
            follower_reward=reward,
            leader_reward=mean(self.leader_reward),
            available=None if self.available is None else available_to(self.available, self.actions, player),
        )
