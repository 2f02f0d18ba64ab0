"""BC-HG where the leader acts in the game: one scan of the benefits, and exact expectations over both players' actions.

The formulas are those of `solvers.estimators.bchg`.
"""

from __future__ import annotations

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.linear_systems import factorise, system
from stackelberg_envs.planning.value_iteration import softmax_backup
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.processes.mdp import MDP, decision_problem, joint_policy

from .critics import LeaderKnowledge, action_values, benefit
from .visits import discounted_sums


def markov_game_hypergradient(
    oracle: Oracle, x: torch.Tensor, seen: Outcome, known: LeaderKnowledge, tau: float, *, scan: int | None, complete: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """dF/dx (n,) where the leader acts in the game, and its direct part (n,), the terms in D and Q_L.

    Args:
        oracle: for the leader's own policy.
        x: the commitment, (n,).
        seen: whole episodes under it.
        known: of the follower; with its action values, and the counted game.
        tau: the follower's temperature, in the units of its values.
        scan: after how many steps to cut episodes; None for their own ends.
        complete: whether what is cut off is completed from the counted game.
    """
    g, mdp, q = known
    assert mdp is not None
    assert q is not None
    leader_q = action_values(mdp, g)
    worth = benefit(mdp, g, leader_q)
    horizon = seen.alive.shape[2] if scan is None else min(scan, seen.alive.shape[2])
    alive, states = seen.alive[:, 0, :horizon], np.minimum(seen.states[:, 0, : horizon + 1], len(g) - 1)
    nodes = seen.leader_actions[:, 0, :horizon] if worth.shape[1] > 1 else 0
    discounts = mdp.leader_discount ** np.arange(horizon + 1)
    gained = np.where(alive, discounts[:-1] * worth[states[:, :-1], nodes, seen.follower_actions[:, 0, :horizon]], 0.0)
    influence = np.zeros(states.shape)
    influence[:, 1:] = mdp.follower_discount * discounted_sums(gained, mdp.follower_discount)
    D = _sum_by_state(states[:, :-1], np.where(alive, discounts[:-1], 0.0), len(g))
    Z = _sum_by_state(states[:, :-1], np.where(alive, influence[:, :-1], 0.0), len(g))
    if complete:
        cut = seen.states[:, 0, horizon, None] < len(g)
        u = _sum_by_state(states[:, -1:], np.where(cut, discounts[-1], 0.0), len(g))
        v = _sum_by_state(states[:, -1:], np.where(cut, influence[:, -1:], 0.0), len(g))
        behind = _truncation_correction(mdp, g, worth, u, v)
        D, Z = D + behind[0], Z + behind[1]
    direct = D[:, None] * (g * leader_q).sum(-1)
    multiplier = direct.copy()
    if mdp.follower_sees == "action":
        multiplier += Z[:, None] * softmax_backup(q, tau)[0] / tau
    else:
        q = np.where(g > 0, q, 0.0)  # -inf where an action is not available
        multiplier += (D[:, None] * (g * worth * q).sum(-1) + Z[:, None] * (g * q).sum(-1)) / tau
    leaf = x.detach().clone().requires_grad_()
    policy = oracle.log_leader_policy(leaf).exp()
    whole, held = (torch.as_tensor(table, dtype=x.dtype, device=x.device) for table in (multiplier, direct))
    (gradient,) = torch.autograd.grad((whole * policy).sum(), leaf, retain_graph=True)
    (direct_part,) = torch.autograd.grad((held * policy).sum(), leaf)
    return gradient, direct_part


def _sum_by_state(states: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Mean over episodes (N, T) of the weights at each state, (S,)."""
    return np.bincount(states.ravel(), weights.ravel(), size) / len(states)


def _truncation_correction(mdp: MDP, g: np.ndarray, worth: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What D and Z lack where episodes are cut, each (S,), in the model."""
    P_g, problem = mdp.kernel.markov_chain(joint_policy(mdp, g)), decision_problem(mdp, mdp.leader_reward)
    d = factorise(system(P_g, mdp.leader_discount)).solve_transposed(u)
    c = d[:, None, None] * problem.weight[..., None] * g[:, : worth.shape[1]] * worth
    arrives = problem.transition.push_forward(c)
    return d, factorise(system(P_g, mdp.follower_discount)).solve_transposed(v + mdp.follower_discount * arrives)
