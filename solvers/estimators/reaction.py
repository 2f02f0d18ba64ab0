"""What every exact method has in common: the surrogate objective, and the part of it in which the response reacts.

The formulas are those of `solvers.estimators.implicit`: from c, by the adjoint z, to the multipliers y of the follower's own problem.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.linear_systems import system
from stackelberg_envs.planning.policy_iteration import Plan
from stackelberg_envs.planning.value_iteration import softmax_backup
from stackelberg_envs.processes.mdp import MDP, DecisionProblem, decision_problem, joint_policy

from ..ascent import Estimate
from ..linear import factors

Adjoint = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""``adjoint(gamma P^T c, worth)``, each (..., S), gives z otherwise than by a solve; worth is d_L W, or sum_nb g u."""


class SurrogateObjective(NamedTuple):
    """What a vector-Jacobian product turns into hypergradients at a plan; see `surrogate_objective`."""

    whole: torch.Tensor
    """Scalars (...) whose gradients in x are the hypergradients."""
    direct: torch.Tensor
    """Their terms in which the follower's policy is held fixed, (...); the same tensor where nothing else is wanted."""
    returns: torch.Tensor
    """The leader's, (...)."""
    solves: int
    """Linear solves that it took."""
    factorisations: int
    """Those beyond the plan's own."""


def surrogate_objective(
    mdp: MDP,
    frozen: MDP,
    plan: Plan,
    temperature: float,
    *,
    reaction: bool,
    adjoint: Adjoint | None = None,
    reacts: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    node_values: torch.Tensor | None = None,
) -> SurrogateObjective:
    """Scalars whose gradients in x are the hypergradients at ``plan`` and their direct parts; the leader's returns; and the work each took.

    Args:
        mdp: what the follower faces, with its history in x.
        frozen: the same without.
        plan: the follower's soft response to it.
        temperature: the follower's.
        reaction: whether the response reacts to x.
        adjoint: gives z otherwise than by a solve.
        reacts: ``reacts(g, u)`` gives c, all (..., S, N, B), from u = dF/dg, where the response is not a softmax.
        node_values: what a follower expects at its decision nodes, (..., S, N), where that is not its soft value.
    """
    gamma, gamma_leader = mdp.follower_discount, mdp.leader_discount
    with torch.no_grad():
        joint = joint_policy(frozen, plan.policy)
        kept: Any = plan.factorised
        solved = kept.solves
        leader = kept if gamma_leader == gamma else factors(system(frozen.kernel.markov_chain(joint), gamma_leader))
        W = leader.solve((joint * frozen.leader_reward).sum((-2, -1)))  # 2
        occupancy = leader.solve_transposed(frozen.initial)
        leader_q = frozen.leader_reward + gamma_leader * frozen.kernel.expect(W)
        visits = occupancy[..., None, None] * joint
        returns = inner_product(frozen.initial, W, 1)
    direct = inner_product(mdp.initial, W, 1)
    if mdp.leader_policy.requires_grad:
        direct = direct + inner_product(mdp.leader_policy, occupancy[..., None] * (plan.policy * leader_q).sum(-1), 2)
    if mdp.leader_reward.requires_grad:
        direct = direct + inner_product(mdp.leader_reward, visits, 3)
    if mdp.transition.requires_grad:
        direct = direct + gamma_leader * inner_product(mdp.kernel.expect(W), visits, 3)
    if not reaction:
        return SurrogateObjective(direct, direct, returns, *_solve_counts(leader, kept, solved))
    with torch.no_grad():
        nodes = decision_problem(frozen, frozen.follower_reward)
        node_q = decision_problem(frozen, leader_q).reward  # leader action values at the follower's nodes
        g = plan.policy[..., : nodes.weight.shape[-1], :]
        weighted = occupancy[..., None, None] * nodes.weight[..., None]
        u = weighted * node_q
        c = soft_reaction(g, u, temperature) if reacts is None else reacts(g, u)
    whole = direct + reaction_terms(mdp, nodes, plan, c, occupancy * W, temperature, adjoint, node_values)
    return SurrogateObjective(whole, direct, returns, *_solve_counts(leader, kept, solved))


def _solve_counts(leader: Any, kept: Any, solved: int) -> tuple[int, int]:
    """(linear solves, factorisations) since the kept factors had ``solved`` times been solved with."""
    another = leader is not kept
    return kept.solves - solved + (leader.solves if another else 0), int(another)


def soft_reaction(g: torch.Tensor, u: torch.Tensor, temperature: float) -> torch.Tensor:
    """c = g (u - sum_b g u) / tau of a softmax g, (..., S, N, B), and u = dF/dg."""
    return g * (u - (g * u).sum(-1, keepdim=True)) / temperature


def reaction_terms(
    mdp: MDP,
    nodes: DecisionProblem,
    plan: Plan,
    c: torch.Tensor,
    worth: torch.Tensor,
    temperature: float,
    adjoint: Adjoint | None,
    node_values: torch.Tensor | None = None,
) -> torch.Tensor:
    """The part of the surrogate in which the response reacts, (...), from c (..., S, N, B); ``nodes`` are those of the frozen process."""
    gamma = mdp.follower_discount
    with torch.no_grad():
        carried = gamma * nodes.transition.push_forward(c)
        z = plan.factorised.solve_transposed(carried) if adjoint is None else adjoint(carried, worth)  # 3
        y = c + z[..., None, None] * nodes.weight[..., None] * plan.policy[..., : nodes.weight.shape[-1], :]
    facing = decision_problem(mdp, mdp.follower_reward)
    surrogate = inner_product(facing.reward, y, 3)
    if facing.transition.requires_grad:
        surrogate = surrogate + gamma * inner_product(facing.transition.expect(plan.values), y, 3)
    if facing.weight.requires_grad:
        U = node_values
        if U is None:
            U, _ = softmax_backup(nodes.action_values(plan.values, gamma), temperature)
        surrogate = surrogate + inner_product(facing.weight, z[..., None] * U, 2)
    return surrogate


def gradient_in_x(surrogate: Any, leaf: torch.Tensor, *, again: bool = False) -> torch.Tensor:
    """The gradient of a scalar in x; zero where nothing that x moves pays the leader directly.

    ``again``: what shares its graph is differentiated next.
    """
    if not isinstance(surrogate, torch.Tensor) or not surrogate.requires_grad:
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(surrogate, leaf, retain_graph=again, allow_unused=True, materialize_grads=True)
    return gradient


def estimate_in_x(oracle: Oracle, whole: Any, direct: Any, leaf: torch.Tensor, memory: Any = None, value: float | None = None) -> Estimate:
    """The gradient in x of a surrogate ``whole``; where the run is measured also that of its terms ``direct``.

    One vector-Jacobian product each, and no solve.
    """
    if direct is whole:  # nothing reacts
        return naive_estimate(gradient_in_x(whole, leaf), memory, value)
    held = gradient_in_x(direct, leaf, again=True) if oracle.measured else None
    gradient = gradient_in_x(whole, leaf)
    return Estimate(gradient, memory, value, direct=held, response=None if held is None else gradient - held)


def naive_estimate(gradient: torch.Tensor, memory: Any = None, value: float | None = None) -> Estimate:
    """A gradient (n,) that is direct part alone: the followers' policies are held fixed."""
    return Estimate(gradient, memory, value, direct=gradient, response=torch.zeros_like(gradient))


def inner_product(table: torch.Tensor, multipliers: torch.Tensor, axes: int) -> torch.Tensor:
    """Sum of products over the last ``axes`` axes."""
    return (table * multipliers).sum(tuple(range(-axes, 0)))
