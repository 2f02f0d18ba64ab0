"""HPGD for a leader that sets rewards and moves the dynamics too: the response has a kernel term.

`solvers.estimators.hpgd` knows how rewards are steered.  Where the kernel moves with x too (an income tax), the envelope theorem gives::

    dQ(s,b) = d r(s,b) + gamma sum_s' [dP(s'|s,b) V(s') + P(s'|s,b) dV(s')]          V: the follower's soft values (VALUE)
    dF/dx   = E sum_t gamma_L^t {1/tau A_L (dQ - dV)(s_t,b_t) - d cost(s_t,b_t) + gamma_L sum_s' dP(s'|s_t,b_t) W(s')}

(Thoma, Pasztor, Krause, Ramponi, Hu, NeurIPS 2024, arXiv 2406.01575; the public code of their tax economy has only parts of it).  The
leader knows d r, d cost and P (its instrument), and what it has to learn by watching are values of *states*: dV, and its own W.  Both are
means over visits of a state, of the sums d_t = (d r + gamma dP V)(s_t,b_t) and of its rewards to the end; pairs (s, b), of which there may
be more than visits, are never averaged over.  As in `hpgd` nothing of size dim x is summed (transposed sums, one vector-Jacobian product):

1. episodes in one context drawn by nature: one batch (``"same"``) or two (``"independent"``)
2. n(s) and W(s) from the second: visits, and the mean of U_t = r_L,t + gamma_L U_{t+1} over them
3. c(s,b) = sum over visits in the first of gamma_L^t (U_t - W(s)) / (tau N), less ``g(b|s) sum_b c(s,b)``, so that dQ may stand for dQ - dV
4. where c leads: z = gamma P^T c, and w(s) = z(s)/n(s) for each visit in the second; W_t = w(s_t) + gamma W_{t-1} along its episodes
5. y(s,b) = c(s,b) + sum of W_t over the visits of (s,b);  v(s,b) = sum of gamma_L^t / N over those in the first
6. dF/dx ~ sum y (d r + gamma dP V) + sum v (gamma_L dP W - d cost),  with dP = P d log P

**Bias.**  With independent batches c has none, whatever W is (it is a baseline there), and what is left is that of means over visits,
ratios of order 1/n(s) (on a small economy 7 % of the income tax's component with 25 episodes, 2 % with 100), and states that are never
visited, where dV counts as 0.  Visits near the step at which an episode is *cut* would
see truncated sums; those where more than 1 % would be missing are no part of the means.  ``tests/test_hpgd_kernel.py`` measures it.

``form="published"`` is what the public code of the tax economy estimates, without V, for INCENTIVE access: no kernel term in the response
(an income tax does not change what anybody does; ``kernel_response=False`` leaves out the same, and nothing else), and D_t and U_t of the
*same visit* multiplied, U_t without a baseline::

    c_t = gamma_L^t U_t / (tau N) for each visit;   sum_t c_t (D_t - VD(s_t)),   D_t = d r(s_t,b_t) + gamma D_{t+1}

What follows (s_t,b_t) is luck that both share: the product's mean is A_L dA and a covariance ``Cov(U_t, D_t | s_t,b_t)``, which does
not fall with the batch.  In the tax economy it is a hundred times the slope in VAT.  Differences: theirs fits networks to the follower's dV
and the leader's W where here are means over visits of states; and it clips d log P at 1 and has no gamma_L before W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from stackelberg_envs.game import as_tuple
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.processes.transitions import as_transition, numbers_of

from ..ascent import Estimate, Estimator
from ..needs import needs_incentives
from .visits import Tables, direct_part, discounted_sums, incentive_gradient

MISSING = 0.01
"""The largest share of a discounted sum that a cut may hide where it is part of a mean."""


@dataclass(frozen=True)
class HPGDKernel(Estimator):
    """HPGD where the leader moves the dynamics as well (VALUE; ``form="published"``: INCENTIVE).

    Args:
        episodes: how many make a batch; published: 300 of 200 steps, in the same batch.
        batches: ``"independent"``, a second batch for the means over states, or ``"same"``.
        form: ``"kernel"``, or ``"published"``, see above; the latter always uses the same batch.
        kernel_response: whether the response reacts to the moved kernel; the published one does not.
    """

    episodes: int = 150
    batches: Literal["same", "independent"] = "independent"
    form: Literal["kernel", "published"] = "kernel"
    kernel_response: bool = True

    def __post_init__(self) -> None:
        if self.batches not in ("same", "independent") or self.form not in ("kernel", "published") or self.episodes < 1:
            raise ValueError(f"hpgd_kernel needs batches 'same' or 'independent', form 'kernel' or 'published' and episodes, got {self!r}")

    @property
    def access(self) -> Access:  # type: ignore[override]
        return Access.VALUE if self.form == "kernel" else Access.INCENTIVE

    def declines(self, oracle: Oracle) -> str | None:
        if oracle.log_kernel is None:
            return "hpgd_kernel is for a leader that moves the dynamics beside setting rewards; hpgd is for one that only sets rewards"
        if any(as_transition(kernel).stages for kernel in as_tuple(oracle.log_kernel(np.zeros(oracle.dimension)))):
            return "hpgd_kernel estimates one transition for all times, and here is a deadline; implicit and zeroth_order are for that"
        return needs_incentives("hpgd_kernel", oracle, still=False)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        here, two = x.detach().cpu().numpy(), self.form == "kernel" and self.batches == "independent"
        seen = oracle.play(here, episodes=(2 if two else 1) * self.episodes, one_context=True)  # 1
        valued, averaged = seen.split(self.episodes) if two else (seen, seen)
        context = int(seen.contexts[0])
        leaf = x.detach().clone().requires_grad_()
        kernels, tables = as_tuple(oracle.log_kernel(leaf, context)), []
        whole = direct = torch.zeros((), dtype=x.dtype, device=x.device)
        planned: Any = (None,) * oracle.followers
        if self.form == "kernel":
            planned = tuple(zip(oracle.policies(here, context), oracle.values(here, context), strict=True))
        for i, log_kernel in enumerate(kernels):
            P = as_transition(log_kernel).map(lambda rows: np.exp(rows.detach().cpu().numpy()))
            means = _state_means(oracle, averaged, i)
            if self.form == "published":
                found = _single_visit_products(oracle, seen, i, means)
            else:
                found = self._tables_by_state(oracle, valued, averaged, i, means, P, planned[i][0])
            tables.append(found)
            moved = pays = oracle.leader_discount * P.sum_by_row(found.paid[:, None])[..., None] * means.worth
            if self.form == "kernel" and self.kernel_response:
                moved = moved + oracle.follower_discounts[i] * P.sum_by_row(found.reaction[:, None])[..., None] * planned[i][1]
            rows = torch.where(torch.isfinite(numbers := numbers_of(log_kernel)), numbers, 0.0)
            multiplier, own = (torch.as_tensor(P.numbers * each, dtype=x.dtype, device=x.device) for each in (moved, pays))
            whole, direct = whole + (rows * multiplier).sum(), direct + (rows * own).sum()
        (held,) = torch.autograd.grad(direct, leaf, retain_graph=True) if oracle.measured else (None,)
        (through_kernel,) = torch.autograd.grad(whole, leaf)
        gradient = through_kernel + incentive_gradient(oracle, x, context, tables)  # 6
        if held is None:
            return Estimate(gradient)
        held = held + direct_part(oracle, x, context, tables)
        return Estimate(gradient, direct=held, response=gradient - held)

    def _tables_by_state(
        self, oracle: Oracle, valued: Outcome, averaged: Outcome, i: int, means: _StateMeans, kernel: Any, policy: np.ndarray
    ) -> Tables:
        """Steps 3 to 5."""
        s, _, b = oracle.sizes[i]
        pairs, alive = valued.pairs(i, b), valued.alive[:, i]
        weights = _discount_weights(oracle, valued, i)
        baseline = np.append(means.worth, 0.0)[valued.states[:, i, :-1]]
        c = (
            np.bincount(pairs[alive], (weights * (_returns_to_go(valued, oracle) - baseline))[alive], s * b).reshape(s, b)
            / oracle.temperature
        )
        c = c - policy[:, 0] * c.sum(-1, keepdims=True)  # 3
        z = oracle.follower_discounts[i] * kernel.push_forward(c[:, None])
        weight = np.append(z / np.maximum(means.visits, 1), 0.0)[averaged.states[:, i, :-1]]
        reaction = _visit_sums(averaged, i, b, np.where(means.settled, weight, 0.0), oracle.follower_discounts[i], s * b)  # 4
        return Tables(c + reaction.reshape(s, b), np.bincount(pairs[alive], weights[alive], s * b).reshape(s, b))  # 5


class _StateMeans(NamedTuple):
    """Means over the visits of states that see (nearly) all of what comes after."""

    settled: np.ndarray
    """Which steps these are, (N, T)."""
    visits: np.ndarray
    """n(s), (S,)."""
    worth: np.ndarray
    """W(s), (S,); where nobody was, the mean over all others, so that it says nothing for or against going there."""


def _state_means(oracle: Oracle, seen: Outcome, i: int) -> _StateMeans:
    s, _, _ = oracle.sizes[i]
    alive, states = seen.alive[:, i], seen.states[:, i]
    discount, steps = max(oracle.leader_discount, oracle.follower_discounts[i]), np.arange(alive.shape[1])
    lengths = alive.sum(-1)
    cut = states[np.arange(len(states)), lengths] < s  # it stood somewhere when its time was up
    missing = np.where(cut[:, None], discount ** np.maximum(lengths[:, None] - steps, 0.0), 0.0)
    settled = alive & (missing <= MISSING)
    counts = np.bincount(states[:, :-1][settled], minlength=s).astype(np.float64)
    total = np.bincount(states[:, :-1][settled], _returns_to_go(seen, oracle)[settled], s)
    everywhere = total.sum() / max(counts.sum(), 1.0)
    return _StateMeans(settled, counts, np.where(counts > 0, total / np.maximum(counts, 1.0), everywhere))


def _single_visit_products(oracle: Oracle, seen: Outcome, i: int, means: _StateMeans) -> Tables:
    """The published products of what one visit sees, less the mean of D over visits of its state."""
    s, _, b = oracle.sizes[i]
    pairs, alive, weights, states = seen.pairs(i, b), seen.alive[:, i], _discount_weights(oracle, seen, i), seen.states[:, i, :-1]
    c = np.where(alive, weights * _returns_to_go(seen, oracle), 0.0) / oracle.temperature
    total = np.bincount(states[alive], c[alive], s) / np.maximum(means.visits, 1)
    weight = c - np.where(means.settled, np.append(total, 0.0)[states], 0.0)
    reaction = _visit_sums(seen, i, b, weight, oracle.follower_discounts[i], s * b)
    return Tables(reaction.reshape(s, b), np.bincount(pairs[alive], weights[alive], s * b).reshape(s, b))


def _discount_weights(oracle: Oracle, seen: Outcome, i: int) -> np.ndarray:
    """gamma_L^t / N of each step, (N, T)."""
    count, steps = seen.alive[:, i].shape
    return np.broadcast_to(oracle.leader_discount ** np.arange(steps) / count, (count, steps))


def _returns_to_go(seen: Outcome, oracle: Oracle) -> np.ndarray:
    """U_t, (N, T)."""
    return discounted_sums(seen.leader_rewards, oracle.leader_discount, ahead=True)


def _visit_sums(seen: Outcome, i: int, b: int, weight: np.ndarray, discount: float, size: int) -> np.ndarray:
    """Sum over the visits of each pair of W_t = weight_t + discount W_{t-1}, (S * B,), ``weight`` (N, T)."""
    sums, alive = discounted_sums(weight, discount), seen.alive[:, i]
    return np.bincount(seen.pairs(i, b)[alive], sums[alive], size)
