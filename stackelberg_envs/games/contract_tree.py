"""Contract tree: pay for outcomes, for the work is not seen.

At each node of a binary tree the agent works (action 1) or idles (action 0), in hiding, and the outcome is R or L: p(L|0) = q and
p(L|1) = 1 - q.  Working costs the agent c; R is worth r to the principal.  The principal promises a payment for each outcome of each
node.  One that pays nothing gets no work; one that pays for work it could have had for less gives its gains away.

Source: the hidden-action principal-agent process on trees of Ivanov et al., "Principal-Agent Reinforcement Learning", arXiv 2407.18074,
specified from our notes (their code was not found).  q ~ U(0.6, 0.95), c ~ U(0.1, 0.5) and r ~ U(0.5, 1.5) are drawn anew for each node, in
this order, a node after both its subtrees.
Exact values: `stackelberg_envs.planning.contracts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import real, whole
from ..commitments import Saturation, sigmoid
from ..followers.exact import Soft
from ..game import StackelbergGame
from ..planning.contracts import Tree, subgame_perfect
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.mdp import InducedMDP

BOUND = 20.0
"""Of the leader's box: payments stay a share of 2e-9 of ``b_max`` away from 0 and from ``b_max``."""
DEEPEST = 8


class ContractTree(StackelbergGame):
    """A hidden-action principal-agent game on a complete binary tree; both players sum rewards (discount 1).

    * States: all S = 2^(depth + 1) - 1 nodes, the children of s being 2 s + 1 (after L) and 2 s + 2 (after R).  A state *is* the history of
      outcomes.  What an outcome brings and is paid is settled in the child it leads to, so that nothing the leader sees depends on
      the hidden action given the outcome; the leaves settle, and end the episode after depth + 1 steps.
    * Commitment: one number for each node but the root, ``x[s - 1]``; arriving in s is paid ``b_max * sigmoid(x[s - 1])``.
    * ``follower_actions_public`` is False: outcomes and observations of the leader leave the actions out.

    Args:
        depth: decisions in an episode, 1 to 8.
        b_max: the most that one outcome can be paid; above 0.
        commitment: the commitment's horizon.  ``"episode"``: x holds from the start to the end, and the agent looks ahead to all of it,
            so that promises for later motivate now.  ``"step"``: at each node only that node's contract counts as offered, and for
            what follows the agent expects the subgame-perfect contracts, whatever x says there.  Its process has discount 0, and its
            reward is the expected payment, less the cost, plus its subgame-perfect value of the child.  The leader's best x is then the
            subgame-perfect equilibrium.  There is no ``incentive`` then, for the expected payment depends on the kernel.
        seed: which tree.
    """

    name = "contract_tree"
    follower_actions_public = False

    def __init__(self, *, depth: int = 2, b_max: float = 2.0, commitment: Literal["episode", "step"] = "episode", seed: int = 0) -> None:
        depth = whole("depth", depth, 1, DEEPEST)
        nodes = 2**depth - 1
        rng = np.random.default_rng(whole("seed", seed, 0))
        q, cost, worth = np.zeros((3, nodes))
        for s in _bottom_up(0, nodes):
            q[s], cost[s], worth[s] = rng.uniform(0.6, 0.95), rng.uniform(0.1, 0.5), rng.uniform(0.5, 1.5)
        self.b_max, self.commitment = real("b_max", b_max, 0, open_low=True), commitment
        self.max_cycles = depth + 1
        self.leader_space = Box(-BOUND, BOUND, (2 * nodes,), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.default_follower = Soft(0.05)
        low, high = (float(self.payments(np.asarray(bound))) for bound in (-BOUND, BOUND))
        self.tree = Tree(
            chances=np.stack([np.stack([q, 1 - q], axis=-1), np.stack([1 - q, q], axis=-1)], axis=1),
            utility=np.stack([np.zeros(nodes), -cost], axis=-1),
            reward=np.stack([np.zeros(nodes), worth], axis=-1),
            limits=(low, high),
        )
        """What is played, for `stackelberg_envs.planning.contracts`: an agent that looks ahead to whatever is promised."""
        utility = self.tree.utility
        if commitment == "episode":
            self.incentive = self.leader_cost  # what the principal pays, the agent gets
        else:
            expected = subgame_perfect(self.tree).agent[1:].reshape(nodes, 1, 2)
            utility = utility + (self.tree.chances * expected).sum(-1)
        states = 2 * nodes + 1
        transition = np.zeros((states, 1, 2, states))
        for s in range(nodes):
            transition[s, 0, :, 2 * s + 1 : 2 * s + 3] = self.tree.chances[s]
        self._constants = Constants(
            leader_policy=np.ones((states, 1)),
            transition=transition,
            utility=np.concatenate([utility, np.zeros((nodes + 1, 2))])[:, None],
            leader_reward=np.broadcast_to(np.append(0.0, self.tree.reward)[:, None, None], (states, 1, 2)).copy(),
            initial=np.eye(states)[0],
        )

    def payments(self, x: Array) -> Array:
        """What arriving in each node but the root is paid, (..., S - 1), in [0, b_max]; pairs (L, R) of the decision nodes in order."""
        return self.b_max * sigmoid(x)

    def instruments(self, x: Array) -> dict[str, Array]:
        """The payment at each decision node for either outcome, (..., nodes), in units of the principal's reward."""
        paid = self.payments(x)
        return {"payment for L": paid[..., 0::2], "payment for R": paid[..., 1::2]}

    def leader_cost(self, x: Array, context: int = 0) -> Array:
        """What is paid on arrival in each state, (..., S, 1, 1)."""
        xp = array_namespace(x)
        paid = self.payments(x)
        return xp.concat([xp.zeros_like(paid[..., :1]), paid], axis=-1)[..., None, None]

    def induced(self, x: Array, context: int) -> InducedMDP:
        c = self._constants.like(x)
        paid = self.leader_cost(x)
        return InducedMDP(
            leader_policy=c.leader_policy,
            transition=c.transition,
            follower_reward=c.utility + (paid if self.commitment == "episode" else self._expected_payment(paid, c.transition)),
            leader_reward=c.leader_reward - paid,
            initial=c.initial,
            follower_discount=1.0 if self.commitment == "episode" else 0.0,
            leader_discount=1.0,
        )

    def _expected_payment(self, paid: Array, transition: Any) -> Array:
        """sum_o p(o|a) b(o) at each node, (..., S, 1, 2)."""
        return array_namespace(paid).sum(transition * paid[..., None, None, None, :, 0, 0], axis=-1)


def _bottom_up(s: int, nodes: int) -> Iterator[int]:
    """The nodes below s, and then s."""
    if s < nodes:
        yield from _bottom_up(2 * s + 1, nodes)
        yield from _bottom_up(2 * s + 2, nodes)
        yield s
