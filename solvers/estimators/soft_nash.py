"""The exact hypergradient through the entropy-regularised Markov-perfect equilibrium of several followers.

The action values q of all followers solve R(q, x) = 0 (`stackelberg_envs.planning.soft_nash`), R the difference of q to T(q, x), the mean
over the others of ``r_i + gamma P V_i``.  By the implicit function theorem, with the leader's return F as a function of policies and x::

    (dR/dq)^T lambda = dF/dq          dF/dx = F_x + lambda . T_x

dR/dq is the dense Jacobian of the planner, D x D, D = S sum_i B_i.  It is that of all followers, also where the equilibrium is symmetric,
for x may favour one of them.  At a fold of the branch there is no derivative.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.linear_systems import system
from stackelberg_envs.planning.policy_iteration import Plan
from stackelberg_envs.planning.soft_nash import Linearisation, StageEquations, soft_nash
from stackelberg_envs.processes.arrays import as_numpy
from stackelberg_envs.processes.mdp import broadcast_over_leader_actions, decision_problem, joint_policy
from stackelberg_envs.worlds.markov_game import InducedMarkovGame

from ..ascent import Estimate
from ..linear import factors
from .reaction import gradient_in_x, inner_product, surrogate_objective


def soft_nash_hypergradient(oracle: Oracle, leaf: torch.Tensor, worlds: list[tuple[float, tuple[Any, ...]]], *, reaction: bool) -> Estimate:
    """`solvers.estimators.implicit.exact_gradient` of a leader whose followers play `stackelberg_envs.SoftNash`.

    Raises:
        PlanningError: if an equilibrium is not found.
    """
    total: Any = 0.0
    value, tau = 0.0, oracle.temperature
    for probability, (process,) in worlds:
        frozen, plain = process.map(torch.Tensor.detach), process.map(as_numpy)
        found = soft_nash(plain, tau)
        policies = [broadcast_over_leader_actions(_like(policy, frozen), frozen.joint) for policy in found.policies]
        together = frozen.product(policies)
        chain = frozen.kernel.markov_chain(joint_policy(frozen.joint, together))
        kept = factors(system(chain, frozen.follower_discount))
        plan = Plan(together, _like(found.values[0], frozen), found.evaluations, found.certificate, kept)
        terms, returns, solves, more = surrogate_objective(process.joint, frozen.joint, plan, tau, reaction=False)
        oracle.charge(newton_evaluations=found.evaluations, factorisations=found.evaluations + 1 + more, linear_solves=solves)
        if reaction:
            equations = StageEquations(plain, reduce=False).at(found.action_values, tau)
            multipliers = np.linalg.solve(equations.jacobian.T, _policy_gradient(frozen, plan, equations, tau))
            terms = terms + _worth_of_payoffs(process, policies, equations, multipliers)
            oracle.charge(factorisations=1, linear_solves=1)
        total = total + probability * terms
        value += probability * float(returns)
    return Estimate(gradient_in_x(total, leaf), None, value)


def _policy_gradient(frozen: InducedMarkovGame, plan: Plan, equations: Linearisation, temperature: float) -> np.ndarray:
    """dF/dq, (D,): how the leader's return moves with the action values by which followers play."""
    mdp, gamma, e = frozen.joint, frozen.leader_discount, equations.equations
    leader = factors(system(mdp.kernel.markov_chain(joint_policy(mdp, plan.policy)), gamma))
    worth = leader.solve((joint_policy(mdp, plan.policy) * mdp.leader_reward).sum((-2, -1)))
    nodes = decision_problem(mdp, mdp.leader_reward)
    visited = leader.solve_transposed(mdp.initial)[:, None, None] * nodes.weight[..., None]
    slope = visited * (nodes.reward + gamma * nodes.transition.expect(worth))
    slopes = []
    for i, g in enumerate(equations.policies):
        own = e.mean_over(as_numpy(slope), equations.policies, [i])
        slopes.append((g * (own - (g * own).sum(-1, keepdims=True)) / temperature).ravel())
    return np.concatenate(slopes)


def _worth_of_payoffs(
    process: InducedMarkovGame, policies: list[torch.Tensor], equations: Linearisation, multipliers: np.ndarray
) -> torch.Tensor:
    """lambda . T(q, x), a scalar with its history in x."""
    e, total = equations.equations, torch.zeros((), dtype=process.initial.dtype, device=process.initial.device)
    for i in e.everybody:
        mdp = process.facing(i, policies)
        problem = decision_problem(mdp, mdp.follower_reward)
        best, _ = e.soft_values(equations.q, i, equations.temperature)
        values = problem.mean_over_nodes(_like(best, process))
        payoffs = problem.reward + mdp.follower_discount * problem.transition.expect(values)
        total = total + inner_product(payoffs, _like(e.own(multipliers, i), process), 3)
    return total


def _like(table: np.ndarray, process: InducedMarkovGame) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(table), dtype=process.initial.dtype, device=process.initial.device)
