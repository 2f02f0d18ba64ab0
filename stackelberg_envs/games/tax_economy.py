"""Tax economy: tax design with assets of any size.

This is what the published simulator plays; `tax_design` is the grid on which it is solved.

Story, rewards, constants and presets are those of `stackelberg_envs.games.tax_design`, with one consumer; only assets differ, which are
any number in [-100, 100].  The next one is drawn by inverting its distribution function, with mu = clip(m + (1 - x) w n - sum_i c_i)::

    m' = mu + 5 z,   Phi(z) = Phi(low) + u (Phi(high) - Phi(low)),   low, high = (-100 - mu) / 5, (100 - mu) / 5

computed from the upper tail where u > 0.5, so that no digits are lost in either.

**The default follower.**  There is no closed form, but only one state variable, so ``Soft(tau)`` means: solve the grid game, V; back V up
once more from assets four times as dense; and choose, between two of those, by the policy of either, the nearer one more often::

    g(b|m) = softmax_b((-0.1 n^2 + prod_i (...) + 0.9 E[V(m') | m, b]) / tau)

The follower loses 2e-5 of value by it, measured on 641 points at rates 0.3 (legacy, temperature 0.1, both contexts); policies of the grid
itself, interpolated, lose 6e-4, and those of the nearest grid point 8e-3.  The certificate is the last step of the grid's solution.

Exact scores of any policy on the grid (`TaxProcess.follower_score`) say how far a learning follower is from its own optimum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium.spaces import Box, Discrete

from ..arguments import cycles
from ..game import StackelbergGame
from ..planning.linear_systems import PlanningError
from ..planning.policy_evaluation import policy_value, regularised_reward
from ..planning.policy_iteration import soft_policy_iteration
from ..planning.value_iteration import softmax_backup
from ..processes.arrays import Array, array_namespace, clip
from ..processes.constants import Constants
from ..processes.inverse_cdf import cumulative
from ..processes.sampled import Noise, normal, normal_cdf
from ..worlds.sampled import SampledProcess
from .tax_design import (
    CONSUMERS,
    DISCOUNT,
    DISUTILITY,
    FIRST_VARIANCE,
    GOODS,
    LIMIT,
    NOISE,
    WAGE,
    TaxDesign,
    asset_utility,
    utility,
    welfare,
)

REFINEMENT = 4
"""How many times as dense as the grid's the assets are between which the follower's policy is interpolated."""


class TaxEconomy(StackelbergGame):
    """Income tax and VAT for a consumer with any assets in [-100, 100].

    * Commitment: as in `TaxDesign`, 4 numbers; `rates` says which rates they are, `at_rates` goes back.
    * State: the assets, (1,).  Action: hours and three spendings, `Discrete`, row-major as in `TaxDesign`.
    * Scores are means over the referee's episodes of ``max_cycles`` steps; there 0.9^200 is 1e-9.

    Args:
        preset: ``"clean"`` or ``"legacy"``, the paper's constants; see `stackelberg_envs.games.tax_design`.
        grid: number of asset levels on which ``Soft`` plans.
        hours: number of levels of work: 0, 0.89, 1.78, ...
        spendings: number of levels of spending on each good: 0, 1.25, 2.5, ...
        temperature: of the default follower, `Soft`; published: 0.1, 0.2 and 0.3.
        max_cycles: steps after which an episode is cut; published: 200.
    """

    name = "tax_economy"
    contexts = TaxDesign.contexts
    context_visibility = TaxDesign.context_visibility

    def __init__(
        self,
        *,
        preset: Literal["clean", "legacy"] = "clean",
        grid: int = 161,
        hours: int = 10,
        spendings: int = 5,
        temperature: float = 0.1,
        max_cycles: int = 200,
    ) -> None:
        self.on_grid = TaxDesign(preset=preset, grid=grid, hours=hours, spendings=spendings, temperature=temperature, max_cycles=max_cycles)
        """The same economy on a grid."""
        self.context_probabilities = self.on_grid.context_probabilities
        self.leader_space = self.on_grid.leader_space
        self.saturation = self.on_grid.saturation
        self.default_follower = self.on_grid.default_follower
        self.max_cycles = cycles(max_cycles)
        self._parts = (hours, *[spendings] * GOODS)
        self._constants = Constants(
            worked=self.on_grid.worked,
            spent=self.on_grid.spent,
            tastes=np.array(CONSUMERS[0].tastes),
            fine=_refine_grid(self.on_grid.assets),
        )

    def rates(self, x: Array) -> tuple[Array, Array]:
        """Income tax (...) and VAT (..., 3), as shares."""
        return self.on_grid.rates(x)

    def at_rates(self, income: float, vat: Any) -> np.ndarray:
        """The commitment (4,) with these rates; see `TaxDesign.at_rates`."""
        return self.on_grid.at_rates(income, vat)

    def instruments(self, x: Any) -> dict[str, np.ndarray]:
        """The rates as shares: income tax (...) and VAT (..., 3)."""
        return self.on_grid.instruments(x)

    def induced(self, x: Array, context: int) -> TaxProcess:
        income, vat = self.rates(x)
        return TaxProcess(x, income, vat, context, self.on_grid, self._constants, self._parts)

    def incentive_at(self, x: Array, context: int | str, states: Array, actions: Array) -> Array:
        """The consumer's utility of what it buys, which VAT lowers, (...), for actions (...)."""
        del states
        c, (_, vat) = self._constants.like(x), self.rates(x)
        spent = c.spent[actions]
        return utility(_align_with_steps(vat, actions.ndim, trailing=1), spent, c.tastes[self.context_index(context), :])

    def log_kernel_density(self, x: Array, states: Array, leads: Array, actions: Array, arrived: Array) -> Array:
        """``log p(m'|m,b)``, which income tax moves, (...), up to a constant."""
        del leads
        mean = self.induced(x, 0).mean(states, actions)
        low, high = ((limit - mean) / NOISE for limit in (-LIMIT, LIMIT))
        off = (arrived[..., 0] - mean) / NOISE
        return -0.5 * off**2 - array_namespace(mean).log(normal_cdf(high) - normal_cdf(low))


