"""Which follower earned what the leader was paid, where several act at once and a step shows only the total.

The leader's reward of a step is a sum over followers i of what it earns at the cell c_i = (s, a, b) of each::

    R_t = sum_i r_i(c_i(t)) + noise

The estimate is a ridge regression of the totals on the cells, around equal shares of the mean total at each cell::

    r = argmin  sum_t (R_t - sum_i r_i(c_i(t)))^2 + lambda |r - r_0|^2 ,     r_0(i, c) = mean of R_t over steps with c_i(t) = c, over n
    (N + T + lambda) r = paid + lambda r_0        N: visits, T: steps that two cells shared, paid: sums of R_t

With one follower r_0 is the mean reward at each cell and solves this, whatever lambda is.  With several r converges to the truth, up to
what no total shows: where two followers always act together, a constant that one earns more and the other less, which changes no plan's
return as long as they do.  Such ties stay near equal shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from stackelberg_envs.play.outcomes import Outcome

from .model import Counts

RIDGE = 0.01
"""lambda, in observations."""


@dataclass(frozen=True)
class SharedSteps:
    """Steps in which n followers acted together, pooled over commitments."""

    sizes: tuple[tuple[int, int, int], ...]
    """(S, A, B) of each follower."""
    together: dict[tuple[int, int], Any]
    """T: how many steps each pair of cells shared, a sparse array (S_i A_i B_i, S_j A_j B_j) for each i < j."""

    @staticmethod
    def none(sizes: Sequence[tuple[int, int, int]]) -> SharedSteps:
        """Before the first outcome."""
        from scipy.sparse import csr_array

        flat = [int(np.prod(each)) for each in sizes]
        return SharedSteps(tuple(sizes), {(i, j): csr_array((flat[i], flat[j])) for i, j in combinations(range(len(flat)), 2)})

    def add_outcome(self, seen: Outcome) -> SharedSteps:
        """With the steps of one more outcome, all of one context."""
        from scipy.sparse import coo_array

        more = {}
        for i, j in self.together:
            both = seen.alive[:, i] & seen.alive[:, j]
            at = tuple(cells_of(seen, follower, self.sizes[follower])[both] for follower in (i, j))
            more[i, j] = self.together[i, j] + coo_array((np.ones(len(at[0])), at), shape=self.together[i, j].shape).tocsr()
        return SharedSteps(self.sizes, more)

    def leader_rewards(self, counts: Sequence[Counts], bonus: float = 0.0) -> tuple[np.ndarray, ...]:
        """r of each follower, (S, A, B) each; ``bonus`` where it has never been.

        Args:
            counts: of each follower; ``paid`` has the totals, what the leader pays for its instruments added back for all followers.
            bonus: what the leader is believed to earn elsewhere.
        """
        from scipy.sparse.linalg import LinearOperator, cg

        visits, paid = (np.concatenate([getattr(own, name).ravel() for own in counts]) for name in ("visits", "paid"))
        shares = paid / np.maximum(visits, 1) / len(counts)
        at = np.cumsum([0, *(int(np.prod(each)) for each in self.sizes)])

        def totals(r: np.ndarray) -> np.ndarray:
            sums = visits * r
            for (i, j), steps in self.together.items():
                sums[at[i] : at[i + 1]] += steps @ r[at[j] : at[j + 1]]
                sums[at[j] : at[j + 1]] += steps.T @ r[at[i] : at[i + 1]]
            return sums

        left = paid - totals(shares)
        rewards = shares
        if np.linalg.norm(left) > 1e-12 * np.linalg.norm(paid):  # more than rounding, so not with one follower
            n = len(paid)
            regularised = LinearOperator((n, n), matvec=lambda r: totals(r) + RIDGE * r, dtype=np.float64)  # type: ignore[call-arg]
            scaled = LinearOperator((n, n), matvec=lambda r: r / (visits + RIDGE), dtype=np.float64)  # type: ignore[call-arg]
            rewards = shares + cg(regularised, left, rtol=1e-9, M=scaled)[0]
        rewards = np.where(visits > 0, rewards, bonus)
        return tuple(rewards[at[i] : at[i + 1]].reshape(own.paid.shape) for i, own in enumerate(counts))


def cells_of(seen: Outcome, follower: int, sizes: tuple[int, int, int]) -> np.ndarray:
    """Index of (s, a, b) in a flat table of ``sizes`` at each step of one follower, (N, T); 0 where its episode is over."""
    _, a, b = sizes
    index = (seen.states[:, follower, :-1] * a + seen.leader_actions[:, follower]) * b + seen.follower_actions[:, follower]
    return np.where(seen.alive[:, follower], index, 0)
