r"""The best tariff in any number of periods: a mixed-integer linear programme, with a certified bound if it stops early.

In the notation of `stackelberg_envs.planning.tariffs`, and with c_it = u_i p_t + d_it what a unit in period t costs type i, the least bill
for flexible load has the dual ::

    min_q sum_t c_it q_t  =  max_lambda  levels lambda - sum_t n_it (lambda - c_it)^+

which is linear in prices, in the marginal price lambda_i and in the savings s_it = (lambda_i - c_it)^+.  A schedule is a best one if units
are taken only where they cost at most lambda_i, and as many as can be where they cost less.  With y_itk = [q_t >= k] in {0, 1} that is
linear, with constants as large as prices allow; and so is taking the offer, z_i, if its bill is at most O_i, or leaving it, if at least::

    max  sum_i pi_i r_i,   r_i <= sum_t p_t l_it + levels lambda_i - sum_t n_it s_it - sum_t d_it q_t - C_it(q_t)    if z_i = 1
                           r_i <= m_i (1 - z_i) + z_i O_i - sum_t d_it q_t - C_it(q_t)                              always

The second row is the surplus bound, schedule by schedule; without it the relaxation knows nothing of participation.  A type that leaves
takes no units here, and has a multiplier of its own, which shows that no schedule is cheap enough.  The prices are computed again by the
linear programme of what types were found to do (`stackelberg_envs.planning.tariffs.best_prices`).

Bilevel prices were written so by Zugno, Morales, Pinson, Madsen, "A bilevel model for electricity retailers' participation in a demand
response market environment", Energy Economics 2013, who have no outside option.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .linear_systems import PlanningError
from .tariffs import Consumers, TariffPlan, best_prices

NODES = 500
"""Of the branch and bound."""
Terms = Iterable[tuple[Any, Any]]
"""Indices of unknowns and their coefficients, each a number or an array of one length."""


def best_tariff(consumers: Consumers, *, nodes: int = NODES, gap: float = 1e-6) -> TariffPlan:
    """The tariff that earns most from households who plan exactly and break ties for the retailer.

    Args:
        consumers: the types.
        nodes: of the branch and bound, after which it stops; ``bound`` of the plan is certified all the same.
        gap: between value and bound, relative, at which it stops.

    Raises:
        PlanningError: if no tariff is found in so many nodes.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    programme = _Programme(consumers)
    bounds: Any = Bounds(np.array(programme.least), np.array(programme.most))  # type: ignore[arg-type]  # scipy says float of its arrays
    rows: Any = LinearConstraint(programme.matrix(), np.array(programme.low), np.array(programme.high))  # type: ignore[arg-type]
    options = {"mip_rel_gap": gap, "node_limit": nodes}
    found: Any = milp(
        -programme.gain,
        constraints=rows,
        integrality=programme.integral,
        bounds=bounds,
        options=options,
    )
    if found.x is None:
        raise PlanningError(f"no tariff was found in {nodes} nodes: {found.message}")
    schedules = programme.schedules(found.x)
    priced = best_prices(consumers, dict(enumerate(schedules)))
    if priced is None:
        raise PlanningError("the tariff that was found is none within rounding: prices or loads are of very different sizes")
    bound = min(-float(found.mip_dual_bound), consumers.upper_bound)
    return TariffPlan(priced[0], priced[1], schedules, max(bound, priced[0]), int(found.mip_node_count))


