"""Followers who answer best: softly, with an entropy bonus, or hard, with a rule for ties."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from array_api_compat import array_namespace

from ..planning.policy_iteration import TIE_TOLERANCE, hard_policy_iteration
from ..processes.arrays import Array, as_float
from ..processes.mdp import MDP, broadcast_over_leader_actions, decision_problem
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

    def answer_in(self, world: World, memory: Any) -> Answer:
        return world.soft_answer(self.temperature, memory)


@dataclass(frozen=True)
class Hard(TabularFollower):
    """A best response without entropy; ties are broken for the leader (``"strong"``), against it (``"weak"``), or evenly."""

    ties: Literal["strong", "weak", "uniform"] = "strong"
    temperature: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.ties not in ("strong", "weak", "uniform"):
            raise ValueError(f"Hard(ties=...) is 'strong', 'weak' or 'uniform', got {self.ties!r}")

    def answer(self, mdp: MDP, values: Array | None) -> Answer:
        del values
        own = decision_problem(mdp, mdp.follower_reward)
        v, q = hard_policy_iteration(own, mdp.follower_discount)
        xp = array_namespace(q)
        tolerance = max(TIE_TOLERANCE, 1000 * float(xp.finfo(q.dtype).eps))
        slack = tolerance * (1 + xp.max(xp.abs(q), axis=(-3, -2, -1), keepdims=True))  # of each commitment of a batch
        best = q >= xp.max(q, axis=-1, keepdims=True) - slack
        if self.ties == "uniform":
            chosen = xp.astype(best, q.dtype)
        else:
            sign = 1.0 if self.ties == "strong" else -1.0
            leader = decision_problem(mdp, sign * mdp.leader_reward)
            _, preference = hard_policy_iteration(leader, mdp.leader_discount, allowed=best)
            preference = xp.where(best, preference, -xp.inf)
            arms = xp.arange(q.shape[-1], device=q.device)
            chosen = xp.astype(arms == xp.argmax(preference, axis=-1, keepdims=True), q.dtype)
        policy = chosen / xp.sum(chosen, axis=-1, keepdims=True)
        return Answer(broadcast_over_leader_actions(policy, mdp), v, as_float(xp.max(slack)))
