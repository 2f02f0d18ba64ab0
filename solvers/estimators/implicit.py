"""The exact hypergradient through the follower's soft response.

Implicit differentiation of the soft Bellman equation, for design games (A = 1) and Markov games alike.  Chen, Yang, Li, Wang, Yang,
Wang, "Adaptive Model Design for Markov Decision Process", ICML 2022, reach the same gradient by recursing four tables of Jacobians
(AMD); here it costs one adjoint solve and one vector-Jacobian product, whatever the dimension of x.

With nodes n of the follower (see `stackelberg_envs.processes.mdp.decision_problem`), weights w(n|s), response g and temperature tau::

    c(n,b) = d_L(s) w(n|s) g(b|n) (Q_L(n,b) - sum_b g Q_L) / tau       d_L: leader occupancy, Q_L: leader action values
    z      = (I - gamma P_g)^{-T} gamma P^T c                           the adjoint
    y(n,b) = c(n,b) + z(s) w(n|s) g(b|n)                                multiplier of d(r_F + gamma P V)(n,b)
    dF/dx  = W . d rho + sum d_L (d pi g Q_L + pi g (d r_L + gamma_L dP W))     the direct part, with g frozen
           + sum y (d r_F + gamma dP V) + sum z U dw                            the reaction

Objectives that are no sums over steps have c from their derivatives, `solvers.estimators.nonadditive`, and opponents in a zero-sum game
from their stage games, `solvers.estimators.zero_sum`.  Other followers who interact have `solvers.estimators.soft_nash`, and a crowd has
another fixed point, `solvers.estimators.mean_field`.  Worlds without tables are differentiated where they have closed forms,
`solvers.estimators.closed_forms`.

Algorithm, for each context and follower:

1. soft policy iteration by Newton, warm-started, the last LU factorisation kept
2. leader values W and occupancy d_L: two solves with it
3. adjoint z: one more
4. one vector-Jacobian product of the surrogate whose coefficients are the multipliers
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from stackelberg_envs.arguments import nearest
from stackelberg_envs.followers.equilibria import Saddle, SoftNash
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.processes.mdp import MDP, stack

from ..ascent import Estimate, Estimator, short_repr
from ..linear import LU
from ..needs import needs_smooth_followers
from ..response import INNER, soft_response
from .closed_forms import closed_form_hypergradient
from .mean_field import mean_field_hypergradient
from .nonadditive import nonadditive_hypergradient
from .reaction import estimate_in_x, surrogate_objective
from .soft_nash import soft_nash_hypergradient
from .zero_sum import zero_sum_hypergradient


@dataclass(frozen=True)
class Implicit(Estimator):
    """Exact dF/dx by implicit differentiation (MODEL); for soft followers, two opponents at their saddle point, and soft equilibria.

    Args:
        one_context: take the gradient of one context, drawn anew at each iteration, as AMD is published; else of all of them.
        inner: how soft responses are found in tables, by ``"newton"`` or ``"sweeps"`` first; see `solvers.response.soft_response`.
    """

    access: ClassVar[Access] = Access.MODEL
    tabular: ClassVar[bool] = False
    signals: ClassVar[bool] = True
    crowds: ClassVar[bool] = True
    one_context: bool = False
    inner: Literal["newton", "sweeps"] = "newton"

    def __post_init__(self) -> None:
        if self.inner not in INNER:
            raise ValueError(f"implicit has no inner {self.inner!r}; {nearest(str(self.inner), INNER)}")

    def __repr__(self) -> str:
        return short_repr(self, "inner")

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether all contexts count."""
        return not self.one_context

    def declines(self, oracle: Oracle) -> str | None:
        return needs_smooth_followers("implicit", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        if not self.one_context:
            return exact_gradient(oracle, x, memory, reaction=True, inner=self.inner)
        drawn = int(rng.choice(len(oracle.contexts), p=oracle.context_probabilities))
        kept = memory or {}
        exact = exact_gradient(oracle, x, kept.get(drawn), reaction=True, context=drawn, inner=self.inner)
        return replace(exact, memory={**kept, drawn: exact.memory}, value=None)


def exact_gradient(
    oracle: Oracle,
    x: torch.Tensor,
    memory: list[torch.Tensor] | None,
    *,
    reaction: bool,
    context: int | None = None,
    inner: Literal["newton", "sweeps"] = "newton",
) -> Estimate:
    """dF/dx and F(x) over all contexts (or of one) and all followers; without ``reaction`` the response is held fixed (the naive gradient).

    Where the run is measured (``oracle.measured``) the estimate has its two parts.  ``memory`` holds soft values, which the next call
    starts from.  Contexts and followers of equal sizes are solved as one batch.
    """
    leaf = x.detach().clone().requires_grad_()
    drawn = enumerate(oracle.context_probabilities) if context is None else [(context, 1.0)]
    worlds = [(float(p), oracle.commit(leaf, c)) for c, p in drawn]
    if oracle.crowd:
        return mean_field_hypergradient(oracle, leaf, worlds, memory, reaction=reaction)
    if not oracle.tabular:
        return closed_form_hypergradient(oracle, leaf, worlds, reaction=reaction)
    if not oracle.additive:
        return nonadditive_hypergradient(oracle, leaf, worlds, memory, reaction=reaction)
    if isinstance(oracle.follower, Saddle):
        return zero_sum_hypergradient(oracle, leaf, worlds, memory, reaction=reaction)
    if isinstance(oracle.follower, SoftNash):
        return soft_nash_hypergradient(oracle, leaf, worlds, reaction=reaction)
    problems = [(p, each.tables_for(oracle.follower)) for p, world in worlds for each in world]
    whole: Any = 0.0
    direct: Any = 0.0
    kept, value = [], 0.0
    for i, (weights, mdp) in enumerate(batches(problems)):
        frozen = mdp.map(torch.Tensor.detach)
        plan = soft_response(frozen, oracle.temperature, values=memory[i] if memory else None, inner=inner)  # 1
        kept.append(plan.values)
        found = surrogate_objective(mdp, frozen, plan, oracle.temperature, reaction=reaction)
        count = len(weights)
        oracle.charge(
            newton_evaluations=plan.evaluations * count,
            factorisations=(plan.evaluations + found.factorisations) * count if isinstance(plan.factorised, LU) else 0,
            linear_solves=found.solves * count,
        )
        whole = whole + (weights * found.whole).sum()
        direct = direct + (weights * found.direct).sum() if reaction else whole
        value += float((weights * found.returns).sum())
    return estimate_in_x(oracle, whole, direct, leaf, kept, value)  # 4


def batches(problems: list[tuple[float, MDP]]) -> list[tuple[torch.Tensor, MDP]]:
    """Processes of equal sizes and layouts stacked, with their probabilities (K,)."""
    groups: dict[Any, list[tuple[float, MDP]]] = {}
    for probability, mdp in problems:
        kind = (mdp.sizes, mdp.follower_discount, mdp.leader_discount, mdp.follower_sees, mdp.kernel.layout)
        groups.setdefault(kind, []).append((probability, mdp))
    batches = []
    for group in groups.values():
        policy = group[0][1].leader_policy
        weights = torch.tensor([probability for probability, _ in group], dtype=policy.dtype, device=policy.device)
        batches.append((weights, stack([mdp for _, mdp in group])))
    return batches
