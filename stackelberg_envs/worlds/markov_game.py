"""Followers who interact: a Markov game with tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..planning.linear_systems import PlanningError
from ..processes.arrays import as_numpy
from ..processes.markov_game import MarkovGame
from .tabular import TabularWorld


class InducedMarkovGame(MarkovGame, TabularWorld):
    """The Markov game that a commitment induces among n followers, as tables over joint actions.

    Args:
        leader_policy: ``pi(a|s)``, shape (..., S, A).
        transition: ``P(s'|s,a,b)``, shape (..., S, A, B, S), dense or lists; a deficit is the probability that the episode
            ends, for everybody.
        follower_rewards: r_i(s,a,b), shape (..., n, S, A, B).
        leader_reward: r_L(s,a,b), shape (..., S, A, B).
        initial: rho(s), shape (..., S).
        actions: (B_0, ..., B_{n-1}).
        follower_discount: of all followers, in [0, 1]; 1 only where every episode ends.
        leader_discount: likewise.
        follower_sees: what all followers see of the leader in a step, as in `stackelberg_envs.InducedMDP`.
        zero_sum: whether there are two followers with r_1 = -r_0.  The regularised game is then meant to be zero-sum too: what one earns
            by its entropy costs the other as much.
        available: which joint actions there are, booleans (..., S, A, B), or None; each follower's actions may depend on the state and on
            the leader's action, and not on what others do.  A reward of -inf says the same.

    Raises:
        ValueError: if the sizes do not fit together, a discount is outside [0, 1], or a follower has no action in some state.
    """

    def with_rewards(self, factor: float, constant: float) -> InducedMarkovGame:
        return replace(self, follower_rewards=factor * self.follower_rewards + (0.0 if self.zero_sum else constant))

    def invalid_numbers(self) -> list[str]:
        unequal = self.zero_sum and not np.allclose(as_numpy(self.follower_rewards).sum(0), 0)
        return super().invalid_numbers() + (["a zero-sum game's rewards do not sum to 0"] if unequal else [])

    def soft_answer(self, temperature: float, values: Any) -> Any:
        return self.tables_for(f"Soft(temperature={temperature})")

    def tables_for(self, follower: Any) -> Any:
        equilibrium = "Saddle(temperature)" if self.zero_sum else "SoftNash(temperature) or Nash(selection)"
        raise PlanningError(
            f"{follower} answers for one follower, and here {len(self.actions)} interact: take an equilibrium, {equilibrium}"
        )

    def markov_game_for(self, follower: Any) -> MarkovGame:
        return self
