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

Objectives that are no sums over steps have c from their derivatives: `solvers.estimators.nonadditive`.

Algorithm, for each context and follower:

1. soft policy iteration by Newton, warm-started, the last LU factorisation kept
2. leader values W and occupancy d_L: two solves with it
3. adjoint z: one more
4. one vector-Jacobian product of the surrogate whose coefficients are the multipliers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from stackelberg_envs.access import Access, Oracle
from stackelberg_envs.mdp import InducedMDP, chain, decision_problem, expect, joint_policy, stack
from stackelberg_envs.planning import Plan, soft_policy_iteration, system

from ..ascent import Estimate, Estimator
from ..linear import LU
from ..needs import needs_soft_follower
from .nonadditive import through_objective
from .reaction import Adjoint, reaction_terms, slope, weigh


@dataclass(frozen=True)
class Implicit(Estimator):
    """Exact dF/dx by implicit differentiation (MODEL); for soft followers.

    Args:
        one_context: take the gradient of one context, drawn anew at each iteration, as AMD is published; else of all of them.
    """

    access: ClassVar[Access] = Access.MODEL
    one_context: bool = False

    def declines(self, oracle: Oracle) -> str | None:
        return needs_soft_follower("implicit", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        if not self.one_context:
            return exact_gradient(oracle, x, memory, reaction=True)
        drawn = int(rng.choice(len(oracle.contexts), p=oracle.context_probabilities))
        kept = memory or {}
        exact = exact_gradient(oracle, x, kept.get(drawn), reaction=True, context=drawn)
        return Estimate(exact.gradient, {**kept, drawn: exact.memory})


def exact_gradient(
    oracle: Oracle, x: torch.Tensor, memory: list[torch.Tensor] | None, *, reaction: bool, context: int | None = None
) -> Estimate:
    """dF/dx and F(x) over all contexts (or of one) and all followers; without ``reaction`` the response is held fixed (the naive gradient).

    ``memory`` holds soft values, the warm start of the next call.  Contexts and followers of equal sizes are solved as one batch.
    """
    leaf = x.detach().clone().requires_grad_()
    drawn = enumerate(oracle.context_probabilities) if context is None else [(context, 1.0)]
    worlds = [(float(p), oracle.commit(leaf, c)) for c, p in drawn]
    if not oracle.additive:
        return through_objective(oracle, leaf, worlds, memory, reaction=reaction)
    problems = [(p, mdp) for p, world in worlds for mdp in world]
    surrogate: Any = 0.0
    kept, value = [], 0.0
    for i, (weights, mdp) in enumerate(batches(problems)):
        frozen = mdp.map(torch.Tensor.detach)
        with torch.no_grad():
            plan = soft_policy_iteration(frozen, oracle.temperature, values=memory[i] if memory else None, factorise=LU)  # 1
        kept.append(plan.values)
        terms, returns, solves, factorisations = surrogate_objective(mdp, frozen, plan, oracle.temperature, reaction=reaction)
        count = len(weights)
        oracle.charge(
            newton_evaluations=plan.evaluations * count,
            factorisations=(plan.evaluations + factorisations) * count,
            linear_solves=solves * count,
        )
        surrogate = surrogate + (weights * terms).sum()
        value += float((weights * returns).sum())
    return Estimate(slope(surrogate, leaf), kept, value)  # 4


def batches(problems: list[tuple[float, InducedMDP]]) -> list[tuple[torch.Tensor, InducedMDP]]:
    """Processes of equal sizes stacked, with their probabilities (K,)."""
    groups: dict[Any, list[tuple[float, InducedMDP]]] = {}
    for probability, mdp in problems:
        groups.setdefault((mdp.sizes, mdp.follower_discount, mdp.leader_discount, mdp.follower_sees), []).append((probability, mdp))
    batches = []
    for group in groups.values():
        policy = group[0][1].leader_policy
        weights = torch.tensor([probability for probability, _ in group], dtype=policy.dtype, device=policy.device)
        batches.append((weights, stack([mdp for _, mdp in group])))
    return batches


def surrogate_objective(
    mdp: InducedMDP,
    frozen: InducedMDP,
    plan: Plan,
    temperature: float,
    *,
    reaction: bool,
    adjoint: Adjoint | None = None,
) -> tuple[torch.Tensor, torch.Tensor, int, int]:
    """Scalars (...) whose gradients in x are the hypergradients at ``plan``; the leader's returns (...); and the work each took.

    Args:
        mdp: what the follower faces, with its history in x.
        frozen: the same without.
        plan: the follower's soft response to it.
        temperature: the follower's.
        reaction: whether the response reacts to x.
        adjoint: gives z otherwise than by a solve.

    Returns:
        The scalars, the returns, the number of linear solves, and of factorisations beyond the plan's own.
    """
    gamma, gamma_leader = mdp.follower_discount, mdp.leader_discount
    with torch.no_grad():
        joint = joint_policy(frozen, plan.policy)
        kept: Any = plan.factorised
        solved = kept.solves
        leader = kept if gamma_leader == gamma else LU(system(chain(joint, frozen.transition), gamma_leader))
        W = leader.solve((joint * frozen.leader_reward).sum((-2, -1)))  # 2
        occupancy = leader.solve_transposed(frozen.initial)
        leader_q = frozen.leader_reward + gamma_leader * expect(frozen.transition, W)
        visits = occupancy[..., None, None] * joint
        returns = weigh(frozen.initial, W, 1)
    surrogate = weigh(mdp.initial, W, 1)
    if mdp.leader_policy.requires_grad:
        surrogate = surrogate + weigh(mdp.leader_policy, occupancy[..., None] * (plan.policy * leader_q).sum(-1), 2)
    if mdp.leader_reward.requires_grad:
        surrogate = surrogate + weigh(mdp.leader_reward, visits, 3)
    if mdp.transition.requires_grad:
        surrogate = surrogate + gamma_leader * weigh(expect(mdp.transition, W), visits, 3)
    if not reaction:
        return surrogate, returns, *_work(leader, kept, solved)
    with torch.no_grad():
        nodes = decision_problem(frozen, frozen.follower_reward)
        node_q = decision_problem(frozen, leader_q).reward  # leader action values at the follower's nodes
        g = plan.policy[..., : nodes.weight.shape[-1], :]
        weighted = nodes.weight[..., None] * g
        advantage = node_q - (g * node_q).sum(-1, keepdim=True)
        c = occupancy[..., None, None] * weighted * advantage / temperature
    surrogate = surrogate + reaction_terms(mdp, nodes, plan, c, occupancy * W, temperature, adjoint)
    return surrogate, returns, *_work(leader, kept, solved)


def _work(leader: LU, kept: LU, solved: int) -> tuple[int, int]:
    """(linear solves, factorisations) since the kept factors had ``solved`` times been solved with."""
    another = leader is not kept
    return kept.solves - solved + (leader.solves if another else 0), int(another)
