"""SoBiRL and M-SoBiRL: the hypergradient without second derivatives, truncated in two ways.

Yang, Gao, Yuan, "Bilevel Reinforcement Learning via the Development of Hyper-gradient without Lower-Level Convexity", AISTATS 2025,
arXiv 2405.19697.  Differentiating g = softmax(Q/tau) and the soft Bellman equation gives, with F's partial derivative in the policy
u(s,b) = (g dF/dg)(s,b) = d_L(s) g(b|s) Q_L(s,b) (d_L: leader occupancy, Q_L: leader action values)::

    dF/dx = d_x F + 1/tau sum_sb (u(s,b) - w(s) g(b|s)) d_x r(s,b),     A w = U^T u,   A = (I - gamma P_g)^T,   U = 1[s = s'] - gamma P

**M-SoBiRL** (`MSoBiRL`, MODEL) never solves for w, nor for the response; both are carried from one iteration to the next:

1. N sweeps of soft value iteration, from the last values: V, and g by one more backup
2. one gradient step on ||A w - U^T u||^2 / 2:   w <- w - zeta A^T (A w - U^T u)
3. dF/dx by the formula, as it stands

w begins at u(s) = sum_b u(s,b) = d_L(s) V_L(s).  With z = (u(s) - w(s)) / tau these are the formulas of
`solvers.estimators.implicit`, and its surrogate objective is used: w follows its adjoint z.  Differences from the published code: there F
is an explicit function of the policy, here d_L and Q_L take two solves with the present g; there x moves rewards alone, here also leader
policies and kernels, by the terms of `implicit`; and a step zeta above 1/||A||^2, where descent may diverge, is cut to that (||A|| the
largest singular value).  At gamma = tau = 0.5 (published: 0.5 and 1) one step an iteration keeps up with x; at gamma = 0.9 and tau = 0.05
the error of w / tau does not (``tests/test_sobirl.py`` measures both), and ``adjoint_steps`` is the remedy.  Sweeps and products with A
are not in the ledger; the one factorisation an iteration, for d_L and Q_L, is, and an objective that is no sum over steps needs none.

**SoBiRL** (`SoBiRL`, POLICY) replaces dQ - dV, the score of the response, by one step of it, which samples give::

    weights="first":  dF/dx ~ 1/(tau N) sum_episodes QU(s_0, b_0) sum_t h_t - 1/N sum_episodes sum_t gamma_L^t d_x cost(s_t, b_t)
    weights="steps":  dF/dx ~ 1/(tau N) sum_episodes sum_t gamma_L^t QU(s_t, b_t) h_t - (the same)
    h_t = d_x r(s_t, b_t) - sum_b g(b|s_t) d_x r(s_t, b),      QU the mean leader return-to-go over visits of (s, b)

The paper applies this to trajectory preferences and trains its own follower; this is the form in which Kudo et al., ICAPS 2026, arXiv
2603.14867, use it as a baseline for incentive design ("first" in their figures, "steps" in their code, called modified), specified from
their code, except that the direct part is the plain mean over episodes.  **Bias**: h_t leaves out how incentives further on change the
answer.  Where the incentive does not depend on b (Four Rooms pays or charges for cells) h_t is zero, and SoBiRL is the naive gradient.
With "first" later steps have mean zero and add noise alone; "steps" is exact for followers with gamma = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from stackelberg_envs.followers.bounded import Truncated
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.planning.linear_systems import Dense, Factorisation, system
from stackelberg_envs.planning.policy_iteration import Plan
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.processes.mdp import MDP, joint_policy
from stackelberg_envs.processes.transitions import DenseTransition

from ..ascent import Estimate, Estimator
from ..linear import LU
from ..needs import needs_dense_tables, needs_incentives, needs_soft_follower
from .implicit import batches
from .nonadditive import nonadditive_surrogate
from .reaction import Adjoint, estimate_in_x, surrogate_objective
from .visits import Tables, fastest_loop, incentive_estimate

WEIGHTS = ("first", "steps")


@dataclass(frozen=True)
class MSoBiRL(Estimator):
    """dF/dx by a response and an adjoint that each take a few steps an iteration (MODEL); for soft followers.

    Args:
        sweeps: N, of soft value iteration, at each iteration; published: 10.
        zeta: step of the adjoint's gradient descent, at most; published: 0.5.
        adjoint_steps: how many such steps at each iteration; published: 1.
    """

    access: ClassVar[Access] = Access.MODEL
    sweeps: int = 10
    zeta: float = 0.5
    adjoint_steps: int = 1

    def __post_init__(self) -> None:
        if min(self.sweeps, self.zeta, self.adjoint_steps) <= 0:
            raise ValueError(f"msobirl needs positive sweeps, zeta and adjoint_steps, got {self!r}")

    def declines(self, oracle: Oracle) -> str | None:
        return needs_soft_follower("msobirl", oracle) or (needs_dense_tables("msobirl", oracle) if oracle.tabular else None)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        leaf = x.detach().clone().requires_grad_()
        tau = oracle.temperature
        worlds = [(float(p), oracle.commit(leaf, c)) for c, p in enumerate(oracle.context_probabilities)]
        whole: Any = 0.0
        direct: Any = 0.0
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        warm = iter(memory or ())
        if oracle.additive:
            for weights, mdp in batches([(p, one) for p, problems in worlds for one in problems]):
                frozen = mdp.map(torch.Tensor.detach)
                plan, adjoint = self._plan_and_adjoint(frozen, tau, next(warm, None), kept, LU)
                found = surrogate_objective(mdp, frozen, plan, tau, reaction=True, adjoint=adjoint)
                oracle.charge(factorisations=(1 + found.factorisations) * len(weights), linear_solves=found.solves * len(weights))
                whole = whole + (weights * found.whole).sum()
                direct = direct + (weights * found.direct).sum()
        else:
            for p, problems in worlds:
                still = [mdp.map(torch.Tensor.detach) for mdp in problems]
                plans, adjoints = zip(*(self._plan_and_adjoint(mdp, tau, next(warm, None), kept, Dense) for mdp in still), strict=True)
                terms, held, _ = nonadditive_surrogate(oracle, problems, still, plans, reaction=True, adjoints=adjoints)
                whole, direct = whole + p * terms, direct + p * held
        return estimate_in_x(oracle, whole, direct, leaf, kept)  # 3

    def _plan_and_adjoint(
        self,
        mdp: MDP,
        tau: float,
        last: tuple[torch.Tensor, torch.Tensor] | None,
        kept: list[tuple[torch.Tensor, torch.Tensor]],
        factorise: Callable[[torch.Tensor], Factorisation],
    ) -> tuple[Plan, Adjoint]:
        """Step 1, and a function for step 2; ``last`` is (values, w) of the last iteration, and ``kept`` collects those of this one.

        ``factorise`` is `LU` where the plan's matrix will be solved with, and `Dense`, which only holds it, where it will not.
        """
        values, w = last or (None, None)
        with torch.no_grad():
            answer = Truncated(tau, self.sweeps).answer(mdp, values)  # 1
            dense = DenseTransition(mdp.kernel.dense())  # the norm of the matrix is needed
            matrix: Any = system(dense.markov_chain(joint_policy(mdp, answer.policy)), mdp.follower_discount)

        def adjoint(carried: torch.Tensor, worth: torch.Tensor) -> torch.Tensor:
            """Step 2: z = (u(s) - w) / tau, where U^T u = A u(s) - tau gamma P^T c; w begins at u(s)."""
            now = self._descend(matrix.mT, worth if w is None else w, _matvec(matrix.mT, worth) - tau * carried)
            kept.append((answer.values, now))
            return (worth - now) / tau

        return Plan(answer.policy, answer.values, answer.evaluations, answer.certificate, factorise(matrix)), adjoint

    def _descend(self, a: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """``w`` (..., S) after gradient steps on ||a w - b||^2 / 2."""
        zeta = torch.clamp(1 / torch.linalg.matrix_norm(a, 2) ** 2, max=self.zeta)[..., None]
        for _ in range(self.adjoint_steps):
            w = w - zeta * _matvec(a.mT, _matvec(a, w) - b)
        return w


@dataclass(frozen=True)
class SoBiRL(Estimator):
    """Sampled dF/dx for incentive design with the reaction cut to one step (POLICY).

    Args:
        episodes: how many make a batch.
        weights: ``"first"``: all steps are weighted by the leader's value at the first; ``"steps"``: each by its own.
    """

    access: ClassVar[Access] = Access.POLICY
    episodes: int = 300
    weights: Literal["first", "steps"] = "first"

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS or self.episodes < 1:
            raise ValueError(f"sobirl needs weights 'first' or 'steps' and episodes from 1, got {self!r}")

    def declines(self, oracle: Oracle) -> str | None:
        return needs_incentives("sobirl", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        here = x.detach().cpu().numpy()
        seen = oracle.play(here, episodes=self.episodes, one_context=True)
        context = int(seen.contexts[0])
        tables = []
        for i, policy in enumerate(oracle.policies(here, context)):
            weighted, paid = self._tables(seen, i, oracle)  # sum over visits of weight h_t, by multipliers of d_x r:
            tables.append(Tables(weighted - policy[:, 0] * weighted.sum(-1, keepdims=True), paid))
        return incentive_estimate(oracle, x, context, tables)

    def _tables(self, seen: Outcome, follower: int, oracle: Oracle) -> tuple[np.ndarray, np.ndarray]:
        """Of one follower, (S, B): visits weighted by QU / (tau N), and discounted visits / N."""
        s, _, b = oracle.sizes[follower]
        pairs, alive = seen.pairs(follower, b), seen.alive[:, follower]
        discounts = oracle.leader_discount ** np.arange(max(2, alive.shape[1]))
        counts, worth, visits = fastest_loop("returns_by_pair")(pairs, alive, seen.leader_rewards, discounts, s * b)
        QU = (worth / np.maximum(counts, 1))[pairs]
        weight = np.broadcast_to(QU[:, :1], QU.shape) if self.weights == "first" else QU * discounts[: alive.shape[1]]
        weighted = np.bincount(pairs[alive], weight[alive], s * b) / (oracle.temperature * self.episodes)
        return weighted.reshape(s, b), visits.reshape(s, b) / self.episodes


def _matvec(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """(..., S, S) times (..., S)."""
    return (matrix @ vector[..., None])[..., 0]
