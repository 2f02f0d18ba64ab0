"""The exact exploitability of one agent, where the world has tables: a Markov decision process once the others' policies are put in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stackelberg_envs.planning.hard_policy_iteration import hard_policy_iteration
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.processes.mdp import MDP, broadcast_over_leader_actions, decision_problem


@dataclass(frozen=True)
class ExactResponse:
    """An exact best response, and what it is worth from the start."""

    policy: np.ndarray
    """One best action in each state, integers (S,)."""
    response_return: float
    """max_pi' J(pi')."""
    own_return: float | None
    """J of the agent's own policy; None where it has none."""
    bound: float
    """No value is further than this from the optimum."""

    @property
    def gain(self) -> float | None:
        """The exploitability; None without a policy of its own."""
        return None if self.own_return is None else self.response_return - self.own_return


def exact_response(transition: Any, reward: Any, other: Any, *, initial: Any, discount: float, own: Any = None) -> ExactResponse:
    """The best response to ``other``, by policy iteration.

    Args:
        transition: ``P(s'|s,a,b)``, (S, A, B, S): ``a`` is the other agent's action, ``b`` the responder's, and neither sees the other's
            before it acts.  Rows may sum to less than 1: the rest ends the episode.
        reward: of the responder, (S, A, B).
        other: the other agent's policy, (S, A).
        initial: distribution of the first state, (S,).
        discount: in [0, 1]; 1 only where every episode ends.
        own: the responder's own policy, (S, B), whose exploitability is asked for.

    Raises:
        ValueError: for tables whose shapes do not fit.
        PlanningError: if there is no optimum.
    """
    p, r, pi, rho = (np.asarray(table, dtype=np.float64) for table in (transition, reward, other, initial))
    if p.ndim != 4 or p.shape[0] != p.shape[3]:
        raise ValueError(f"transition is (S, A, B, S), got {p.shape}")
    s, a, b, _ = p.shape
    for name, table, shape in (("reward", r, (s, a, b)), ("other", pi, (s, a)), ("initial", rho, (s,))):
        if table.shape != shape:
            raise ValueError(f"{name} has shape {table.shape}: with this transition it is {shape}")
    mdp = MDP(pi, p, r, r, rho, discount, discount, follower_sees="policy")
    plan = hard_policy_iteration(decision_problem(mdp, r), discount)
    earned = None
    if own is not None:
        policy = np.asarray(own, dtype=np.float64)
        if policy.shape != (s, b):
            raise ValueError(f"own has shape {policy.shape}: with this transition it is {(s, b)}")
        earned = float(rho @ policy_value(mdp, broadcast_over_leader_actions(policy[:, None], mdp), r, discount))
    return ExactResponse(np.argmax(plan.action_values[:, 0], axis=-1), float(rho @ plan.values), earned, plan.bound)
