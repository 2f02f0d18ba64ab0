"""Households for the game of tariffs: what they need when, what they can shift, and what their electricity costs wholesale.

All numbers are ours, chosen to look like those of a European household in winter; no data set is behind them.  A day begins at noon, so
that a car that comes home in the evening is charged by the next morning of the same day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arguments import CheckedArguments, real
from ..planning.tariffs import Consumers

SLOTS = 48
"""Half hours of a day, in which profiles are written down."""
SPOT_PRICE = 0.13, 0.20, 0.07
"""EUR per kWh wholesale: in the night, and what the evening and the morning add to that at most."""


@dataclass(frozen=True)
class Household(CheckedArguments):
    """A type of household.

    Args:
        name: of the type.
        base: kWh a day that it needs whatever they cost.
        evening: the share of these that is needed around 19:30, in [0, 1]; the rest is spread over the day and around 8:00.
        flexible: kWh a day that it can shift, above 0.
        arrival: hours after noon from which they can be taken.
        deadline: hours after noon by which they have to be, at most 24.
        power: kW that they can be taken with at most, above 0.
        delay: EUR per kWh and hour of waiting, at least 0.
        share: of the population, above 0, in any unit.
    """

    name: str
    base: float
    evening: float
    flexible: float
    arrival: float
    deadline: float
    power: float
    delay: float
    share: float = 1.0

    def __post_init__(self) -> None:
        real("base", self.base, 0)
        real("evening", self.evening, 0, 1)
        real("flexible", self.flexible, 0, open_low=True)
        real("arrival", self.arrival, 0, 24)
        real("deadline", self.deadline, self.arrival, 24, open_low=True)
        real("power", self.power, 0, open_low=True)
        real("delay", self.delay, 0)
        real("share", self.share, 0, open_low=True)


HOUSEHOLDS = (
    Household("commuter", base=6, evening=0.6, flexible=8, arrival=6, deadline=18, power=3.7, delay=0.004),
    Household("family", base=10, evening=0.5, flexible=4, arrival=6, deadline=24, power=2, delay=0.01),
    Household("home worker", base=7, evening=0.2, flexible=3, arrival=0, deadline=12, power=2, delay=0.02),
    Household("evening cook", base=10, evening=0.8, flexible=2, arrival=6, deadline=12, power=3, delay=0.05),
    Household("heat pump", base=6, evening=0.4, flexible=12, arrival=0, deadline=24, power=3, delay=0.002),
)
"""Types that are bundled."""


def random_households(count: int, seed: int) -> tuple[Household, ...]:
    """Types drawn at random, all numbers uniform, with arrivals and deadlines at multiples of six hours."""
    rng, drawn = np.random.default_rng(seed), []
    for i in range(count):
        arrival = int(rng.integers(0, 3))
        deadline = int(rng.integers(arrival + 2, 5))
        numbers = rng.uniform([4, 0.1, 2, 2, 0, 0.5], [12, 0.7, 10, 5, 0.03, 1.5])
        base, evening, flexible, power, delay, share = (round(float(value), 3) for value in numbers)
        drawn.append(Household(f"type {i}", base, evening, flexible, 6 * arrival, 6 * deadline, power, delay, share))
    return tuple(drawn)


def bump(middle: float, width: float) -> np.ndarray:
    """A bell over the half hours from noon to noon, 1 at most, (48,), around so many hours after midnight."""
    hours = (12 + (np.arange(SLOTS) + 0.5) / 2) % 24
    away = np.abs(hours - middle)
    return np.exp(-((np.minimum(away, 24 - away) / width) ** 2) / 2)


def spot_prices(periods: int) -> np.ndarray:
    """Wholesale prices, EUR per kWh, (P,)."""
    night, evening, morning = SPOT_PRICE
    return (night + evening * bump(19.0, 2.0) + morning * bump(8.0, 1.5)).reshape(periods, -1).mean(axis=1)


def base_load(household: Household, periods: int) -> np.ndarray:
    """kWh that a household needs in each period whatever they cost, (P,)."""
    evening, morning = bump(19.5, 1.8), bump(8.0, 1.5)
    rest = 0.7 / SLOTS + 0.3 * morning / morning.sum()
    profile = household.evening * evening / evening.sum() + (1 - household.evening) * rest
    return household.base * profile.reshape(periods, -1).sum(axis=1)


def consumers(
    households: tuple[Household, ...],
    periods: int,
    levels: int,
    *,
    flat_price: float,
    limits: tuple[float, float],
    peak_cost: float,
    margin: float,
) -> Consumers:
    """The households in numbers: ``levels`` units of flexible load each, in ``periods`` periods.

    Args:
        households: the types.
        periods: P, a divisor of 48.
        levels: units of flexible load.
        flat_price: of the regulated tariff, EUR per kWh.
        limits: the lowest and the highest price.
        peak_cost: what a kW costs for an hour, per kW: a period of h hours with q kWh costs spot price times q, plus this times q^2 / h.
        margin: what the retailer has from a kWh at the regulated tariff, EUR.

    Raises:
        ValueError: if a household cannot take its load in time.
    """
    hours = 24 / periods
    shares = np.array([household.share for household in households])
    base = np.stack([base_load(household, periods) for household in households])
    unit = np.array([household.flexible / levels for household in households])
    most = np.zeros((len(households), periods), dtype=np.int64)
    discomfort = np.zeros((len(households), periods))
    for i, household in enumerate(households):
        first = min(round(household.arrival / hours), periods - 1)
        after = max(round(household.deadline / hours), first + 1)
        most[i, first:after] = min(levels, max(1, int(household.power * hours / unit[i] + 1e-9)))
        discomfort[i, first:after] = household.delay * unit[i] * hours * np.arange(after - first)
        if most[i].sum() < levels:
            raise ValueError(
                f"{household.name} cannot take {household.flexible:g} kWh from {household.arrival:g} to {household.deadline:g} hours after "
                f"noon with {household.power:g} kW: give it more power or time"
            )
    loads = base[:, :, None] + unit[:, None, None] * np.arange(max(1, int(most.max())) + 1)
    cost = spot_prices(periods)[:, None] * loads + peak_cost * loads**2 / hours
    total = base.sum(axis=1) + levels * unit
    return Consumers(
        probability=shares / shares.sum(),
        base=base,
        unit=unit,
        levels=levels,
        most=most,
        discomfort=discomfort,
        cost=cost,
        flat_price=flat_price,
        margin=margin * total,
        limits=limits,
    )
