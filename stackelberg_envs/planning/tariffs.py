r"""The best tariff for households who shift load or leave: who they are, what bounds the retailer, and the optimum by enumeration.

A household of type i (probability pi_i) needs l_it kWh in period t whatever it pays, and ``levels`` units of u_i kWh more, of which it
takes q_t in period t, at most n_it.  A unit in period t costs it the discomfort d_it.  At prices p it has the burden B, and the retailer
earns R::

    B_i(p, q) = sum_t p_t (l_it + u_i q_t) + d_it q_t          R_i(p, q) = sum_t p_t (l_it + u_i q_t) - C_it(q_t)

It takes the schedule of least burden, V_i(p) = min_q B_i(p, q), and the offer if that is no more than its burden at the regulated tariff,
V_i(p) <= O_i; else the retailer has m_i of it.  Where it is indifferent it does what the retailer prefers (`Hard("strong")`).

*The surplus bound.*  A household that takes the offer has B_i(p, q) <= O_i, so R_i(p, q) <= O_i - sum_t (d_it q_t + C_it(q_t)) at any
prices.  With S_i the largest right-hand side, no prices earn more than sum_i pi_i max(m_i, S_i).  One type attains it: see the docs.

*With entropy.*  A soft household at temperature tau takes the offer with the odds P / (1 - P) = exp((U_i(p) - F_i) / tau), where U_i and
F_i are its values with either contract, entropy included.  On the offer retailer and household together have at most W_i, the soft value
of rewards -(d + C), so the retailer has at most W_i - U_i(p) of those who take it, and of all of type i at most ::

    max_P  P (W_i - F_i - tau log(P / (1 - P))) + (1 - P) m_i  =  m_i + tau omega((W_i - F_i - m_i) / tau - 1)

with omega(a) = W(exp(a)) of Lambert's W: the optimum is at P / (1 - P) = v where v exp(v) = exp((W_i - F_i - m_i) / tau - 1), and is
m_i + tau v.  It is what a monopolist earns from logit demand, and tends to max(m_i, S_i) as tau falls.

*Enumeration.*  What type i does divides the prices into polyhedra: in each it leaves, or takes the offer with one schedule.  A schedule is
a best one if no unit moved from t to t' saves anything, u_i p_t + d_it <= u_i p_t' + d_it' wherever q_t > 0 and q_t' < n_it' (the
schedules are the bases of a polymatroid, on which what no exchange improves is optimal).  In each intersection of such polyhedra, one a
type, earnings are linear in p: a linear programme.  Depth first, with what types not yet assigned can earn at most, max(m_i, S_i), to cut
branches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

MOST_SCHEDULES = 1_000
"""Of one type, for `enumerate_tariffs`."""
GAIN = 1e-9
"""What a branch must be able to earn beyond the best found."""


@dataclass(frozen=True)
class Consumers:
    """I types of households in P periods, and what they cost the retailer."""

    probability: np.ndarray
    """pi, (I,)."""
    base: np.ndarray
    """l, kWh that are needed in each period, (I, P)."""
    unit: np.ndarray
    """u, kWh of a unit of flexible load, (I,)."""
    levels: int
    """How many units each has to take."""
    most: np.ndarray
    """n, units that can be taken in each period, integers (I, P)."""
    discomfort: np.ndarray
    """d, of a unit taken in each period, (I, P)."""
    cost: np.ndarray
    """C, what a period with 0, 1, ... units costs the retailer, (I, P, B)."""
    flat_price: float
    """Of the regulated tariff, for all that a household needs."""
    margin: np.ndarray
    """m, what the retailer has from a household that leaves, (I,)."""
    limits: tuple[float, float]
    """The lowest and the highest price."""

    @property
    def sizes(self) -> tuple[int, int]:
        """(I, P)."""
        types, periods = self.base.shape
        return types, periods

    @cached_property
    def outside(self) -> np.ndarray:
        """O, bill and discomfort at the regulated tariff, (I,)."""
        return -self._leaving(0.0)

    @cached_property
    def surplus(self) -> np.ndarray:
        """S, what there is to earn from each type at most if it takes the offer, (I,): by dynamic programming over units taken."""
        return self.outside + self._welfare(0.0)

    def soft_bound(self, temperature: float) -> float:
        """What no prices beat against `stackelberg_envs.Soft` households, see the module."""
        from scipy.special import wrightomega

        gain = (self._welfare(temperature) - self._leaving(temperature) - self.margin) / temperature
        return float(self.probability @ (self.margin + temperature * np.real(wrightomega(gain - 1))))

    def _leaving(self, temperature: float) -> np.ndarray:
        """What each type has at the regulated tariff, entropy included, (I,)."""
        units = np.arange(self.cost.shape[2])
        waiting = [self._value(i, -discomfort[:, None] * units, temperature) for i, discomfort in enumerate(self.discomfort)]
        return np.array(waiting) - self.flat_price * (self.base.sum(axis=1) + self.levels * self.unit)

    def _welfare(self, temperature: float) -> np.ndarray:
        """What each type can have at most if its schedule costs it what it costs both, entropy included, (I,)."""
        burden = self.cost + self.discomfort[:, :, None] * np.arange(self.cost.shape[2])
        return np.array([self._value(i, -burden[i], temperature) for i in range(len(self.unit))])

    def _value(self, i: int, reward: np.ndarray, temperature: float) -> float:
        """The optimum of a type that plans alone with rewards (P, B) of units taken, by backward induction over the units left."""
        value = np.append(0.0, np.full(self.levels, -np.inf))  # at the end all must be taken
        for t in reversed(range(len(reward))):
            units = range(self.most[i, t] + 1)
            q = np.array([np.append(np.full(b, -np.inf), reward[t, b] + value[: self.levels + 1 - b]) for b in units])
            top = q.max(axis=0)
            spread = np.exp((q - np.where(np.isfinite(top), top, 0.0)) / temperature).sum(axis=0) if temperature > 0 else np.ones(len(top))
            value = top + temperature * np.log(np.maximum(spread, 1.0))
        return float(value[-1])

    @cached_property
    def upper_bound(self) -> float:
        """sum_i pi_i max(m_i, S_i): no prices earn more from households who plan exactly."""
        return float(self.probability @ np.maximum(self.margin, self.surplus))

    def schedules(self, i: int) -> np.ndarray:
        """Every way in which type i can take its units, integers (n, P).

        Raises:
            ValueError: if there are more than `MOST_SCHEDULES`.
        """
        ways = np.append(1, np.zeros(self.levels, dtype=np.int64))  # by units taken
        for most in self.most[i]:
            ways = np.array([ways[max(0, k - most) : k + 1].sum() for k in range(self.levels + 1)])
        if ways[-1] > MOST_SCHEDULES:
            raise ValueError(
                f"type {i} has {ways[-1]} schedules, and at most {MOST_SCHEDULES} are tried: take fewer periods, or fewer levels"
            )
        found = np.zeros((1, 0), dtype=np.int64)
        for most in self.most[i]:
            found = np.array([(*q, b) for q, b in product(found.tolist(), range(most + 1)) if sum(q) + b <= self.levels])
        return found[found.sum(axis=1) == self.levels]

    def costs(self, i: int, schedule: np.ndarray) -> float:
        """sum_t C_it(q_t)."""
        return float(self.cost[i, np.arange(len(schedule)), schedule].sum())


@dataclass(frozen=True)
class TariffPlan:
    """A tariff, and what households do at it who break ties for the retailer."""

    value: float
    """What it earns."""
    prices: np.ndarray
    """(P,)."""
    schedules: tuple[np.ndarray | None, ...]
    """Units that each type takes in each period, (P,), or None if it leaves."""
    bound: float
    """No prices earn more: the value itself where the search was complete."""
    programmes: int
    """Linear programmes that were solved, or nodes of the branch and bound."""


def best_prices(consumers: Consumers, assigned: dict[int, np.ndarray | None]) -> tuple[float, np.ndarray] | None:
    """The prices that earn most among those at which the given types take these schedules, or leave (None); None if there are none.

    Args:
        consumers: all types.
        assigned: by the number of the type; the others are not looked at.
    """
    from scipy.optimize import linprog

    periods = consumers.sizes[1]
    blocks = [_Block(consumers, i, q) for i, q in assigned.items()]
    width = periods + sum(block.duals for block in blocks)
    rows, bounds, gain, fixed, start = [np.zeros((0, width))], [np.zeros(0)], np.zeros(width), 0.0, periods
    for block in blocks:
        placed = np.zeros((len(block.bounds), width))  # placed @ (prices, duals) <= bounds
        placed[:, :periods] = block.rows[:, :periods]
        placed[:, start : start + block.duals] = block.rows[:, periods:]
        start += block.duals
        rows.append(placed)
        bounds.append(block.bounds)
        gain[:periods] += block.gain
        fixed += block.fixed
    limits = [consumers.limits] * periods + [limit for block in blocks for limit in block.limits]
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found: Any = linprog(-gain, A_ub=np.concatenate(rows), b_ub=np.concatenate(bounds), bounds=limits, method="highs", options=tight)
    return (fixed - found.fun, found.x[:periods]) if found.status == 0 else None


class _Block:
    """The rows of one type in the linear programme, over prices and, if it leaves, multipliers of its own.

    A type that leaves has no schedule below O_i.  By duality that is so if for some multiplier lambda and savings s_t >= 0 with
    s_t >= lambda - u p_t - d_t its burden is sum_t p_t l_t + levels lambda - sum_t n_t s_t >= O_i.
    """

    limits: list[tuple[float | None, float | None]]
    """Of the multipliers."""

    def __init__(self, consumers: Consumers, i: int, q: np.ndarray | None) -> None:
        c = consumers
        base, unit, discomfort, most = c.base[i], c.unit[i], c.discomfort[i], c.most[i]
        if q is None:
            (window,) = np.nonzero(most)
            k = len(window)
            saves = np.concatenate([-unit * np.eye(len(base))[window], np.ones((k, 1)), -np.eye(k)], axis=1)
            self.rows = np.concatenate([saves, -np.concatenate([base, [c.levels], -most[window]])[None]])
            self.bounds = np.append(discomfort[window], -c.outside[i])
            self.limits = [(None, None), *[(0.0, None)] * k]
            self.gain, self.fixed = np.zeros(len(base)), float(c.probability[i] * c.margin[i])
        else:
            moves = [(t, u) for t in np.flatnonzero(q > 0) for u in np.flatnonzero(q < most) if t != u]
            used = base + unit * q
            exchanges = [unit * (np.eye(len(base))[t] - np.eye(len(base))[u]) for t, u in moves]
            self.rows = np.array([*exchanges, used])
            self.bounds = np.array([*(discomfort[u] - discomfort[t] for t, u in moves), c.outside[i] - q @ discomfort])
            self.limits = []
            self.gain, self.fixed = c.probability[i] * used, -float(c.probability[i]) * c.costs(i, q)
        self.duals = len(self.limits)


def enumerate_tariffs(consumers: Consumers) -> TariffPlan:
    """The optimum: every combination of what types may do, one linear programme each, with branches cut that cannot earn more.

    Raises:
        ValueError: if a type has more than `MOST_SCHEDULES` schedules.
    """
    promise = consumers.probability * np.maximum(consumers.margin, consumers.surplus)
    order = np.argsort(-promise)
    options: list[list[tuple[float, np.ndarray | None]]] = []
    for i in order:
        each: list[tuple[float, np.ndarray | None]] = [(float(consumers.margin[i]), None)]
        each += [(float(consumers.outside[i] - q @ consumers.discomfort[i]) - consumers.costs(i, q), q) for q in consumers.schedules(i)]
        options.append(sorted(((float(consumers.probability[i]) * most, q) for most, q in each), key=lambda pair: -pair[0]))
    best, programmes = (-np.inf, np.zeros(0), dict[int, np.ndarray | None]()), 0

    def search(depth: int, assigned: dict[int, np.ndarray | None], promised: float) -> None:
        nonlocal best, programmes
        rest = float(promise[order[depth + 1 :]].sum())
        for most, q in options[depth]:
            if promised + most + rest <= best[0] + GAIN:
                return  # what follows promises less
            chosen = {**assigned, int(order[depth]): q}
            found, programmes = best_prices(consumers, chosen), programmes + 1
            if found is None or found[0] + rest <= best[0] + GAIN:
                continue
            if depth + 1 == len(order):
                best = (*found, chosen)
            else:
                search(depth + 1, chosen, promised + most)

    search(0, {}, 0.0)
    value, prices, chosen = best
    return TariffPlan(value, prices, tuple(chosen[i] for i in range(len(order))), value, programmes)
