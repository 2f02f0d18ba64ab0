"""The part of a hypergradient that every exact method has in common: how the response reacts, given what it is worth to the leader.

The formulas are those of `solvers.estimators.implicit`: from c, by the adjoint z, to the multipliers y of the follower's own problem.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from stackelberg_envs.mdp import DecisionProblem, InducedMDP, decision_problem, expect
from stackelberg_envs.planning import Plan, softmax_backup

Adjoint = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""``adjoint(gamma P^T c, worth)``, each (..., S), gives z otherwise than by a solve; worth is d_L W, or sum_nb g u."""


def reaction_terms(
    mdp: InducedMDP, nodes: DecisionProblem, plan: Plan, c: torch.Tensor, worth: torch.Tensor, temperature: float, adjoint: Adjoint | None
) -> torch.Tensor:
    """The part of the surrogate in which the response reacts, (...), from c (..., S, N, B); ``nodes`` are those of the frozen process."""
    gamma = mdp.follower_discount
    with torch.no_grad():
        carried = gamma * _carried(c, nodes.transition)
        z = plan.factorised.solve_transposed(carried) if adjoint is None else adjoint(carried, worth)  # 3
        y = c + z[..., None, None] * nodes.weight[..., None] * plan.policy[..., : nodes.weight.shape[-1], :]
    facing = decision_problem(mdp, mdp.follower_reward)
    surrogate = weigh(facing.reward, y, 3)
    if facing.transition.requires_grad:
        surrogate = surrogate + gamma * weigh(expect(facing.transition, plan.values), y, 3)
    if facing.weight.requires_grad:
        U, _ = softmax_backup(nodes.reward + gamma * expect(nodes.transition, plan.values), temperature)
        surrogate = surrogate + weigh(facing.weight, z[..., None] * U, 2)
    return surrogate


def slope(surrogate: Any, leaf: torch.Tensor) -> torch.Tensor:
    """The gradient of a scalar in x; zero where nothing that x moves pays the leader directly."""
    if not isinstance(surrogate, torch.Tensor) or not surrogate.requires_grad:
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(surrogate, leaf)
    return gradient


def weigh(table: torch.Tensor, multipliers: torch.Tensor, axes: int) -> torch.Tensor:
    """Sum of products over the last ``axes`` axes."""
    return (table * multipliers).sum(tuple(range(-axes, 0)))


def _carried(c: torch.Tensor, transition: torch.Tensor) -> torch.Tensor:
    """P^T c: (..., S, N, B) and (..., S, N, B, S) to (..., S)."""
    flat = c.reshape(*c.shape[:-3], 1, -1)
    return (flat @ transition.reshape(*transition.shape[:-4], flat.shape[-1], -1))[..., 0, :]
