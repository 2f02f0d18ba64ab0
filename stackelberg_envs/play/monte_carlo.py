"""Monte Carlo: the episodes by which worlds without tables and closed forms are scored, and discounted returns."""

from __future__ import annotations

import numpy as np

from ..processes.arrays import Array, array_namespace
from ..processes.sampled import Actor, SampledDynamics
from .sampled_rollouts import play_sampled
from .trajectories import Trajectories

REFEREE_EPISODES = 2000
"""Episodes by which a world without closed forms is scored, always with the same noise."""


def monte_carlo(
    process: SampledDynamics, policy: Actor, horizon: int, *, episodes: int = REFEREE_EPISODES, seed: int = 0
) -> tuple[Trajectories, int]:
    """Episodes by which a policy is scored, (N, T), and N; the same noise for every commitment (common random numbers).

    Raises:
        ValueError: for a batch of commitments.
    """
    if process.tables and getattr(process, process.tables[0]).ndim > process.rank:
        raise ValueError(f"{type(process).__name__} is scored by playing: one commitment at a time")
    rng = np.random.default_rng([seed, 0x5A3D1E])
    return play_sampled(process, policy, process.start(process.uniforms(rng, (episodes, process.noise.start))), rng, horizon), episodes


def discounted_return(rewards: Array, discount: float) -> Array:
    """Sums of rewards (..., T), the later ones discounted: (...)."""
    xp = array_namespace(rewards)
    return xp.sum(rewards * discount ** xp.arange(rewards.shape[-1], dtype=rewards.dtype, device=rewards.device), axis=-1)
