"""HPGD: a sampled hypergradient from outcomes and the leader's own instrument.

Thoma, Pasztor, Krause, Ramponi, Hu, "Contextual Bilevel Reinforcement Learning for Incentive Alignment", NeurIPS 2024, arXiv
2406.01575, as their public code estimates it (every-visit tables from on-policy episodes), for design games whose leader sets rewards and
nothing else (a kernel that moves with x would need a term that is not here)::

    D_t  = d_x r(s_t, b_t) + gamma D_{t+1}                      how the follower's return reacts, r the incentive
    U_t  = r_L,t + gamma_L U_{t+1}                              what it is worth to the leader
    E_t  = d_x cost(s_t) + gamma_L E_{t+1}                      what it pays for its instrument
    dF/dx ~ 1/N sum_episodes sum_t gamma_L^t (1/tau) (QU - VU)(s_t, b_t) (QD - VD)(s_t, b_t) - sum_s rho(s) VE(s)

with QU, VU, QD, VD, VE the means of U, D and E over visits of (s, b) and of s, and rho the share of episodes that start in s.  D and E
have dim x components, and the dense form needs arrays of shape (T, B, dim x); here the sum is transposed, which is the same number with
the order of summation changed:

1. episodes: one batch (``"same"``) or two (``"independent"``), in one context drawn by nature
2. c(s,b) = (QU - VU)(s,b) sum_visits gamma_L^t / (tau N), from the first batch
3. weight of each visit in the second batch: w = c(s,b)/n(s,b) - sum_b' c(s,b')/n(s), n its visit counts
4. W_t = w_t + gamma W_{t-1} within each episode, a forward scan of scalars
5. likewise Z_t = rho(s_t)/n(s_t) + gamma_L Z_{t-1} for VE
6. dF/dx ~ sum_t W_t d_x r(s_t, b_t) - sum_t Z_t d_x cost(s_t, b_t): one vector-Jacobian product

``batches="geometric"`` is the form of the paper's analysis instead: see `solvers.estimators.geometric`.

**Bias.**  With ``batches="same"``, as published, QU and QD come from the same visits, and their product has a covariance term of order
1/n(s,b) that pushes penalties onto cells whose visits go with bad luck for the leader.  With ``"independent"`` that term is gone
(``tests/test_hpgd.py`` measures both).  Episodes that are cut (by ``max_cycles``, or by the end of a stream) count as ended in D and U,
as in the published code, which biases both where walkers do not arrive in time.  ``"geometric"`` has no bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle, Permission

from ..ascent import Estimate, Estimator
from ..needs import needs_incentives
from .geometric import geometric_tables
from .visits import Tables, centred_means, incentive_estimate, visit_sums

BATCHES = ("same", "independent", "geometric")


@dataclass(frozen=True)
class HPGD(Estimator):
    """Sampled dF/dx for incentive design, from outcomes and the leader's instrument (INCENTIVE).

    Args:
        episodes: how many make a batch, if there are no streams; 300 are some 8,600 steps on Four Rooms at x = 0.
        batches: ``"same"``, as published; ``"independent"``: a second batch for the follower's reaction; or ``"geometric"``, where
            ``episodes`` counts sampled state-action pairs (with the RESET permission).
        streams: instead of whole episodes, watch so many streams of ``steps`` steps, the last episode of each cut; published: 5.
        steps: length of a stream.
    """

    access: ClassVar[Access] = Access.INCENTIVE
    episodes: int = 300
    batches: Literal["same", "independent", "geometric"] = "same"
    streams: int = 0
    steps: int = 2000

    def __post_init__(self) -> None:
        if self.batches not in BATCHES:
            raise ValueError(f"hpgd needs batches 'same', 'independent' or 'geometric', got {self.batches!r}")
        if self.episodes < 1 or self.streams < 0 or self.steps < 1:
            raise ValueError(f"hpgd needs episodes and steps from 1 and streams from 0, got {self!r}")
        if self.streams and self.batches == "geometric":
            raise ValueError("hpgd with batches='geometric' restarts its episodes; it has no streams")

    @property
    def permissions(self) -> Permission:  # type: ignore[override]
        return Permission.RESET if self.batches == "geometric" else Permission.NONE

    def declines(self, oracle: Oracle) -> str | None:
        if (reason := needs_incentives("hpgd", oracle)) is not None:
            return reason
        if self.batches == "geometric" and not max(oracle.leader_discount, *oracle.follower_discounts) < 1:
            return "hpgd with batches='geometric' needs discounts below 1"
        return None

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        here = x.detach().cpu().numpy()
        if self.batches == "geometric":
            context, tables = geometric_tables(oracle, here, self.episodes, rng)
        else:
            context, tables = self._every_visit(oracle, here, x.device)
        return incentive_estimate(oracle, x, context, tables)  # 6

    def _every_visit(self, oracle: Oracle, x: np.ndarray, device: torch.device) -> tuple[int, list[Tables]]:
        """Steps 1 to 5: the context, and the tables of each follower; passes over visits are on ``device``."""
        batches, count = 2 if self.batches == "independent" else 1, self.streams or self.episodes
        if self.streams:  # 1
            seen = oracle.play_streams(x, streams=batches * count, steps=self.steps, one_context=True)
        else:
            seen = oracle.play(x, episodes=batches * count, one_context=True)
        valued, reacted = seen.split(count) if batches == 2 else (seen, seen)
        on, ended, tables = visit_sums(device), max(1, int(valued.ended.sum())), []
        for i, ((s, _, b), discount) in enumerate(zip(oracle.sizes, oracle.follower_discounts, strict=True)):
            pairs, alive, rewards = on.place(valued.pairs(i, b), valued.alive[:, i], valued.leader_rewards)
            discounts = oracle.leader_discount ** np.arange(max(2, alive.shape[1]))
            counts, worth, weights = on.returns_by_pair(pairs, alive, rewards, discounts, s * b)
            c = centred_means(worth, counts, b) * weights / (oracle.temperature * ended)  # 2
            starts = np.bincount(valued.states[:, i, 0], minlength=s) / len(valued.states)
            visits = np.maximum(counts.reshape(s, b).sum(-1), 1)
            paid = on.influences_by_pair(pairs, alive, np.repeat(starts / visits, b), oracle.leader_discount)  # 5
            if reacted is not valued:
                pairs, alive = reacted.pairs(i, b), reacted.alive[:, i]
                counts = np.bincount(pairs[alive], minlength=s * b).astype(np.float64)
                pairs, alive = on.place(pairs, alive)
            weight = centred_means(np.where(counts > 0, c, 0.0), counts, b)  # 3; a pair that this batch never visits says nothing
            reaction = on.influences_by_pair(pairs, alive, weight, discount)  # 4
            tables.append(Tables(reaction.reshape(s, b), paid.reshape(s, b)))
        return int(seen.contexts[0]), tables
