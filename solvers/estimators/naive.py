"""The naive gradient: the leader's exact policy or design gradient with the follower's response held fixed.

This is what a leader ascends that treats its followers as part of the weather.  They answer anew after every step, so it is not stuck,
but it never sees that they will: on toy3 its gradient has the wrong sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle

from ..ascent import Estimate, Estimator
from ..needs import needs_smooth_followers
from .implicit import exact_gradient


@dataclass(frozen=True)
class Naive(Estimator):
    """Exact dF/dx without the reaction of the followers (MODEL)."""

    access: ClassVar[Access] = Access.MODEL
    tabular: ClassVar[bool] = False
    signals: ClassVar[bool] = True
    crowds: ClassVar[bool] = True

    def declines(self, oracle: Oracle) -> str | None:
        return needs_smooth_followers("naive", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        return exact_gradient(oracle, x, memory, reaction=False)
