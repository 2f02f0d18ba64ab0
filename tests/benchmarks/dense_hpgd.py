"""HPGD's estimator in its dense form, written fairly: what the transposed one of `solvers.estimators.hpgd` replaces.

Every step carries D_t with dim x components, as the published code does; the reverse scan runs over all episodes at once and table means
are sparse matrix products (the published code compares every step with every state instead).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from stackelberg_envs.play.outcomes import Outcome


def dense_gradient(
    seen: Outcome, reward_jacobian: np.ndarray, cost_jacobian: np.ndarray, sizes: tuple[int, int], discount: float, temperature: float
) -> np.ndarray:
    """dF/dx (n,) from one batch of one follower.

    Args:
        seen: the batch, whose means serve for both advantages.
        reward_jacobian: d_x r(s), (S, n).
        cost_jacobian: d_x cost(s), (S, n).
        sizes: (S, B).
        discount: of both players.
        temperature: the follower's.
    """
    s_count, b_count = sizes
    alive, states = seen.alive[:, 0], np.minimum(seen.states[:, 0, :-1], s_count - 1)
    reacts, pays = (table[states] * alive[..., None] for table in (reward_jacobian, cost_jacobian))  # D_t and E_t, (N, T, n)
    togo = seen.leader_rewards.copy()
    for t in reversed(range(togo.shape[1] - 1)):
        reacts[:, t] += discount * reacts[:, t + 1]
        pays[:, t] += discount * pays[:, t + 1]
        togo[:, t] += discount * togo[:, t + 1]
    rows, s, b = np.flatnonzero(alive.ravel()), states[alive], seen.follower_actions[:, 0][alive]
    D, E = (table.reshape(-1, table.shape[-1])[rows] for table in (reacts, pays))
    U, start = togo.ravel()[rows], states[0, 0]
    QD, QU = (_means(table, s * b_count + b, s_count * b_count) for table in (D, U[:, None]))
    VD, VU = (_means(table, s, s_count) for table in (D, U[:, None]))
    weight = np.broadcast_to(discount ** np.arange(alive.shape[1]), alive.shape)[alive] / seen.ended.sum()
    pair = s * b_count + b
    credit = weight * (QU[pair, 0] - VU[s, 0]) / temperature
    return credit @ (QD[pair] - VD[s]) - E[s == start].mean(axis=0)


def _means(values: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Means of the rows of ``values`` by ``index``, (size, n)."""
    chosen = csr_matrix((np.ones(len(index)), (index, np.arange(len(index)))), shape=(size, len(index)))
    return (chosen @ values) / np.maximum(np.bincount(index, minlength=size), 1)[:, None]
