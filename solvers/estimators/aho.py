"""AHO: the hypergradient from advantages and reward gradients under the current policy, without a Hessian or a converged follower.

Saxena, Gaur, Aggarwal, 2026, arXiv 2607.28849.  The paper has no code and no experiments, and was not at hand: this follows the formula as
our notes state it, for design games whose leader sets rewards and nothing else.  With g the follower's policy of the moment::

    W(s,b) = d_x r(s,b) + gamma E U(s'),   U(s) = sum_b g(b|s) W(s,b)          r the incentive; d_x Q and d_x V with g held fixed
    dF/dx  ~ - E sum_h gamma_L^h d_x cost(s_h,b_h)                             the direct part
             + (1/tau) E sum_h gamma_L^h A_L(s_h,b_h) (W - U)(s_h,b_h)         the response part, A_L the leader's advantages

**Where the follower has converged** this is the hypergradient.  tau log g = Q - V gives tau d log g = dQ - dV, and V = tau log sum exp(Q /
tau) gives dV = sum_b g dQ, so that dQ = W and dV = U; and dF/dx through g is E sum gamma_L^h A_L d log g.  **Where it has not**, it is
what a response softmax(Q^g / tau) would have for a derivative, evaluated along g: its error is of the order of the follower's gap
(``tests/test_aho.py`` has the formula, the estimates and the error of followers who have not converged).

The same expectation is that of HPGD with geometric horizons, `solvers.estimators.geometric`, and its walks are used.  What differs is how
A_L and W - U are sampled.  There, plain sums stop at a time that survives each step with probability gamma.  Here, as in Zhang, Koppel,
Zhu, Basar, SIAM J. Control Optim. 2020, half of the discount weighs steps and the other half stops the walk::

    W(s,b) = E sum_{t < T} gamma^(t/2) d_x r(s_t,b_t),    Pr(T > t) = gamma^(t/2),    s_0, b_0 = s, b

which bounds a sample by 1 / (1 - gamma^(1/2)) and makes walks about twice as long.  That a paper which sums *discounted* gradients over a
*geometric* horizon means this is our reading; ``share=0`` is HPGD's way, number for number.

Algorithm, for each of N samples:

1. an episode from the start, stopped after h steps with probability (1 - gamma_L) gamma_L^h: its last step is (s, b), and what it paid is
   the direct part
2. A_L: leader rewards of a walk from (s, b) less those of one from s, weighted by gamma_L^(k t), with geometric times of their own
3. W - U: visits of a walk from (s, b) less those of one from s, weighted by gamma^(k t), with geometric times of their own
4. dF/dx: the mean of 1 and of the products of 2 and 3, over (1 - gamma_L) tau; one vector-Jacobian product of r and one of the cost

The leader starts walks where it likes (RESET).  Walks of 2 and 3 are independent, so that the mean has no bias.

Assumptions: a leader that sets rewards, knows their derivatives, and neither acts nor moves the dynamics; soft followers, each in a world
of its own, at a known temperature; discounts below 1; a return that is a sum over steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle, Permission

from ..ascent import Estimate, Estimator
from ..needs import needs_incentives
from .geometric import geometric_tables
from .visits import incentive_parts


@dataclass(frozen=True)
class AHO(Estimator):
    """Sampled dF/dx by the current policy (INCENTIVE + RESET).

    Args:
        samples: how many pairs (s, b), with four walks each.
        share: k, the share of a discount that weighs steps, in [0, 1); the rest stops walks.
    """

    access: ClassVar[Access] = Access.INCENTIVE
    permissions: ClassVar[Permission] = Permission.RESET
    samples: int = 300
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 <= self.share < 1:
            raise ValueError(f"aho needs samples from 1 and a share in [0, 1), got {self!r}")

    def declines(self, oracle: Oracle) -> str | None:
        if (reason := needs_incentives("aho", oracle)) is not None:
            return reason
        if not max(oracle.leader_discount, *oracle.follower_discounts) < 1:
            return "aho walks for geometric times, which needs discounts below 1"
        return None

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        context, tables = geometric_tables(oracle, x.detach().cpu().numpy(), self.samples, rng, share=self.share)
        direct, response = incentive_parts(oracle, x, context, tables)
        return Estimate(direct + response, direct=direct, response=response)
