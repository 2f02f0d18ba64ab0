"""Episodes on counter-based noise, compiled by numba (the extra ``fast``), to the bits of `stackelberg_envs.play.rollouts.simulate`.

Every variate is a function of seed, episode and step, so a few episodes at a time are played for some steps each, in the processor's
innermost memory, and their noise is computed in its vectors.  Noise is never stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ..processes.philox import MULTIPLIERS, ROUNDS, UNIT, WEYL, Philox
from .trajectories import Trajectories

LANES = 16
"""Episodes that are played side by side."""
CHUNK = 32
"""Steps that they are played before others have their turn."""
BLOCK = 512
"""Episodes that are played to their ends before others begin."""
NARROW = 16
"""Entries of a row up to which all of them are compared; in longer ones the index is found by bisection."""
FIRST, SECOND, SHIFT, ONE = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1]), np.uint64(32), np.uint64(1)
WEYL_0, WEYL_1 = np.uint32(WEYL[0]), np.uint32(WEYL[1])


@njit(inline="always")
def philox4x32(
    c0: np.uint32, c1: np.uint32, c2: np.uint32, c3: np.uint32, k0: np.uint32, k1: np.uint32
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32]:
    """`stackelberg_envs.processes.philox.philox4x32` of one counter, in words of 32 bits."""
    for _ in range(ROUNDS):
        first, second = FIRST * np.uint64(c0), SECOND * np.uint64(c2)
        c0, c2 = np.uint32(second >> SHIFT) ^ c1 ^ k0, np.uint32(first >> SHIFT) ^ c3 ^ k1
        c1, c3 = np.uint32(second), np.uint32(first)
        k0, k1 = np.uint32(k0 + WEYL_0), np.uint32(k1 + WEYL_1)
    return c0, c1, c2, c3


@njit(inline="always")
def _inverse_cdf(cumulated: np.ndarray, row: np.uint64, width: int, u: float) -> np.uint64:
    """`stackelberg_envs.processes.inverse_cdf.inverse_cdf` for one row: how many of its entries are at most ``u``."""
    at, chosen, beyond = row * np.uint64(width), np.uint64(0), np.uint64(width)
    if width <= NARROW:  # all entries, four at a time: processors guess wrong where a loop ends that stops at the right one
        for j in range(width >> 2):
            k = at + np.uint64(4 * j)
            for step in range(4):
                chosen += np.uint64(cumulated[k + np.uint64(step)] <= u)
        for j in range(width & 3):
            chosen += np.uint64(cumulated[at + (beyond & ~np.uint64(3)) + np.uint64(j)] <= u)
        return chosen
    while chosen < beyond:
        middle = (chosen + beyond) >> ONE
        if cumulated[at + middle] <= u:
            chosen = middle + ONE
        else:
            beyond = middle
    return chosen


@njit(cache=True)
def play(
    leader: np.ndarray | None,
    tables: tuple[np.ndarray, np.ndarray, np.ndarray],
    sizes: tuple[int, int, int],
    row_of: np.ndarray,
    stage: int | None,
    begin: int,
    since: int,
    stands: np.ndarray,
    steps: np.ndarray,
    limits: np.ndarray,
    actions: np.ndarray | None,
    key: tuple[np.uint32, np.uint32],
    first_episode: np.uint64,
    chosen: np.ndarray,
    arrived: np.ndarray,
) -> None:
    """Play a block of M of N episodes, those that have not ended, from one step to another.

    What is None is left out of the loop when it is compiled.

    Args:
        leader: cumulative pi(a|s), (S, A); None where A is 1.
        tables: follower, kernel and successors, as `stackelberg_envs.play.compiled.roll_out` takes them.
        sizes: S, A, B.
        row_of: which of the R rows at (s, a) each action takes, (B,).
        stage: the number of states of a stage; None where there are none.
        begin: the block's first episode.
        since: the step from which on to play, a multiple of `CHUNK`.
        stands: where each episode stands, (N,), changed in place.
        steps: how many steps each episode has, (N,), changed in place.
        limits: steps after which an episode is cut, (N,).
        actions: first actions of the follower, (N,); None if they are drawn.
        key: the two words of the seed.
        first_episode: the number of the first of the N.
        chosen: where leader and follower action, a B + b, are written, (M, T), T the step up to which to play, a multiple of `CHUNK`.
        arrived: where next states are written, (M, T).
    """
    follows, kernels, targets = tables[0].ravel(), tables[1].ravel(), tables[2].ravel()
    s_count, a_count, b_count = np.uint64(sizes[0]), np.uint64(sizes[1]), np.uint64(sizes[2])
    stages, width = s_count if stage is None else np.uint64(stage), tables[1].shape[1]
    shared = np.uint64(tables[1].shape[0]) // (stages * a_count)
    low, high, u = np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32), np.empty((3, LANES))
    slot, state, left = np.empty(LANES, np.uint64), np.empty(LANES, np.uint64), np.empty(LANES, np.int64)
    rows, running = np.empty(chosen.shape[0], np.int64), 0
    for i in range(begin, begin + chosen.shape[0]):
        if stands[i] < sizes[0] and limits[i] > since:
            rows[running] = i
            running += 1
    while running > 0 and since < chosen.shape[1]:
        for group in range(0, running, LANES):
            count, longest = min(LANES, running - group), 0
            for lane in range(count):
                i = rows[group + lane]
                number = first_episode + np.uint64(i)
                low[lane], high[lane] = np.uint32(number), np.uint32(number >> SHIFT)
                slot[lane], state[lane], left[lane] = np.uint64(i - begin), np.uint64(stands[i]), min(limits[i] - since, CHUNK)
                longest = max(longest, left[lane])
            for q in range(longest):
                for lane in range(LANES):
                    w0, w1, w2, _ = philox4x32(np.uint32(0), np.uint32(since + q), low[lane], high[lane], key[0], key[1])
                    if leader is not None:
                        u[0, lane] = (w0 + 0.5) * UNIT
                    u[1, lane], u[2, lane] = (w1 + 0.5) * UNIT, (w2 + 0.5) * UNIT
                for lane in range(count):
                    if q >= left[lane]:
                        continue
                    s = node = state[lane]
                    if leader is not None:
                        node = s * a_count + _inverse_cdf(leader.ravel(), s, sizes[1], u[0, lane])
                    b = _inverse_cdf(follows, node, sizes[2], u[1, lane])
                    if actions is not None and since + q == 0:
                        b = np.uint64(actions[rows[group + lane]])
                    at = node if stage is None else node % (stages * a_count)
                    row = at * shared + np.uint64(row_of[b])
                    arrives = np.uint64(targets[row * np.uint64(width + 1) + _inverse_cdf(kernels, row, width, u[2, lane])])
                    if stage is not None:
                        later = s - s % stages + stages
                        arrives = later + arrives if arrives < stages and later < s_count else s_count
                    t = np.uint64(since + q)
                    chosen[slot[lane], t], arrived[slot[lane], t] = (node - s * a_count) * b_count + b, arrives
                    state[lane] = arrives
                    if arrives >= s_count:
                        left[lane] = q + 1
            for lane in range(count):
                i = rows[group + lane]
                stands[i], steps[i] = state[lane], since + left[lane]
        since += CHUNK
        going = 0
        for m in range(running):
            if stands[rows[m]] < sizes[0] and limits[rows[m]] > since:
                rows[going] = rows[m]
                going += 1
        running = going


@njit(cache=True)
def write_down(
    begin: int,
    chosen: np.ndarray,
    arrived: np.ndarray,
    steps: np.ndarray,
    sizes: tuple[int, int, int],
    rewards: tuple[np.ndarray, np.ndarray],
    padded: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Write a block of episodes into the padded arrays of `stackelberg_envs.play.trajectories.Trajectories`, in their order.

    Args:
        begin: the block's first episode.
        chosen: what `play` has written.
        arrived: likewise.
        steps: how many steps each episode has, (N,).
        sizes: S, A, B.
        rewards: of leader and follower, (S * A * B,).
        padded: arrays (N, T + 1) and (N, T), with the first states; that of the leader's actions holds zeros.
    """
    paying, earning = rewards
    states, leads, follows, paid, earned, alive = padded
    _, a_count, b_count = sizes
    for m in range(chosen.shape[0]):
        i, row, s = np.uint64(begin + m), np.uint64(m), states[begin + m, 0]
        for j in range(steps[begin + m]):
            t = np.uint64(j)
            choice, arrives = np.int64(chosen[row, t]), np.int64(arrived[row, t])
            node = np.uint64(s * (a_count * b_count) + choice)
            paid[i, t], earned[i, t], follows[i, t], alive[i, t], states[i, t + ONE] = paying[node], earning[node], choice, True, arrives
            s = arrives
        if a_count > 1:
            for j in range(steps[begin + m]):
                t = np.uint64(j)
                leads[i, t], follows[i, t] = follows[i, t] // b_count, follows[i, t] % b_count


