"""Tax design: tax the income and the goods of consumers.

The consumers decide how much to work and what to buy.

The consumer owns assets m in [-100, 100].  In each step it chooses hours of work and how much money to spend on each of three goods; its
assets move by what it earns after income tax less what it spends, plus noise.  Which goods it likes is the context.  The government sets
an income tax and a value added tax (VAT) on each good, before it knows the taste, and wants consumption and revenue::

    r_F = U(m) - 0.1 n^2 + prod_i (c_i / (p_i (1 + y_i)))^{om_i}       U(m) = log(m/20 + 1) if m > 0, else m
    r_L = 15 mean_i(c_i / (1 + y_i)) / 5 + 5 log(1 + sum_i y_i c_i / (1 + y_i) + x w n) + artefact
    m'  ~ N(clip(m + (1 - x) w n - sum_i c_i), 5^2) truncated to [-100, 100]

with n hours at wage w = 1, spending c_i with VAT included, prices p_i = 1, income tax x, VAT y and tastes om.  VAT moves what goods are
worth, income tax moves the assets: the response to both is in every exact gradient.  (The published code leaves out how the income tax
changes what consumers do.)

Source: Thoma, Pasztor, Krause, Ramponi, Hu, "Contextual Bilevel Reinforcement Learning for Incentive Alignment", NeurIPS 2024,
arXiv 2406.01575, specified from their public code.  Differences: assets are on a grid, the follower optimises over joint actions (theirs
is a DQN with an independent head for each), and in preset ``"clean"``

* the income tax is sigmoid(x_0), at most 1; published: 2 sigmoid(x_0), so that work may cost money;
* debts do not count for the government.  Its asset term has the scale 0, but in the published code the scale holds for the positive
  branch only, and min(m, 0) stays.

``preset="legacy"`` has both as published.

**The grid.**  The next asset has the normal density at the grid's points, normalised, and the first one, N(0, 2), the mass of the bins
around them.  On 161 points values are within 0.03 of their limit for fine grids (at rates 0.3, temperature 0.1: 28.762, and 28.742 on 321
points); bin masses in both places give 28.773.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, real, whole
from ..commitments import Saturation, sigmoid
from ..followers.exact import Soft
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..processes.shared_rows import SharedRows
from ..worlds.mdp import InducedMDP

LIMIT = 100.0
NOISE = 5.0
FAR = 40.0
"""Densities below exp(-40) of the highest, 9 standard deviations off, are 0: numbers that small make each operation on them slower."""
WAGE = 1.0
HOUR = 0.89
SPENDING = 1.25
GOODS = 3
DISUTILITY = 0.1
ASSET_SCALE = 20.0
FIRST_VARIANCE = 2.0
CONSUMPTION_WEIGHT = 15.0 / 5.0
REVENUE_WEIGHT = 5.0
DISCOUNT = 0.9
Taste = tuple[float, float, float]


@dataclass(frozen=True)
class Consumer:
    """One follower: its taste for the three goods in each context, positive numbers."""

    tastes: tuple[Taste, Taste]


CONSUMERS = (
    Consumer(((0.6, 0.3, 0.1), (0.1, 0.7, 0.2))),
    Consumer(((0.1, 0.6, 0.3), (0.2, 0.1, 0.7))),
    Consumer(((0.3, 0.1, 0.6), (0.7, 0.2, 0.1))),
)
"""The paper's consumer and two more with its tastes for other goods (each moved on by one good); ``consumers=n`` takes the first n."""


