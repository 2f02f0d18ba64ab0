"""The loop of soft Q-learning over single samples; `stackelberg_envs.play.compiled` has it compiled, to the same bits.

Plain Python over NumPy tables, written so that numba takes it as it is.
"""

from __future__ import annotations

import math

import numpy as np


def soft_q_learning(
    table: np.ndarray,
    visits: np.ndarray,
    stream: np.ndarray,
    weight: np.ndarray,
    counts: tuple[int, int, int, int, int],
    initial: np.ndarray,
    leader: np.ndarray,
    kernel: np.ndarray,
    successors: np.ndarray,
    rewards: np.ndarray,
    constants: tuple[float, float, float, float],
    uniform: bool,
    rng: np.random.Generator,
) -> None:
    """Update ``table``, ``visits`` and ``stream`` in place, sample by sample.

    Args:
        table: Q at the follower's nodes, (S * N * B,); -inf where an action is not available, which nobody then takes.
        visits: updates of each pair so far, integers (S * N * B,).
        stream: integers (2,): the state in which the stream stands, S before a start, and the steps since.
        weight: probability of each node given the state, (S, N).
        counts: A, B, the steps after which the stream starts again, how many samples to take, and the number of states of a stage, to
            which ``kernel`` and ``successors`` then belong; 0 where there are none.
        initial: cumulative start distribution, (S,).
        leader: cumulative pi(a|s), (S, A).
        kernel: cumulative probabilities of successors, (S * A * B, K).
        successors: next states, (S * A * B, K + 1); S is the end.
        rewards: r_F, (S * A * B,).
        constants: gamma, tau, the rate of step sizes, and the share of even actions.
        uniform: whether states and actions are drawn evenly, instead of played.
        rng: the noise; a sample takes four variates, and the state of an even one, or a start, one more.
    """
    a_count, b_count, limit, steps, stage = counts
    gamma, tau, rate, exploration = constants
    s_count, n_count = weight.shape
    for _ in range(steps):
        if uniform:
            s = int(rng.random() * s_count)
        else:
            if stream[0] == s_count or stream[1] >= limit:
                u, s = rng.random(), 0
                while s < s_count - 1 and initial[s] <= u:
                    s += 1
                stream[0], stream[1] = s, 0
            s = stream[0]
        u, a = rng.random(), 0
        if uniform and n_count == a_count:
            a = int(u * a_count)
        else:
            while a < a_count - 1 and leader[s, a] <= u:
                a += 1
        node = (s * n_count + (a if n_count == a_count else 0)) * b_count
        u, v, b = rng.random(), rng.random(), 0
        if uniform or u < exploration:
            there = 0
            for i in range(b_count):
                if table[node + i] > -math.inf:
                    there += 1
            left = int(v * there)
            while table[node + b] == -math.inf or left > 0:
                if table[node + b] > -math.inf:
                    left -= 1
                b += 1
        else:  # softmax(Q / tau)
            top, total, reached = table[node], 0.0, 0.0
            for i in range(1, b_count):
                top = max(top, table[node + i])
            for i in range(b_count):
                total += math.exp((table[node + i] - top) / tau)
            reached = math.exp((table[node] - top) / tau)
            while b < b_count - 1 and reached <= v * total:
                b += 1
                reached += math.exp((table[node + b] - top) / tau)
        played = (s * a_count + a) * b_count + b
        row = played % (stage * a_count * b_count) if stage > 0 else played
        u, k = rng.random(), 0
        while k < kernel.shape[1] and kernel[row, k] <= u:
            k += 1
        arrived = successors[row, k]
        if stage > 0:
            later = s - s % stage + stage
            arrived = later + arrived if arrived < stage and later < s_count else s_count
        ahead = 0.0
        if arrived < s_count:
            for n in range(n_count):
                if weight[arrived, n] > 0:
                    first = (arrived * n_count + n) * b_count
                    top, total = table[first], 0.0
                    for i in range(1, b_count):
                        top = max(top, table[first + i])
                    for i in range(b_count):
                        total += math.exp((table[first + i] - top) / tau)
                    ahead += weight[arrived, n] * (top + tau * math.log(total))
        pair = node + b
        table[pair] += (rewards[played] + gamma * ahead - table[pair]) / (1.0 + rate * visits[pair])
        visits[pair] += 1
        if not uniform:
            stream[0], stream[1] = arrived, stream[1] + 1
