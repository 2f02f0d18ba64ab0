"""Commons: keep a fishery from being emptied.

* **Followers**: N fishers share one stock of fish.  Each chooses an effort every year; the more effort, the larger the part of the stock
  that is caught, and what is left grows.  What one leaves in the water the others may catch: everybody fishes more than is good for all.
* **Leader**: a regulator announces a mechanism that is composed of up to three instruments, and then lets the fishers be:

  - a **tax** on the catch, one rate for each band of stock levels,
  - a **quota**: fishers are inspected, with one probability for each band, and who is inspected fishes no more than the allowance,
  - a **threshold penalty**: everybody pays it, whoever fished, where the next stock is below a threshold (an ambient charge: Segerson,
    J. Environ. Econ. Manag. 1988).

  It earns what the fishers earn, for money that changes hands is no loss; but collecting money costs a part of it, and inspections cost::

      r_F,i = u_i - tax(stock) base_i - penalty P(next stock < threshold)        u_i, base_i: after inspections
      r_L   = sum_i u_i - collection (sum_i tax base_i + penalty P(...)) - inspection sum_i P(inspected)

Two models of the stock x, with efforts h_i and H = sum_i h_i.  ``"schaefer"`` is surplus production, with a price of fish and a cost of
effort (Schaefer 1954; the case p = 1 of Pella and Tomlinson 1969), where the stock falls during the season (Spence and Starrett 1975)::

    x' = f(x e^-H),  f(s) = s + r s (1 - s / K)        base_i = (h_i / H) x (1 - e^-H) / MSY        u_i = base_i - x_0 h_i / MSY

with r = 0.3, K = 1000 tonnes, MSY = r K / 4 = 75; at x_0 = 200 a catch just pays for its effort (Gordon, JPE 1954).  ``"fish_war"`` is
Levhari and Mirman, "The great fish war", Bell J. Econ. 1980, with a = 0.5::

    x' = (x - H x)^a        u_i = log(h_i x)        base_i = h_i

Grids and closed forms: `stackelberg_envs.games.commons_stocks`.  Nothing that the leader announces gets more than a planner who tells
everybody what to do: `Commons.upper_bound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, nearest, real, whole
from ..commitments import Saturation, sigmoid
from ..followers.equilibria import SoftNash
from ..game import StackelbergGame
from ..optional import Profile
from ..planning.hard_policy_iteration import HardPlan, hard_policy_iteration
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..processes.mdp import DecisionProblem
from ..processes.transitions import as_transition
from ..worlds.markov_game import InducedMarkovGame
from .commons_stocks import STOCKS, FishWar, Schaefer, stock_tables

INSTRUMENTS = ("tax", "quota", "penalty")


class Commons(StackelbergGame):
    """A fishery of N fishers, and a regulator who composes a tax, a quota and a threshold penalty.

    * Commitment: a number z for each band of stock levels and each of tax and quota, in this order, from the emptiest band, and one for the
      penalty.  A tax is ``largest_tax sigmoid(z)``, a probability of inspection ``sigmoid(z)``, the penalty ``largest_penalty sigmoid(z)``.
    * States: stock levels.  The next stock is at the two levels around its value, with that mean, times a shock where there is noise.
    * Actions: efforts of each fisher, equally far from each other.

    Args:
        stock: ``"schaefer"`` or ``"fish_war"``.
        fishers: N, from 2.
        levels: S, stock levels, from 3.
        efforts: B, of a fisher, from 2.
        mechanism: which of ``"tax"``, ``"quota"`` and ``"penalty"``.
        bands: of stock levels, 1 to S.
        allowance: the largest effort of who is inspected, as an index.
        threshold: of the penalty, as a part of the unfished stock, above 0.
        largest_tax: in units of u over units of base; None for 1 of ``"schaefer"``, the price of fish, and else for
            ``2 (N - 1) / (1 - a discount)``, twice the rate that makes fishers cooperate.
        largest_penalty: in units of u.
        collection: what collecting a unit of money costs, at least 0.
        inspection: what inspecting a fisher for a year costs, at least 0.
        noise: standard deviation of the logarithm of the yearly shock, which has three values.
        start: the first stock, as a part of the unfished stock.
        discount: of everybody, below 1.
        temperature: of the default follower, `SoftNash`.
        max_cycles: years after which a played episode is cut.

    Raises:
        ValueError: for numbers out of range, an instrument that is none, or tables that no memory holds.
    """

    name = "commons"

    def __init__(
        self,
        *,
        stock: Literal["schaefer", "fish_war"] = "schaefer",
        fishers: int = 2,
        levels: int = 20,
        efforts: int = 4,
        mechanism: Sequence[str] = INSTRUMENTS,
        bands: int = 4,
        allowance: int = 1,
        threshold: float = 0.4,
        largest_tax: float | None = None,
        largest_penalty: float = 1.0,
        collection: float = 0.1,
        inspection: float = 0.02,
        noise: float = 0.0,
        start: float = 0.5,
        discount: float = 0.95,
        temperature: float = 0.05,
        max_cycles: int = 50,
    ) -> None:
        if stock not in STOCKS:
            raise ValueError(f"there is no stock {stock!r}; {nearest(str(stock), tuple(STOCKS))}")
        if wrong := [part for part in mechanism if part not in INSTRUMENTS]:
            raise ValueError(f"mechanism has no instrument {wrong[0]!r}; {nearest(str(wrong[0]), INSTRUMENTS)}")
        self.mechanism = tuple(part for part in INSTRUMENTS if part in mechanism)
        if not self.mechanism:
            raise ValueError(f"mechanism needs at least one of {', '.join(INSTRUMENTS)}")
        n, s, b = whole("fishers", fishers, 2), whole("levels", levels, 3), whole("efforts", efforts, 2)
        check_memory("efforts ** fishers x levels x levels", b**n * s * s)
        self.followers, self.allowance = n, whole("allowance", allowance, 0, b - 1)
        self.bands = whole("bands", bands, 1, s)
        self.discount = real("discount", discount, 0, 1, open_high=True)
        self.collection, self.inspection = real("collection", collection, 0), real("inspection", inspection, 0)
        self.max_cycles = cycles(max_cycles)
        self.default_follower = SoftNash(real("temperature", temperature, 0, open_low=True))
        self.stock: Schaefer | FishWar = STOCKS[stock]
        """The model of the stock."""
        self.tables = stock_tables(self.stock, n, s, b, real("noise", noise, 0))
        """Stocks, efforts, and what they are worth."""
        usual = self.stock.largest_tax(n, self.discount)
        self.largest_tax = usual if largest_tax is None else real("largest_tax", largest_tax, 0, open_low=True)
        self.largest_penalty = real("largest_penalty", largest_penalty, 0, open_low=True)
        self.threshold = real("threshold", threshold, 0, open_low=True)
        self.parts = {part: 1 if part == "penalty" else self.bands for part in self.mechanism}
        """How many components of a commitment each instrument has."""
        self.leader_space = Box(-20.0, 20.0, (sum(self.parts.values()),), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.band = np.arange(s) * self.bands // s
        """The band of each stock level, integers (S,)."""
        below = self.tables.stocks < self.threshold * self.stock.unfished
        first = np.abs(self.tables.stocks - real("start", start, 0, 1) * self.stock.unfished).argmin()
        if "quota" in self.mechanism:
            self.log_kernel = self._log_kernel
        self._constants = Constants(
            leader_policy=np.ones((s, 1)),
            transition=self.tables.transition,
            utility=self.tables.utility,
            base=self.tables.base,
            below=below.astype(np.float64)[:, None],
            initial=np.eye(s)[first],
            in_band=np.eye(self.bands)[self.band].T,
            cut=np.eye(b)[np.minimum(np.arange(b), self.allowance)] - np.eye(b),
        )

    def _largest(self) -> dict[str, float]:
        return {"tax": self.largest_tax, "quota": 1.0, "penalty": self.largest_penalty}

    def instruments(self, x: Array) -> dict[str, Array]:
        """The tax and the probability of inspection in each band, (..., bands), and the penalty, (..., 1)."""
        named, begin = {}, 0
        for part, count in self.parts.items():
            named[part] = self._largest()[part] * sigmoid(x[..., begin : begin + count])
            begin += count
        return named

    def commitment(self, **instruments: Sequence[float] | np.ndarray | float) -> np.ndarray:
        """The commitment (n,) with these `instruments`, each a number or one a band, 0 if not given; as near as the leader's box has it.

        Raises:
            ValueError: for an instrument that this mechanism does not have.
        """
        if other := [name for name in instruments if name not in self.parts]:
            raise ValueError(f"the mechanism has no {other[0]}: it is composed of {', '.join(self.parts)}")
        shares = [np.broadcast_to(np.asarray(instruments.get(part, 0.0)) / self._largest()[part], n) for part, n in self.parts.items()]
        share = np.clip(np.concatenate(shares), np.exp(self.leader_space.low), 1 - np.exp(-self.leader_space.high))
        return np.log(share / (1 - share))

    def open_access(self) -> np.ndarray:
        """The commitment (n,) to as good as nothing: no tax, no inspections, no penalty."""
        return self.commitment()

    def _by_level(self, x: Array, part: str) -> Array:
        """An instrument at each stock level, (..., S); 0 where it is not part of the mechanism."""
        xp, c = array_namespace(x), self._constants.like(x)
        posted = self.instruments(x).get(part)
        if posted is None:
            return xp.zeros_like(x[..., :1]) + 0 * c.initial
        return posted + 0 * c.initial if part == "penalty" else xp.matmul(posted[..., None, :], c.in_band)[..., 0, :]

    def _with_inspections(self, table: Array, x: Array) -> Array:
        """A table over joint actions (..., S, B^N, R), where inspected fishers keep to the allowance."""
        if "quota" not in self.parts:
            return table
        xp, c = array_namespace(x), self._constants.like(x)
        b, n = c.cut.shape[0], self.followers
        inspected = self._by_level(x, "quota")[..., None, None, None]
        for i in range(n):
            by_own = xp.reshape(table, (*table.shape[:-2], b**i, b, -1))
            moved = by_own + inspected * xp.matmul(c.cut, by_own)
            table = xp.reshape(moved, (*moved.shape[:-3], b**n, -1))
        return table

    def _tables(self, x: Array) -> tuple[Array, Array, Array]:
        """The transition (..., S, B^N, S), the fishers' rewards (..., S, B^N, N) and the leader's, (..., S, B^N)."""
        xp, c = array_namespace(x), self._constants.like(x)
        utility, base = (xp.permute_dims(table[:, :, 0], (1, 2, 0)) for table in (c.utility, c.base))
        taxed = self._by_level(x, "tax")[..., None, None] * base
        transition = self._with_inspections(c.transition[:, 0], x)
        punished = self._by_level(x, "penalty")[..., None, None] * xp.matmul(transition, c.below)
        paid = self._with_inspections(taxed, x) + punished
        earned = self._with_inspections(utility + 0 * taxed, x)
        inspections = self.inspection * self.followers * self._by_level(x, "quota")[..., None]
        return transition, earned - paid, xp.sum(earned - self.collection * paid, axis=-1) - inspections

    def incentive(self, x: Array, context: int | str = 0) -> tuple[Array, ...]:
        """What the mechanism does to each fisher's reward, (..., S, 1, B^N)."""
        del context
        rewards, c = self._tables(x)[1], self._constants.like(x)
        return tuple(rewards[..., None, :, i] - c.utility[i] for i in range(self.followers))

    def leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """What the mechanism does to the sum of what fishers earn, with a minus sign, and what it costs, (..., S, 1, B^N)."""
        del context
        xp, c = array_namespace(x), self._constants.like(x)
        return xp.sum(c.utility, axis=0) - self._tables(x)[2][..., None, :]

    def _log_kernel(self, x: Array, context: int | str = 0) -> Array:
        """log P(s'|s,b), (..., S, 1, B^N, S), -inf where it is 0."""
        del context
        xp, transition = array_namespace(x), self._tables(x)[0][..., None, :, :]
        there = transition > 0
        return xp.where(there, xp.log(xp.where(there, transition, 1.0)), -float("inf"))

    def induced(self, x: Array, context: int) -> InducedMarkovGame:
        del context
        xp, c = array_namespace(x), self._constants.like(x)
        transition, rewards, leader = self._tables(x)
        return InducedMarkovGame(
            leader_policy=c.leader_policy,
            transition=transition[..., None, :, :],
            follower_rewards=xp.moveaxis(rewards, -1, -3)[..., None, :],
            leader_reward=leader[..., None, :],
            initial=c.initial,
            actions=(c.cut.shape[0],) * self.followers,
            follower_discount=self.discount,
            leader_discount=self.discount,
        )

    @cached_property
    def planner(self) -> HardPlan:
        """The planner's dynamic programme: the best efforts in every state, and what it is worth."""
        alone = DecisionProblem(np.ones((len(self.tables.stocks), 1)), self.tables.utility.sum(0), self.tables.transition)
        return hard_policy_iteration(alone, self.discount)

    def upper_bound(self) -> float:
        """What the planner gets from the first stock: no mechanism and no fishers get more, for what a mechanism does costs at least 0."""
        return float(self._constants.like(np.zeros(1)).initial @ self.planner.values)

    def mean_efforts(self, x: Array, policies: Sequence[Array]) -> np.ndarray:
        """The mean of the sum of efforts at each stock level, (S,), after inspections."""
        efforts, inspected = self.tables.efforts, np.asarray(self._by_level(np.asarray(x), "quota"))[:, None]
        done = efforts - inspected * np.maximum(efforts - efforts[self.allowance], 0)
        return sum(((np.asarray(policy)[:, 0] * done).sum(-1) for policy in policies), np.zeros(len(done)))

    def planned_efforts(self) -> np.ndarray:
        """The planner's sum of efforts at each stock level, (S,)."""
        each = np.stack(
            np.unravel_index(np.argmax(self.planner.action_values[:, 0], axis=-1), (len(self.tables.efforts),) * self.followers)
        )
        return self.tables.efforts[each].sum(0)

    def mean_stocks(self, transition: Any, joint: np.ndarray, years: int) -> np.ndarray:
        """The mean stock in each year, (years + 1,), from the first, under a policy over joint actions (S, 1, B^N)."""
        chain = as_transition(transition).markov_chain(joint)
        at, means = np.asarray(self._constants.like(np.zeros(1)).initial), []
        for _ in range(years + 1):
            means.append(float(at @ self.tables.stocks))
            at = chain.push_forward(at)
        return np.array(means)

    def profile(self, x: Array, policies: Sequence[Sequence[Array]]) -> Profile:
        """Efforts of all fishers together at each stock level, those of the planner, and the first instrument."""
        part = next(part for part in self.parts)
        (world,) = self.problems(x)
        later = self.mean_stocks(world.transition, world.product([np.asarray(policy) for policy in policies[0]]), self.max_cycles)[-1]
        return Profile(
            tuple(f"{stock:.3g}" for stock in self.tables.stocks),
            {"effort of all fishers": self.mean_efforts(x, policies[0]), "planner": self.planned_efforts()},
            "effort a year, at each stock",
            np.asarray(self._by_level(np.asarray(x), part)),
            part,
            f"mean stock after {self.max_cycles} years {later:.3g}",
        )