@dataclass(frozen=True, eq=False)
class TaxProcess(SampledProcess):
    """The consumer's world under one commitment, or a batch of them that broadcasts against states."""

    x: Array
    """(..., 4)."""
    income: Array
    """Income tax, (...)."""
    vat: Array
    """(..., 3)."""
    context: int
    on_grid: TaxDesign
    constants: Constants
    action_parts: tuple[int, ...]
    state_space: ClassVar[Box] = Box(-LIMIT, LIMIT, (1,), np.float64)  # type: ignore[misc]
    noise: ClassVar[Noise] = Noise(1, 0, 1)  # type: ignore[misc]
    follower_discount: ClassVar[float] = DISCOUNT  # type: ignore[misc]
    leader_discount: ClassVar[float] = DISCOUNT  # type: ignore[misc]
    tables: ClassVar[tuple[str, ...]] = ("income", "vat")
    rank: ClassVar[int] = 0

    @property
    def follower_action(self) -> Discrete:  # type: ignore[override]
        """Hours and spendings, as one."""
        return Discrete(len(self.on_grid.worked))

    def start(self, u: Array) -> Array:
        return FIRST_VARIANCE**0.5 * normal(u)

    def lead(self, states: Array, u: Array) -> Array:
        del states
        return u

    def mean(self, states: Array, actions: Array) -> Array:
        """mu, (...)."""
        xp, c = array_namespace(states), self.constants.like(states)
        saved = (1.0 - _align_with_steps(self.income, actions.ndim)) * WAGE * c.worked[actions] - xp.sum(c.spent[actions], axis=-1)
        return clip(states[..., 0] + saved, -LIMIT, LIMIT)

    def step(self, states: Array, leads: Array, actions: Array, u: Array) -> tuple[Array, Array]:
        del leads
        xp, mean, u = array_namespace(states), self.mean(states, actions), u[..., 0]
        below, above = normal_cdf((-LIMIT - mean) / NOISE), normal_cdf((mean - LIMIT) / NOISE)
        from_below, inside = u < 0.5, 1 - below - above
        z = normal(xp.where(from_below, below, above) + xp.where(from_below, u, 1 - u) * inside)
        arrived = clip(mean + NOISE * xp.where(from_below, z, -z), -LIMIT, LIMIT)
        return arrived[..., None], xp.zeros(arrived.shape, dtype=xp.bool, device=arrived.device)

    def rewards(self, states: Array, leads: Array, actions: Array, arrived: Array) -> tuple[Array, Array]:
        del leads, arrived
        c, assets = self.constants.like(states), states[..., 0]
        worked, spent = c.worked[actions], c.spent[actions]
        income, vat = _align_with_steps(self.income, actions.ndim), _align_with_steps(self.vat, actions.ndim, trailing=1)
        earned = asset_utility(assets) - DISUTILITY * worked**2 + utility(vat, spent, c.tastes[self.context, :])
        return earned, self.on_grid.debt(assets) + welfare(income, vat, worked, spent)

    # -- by the grid -------------------------------------------------------------------------------------------------------------

    def soft_response(self, temperature: float) -> tuple[InterpolatedPolicy, InterpolatedValue, float]:  # type: ignore[override]
        """(policy, V, last step of the grid's solution); see the module's docstring."""
        (mdp,) = self.on_grid.problems(self.x, self.context)
        plan = soft_policy_iteration(mdp, temperature)
        xp, c = array_namespace(self.x), self.constants.like(self.x)
        moves, incentive = self.on_grid.moves(self.x, c.fine), self.on_grid.incentive(self.x, self.context)
        ahead = moves.expand_rows(xp.matmul(moves.rows, plan.values[..., None, None, :, None])[..., 0])
        _, policy = softmax_backup(-DISUTILITY * c.worked**2 + incentive + DISCOUNT * ahead, temperature)
        return InterpolatedPolicy(policy[..., 0, :]), InterpolatedValue(plan.values), plan.step

    def follower_score(self, policy: Any, temperature: float, horizon: int) -> tuple[Array, Array, Array]:  # type: ignore[override]
        """Of a policy with ``probabilities``, read at the grid's points: exact, for the consumer who lives there.

        Raises:
            PlanningError: if the policy does not say its probabilities.
        """
        if not hasattr(policy, "probabilities"):
            raise PlanningError(f"a policy is scored on the grid by its probabilities(states), and {type(policy).__name__} has none")
        (mdp,) = self.on_grid.problems(self.x, self.context)
        xp = array_namespace(mdp.initial)
        read = policy.probabilities(xp.asarray(self.on_grid.assets, device=mdp.initial.device)[:, None])
        table = xp.asarray(read, dtype=mdp.initial.dtype, device=mdp.initial.device)[..., :, None, :]
        attained = policy_value(mdp, table, regularised_reward(mdp, table, temperature), DISCOUNT)
        best = soft_policy_iteration(mdp, temperature).values
        plain = policy_value(mdp, table, mdp.follower_reward, DISCOUNT, horizon=horizon)
        own, gap = (xp.sum(mdp.initial * values, axis=-1) for values in (attained, best - attained))
        return xp.sum(mdp.initial * plain, axis=-1), own, xp.where(gap > 0, gap, xp.zeros_like(gap))  # below 0 is rounding


