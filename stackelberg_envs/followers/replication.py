"""Followers that come from mistakes in published code, kept to replicate its numbers; nothing else should use them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..planning.linear_systems import PlanningError
from ..planning.loss import loss_bound
from ..planning.policy_iteration import soft_policy_iteration
from ..planning.value_iteration import softmax_backup
from ..processes.arrays import Array, array_namespace
from ..processes.mdp import MDP, decision_problem, mask_action_values
from ..response import Answer
from .base import TabularFollower


@dataclass(frozen=True)
class SoftInside(TabularFollower):
    """The follower of the published BC-HG code, which by mistake takes the leader's expectation inside the log-sum-exp.

    It plans as if it could not see the leader's next action, and then acts on the one it sees::

        V(s') = tau log sum_b exp( sum_a pi(a|s') Q(s',a,b) / tau ) ;  Q = r_F + gamma P V ;  g(b|s,a) = softmax_b( Q(s,a,b) / tau )

    So the values of its answer are those of its mistaken plan, and it has a gap to `Soft`, the true best response for its objective,
    which the certificate bounds.  Where followers see only the policy this is the right order, and it answers as `Soft` does.

    Source: ``SoftQIteration.train_once`` in the code of Kudo, Tanabe, Wachi, Akimoto, ICAPS 2026, arXiv 2603.14867.
    """

    temperature: float

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"SoftInside needs a temperature above 0, and finite, got {self.temperature}")

    def answer(self, mdp: MDP, values: Array | None) -> Answer:
        if mdp.available is not None and not bool(array_namespace(mdp.available).any(mdp.available.all(-2), axis=-1).all()):
            raise PlanningError("SoftInside plans with the actions that it has whatever the leader does, and in some state there are none")
        plan = soft_policy_iteration(replace(mdp, follower_sees="policy"), self.temperature, values=values)
        policy = plan.policy
        if mdp.follower_sees == "action":
            q = mask_action_values(mdp, mdp.follower_reward + mdp.follower_discount * mdp.kernel.expect(plan.values))
            _, policy = softmax_backup(q, self.temperature)
        lost = float("inf")
        if mdp.follower_discount < 1:
            problem = decision_problem(mdp, mdp.follower_reward)
            lost = loss_bound(problem, mdp.follower_discount, policy[..., : problem.weight.shape[-1], :], plan.values, self.temperature)
        return Answer(policy, plan.values, lost, plan.evaluations)
