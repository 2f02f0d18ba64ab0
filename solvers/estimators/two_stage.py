"""Two-stage reward learning: gather data once, fit to it, then commit to the fit.

The classical pipeline of learning from preferences, and the offline baseline of bilevel methods: the followers answer the first commitment
x_0, and F is maximised as if they always would::

    g_0 = the response to x_0          x <- x + lr d_x F(what is faced under x, g_0)

From x_0 = 0 in the game ``preference`` every trajectory is as likely, F is concave, and this is maximum likelihood from an offline data
set of uniform play (with ``objective="likelihood"``; a return does not depend on w but by the response, and nothing moves).

It takes no notice of how the data would change.  `solvers.estimators.naive` differentiates the same F with the same frozen response, but
asks for it again at every step: the iterated version, after Christiano, Leike, Brown, Martic, Legg, Amodei, "Deep Reinforcement Learning
from Human Preferences", NeurIPS 2017, in expectation and forgetting older data.  `implicit` differentiates through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle

from ..ascent import Estimate, Estimator
from ..needs import needs_derivatives
from .reaction import gradient_in_x, naive_estimate


@dataclass(frozen=True)
class TwoStage(Estimator):
    """d_x F with the response to the first commitment (MODEL); for any follower and objective, and one gradient step an iteration."""

    access: ClassVar[Access] = Access.MODEL

    def declines(self, oracle: Oracle) -> str | None:
        return needs_derivatives("two_stage", oracle)

    def estimate(
        self, oracle: Oracle, x: torch.Tensor, memory: list[tuple[torch.Tensor, ...]] | None, rng: np.random.Generator
    ) -> Estimate:
        if memory is None:
            answers = [oracle.policies(x, context) for context in range(len(oracle.contexts))]
            memory = [tuple(torch.as_tensor(policy, dtype=x.dtype, device=x.device) for policy in answer) for answer in answers]
        leaf = x.detach().clone().requires_grad_()
        surrogate: Any = 0.0
        for context, p in enumerate(oracle.context_probabilities):
            surrogate = surrogate + float(p) * oracle.objective(oracle.commit(leaf, context), memory[context])
        return naive_estimate(gradient_in_x(surrogate, leaf), memory)