@dataclass(frozen=True, eq=False)
class InterpolatedPolicy:
    """A policy by its table at evenly spaced assets: between two of them, that of either, the nearer one more often."""

    table: Array
    """Probabilities, (..., K, B)."""
    noise: int = field(default=2, init=False)

    def __post_init__(self) -> None:
        # all rows in one sorted list, row r from r to r + 1, in double precision: one binary search finds an action
        xp = array_namespace(self.table)
        rows = cumulative(xp.reshape(xp.astype(self.table, xp.float64), (-1, self.table.shape[-1])))
        places = xp.arange(rows.shape[0], dtype=rows.dtype, device=rows.device)
        object.__setattr__(self, "_sorted", xp.reshape(rows + places[:, None], (-1,)))

    def act(self, states: Array, leads: Array, u: Array) -> Array:
        """See `stackelberg_envs.processes.sampled.Actor.act`."""
        del leads
        xp = array_namespace(states)
        *batch, k, b = self.table.shape
        first, share = _interpolation_weights(states[..., 0], k)
        row = first + xp.astype(u[..., 0] < share, xp.int64)
        if batch:
            count = int(np.prod(batch))
            row = row + k * _align_with_steps(xp.reshape(xp.arange(count, device=row.device), tuple(batch)), row.ndim)
        row = xp.astype(row, xp.float64)
        within = clip(xp.astype(u[..., 1], xp.float64), 1e-9, 1 - 1e-9)  # of row r: r + u must not round to r or r + 1
        flat = xp.reshape(row + within, (-1,))
        found = xp.reshape(xp.searchsorted(self._sorted, flat, side="right"), row.shape)  # type: ignore[attr-defined]
        return found - b * xp.astype(row, xp.int64)

    def log_density(self, states: Array, leads: Array, actions: Array) -> Array:
        """log g(b|s), (...), under one commitment."""
        del leads
        xp = array_namespace(states)
        first, share = _interpolation_weights(states[..., 0], self.table.shape[-2])
        flat, at = xp.reshape(self.table, (-1,)), first * self.table.shape[-1] + actions
        low, high = flat[at], flat[at + self.table.shape[-1]]
        return xp.log(low + share * (high - low))

    def probabilities(self, states: Array) -> Array:
        """g(b|s), (..., N, B), of states (N, 1)."""
        xp = array_namespace(self.table)
        first, share = _interpolation_weights(states[..., 0], self.table.shape[-2])
        low, high = (xp.take(self.table, place, axis=-2) for place in (first, first + 1))
        return low + share[:, None] * (high - low)


