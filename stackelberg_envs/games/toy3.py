"""Toy3: three states in which a naive leader collapses and the best commitment is a mixed one.

From S the follower goes to A or to B, either for a reward of 1, and the leader is paid 1 whenever it picks A.  In A the leader may send
it straight back to S (its action 1), at a cost of 1 to the follower, or let it walk to B for a reward of R (its action 0).  Sending it
back often is good for the leader's frequency of visits, until the follower prefers S -> B -> S and never comes again.

Source: DiscreteToyEnv4 of Kudo, Tanabe, Wachi, Akimoto, ICAPS 2026, arXiv 2603.14867, specified from their public code (its flag
``optimal_action`` is wrong, and its follower takes the leader's expectation inside the log-sum-exp; here it is outside).
"""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace
from gymnasium.spaces import Box

from ..followers import Soft
from ..game import Constants, StackelbergGame, softmax_policy
from ..mdp import Array, InducedMDP

S, A, B = range(3)
STAY, TO_A, TO_B = range(3)
DISCOUNT = 0.99


class Toy3(StackelbergGame):
    """The smallest real Markov game of the suite; only P(leader plays 1 in A) matters.

    * Commitment: 6 logits, (state S, A, B) x (action 0, 1) row-major, softmax over the action.
    * The follower sees the leader's action, then picks one of three: stay, to A, to B.

    Args:
        R: follower's reward for going from A to B when the leader lets it; 1 and 2 are published.
        max_cycles: steps after which a played episode is cut.
    """

    name = "toy3"

    def __init__(self, *, R: float = 1.0, max_cycles: int = 150) -> None:  # noqa: N803 - the paper's symbol
        self.R = float(R)
        self.max_cycles = max_cycles
        self.leader_space = Box(-20.0, 20.0, (6,), np.float64)
        self.default_follower = Soft(0.05)
        transition = np.zeros((3, 2, 3, 3))
        follower_reward, leader_reward = np.zeros((3, 2, 3)), np.zeros((3, 2, 3))

        def move(state: int, leader: int | slice, follower: int | slice, successor: int) -> None:
            transition[state, leader, follower] = np.eye(3)[successor]

        every = slice(None)
        for state in (S, A, B):
            move(state, every, every, state)  # whatever is not listed stays
        move(S, every, TO_A, A)
        move(S, every, TO_B, B)
        move(A, 0, STAY, S)
        move(A, 0, TO_B, B)
        move(A, 1, every, S)
        move(B, every, STAY, S)
        follower_reward[S, :, [TO_A, TO_B]] = 1.0
        follower_reward[A, 0, TO_B] = self.R
        follower_reward[A, 1, :] = -1.0
        leader_reward[S, :, TO_A] = 1.0
        self._constants = Constants(
            transition=transition, follower_reward=follower_reward, leader_reward=leader_reward, initial=np.eye(3)[S]
        )

    def log_leader_policy(self, x: Array) -> Array:
        """log pi(a|s), (..., 3, 2)."""
        return softmax_policy(x, 3, 2)

    def induced(self, x: Array, context: int) -> InducedMDP:
        c = self._constants.like(x)
        return InducedMDP(
            leader_policy=array_namespace(x).exp(self.log_leader_policy(x)),
            transition=c.transition,
            follower_reward=c.follower_reward,
            leader_reward=c.leader_reward,
            initial=c.initial,
            follower_discount=DISCOUNT,
            leader_discount=DISCOUNT,
            follower_sees="action",
        )
