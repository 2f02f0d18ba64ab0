"""Bimatrix: the leader commits to a mixed row, the follower picks a column, both are paid once.

Source: the default payoffs are the example of Conitzer and Sandholm, "Computing the optimal strategy to commit to", EC 2006, where
commitment to a mixture is worth 2.5, to a pure row 2, and the only Nash equilibrium 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace
from gymnasium.spaces import Box

from ..followers import Soft
from ..game import Constants, StackelbergGame, softmax_policy
from ..mdp import Array, InducedMDP

Matrix = Sequence[Sequence[float]]
CONITZER_LEADER: Matrix = ((1.0, 3.0), (0.0, 2.0))
CONITZER_FOLLOWER: Matrix = ((1.0, 0.0), (0.0, 1.0))


class Bimatrix(StackelbergGame):
    """A one-shot game: one state, no discount, and the episode ends after one move.

    * Commitment: m logits, softmax over the rows.  The follower knows the mixture, not the row that is drawn.

    Args:
        leader_payoff: (m, n) matrix of the leader.
        follower_payoff: (m, n) matrix of the follower.
    """

    name = "bimatrix"

    def __init__(self, *, leader_payoff: Matrix = CONITZER_LEADER, follower_payoff: Matrix = CONITZER_FOLLOWER) -> None:
        leader, follower = np.asarray(leader_payoff, dtype=np.float64), np.asarray(follower_payoff, dtype=np.float64)
        if leader.ndim != 2 or leader.shape != follower.shape or not (np.isfinite(leader).all() and np.isfinite(follower).all()):
            raise ValueError(f"payoffs are two finite matrices of one shape (m, n); got {leader.shape} and {follower.shape}")
        self.max_cycles = 1
        self.leader_space = Box(-20.0, 20.0, (leader.shape[0],), np.float64)
        self.default_follower = Soft(0.1)
        self._constants = Constants(
            transition=np.zeros((1, *leader.shape, 1)), follower_reward=follower[None], leader_reward=leader[None], initial=np.ones(1)
        )

    def log_leader_policy(self, x: Array) -> Array:
        """log pi(row), (..., 1, m)."""
        return softmax_policy(x, 1, self.dimension)

    def induced(self, x: Array, context: int) -> InducedMDP:
        c = self._constants.like(x)
        return InducedMDP(
            leader_policy=array_namespace(x).exp(self.log_leader_policy(x)),
            transition=c.transition,
            follower_reward=c.follower_reward,
            leader_reward=c.leader_reward,
            initial=c.initial,
            follower_discount=1.0,
            leader_discount=1.0,
            follower_sees="policy",
        )
