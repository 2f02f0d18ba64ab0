"""RT-Q: randomly truncated soft Q-learning, the accelerated HPGD for a leader who controls its followers' training.

Thoma, Pasztor, Krause, Ramponi, Hu, "Contextual Bilevel Reinforcement Learning for Incentive Alignment", NeurIPS 2024, arXiv 2406.01575,
reconstructed (their public code has no RT-Q); the idea is that of Blanchet and Glynn, "Unbiased Monte Carlo for optimization and
functions of expectations", WSC 2015.  With g_t the hypergradient at what followers have learned from t samples, all in one run of theirs::

    t_k = steps 2^(k-1), k = 1 .. K+1 ;   p_k = 2^-k / (1 - 2^-K), k = 1 .. K
    g   = g_{t_1} + (g_{t_{k+1}} - g_{t_k}) / p_k ,   k ~ p

telescopes to E g = E g_{t_{K+1}}, that of ``vanilla`` training to the longest budget 2^K steps, and costs only
sum_k p_k t_{k+1} = steps K / (1 - 2^-K) training steps a context.  The variance is that of g_{t_1} and some
sum_k E|g_{t_{k+1}} - g_{t_k}|^2 / p_k: of order K where the squared error of g_t falls as 1/t.

1. put the followers' training back to where it was before the run (``fresh``)
2. draw k
3. train to t_1, to t_k and to t_{k+1}, and take the hypergradient at each
4. g

``form="exact"`` (MODEL) takes g_t from the formula of `solvers.estimators.implicit` at the learned policy instead of the best response:
leader values, occupancy and adjoint by linear solves.  ``form="sampled"`` (INCENTIVE) takes it from what the learners do, by
`solvers.estimators.hpgd`, and never reads what they have learned.  Outcomes are noisy, and a difference of two noisy gradients does not
shrink with k; so level k plays 2^(k-1) times as many episodes, of which 2 K times ``episodes`` are expected, and the variance stays of
order K.  It telescopes as far as HPGD's mean does not depend on its number of episodes: exactly with ``batches="geometric"``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle, Permission
from stackelberg_envs.planning.linear_systems import system
from stackelberg_envs.planning.policy_iteration import Plan
from stackelberg_envs.processes.mdp import joint_policy

from ..ascent import Estimate, Estimator
from ..linear import factors
from ..needs import needs_paid_steps
from .hpgd import HPGD
from .reaction import estimate_in_x, surrogate_objective


@dataclass(frozen=True)
class RTQ(Estimator):
    """Randomly truncated hypergradients of followers who learn (MODEL + TRAINING, or INCENTIVE + TRAINING).

    Args:
        steps: t_1, training steps of the shortest budget.
        levels: K; the longest budget is ``steps`` 2^K.
        vanilla: always train to the longest budget.
        form: ``"exact"`` or ``"sampled"``, see above.
        fresh: whether each estimate begins with followers as they were when the run began; else their training goes on, as far as their
            own ``start`` lets it.
        episodes: of the shortest budget's batch, in the sampled form.
        batches: ``"independent"``, or ``"geometric"`` (with the RESET permission), as in `solvers.estimators.hpgd`.
    """

    steps: int = 100
    levels: int = 8
    vanilla: bool = False
    form: Literal["exact", "sampled"] = "exact"
    fresh: bool = True
    episodes: int = 100
    batches: Literal["independent", "geometric"] = "independent"

    def __post_init__(self) -> None:
        if self.form not in ("exact", "sampled") or self.batches not in ("independent", "geometric"):
            raise ValueError(f"rtq needs form 'exact' or 'sampled' and batches 'independent' or 'geometric', got {self!r}")
        if self.steps < 1 or not 1 <= self.levels <= 40 or self.episodes < 1:
            raise ValueError(f"rtq needs steps and episodes from 1, and 1 to 40 levels, got {self!r}")

    @property
    def access(self) -> Access:  # type: ignore[override]
        return Access.MODEL if self.form == "exact" else Access.INCENTIVE

    @property
    def permissions(self) -> Permission:  # type: ignore[override]
        return Permission.TRAINING | (self._sampler(1).permissions if self.form == "sampled" else Permission.NONE)

    @property
    def level_probabilities(self) -> np.ndarray:
        """p_k, (K,)."""
        p = 0.5 ** np.arange(1, self.levels + 1)
        return p / p.sum()

    @property
    def expected_steps(self) -> float:
        """Training steps that an estimate takes on average, a context: sum_k p_k t_{k+1}."""
        longest = self.steps * 2**self.levels
        return longest if self.vanilla else float(self.level_probabilities @ (self.steps * 2.0 ** np.arange(1, self.levels + 1)))

    def declines(self, oracle: Oracle) -> str | None:
        if not oracle.learns:
            return "rtq trains its followers, and here they do not learn; SoftQLearning(temperature, steps) does"
        if self.form == "sampled":
            return self._sampler(1).declines(oracle)
        if not oracle.temperature > 0:
            return "rtq differentiates a soft response, and these followers have no temperature"
        return needs_paid_steps("rtq", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        untrained = memory
        if self.fresh:
            untrained = oracle.snapshot() if memory is None else memory
            oracle.restore(untrained)  # 1
        here, done = x.detach().cpu().numpy(), 0

        def gradient_after(total: int, factor: int) -> Estimate:
            """g_t at ``total`` steps, with its parts."""
            nonlocal done
            if total > done:
                for context in range(len(oracle.contexts)):
                    oracle.train(here, context, total - done)
                done = total
            if self.form == "sampled":
                return self._sampler(factor).estimate(oracle, x, None, rng)
            return estimate_at_answer(oracle, x)

        if self.vanilla:
            return replace(gradient_after(self.steps * 2**self.levels, 1), memory=untrained)
        k = 1 + int(rng.choice(self.levels, p=self.level_probabilities))  # 2
        first = gradient_after(self.steps, 1)  # 3
        short = first if k == 1 else gradient_after(self.steps * 2 ** (k - 1), 2 ** (k - 1))
        long = gradient_after(self.steps * 2**k, 2 ** (k - 1))
        p = self.level_probabilities[k - 1]
        gradient = first.gradient + (long.gradient - short.gradient) / p  # 4
        if first.direct is None or short.direct is None or long.direct is None:
            return Estimate(gradient, untrained)
        direct = first.direct + (long.direct - short.direct) / p
        return Estimate(gradient, untrained, direct=direct, response=gradient - direct)

    def _sampler(self, factor: int) -> HPGD:
        return HPGD(episodes=self.episodes * factor, batches=self.batches)


def gradient_at_answer(oracle: Oracle, x: torch.Tensor) -> torch.Tensor:
    """dF/dx by the formula of `solvers.estimators.implicit`, at the policies that followers answer with, whatever these are, (n,).

    At a soft best response it is the hypergradient.
    """
    return estimate_at_answer(oracle, x).gradient


def estimate_at_answer(oracle: Oracle, x: torch.Tensor) -> Estimate:
    """`gradient_at_answer` with its two parts."""
    leaf, here = x.detach().clone().requires_grad_(), x.detach().cpu().numpy()
    whole: Any = 0.0
    direct: Any = 0.0
    for context, probability in enumerate(oracle.context_probabilities):
        world = oracle.commit(leaf, context)
        for mdp, policy, values in zip(world, oracle.policies(here, context), oracle.values(here, context), strict=True):
            frozen = mdp.map(torch.Tensor.detach)
            with torch.no_grad():
                g, v = (torch.as_tensor(table, dtype=x.dtype, device=x.device) for table in (policy, values))
                kept = factors(system(frozen.kernel.markov_chain(joint_policy(frozen, g)), mdp.follower_discount))
            plan = Plan(g, v, 1, float("nan"), kept)
            found = surrogate_objective(mdp, frozen, plan, oracle.temperature, reaction=True)
            oracle.charge(factorisations=1 + found.factorisations, linear_solves=found.solves)
            whole = whole + float(probability) * found.whole
            direct = direct + float(probability) * found.direct
    return estimate_in_x(oracle, whole, direct, leaf)
