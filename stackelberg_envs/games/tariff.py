"""Tariff: post prices by the hour; households wait or leave.

* **Followers**: households, whose type is the context.  Each decides first whether to take the offer or the regulated flat tariff, and
  then, period by period, how much of its flexible load it serves; what is left at its deadline must have been served.  It pays the posted
  prices, or the flat one, for all it uses, and waiting is a discomfort::

      r_F = -p_t (l_t + u b) - d_t b           l_t: base load, kWh; u: kWh of a unit; b: units served; d_t: discomfort of so late a unit

* **Leader**: a retailer posts one price for each period, the same for all types, before it knows who buys.  It earns the bill less what
  the load costs it, or a regulated margin of those who leave::

      r_L = p_t (l_t + u b) - w_t (l_t + u b) - k (l_t + u b)^2 / h        w_t: wholesale price; k: what a kW costs for an hour; h: hours

The lowest prices bring all households and lose money, the highest ones drive all away: a leader that takes households as they are raises
prices until nobody is left.  A household that leaves takes its whole bill with it, so against followers without entropy the return jumps.

The cost of power is counted for each household by itself.  A cost of the peak of all together would be no sum over households; that two
types fill the same cheap hour is no loss here.

Sources: Zugno, Morales, Pinson, Madsen, "A bilevel model for electricity retailers' participation in a demand response market environment",
Energy Economics 2013 (a retailer, flexible load, and one mixed-integer programme for both).  The outside option, types, households,
prices and costs are ours (`stackelberg_envs.games.tariff_households`).
Exact values and bounds: `stackelberg_envs.planning.tariffs`, `stackelberg_envs.planning.tariff_programme`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from ..arguments import real, whole
from ..commitments import Saturation, sigmoid
from ..followers.exact import Hard, Soft
from ..game import Follower, StackelbergGame, follower_of
from ..optional import Profile
from ..planning.tariff_programme import best_tariff
from ..planning.tariffs import TariffPlan
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..processes.staged import StagedTransition
from ..processes.transitions import DenseTransition
from ..worlds.mdp import InducedMDP
from .tariff_households import HOUSEHOLDS, SLOTS, Household, consumers, random_households
from .tariff_tables import FLAT, Demand, household_tables, next_states

BOUND = 20.0
MOST_TYPES = 20


class Tariff(StackelbergGame):
    """Time-of-use prices for households that shift load or leave.

    * Commitment: one number a period; its price is ``smallest_price + (largest_price - smallest_price) sigmoid(x)`` EUR per kWh.  With
      the default limits the null commitment posts the flat price.
    * Contexts: the types of household; the retailer sees the type only after it has posted its prices.
    * States: t (2 L + 3) + j, with L = ``levels``: stage 0 is the choice of the contract, in j = 0, and stage t + 1 is period t; there
      j = 1 + e for a household with e units left on the offered tariff, and j = L + 2 + e on the flat one.
    * Actions: in stage 0 the offer (0) or the flat tariff (1), then units to serve.  What power and deadline rule out is masked.

    Args:
        periods: P, of a day from noon to noon: a divisor of 48, at least 2.
        households: how many types, 1 to 20 (without a seed: the first of 5 bundled ones, all equally likely); or which.
        seed: draws that many types at random; None for bundled ones.
        levels: L, units of flexible load of each household, 1 to 20.
        flat_price: of the regulated tariff, EUR per kWh, above 0.
        smallest_price: EUR per kWh.
        largest_price: EUR per kWh, above the smallest.
        peak_cost: k, EUR per kW squared and hour, at least 0.
        flat_margin: what the retailer has from a kWh at the flat tariff, EUR; 0 where another one serves it.
        temperature: of the default follower `Soft`, EUR a day; 0 for `Hard`, with ties for the retailer.

    Raises:
        ValueError: for numbers out of range, and households who cannot take their load in time.
    """

    name = "tariff"

    def __init__(
        self,
        *,
        periods: int = 4,
        households: int | Sequence[Household] = 4,
        seed: int | None = None,
        levels: int = 4,
        flat_price: float = 0.3,
        smallest_price: float = 0.0,
        largest_price: float = 0.6,
        peak_cost: float = 0.02,
        flat_margin: float = 0.0,
        temperature: float = 0.05,
    ) -> None:
        if SLOTS % whole("periods", periods, 2):
            raise ValueError(f"periods is a divisor of {SLOTS}, got {periods}")
        self.households = _households(households, seed)
        """The types, in the order of the contexts."""
        levels = whole("levels", levels, 1, 20)
        low = real("smallest_price", smallest_price, -np.inf)
        self._prices = low, real("largest_price", largest_price, low, open_low=True) - low
        self.leader_space = Box(-BOUND, BOUND, (periods,), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        ends = self.prices(np.array([-BOUND, BOUND]))
        self.consumers = consumers(
            self.households,
            periods,
            levels,
            flat_price=real("flat_price", flat_price, 0, open_low=True),
            limits=(float(ends[0]), float(ends[1])),
            peak_cost=real("peak_cost", peak_cost, 0),
            margin=real("flat_margin", flat_margin, -np.inf),
        )
        """The types in numbers, for `stackelberg_envs.planning.tariffs`."""
        self.contexts = tuple(household.name for household in self.households)
        self.context_probabilities = self.consumers.probability
        self.max_cycles = periods + 1
        self.default_follower = Soft(temperature) if real("temperature", temperature, 0) > 0 else Hard("strong")
        actions = max(2, self.consumers.cost.shape[2])
        stages = np.arange(periods + 1)
        self._constants = Constants(
            idle=np.ones(((periods + 1) * (2 * levels + 3), 1)),
            transition=StagedTransition(DenseTransition(next_states(levels, actions)), periods + 1),
            initial=np.eye((periods + 1) * (2 * levels + 3))[0],
            period=np.repeat(np.maximum(stages - 1, 0), 2 * levels + 3),
            **{
                f"{name}_{i}": table
                for i in range(len(self.contexts))
                for name, table in household_tables(self.consumers, i, flat_margin).items()
            },
        )

    def prices(self, x: Array) -> Array:
        """The price of each period, EUR per kWh, (..., P)."""
        low, width = self._prices
        return low + width * sigmoid(x)

    def at_prices(self, prices: Any, *, margin: float = 0.0) -> np.ndarray:
        """The commitment (P,) with these prices (P,), cut to the leader's box, and to ``margin`` to ``1 - margin`` of the range of prices.

        Nearer to the ends than 0.001, prices hardly move with the commitment, and a method that differentiates stays there.
        """
        low, width = self._prices
        share = np.clip((np.asarray(prices, dtype=np.float64) - low) / width, max(margin, 1e-10), 1 - max(margin, 1e-10))
        return np.clip(np.log(share / (1 - share)), -BOUND, BOUND)

    def incentive(self, x: Array, context: int | str = 0) -> Array:
        """Minus what the household pays at the posted prices, (..., S, 1, B)."""
        c = self._constants.like(x)
        posted = array_namespace(x).take(self.prices(x), c.period, axis=-1)
        return -posted[..., None, None] * getattr(c, f"offered_{self.context_index(context)}")

    def leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """Minus what the household pays, (..., S, 1, B): the leader earns by its prices."""
        return self.incentive(x, context)

    def induced(self, x: Array, context: int) -> InducedMDP:
        c, paid = self._constants.like(x), self.incentive(x, context)
        return InducedMDP(
            leader_policy=c.idle,
            transition=c.transition,
            follower_reward=getattr(c, f"own_{context}") + paid,
            leader_reward=getattr(c, f"earned_{context}") - paid,
            initial=c.initial,
            follower_discount=1.0,
            leader_discount=1.0,
            available=getattr(c, f"available_{context}"),
        )

    def instruments(self, x: Array) -> dict[str, np.ndarray]:
        """The price of each period, EUR per kWh, (..., P)."""
        return {"price": np.asarray(self.prices(np.asarray(x)))}

    def demand(self, policies: Sequence[Array]) -> Demand:
        """What households do under their policies, (S, 1, B), one a type.

        Args:
            policies: in NumPy numbers, in the order of the contexts.
        """
        c, (types, periods) = self._constants.like(np.zeros(0)), self.consumers.sizes
        loads, leaves = np.zeros((types, periods)), np.zeros(types)
        for i, policy in enumerate(policies):
            played = np.asarray(policy)
            visits = c.transition.markov_chain(played).solve_transposed(c.initial, 1.0)
            used = (visits[:, None, None] * played * getattr(c, f"load_{i}")).reshape(periods + 1, -1).sum(axis=1)
            loads[i], leaves[i] = used[1:], played[0, 0, FLAT]
        return Demand(loads, leaves, self.consumers.probability)

    def flat_demand(self) -> Demand:
        """What households do who pay the flat price and plan exactly: they wait for nothing."""
        c = self.consumers
        taken = np.diff(np.minimum(np.cumsum(c.most, axis=1), c.levels), axis=1, prepend=0)
        return Demand(c.base + c.unit[:, None] * taken, np.zeros(len(taken)), c.probability)

    def profile(self, x: Array, policies: Sequence[Sequence[Array]]) -> Profile:
        """Prices, and the mean load of all households beside that at the flat price, in kW."""
        demand, flat = self.demand([own[0] for own in policies]), self.flat_demand()
        periods = self.consumers.sizes[1]
        hours = 24 / periods
        clock = [(12 + hours * t) % 24 for t in range(periods)]
        return Profile(
            tuple(f"{int(at):02d}:{round(60 * (at % 1)):02d}" for at in clock),
            {"load": demand.mean / hours, "load at the flat tariff": flat.mean / hours},
            "kW a household",
            np.asarray(self.prices(np.asarray(x))),
            "price, EUR per kWh",
            f"{100 * demand.leaving:.0f} % leave; peak/mean {demand.peak_to_average:.2f} (flat: {flat.peak_to_average:.2f})",
        )

    @cached_property
    def plan(self) -> TariffPlan:
        """The tariff that earns most against `stackelberg_envs.Hard` with ties for the retailer, and a bound on all others."""
        return best_tariff(self.consumers)

    def bound(self, follower: Follower | None = None) -> float | None:
        """What no prices beat against `Hard` or `Soft`, the game's own follower if None; None for others.

        Against a hard one it is that of the `plan`, which is the optimum where the search was complete.  It holds for all tie rules.
        """
        answers = follower_of(self, follower)
        if isinstance(answers, Hard):
            return self.plan.bound
        return self.consumers.soft_bound(answers.temperature) if isinstance(answers, Soft) else None

    def upper_bound_against(self, follower: Follower) -> float | None:
        """The `bound` against a follower."""
        return self.bound(follower)


def _households(given: Any, seed: int | None) -> tuple[Household, ...]:
    if isinstance(given, int):
        if seed is not None:
            return random_households(whole("households", given, 1, MOST_TYPES), whole("seed", seed, 0))
        return HOUSEHOLDS[: whole("households, without a seed,", given, 1, len(HOUSEHOLDS))]
    if not given or len({household.name for household in given}) < len(given):
        raise ValueError("households needs at least one, and a name of its own for each")
    return tuple(given)
