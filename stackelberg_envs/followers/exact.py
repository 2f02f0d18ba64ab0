"""Followers with an exact best response: soft, with an entropy bonus, or hard, with a rule for ties."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..planning.hard_policy_iteration import TIE_TOLERANCE, hard_policy_iteration
from ..planning.loss import loss_bound
from ..processes.arrays import Array, array_namespace, max_over_actions
from ..processes.mdp import MDP, DecisionProblem, broadcast_over_leader_actions, decision_problem
from ..response import Answer
from ..worlds.base import World
from .base import IndependentFollower, TabularFollower


@dataclass(frozen=True)
class Soft(IndependentFollower):
    """The entropy-regularised best response, unique and differentiable: g = softmax(Q / temperature)."""

    temperature: float

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"Soft needs a temperature above 0, and finite, got {self.temperature}; for the limit use Hard(ties=...)")

    @property
    def temperatures(self) -> tuple[float, float]:
        return self.temperature, self.temperature

    def answer_in(self, world: World, memory: Any) -> Answer:
        return world.soft_answer(self.temperature, memory)


@dataclass(frozen=True)
class Hard(TabularFollower):
    """A best response without entropy; ties are broken for the leader (``"strong"``), against it (``"weak"``), or evenly."""

    ties: Literal["strong", "weak", "uniform"] = "strong"
    temperature: float = field(default=0.0, init=False)

    @property
    def temperatures(self) -> tuple[float, float]:
        return 0.0, 0.0

    def answer_in(self, world: World, memory: Any) -> Answer:
        return world.hard_answer(self, memory)

    def answer(self, mdp: MDP, values: Array | None) -> Answer:
        del values
        own = decision_problem(mdp, mdp.follower_reward)
        plan = hard_policy_iteration(own, mdp.follower_discount)
        q, xp = plan.action_values, array_namespace(plan.values)
        top = max_over_actions(q)
        tolerance = max(TIE_TOLERANCE, 1000 * float(xp.finfo(q.dtype).eps))
        slack = tolerance * (1 + xp.max(xp.abs(top), axis=(-2, -1)))  # of each commitment of a batch; a bad action blurs no others
        best = q >= (top - slack[..., None, None])[..., None]
        if self.ties == "uniform":
            chosen = xp.astype(best, q.dtype)
        else:
            sign = 1.0 if self.ties == "strong" else -1.0
            leader = decision_problem(mdp, sign * mdp.leader_reward)
            preference = hard_policy_iteration(leader, mdp.leader_discount, allowed=best).action_values
            arms = xp.arange(q.shape[-1], device=q.device)
            chosen = xp.astype(arms == xp.argmax(preference, axis=-1, keepdims=True), q.dtype)
        policy = chosen / xp.sum(chosen, axis=-1, keepdims=True)
        if plan.ending is not None:
            policy = _end_episodes(own, policy, plan.ending)
        certificate = loss_bound(own, mdp.follower_discount, policy, plan.values)
        return Answer(broadcast_over_leader_actions(policy, mdp), plan.values, certificate, max(1, plan.evaluations))


def _end_episodes(problem: DecisionProblem, policy: Array, ending: Array) -> Array:
    """``policy``, and where it never ends, the equally good ``ending``, which does; (..., S, N, B).

    Where the discount is 1, an action may be as good as another and lead back to where one was.  States from which the policy reaches the
    end do so without those from which it does not, and from the latter ``ending`` leads to the end or to the former.
    """
    chain = problem.transition.markov_chain(problem.weight[..., None] * policy)
    if chain.reaches_end():
        return policy
    xp = array_namespace(policy)
    endless = xp.asarray(chain.endless_states(), device=policy.device)
    return xp.where(endless[..., None, None], ending, policy)
