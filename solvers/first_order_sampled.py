"""`solvers.first_order` from episodes: two copies of each follower learn by policy gradients, and their difference is followed.

In each context, with G^L and G^F the discounted rewards from step t on (the follower's with its entropy bonus), V_L and V_F tables of
values from earlier batches, and sigma_0 = 0, sigma_1 = sigma for the copies g_0 (of g*) and g_1 (of g'):

1. a batch for each copy: the leader plays x, followers act by the copy
2. credit of step t: ``gamma_F^t (G^F_t - V_F(s_t)) + sigma_j gamma_L^t (G^L_t - V_L(s_t))``, which multiplies the scores of g_j, beside
   ``gamma_F^t tau dH(g_j)``: the gradient of J + sigma_j F in the copy's logits, and a step of Adam along it
3. after ``copy_steps`` of these, from the last batches, before they move the copies: d_x F and d_x J of g_1, and d_x J of g_0, each by
   scores of the leader's policy and derivatives of its incentive and its cost, as in `solvers.penalty_sampled`
4. dF/dx ~ d_x F(g_1) + (d_x J(g_1) - d_x J(g_0)) / sigma

The batches of 3 were played by the copies that they are about: given the copies the mean is the formula's, but for rewards behind a cut.
Noise is divided by sigma, and so is what the copies have not learned yet.  Charged are ``training_steps``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.processes.mdp import entropy

from .copies import derivatives
from .estimators.visits import discounted_sums, powers
from .optimisers import OPTIMISERS, Optimiser
from .penalty_sampled import direct_surrogate, entries_along, move_baseline, policy_and_log, table_shapes, weights_by_action


@dataclass
class Trained:
    """Two copies of each follower in each context, and what is known of their values."""

    logits: list[list[torch.Tensor]]
    """Of both copies, (S, N, B) of each follower, context by context."""
    optimiser: Optimiser
    baselines: list[list[tuple[np.ndarray, np.ndarray]]]
    """(V_L, V_F), (S,) each, in the same order."""

    @classmethod
    def start(cls, oracle: Oracle, rate: float) -> Trained:
        """Uniform copies."""
        shapes = table_shapes(oracle)
        logits = [[torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in shapes] for _ in range(2)]
        baselines = [[(np.zeros(shape[0]), np.zeros(shape[0])) for shape in shapes] for _ in range(2)]
        return cls(logits, OPTIMISERS["adam"](([one for copy in logits for one in copy], float(rate))), baselines)


def sampled_difference(settings: Any, oracle: Oracle, x: torch.Tensor, trained: Trained) -> tuple[torch.Tensor, torch.Tensor]:
    """Direct and response part at ``x`` (n,), after the copies have learned there; ``settings`` is a `FirstOrder`."""
    direct = response = torch.zeros_like(x)
    for step in range(settings.copy_steps):
        leaf, last = x.clone().requires_grad_(), step == settings.copy_steps - 1
        climbed, earned, gained = (torch.zeros((), dtype=x.dtype) for _ in range(3))
        for j, sigma in enumerate((0.0, settings.sigma)):
            for c, probability in enumerate(map(float, oracle.context_probabilities)):
                copy, paid, own = copy_surrogates(settings, oracle, leaf, c, trained, j, sigma, oracle.temperature)
                climbed, gained = climbed + probability * copy, gained + (2 * j - 1) * probability * own
                earned = earned + j * probability * paid
        if last:  # 4
            (direct,), (response,) = derivatives(earned, [leaf], again=True), derivatives(gained / settings.sigma, [leaf], again=True)
        moved = [one for copy in trained.logits for one in copy]
        for logits, gradient in zip(moved, derivatives(climbed, moved), strict=True):
            logits.grad = gradient
        trained.optimiser.step()
        trained.optimiser.zero_grad()
    return direct, response


def copy_surrogates(
    settings: Any, oracle: Oracle, x: torch.Tensor, context: int, trained: Trained, j: int, sigma: float, tau: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of copy j in one context: scalars whose gradients are those of J + sigma F in its logits, and of F and of J in ``x``.

    ``tau`` is the temperature of the entropy bonus in J.
    """
    here, x = x.detach().numpy(), x[context] if oracle.context_visibility == "before" else x
    own = range(context * oracle.followers, (context + 1) * oracle.followers)
    there = zip(own, oracle.available[context], oracle.sizes, strict=True)
    copies = [policy_and_log(trained.logits[j][k], mask, size) for k, mask, size in there]
    acting = [policy.detach().numpy() for policy, _ in copies]
    seen, rewards = oracle.play_as(here, acting, context, episodes=settings.episodes, horizon=settings.horizon or None)  # 1
    leads = discounted_sums(seen.leader_rewards, oracle.leader_discount, ahead=True)
    climbed, earned, gained = (torch.zeros((), dtype=x.dtype) for _ in range(3))
    for i, (k, (policy, log), gamma) in enumerate(zip(own, copies, oracle.follower_discounts, strict=True)):
        V_L, V_F = trained.baselines[j][k]
        follows = discounted_sums(rewards[:, i] + tau * entries_along(entropy(acting[i]), seen, i), gamma, ahead=True)
        states, t_L, t_F = seen.states[:, i, :-1], powers(oracle.leader_discount, leads), powers(gamma, follows)
        credits = t_L * (leads - np.append(V_L, 0.0)[states]), t_F * (follows - np.append(V_F, 0.0)[states])
        of_leader, of_follower, paid, visited = (weights_by_action(seen, i, oracle, weights) for weights in (*credits, t_L, t_F))
        entropies = (visited * (policy * log).sum(-1, keepdim=True)).sum()
        climbed = climbed + ((of_follower + sigma * of_leader) * log).sum() - tau * entropies  # 2
        nothing = torch.zeros_like(paid)
        earned = earned + direct_surrogate(oracle, x, context, i, of_leader, nothing, paid)  # 3
        gained = gained + direct_surrogate(oracle, x, context, i, of_follower, visited, nothing)
        _learn_values(settings.baseline_rate, (V_L, V_F), (leads, follows), seen, i)
    return climbed, earned, gained


def _learn_values(rate: float, tables: tuple[np.ndarray, ...], returns: tuple[np.ndarray, ...], seen: Outcome, follower: int) -> None:
    """Move the tables, in place, towards this batch, which has been used by now."""
    for table, togo in zip(tables, returns, strict=True):
        move_baseline(table, togo, seen, follower, rate)
