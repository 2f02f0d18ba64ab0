"""Incentives in a fight: pay one of two opponents for what both do.

The designer is paid by where their equilibrium goes.

* **Leader**: announces an incentive x(s, b_0, b_1) in [0, largest] for every state and pair of actions, and pays ``cost`` times it when
  it falls due.  It earns u_L(s, b_0, b_1).
* **Followers**: `follower_0` earns r(s, b_0, b_1) + x(s, b_0, b_1), `follower_1` loses it.

The family of the incentive design of Shen, Yang, Chen, "Principled penalty-based methods for bilevel reinforcement learning and RLHF",
arXiv 2402.06886 (in the versions after ICML 2024), and of PANDA, Zheng, King, Lu, arXiv 2605.26654: a bounded incentive in the reward of
a random regularised zero-sum Markov game.  Their sizes and objectives are not known to us; these are our own.
"""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, real, whole
from ..commitments import Saturation, sigmoid
from ..followers.equilibria import Saddle
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..processes.garnets import garnet
from ..worlds.markov_game import InducedMarkovGame


class ZeroSumIncentive(StackelbergGame):
    """A random zero-sum Markov game with incentives; the same arguments give the same game.

    * Commitment: S x B_0 x B_1 numbers z, row-major; the incentive is ``largest * sigmoid(z)``.  At the low end of the leader's space
      nothing is paid: the unregulated game.
    * P(.|s,b_0,b_1) puts Dirichlet(1) weights on ``branching`` random successors; the start is uniform; r, u_L ~ U(0, 1).

    Args:
        states: S.
        actions: B_0 and B_1.
        branching: successors of each (s, b_0, b_1), at most S.
        largest: upper bound of each incentive.
        cost: what the leader pays for a unit of incentive.
        discount: of everybody, below 1.
        seed: which instance.
        max_cycles: steps after which a played episode is cut.
    """

    name = "zero_sum_incentive"
    followers = 2

    def __init__(
        self,
        *,
        states: int = 10,
        actions: tuple[int, int] = (3, 3),
        branching: int = 3,
        largest: float = 1.0,
        cost: float = 0.2,
        discount: float = 0.9,
        seed: int = 0,
        max_cycles: int = 50,
    ) -> None:
        states = whole("states", states, 1)
        branching = whole("branching", branching, 1, states)
        actions = whole("each of actions", actions[0], 1), whole("each of actions", actions[1], 1)
        self.largest, self.cost = real("largest", largest, 0, open_low=True), real("cost", cost, 0)
        self.discount = real("discount", discount, 0, 1, open_high=True)
        self.shape = (states, 1, actions[0] * actions[1])
        self.actions = actions
        check_memory("states x actions", int(np.prod(self.shape, dtype=object)) * (states + 3 * branching + 6))
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-20.0, 20.0, (states * actions[0] * actions[1],), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.default_follower = Saddle(0.1)
        rng = np.random.default_rng(whole("seed", seed, 0))
        reward, leader_reward = rng.uniform(size=(2, *self.shape))
        self._constants = Constants(
            transition=garnet(rng, self.shape, branching, "dirichlet").dense(),
            reward=reward,
            leader_reward=leader_reward,
            initial=np.full(states, 1 / states),
            leader_policy=np.ones((states, 1)),
        )

    def incentive(self, x: Array, context: int | str = 0) -> tuple[Array, Array]:
        """What each follower is paid, (..., S, 1, B): x and -x."""
        paid = self._incentive_table(x)
        return paid, -paid

    def leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """What the leader pays, (..., S, 1, B)."""
        return self.cost * self._incentive_table(x)

    def induced(self, x: Array, context: int) -> InducedMarkovGame:
        xp = array_namespace(x)
        c, paid = self._constants.like(x), self._incentive_table(x)
        return InducedMarkovGame(
            leader_policy=c.leader_policy,
            transition=c.transition,
            follower_rewards=xp.stack([c.reward + paid, -c.reward - paid], axis=-4),
            leader_reward=c.leader_reward - self.cost * paid,
            initial=c.initial,
            actions=self.actions,
            follower_discount=self.discount,
            leader_discount=self.discount,
            zero_sum=True,
        )

    def _incentive_table(self, x: Array) -> Array:
        xp = array_namespace(x)
        return self.largest * sigmoid(xp.reshape(x, (*x.shape[:-1], *self.shape)))
