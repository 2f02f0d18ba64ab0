"""Bi-AC: an actor whose critic assumes that both players answer one another, stage by stage.

Zhang, Chen, Huang, Li, Yang, Zhang, Wang, "Bi-Level Actor-Critic for Multi-Agent Coordination", AAAI 2020, arXiv 1909.03510, in the
form in which Kudo et al., ICAPS 2026, arXiv 2603.14867, use it as a baseline; tabular instead of nets::

    Q(s,a,b) <- E[ r_L + gamma_L max_a' Q(s', a', b*(s',a')) ],     b*(s,a) = argmax_b g(b|s,a), the mode of the follower's policy
    d_x F ~ 1/N sum_episodes sum_t gamma_L^t d_x log pi(a_t|s_t) A(s_t,a_t,b_t)
    A(s,a,b) = Q(s,a,b) - sum_a' pi(a'|s) Q(s,a',b)

The backup is the Stackelberg equilibrium of the stage game, with the leader free to choose anew at each state: what it is worth to play on
as if nothing had been promised.  The actor has the direct policy gradient alone.  So the follower's reaction to the commitment, which
decides what later states are worth, is nowhere.

1. play N episodes, and add their transitions to the pooled counts of all commitments so far
2. read the follower's policy; sweep Q over the pairs seen so far, from its last values, the end being worth 0
3. the direct policy gradient with this critic; `solvers.ascent` does the rest

Differences.  The first paper trains centrally: it learns the follower's Q as well, takes b* from that, and moves the follower's actor;
here, as with Kudo et al., the follower optimises itself and b* is read off it (POLICY).  They fit nets to batches of 64 from a buffer
that holds all transitions, with target networks, and their actor samples with probability proportional to gamma_L^t; the pooled
empirical model, and the sum over steps, are what this samples from.  A pair never seen keeps the value 0.  Their followers see the
leader's action; one that sees the policy only has the same b*(s) for all a.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.processes.transitions import expect

from ..ascent import Estimate, Estimator
from ..inference.model import Counts
from ..needs import needs_acting_leader, needs_dense_tables, needs_public_actions
from .reaction import naive_estimate


@dataclass(frozen=True)
class BiAC(Estimator):
    """Direct policy gradient with a critic that backs up stage-game Stackelberg equilibria (POLICY); one follower, one context.

    Args:
        episodes: N, played under each commitment.
        sweeps: of the critic, at each iteration.
    """

    access: ClassVar[Access] = Access.POLICY
    episodes: int = 9
    sweeps: int = 20

    def __post_init__(self) -> None:
        if self.episodes < 1 or self.sweeps < 1:
            raise ValueError(f"biac needs episodes and sweeps from 1, got {self!r}")

    def declines(self, oracle: Oracle) -> str | None:
        return needs_acting_leader("biac", oracle) or needs_public_actions("biac", oracle) or needs_dense_tables("biac", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: tuple[Counts, np.ndarray] | None, rng: np.random.Generator) -> Estimate:
        here, sizes = x.detach().cpu().numpy(), oracle.sizes[0]
        counts, Q = (Counts.zeros(sizes), np.zeros(sizes)) if memory is None else memory
        seen = oracle.play(here, episodes=self.episodes)
        counts, _ = counts.add_outcome(seen, 0.0)  # 1
        (answer,) = oracle.policies(here)
        Q = evaluate_by_sweeps(counts, Q, answer, oracle.leader_discount, self.sweeps)  # 2
        leaf = x.detach().clone().requires_grad_()
        log_pi = oracle.log_leader_policy(leaf)
        advantage = Q - np.einsum("sa,sab->sb", np.exp(log_pi.detach().cpu().numpy()), Q)[:, None]
        alive = seen.alive[:, 0]
        at = seen.states[:, 0, :-1][alive], seen.leader_actions[:, 0][alive], seen.follower_actions[:, 0][alive]
        discounted = np.broadcast_to(oracle.leader_discount ** np.arange(alive.shape[1]), alive.shape)[alive]
        weights = np.zeros(sizes[:2])
        np.add.at(weights, at[:2], discounted * advantage[at] / self.episodes)
        (gradient,) = torch.autograd.grad((log_pi * torch.as_tensor(weights, dtype=x.dtype, device=x.device)).sum(), leaf)  # 3
        return naive_estimate(gradient, (counts, Q))


def evaluate_by_sweeps(counts: Counts, start: np.ndarray, answer: np.ndarray, discount: float, sweeps: int) -> np.ndarray:
    """The leader's stage-game action values (S, A, B) after so many more sweeps over the triples that were seen; the others keep 0.

    Args:
        counts: what was seen.
        start: values to begin with.
        answer: the follower's policy g(b|s,a), (S, A, B).
        discount: gamma_L.
        sweeps: how many.
    """
    transition, reward = counts.moves[..., :-1] / np.maximum(counts.visits, 1)[..., None], counts.leader_reward()
    Q, mode = start, answer.argmax(-1)[..., None]
    for _ in range(sweeps):
        Q = reward + discount * expect(transition, np.take_along_axis(Q, mode, -1)[..., 0].max(-1))
    return Q
