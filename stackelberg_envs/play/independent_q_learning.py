"""The loop of two Q-learners who interact, period by period; `stackelberg_envs.play.compiled` has it compiled, to the same bits.

Plain Python over NumPy tables, written so that numba takes it as it is.
"""

from __future__ import annotations

import math

import numpy as np


def independent_q_learning(
    tables: tuple[np.ndarray, np.ndarray],
    visits: np.ndarray,
    stream: np.ndarray,
    periods: int,
    initial: np.ndarray,
    kernel: np.ndarray,
    successors: np.ndarray,
    rewards: np.ndarray,
    constants: tuple[float, float, float],
    patience: int,
    rng: np.random.Generator,
) -> int:
    """Update ``tables``, ``visits`` and ``stream`` in place, period by period.

    Args:
        tables: Q of each, (S, B_0) and (S, B_1).
        visits: how often each joint action has been played in each state, integers (S * B_0 * B_1,).
        stream: integers (3,): the state in which the stream stands, S before a start; the periods so far, by which exploration falls; and
            the periods since the greedy action of anybody changed in any state.
        periods: how many to play, at most.
        initial: cumulative start distribution, (S,).
        kernel: cumulative probabilities of successors, (S * B_0 * B_1, K).
        successors: next states, (S * B_0 * B_1, K + 1); S is the end.
        rewards: of each, (2, S * B_0 * B_1).
        constants: the learning rate alpha, the decay beta of exploration, and the discount.
        patience: periods without a change of greedy actions after which it is over.
        rng: the noise; a period takes five variates, and a start one more.

    Returns:
        The periods that were played.
    """
    alpha, beta, gamma = constants
    s_count = tables[0].shape[0]
    widths = tables[0].shape[1], tables[1].shape[1]
    chosen = np.zeros(2, dtype=np.int64)
    for played in range(periods):
        if stream[2] >= patience:
            return played
        if stream[0] == s_count:
            u, s = rng.random(), 0
            while s < s_count - 1 and initial[s] <= u:
                s += 1
            stream[0] = s
        s = stream[0]
        exploration = math.exp(-beta * stream[1])
        for i in range(2):
            u, v = rng.random(), rng.random()
            b = 0
            if u < exploration:
                b = int(v * widths[i])
            else:
                for other in range(1, widths[i]):
                    if tables[i][s, other] > tables[i][s, b]:
                        b = other
            chosen[i] = b
        row = (s * widths[0] + chosen[0]) * widths[1] + chosen[1]
        u, k = rng.random(), 0
        while k < kernel.shape[1] and kernel[row, k] <= u:
            k += 1
        arrived = successors[row, k]
        changed = False
        for i in range(2):
            table, b = tables[i], chosen[i]
            ahead = 0.0
            if arrived < s_count:
                ahead = table[arrived, 0]
                for other in range(1, widths[i]):
                    ahead = max(ahead, table[arrived, other])
            before = 0
            for other in range(1, widths[i]):
                if table[s, other] > table[s, before]:
                    before = other
            table[s, b] = (1.0 - alpha) * table[s, b] + alpha * (rewards[i, row] + gamma * ahead)
            after = 0
            for other in range(1, widths[i]):
                if table[s, other] > table[s, after]:
                    after = other
            changed = changed or after != before
        visits[row] += 1
        stream[0], stream[1] = arrived, stream[1] + 1
        stream[2] = 0 if changed else stream[2] + 1
    return periods
