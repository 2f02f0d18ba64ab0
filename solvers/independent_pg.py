"""Independent policy gradient: leader and follower each ascend their own return, at the same time, as if the other stood still.

Daskalakis, Foster, Golowich, "Independent Policy Gradient Methods for Competitive Reinforcement Learning", NeurIPS 2020, there for zero-sum
games and two step sizes; the baseline of Shen, Yang, Chen (ICML 2024), as our notes recall it.  With exact gradients::

    x <- x + lr dF/dx (x, y)        F: the leader's return against the copy y
    y <- y + copy_lr dV/dy (x, y)   V: the follower's, entropy bonus included

The leader does not see that the follower reacts: where it settles is a Nash equilibrium in x and y, and no commitment.  No estimator
reads the best response, yet to train the follower takes its reward: MODEL, with the TRAINING permission.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.policy_evaluation import regularised_reward

from .copies import Copies, CopyAscent, copy_policy, derivatives, induced_processes, node_shape
from .needs import needs_a_regularised_follower, needs_derivatives, needs_paid_steps
from .penalties import expected_return, visits


@dataclass(frozen=True)
class IndependentPG(CopyAscent):
    """Simultaneous gradient ascent of the leader and of a copy of its follower, exact (MODEL + TRAINING); see `CopyAscent`."""

    def declines(self, oracle: Oracle) -> str | None:
        reason = needs_derivatives("independent_pg", oracle) or needs_paid_steps("independent_pg", oracle)
        return reason or needs_a_regularised_follower("independent_pg", oracle)

    def shapes(self, oracle: Oracle, x: torch.Tensor) -> list[tuple[int, ...]]:
        return [node_shape(mdp) for _, mdp in induced_processes(oracle, x)]

    def compute_gradients(self, oracle: Oracle, copies: Copies) -> dict[str, float]:
        for _ in range(self.copy_steps - 1):
            gradients, _ = _gradients(oracle, copies, copies.x.detach())
            copies.update([None, *gradients[1:]])
        copies.gradients, claimed = _gradients(oracle, copies, copies.x)
        copies.direct = copies.gradients[0]
        return {"claimed_return": claimed}


def _gradients(oracle: Oracle, copies: Copies, x: torch.Tensor) -> tuple[list[torch.Tensor], float]:
    """dF/dx and dV/dy, and F."""
    own = theirs = torch.zeros((), dtype=x.dtype)
    for (weights, mdp), logits in zip(induced_processes(oracle, x), copies.logits, strict=True):
        copy, gamma = copy_policy(logits, mdp), mdp.follower_discount
        visited = visits(mdp, copy, gamma)
        same = mdp.leader_discount == gamma
        led = visited if same else visits(mdp, copy, mdp.leader_discount)
        own = own + (weights * expected_return(mdp, copy, mdp.leader_reward, led)).sum()
        theirs = theirs + (weights * expected_return(mdp, copy, regularised_reward(mdp, copy, oracle.temperature), visited)).sum()
        oracle.charge(factorisations=(1 if same else 2) * len(weights), linear_solves=(3 if same else 4) * len(weights))
    ahead = derivatives(own, [x], again=True) if x.requires_grad else [x]
    return [*ahead, *derivatives(theirs, copies.logits)], float(own.detach())
