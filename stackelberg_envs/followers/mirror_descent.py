"""A follower that improves its policy step by step, as the inner loops of penalty methods do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..arguments import real, whole
from ..planning.policy_evaluation import policy_value, regularised_reward
from ..planning.value_iteration import rounding_error, softmax_backup
from ..processes.arrays import Array, array_namespace, as_float
from ..processes.mdp import MDP, at_nodes, available_at_nodes, broadcast_over_leader_actions
from ..response import Answer
from .base import TabularFollower


@dataclass(frozen=True)
class MirrorDescent(TabularFollower):
    """Improves its last policy by a few steps of regularised policy mirror descent; the first policy is uniform.

    Lan, "Policy mirror descent for reinforcement learning", Math. Programming 2023; Zhan, Cen, Huang, Chen, Lee, Chi, "Policy mirror
    descent for regularized reinforcement learning", SIAM J. Optim. 2023.  With Q^pi evaluated exactly, entropy bonus included::

        log pi <- (log pi + eta Q^pi) / (1 + eta tau), normalised

    Values never fall, and on one process the steps converge to the answer of `Soft`: with delta the expected regret and D the expected
    KL(pi* | pi) under the stationary distribution of pi*, ``delta + (1/eta + tau) D`` shrinks by max(gamma, 1/(1 + eta tau)) a step, and
    the error of log pi, in the end, by 1/(1 + eta tau).  ``rate=inf`` is soft policy iteration: each step is one of Newton's.

    Args:
        temperature: tau, above 0.
        steps: number of policy evaluations and improvements per response.
        rate: eta, above 0, perhaps infinite.
        start: from the last policy (``"carry"``) or from the uniform one (``"reset"``).
    """

    temperature: float
    steps: int = 1
    rate: float = float("inf")
    start: Literal["carry", "reset"] = "carry"

    def __post_init__(self) -> None:
        real("temperature of MirrorDescent", self.temperature, 0, open_low=True)
        whole("steps of MirrorDescent", self.steps, 1)
        if not self.rate > 0:
            raise ValueError(f"rate of MirrorDescent is above 0, perhaps infinite, got {self.rate}")

    def answer(self, mdp: MDP, values: Array | None) -> Answer:
        """``values`` is the log-policy at the follower's nodes, (..., S, N, B); 0 where an action is not available.

        The values answered are those of the last policy but one, from which the last was made.  The new one is no worse, and of the old
        one ``V* - V <= max(T V - V) / (1 - gamma)``, T the soft Bellman operator: that is the certificate.  Where there is a deadline,
        the sum of gamma^t over the steps until then stands for 1 / (1 - gamma).
        """
        log_policy, gamma = values, mdp.follower_discount
        xp = array_namespace(mdp.follower_reward)
        weight = mdp.leader_policy
        there = available_at_nodes(mdp)
        if log_policy is None or self.start == "reset":
            log_policy = xp.zeros_like(at_nodes(mdp, mdp.follower_reward)) - math.log(mdp.sizes[2])
        kept = 1 / (1 + self.rate * self.temperature)
        policy, v, residual = xp.exp(log_policy), None, float("inf")
        if there is not None:  # a log-policy is finite everywhere, and says nothing of what is not available
            _, policy = softmax_backup(xp.where(there, log_policy, -float("inf")), 1.0)
        for _ in range(self.steps):
            wide = broadcast_over_leader_actions(policy, mdp)
            v = policy_value(mdp, wide, regularised_reward(mdp, wide, self.temperature), gamma)
            q = at_nodes(mdp, mdp.follower_reward + gamma * mdp.kernel.expect(v))
            best, _ = softmax_backup(q if there is None else xp.where(there, q, -float("inf")), self.temperature)
            backed_up = xp.sum(weight * best, axis=-1) if best.shape[-1] == weight.shape[-1] else best[..., 0]
            residual = as_float(xp.max(backed_up - v))
            logits = kept * log_policy + ((1 - kept) / self.temperature) * q
            total, policy = softmax_backup(logits if there is None else xp.where(there, logits, -float("inf")), 1.0)
            log_policy = logits - total[..., None]
            if there is not None:
                log_policy = xp.where(there, log_policy, 0.0)
        stages = mdp.kernel.stages
        ahead = sum(gamma**t for t in range(stages)) if stages else 1 / (1 - gamma) if gamma < 1 else float("inf")
        certificate = (residual * ahead if residual > 0 else 0.0) + rounding_error(v, gamma)
        return Answer(broadcast_over_leader_actions(policy, mdp), v, certificate, self.steps, memory=log_policy)
