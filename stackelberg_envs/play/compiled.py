"""The loops of `stackelberg_envs.play.rollouts.simulate` and of soft Q-learning, compiled by numba (the extra ``fast``), to the same bits.

A step of a few hundred episodes is a dozen small array operations in NumPy, and their overhead is most of the time; compiled, 10,000 steps
of Four Rooms take less than half a millisecond.  The noise is drawn inside, in the order in which NumPy would draw it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from . import independent_q_learning as two_learners
from . import q_learning

LOW, HALF = np.uint64(2**32 - 1), np.uint64(32)
MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
FACTOR = (
    np.uint64(MULTIPLIER >> 64),
    np.uint64((MULTIPLIER >> 32) & (2**32 - 1)),
    np.uint64(MULTIPLIER & (2**32 - 1)),
    np.uint64(MULTIPLIER & (2**64 - 1)),
)
"""PCG64's multiplier: its high half, the two parts of its low half, and that."""


@njit(cache=True)
def _inverse_cdf(cumulated: np.ndarray, u: float) -> int:
    """`stackelberg_envs.processes.inverse_cdf.inverse_cdf` for one row."""
    chosen = 0
    while chosen < cumulated.shape[0] and cumulated[chosen] <= u:
        chosen += 1
    return chosen


@njit(cache=True)
def roll_out(
    leader: np.ndarray,
    follower: np.ndarray,
    kernel: np.ndarray,
    successors: np.ndarray,
    row_of: np.ndarray,
    stage: int,
    first: np.ndarray,
    limits: np.ndarray,
    actions: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate N episodes, all of them one time step after the other.

    Args:
        leader: cumulative pi(a|s), (S, A).
        follower: cumulative g(b|s,a), (S * A, B).
        kernel: cumulative probabilities of successors, (S * A * R, K).
        successors: next states, (S * A * R, K + 1).
        row_of: which of the R rows at (s, a) each action takes, (B,).
        stage: the number of states of a stage, to which ``kernel`` and ``successors`` then belong; 0 where there are none.
        first: first states, (N,).
        limits: steps after which an episode is cut, (N,).
        actions: first actions of the follower, (N,); empty if they are drawn.
        rng: the noise.

    Returns:
        Which episode took each step, its node (s, a, b), and its next state, (M,) each: ordered by time, then by episode.
    """
    s_count, a_count = leader.shape
    b_count = follower.shape[1]
    kernel_nodes = stage * a_count if stage > 0 else s_count * a_count
    shared = kernel.shape[0] // kernel_nodes
    rows = np.empty(first.shape[0], dtype=np.int64)
    stands = first.copy()
    walking = 0
    for i in range(first.shape[0]):
        if first[i] < s_count and limits[i] > 0:
            rows[walking] = i
            walking += 1
    size = max(16, 64 * walking)
    who, nodes, arrivals = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    count, t = 0, 0
    while walking > 0:
        if count + walking > size:
            size = 2 * size + walking
            longer = np.empty((3, size), np.int64)
            longer[0, :count], longer[1, :count], longer[2, :count] = who[:count], nodes[:count], arrivals[:count]
            who, nodes, arrivals = longer[0], longer[1], longer[2]
        going = 0
        for j in range(walking):
            i = rows[j]
            u0, u1, u2 = rng.random(), rng.random(), rng.random()
            node = stands[i] if a_count == 1 else stands[i] * a_count + _inverse_cdf(leader[stands[i]], u0)
            b = actions[i] if t == 0 and actions.shape[0] > 0 else _inverse_cdf(follower[node], u1)
            at = node % kernel_nodes if stage > 0 else node
            row, node = at * shared + row_of[b], node * b_count + b
            arrived = successors[row, _inverse_cdf(kernel[row], u2)]
            if stage > 0:
                later = stands[i] - stands[i] % stage + stage
                arrived = later + arrived if arrived < stage and later < s_count else s_count
            who[count], nodes[count], arrivals[count] = i, node, arrived
            count += 1
            stands[i] = arrived
            if arrived < s_count and limits[i] > t + 1:
                rows[going] = i
                going += 1
        walking = going
        t += 1
    return who[:count], nodes[:count], arrivals[:count]


@njit(cache=True)
def pad_trajectories(
    who: np.ndarray,
    nodes: np.ndarray,
    arrivals: np.ndarray,
    first: np.ndarray,
    sizes: tuple[int, int, int],
    leader_reward: np.ndarray,
    follower_reward: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The steps of `roll_out` as the padded arrays of `stackelberg_envs.play.trajectories.Trajectories`, in their order."""
    s_count, a_count, b_count = sizes
    n = first.shape[0]
    steps = np.zeros(n, np.int64)
    for m in range(who.shape[0]):
        steps[who[m]] += 1
    longest = 1
    for i in range(n):
        longest = max(longest, steps[i])
    states = np.full((n, longest + 1), s_count, np.int64)
    leads, follows = np.zeros((n, longest), np.int64), np.zeros((n, longest), np.int64)
    paid, earned = np.zeros((n, longest), leader_reward.dtype), np.zeros((n, longest), leader_reward.dtype)
    alive = np.zeros((n, longest), np.bool_)
    states[:, 0] = first
    steps[:] = 0
    for m in range(who.shape[0]):
        i, node = who[m], nodes[m]
        t = steps[i]
        states[i, t + 1] = arrivals[m]
        leads[i, t], follows[i, t] = node // b_count % a_count, node % b_count
        paid[i, t], earned[i, t], alive[i, t] = leader_reward[node], follower_reward[node], True
        steps[i] = t + 1
    return states, leads, follows, paid, earned, alive


@njit(inline="always")
def _uniform(states: np.ndarray, i: int) -> float:
    """The next variate of a PCG64 stream, as NumPy draws it; ``states`` (4, N) are halves of state and increment, high ones first.

    O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for random number generation", 2014: a linear
    congruence modulo 2^128, of which the halves' exclusive or is rotated by the six highest bits.
    """
    low, high = states[1, i], states[0, i]
    first, second = low & LOW, low >> HALF
    product, one, other = first * FACTOR[2], first * FACTOR[1], second * FACTOR[2]
    carried = ((product >> HALF) + (one & LOW) + (other & LOW)) >> HALF
    upper = second * FACTOR[1] + (one >> HALF) + (other >> HALF) + carried + high * FACTOR[3] + low * FACTOR[0]
    lower = low * FACTOR[3]
    low = lower + states[3, i]
    high = upper + states[2, i] + np.uint64(low < lower)
    states[0, i], states[1, i] = high, low
    mixed, turn = high ^ low, high >> np.uint64(58)
    turned = (mixed >> turn) | (mixed << ((np.uint64(64) - turn) & np.uint64(63)))
    return np.float64(turned >> np.uint64(11)) * 2.0**-53


@njit(inline="always")
def _start(
    i: int,
    context: int,
    u: float,
    streams: np.ndarray,
    where: np.ndarray,
    returns: np.ndarray,
    contexts: np.ndarray,
    starts: tuple[np.ndarray, np.ndarray],
    states: int,
) -> None:
    """Begin an episode; see `start`.  ``u`` is its first variate."""
    initial, leader = starts
    drawn = np.searchsorted(contexts, u, side="right")
    where[0, i] = where[4, i] + (drawn if context < 0 else context)
    where[1, i] = np.searchsorted(initial[where[0, i]], _uniform(streams, i), side="right")
    where[3, i] = 0
    returns[i] = 0.0
    if leader.shape[1] > 1:
        where[2, i] = _inverse_cdf(leader[where[0, i] * (states + 1) + where[1, i]], _uniform(streams, i))


@njit(cache=True)
def start(
    chosen: np.ndarray,
    context: int,
    streams: np.ndarray,
    where: np.ndarray,
    returns: np.ndarray,
    contexts: np.ndarray,
    starts: tuple[np.ndarray, np.ndarray],
    states: int,
) -> None:
    """`stackelberg_envs.play.batches.EpisodeBatch.start`, one episode after the other.

    Args:
        chosen: which episodes, (M,).
        context: of all of them; -1 where it is drawn.
        streams: as in `advance`, like what follows.
        where: changed in place.
        returns: changed in place.
        contexts: cumulative probabilities.
        starts: cumulative probabilities of first states, and leader's policies.
        states: S.
    """
    for i in chosen:
        _start(i, context, _uniform(streams, i), streams, where, returns, contexts, starts, states)


@njit(cache=True)
def advance(
    actions: np.ndarray,
    over: np.ndarray,
    streams: np.ndarray,
    where: np.ndarray,
    returns: np.ndarray,
    contexts: np.ndarray,
    starts: tuple[np.ndarray, np.ndarray],
    tables: tuple[np.ndarray, np.ndarray, np.ndarray],
    sizes: tuple[int, int, int],
    powers: np.ndarray,
    limit: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`stackelberg_envs.play.batches.EpisodeBatch.advance`, one episode after the other.

    Args:
        actions: (N,).
        over: which episodes have ended, and begin anew, booleans (N,).
        streams: the noise's states, (4, N).
        where: table, state, leader's action, steps so far and first table of each episode, (5, N); changed in place.
        returns: the followers', (N,); changed in place.
        contexts: cumulative probabilities.
        starts: cumulative probabilities of first states, and leader's policies.
        tables: thresholds, successors and rewards of `stackelberg_envs.play.batches.StackedTables`.
        sizes: S, A, B.
        powers: of the follower's discount, (limit + 1,).
        limit: steps after which an episode is cut.
    """
    (thresholds, successors, follower_reward), (_, leader), (states, leads, choices) = tables, starts, sizes
    n, width = actions.shape[0], thresholds.shape[1]
    rewards, terminated, truncated = np.zeros(n), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    drawn = np.empty(n)
    for i in range(n):  # a loop of its own, which processors take several episodes at a time
        drawn[i] = _uniform(streams, i)
    for i in range(n):
        if over[i]:
            _start(i, -1, drawn[i], streams, where, returns, contexts, starts, states)
            continue
        place = where[0, i] * (states + 1)
        row = ((place + where[1, i]) * leads + max(where[2, i], 0)) * choices + actions[i]
        k = 0
        for j in range(width):  # all of them: processors guess wrong where such a loop ends
            k += thresholds[row, j] <= drawn[i]
        arrived, count = successors[row, k], where[3, i]
        reward = follower_reward[row]
        rewards[i] = reward
        returns[i] += powers[count] * reward
        where[1, i], where[3, i] = arrived, count + 1
        terminated[i] = arrived == states
        truncated[i] = count + 1 >= limit and arrived != states
        if leads > 1:
            where[2, i] = -1 if arrived == states else _inverse_cdf(leader[place + arrived], _uniform(streams, i))
    return rewards, terminated, truncated


soft_q_learning = njit(cache=True)(q_learning.soft_q_learning)
independent_q_learning = njit(cache=True)(two_learners.independent_q_learning)
