"""Scores of worlds without tables: exact where there are closed forms, else over the referee's episodes."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace
from gymnasium.spaces import Discrete

from ..processes.mdp import Array
from ..processes.sampled import NO_TEMPERATURE, Actor, SampledProcess
from .rollouts import Trajectories
from .sampled_rollouts import play_sampled

REFEREE_EPISODES = 2000
"""Episodes by which a world without closed forms is scored, always with the same noise."""
GAP_STEPS = 250_000
"""About how many steps are played for an estimate of a gap, which takes long episodes."""


def monte_carlo(
    process: SampledProcess, policy: Actor, horizon: int, *, episodes: int = REFEREE_EPISODES, seed: int = 0
) -> tuple[Trajectories, int]:
    """Episodes by which a policy is scored, (N, T), and N; the same noise for every commitment (common random numbers).

    Raises:
        ValueError: for a batch of commitments.
    """
    if process.tables and getattr(process, process.tables[0]).ndim > process.rank:
        raise ValueError(f"{type(process).__name__} is scored by playing: one commitment at a time")
    rng = np.random.default_rng([seed, 0x5A3D1E])
    return play_sampled(process, policy, process.start(process.uniforms(rng, (episodes, process.noise.start))), rng, horizon), episodes


def discounted(rewards: Array, discount: float) -> Array:
    """Sums of rewards (..., T), the later ones discounted: (...)."""
    xp = array_namespace(rewards)
    return xp.sum(rewards * discount ** xp.arange(rewards.shape[-1], dtype=rewards.dtype, device=rewards.device), axis=-1)


def expected_return(process: SampledProcess, policy: Actor, horizon: int, discount: float, *, seed: int = 0) -> Array:
    """The leader's expected return: exact where there is a closed form, (...), else the mean over played episodes.

    The referee's have seed 0; who learns from returns is given others, so that it does not fit the referee's luck.
    """
    if process.solves(policy):
        return process.leader_return(policy, horizon, discount)
    played, _ = monte_carlo(process, policy, horizon, seed=seed)
    return array_namespace(played.leader_rewards).mean(discounted(played.leader_rewards, discount), axis=-1)


def by_playing(
    process: SampledProcess, policy: Actor, temperature: float, horizon: int, discount: float | None
) -> tuple[float, float, float, float, float]:
    """Scores of one commitment over the referee's episodes.

    Returns:
        Leader return, its standard error, the follower's plain return, its objective and its gap (NaN where the optimum is not known).
    """
    played, episodes = monte_carlo(process, policy, horizon)
    returns = discounted(played.leader_rewards, process.leader_discount if discount is None else discount)
    own = discounted(played.follower_rewards, process.follower_discount)
    spread = float(array_namespace(returns).std(returns, correction=1))
    return float(returns.mean()), spread / episodes**0.5, float(own.mean()), *_estimated_gap(process, policy, temperature)


def _estimated_gap(process: SampledProcess, policy: Actor, temperature: float) -> tuple[float, float]:
    """The follower's own objective over (as good as) infinitely many steps, and what it lacks of the optimum, by the referee's episodes.

    The mean of V(s_0,a_0) - (what was earned), V the value of the best answer, which takes the luck of the start out.  The entropy bonus
    takes the policy's density; of a policy without one plain rewards are compared, with the optimum of those.
    """
    if process.soft_response is None:
        return float("nan"), float("nan")
    density = getattr(policy, "log_density", None)
    tau = 0.0 if density is None else temperature
    _, value, _ = process.soft_response(max(tau, NO_TEMPERATURE))
    steps = math.ceil(math.log(1e-4) / math.log(process.follower_discount))
    played, _ = monte_carlo(process, policy, steps, episodes=min(REFEREE_EPISODES, max(100, GAP_STEPS // steps)))
    rewards = played.follower_rewards
    if density is not None:
        rewards = rewards - tau * density(played.states[..., :-1, :], played.leader_actions, played.follower_actions)
    own = discounted(rewards, process.follower_discount)
    gap = float((value(played.states[..., 0, :], played.leader_actions[..., 0, :]) - own).mean())
    return float(own.mean()), max(gap, 0.0)


def fingerprint(process: SampledProcess, count: int = 64) -> np.ndarray:
    """What a process does in a few steps with fixed noise, whose rewards depend on all its constants: for telling worlds apart."""
    rng = np.random.default_rng(0xF16E2)
    s = process.start(rng.random((count, process.noise.start)))
    seen = [s]
    for _ in range(3):
        a = process.lead(s, rng.random((count, process.noise.lead)))
        if isinstance(process.follower_action, Discrete):
            b = rng.integers(process.follower_action.n, size=count)
        else:
            b = np.clip(rng.normal(size=(count, *process.follower_action.shape)), process.follower_action.low, process.follower_action.high)
        arrived, ended = process.step(s, a, b, rng.random((count, process.noise.step)))
        earned, paid = process.rewards(s, a, b, arrived)
        seen += [a, arrived, ended, earned, paid]
        s = arrived
    return np.concatenate([np.ravel(np.asarray(values, dtype=np.float64)) for values in seen])
