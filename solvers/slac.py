"""SLAC: leader, follower and penalised follower move in one loop, while the entropy bonus fades and the penalty hardens.

Zeng, Bhatt, Ganesh, Koppel, "A Regularized Actor-Critic Algorithm for Bi-Level Reinforcement Learning", AISTATS 2026, arXiv 2601.16399, by
the objective that our notes state; the paper's algorithm, exponents and code were not at hand.  With J_tau(x, g) the return of a follower
who plays g, entropy bonus at temperature tau included, F(x, g) the leader's, and k the iteration::

    L_k(x, g, h) = F(x, g) - w_k (J_tau_k(x, h) - J_tau_k(x, g))           tau_k = tau + tau_0 / (k + 1)^a,    w_k = w_0 (k + 1)^b

where tau is the temperature of the real follower, 0 for one without an entropy bonus.  h climbs J_tau_k, g climbs J_tau_k + F / w_k, and x
climbs L_k, each by one step an iteration::

    dL_k/dx = d_x F(x, g) + w_k (d_x J(x, g) - d_x J(x, h)),       with steps of x that fall as 1 / (k + 1)^c

This is the difference of `solvers.first_order` with sigma = 1 / w_k, whose copies are never waited for.  With a = 0 the bias of a fixed
temperature stays; as tau_k goes to 0 it goes with it, which is what the paper claims: a stationary point of the problem without entropy.

``form="exact"`` (MODEL + TRAINING): returns and their derivatives are exact, the critics being linear solves.  ``form="sampled"``
(INCENTIVE + TRAINING): batches of episodes by both copies, as in `solvers.first_order_sampled`; the critics are tables of values.

1. x, g and h move along the last gradients (Adam, which is our choice)
2. tau_k and w_k
3. gradients at the new point; x's step size

**Assumptions.**  The copies keep up with x.  A softmax policy's gradient fades with its entropy, so that copies are the slower the
smaller tau_k is, and what they have not learned yet is multiplied by w_k: with a = b = 1/2 x runs away on the game of
``tests/test_slac.py``, where 1/3 does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from stackelberg_envs.followers.exact import Hard
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.planning.policy_evaluation import regularised_reward

from .copies import Copies, CopyAscent, copy_policy, derivatives, induced_processes, node_shape
from .first_order_sampled import Trained, copy_surrogates
from .needs import needs_a_regularised_follower, needs_derivatives, needs_paid_steps, needs_sampled_leader
from .penalties import expected_return, visits
from .penalty_sampled import table_shapes

FORMS = ("exact", "sampled")


@dataclass(frozen=True)
class SLAC(CopyAscent):
    """Single-loop actor-critic as entropy fades (MODEL + TRAINING).

    Sampled, it needs INCENTIVE + TRAINING.

    Args:
        form: ``"exact"`` returns and gradients, or ``"sampled"`` ones.
        entropy: tau_0, added to the real follower's temperature at first.
        entropy_power: a, how fast it fades.
        weight: w_0, of the penalty at first.
        weight_power: b, how fast it hardens.
        step_power: c, how fast the leader's steps fall.
        episodes: of each copy in a context (sampled form).
        horizon: steps at which they are cut; 0 for the game's ``max_cycles``.
        baseline_rate: how fast the tables of values, critics, follow episodes, in [0, 1].
    """

    form: Literal["exact", "sampled"] = "exact"
    copy_lr: float = 0.5
    entropy: float = 0.5
    entropy_power: float = 1 / 3
    weight: float = 1.0
    weight_power: float = 1 / 3
    step_power: float = 0.25
    episodes: int = 100
    horizon: int = 0
    baseline_rate: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in FORMS:
            raise ValueError(f"slac needs form 'exact' or 'sampled', got {self.form!r}")
        if not (0 <= self.entropy < float("inf") and 0 < self.weight < float("inf")):
            raise ValueError(f"slac needs entropy from 0 and a positive weight, both finite; got {self!r}")
        if min(self.entropy_power, self.weight_power, self.step_power) < 0 or self.copy_steps != 1:
            raise ValueError(f"slac needs powers from 0, and is a single loop: copy_steps is 1; got {self!r}")
        if self.episodes < 1 or self.horizon < 0 or not 0 <= self.baseline_rate <= 1:
            raise ValueError(f"slac needs episodes from 1, a horizon from 0 and a baseline_rate in [0, 1]; got {self!r}")

    @property
    def access(self) -> Access:  # type: ignore[override]
        return Access.MODEL if self.form == "exact" else Access.INCENTIVE

    def declines(self, oracle: Oracle) -> str | None:
        if any(len(group) > 1 for group in oracle.groups):
            return "slac handles followers who do not interact"
        if not oracle.temperature + self.entropy > 0:
            return "slac with entropy=0 needs a follower with an entropy bonus of its own"
        if self.form == "sampled":
            return needs_sampled_leader("slac", oracle, regularised=False)
        reason = needs_derivatives("slac", oracle) or needs_paid_steps("slac", oracle)
        return reason if reason or isinstance(oracle.follower, Hard) else needs_a_regularised_follower("slac", oracle)

    def schedule(self, oracle: Oracle, updates: int) -> tuple[float, float]:
        """(tau_k, w_k) after so many updates."""
        return oracle.temperature + self.entropy / (updates + 1) ** self.entropy_power, self.weight * (updates + 1) ** self.weight_power

    def shapes(self, oracle: Oracle, x: torch.Tensor) -> list[tuple[int, ...]]:
        """Those of h, and then those of g."""
        once = [node_shape(mdp) for _, mdp in induced_processes(oracle, x)] if self.form == "exact" else table_shapes(oracle)
        return once * 2

    def compute_gradients(self, oracle: Oracle, copies: Copies) -> dict[str, float]:
        tau, weight = self.schedule(oracle, copies.updates)  # 2
        returns = self._exact_returns if self.form == "exact" else self._sampled_returns
        climbed, earned, gained = returns(oracle, copies, tau, 1 / weight)
        if oracle.measured:
            (copies.direct,) = derivatives(earned, [copies.x], again=True)
        (of_x,) = derivatives(earned + weight * gained, [copies.x], again=True)  # 3
        copies.gradients = [of_x, *derivatives(climbed, copies.logits)]
        copies.optimiser.rates[0] = copies.x, self.lr / (copies.updates + 1) ** self.step_power
        return {"penalty_weight": weight, "entropy_weight": tau}

    def _exact_returns(self, oracle: Oracle, copies: Copies, tau: float, share: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the copies climb, J(h) + J(g) + F(g) ``share``; F(g); J(g) - J(h).  Each is differentiable in what it moves, or more."""
        problems, half = induced_processes(oracle, copies.x), len(copies.logits) // 2
        climbed = earned = gained = torch.zeros((), dtype=copies.x.dtype)
        for (weights, mdp), *pair in zip(problems, copies.logits[:half], copies.logits[half:], strict=True):
            for sign, logits in zip((-1, 1), pair, strict=True):
                policy, gamma = copy_policy(logits, mdp), mdp.follower_discount
                visited = visits(mdp, policy, gamma)
                own = (weights * expected_return(mdp, policy, regularised_reward(mdp, policy, tau), visited)).sum()
                climbed, gained = climbed + own, gained + sign * own
                oracle.charge(factorisations=len(weights), linear_solves=2 * len(weights))
                if sign > 0:
                    same = mdp.leader_discount == gamma
                    seen = visited if same else visits(mdp, policy, mdp.leader_discount)
                    oracle.charge(factorisations=0 if same else len(weights), linear_solves=0 if same else 2 * len(weights))
                    paid = (weights * expected_return(mdp, policy, mdp.leader_reward, seen)).sum()
                    climbed, earned = climbed + share * paid, earned + paid
        return climbed, earned, gained

    def _sampled_returns(self, oracle: Oracle, copies: Copies, tau: float, share: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same, as scalars whose gradients are estimates."""
        half = len(copies.logits) // 2
        if copies.memory is None:
            copies.memory = [[(np.zeros(one.shape[0]), np.zeros(one.shape[0])) for one in copies.logits[:half]] for _ in range(2)]
        trained = Trained([copies.logits[:half], copies.logits[half:]], copies.optimiser, copies.memory)
        climbed = earned = gained = torch.zeros((), dtype=copies.x.dtype)
        for j, sigma in enumerate((0.0, share)):
            for c, probability in enumerate(map(float, oracle.context_probabilities)):
                copy, paid, own = copy_surrogates(self, oracle, copies.x, c, trained, j, sigma, tau)
                climbed, gained = climbed + probability * copy, gained + (2 * j - 1) * probability * own
                earned = earned + j * probability * paid
        return climbed, earned, gained
