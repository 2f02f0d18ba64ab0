"""Differences of two penalised optima: the hypergradient from first derivatives alone.

Gaur, Singh, Bedi, Pasupathy, Aggarwal, "On the Sample Complexity Bounds of Bilevel Reinforcement Learning", NeurIPS 2025, arXiv
2503.17644, by the formula that our notes state; the paper's algorithm and code were not at hand.  With J(x, g) the follower's return,
entropy bonus included, F(x, g) the leader's, and sigma > 0::

    h(x)   = max_g (F + J / sigma)(x, g) - max_g J(x, g) / sigma          >= F(x, g*), and F(x, g*) as sigma goes to 0
    dh/dx  = d_x F(x, g') + (1/sigma) (d_x J(x, g') - d_x J(x, g*)),      g' = argmax (J + sigma F),  g* = argmax J

by Danskin's theorem, with g' and g* held fixed: no second derivative.  d_x F is the direct part, the rest the response part.  This is the
penalty method of `solvers.penalty` with lambda = 1/sigma and the copy solved for at each x, instead of climbing beside it, so the bias is
the same, of order sigma: g' is g* moved by sigma A_L / tau, and sigma is to be small beside tau over the spread of A_L.

``form="exact"`` (MODEL): one discount for leader and follower makes J + sigma F a return of one process, with rewards r_F + sigma r_L.

1. g* and g' by soft policy iteration, each from its last values
2. three returns, F and J of g' and J of g*, and their vector-Jacobian products

``form="sampled"`` (INCENTIVE): followers act as the leader says, and are never asked; see `solvers.first_order_sampled`.

The constrained form (CBSO, arXiv 2602.00282) is not built: no game of the suite has a follower with constraints of its own.

Assumptions: followers with an entropy bonus at a known temperature who do not interact; a return that is a sum over steps; sigma small
beside the temperature.  Exact: tables, and one discount for both.  Sampled: a leader that acts or sets rewards, and copies that learn.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle, Permission
from stackelberg_envs.planning.policy_evaluation import regularised_reward

from .ascent import Estimate, Estimator
from .copies import derivatives, induced_processes
from .first_order_sampled import Trained, sampled_difference
from .needs import needs_a_regularised_follower, needs_derivatives, needs_paid_steps, needs_sampled_leader
from .penalties import expected_return, visits
from .response import soft_response

FORMS = ("exact", "sampled")


@dataclass(frozen=True)
class FirstOrder(Estimator):
    """dF/dx by two penalised optima (MODEL + TRAINING).

    Sampled, it needs INCENTIVE + TRAINING.

    Args:
        form: ``"exact"`` optima and gradients, or ``"sampled"`` ones.
        sigma: the weight of the leader's return in the second optimum; bias grows with it, and sampling noise with 1/sigma.
        episodes: of each copy in a context, a copy step (sampled form).
        copy_steps: policy-gradient steps of the copies a step of the leader (sampled form).
        copy_lr: Adam's rate for the copies' logits (sampled form).
        horizon: steps at which episodes are cut; 0 for the game's ``max_cycles``.
        baseline_rate: how fast the tables of values, baselines, follow episodes, in [0, 1].
    """

    permissions: ClassVar[Permission] = Permission.TRAINING
    form: Literal["exact", "sampled"] = "exact"
    sigma: float = 0.01
    episodes: int = 100
    copy_steps: int = 5
    copy_lr: float = 0.2
    horizon: int = 0
    baseline_rate: float = 0.2

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"first_order needs form 'exact' or 'sampled', got {self.form!r}")
        if not all(0 < value < float("inf") for value in (self.sigma, self.copy_lr)) or min(self.episodes, self.copy_steps) < 1:
            raise ValueError(f"first_order needs positive, finite sigma and copy_lr, and episodes and copy_steps from 1; got {self!r}")
        if self.horizon < 0 or not 0 <= self.baseline_rate <= 1:
            raise ValueError(f"first_order needs a horizon from 0 and a baseline_rate in [0, 1], got {self!r}")

    @property
    def access(self) -> Access:  # type: ignore[override]
        return Access.MODEL if self.form == "exact" else Access.INCENTIVE

    def declines(self, oracle: Oracle) -> str | None:
        if any(len(group) > 1 for group in oracle.groups):
            return "first_order handles followers who do not interact"
        if self.form == "sampled":
            return needs_sampled_leader("first_order", oracle)
        reason = needs_derivatives("first_order", oracle) or needs_paid_steps("first_order", oracle)
        if reason is None and set(oracle.follower_discounts) != {oracle.leader_discount}:
            reason = "first_order solves for a follower who is paid a share of the leader's reward, which needs one discount for both; "
            return reason + "form='sampled' trains it"
        return reason or needs_a_regularised_follower("first_order", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        if self.form == "exact":
            return self._exact(oracle, x, memory)
        trained = memory or Trained.start(oracle, self.copy_lr)
        direct, response = sampled_difference(self, oracle, x.detach().cpu(), trained)
        direct, response = direct.to(x.device), response.to(x.device)
        return Estimate(direct + response, trained, direct=direct, response=response)

    def _exact(self, oracle: Oracle, x: torch.Tensor, memory: list[tuple[torch.Tensor, torch.Tensor]] | None) -> Estimate:
        leaf, tau = x.detach().clone().requires_grad_(), oracle.temperature
        earned: Any = torch.zeros((), dtype=x.dtype, device=x.device)
        gained, kept = earned, []
        for i, (weights, mdp) in enumerate(induced_processes(oracle, leaf)):
            frozen, gamma = mdp.map(torch.Tensor.detach), mdp.follower_discount
            shared = dataclasses.replace(frozen, follower_reward=frozen.follower_reward + self.sigma * frozen.leader_reward)
            warm = memory[i] if memory else (None, None)
            best, moved = (soft_response(faced, tau, values=values) for faced, values in zip((frozen, shared), warm, strict=True))  # 1
            kept.append((best.values, moved.values))
            visited, before = (visits(mdp, plan.policy, gamma) for plan in (moved, best))  # 2
            earned = earned + (weights * expected_return(mdp, moved.policy, mdp.leader_reward, visited)).sum()
            own = expected_return(mdp, moved.policy, regularised_reward(mdp, moved.policy, tau), visited)
            own = own - expected_return(mdp, best.policy, regularised_reward(mdp, best.policy, tau), before)
            gained = gained + (weights * own).sum() / self.sigma
            evaluations, count = best.evaluations + moved.evaluations, len(weights)
            oracle.charge(newton_evaluations=evaluations * count, factorisations=(evaluations + 2) * count, linear_solves=4 * count)
        (direct,), (response,) = derivatives(earned, [leaf], again=True), derivatives(gained, [leaf])
        return Estimate(direct + response, kept, direct=direct, response=response)