@njit(cache=True)
def pad(steps: np.ndarray, end: int, padded: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Write what is behind the ``steps`` (N,) of each episode: the state ``end``, and nothing done or earned."""
    states, _, follows, paid, earned, alive = padded
    for i in range(steps.shape[0]):
        for t in range(steps[i], alive.shape[1]):
            paid[i, t], earned[i, t], follows[i, t], alive[i, t], states[i, t + 1] = 0, 0, 0, False, end


def simulate(
    tables: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    sizes: tuple[int, int, int],
    row_of: np.ndarray,
    stage: int,
    rewards: tuple[np.ndarray, np.ndarray],
    first: np.ndarray,
    limits: np.ndarray,
    actions: np.ndarray | None,
    noise: Philox,
) -> Trajectories:
    """`stackelberg_envs.play.rollouts.simulate` on the noise of ``noise``; `stackelberg_envs.play.compiled.roll_out` has the arguments."""
    key, number = (np.uint32(noise.key[0]), np.uint32(noise.key[1])), np.uint64(noise.first_episode)
    small = np.uint16 if max(sizes[0], sizes[1] * sizes[2]) < 2**16 else np.int64
    world = tables[0] if sizes[1] > 1 else None, tables[1:], sizes, row_of, stage or None
    n, longest, limit = len(first), 1, max(1, int(limits.max(initial=1)))
    stands, steps = first.copy(), np.zeros(n, dtype=np.int64)
    chosen, arrived = np.empty((2, min(n, BLOCK), CHUNK), dtype=small)
    padded = _room(None, 0, n, 1, limit, rewards[0].dtype)
    for begin in range(0, n, BLOCK):
        block, since = slice(begin, begin + BLOCK), 0
        chosen, arrived = chosen[: n - begin], arrived[: n - begin]
        play(*world, begin, 0, stands, steps, limits, actions, key, number, chosen, arrived)
        while ((stands[block] < sizes[0]) & (limits[block] > (since := chosen.shape[1]))).any():
            chosen, arrived = (np.concatenate([piece, np.empty_like(piece)], axis=1) for piece in (chosen, arrived))
            play(*world, begin, since, stands, steps, limits, actions, key, number, chosen, arrived)
        longest = max(longest, int(steps[block].max()))
        if longest > padded[-1].shape[1] or begin == 0:
            padded = _room(padded, begin, n, longest, limit, rewards[0].dtype)
        padded[0][block, 0] = first[block]
        write_down(begin, chosen, arrived, steps, sizes, rewards, padded)
    if longest < padded[-1].shape[1]:
        padded = _room(padded, n, n, longest, longest, rewards[0].dtype)
    pad(steps, sizes[0], padded)
    return Trajectories(*padded)


def _room(written: tuple[np.ndarray, ...] | None, rows: int, n: int, longest: int, limit: int, reward: np.dtype) -> tuple[np.ndarray, ...]:
    """Padded arrays for N episodes, with room to spare up to ``limit`` steps, and the first ``rows`` of those that are ``written``.

    The leader's actions are zeros.  The rest is one allocation: several of their sizes cost more time.
    """
    longest = min(limit, longest + longest // 2)
    kinds: list[tuple[Any, int]] = [(np.int64, longest + 1), (np.int64, longest), (reward, longest), (reward, longest), (np.bool_, longest)]
    lengths = [n * width * np.dtype(kind).itemsize for kind, width in kinds]
    blocks = np.split(np.empty(sum(lengths), dtype=np.uint8), np.cumsum(lengths)[:-1])
    states, *others = (block.view(kind).reshape(n, width) for block, (kind, width) in zip(blocks, kinds, strict=True))
    padded = states, np.zeros((n, longest), dtype=np.int64), *others
    for old, new in zip(written or (), padded, strict=bool(written)):
        width = min(old.shape[1], new.shape[1])
        new[:rows, :width] = old[:rows, :width]
    return padded
