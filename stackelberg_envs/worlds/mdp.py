"""One follower: a Markov decision process with tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..planning.policy_iteration import soft_policy_iteration
from ..planning.value_iteration import rounding_error
from ..processes.arrays import Array
from ..processes.mdp import MDP
from ..response import Answer
from .tabular import TabularWorld


class InducedMDP(MDP, TabularWorld):
    """The decision process that a commitment induces for one follower, as tables.

    ``transition`` is a dense array; or a `stackelberg_envs.SharedRows`, which keeps rows that actions share once; or a
    `stackelberg_envs.SuccessorLists`, for worlds too big for dense tables; or any other
    `stackelberg_envs.processes.transitions.Transition`.  Its rows are non-negative and sum to at most 1; the deficit is the probability
    that the episode ends, and the end has value 0 and no entropy.  ``kernel`` has the operations of all layouts.

    Args:
        leader_policy: ``pi(a|s)``, shape (..., S, A).
        transition: ``P(s'|s,a,b)``, shape (..., S, A, B, S), in any layout.
        follower_reward: r_F(s,a,b), shape (..., S, A, B).
        leader_reward: r_L(s,a,b), shape (..., S, A, B).
        initial: rho(s), shape (..., S).
        follower_discount: in [0, 1]; 1 only where every episode ends.
        leader_discount: likewise.
        follower_sees: ``"action"``, the leader's realised action before the follower moves (V = sum_a pi tau LSE_b Q/tau), or
            ``"policy"``, only pi (V = tau LSE_b sum_a pi Q/tau).  These are different games, unless A = 1.
        available: which actions the follower has, booleans (..., S, A, B); None where it has all.  A follower reward of -inf says the
            same.  A follower that sees only the policy has the actions that are available whatever the leader does.  Rewards of
            unavailable actions are kept as 0.

    Raises:
        ValueError: if ``follower_sees`` is neither, a discount is outside [0, 1], or the follower has no action in some state.
    """

    @property
    def joint(self) -> InducedMDP:  # type: ignore[override]
        """The process itself: there is one follower."""
        return self

    def with_rewards(self, factor: float, constant: float) -> InducedMDP:
        return replace(self, follower_reward=factor * self.follower_reward + constant)

    def product(self, policies: Sequence[Array]) -> Array:
        (policy,) = policies
        return policy

    def facing(self, player: int, policies: Sequence[Array], temperature: float = 0.0) -> InducedMDP:
        del player, policies, temperature
        return self

    def soft_answer(self, temperature: float, values: Any) -> Answer:
        plan = soft_policy_iteration(self, temperature, values=values)
        certificate = 2 * plan.bound if plan.bound < float("inf") else max(plan.step, rounding_error(plan.values, self.follower_discount))
        return Answer(plan.policy, plan.values, certificate, plan.evaluations, planned_in=self)

    def tables_for(self, follower: Any) -> InducedMDP:
        return self
