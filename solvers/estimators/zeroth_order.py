"""Two-point zeroth-order gradient estimate, from returns alone.

Nesterov and Spokoiny, "Random gradient-free minimization of convex functions", FoCM 2017; used as a baseline by Thoma et al., NeurIPS
2024, whose float32 quotient loses all digits at small radii (here everything is float64)::

    Z ~ N(0, I) ;   g = Z (F(x + u Z) - F(x)) / u            forward
                    g = Z (F(x + u Z) - F(x - u Z)) / (2 u)   antithetic

Either takes two commitments.  E g is the gradient of F smoothed by N(0, u^2 I).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle

from ..ascent import Estimate, Estimator
from ..needs import needs_paid_steps


@dataclass(frozen=True)
class ZerothOrder(Estimator):
    """dF/dx from two returns (RETURN).

    Args:
        radius: u at the first iteration.
        decay: whether u falls as radius/k, as published; else it stays.
        antithetic: whether the second point is x - uZ instead of x.
        episodes: returns are means over so many sampled episodes; None for expected returns, as published.
        one_context: compare the expected returns of both points in one context, drawn by nature at each iteration, as published.
    """

    access: ClassVar[Access] = Access.RETURN
    tabular: ClassVar[bool] = False
    radius: float = 0.1
    decay: bool = False
    antithetic: bool = True
    episodes: int | None = None
    one_context: bool = False

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise ValueError(f"radius is positive, got {self.radius}")
        if self.episodes is not None and self.episodes < 1:
            raise ValueError(f"episodes is at least 1, or None for expected returns, got {self.episodes}")
        if self.one_context and self.episodes is not None:
            raise ValueError("one_context compares expected returns; it does not go with episodes")

    def declines(self, oracle: Oracle) -> str | None:
        return None if self.episodes is None else needs_paid_steps("zeroth_order with episodes", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: int | None, rng: np.random.Generator) -> Estimate:
        k = (memory or 0) + 1
        u = self.radius / k if self.decay else self.radius
        z = rng.normal(size=tuple(x.shape))
        here = x.detach().cpu().numpy()
        points = here + u * z, here - u * z if self.antithetic else here
        if self.one_context:
            up, down = oracle.returns_in_one_context(points)
        else:
            up, down = (oracle.returns(point, episodes=self.episodes) for point in points)
        slope = (up - down) / (2 * u if self.antithetic else u)
        return Estimate(torch.as_tensor(slope * z, dtype=x.dtype, device=x.device), k)
