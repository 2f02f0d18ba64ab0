"""Playing a process, by single steps (`Sampler`) or a batch of episodes (`simulate`), from the same cumulative tables.

Noise is data.  Every random choice maps a uniform variate through cumulative probabilities (`stackelberg_envs.mdp.pick`), so a
PettingZoo episode and a batched rollout that are fed the same variates visit the same states; a test says equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from array_api_compat import array_namespace

from .mdp import Array, InducedMDP, cumulative, pick


@dataclass(frozen=True)
class Sampler:
    """Cumulative tables of one process, computed once a commitment; single steps take and return Python integers.

    The state after the end, and before the start, is S.
    """

    mdp: InducedMDP

    @cached_property
    def _initial(self) -> np.ndarray:
        return cumulative(np.asarray(self.mdp.initial))

    @cached_property
    def _leader(self) -> np.ndarray:
        return cumulative(np.asarray(self.mdp.leader_policy))

    @cached_property
    def _transition(self) -> np.ndarray:
        return cumulative(np.asarray(self.mdp.transition))

    def initial(self, u: float) -> int:
        """First state."""
        return int(self._initial.searchsorted(u, side="right"))

    def leader_action(self, s: int, u: float) -> int:
        """The leader's action by its own policy."""
        return int(self._leader[s].searchsorted(u, side="right"))

    def step(self, s: int, a: int, b: int, u: float) -> tuple[int, float, float]:
        """(next state, follower reward, leader reward)."""
        successor = int(self._transition[s, a, b].searchsorted(u, side="right"))
        return successor, float(self.mdp.follower_reward[s, a, b]), float(self.mdp.leader_reward[s, a, b])


@dataclass(frozen=True)
class Trajectories:
    """N episodes of one process, padded to T steps; what lies behind an episode's end has ``alive`` False, state S and reward 0."""

    states: Array
    """State at which step t is taken, integers (N, T + 1); the last column is where the episode stood when it was cut."""
    leader_actions: Array
    """(N, T) integers."""
    follower_actions: Array
    """(N, T) integers."""
    leader_rewards: Array
    """(N, T)."""
    follower_rewards: Array
    """(N, T)."""
    alive: Array
    """(N, T) booleans: step t was played."""


def simulate(mdp: InducedMDP, policy: Array, initial_noise: Array, noise: Array) -> Trajectories:
    """Play N episodes at once.

    Args:
        mdp: the process, tables without batch axes.
        policy: g(b|s,a), (S, A, B).
        initial_noise: uniforms (N,) for the first states.
        noise: uniforms (N, T, 3): for the leader's action, the follower's action, and the next state of each step.
    """
    xp = array_namespace(policy, noise)
    end = mdp.sizes[0]
    leader, follower, kernel = cumulative(mdp.leader_policy), cumulative(policy), cumulative(mdp.transition)
    episodes, horizon = noise.shape[:2]
    integers, reals = (episodes, horizon), {"dtype": mdp.leader_reward.dtype, "device": noise.device}
    states = xp.full((episodes, horizon + 1), end, dtype=xp.int64, device=noise.device)
    states[:, 0] = pick(cumulative(mdp.initial), initial_noise)
    leads = xp.zeros(integers, dtype=xp.int64, device=noise.device)
    follows = xp.zeros(integers, dtype=xp.int64, device=noise.device)
    leader_rewards, follower_rewards = xp.zeros(integers, **reals), xp.zeros(integers, **reals)
    for t in range(horizon):
        (playing,) = xp.nonzero(states[:, t] < end)
        if playing.shape[0] == 0:
            break
        s, u = states[playing, t], noise[playing, t]
        a = pick(leader[s], u[:, 0])
        b = pick(follower[s, a], u[:, 1])
        states[playing, t + 1] = pick(kernel[s, a, b], u[:, 2])
        leads[playing, t], follows[playing, t] = a, b
        leader_rewards[playing, t] = mdp.leader_reward[s, a, b]
        follower_rewards[playing, t] = mdp.follower_reward[s, a, b]
    return Trajectories(states, leads, follows, leader_rewards, follower_rewards, states[:, :-1] < end)
