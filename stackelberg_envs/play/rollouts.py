"""Playing a batch of episodes of a process with tables.

Every random choice maps a uniform variate through cumulative probabilities (`stackelberg_envs.processes.inverse_cdf`), so a PettingZoo
episode and a batched rollout that are fed the same variates visit the same states; a test says equal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..processes.arrays import COMPILED, Array, array_namespace
from ..processes.inverse_cdf import cumulative, inverse_cdf
from ..processes.mdp import MDP
from ..processes.philox import Philox
from .trajectories import Trajectories


def simulate(
    mdp: MDP,
    policy: Array,
    states: Array,
    noise: np.random.Generator | Philox | Callable[[int, Array], Array],
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
            action, the follower's action, and the next state.  A generator gives them as they come.  `Philox` gives each episode noise of
            its own, the same on every device.  Of either, numba (if it is installed) runs the loop: see `stackelberg_envs.play.compiled`
            and `stackelberg_envs.play.compiled_philox`.
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
    successors, kernel, row_of = mdp.kernel.cumulative_successors()
    nodes = (mdp.kernel.stage_size or s_count) * a_count
    shared = len(successors) // nodes
    limits = xp.zeros_like(states) + horizon
    if COMPILED and isinstance(noise, np.random.Generator | Philox) and isinstance(states, np.ndarray) and isinstance(policy, np.ndarray):
        stage, first_actions = (
            mdp.kernel.stage_size,
            np.zeros(0, dtype=np.int64) if actions is None else np.asarray(actions, dtype=np.int64),
        )
        rewards = np.ravel(mdp.leader_reward), np.ravel(mdp.follower_reward)
        if isinstance(noise, Philox):
            from . import compiled_philox

            tables = leader, follower, kernel, successors
            return compiled_philox.simulate(tables, mdp.sizes, row_of, stage, rewards, states, limits, first_actions, noise)
        from . import compiled

        steps = compiled.roll_out(leader, follower, kernel, successors, row_of, stage, states, limits, first_actions, noise)
        return Trajectories(*compiled.pad_trajectories(*steps, states, mdp.sizes, *rewards))
    if isinstance(noise, np.random.Generator):
        generator = noise
        noise = lambda t, rows: xp.asarray(generator.random((len(rows), 3)), dtype=leader.dtype, device=leader.device)  # noqa: E731
    (rows,) = xp.nonzero((states < s_count) & (limits > 0))
    s, t, played = states[rows], 0, []
    row_of = xp.asarray(row_of, device=leader.device)
    while rows.shape[0] > 0:
        u = noise(t, rows)
        node = s if a_count == 1 else s * a_count + inverse_cdf(leader[s], u[:, 0])
        b = inverse_cdf(follower[node], u[:, 1]) if actions is None or t > 0 else actions[rows]
        row, node = (node if nodes == len(follower) else node % nodes) * shared + row_of[b], node * b_count + b
        arrived = mdp.kernel.arrivals(s, successors[row, inverse_cdf(kernel[row], u[:, 2])])
        played.append((rows, node, arrived))
        t += 1
        going = (arrived < s_count) & (limits[rows] > t)
        rows, s = rows[going], arrived[going]
    return _pad(mdp, states, played)


def _pad(mdp: MDP, first: Array, played: list[tuple[Array, Array, Array]]) -> Trajectories:
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
