"""Logit demand for two goods, its surplus, and the static prices of those who sell them.

Quality is 1 above a good's cost, and the outside good is worth 0, as in Calvano et al. 2020.  Symmetric first-order conditions, with D the
demand for one of two goods at equal prices::

    static Nash      p - c = mu / (1 - D)              joint profit      p - c = mu / (1 - 2 D)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

QUALITY = 1.0
"""How much more than its cost a good is worth to the mean buyer."""


def demand_tables(first: np.ndarray, second: np.ndarray, cost: float, differentiation: float) -> np.ndarray:
    """Demands and surplus at pairs of prices (B,), as (7, B).

    Returns:
        Demand for the first good where both are shown, and where it is alone; the same of the second; surplus of buyers who are shown
        both, only the first, and only the second.
    """
    mu = differentiation
    one, two = (np.exp((cost + QUALITY - price) / mu) for price in (first, second))
    demands = one / (1 + one + two), one / (1 + one), two / (1 + one + two), two / (1 + two)
    return np.stack([*demands, *(mu * np.log1p(shown) for shown in (one + two, one, two))])


def nash_price(cost: float, differentiation: float) -> float:
    """The static Nash price of two sellers who are both shown."""
    return _root(lambda demand: 1 - demand, cost, differentiation)


def joint_price(cost: float, differentiation: float) -> float:
    """The price that maximises the joint profit of two sellers who are both shown."""
    return _root(lambda demand: 1 - 2 * demand, cost, differentiation)


def _root(rest: Callable[[float], float], cost: float, mu: float) -> float:
    """The price above cost at which the margin times ``rest`` of the demand is mu; the product rises with the price."""
    low, high = cost, cost + QUALITY + 4 * mu
    for _ in range(100):
        price = (low + high) / 2
        e = np.exp((cost + QUALITY - price) / mu)
        below = (price - cost) * rest(e / (1 + 2 * e)) < mu
        low, high = (price, high) if below else (low, price)
    return float((low + high) / 2)
