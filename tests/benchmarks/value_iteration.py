"""Peers by sweeps: soft value iteration with the usual stop, and Jacobians recursed forward; and the gradient at whatever they reach."""

from __future__ import annotations

import torch

from solvers.estimators.reaction import gradient_in_x, surrogate_objective
from solvers.linear import factors
from stackelberg_envs import StackelbergGame
from stackelberg_envs.planning.linear_systems import system
from stackelberg_envs.planning.policy_iteration import Plan
from stackelberg_envs.planning.value_iteration import soft_backup
from stackelberg_envs.processes.mdp import DecisionProblem, decision_problem
from stackelberg_envs.worlds.mdp import InducedMDP


def sup_norm(problem: DecisionProblem, discount: float, temperature: float, tolerance: float) -> tuple[torch.Tensor, int]:
    """Values (S,) of a problem with one node a state, and sweeps, once gamma / (1 - gamma) max |T V - V| is at most ``tolerance``."""
    v, sweeps, change = torch.zeros_like(problem.reward[..., 0, 0]), 0, float("inf")
    while change * discount / (1 - discount) > tolerance:
        q = problem.reward + discount * problem.transition.expect(v)
        top = q.amax(-1, keepdim=True)
        swept = (top + temperature * torch.exp((q - top) / temperature).sum(-1, keepdim=True).log())[..., 0, 0]
        change, v, sweeps = float((swept - v).abs().max()), swept, sweeps + 1
    return v, sweeps


def planned(mdp: InducedMDP, values: torch.Tensor, temperature: float, sweeps: int) -> Plan:
    """The response to ``values`` from anywhere, with what its gradient needs; A = 1."""
    problem = decision_problem(mdp, mdp.follower_reward)
    _, g = soft_backup(problem, mdp.follower_discount, temperature, values)
    kept = factors(system(problem.transition.markov_chain(problem.weight[..., None] * g), mdp.follower_discount))
    return Plan(g, values, sweeps, float("nan"), kept)


def gradient_at(mdp: InducedMDP, frozen: InducedMDP, plan: Plan, temperature: float, leaf: torch.Tensor) -> torch.Tensor:
    """dF/dx by the adjoint at a plan."""
    return gradient_in_x(surrogate_objective(mdp, frozen, plan, temperature, reaction=True).whole, leaf)


class Forward:
    """Four Rooms by soft value iteration, with dV/dx (S, n) and dW/dx (S, n) recursed alongside V and W; written fairly.

    Every sweep moves Jacobians by one product with the chain of the present policy, (S, S) times (S, n), and not by one for each action;
    those of the leader wait until the follower's are there.  Both contexts, float64, cold.
    """

    def __init__(self, game: StackelbergGame, temperature: float) -> None:
        self.game, self.temperature = game, temperature

    def gradient(self, x: torch.Tensor, sweeps: int) -> torch.Tensor:
        """dF/dx after so many sweeps of the follower's, and of the leader's tables."""
        parts = [self._context(x, context, sweeps) for context in range(len(self.game.contexts))]
        return sum((float(p) * part for p, part in zip(self.game.context_probabilities, parts, strict=True)), torch.zeros_like(x))

    def _context(self, x: torch.Tensor, context: int, sweeps: int) -> torch.Tensor:
        def rewards(y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mdp = self.game.problems(y, context)[0]
            return mdp.follower_reward[:, 0], mdp.leader_reward[:, 0]

        mdp = self.game.problems(x, context)[0]
        r, r_leader = rewards(x)
        dr, dr_leader = torch.autograd.functional.jacobian(rewards, x, vectorize=True)
        (s, b), tau, gamma = r.shape, self.temperature, mdp.follower_discount
        flat = mdp.transition.reshape(s * b, s)
        rows, v, dv = flat.view(s, b, s), torch.zeros_like(r[:, 0]), torch.zeros_like(dr[:, 0])
        for _ in range(sweeps):
            q = torch.addmv(r.reshape(-1), flat, v, alpha=gamma).view(s, b)
            g = torch.softmax(q / tau, -1)
            weights = g[:, None]
            v = tau * torch.logsumexp(q / tau, -1)
            dv = torch.addmm((weights @ dr)[:, 0], (weights @ rows)[:, 0], dv, alpha=gamma)
        q = torch.addmv(r.reshape(-1), flat, v, alpha=gamma).view(s, b)
        g = torch.softmax(q / tau, -1)
        weights = g[:, None]
        dq = torch.addmm(dr.reshape(s * b, -1), flat, dv, alpha=gamma).view_as(dr)
        dg = weights[:, 0, :, None] * (dq - weights @ dq) / tau
        kernel, mean = (weights @ rows)[:, 0], (g * r_leader).sum(-1)
        w, dw = torch.zeros_like(v), torch.zeros_like(dv)
        for _ in range(sweeps):
            w = torch.addmv(mean, kernel, w, alpha=mdp.leader_discount)
        q_leader = torch.addmv(r_leader.reshape(-1), flat, w, alpha=mdp.leader_discount).view(s, b)
        direct = (dg * q_leader[..., None]).sum(1) + (weights @ dr_leader)[:, 0]
        for _ in range(sweeps):
            dw = torch.addmm(direct, kernel, dw, alpha=mdp.leader_discount)
        return mdp.initial @ dw
