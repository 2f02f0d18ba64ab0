"""Playing a process: the one kernel by which states move, for a single step and for a batch of episodes alike.

Noise is data.  Every random choice maps a uniform variate through cumulative probabilities (`stackelberg_envs.mdp.pick`), so a
PettingZoo episode and a batched rollout that are fed the same variates visit the same states.
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
    s_count = mdp.sizes[0]
    leader, follower, kernel = cumulative(mdp.leader_policy), cumulative(policy), cumulative(mdp.transition)
    state = pick(cumulative(mdp.initial), initial_noise)
    states, leads, follows, leader_rewards, follower_rewards, alive = [state], [], [], [], [], []
    for t in range(noise.shape[1]):
        playing = state < s_count
        s = xp.where(playing, state, 0)
        a = pick(leader[s], noise[:, t, 0])
        b = pick(follower[s, a], noise[:, t, 1])
        successor = pick(kernel[s, a, b], noise[:, t, 2])
        leads.append(xp.where(playing, a, 0))
        follows.append(xp.where(playing, b, 0))
        leader_rewards.append(xp.where(playing, mdp.leader_reward[s, a, b], 0.0))
        follower_rewards.append(xp.where(playing, mdp.follower_reward[s, a, b], 0.0))
        alive.append(playing)
        state = xp.where(playing, successor, s_count)
        states.append(state)
    return Trajectories(
        states=xp.stack(states, axis=1),
        leader_actions=xp.stack(leads, axis=1),
        follower_actions=xp.stack(follows, axis=1),
        leader_rewards=xp.stack(leader_rewards, axis=1),
        follower_rewards=xp.stack(follower_rewards, axis=1),
        alive=xp.stack(alive, axis=1),
    )


def discounted(rewards: Array, discount: float) -> Array:
    """sum_t discount^t rewards[..., t], shape (...)."""
    xp = array_namespace(rewards)
    weights = xp.asarray(discount ** np.arange(rewards.shape[-1]), dtype=rewards.dtype, device=rewards.device)
    return xp.sum(rewards * weights, axis=-1)
