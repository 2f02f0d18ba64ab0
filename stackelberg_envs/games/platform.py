"""Platform: show sellers to buyers by a rule, so that they compete.

* **Followers**: two sellers of similar goods.  Each period each of them posts one of m prices.  It earns what it sells times its margin.
* **Leader**: a marketplace that announces by which rule it shows sellers.  It wants consumer surplus, and perhaps its own fees.

With D the set of sellers who are shown, demand is logit, and surplus its log-sum; quality is g - c = 1 above cost, the outside good is 0::

    demand_i(D) = e_i / (1 + sum_D e_j),   e_i = exp((g_i - p_i) / mu)         surplus(D) = mu log(1 + sum_D e_j)
    r_i = sum_D P(D|s,p;x) ((1 - fee) p_i - c) demand_i(D)
    r_L = (1 - delta) sum_D P(D|s,p;x) (surplus(D) + fee_weight fee sum_i p_i demand_i(D))

The rule has up to three numbers, and all of them may be 0 or out of the way::

    prominence   phi     probability that one seller alone is shown.  The cheaper one, nearly: seller 0 with
                         sigmoid((p_1 - p_0 + a (w_0 - w_1)) / softness), w_i whether i was the cheaper one in the last period
    advantage    a       what the cheaper seller of the last period may be dearer by and still be shown as often as the other
    ceiling      b       seller i is hidden with probability sigmoid((p_i - b) / softness)

Demand, prices and the learners who play it are those of Calvano, Calzolari, Denicolo and Pastorello, "Artificial intelligence, algorithmic
pricing, and collusion", AER 2020: without a rule the static Nash price is 1.473 and the joint optimum 1.925.  Prominence for the cheaper
seller, and for the previous winner, are after Johnson, Rhodes and Wildenbeest, "Platform design when sellers use pricing algorithms",
Econometrica 2023; ceilings after the threshold rules of Brero, Lepore, Mibuari and Parkes, "Learning to mitigate AI collusion on economic
platforms", NeurIPS 2022.  The smooth versions are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, real, whole
from ..commitments import Saturation, sigmoid
from ..followers.equilibria import SoftNash
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..processes.successor_lists import SuccessorLists
from ..worlds.markov_game import InducedMarkovGame
from .platform_demand import demand_tables, joint_price, nash_price

Instrument = Literal["prominence", "advantage", "ceiling"]
MARGIN = 0.1
"""How far the highest price is above the joint optimum, in units of the distance from the static Nash price."""


class Platform(StackelbergGame):
    """Two sellers on a marketplace that says whom it shows; see the module for its formulas.

    * Commitment: one number z for each of ``instruments``, in their order.  phi = ``sigmoid(z)``; a = ``sigmoid(z)`` times half the
      distance from the Nash price to the joint optimum; b = lowest price + ``sigmoid(z)`` times 1.5 times the range of prices.
    * States: ``memory="prices"``: the last prices (j, k) as j m + k.  ``"winner"``: 0 where they were equal, else 1 + the cheaper seller;
      no rule asks for more, and who learns has less to learn from.  ``"none"``: the market is held once.
    * Actions: the prices, from the lowest.  The first state is that of two prices drawn evenly.
    * Contexts: the cost of both sellers, which the leader does not know, where there are several.
    * The return is a mean over periods with weights (1 - delta) delta^t, so that it is in units of one period.

    Args:
        prices: m, from 2; published: 15.
        below: how far the lowest price is below the static Nash price, in units of the distance from there to the joint optimum;
            published: 0.1.
        instruments: which numbers the rule has.
        memory: what the sellers remember.
        costs: c of both sellers, one a context, equally likely; the static prices are those of the lowest and of the highest.
        differentiation: mu.
        softness: scale of prices within which the rule is not sharp; a step between two prices is 0.039 in the published market.
        fee: share of the price that the leader keeps, at least 0 and below 1.
        fee_weight: what a unit of fees is worth to the leader, in units of surplus.
        discount: delta of everybody; published: 0.95.
        temperature: of the default follower, `SoftNash`, in units of profit; static Nash profits are 0.223.
        max_cycles: periods after which a played episode is cut.

    Raises:
        ValueError: for numbers out of range, an instrument that is named twice, and an advantage where nobody remembers a winner.
    """

    name = "platform"
    followers = 2

    def __init__(
        self,
        *,
        prices: int = 15,
        below: float = 0.1,
        instruments: Sequence[Instrument] = ("prominence", "advantage"),
        memory: Literal["prices", "winner", "none"] = "prices",
        costs: Sequence[float] = (1.0,),
        differentiation: float = 0.25,
        softness: float = 0.05,
        fee: float = 0.0,
        fee_weight: float = 1.0,
        discount: float = 0.95,
        temperature: float = 0.01,
        max_cycles: int = 100,
    ) -> None:
        m = whole("prices", prices, 2)
        check_memory("prices", 6.0 * m**4 if memory == "prices" else 24.0 * m**2)
        self.instrument_names = tuple(instruments)
        if not self.instrument_names or len(set(self.instrument_names)) < len(self.instrument_names):
            raise ValueError(f"instruments are one or more of prominence, advantage and ceiling, each once, got {instruments!r}")
        if memory == "none" and "advantage" in self.instrument_names:
            raise ValueError("memory='none' knows no previous winner: leave the advantage out of instruments, or remember the winner")
        if not len(costs):
            raise ValueError("costs needs at least one")
        self.costs = tuple(real("a cost", cost, 0) for cost in costs)
        self.differentiation = real("differentiation", differentiation, 0, open_low=True)
        self.softness = real("softness", softness, 0, open_low=True)
        self.fee, self.fee_weight = real("fee", fee, 0, 1, open_high=True), real("fee_weight", fee_weight, 0)
        self.discount = real("discount", discount, 0, 1, open_high=True)
        self.nash_price = nash_price(min(self.costs), self.differentiation)
        """The static Nash price without a rule and a fee, at the lowest cost."""
        self.joint_price = joint_price(max(self.costs), self.differentiation)
        """The price that maximises the sellers' joint profit, at the highest cost."""
        self.spread = self.joint_price - self.nash_price
        low = self.nash_price - real("below", below, 0) * self.spread
        self.prices = np.linspace(low, self.joint_price + MARGIN * self.spread, m)
        """Of each action, (m,), ascending."""
        self.memory = memory
        self.max_cycles = cycles(max_cycles)
        self.contexts = ("only",) if len(self.costs) == 1 else tuple(f"cost {cost:g}" for cost in self.costs)
        self.context_probabilities = np.full(len(self.costs), 1 / len(self.costs))
        self.leader_space = Box(-20.0, 20.0, (len(self.instrument_names),), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.default_follower = SoftNash(real("temperature", temperature, 0, open_low=True))
        first, second = (price.ravel() for price in np.meshgrid(self.prices, self.prices, indexing="ij"))
        cheaper = np.sign(second - first)
        after = {"prices": np.arange(m * m), "winner": np.where(cheaper == 0, 0, np.where(cheaper > 0, 1, 2)), "none": np.zeros(m * m, int)}
        successors, states = after[memory], {"prices": m * m, "winner": 3, "none": 1}[memory]
        shape = (states, 1, m * m)
        if memory == "none":
            transition = np.zeros((*shape, 1))
        else:
            listed = np.broadcast_to(successors[:, None], (*shape, 1))
            transition = SuccessorLists(np.ascontiguousarray(listed), np.ones((*shape, 1)))  # type: ignore[arg-type]
        self._constants = Constants(
            transition=transition,
            initial=np.bincount(successors, minlength=states) / (m * m),
            leader_policy=np.ones((states, 1)),
            favoured={"prices": cheaper, "winner": np.array([0.0, 1.0, -1.0]), "none": np.zeros(1)}[memory][:, None],
            first=first,
            second=second,
            pays=np.array([0.0 if memory == "none" else self.discount]),
            **{f"demand_{i}": demand_tables(first, second, cost, self.differentiation) for i, cost in enumerate(self.costs)},
        )

    @cached_property
    def _ranges(self) -> dict[str, tuple[float, float]]:
        """The least and the largest of each number of a rule."""
        low, high = float(self.prices[0]), float(self.prices[-1])
        ranges = {"prominence": (0.0, 1.0), "advantage": (0.0, 0.5 * self.spread), "ceiling": (low, low + 1.5 * (high - low))}
        return {name: ranges[name] for name in self.instrument_names}

    def rule(self, x: Array) -> dict[str, Array]:
        """The numbers of the rule, each (...): a probability, and an advantage and a ceiling in units of price."""
        shares = sigmoid(x)
        return {name: low + (high - low) * shares[..., i] for i, (name, (low, high)) in enumerate(self._ranges.items())}

    def at_rule(self, **numbers: float) -> np.ndarray:
        """The commitment (n,) of a rule, by the names of its numbers; the ends of their ranges up to 2e-9 of these.

        Raises:
            ValueError: if other numbers are named than ``instruments``, or one is out of its range.
        """
        if numbers.keys() != self._ranges.keys():
            raise ValueError(f"a rule of this game has the numbers {', '.join(self._ranges)}, got {', '.join(numbers) or 'none'}")
        shares = [(real(name, numbers[name], low, high) - low) / (high - low) for name, (low, high) in self._ranges.items()]
        within = np.clip(shares, 2.1e-9, 1 - 2.1e-9)
        return np.clip(np.log(within / (1 - within)), self.leader_space.low, self.leader_space.high)

    def instruments(self, x: Array) -> dict[str, np.ndarray]:
        """The numbers of the rule, each (..., 1)."""
        return {name: np.asarray(value)[..., None] for name, value in self.rule(np.asarray(x)).items()}

    def display(self, x: Array) -> tuple[Array, Array, Array]:
        """The probabilities that both sellers are shown, the first alone, and the second alone, each (..., S, B)."""
        c, rule = self._constants.like(x), {name: value[..., None, None] for name, value in self.rule(x).items()}
        alone, advantage = rule.get("prominence", 0.0), rule.get("advantage", 0.0)
        wins = sigmoid((c.second - c.first + advantage * c.favoured) / self.softness)
        one = two = 1.0
        if "ceiling" in rule:
            one, two = (sigmoid((rule["ceiling"] - price) / self.softness) for price in (c.first, c.second))
        pair = one * two
        return pair * (1 - alone) + 0 * wins, pair * alone * wins + one * (1 - two), pair * alone * (1 - wins) + two * (1 - one)

    def _payoffs(self, x: Array, context: int) -> tuple[Array, Array]:
        """(profits (..., 2, S, 1, B), what the leader wants (..., S, 1, B)) of a period under a rule."""
        xp, c = array_namespace(x), self._constants.like(x)
        both, first, second = self.display(x)
        table = getattr(c, f"demand_{context}")
        cost = self.costs[context]
        sales = both * table[0] + first * table[1], both * table[2] + second * table[3]
        surplus = both * table[4] + first * table[5] + second * table[6]
        profits = [((1 - self.fee) * price - cost) * sold for price, sold in zip((c.first, c.second), sales, strict=True)]
        fees = self.fee * (c.first * sales[0] + c.second * sales[1])
        return xp.stack(profits, axis=-3)[..., None, :], (1 - c.pays) * (surplus + self.fee_weight * fees)[..., None, :]

    def _without_rule(self, x: Array, context: int) -> tuple[Array, Array]:
        """`_payoffs` where both sellers are always shown, (2, 1, 1, B) and (1, 1, B)."""
        xp, c = array_namespace(x), self._constants.like(x)
        table, cost = getattr(c, f"demand_{context}"), self.costs[context]
        profits = [((1 - self.fee) * price - cost) * sold for price, sold in zip((c.first, c.second), (table[0], table[2]), strict=True)]
        fees = self.fee * (c.first * table[0] + c.second * table[2])
        return xp.stack(profits, axis=0)[:, None, None, :], ((1 - c.pays) * (table[4] + self.fee_weight * fees))[None, None, :]

    def incentive(self, x: Array, context: int | str = 0) -> tuple[Array, ...]:
        """What the rule adds to each seller's profit, (..., S, 1, B)."""
        index = self.context_index(context)
        added = self._payoffs(x, index)[0] - self._without_rule(x, index)[0]
        return added[..., 0, :, :, :], added[..., 1, :, :, :]

    def leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """What the rule takes from the leader's payoff at given prices, (..., S, 1, B)."""
        index = self.context_index(context)
        return self._without_rule(x, index)[1] - self._payoffs(x, index)[1]

    def induced(self, x: Array, context: int) -> InducedMarkovGame:
        c = self._constants.like(x)
        profits, wanted = self._payoffs(x, context)
        return InducedMarkovGame(
            leader_policy=c.leader_policy,
            transition=c.transition,
            follower_rewards=profits,
            leader_reward=wanted,
            initial=c.initial,
            actions=(len(self.prices), len(self.prices)),
            follower_discount=self.discount,
            leader_discount=self.discount,
        )

    def upper_bound(self) -> float:
        """The largest payoff of a period at any prices, whoever is shown: no rule, and no sellers, do better on average."""
        best = []
        for context in range(len(self.costs)):
            c = self._constants.like(np.zeros(1))
            table = getattr(c, f"demand_{context}")
            worth = self.fee_weight * self.fee
            shown = (
                table[4] + worth * (c.first * table[0] + c.second * table[2]),
                table[5] + worth * c.first * table[1],
                table[6] + worth * c.second * table[3],
            )
            best.append(max(0.0, *(float(one.max()) for one in shown)))
        return float(self.context_probabilities @ np.array(best))
