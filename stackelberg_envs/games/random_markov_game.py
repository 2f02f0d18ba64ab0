"""Random Markov game: a Garnet in which leader and follower both act, with a dial for how much their interests conflict.

Source: Garnets after Archibald, McKinnon, Thomas, "On the generation of Markov decision processes", JORS 1995, with a second player.
Whether the follower sees the leader's action decides how hard they are: with independent rewards and visible actions a naive leader
is already near the optimum, with commitment to a policy only and conflicting rewards it is not (so that is the default).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from array_api_compat import array_namespace
from gymnasium.spaces import Box

from ..followers import Soft
from ..game import Constants, StackelbergGame, softmax_policy
from ..mdp import Array, InducedMDP


class RandomMarkovGame(StackelbergGame):
    """A random two-player Markov game; the same arguments give the same game.

    * Commitment: S x A logits, row-major, softmax over the leader's actions.
    * P(.|s,a,b) puts Dirichlet(1) weights on ``branching`` random successors; the start is uniform.
    * r_L ~ U(0, 1) and r_F = (1 - conflict) U(0, 1) + conflict (1 - r_L), for each (s, a, b).

    Args:
        states: S.
        leader_actions: A.
        follower_actions: B.
        branching: successors of each (s, a, b), at most S.
        conflict: in [0, 1]; 0 for independent rewards, 1 for a constant-sum game.
        follower_sees: ``"policy"`` (simultaneous moves) or ``"action"``.
        discount: of both players, below 1.
        seed: which instance.
        max_cycles: steps after which a played episode is cut.
    """

    name = "random_markov_game"

    def __init__(
        self,
        *,
        states: int = 5,
        leader_actions: int = 3,
        follower_actions: int = 3,
        branching: int = 3,
        conflict: float = 0.5,
        follower_sees: Literal["policy", "action"] = "policy",
        discount: float = 0.9,
        seed: int = 0,
        max_cycles: int = 50,
    ) -> None:
        if min(states, leader_actions, follower_actions) < 1 or not 1 <= branching <= states:
            raise ValueError(f"sizes are at least 1 and branching is 1 to states; got {states=}, {branching=}")
        if not 0 <= conflict <= 1 or not 0 <= discount < 1:
            raise ValueError(f"conflict is in [0, 1] and discount in [0, 1); got {conflict=}, {discount=}")
        if follower_sees not in ("policy", "action"):
            raise ValueError(f"follower_sees is 'policy' or 'action', got {follower_sees!r}")
        self.shape = (states, leader_actions, follower_actions)
        self.follower_sees: Literal["policy", "action"] = follower_sees
        self.discount = float(discount)
        self.max_cycles = max_cycles
        self.leader_space = Box(-20.0, 20.0, (states * leader_actions,), np.float64)
        self.default_follower = Soft(0.05)
        rng = np.random.default_rng(seed)
        transition = np.zeros((*self.shape, states))
        for entry in np.ndindex(*self.shape):
            successors = rng.choice(states, size=branching, replace=False)
            transition[(*entry, successors)] = rng.dirichlet(np.ones(branching))
        leader_reward = rng.uniform(size=self.shape)
        follower_reward = (1 - conflict) * rng.uniform(size=self.shape) + conflict * (1 - leader_reward)
        self._constants = Constants(
            transition=transition,
            follower_reward=follower_reward,
            leader_reward=leader_reward,
            initial=np.full(states, 1 / states),
        )

    def log_leader_policy(self, x: Array) -> Array:
        """log pi(a|s), (..., S, A)."""
        return softmax_policy(x, *self.shape[:2])

    def induced(self, x: Array, context: int) -> InducedMDP:
        c = self._constants.like(x)
        return InducedMDP(
            leader_policy=array_namespace(x).exp(self.log_leader_policy(x)),
            transition=c.transition,
            follower_reward=c.follower_reward,
            leader_reward=c.leader_reward,
            initial=c.initial,
            follower_discount=self.discount,
            leader_discount=self.discount,
            follower_sees=self.follower_sees,
        )
