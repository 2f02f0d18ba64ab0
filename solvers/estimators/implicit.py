"""The exact hypergradient through the follower's soft response.

Implicit differentiation of the soft Bellman equation, for design games (A = 1) and Markov games alike.  Chen, Yang, Li, Wang, Yang,
Wang, "Adaptive Model Design for Markov Decision Process", ICML 2022, reach the same gradient by recursing four tables of Jacobians
(AMD); here it costs one adjoint solve and one vector-Jacobian product, whatever the dimension of x.

With nodes n of the follower (see `stackelberg_envs.mdp.decision_problem`), weights w(n|s), response g and temperature tau::

    c(n,b) = d_L(s) w(n|s) g(b|n) (Q_L(n,b) - sum_b g Q_L) / tau       d_L: leader occupancy, Q_L: leader action values
    z      = (I - gamma P_g)^{-T} gamma P^T c                           the adjoint
    y(n,b) = c(n,b) + z(s) w(n|s) g(b|n)                                multiplier of d(r_F + gamma P V)(n,b)
    dF/dx  = W . d rho + sum d_L (d pi g Q_L + pi g (d r_L + gamma_L dP W))     the direct part, with g frozen
           + sum y (d r_F + gamma dP V) + sum z U dw                            the reaction

Algorithm, for each context and follower:

1. soft policy iteration by Newton, warm-started, the last LU factorisation kept
2. leader values W and occupancy d_L: two solves with it
3. adjoint z: one more
4. one vector-Jacobian product of the surrogate whose coefficients are the multipliers
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from stackelberg_envs.followers import Soft
from stackelberg_envs.mdp import InducedMDP, chain, decision_problem, expect, joint_policy
from stackelberg_envs.oracle import Access, Oracle
from stackelberg_envs.planning import Plan, softmax_backup, soft_policy_iteration, system

from ..ascent import Estimate, Estimator
from ..linear import LU


@dataclass(frozen=True)
class Implicit(Estimator):
    """Exact dF/dx by implicit differentiation (MODEL); for soft followers and additive objectives."""

    access: ClassVar[Access] = Access.MODEL

    def declines(self, oracle: Oracle) -> str | None:
        return needs_soft_follower("implicit", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        return exact_gradient(oracle, x, memory, reaction=True)


def needs_soft_follower(name: str, oracle: Oracle) -> str | None:
    """Why an exact gradient cannot be had, or None."""
    if not isinstance(oracle.follower, Soft):
        return f"{name} differentiates a soft response; {oracle.follower!r} is not Soft(temperature)"
    if not oracle.additive:
        return f"{name} needs an additive leader objective (occupancy times leader reward)"
    return None


def exact_gradient(oracle: Oracle, x: torch.Tensor, memory: dict[int, list[torch.Tensor]] | None, *, reaction: bool) -> Estimate:
    """dF/dx over all contexts and followers; without ``reaction`` the response is held fixed (the naive gradient).

    ``memory`` holds each context's soft values, the warm start of the next call.
    """
    memory = memory or {}
    leaf = x.requires_grad_()
    surrogate: Any = 0.0
    kept: dict[int, list[torch.Tensor]] = {}
    for context, probability in enumerate(oracle.context_probabilities):
        warm = memory.get(context)
        kept[context] = []
        for i, mdp in enumerate(oracle.commit(leaf, context)):
            with torch.no_grad():
                plan = soft_policy_iteration(  # 1
                    detached(mdp), oracle.temperature, values=warm[i] if warm else None, factorise=LU
                )
            kept[context].append(plan.values)
            term, solves = surrogate_objective(mdp, plan, oracle.temperature, reaction=reaction)
            oracle.charge(newton_evaluations=plan.evaluations, linear_solves=solves)
            surrogate = surrogate + probability * term
    (gradient,) = torch.autograd.grad(surrogate, leaf)  # 4
    return Estimate(gradient, kept)


def detached(mdp: InducedMDP) -> InducedMDP:
    """The same tables without their history."""
    return replace(
        mdp,
        leader_policy=mdp.leader_policy.detach(),
        transition=mdp.transition.detach(),
        follower_reward=mdp.follower_reward.detach(),
        leader_reward=mdp.leader_reward.detach(),
        initial=mdp.initial.detach(),
    )


def surrogate_objective(mdp: InducedMDP, plan: Plan, temperature: float, *, reaction: bool) -> tuple[torch.Tensor, int]:
    """A scalar whose gradient in x is the hypergradient at ``plan``, and the number of linear solves it took.

    Args:
        mdp: what the follower faces, with its history in x.
        plan: the follower's soft response to it.
        temperature: the follower's.
        reaction: whether the response reacts to x.
    """
    frozen = detached(mdp)
    gamma, gamma_leader = mdp.follower_discount, mdp.leader_discount
    with torch.no_grad():
        joint = joint_policy(frozen, plan.policy)
        kept = plan.factorised
        leader = kept if gamma_leader == gamma else LU(system(chain(joint, frozen.transition), gamma_leader))
        W = leader.solve((joint * frozen.leader_reward).sum((-2, -1)))  # 2
        occupancy = leader.solve_transposed(frozen.initial)
        leader_q = frozen.leader_reward + gamma_leader * expect(frozen.transition, W)
    surrogate = _weigh(mdp.initial, W)
    if mdp.leader_policy.requires_grad:
        surrogate = surrogate + _weigh(mdp.leader_policy, occupancy[:, None] * (plan.policy * leader_q).sum(-1))
    visits = occupancy[:, None, None] * joint
    if mdp.leader_reward.requires_grad:
        surrogate = surrogate + _weigh(mdp.leader_reward, visits)
    if mdp.transition.requires_grad:
        surrogate = surrogate + gamma_leader * _weigh(expect(mdp.transition, W), visits)
    if not reaction:
        return surrogate, 2
    with torch.no_grad():
        nodes = decision_problem(frozen, frozen.follower_reward)
        node_q = decision_problem(frozen, leader_q).reward  # leader action values at the follower's nodes
        g = plan.policy[:, : nodes.weight.shape[-1]]
        weighted = nodes.weight[..., None] * g
        advantage = node_q - (g * node_q).sum(-1, keepdim=True)
        c = occupancy[:, None, None] * weighted * advantage / temperature
        z = kept.solve_transposed(gamma * torch.einsum("snb,snbt->t", c, nodes.transition))  # 3
        y = c + z[:, None, None] * weighted
        U, _ = softmax_backup(nodes.reward + gamma * expect(nodes.transition, plan.values), temperature)
    facing = decision_problem(mdp, mdp.follower_reward)
    surrogate = surrogate + _weigh(facing.reward, y)
    if facing.transition.requires_grad:
        surrogate = surrogate + gamma * _weigh(expect(facing.transition, plan.values), y)
    if facing.weight.requires_grad:
        surrogate = surrogate + _weigh(facing.weight, z[:, None] * U)
    return surrogate, 3


def _weigh(table: torch.Tensor, multipliers: torch.Tensor) -> torch.Tensor:
    return (table * multipliers).sum()
