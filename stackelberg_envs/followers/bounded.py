"""Followers with bounded rationality: logit errors, or a limited number of sweeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..arguments import real, whole
from ..planning.hard_policy_iteration import hard_policy_iteration
from ..planning.loss import loss_bound
from ..planning.value_iteration import soft_backup, softmax_backup
from ..processes.arrays import Array, array_namespace
from ..processes.mdp import MDP, broadcast_over_leader_actions, decision_problem
from ..response import Answer
from .base import TabularFollower


@dataclass(frozen=True)
class Quantal(TabularFollower):
    """Plans without error and acts with logit errors: softmax of the hard-optimal action values over ``error``, in units of reward."""

    error: float
    temperature: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.error < float("inf"):
            raise ValueError(f"Quantal needs an error above 0, and finite, got {self.error}; for the limit use Hard(ties=...)")

    @property
    def temperatures(self) -> tuple[float, float]:
        return 0.0, self.error

    def answer(self, mdp: MDP, values: Array | None) -> Answer:
        del values
        problem = decision_problem(mdp, mdp.follower_reward)
        plan = hard_policy_iteration(problem, mdp.follower_discount)
        _, policy = softmax_backup(plan.action_values, self.error)
        certificate = loss_bound(problem, mdp.follower_discount, policy, plan.values)
        return Answer(broadcast_over_leader_actions(policy, mdp), plan.values, certificate, max(1, plan.evaluations))


@dataclass(frozen=True)
class Truncated(TabularFollower):
    """Stops soft value iteration after ``sweeps``; starts from its last values (``"carry"``) or from zero (``"reset"``)."""

    temperature: float
    sweeps: int
    start: Literal["carry", "reset"] = "carry"

    def __post_init__(self) -> None:
        real("temperature of Truncated", self.temperature, 0, open_low=True)
        whole("sweeps of Truncated", self.sweeps, 1)

    def answer(self, mdp: MDP, values: Array | None) -> Answer:
        problem = decision_problem(mdp, mdp.follower_reward)
        xp = array_namespace(problem.reward)
        v = xp.zeros_like(problem.reward[..., 0, 0]) if values is None or self.start == "reset" else values
        for _ in range(self.sweeps):
            v, _ = soft_backup(problem, mdp.follower_discount, self.temperature, v)
        _, policy = soft_backup(problem, mdp.follower_discount, self.temperature, v)
        certificate = float("inf")  # where the discount is 1, nothing is known of values that have not converged
        if mdp.follower_discount < 1:
            certificate = loss_bound(problem, mdp.follower_discount, policy, v, self.temperature)
        return Answer(broadcast_over_leader_actions(policy, mdp), v, certificate, self.sweeps)
