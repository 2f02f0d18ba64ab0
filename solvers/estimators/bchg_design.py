"""BC-HG where the leader sets rewards: dq_F is averaged over the visits of each pair, as in `solvers.estimators.hpgd`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.play.outcomes import Outcome

from .visits import Tables, VisitSums, centred_means, visit_sums


def design_tables(
    oracle: Oracle,
    seen: Outcome,
    everywhere: Outcome | None,
    benefits: np.ndarray | None,
    tau: float,
    *,
    both: bool,
    unvisited_as_zero: bool = False,
    device: torch.device | str = "cpu",
) -> Tables:
    """Multipliers of d_x r and of -d_x cost where the leader sets rewards.

    Args:
        oracle: for sizes and discounts.
        seen: episodes under the commitment.
        everywhere: a batch that starts in all states, from which returns and dq_F are averaged; None for ``seen``.
        benefits: B_L(s,b), (S, B), from a critic; None to average returns.
        tau: the follower's temperature.
        both: whether dq_F is centred too.
        unvisited_as_zero: whether both means are 0 for pairs that ``everywhere`` never visits, as published; else such a pair has no part.
        device: of the passes over visits.
    """
    s, _, b = oracle.sizes[0]
    on = visit_sums(device)
    own = reacted = _batch(on, seen, b, oracle.leader_discount)
    counts, worth, weights = on.returns_by_pair(*own, s * b)
    tabled = counts, worth
    if everywhere is not None:
        reacted = _batch(on, everywhere, b, oracle.leader_discount)
        tabled = on.returns_by_pair(*reacted, s * b)[:2]
    value = centred_means(tabled[1], tabled[0], b, unvisited_as_zero=unvisited_as_zero) if benefits is None else benefits.ravel()
    c = value * weights / (tau * max(1, int(seen.ended.sum())))
    c = c if unvisited_as_zero else np.where(tabled[0] > 0, c, 0.0)
    weight = centred_means(c, tabled[0], b) if both else c / np.maximum(tabled[0], 1)
    reaction = on.influences_by_pair(*reacted[:2], weight, oracle.follower_discounts[0])
    starts = np.bincount(seen.states[:, 0, 0], minlength=s) / len(seen.states)
    visits = np.maximum(counts.reshape(s, b).sum(-1), 1)
    paid = on.influences_by_pair(*own[:2], np.repeat(starts / visits, b), oracle.leader_discount)
    return Tables(reaction.reshape(s, b), paid.reshape(s, b))


def _batch(on: VisitSums, seen: Outcome, b: int, discount: float) -> tuple[Any, Any, Any, np.ndarray]:
    """Pairs, alive, rewards and discounts, as `solvers.estimators.visits.returns_by_pair` takes them."""
    placed = on.place(seen.pairs(0, b), seen.alive[:, 0], seen.leader_rewards)
    return *placed, discount ** np.arange(max(2, seen.alive.shape[2]))
