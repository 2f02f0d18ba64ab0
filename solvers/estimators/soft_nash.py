"""The exact hypergradient through the entropy-regularised Markov-perfect equilibrium of several followers, whatever their interests.

The action values q of all followers at their nodes solve q = T(q, x) (see `stackelberg_envs.planning.soft_nash`), and the leader's return
F(q, x) depends on x directly and through q::

    l     = dF/dq + (dT/dq)^T l                 the adjoint, by GMRES with vector-Jacobian products
    dF/dx = d_x F + l^T d_x T

dF/dq is that of the policy gradient theorem: sum_s d_L(s) sum_b Q_L(s,b) d g(b|s), with g the product of all policies.  Without
``reaction`` q is held fixed.  At a fold of the branch there is no derivative.  Source: implicit differentiation of a fixed point, as in any
bilevel problem with an equilibrium below (Luo, Pang and Ralph, MPECs, 1996); for quantal responses Ling, Fang and Kolter, "What game are we
playing?", IJCAI 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.linear_systems import PlanningError, gmres, system
from stackelberg_envs.planning.policy_iteration import Plan
from stackelberg_envs.processes.mdp import decision_problem, joint_policy
from stackelberg_envs.worlds.markov_game import InducedMarkovGame

from ..ascent import Estimate
from ..linear import factors
from .reaction import estimate_in_x, surrogate_objective

TOLERANCE = 1e-11
"""To which GMRES solves for the adjoint, in relation to dF/dq."""


def soft_nash_hypergradient(oracle: Oracle, leaf: torch.Tensor, worlds: list[tuple[float, tuple[Any, ...]]], *, reaction: bool) -> Estimate:
    """`solvers.estimators.implicit.exact_gradient` of a leader whose followers play `stackelberg_envs.SoftNash`.

    Raises:
        PlanningError: if there is no equilibrium, or the adjoint is not found, which is where an equilibrium nearby ceases to exist.
    """
    whole = direct = torch.zeros((), dtype=leaf.dtype, device=leaf.device)
    value = 0.0
    for probability, (process,) in worlds:
        frozen = process.map(torch.Tensor.detach)
        answers = oracle.follower.answers(frozen, None)  # type: ignore[attr-defined]
        policy = frozen.product([answer.policy for answer in answers])
        kept = factors(system(frozen.kernel.markov_chain(joint_policy(frozen.joint, policy)), frozen.leader_discount))
        plan = Plan(policy, answers[0].values, answers[0].evaluations, 0.0, kept)
        held = surrogate_objective(process.joint, frozen.joint, plan, oracle.temperature, reaction=False)
        terms, solves = held.direct, held.solves
        if reaction:
            terms = terms + _reaction(process, frozen, answers, kept, oracle.temperature)
            solves += 2
        oracle.charge(
            newton_evaluations=answers[0].evaluations, factorisations=answers[0].evaluations + held.factorisations + 1, linear_solves=solves
        )
        whole = whole + probability * terms
        direct = direct + probability * held.direct if reaction else whole
        value += probability * float(held.returns)
    return estimate_in_x(oracle, whole, direct, leaf, None, value)


def _reaction(process: InducedMarkovGame, frozen: InducedMarkovGame, answers: tuple[Any, ...], kept: Any, temperature: float) -> Any:
    """A scalar whose gradient in x is what moved policies change, l^T T(q, x)."""
    with torch.no_grad():
        start = _action_values(frozen, [answer.policy for answer in answers], torch.stack([answer.values for answer in answers]))
        own = [answer.policy[..., : q.shape[-2], :] for answer, q in zip(answers, start, strict=True)]
        joint = joint_policy(frozen.joint, frozen.product([answer.policy for answer in answers]))
        worth = kept.solve((joint * frozen.leader_reward).sum((-2, -1)))
        leader_q = frozen.leader_reward + frozen.leader_discount * frozen.kernel.expect(worth)
        nodes = decision_problem(frozen.joint, leader_q)
        weighted = kept.solve_transposed(frozen.initial)[..., None, None] * nodes.weight[..., None] * nodes.reward
    leaves = [q.clone().requires_grad_() for q in start]
    policies = [_policy(q, there, temperature) for q, there in zip(leaves, own, strict=True)]
    values = torch.stack([_values(nodes.weight, q, there, temperature) for q, there in zip(leaves, own, strict=True)])
    direct = _as_vector(torch.autograd.grad((weighted * frozen.product(policies)).sum(), leaves, retain_graph=True))
    if not direct.any():
        return torch.zeros((), dtype=values.dtype)
    reached = _action_values(frozen, policies, values)

    def times(multipliers: np.ndarray) -> np.ndarray:
        weights = _as_tables(multipliers, start)
        return multipliers - _as_vector(torch.autograd.grad(reached, leaves, weights, retain_graph=True))

    adjoint, residual = gmres(times, direct, TOLERANCE)
    if not residual < 1e-6:
        raise PlanningError("the adjoint of an equilibrium was not found: does it end where the commitment moves a little?")
    weight = decision_problem(process.joint, process.joint.leader_reward).weight
    values = torch.stack([_values(weight, q, there, temperature) for q, there in zip(start, own, strict=True)])
    moved = _action_values(process, [answer.policy for answer in answers], values)
    return sum((weight * q).sum() for weight, q in zip(_as_tables(adjoint, start), moved, strict=True))


def _action_values(game: InducedMarkovGame, policies: list[torch.Tensor], values: torch.Tensor) -> list[torch.Tensor]:
    """What actions of each follower are worth at its nodes while others keep to their policies, (S, N, B_i), for given state values."""
    found = []
    for i, own in enumerate(values):
        problem = decision_problem(game.joint, game.follower_rewards[i])
        q = problem.reward + game.follower_discount * problem.transition.expect(own)
        nodes, q = q.shape[-2], q.reshape(*q.shape[:-1], *game.actions)
        for j in reversed(range(len(policies))):
            if j != i:
                other = policies[j][:, :nodes]
                q = (q.movedim(2 + j, -1) * other.reshape(*other.shape[:2], *[1] * (q.ndim - 3), -1)).sum(-1)
        found.append(q)
    return found


def _policy(q: torch.Tensor, there: torch.Tensor, temperature: float) -> torch.Tensor:
    """softmax(q / tau) over the actions that are played at all."""
    return torch.softmax(torch.where(there > 0, q / temperature, -torch.inf), dim=-1)


def _values(weight: torch.Tensor, q: torch.Tensor, there: torch.Tensor, temperature: float) -> torch.Tensor:
    """State values with entropy, (S,)."""
    return (weight * temperature * torch.logsumexp(torch.where(there > 0, q / temperature, -torch.inf), dim=-1)).sum(-1)


def _as_vector(tables: Any) -> np.ndarray:
    return torch.cat([table.reshape(-1) for table in tables]).numpy(force=True)


def _as_tables(flat: np.ndarray, like: list[torch.Tensor]) -> list[torch.Tensor]:
    parts = torch.as_tensor(flat, dtype=like[0].dtype, device=like[0].device).split([table.numel() for table in like])
    return [part.reshape(table.shape) for part, table in zip(parts, like, strict=True)]
