"""Penalties for a follower that does not answer best, as differentiable scalars.

Shen, Yang, Chen, "Principled Penalty-based Methods for Bilevel Reinforcement Learning and RLHF", ICML 2024 and JMLR 26(114), 2025, arXiv
2402.06886.  The paper was not at hand; the formulas are as specified by our notes, where they are checked numerically, and no official
code was found.  With V^g the follower's return from the start under its policy g, entropy bonus tau H(g) included::

    value     p_V(x, y) = V^{g*} - V^{g_y}                                                  = tau sum_s d(s) KL(s)
    Bellman   p_B(x, y) = E_{s~rho} sum_n w(n|s) [ <g* - g_y, Q*>(n) + tau (H(g*) - H(g_y))(n) ]  = tau E_{s~rho} KL(s)

with g* = softmax(Q*/tau) the best response to x, nodes n and their weights w as in `stackelberg_envs.processes.mdp.decision_problem`, KL(s)
the mean over nodes of KL(g_y | g*) and d the discounted visits of the copy: the two weigh states differently, and p_V is about p_B / (1 -
gamma).

Both are maxima over g* of what stands here, so by Danskin's theorem their gradients are those with g* held fixed: no second derivative, no
Hessian.  A penalty is a function ``(mdp, copy, best, temperature) -> (...)`` of what is faced and of two policies, the copy's g_y and
the best response (or a policy that tracks it), (..., S, A, B) each, ``best`` without history.  Of two opponents with V^{y_0,y_1} the return
of the first, both entropies included, and g_i the best response to the other's copy, the value penalties add up to::

    Nikaido-Isoda   psi(x, y) = V^{g_0,y_1} - V^{y_0,g_1}        >= 0, and 0 at the saddle point alone
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from stackelberg_envs.planning.linear_systems import factorise, system
from stackelberg_envs.planning.policy_evaluation import policy_value, regularised_reward
from stackelberg_envs.processes.markov_game import MarkovGame
from stackelberg_envs.processes.mdp import MDP, at_nodes, entropy, joint_policy

Penalty = Callable[[MDP, "torch.Tensor", "torch.Tensor", float], "torch.Tensor"]


def visits(mdp: MDP, policy: torch.Tensor, discount: float) -> torch.Tensor:
    """d(s) = sum_t discount^t Pr(s_t = s), (..., S): one solve, and every return under ``policy`` is an inner product with it."""
    kernel = mdp.kernel.markov_chain(joint_policy(mdp, policy))
    batch = np.broadcast_shapes(policy.shape[:-3], mdp.transition.shape[:-4], mdp.initial.shape[:-1])
    initial = torch.broadcast_to(mdp.initial, (*batch, mdp.initial.shape[-1]))
    return factorise(system(kernel, discount)).solve_transposed(initial)


def expected_return(mdp: MDP, policy: torch.Tensor, reward: torch.Tensor, visited: torch.Tensor) -> torch.Tensor:
    """The return (...) of ``reward`` (..., S, A, B) under a policy with known `visits`."""
    return (visited * (joint_policy(mdp, policy) * reward).sum((-2, -1))).sum(-1)


def value_penalty(
    mdp: MDP, copy: torch.Tensor, best: torch.Tensor, temperature: float, *, visited: torch.Tensor | None = None
) -> torch.Tensor:
    """p_V: how much more return the follower would have by ``best`` than by ``copy``.

    Args:
        mdp: what the follower faces, with its history in x.
        copy: g_y, (..., S, A, B).
        best: the follower's best response to x, without history.
        temperature: tau.
        visited: `visits` under the copy at the follower's discount, if they are known.
    """
    gamma = mdp.follower_discount
    own = visits(mdp, copy, gamma) if visited is None else visited
    attained = expected_return(mdp, copy, regularised_reward(mdp, copy, temperature), own)
    reward = regularised_reward(mdp, best, temperature)
    return (mdp.initial * policy_value(mdp, best, reward, gamma)).sum(-1) - attained


def bellman_penalty(mdp: MDP, copy: torch.Tensor, best: torch.Tensor, temperature: float) -> torch.Tensor:
    """p_B: how much worse a first action by ``copy`` is than one by ``best``, if ``best`` goes on; arguments as in `value_penalty`."""
    gamma = mdp.follower_discount
    values = policy_value(mdp, best, regularised_reward(mdp, best, temperature), gamma)
    q = at_nodes(mdp, mdp.follower_reward + gamma * mdp.kernel.expect(values))
    count = q.shape[-2]
    g, y = best[..., :count, :], copy[..., :count, :]
    regret = ((g - y) * q).sum(-1) + temperature * (entropy(g) - entropy(y))
    return (mdp.initial * at_leader(mdp, regret)).sum(-1)


def nikaido_isoda(game: MarkovGame, copies: Sequence[torch.Tensor], best: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
    """psi, (...): what the two opponents of a zero-sum game could gain, each alone, over their copies' policies (..., S, A, B_i)."""

    def value(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """V^{first,second} from the start."""
        reward = game.of(0).follower_reward + temperature * (entropy(first) - entropy(second))[..., None]
        together = game.product((first, second))
        return expected_return(game.joint, together, reward, visits(game.joint, together, game.follower_discount))

    return value(best[0], copies[1]) - value(copies[0], best[1])


def at_leader(mdp: MDP, nodes: torch.Tensor) -> torch.Tensor:
    """The mean over a state's nodes, (..., S, N) to (..., S)."""
    pi = mdp.leader_policy
    return (pi * nodes).sum(-1) if nodes.shape[-1] == pi.shape[-1] else nodes[..., 0]


PENALTIES = {"value": value_penalty, "bellman": bellman_penalty}
