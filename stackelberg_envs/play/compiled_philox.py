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
NARROW = 4
"""Entries of a row that are all compared.  Shorter rows are made as long; in longer ones the index is found by bisection."""
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
def _unit(word: np.uint32) -> float:
    """A word as a variate."""
    return (word + 0.5) * UNIT


@njit(inline="always")
def _inverse_cdf(cumulated: np.ndarray, row: np.uint64, width: int, u: float) -> np.uint64:
    """`stackelberg_envs.processes.inverse_cdf.inverse_cdf` for one row of at least four entries: how many of them are at most ``u``.

    No branch depends on the entries: processors would guess wrong.
    """
    at = row * np.uint64(width)
    if width == NARROW:
        low = np.uint64(cumulated[at] <= u) + np.uint64(cumulated[at + ONE] <= u)
        return low + np.uint64(cumulated[at + np.uint64(2)] <= u) + np.uint64(cumulated[at + np.uint64(3)] <= u)
    chosen, left = at, np.uint64(width)
    while left > ONE:
        half = left >> ONE
        chosen += half * np.uint64(cumulated[chosen + half - ONE] <= u)
        left -= half
    return chosen - at + np.uint64(cumulated[chosen] <= u)


@njit(cache=True)
def play(
    leader: np.ndarray | None,
    tables: tuple[np.ndarray, np.ndarray, np.ndarray],
    sizes: tuple[int, int, int],
    row_of: np.ndarray,
    stage: int,
    begin: int,
    since: int,
    stands: np.ndarray,
    steps: np.ndarray,
    limits: np.ndarray,
    actions: np.ndarray,
    key: tuple[np.uint32, np.uint32],
    first_episode: np.uint64,
    chosen: np.ndarray,
    arrived: np.ndarray,
) -> None:
    """Play a block of M of N episodes, those that have not ended, from one step to another.

    Args:
        leader: cumulative pi(a|s), (S, A or more); None where A is 1, and then it is left out of the loop when it is compiled.
        tables: follower, kernel and successors, as `stackelberg_envs.play.compiled.roll_out` takes them, rows of at least `NARROW`.
        sizes: S, A, B.
        row_of: which of the R rows at (s, a) each action takes, (B,).
        stage: the number of states of a stage, 0 where there are none.
        begin: the block's first episode.
        since: the step from which on to play, a multiple of `CHUNK`.
        stands: where each episode stands, (N,), changed in place.
        steps: how many steps each episode has, (N,), changed in place.
        limits: steps after which an episode is cut, (N,).
        actions: first actions of the follower, (N,); empty if they are drawn.
        key: the two words of the seed.
        first_episode: the number of the first of the N.
        chosen: where leader and follower action, a B + b, are written, (M, T), T the step up to which to play, a multiple of `CHUNK`.
        arrived: where next states are written, (M, T).
    """
    follows, kernels, targets = tables[0].ravel(), tables[1].ravel(), tables[2].ravel()
    s_count, a_count, b_count = np.uint64(sizes[0]), np.uint64(sizes[1]), np.uint64(sizes[2])
    stages, width = np.uint64(stage) if stage > 0 else s_count, np.uint64(tables[2].shape[1])
    shared = np.uint64(tables[1].shape[0]) // (stages * a_count)
    low, high, u = np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32), np.empty((4, LANES))
    v = np.empty((4, LANES))
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
                if q % 2 == 0:
                    for lane in range(LANES):
                        w0, w1, w2, w3 = philox4x32(np.uint32(0), np.uint32((since + q) >> 1), low[lane], high[lane], key[0], key[1])
                        u[0, lane], u[1, lane], u[2, lane], u[3, lane] = _unit(w0), _unit(w1), _unit(w2), _unit(w3)
                if leader is not None and q % 4 == 0:
                    for lane in range(LANES):
                        w0, w1, w2, w3 = philox4x32(np.uint32(1), np.uint32((since + q) >> 2), low[lane], high[lane], key[0], key[1])
                        v[0, lane], v[1, lane], v[2, lane], v[3, lane] = _unit(w0), _unit(w1), _unit(w2), _unit(w3)
                pair = 2 * (q % 2)
                for lane in range(count):
                    if q >= left[lane]:
                        continue
                    s = node = state[lane]
                    if leader is not None:
                        node = s * a_count + _inverse_cdf(leader.ravel(), s, leader.shape[1], v[q % 4, lane])
                    b = _inverse_cdf(follows, node, tables[0].shape[1], u[pair, lane])
                    if since + q == 0 and actions.shape[0] > 0:
                        b = np.uint64(actions[rows[group + lane]])
                    at = node % (stages * a_count) if stage > 0 else node
                    row = at * shared + np.uint64(row_of[b])
                    arrives = np.uint64(targets[row * width + _inverse_cdf(kernels, row, tables[1].shape[1], u[pair + 1, lane])])
                    if stage > 0:
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
        i, row, count = np.uint64(begin + m), np.uint64(m), steps[begin + m]
        for t in range(count):  # a loop for each array: several of them in one are not done in vectors
            states[i, np.uint64(t + 1)] = arrived[row, np.uint64(t)]
        for t in range(count):
            follows[i, np.uint64(t)] = chosen[row, np.uint64(t)]
        for t in range(count):
            alive[i, np.uint64(t)] = True
        for j in range(count):
            t = np.uint64(j)
            node = np.uint64(states[i, t] * (a_count * b_count) + follows[i, t])
            paid[i, t], earned[i, t] = paying[node], earning[node]
        if a_count > 1:
            for j in range(count):
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
    actions: np.ndarray,
    noise: Philox,
) -> Trajectories:
    """`stackelberg_envs.play.rollouts.simulate` on the noise of ``noise``; `stackelberg_envs.play.compiled.roll_out` has the arguments."""
    key, number = (np.uint32(noise.key[0]), np.uint32(noise.key[1])), np.uint64(noise.first_episode)
    small = np.uint16 if max(sizes[0], sizes[1] * sizes[2]) < 2**16 else np.int64
    leader, follower, kernel = (_at_least_narrow(table) for table in tables[:3])
    world = leader if sizes[1] > 1 else None, (follower, kernel, tables[3]), sizes, row_of, stage
    n, longest, limit = len(first), 1, max(1, int(limits.max(initial=1)))
    stands, steps = first.copy(), np.zeros(n, dtype=np.int64)
    chosen, arrived = np.empty((2, min(n, BLOCK), CHUNK * min(-(-limit // CHUNK), 8)), dtype=small)
    padded: Any = _room(None, 0, n, 1, limit, rewards[0].dtype)
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


def _at_least_narrow(cumulated: np.ndarray) -> np.ndarray:
    """Rows of cumulative probabilities, those of fewer than `NARROW` entries with infinite ones behind them."""
    if cumulated.shape[1] >= NARROW:
        return cumulated
    return np.pad(cumulated, ((0, 0), (0, NARROW - cumulated.shape[1])), constant_values=np.inf)


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
