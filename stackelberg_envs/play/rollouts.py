"""Playing a process, by single steps (`Sampler`) or a batch of episodes (`simulate`), from the same cumulative tables.

Noise is data.  Every random choice maps a uniform variate through cumulative probabilities (`stackelberg_envs.processes.mdp.pick`), so a
PettingZoo episode and a batched rollout that are fed the same variates visit the same states; a test says equal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec

import numpy as np
from array_api_compat import array_namespace

from ..processes.markov_game import Process
from ..processes.mdp import Array, InducedMDP, cumulative, drawn_lists, pick, row_index

FUSED = find_spec("numba") is not None and os.environ.get("STACKELBERG_COMPILED", "1") != "0"
"""Whether loops run compiled where they can: if numba is installed, and STACKELBERG_COMPILED=0 is not set."""


@dataclass(frozen=True)
class Sampler:
    """Cumulative tables of one process, computed once a commitment; single steps take and return Python integers.

    The state after the end is S.  For worlds without tables `stackelberg_envs.play.sampled_rollouts.SampledSampler` has the same methods.
    """

    process: Process

    @cached_property
    def _initial(self) -> np.ndarray:
        return cumulative(np.asarray(self.process.initial))

    @cached_property
    def _leader(self) -> np.ndarray:
        return cumulative(np.asarray(self.process.leader_policy))

    @cached_property
    def _transition(self) -> tuple[np.ndarray, np.ndarray]:
        return drawn_lists(self.process.transition)

    @cached_property
    def _rows(self) -> np.ndarray:
        return row_index(self.process.transition)

    @property
    def leads(self) -> bool:
        """Whether the leader acts in a step."""
        return self.process.sizes[1] > 1

    def over(self, s: int) -> bool:
        """Whether a state is the end."""
        return s == self.process.sizes[0]

    def initial(self, rng: np.random.Generator) -> int:
        """First state."""
        return int(self._initial.searchsorted(rng.random(), side="right"))

    def leader_action(self, s: int, rng: np.random.Generator) -> int:
        """The leader's action by its own policy."""
        return int(self._leader[s].searchsorted(rng.random(), side="right"))

    def step(self, s: int, a: int, actions: Sequence[int], rng: np.random.Generator) -> tuple[int, tuple[float, ...], float]:
        """(next state, rewards of the followers in this process, leader reward), given one action of each of them."""
        u = rng.random()
        b = 0
        for action, count in zip(actions, self.process.actions, strict=True):
            b = b * count + action
        successors, kernel = self._transition
        s_count, a_count, _ = self.process.sizes
        row = (s * a_count + a) * (len(successors) // (s_count * a_count)) + self._rows[b]
        successor = int(successors[row, kernel[row].searchsorted(u, side="right")])
        paid = tuple(float(reward) for reward in self.process.follower_rewards[:, s, a, b])
        return successor, paid, float(self.process.leader_reward[s, a, b])


@dataclass(frozen=True)
class Trajectories:
    """N episodes of one process, padded to the T steps of the longest; behind an episode's end ``alive`` is False, and the state S."""

    states: Array
    """State at which step t is taken, integers (N, T + 1); after the last step, where the episode stood when it was cut, or S."""
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

    def parts(self, process: Process) -> tuple[Trajectories, ...]:
        """Of joint actions in ``process`` (NumPy tables), what each follower did and earned; the leader is paid once, with the first."""
        if len(process.actions) == 1:
            return (self,)
        each = np.unravel_index(self.follower_actions, process.actions)
        s = np.where(self.alive, self.states[:, :-1], 0)
        earned = np.where(self.alive, process.follower_rewards[:, s, self.leader_actions, self.follower_actions], 0.0)
        none = np.zeros_like(self.leader_rewards)
        return tuple(
            replace(self, follower_actions=own, follower_rewards=earned[i], leader_rewards=self.leader_rewards if i == 0 else none)
            for i, own in enumerate(each)
        )


def simulate(
    mdp: InducedMDP,
    policy: Array,
    states: Array,
    noise: np.random.Generator | Callable[[int, Array], Array],
    horizon: int | Array,
    *,
    actions: Array | None = None,
) -> Trajectories:
    """Play N episodes at once.

    Args:
        mdp: the process, tables without batch axes.
        policy: g(b|s,a), (S, A, B); rows sum to 1.
        states: first states, integers (N,); S plays nothing.
        noise: ``noise(t, rows)`` gives the uniforms (n, 3) of step t for the n episodes ``rows`` that still run: for the leader's
            action, the follower's action, and the next state.  A generator gives them as it comes, and then numba (if it is installed)
            runs the loop: see `stackelberg_envs.play.compiled`.
        horizon: steps after which an episode is cut; an integer or integers (N,).
        actions: first actions of the follower, integers (N,); drawn from ``policy`` if not given.

    Raises:
        ValueError: if a row of a policy does not sum to 1.
    """
    xp = array_namespace(policy)
    s_count, a_count, b_count = mdp.sizes
    leader = cumulative(mdp.leader_policy)
    follower = xp.reshape(cumulative(policy), (s_count * a_count, b_count))
    for whose, table in (("leader's", leader), ("follower's", follower)):
        if not bool(xp.all(table[..., -1] == 1)):
            raise ValueError(f"the {whose} policy has rows that do not sum to 1")
    successors, kernel = drawn_lists(mdp.transition)
    row_of = row_index(mdp.transition)
    shared = len(successors) // (s_count * a_count)
    limits = xp.zeros_like(states) + horizon
    if isinstance(noise, np.random.Generator):
        generator = noise
        if FUSED and isinstance(states, np.ndarray) and isinstance(policy, np.ndarray):
            from . import compiled as fused

            first_actions = np.zeros(0, dtype=np.int64) if actions is None else np.asarray(actions, dtype=np.int64)
            steps = fused.walk(leader, follower, kernel, successors, row_of, states, limits, first_actions, generator)
            rewards = np.ravel(mdp.leader_reward), np.ravel(mdp.follower_reward)
            return Trajectories(*fused.lay_out(*steps, states, mdp.sizes, *rewards))
        noise = lambda t, rows: xp.asarray(generator.random((len(rows), 3)), dtype=leader.dtype, device=leader.device)  # noqa: E731
    (rows,) = xp.nonzero((states < s_count) & (limits > 0))
    s, t, played = states[rows], 0, []
    row_of = xp.asarray(row_of, device=leader.device)
    while rows.shape[0] > 0:
        u = noise(t, rows)
        node = s if a_count == 1 else s * a_count + pick(leader[s], u[:, 0])
        b = pick(follower[node], u[:, 1]) if actions is None or t > 0 else actions[rows]
        row, node = node * shared + row_of[b], node * b_count + b
        arrived = successors[row, pick(kernel[row], u[:, 2])]
        played.append((rows, node, arrived))
        t += 1
        going = (arrived < s_count) & (limits[rows] > t)
        rows, s = rows[going], arrived[going]
    return _laid_out(mdp, states, played)


def _laid_out(mdp: InducedMDP, first: Array, played: list[tuple[Array, Array, Array]]) -> Trajectories:
    """Played steps (episodes, node, next state), one entry a time step, as padded arrays."""
    xp = array_namespace(mdp.leader_reward)
    s_count, a_count, b_count = mdp.sizes
    shape, device = (first.shape[0], max(1, len(played))), mdp.leader_reward.device
    states = xp.full((shape[0], shape[1] + 1), s_count, dtype=xp.int64, device=device)
    states[:, 0] = first
    leads, follows = xp.zeros(shape, dtype=xp.int64, device=device), xp.zeros(shape, dtype=xp.int64, device=device)
    paid, earned = (xp.zeros(shape, dtype=mdp.leader_reward.dtype, device=device) for _ in range(2))
    alive = xp.zeros(shape, dtype=xp.bool, device=device)
    if played:
        rows, node, arrived = (xp.concat(column) for column in zip(*played, strict=True))
        times = xp.repeat(xp.arange(len(played), device=device), xp.asarray([len(step[0]) for step in played], device=device))
        at = rows * shape[1] + times
        states[rows, times + 1] = arrived
        for table, values in (
            (leads, node // b_count % a_count),
            (follows, node % b_count),
            (paid, xp.take(xp.reshape(mdp.leader_reward, (-1,)), node)),
            (earned, xp.take(xp.reshape(mdp.follower_reward, (-1,)), node)),
            (alive, True),
        ):
            xp.reshape(table, (-1,))[at] = values
    return Trajectories(states, leads, follows, paid, earned, alive)