class _Programme:
    """Unknowns, rows and gains of the programme; prices are its first P unknowns."""

    def __init__(self, consumers: Consumers) -> None:
        self.consumers = consumers
        self.gains: list[float] = []
        self.least: list[float] = []
        self.most: list[float] = []
        self.integral: list[int] = []
        self.low: list[float] = []
        self.high: list[float] = []
        self._entries: list[tuple[int, int, float]] = []
        types, periods = consumers.sizes
        self.prices = self._unknowns(periods, *consumers.limits)
        self.offers, self.taken = [], [dict[int, np.ndarray]() for _ in range(types)]
        for i in range(types):
            self._add_type(i)

    @property
    def gain(self) -> np.ndarray:
        """The objective."""
        return np.array(self.gains)

    def matrix(self) -> Any:
        """The rows, sparse."""
        from scipy.sparse import csr_array

        rows, columns, values = zip(*self._entries, strict=True)
        return csr_array((values, (rows, columns)), shape=(len(self.low), len(self.gains)))

    def schedules(self, solution: np.ndarray) -> tuple[np.ndarray | None, ...]:
        """What each type does at a solution."""
        found: list[np.ndarray | None] = []
        for offer, taken in zip(self.offers, self.taken, strict=True):
            q = np.zeros(len(self.prices), dtype=np.int64)
            for t, y in taken.items():
                q[t] = int(np.round(solution[y]).sum())
            found.append(q if solution[offer] > 0.5 else None)
        return tuple(found)

    def _add_type(self, i: int) -> None:
        c, p = self.consumers, self.prices
        window = np.flatnonzero(c.most[i])
        n, u, d = c.most[i, window], c.unit[i], c.discomfort[i, window]
        cheap, dear = u * c.limits[0] + d.min(), u * c.limits[1] + d.max()
        large = dear - cheap
        base = c.base[i]
        bill = float(base.sum() * c.limits[1] + c.levels * dear)  # no bill is above
        (offer,) = self._unknowns(1, 0, 1, integral=True)
        self.offers.append(offer)
        (earned,) = self._unknowns(1, -np.inf, np.inf, gain=c.probability[i])
        (marginal,), (leaving,) = (self._unknowns(1, cheap - large, dear) for _ in range(2))
        saved, saved_leaving = (self._unknowns(len(window), 0, 2 * large) for _ in range(2))
        burden: list[tuple[Any, Any]] = [(offer, float(c.cost[i, :, 0].sum()))]  # discomfort and cost, by unknowns
        every = []
        for k, t in enumerate(window):
            y = self.taken[i][int(t)] = self._unknowns(n[k], 0, 1, integral=True)
            every.append(y)
            for above, below in zip(y[1:], y[:-1], strict=True):
                self._row([(above, 1.0), (below, -1.0)], high=0.0)
            self._row([(p[t], u), (marginal, -1.0), (y[0], large)], high=large - d[k])  # taken only if cheap enough
            self._row([(p[t], u), (marginal, -1.0), (y[-1], large)], low=-d[k])  # all of it if cheaper
            self._row([(saved[k], 1.0), (marginal, -1.0), (p[t], u)], low=-d[k])
            self._row([(saved[k], 1.0), (y[-1], -2 * large)], high=0.0)
            self._row([(saved[k], 1.0), (marginal, -1.0), (p[t], u), (y[-1], 2 * large)], high=2 * large - d[k])
            self._row([(saved_leaving[k], 1.0), (leaving, -1.0), (p[t], u)], low=-d[k])
            burden.append((y, np.diff(c.cost[i, t, : n[k] + 1]) + d[k]))
        self._row([(np.concatenate(every), 1.0), (offer, -float(c.levels))], low=0.0, high=0.0)
        paid: list[tuple[Any, Any]] = [(p, base), (marginal, float(c.levels)), (saved, -n.astype(float))]
        left: list[tuple[Any, Any]] = [(p, base), (leaving, float(c.levels)), (saved_leaving, -n.astype(float))]
        slack = 2 * bill + abs(c.margin[i])
        self._row([*paid, (offer, slack)], high=c.outside[i] + slack)  # participation
        self._row([*left, (offer, slack)], low=c.outside[i])  # or it leaves
        without = [(columns, -np.asarray(values)) for columns, values in paid]
        self._row([(earned, 1.0), *without, *burden, (offer, slack)], high=slack)
        self._row([(earned, 1.0), *burden, (offer, float(c.margin[i] - c.outside[i]))], high=float(c.margin[i]))

    def _unknowns(self, count: int, low: float, high: float, *, gain: float = 0.0, integral: bool = False) -> np.ndarray:
        """The indices of new unknowns."""
        first = len(self.gains)
        self.gains += [float(gain)] * count
        self.least += [float(low)] * count
        self.most += [float(high)] * count
        self.integral += [int(integral)] * count
        return np.arange(first, first + count)

    def _row(self, terms: Terms, *, low: float = -np.inf, high: float = np.inf) -> None:
        row = len(self.low)
        for columns, values in terms:
            places = np.atleast_1d(columns)
            self._entries += [(row, int(j), float(v)) for j, v in zip(places, np.broadcast_to(values, places.shape), strict=True)]
        self.low.append(float(low))
        self.high.append(float(high))