class TaxDesign(StackelbergGame):
    """Income tax and VAT for consumers who plan.

    * Commitment: 4 numbers, the income tax's and one for each good's VAT; `rates` says which rates they are, `at_rates` goes back.
    * States: asset levels, evenly spaced on [-100, 100].
    * Actions: hours and three spendings, row-major, 10 x 5 x 5 x 5 = 1,250 of them, of which 130 differ in hours or total spending: the
      transition is a `stackelberg_envs.processes.shared_rows.SharedRows` with 130 rows in each state.
    * Both discount by 0.9; published episodes end after 200 steps.

    Args:
        preset: ``"clean"`` or ``"legacy"``, the paper's constants; see `stackelberg_envs.games.tax_design`.
        consumers: how many followers, or which; each has assets of its own, and the leader is paid for all.
        grid: number of asset levels, at least 11 (then 20 apart, where noise of 5 rarely leads to another level).
        hours: number of levels of work: 0, 0.89, 1.78, ...
        spendings: number of levels of spending on each good: 0, 1.25, 2.5, ...
        temperature: of the default follower, `Soft`; published: 0.1, 0.2 and 0.3.
        max_cycles: steps after which a played episode is cut.
    """

    name = "tax_design"
    contexts = ("first", "second")
    context_visibility = "after"

    def __init__(
        self,
        *,
        preset: Literal["clean", "legacy"] = "clean",
        consumers: int | Sequence[Consumer] = 1,
        grid: int = 161,
        hours: int = 10,
        spendings: int = 5,
        temperature: float = 0.1,
        max_cycles: int = 200,
    ) -> None:
        self.preset = preset
        self.consumers = _consumers(consumers)
        self.followers = len(self.consumers)
        self.context_probabilities = np.full(2, 0.5)
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-10.0, 10.0, (1 + GOODS,), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.default_follower = Soft(real("temperature", temperature, 0.0, open_low=True))
        sizes = whole("grid", grid, 11), whole("hours", hours, 2), whole("spendings", spendings, 2)
        check_memory("grid x hours x spendings", (GOODS + 1 + sizes[0]) * sizes[1] * sizes[2] ** GOODS + sizes[0] ** 2)
        self.assets = np.linspace(-LIMIT, LIMIT, grid)
        """The asset levels, (S,)."""
        steps = np.indices((hours, *[spendings] * GOODS)).reshape(1 + GOODS, -1).T
        self.worked, self.spent = HOUR * steps[:, 0], SPENDING * steps[:, 1:]
        """What each action is: hours (B,), and money spent on each good (B, 3)."""
        totals = GOODS * (spendings - 1) + 1  # how many different sums of spendings there are
        rows = np.arange(hours * totals)
        self._index = steps[:, 0] * totals + steps[:, 1:].sum(-1)
        self._constants = Constants(
            assets=self.assets,
            worked=self.worked,
            spent=self.spent,
            row_worked=HOUR * (rows // totals),
            row_spent=SPENDING * (rows % totals),
            own=asset_utility(self.assets)[:, None] - DISUTILITY * self.worked**2,
            debt=self.debt(self.assets)[:, None],
            initial=_initial_distribution(self.assets),
            leader_policy=np.ones((len(self.assets), 1)),
            tastes=np.array([consumer.tastes for consumer in self.consumers]),
        )

    def rates(self, x: Array) -> tuple[Array, Array]:
        """Income tax (...) and VAT (..., 3), as shares: 2 sigmoid(x), and sigmoid(x_0) for the clean income tax."""
        rates = sigmoid(x)
        return self._largest_rate * rates[..., 0], 2.0 * rates[..., 1:]

    def at_rates(self, income: float, vat: Sequence[float]) -> np.ndarray:
        """The commitment (4,) with these rates, as shares.

        Raises:
            ValueError: if no commitment has them: income tax is strictly between 0 and 1 (legacy: 2), VAT between 0 and 2.
        """
        shares = np.array([income / self._largest_rate, *(np.asarray(vat, dtype=np.float64) / 2.0)])
        if shares.shape != (1 + GOODS,) or not ((shares > 0) & (shares < 1)).all():
            raise ValueError(
                f"rates are an income tax in (0, {self._largest_rate:g}) and {GOODS} VAT in (0, 2), got {income!r} and {vat!r}"
            )
        return np.log(shares / (1 - shares))

    def instruments(self, x: Any) -> dict[str, np.ndarray]:
        """The rates as shares: income tax (...) and VAT (..., 3)."""
        income, vat = self.rates(np.asarray(x))
        return {"income tax": np.asarray(income), "VAT": np.asarray(vat)}

    @property
    def _largest_rate(self) -> float:
        return 2.0 if self.preset == "legacy" else 1.0

    def incentive(self, x: Array, context: int | str = 0) -> Array | tuple[Array, ...]:
        """The consumer's utility of what it buys, which VAT lowers, (..., 1, 1, B); one for each consumer."""
        c, utilities = self._constants.like(x), []
        _, vat = self.rates(x)
        for i in range(self.followers):
            taste = c.tastes[i, self.context_index(context), :]
            utilities.append(utility(vat[..., None, :], c.spent, taste)[..., None, None, :])
        return tuple(utilities) if self.followers > 1 else utilities[0]

    def leader_cost(self, x: Array, context: int | str = 0) -> Array | tuple[Array, ...]:
        """Less what the government gets from each action, (..., 1, 1, B), negative: all of its reward moves with the rates."""
        del context
        cost = -self._welfare(x)[..., None, None, :]
        return (cost,) * self.followers if self.followers > 1 else cost

    def _welfare(self, x: Array) -> Array:
        """Consumption and revenue, (..., B)."""
        c, (income, vat) = self._constants.like(x), self.rates(x)
        return welfare(income[..., None], vat[..., None, :], c.worked, c.spent)

    def debt(self, assets: Array) -> Array:
        """What the government is paid for assets of that size: min(m, 0) in the legacy preset, else 0."""
        xp = array_namespace(assets)
        return xp.where(assets < 0, assets, xp.zeros_like(assets)) if self.preset == "legacy" else xp.zeros_like(assets)

    def moves(self, x: Array, assets: Array | None = None) -> SharedRows:
        """Densities of the next asset at the grid's points, one row for each (hours, total spending), normalised.

        From the grid's points or, if ``assets`` (K,) are given, from those: rows (..., K, 1, R, S).
        """
        xp, c = array_namespace(x), self._constants.like(x)
        income, _ = self.rates(x)
        saved = (1.0 - income)[..., None] * WAGE * c.row_worked - c.row_spent
        # where the mean reaches a limit torch's minimum and maximum have half the slope, which is what a central difference says
        begun = c.assets if assets is None else assets
        mean = xp.maximum(xp.minimum(begun[:, None] + saved[..., None, :], c.assets[-1]), c.assets[0])
        off = (c.assets - mean[..., None]) / (2**0.5 * NOISE)
        exponent = off * off
        density = xp.exp(-xp.where(exponent < FAR, exponent, 1000.0))  # exp(-1000) is 0
        rows = density / xp.sum(density, axis=-1, keepdims=True)
        return SharedRows(rows[..., :, None, :, :], self._index)

    def log_kernel(self, x: Array, context: int | str = 0) -> SharedRows | tuple[SharedRows, ...]:
        """``log P(m'|m,b)``, which income tax moves, whatever the taste; one for each consumer."""
        del context
        xp, moves = array_namespace(x), self.moves(x)
        logarithm = moves.map(lambda rows: xp.where(rows > 0, xp.log(xp.where(rows > 0, rows, 1.0)), -xp.inf))
        return (logarithm,) * self.followers if self.followers > 1 else logarithm

    def induced(self, x: Array, context: int) -> InducedMDP | tuple[InducedMDP, ...]:
        xp, c = array_namespace(x), self._constants.like(x)
        moves, shape = self.moves(x), (*x.shape[:-1], len(self.assets), 1, len(self._index))
        incentives: Any = self.incentive(x, context)
        problems = tuple(
            InducedMDP(
                leader_policy=c.leader_policy,
                transition=moves,
                follower_reward=xp.broadcast_to(c.own[:, None, :] + incentive, shape),
                leader_reward=xp.broadcast_to(c.debt[:, None, :] + self._welfare(x)[..., None, None, :], shape),
                initial=c.initial,
                follower_discount=DISCOUNT,
                leader_discount=DISCOUNT,
            )
            for incentive in (incentives if self.followers > 1 else (incentives,))
        )
        return problems if self.followers > 1 else problems[0]


def asset_utility(assets: Array) -> Array:
    """U(m), what assets are worth to their owner."""
    xp = array_namespace(assets)
    positive = xp.where(assets > 0, assets, xp.zeros_like(assets))
    return xp.where(assets > 0, xp.log(positive / ASSET_SCALE + 1), assets)


def utility(vat: Array, spent: Array, taste: Array) -> Array:
    """prod_i (c_i / (p_i (1 + y_i)))^{om_i}, (...), of spending, VAT and tastes (..., 3).

    As ``prod_i (c_i/p_i)^{om_i} (1 + y_i)^{-om_i}`` it has finite derivatives also where nothing is bought.
    """
    xp = array_namespace(vat, spent)
    return xp.exp(-xp.sum(taste * xp.log(1.0 + vat), axis=-1)) * xp.prod(spent**taste, axis=-1)


def welfare(income: Array, vat: Array, worked: Array, spent: Array) -> Array:
    """What the government is paid for consumption and revenue, (...); VAT and spending are (..., 3)."""
    xp = array_namespace(vat, spent)
    net = spent / (1.0 + vat)
    revenue = xp.sum(vat * net, axis=-1) + income * WAGE * worked
    return CONSUMPTION_WEIGHT * xp.mean(net, axis=-1) + REVENUE_WEIGHT * xp.log(1.0 + revenue)


def _consumers(asked: int | Sequence[Consumer]) -> tuple[Consumer, ...]:
    """Checked consumers."""
    if not isinstance(asked, Sequence):
        if isinstance(asked, bool) or asked not in range(1, len(CONSUMERS) + 1):
            raise ValueError(f"consumers is 1 to {len(CONSUMERS)}, or a sequence of Consumer; got {asked!r}")
        return CONSUMERS[: int(asked)]
    chosen = tuple(asked)
    if not chosen or any(np.shape(one.tastes) != (2, GOODS) or not (np.array(one.tastes) > 0).all() for one in chosen):
        raise ValueError(f"consumers need at least one Consumer, each with {GOODS} positive tastes for both contexts; got {asked!r}")
    return chosen


def _initial_distribution(assets: np.ndarray) -> np.ndarray:
    """N(0, 2): the mass of the bin around each point, (S,), all beyond the limits in the outermost."""
    normal = NormalDist(0.0, FIRST_VARIANCE**0.5)
    below = np.array([0.0, *(normal.cdf(edge) for edge in (assets[1:] + assets[:-1]) / 2), 1.0])
    return np.diff(below)
