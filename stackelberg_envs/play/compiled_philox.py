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
"""Steps that are played before other episodes have their turn."""
NARROW = 16
"""Entries of a row up to which all of them are compared; in longer ones the index is found by bisection."""
FIRST, SECOND, SHIFT = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1]), np.uint64(32)
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
def _inverse_cdf(cumulated: np.ndarray, row: int, width: int, u: float) -> int:
    """`stackelberg_envs.processes.inverse_cdf.inverse_cdf` for one row: how many of its entries are at most ``u``."""
    at, chosen = np.uint64(row * width), 0
    if width <= NARROW:
        for j in range(width):  # all of them: processors guess wrong where such a loop ends
            chosen += cumulated[at + np.uint64(j)] <= u
        return chosen
    beyond = width
    while chosen < beyond:
        middle = (chosen + beyond) // 2
        if cumulated[at + np.uint64(middle)] <= u:
            chosen = middle + 1
        else:
            beyond = middle
    return chosen


@njit(cache=True)
def play(
    tables: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    sizes: tuple[int, int, int],
    row_of: np.ndarray,
    stage: int,
    rows: np.ndarray,
    since: int,
    stands: np.ndarray,
    steps: np.ndarray,
    limits: np.ndarray,
    actions: np.ndarray,
    key: tuple[np.uint32, np.uint32],
    first_episode: np.uint64,
) -> tuple[np.ndarray, np.ndarray]:
    """Play `CHUNK` steps of some of N episodes, or as many as these have left.

    Args:
        tables: as `stackelberg_envs.play.compiled.roll_out` takes them: leader, follower, kernel and successors, with two axes each.
        sizes: S, A, B.
        row_of: which of the R rows at (s, a) each action takes, (B,).
        stage: the number of states of a stage, 0 where there are none.
        rows: the episodes, which are at the same step, (M,).
        since: that step.
        stands: where each episode stands, (N,), changed in place.
        steps: how many steps each episode has, (N,), changed in place.
        limits: steps after which an episode is cut, (N,).
        actions: first actions of the follower, (N,); empty if they are drawn.
        key: the two words of the seed.
        first_episode: the number of the first episode.

    Returns:
        Leader and follower action, a B + b, and next state at each step, (M, CHUNK).
    """
    leads, follows, kernels, targets = tables[0].ravel(), tables[1].ravel(), tables[2].ravel(), tables[3].ravel()
    s_count, a_count, b_count = sizes
    width = tables[2].shape[1]
    kernel_nodes = stage * a_count if stage > 0 else s_count * a_count
    shared = tables[2].shape[0] // kernel_nodes
    chosen, arrived = np.empty((rows.shape[0], CHUNK), np.int32), np.empty((rows.shape[0], CHUNK), np.int32)
    low, high, u = np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32), np.empty((3, LANES))
    state, left = np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    choices, arrivals = np.zeros((LANES, CHUNK), np.int32), np.zeros((LANES, CHUNK), np.int32)
    for begin in range(0, rows.shape[0], LANES):
        count = min(LANES, rows.shape[0] - begin)
        longest = 0
        for lane in range(count):
            i = rows[begin + lane]
            number = first_episode + np.uint64(i)
            low[lane], high[lane] = np.uint32(number), np.uint32(number >> SHIFT)
            state[lane], left[lane] = stands[i], limits[i] - since
            longest = max(longest, left[lane])
        for q in range(min(longest, CHUNK)):
            for lane in range(LANES):
                w0, w1, w2, _ = philox4x32(np.uint32(0), np.uint32(since + q), low[lane], high[lane], key[0], key[1])
                u[0, lane], u[1, lane], u[2, lane] = (w0 + 0.5) * UNIT, (w1 + 0.5) * UNIT, (w2 + 0.5) * UNIT
            going = 0
            for lane in range(count):
                goes = state[lane] < s_count and q < left[lane]
                s = min(state[lane], s_count - 1)
                a = 0 if a_count == 1 else _inverse_cdf(leads, s, a_count, u[0, lane])
                node = s * a_count + a
                if since + q == 0 and actions.shape[0] > 0:
                    b = actions[rows[begin + lane]]
                else:
                    b = _inverse_cdf(follows, node, b_count, u[1, lane])
                row = (node % kernel_nodes if stage > 0 else node) * shared + row_of[b]
                arrives = targets[row * (width + 1) + _inverse_cdf(kernels, row, width, u[2, lane])]
                if stage > 0:
                    later = s - s % stage + stage
                    arrives = later + arrives if arrives < stage and later < s_count else s_count
                choices[lane, q], arrivals[lane, q] = a * b_count + b, arrives
                state[lane] = arrives if goes else state[lane]
                steps[rows[begin + lane]] += goes
                going += goes
            if going == 0:
                break
        for lane in range(count):
            stands[rows[begin + lane]] = state[lane]
            chosen[begin + lane], arrived[begin + lane] = choices[lane], arrivals[lane]
    return chosen, arrived