@dataclass(frozen=True, eq=False)
class InterpolatedValue:
    """V(s) by its table (..., S) at evenly spaced assets, linear between them."""

    table: Array

    def __call__(self, states: Array, leads: Array | None = None) -> Array:
        """(..., N), of states (N, 1)."""
        del leads
        xp = array_namespace(self.table)
        first, share = _interpolation_weights(states[..., 0], self.table.shape[-1])
        low, high = (xp.take(self.table, place, axis=-1) for place in (first, first + 1))
        return low + share * (high - low)


def _interpolation_weights(assets: Array, count: int) -> tuple[Array, Array]:
    """The index of the next lower one of ``count`` evenly spaced assets, and the share of the way to the next higher one."""
    xp = array_namespace(assets)
    place = (assets + LIMIT) * ((count - 1) / (2 * LIMIT))
    first = clip(xp.astype(xp.floor(place), xp.int64), 0, count - 2)
    return first, clip(place - first, 0.0, 1.0)


def _align_with_steps(of_commitments: Array, batch: int, *, trailing: int = 0) -> Array:
    """One entry a commitment, (K, ...), as (K, 1, ...) where steps have ``batch`` axes, (K, N), and commitments fewer."""
    axes = of_commitments.ndim - trailing
    return array_namespace(of_commitments).expand_dims(of_commitments, axis=axes) if 0 < axes < batch else of_commitments


def _refine_grid(assets: np.ndarray) -> np.ndarray:
    return np.linspace(-LIMIT, LIMIT, REFINEMENT * (len(assets) - 1) + 1)
