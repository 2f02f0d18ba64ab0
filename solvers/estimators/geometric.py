"""HPGD with geometric horizons: every part from rollouts of its own, unbiased (the form of the paper's analysis).

Thoma et al., NeurIPS 2024 (see `solvers.estimators.hpgd`); reconstructed, as the public code has no such option.  A sum discounted by gamma
is the expectation of the plain sum up to a random time that survives each step with probability gamma::

    dF/dx = E[ 1/((1 - gamma_L) tau) AU(s,b) dA(s,b) - sum_t gamma_L^t d_x cost(s_t, b_t) ],   s ~ (1 - gamma_L) d_L,  b ~ g(.|s)

The leader needs outcomes from states of its choice (RESET).  For each of N samples:

1. an episode from the start, stopped after a geometric number of steps of mean 1/(1 - gamma_L): its last step is (s, b), and what it paid
   is the direct part; a walker whose episode had ended before that step contributes nothing more
2. AU: leader rewards of an episode from (s, b) less those of one from s, to independent geometric times of mean 1/(1 - gamma_L)
3. dA: visits of an episode from (s, b) less those of one from s, to independent geometric times of mean 1/(1 - gamma)

`solvers.estimators.aho` takes a share k of a discount as weights: step t counts gamma^(k t), and a time survives each step with probability
gamma^(1 - k) in 2 and 3.  With k = 0 that is what stands above.
"""

from __future__ import annotations

import numpy as np

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.play.outcomes import Outcome

from .visits import Tables, powers


def geometric_tables(
    oracle: Oracle, x: np.ndarray, samples: int, rng: np.random.Generator, *, share: float = 0.0
) -> tuple[int, list[Tables]]:
    """The context, and for each follower the multipliers (S, B) of d_x r and of -d_x cost; ``share`` is k, in [0, 1)."""
    leader = oracle.leader_discount

    def geometric_times(count: int, discount: float) -> np.ndarray:
        return rng.geometric(1 - discount ** (1 - share), size=count)

    stops = rng.geometric(1 - leader, size=samples)
    seen = oracle.play(x, episodes=samples, horizon=stops, one_context=True)  # 1
    context = int(seen.contexts[0])
    tables = [
        Tables(np.zeros((s, b)), _weighted_visits(seen, i, (s, b), np.ones((samples, 1))) / samples)
        for i, (s, _, b) in enumerate(oracle.sizes)
    ]
    ends = np.array([s for s, _, _ in oracle.sizes])
    states, actions = _states_and_actions_at(seen, stops - 1, ends)
    if len(states) == 0:
        return context, tables
    count = len(states)
    worth = []
    for chosen in (actions, None):  # 2
        paid = oracle.play_from(x, context, states, actions=chosen, horizon=geometric_times(count, leader)).leader_rewards
        worth.append((paid * powers(leader**share, paid)).sum(-1))
    weight = (worth[0] - worth[1]) / ((1 - leader) * oracle.temperature * samples)
    for i, (size, discount) in enumerate(zip(oracle.sizes, oracle.follower_discounts, strict=True)):
        for chosen, sign in ((actions, 1.0), (None, -1.0)):  # 3
            walked = oracle.play_from(x, context, _only_follower(states, i, ends), actions=chosen, horizon=geometric_times(count, discount))
            weights = sign * weight[:, None] * powers(discount**share, walked.leader_rewards)
            reaction = tables[i].reaction + _weighted_visits(walked, i, (size[0], size[2]), weights)
            tables[i] = tables[i]._replace(reaction=reaction)
    return context, tables


def _states_and_actions_at(seen: Outcome, step: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States and actions (n, followers) at step (N,), of the n episodes in which a follower still acts; S where its own has ended."""
    (long,) = np.nonzero(step < seen.alive.shape[2])
    walking = seen.alive[long, :, step[long]]
    rows = long[walking.any(axis=1)]
    states = np.where(walking[walking.any(axis=1)], seen.states[rows, :, step[rows]], ends)
    return states, seen.follower_actions[rows, :, step[rows]]


def _only_follower(states: np.ndarray, follower: int, ends: np.ndarray) -> np.ndarray:
    """The same states, with the end in place of every other follower's."""
    return np.where(np.arange(states.shape[1]) == follower, states, ends)


def _weighted_visits(seen: Outcome, follower: int, shape: tuple[int, int], weights: np.ndarray) -> np.ndarray:
    """Visits of each pair (s, b), each step counted by its weight, (N, T) or (N, 1), as a table (S, B)."""
    alive = seen.alive[:, follower]
    counted = np.broadcast_to(weights, alive.shape)
    return np.bincount(seen.pairs(follower, shape[1])[alive], counted[alive], minlength=shape[0] * shape[1]).reshape(shape)