@njit(cache=True)
def write_down(
    rows: np.ndarray,
    since: int,
    chosen: np.ndarray,
    arrived: np.ndarray,
    steps: np.ndarray,
    sizes: tuple[int, int, int],
    rewards: tuple[np.ndarray, np.ndarray],
    padded: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Write what `play` returned into the padded arrays of `stackelberg_envs.play.trajectories.Trajectories`, in their order.

    Args:
        rows: the episodes, (M,).
        since: the step from which on they were played; what was before is written.
        chosen: actions, (M, CHUNK).
        arrived: next states, (M, CHUNK).
        steps: how many steps each episode has in the end, (N,).
        sizes: S, A, B.
        rewards: of leader and follower, (S * A * B,).
        padded: arrays (N, T + 1) and (N, T); that of the leader's actions holds zeros.
    """
    paying, earning = rewards
    states, leads, follows, paid, earned, alive = padded
    _, a_count, b_count = sizes
    nodes = np.empty(CHUNK, np.int64)
    for m in range(rows.shape[0]):
        i, end = rows[m], min(steps[rows[m]], since + CHUNK)
        count = end - since
        s = states[i, since]
        for q in range(count):
            nodes[q] = s * (a_count * b_count) + chosen[m, q]
            s = arrived[m, q]
        states[i, since + 1 : end + 1] = arrived[m, :count]
        if a_count > 1:
            leads[i, since:end], follows[i, since:end] = chosen[m, :count] // b_count, chosen[m, :count] % b_count
        else:
            follows[i, since:end] = chosen[m, :count]
        for q in range(count):
            paid[i, since + q], earned[i, since + q] = paying[nodes[q]], earning[nodes[q]]
        alive[i, since:end] = True


@njit(cache=True)
def pad(steps: np.ndarray, end: int, padded: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Write what is behind the ``steps`` (N,) of each episode: the state ``end``, and nothing done or earned."""
    states, _, follows, paid, earned, alive = padded
    for i in range(steps.shape[0]):
        t = steps[i]
        states[i, t + 1 :] = end
        follows[i, t:], paid[i, t:], earned[i, t:], alive[i, t:] = 0, 0.0, 0.0, False


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
    """`stackelberg_envs.play.rollouts.simulate` on the noise of ``noise``; `play` and `write_down` have the arguments."""
    key, begin = (np.uint32(noise.key[0]), np.uint32(noise.key[1])), np.uint64(noise.first_episode)
    stands, steps, pieces = first.copy(), np.zeros(len(first), dtype=np.int64), []
    (rows,) = np.nonzero((first < sizes[0]) & (limits > 0))
    while len(rows):
        since = CHUNK * len(pieces)
        pieces.append((rows, since, *play(tables, sizes, row_of, stage, rows, since, stands, steps, limits, actions, key, begin)))
        rows = rows[(stands[rows] < sizes[0]) & (limits[rows] > since + CHUNK)]
    padded = _padded_arrays(len(first), max(1, int(steps.max(initial=0))), rewards[0].dtype)
    padded[0][:, 0] = first
    for piece in pieces:
        write_down(*piece, steps, sizes, rewards, padded)
    pad(steps, sizes[0], padded)
    return Trajectories(*padded)


def _padded_arrays(n: int, longest: int, reward: np.dtype) -> tuple[np.ndarray, ...]:
    """Memory for the arrays of `Trajectories`; zeros for the leader's actions, and one allocation for the rest: several cost more time."""
    kinds: list[tuple[Any, int]] = [(np.int64, longest + 1), (np.int64, longest), (reward, longest), (reward, longest), (np.bool_, longest)]
    lengths = [n * width * np.dtype(kind).itemsize for kind, width in kinds]
    blocks = np.split(np.empty(sum(lengths), dtype=np.uint8), np.cumsum(lengths)[:-1])
    states, *others = (block.view(kind).reshape(n, width) for block, (kind, width) in zip(blocks, kinds, strict=True))
    return states, np.zeros((n, longest), dtype=np.int64), *others
