"""The exact hypergradient where a crowd responds to itself: implicit differentiation of its equilibrium.

At an equilibrium the loads y are those of the response to themselves, and both move with x.  With the surrogate of
`solvers.estimators.reaction`, whose gradient in x is the hypergradient of an ordinary process, write::

    S_L(x, y)            the surrogate of the leader's return at loads y
    S_y(x, y; lambda)    that of the loads' worth at prices lambda: the leader's reward is lambda_l(s,b) times the crowd's mass

    lambda = d_y S_L + d_y S_y(lambda)        prices of loads: what a unit of load costs the leader, with all that follows from it
    dF/dx  = d_x S_L + d_x S_y(lambda)

The equation for lambda is linear, and GMRES needs a few tens of products; each is three solves with the response's own factors and one
vector-Jacobian product.  Without ``reaction`` the policy is held fixed, and with it the loads: dF/dx = d_x S_L.

Source of the formula: the adjoint of the fixed point, as in any bilevel problem with an equilibrium below (Luo, Pang and Ralph, MPECs,
1996); Li, Yu, Nie and Wang, "End-to-end learning and intervention in games", NeurIPS 2020, for traffic.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.linear_systems import PlanningError, gmres
from stackelberg_envs.planning.policy_iteration import Plan
from stackelberg_envs.processes.mdp import MDP

from ..ascent import Estimate
from ..response import soft_response
from .reaction import estimate_in_x, surrogate_objective

TOLERANCE = 1e-11
"""To which GMRES solves for the prices of loads, in relation to their direct part."""


def mean_field_hypergradient(
    oracle: Oracle, leaf: torch.Tensor, worlds: list[tuple[float, tuple[Any, ...]]], memory: Any, *, reaction: bool
) -> Estimate:
    """`solvers.estimators.implicit.exact_gradient` of crowds; ``memory`` holds the loads of each.

    Raises:
        PlanningError: if a crowd has no equilibrium, or the prices of loads are not found.
    """
    whole: Any = 0.0
    direct: Any = 0.0
    kept, value, warm = [], 0.0, iter(memory or ())
    for probability, problems in worlds:
        for world in problems:
            answer = world.soft_answer(oracle.temperature, next(warm, None))
            kept.append(answer.memory)
            loads = answer.memory.detach().clone().requires_grad_()
            mdp = world.at(loads)
            frozen = mdp.map(torch.Tensor.detach)
            plan = soft_response(frozen, oracle.temperature, values=answer.values.detach())
            oracle.charge(newton_evaluations=answer.evaluations + plan.evaluations, factorisations=answer.evaluations)
            found = surrogate_objective(mdp, frozen, plan, oracle.temperature, reaction=reaction)
            oracle.charge(linear_solves=found.solves)
            terms = found.whole
            if reaction:
                terms = terms + _worth_of_loads(oracle, world, mdp, frozen, plan, loads, terms)
            whole = whole + probability * terms
            direct = direct + probability * found.direct if reaction else whole
            value += probability * float(found.returns)
    return estimate_in_x(oracle, whole, direct, leaf, kept, value)


def _worth_of_loads(
    oracle: Oracle, world: Any, mdp: MDP, frozen: MDP, plan: Plan, loads: torch.Tensor, leader: torch.Tensor
) -> torch.Tensor:
    """S_y at the prices that solve the adjoint equation, a scalar whose gradient in x is what moved loads change."""

    def worth(prices: np.ndarray) -> torch.Tensor:
        paid = torch.as_tensor(world.spread(prices), dtype=loads.dtype, device=loads.device)
        at_prices = {"leader_reward": paid, "leader_discount": mdp.follower_discount}
        found = surrogate_objective(replace(mdp, **at_prices), replace(frozen, **at_prices), plan, oracle.temperature, reaction=True)
        oracle.charge(linear_solves=found.solves)
        return found.whole

    def gradient_in_loads(terms: torch.Tensor) -> np.ndarray:
        (found,) = torch.autograd.grad(terms, loads, retain_graph=True, allow_unused=True, materialize_grads=True)
        return found.numpy(force=True)

    direct = gradient_in_loads(leader)
    if not direct.any():
        return torch.zeros_like(leader)
    prices, residual = gmres(lambda v: v - gradient_in_loads(worth(v)), direct, TOLERANCE)
    if not residual < 1e-6:
        raise PlanningError("the prices of loads were not found: does the crowd's equilibrium stand still where its rewards move a little?")
    return worth(prices)
