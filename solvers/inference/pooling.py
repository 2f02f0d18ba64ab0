"""Dynamics that several contexts have in common: counts are pooled at the cells where they agree.

Contexts often differ in a few cells alone, such as a goal.  At each cell (s, a, b) either all contexts have the same next states, or each
has its own, all rows with the prior of `solvers.inference.model.Counts.transition`.  With N_c the arrivals in context c and DM the
Dirichlet-multinomial evidence of a row, the posterior probability that they are the same is that of::

    log odds = log rho/(1 - rho) + log DM(sum_c N_c) - sum_c log DM(N_c)
    rho      = (1 + sum of these probabilities) / (2 + number of cells)            over cells that two contexts or more have visited

rho, how often cells are the same, is estimated by repeating both lines (EM).  A cell is pooled where it is the same more likely than not;
where one context alone has been, that is decided by rho.  Rewards are not pooled, because equal next states do not say that rewards are
equal: a context's own mean stands where it has been, and that of the other contexts at pooled cells where it has not.

Discounting what was seen elsewhere by how well it agrees is old (commensurate and power priors: Ibrahim and Chen 2000); all or nothing by
cell is the plainest case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .model import Counts

ROUNDS = 100
"""Of EM, at most."""


@dataclass(frozen=True)
class PooledCells:
    """Which cells the contexts of one follower have in common."""

    same: np.ndarray
    """Where next states are taken for the same, (S, A, B)."""
    total: Counts
    """Of all contexts together."""
    visits: np.ndarray
    """In each context, (C, S, A, B)."""

    @staticmethod
    def of(counts: Sequence[Counts], prior: float) -> PooledCells:
        """From the counts of each context; ``prior`` is the mass of the prior over next states."""
        total = Counts(*(np.sum([getattr(own, name) for own in counts], axis=0) for name in ("moves", "paid", "firsts")))
        visits = np.stack([own.visits for own in counts])
        odds = row_evidence(total.moves, prior) - sum(row_evidence(own.moves, prior) for own in counts)
        compared = odds[(visits > 0).sum(0) > 1]
        share = 0.5
        for _ in range(ROUNDS):
            before, share = share, (1 + _probability(compared, share).sum()) / (2 + len(compared))
            if abs(share - before) < 1e-9:
                break
        return PooledCells(_probability(odds, share) > 0.5, total, visits)

    def share(
        self, known: Sequence[dict[str, np.ndarray]], prior: float, rng: np.random.Generator | None = None
    ) -> list[dict[str, np.ndarray]]:
        """Tables of each context (`solvers.inference.model.tables`), with what they have in common; ``rng`` draws it from its posterior."""
        transition = self.total.transition(prior, rng)
        n = self.visits.sum(0)
        rewards = sum(visits * own["leader_reward"] for visits, own in zip(self.visits, known, strict=True)) / np.maximum(n, 1)
        shared = []
        for visits, own in zip(self.visits, known, strict=True):
            elsewhere = self.same & (visits == 0) & (n > 0)
            tables = {
                "transition": np.where(self.same[..., None], transition, own["transition"]),
                "leader_reward": np.where(elsewhere, rewards, own["leader_reward"]),
            }
            shared.append({**own, **tables})
        return shared


def row_evidence(moves: np.ndarray, prior: float) -> np.ndarray:
    """log DM of each row of arrivals (..., K), in nats, (...): the probability of the sequence of arrivals."""
    from scipy.special import gammaln

    each = prior / moves.shape[-1]
    return gammaln(prior) - gammaln(prior + moves.sum(-1)) + (gammaln(each + moves) - gammaln(each)).sum(-1)


def _probability(odds: np.ndarray, share: float) -> np.ndarray:
    """That rows are the same, from the log evidence for it and how often they are."""
    from scipy.special import expit

    return expit(np.log(share / (1 - share)) + odds)
