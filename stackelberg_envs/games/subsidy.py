"""Subsidy: pay for what is done, for it is seen.

* **Follower**: lives in a random Markov decision process (a Garnet) and has rewards of its own there.
* **Leader**: earns by what the follower does, and pays it a bonus for each visible pair of state and action, whenever it is taken.  What
  it pays it loses.  Paying nothing leaves the follower to its own devices; paying for what it does anyway is money thrown away.

Sources: Hu and Tao, "Optimal robust subsidy policies for irrational agent in principal-agent MDPs", ICLR 2026 (OpenReview ZO6Iwd3BZ7), of
a rational agent and of one that gives up to epsilon away; Ben-Porat, Mansour, Moshkovitz, Taitler, "Principal-agent reward shaping in
MDPs", AAAI 2024, arXiv 2401.00298, where bonuses have a total budget and the problem is NP-hard.  Instances are ours: Garnets after
Archibald, McKinnon, Thomas, JORS 1995.  Hidden actions, paid by outcomes, are those of `stackelberg_envs.games.contract_tree`.
Exact values: `stackelberg_envs.planning.subsidies`.  In other worlds than these the same leader is the instrument
`stackelberg_envs.formats.instruments.Subsidies`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np

from ..arguments import check_memory, cycles, real, whole
from ..followers.exact import Soft
from ..formats.arrays import ArrayGame
from ..formats.controls import Payments
from ..formats.tables import ContextTables
from ..planning.subsidies import SubsidyPlan, optimal_subsidies
from ..processes.chains import DIRECT
from ..worlds.mdp import InducedMDP
from .random_markov_game import garnet

SCALE = 0.2
"""The unit of payments without a budget: the null commitment pays 0.2 log 2 for everything."""


class Subsidy(ArrayGame):
    """A principal who pays an agent for visible pairs of state and action in a Garnet.

    * Commitment: one number for each pair, row-major.  Without a budget b(s, a) = 0.2 softplus(x); with one b = budget softmax(x), and one
      component more, the last, is what stays unspent.
    * P(.|s,a) puts Dirichlet(1) weights on ``branching`` random successors; the start is uniform.
    * u_L, u_F ~ U(0, 1) for each pair; r_F = (1 - conflict) u_F + conflict (1 - u_L) + b and r_L = u_L - price b.

    Args:
        states: S.
        actions: B, of the follower.
        branching: successors of each pair, at most S.
        conflict: in [0, 1]; 0 for independent rewards, 1 for a follower that wants the opposite.
        price: what a unit of payment costs the leader, above 0.
        budget: the largest sum over all pairs of what each pays once, above 0; None for none.  The exact optimum is that without a
            budget, and an upper bound with one.
        discount: of both, below 1.
        seed: which instance.
        max_cycles: steps after which a played episode is cut.
        layout: of the transition, ``"dense"`` or ``"lists"`` of successors; None for lists if there are
            `stackelberg_envs.processes.chains.DIRECT` states or more and few branches.
    """

    name = "subsidy"

    def __init__(
        self,
        *,
        states: int = 5,
        actions: int = 3,
        branching: int = 3,
        conflict: float = 0.5,
        price: float = 1.0,
        budget: float | None = None,
        discount: float = 0.9,
        seed: int = 0,
        max_cycles: int = 50,
        layout: Literal["dense", "lists"] | None = None,
    ) -> None:
        s, b = whole("states", states, 1), whole("actions", actions, 1)
        branching = whole("branching, at most states,", branching, 1, s)
        layout = ("lists" if s >= DIRECT and 8 * branching <= s else "dense") if layout is None else layout
        check_memory("states x actions", s * b * ((s if layout == "dense" else 0) + 3 * branching + 6))
        c = real("conflict", conflict, 0, 1)
        self.price = real("price", price, 0.0, open_low=True)
        limit = None if budget is None else real("budget", budget, 0.0, open_low=True)
        rng = np.random.default_rng(whole("seed", seed, 0))
        lists = garnet(rng, (s, 1, b), branching, "dirichlet")
        u_leader, u_follower = rng.uniform(size=(2, s, 1, b))
        world = ContextTables(
            transition=lists if layout == "lists" else lists.dense(),
            follower_reward=(1 - c) * u_follower + c * (1 - u_leader),
            leader_reward=u_leader,
            initial=np.full(s, 1 / s),
            terminal=np.zeros(s, dtype=bool),
            available=None,
        )
        pairs = np.argwhere(np.ones((s, b), dtype=bool))
        scale = SCALE if limit is None else 1.0
        self._payments = Payments("subsidies", pairs, (s, b), sign=1.0, price=self.price, budget=limit, scale=scale)
        gamma = real("discount", discount, 0, 1, open_high=True)
        super().__init__({"only": world}, self._payments, follower_discount=gamma, leader_discount=gamma, follower_sees="policy")
        self._world = world
        self.max_cycles = cycles(max_cycles)
        self.default_follower = Soft(0.05)

    @cached_property
    def plan(self) -> SubsidyPlan:
        """The optimum against `stackelberg_envs.Hard` with ties for the leader, if there is no budget; an upper bound if there is."""
        world = self._world
        unpaid = InducedMDP(
            leader_policy=np.ones((len(world.initial), 1)),
            transition=world.transition,
            follower_reward=world.follower_reward,
            leader_reward=world.leader_reward,
            initial=world.initial,
            follower_discount=self.follower_discount,
            leader_discount=self.leader_discount,
        )
        return optimal_subsidies(unpaid, self.price)

    def commitment(self, payments: np.ndarray) -> np.ndarray:
        """The commitment (n,) that pays ``payments`` (S, B), in units of reward; 0 becomes the least that the leader's box has, 4e-10.

        Raises:
            ValueError: if there is a budget, and they add up to as much or more.
        """
        return self._payments.commitment(np.ravel(payments), float(self.leader_space.low[0]))
