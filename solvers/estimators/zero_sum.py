"""The exact hypergradient through the saddle point of a regularised zero-sum game.

Differentiating through the equilibrium (for the static case see Wang, Xu, Perrault, Reiter, Tambe, AAAI 2022), with one S x S solve:
the stage values of Shapley's equation have ``dT V = E[d(r + gamma P V)]`` under both policies (Danskin), as a soft value has, so that only
c, the multiplier of the action values through the policies, differs from `solvers.estimators.implicit`.  At a node with payoffs q, policies
u = softmax(q w / tau), w = softmax(-q' u / tau), covariances C_u = diag(u) - u u', C_w likewise, and h = dF/d(u w')::

    M = [[I, -C_u q / tau], [C_w q' / tau, I]]          M (du, dw) = (C_u dq w, -C_w dq' u) / tau
    (a, b) = M^{-T} (h w, h' u)                         c = (C_u a w' - u (C_w b)') / tau
"""

from __future__ import annotations

from typing import Any

import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.policy_iteration import Plan
from stackelberg_envs.planning.saddle_point import SaddlePoint, saddle_point
from stackelberg_envs.planning.stage_games import Stage
from stackelberg_envs.processes.mdp import decision_problem
from stackelberg_envs.worlds.markov_game import InducedMarkovGame

from ..ascent import Estimate
from ..linear import factors
from .reaction import estimate_in_x, surrogate_objective


def zero_sum_hypergradient(
    oracle: Oracle, leaf: torch.Tensor, worlds: list[tuple[float, tuple[Any, ...]]], memory: Any, *, reaction: bool
) -> Estimate:
    """`exact_gradient` of a leader whose two followers are opponents."""
    whole = direct = torch.zeros((), dtype=leaf.dtype, device=leaf.device)
    tau, kept, value = oracle.temperature, [], 0.0
    for i, (probability, (process,)) in enumerate(worlds):
        frozen = process.map(torch.Tensor.detach)
        with torch.no_grad():
            found = saddle_point(frozen, tau, warm=memory[i] if memory else None, factorise=factors)
        kept.append(found.warm_start)
        plan = Plan(frozen.product(found.policies), found.values, found.evaluations, found.step, found.factorised)

        def reacts(g: torch.Tensor, u: torch.Tensor, frozen: InducedMarkovGame = frozen, found: SaddlePoint = found) -> torch.Tensor:
            del g
            problem = decision_problem(frozen.joint, frozen.of(0).follower_reward)
            q = problem.reward + frozen.follower_discount * problem.transition.expect(found.values)
            shape = (*q.shape[:-1], *frozen.actions)
            return stage_reaction(found.stage, q.reshape(shape), u.reshape(shape), tau).reshape(q.shape)

        at = surrogate_objective(process.of(0), frozen.of(0), plan, tau, reaction=reaction, reacts=reacts, node_values=found.stage.values)
        oracle.charge(newton_evaluations=found.evaluations, factorisations=found.evaluations + at.factorisations, linear_solves=at.solves)
        whole = whole + probability * at.whole
        direct = direct + probability * at.direct if reaction else whole
        value += probability * float(at.returns)
    return estimate_in_x(oracle, whole, direct, leaf, kept, value)


def stage_reaction(stage: Stage, q: torch.Tensor, h: torch.Tensor, temperature: float) -> torch.Tensor:
    """c, (..., B_0, B_1): the derivative of sum h (u w') in the payoffs q, both (..., B_0, B_1), at solved stage games."""
    u, w = stage.first, stage.second
    rows, columns = q.shape[-2:]
    cov_u, cov_w = (torch.diag_embed(p) - p[..., :, None] * p[..., None, :] for p in (u, w))
    transposed = torch.eye(rows + columns, dtype=q.dtype, device=q.device).repeat(*q.shape[:-2], 1, 1)
    transposed[..., :rows, rows:] = q @ cov_w / temperature
    transposed[..., rows:, :rows] = -q.mT @ cov_u / temperature
    own = torch.cat([_matvec(h, w), _matvec(h.mT, u)], dim=-1)
    a, b = torch.linalg.solve(transposed, own).split([rows, columns], dim=-1)
    return (_matvec(cov_u, a)[..., :, None] * w[..., None, :] - u[..., :, None] * _matvec(cov_w, b)[..., None, :]) / temperature


def _matvec(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return (matrix @ vector[..., None])[..., 0]
