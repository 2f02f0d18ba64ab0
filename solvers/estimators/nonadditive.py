"""The exact hypergradient of an objective that is no sum over steps, such as a likelihood of preferences over pairs of trajectories.

A leader Q-function is only a way to the objective's derivatives in the response, and where there is none autograd takes them through
``oracle.objective``.  In the notation of `solvers.estimators.implicit`, whose additive case is u = d_L w Q_L::

    u(n,b) = dF/dg(b|n)       c(n,b) = g(b|n) (u(n,b) - sum_b g u) / tau       direct part: d_x F with g frozen

and from c on everything is as there.  (In the notation of SoBiRL, `solvers.estimators.sobirl`, u is g dF/dg.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.policy_iteration import Plan, soft_policy_iteration
from stackelberg_envs.processes.mdp import MDP, decision_problem

from ..ascent import Estimate
from ..linear import factors
from .reaction import Adjoint, estimate_in_x, reaction_terms, soft_reaction


def nonadditive_hypergradient(
    oracle: Oracle, leaf: torch.Tensor, worlds: list[tuple[float, tuple[MDP, ...]]], memory: Any, *, reaction: bool
) -> Estimate:
    """`exact_gradient` of an objective that is no sum over steps."""
    whole: Any = 0.0
    direct: Any = 0.0
    kept, value, warm = [], 0.0, iter(memory or ())
    for probability, problems in worlds:
        frozen = [mdp.map(torch.Tensor.detach) for mdp in problems]
        with torch.no_grad():
            plans = [soft_policy_iteration(mdp, oracle.temperature, values=next(warm, None), factorise=factors) for mdp in frozen]  # 1
        kept += [plan.values for plan in plans]
        terms, held, worth = nonadditive_surrogate(oracle, problems, frozen, plans, reaction=reaction)
        evaluations = sum(plan.evaluations for plan in plans)
        solves = sum(plan.factorised.solves for plan in plans) - len(plans)  # type: ignore[attr-defined]
        oracle.charge(newton_evaluations=evaluations, factorisations=evaluations, linear_solves=solves)
        whole = whole + probability * terms
        direct = direct + probability * held if reaction else whole
        value += probability * worth
    return estimate_in_x(oracle, whole, direct, leaf, kept, value)


def nonadditive_surrogate(
    oracle: Oracle,
    problems: Sequence[MDP],
    frozen: Sequence[MDP],
    plans: Sequence[Plan],
    *,
    reaction: bool,
    adjoints: Sequence[Adjoint | None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """`surrogate_objective` of any objective in one context: (the scalar whose gradient is the hypergradient, its direct terms, F).

    Args:
        oracle: whose ``objective`` it is.
        problems: what the followers face, with its history in x.
        frozen: the same without.
        plans: the followers' soft responses to it.
        reaction: whether they react to x.
        adjoints: as in `surrogate_objective`, one a follower; worth is sum_nb g u.
    """
    answers = [plan.policy.detach().clone().requires_grad_() for plan in plans]
    surrogate = direct = oracle.objective(problems, [answer.detach() for answer in answers])
    value = float(direct.detach())
    if not reaction:
        return direct, direct, value
    slopes = torch.autograd.grad(oracle.objective(frozen, answers), answers, allow_unused=True, materialize_grads=True)  # 2
    for mdp, still, plan, u, adjoint in zip(problems, frozen, plans, slopes, adjoints or [None] * len(plans), strict=True):
        with torch.no_grad():
            nodes = decision_problem(still, still.follower_reward)
            if nodes.weight.shape[-1] < u.shape[-2]:  # one answer to all leader actions
                u = u.sum(-2, keepdim=True)
            g = plan.policy[..., : u.shape[-2], :]
            c, worth = soft_reaction(g, u, oracle.temperature), (g * u).sum((-2, -1))
        surrogate = surrogate + reaction_terms(mdp, nodes, plan, c, worth, oracle.temperature, adjoint)
    return surrogate, direct, value
