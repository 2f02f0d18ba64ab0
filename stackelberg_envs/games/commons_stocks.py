"""The stocks of fish of `stackelberg_envs.games.commons`: how they grow, what a catch is worth, their tables and their closed forms.

**Grid.**  The next stock is put at the two levels around it with the weights of linear interpolation, which keep its mean: of the stock
itself in the Schaefer model, and of its logarithm in the fish war.  There the values of all players are linear in the logarithm, and no
catch leads off the grid.  So the grid changes no value and no policy, however few levels it has; only efforts are discretised.

**Closed forms of the fish war** with N fishers, growth a and discount d.  V = A log x + B gives A = 1 / (1 - a d), and the first-order
condition of one fisher, 1 / h - t = a d A / (1 - sum h), where t is a tax on its rate, gives::

    h = (1 - a d) / (N (1 - a d) + a d)     each, of the Markov-perfect equilibrium        (Levhari and Mirman 1980, for N = 2)
    h = (1 - a d) / N                       each, if they cooperate
    t = (N - 1) / (1 - a d)                 the tax at which the equilibrium is cooperative

**Closed form of the Schaefer model.**  A sole owner earns pi(x) - pi(s) by fishing a stock down from x to s, with pi(x) = x - x_0 log x.
So it goes as fast as it can to the stock s that is left at the maximum of ``d pi(f(s)) - pi(s)``, and stays there (Spence and Starrett,
Int. Econ. Review 1975; Reed, J. Environ. Econ. Manag. 1979).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np

SHOCKS = np.sqrt(3) * np.array([-1.0, 0.0, 1.0]), np.array([1, 4, 1]) / 6
"""A standard normal variable by three values and their probabilities, right up to its fifth moment (Gauss and Hermite)."""


class Stock(Protocol):
    """A stock of fish; x are levels, h efforts of one fisher, ``total`` the sum of all, in shapes that broadcast."""

    @property
    def unfished(self) -> float:
        """The stock at which it rests where nobody fishes."""
        ...

    def stocks(self, levels: int) -> np.ndarray:
        """The levels, (S,), ascending."""
        ...

    def efforts(self, fishers: int, count: int) -> np.ndarray:
        """The efforts of one fisher, (B,), ascending."""
        ...

    def next_stock(self, x: np.ndarray, total: np.ndarray) -> np.ndarray:
        """The next stock."""
        ...

    def coordinate(self, x: np.ndarray) -> np.ndarray:
        """In what the levels are equally far from each other."""
        ...

    def utility(self, x: np.ndarray, h: np.ndarray, total: np.ndarray) -> np.ndarray:
        """What a fisher earns."""
        ...

    def base(self, x: np.ndarray, h: np.ndarray, total: np.ndarray) -> np.ndarray:
        """What a tax is levied on."""
        ...

    def largest_tax(self, fishers: int, discount: float) -> float:
        """The largest tax rate that is usual."""
        ...


@dataclass(frozen=True)
class Schaefer:
    """Surplus production, a price of fish and a cost of effort; stocks in tonnes, money in the price of the maximum sustainable yield."""

    growth: float = 0.3
    unfished: float = 1000.0
    break_even: float = 200.0

    @property
    def sustainable_yield(self) -> float:
        """The largest catch that the stock replaces, r K / 4, at K / 2."""
        return self.growth * self.unfished / 4

    def stocks(self, levels: int) -> np.ndarray:
        return self.unfished * np.arange(1, levels + 1) / levels

    def efforts(self, fishers: int, count: int) -> np.ndarray:
        return np.linspace(0, 0.6 / fishers, count)

    def grow(self, left: np.ndarray) -> np.ndarray:
        """f(s), the next stock of what is left."""
        return left + self.growth * left * (1 - left / self.unfished)

    def next_stock(self, x: np.ndarray, total: np.ndarray) -> np.ndarray:
        return self.grow(x * np.exp(-total))

    def coordinate(self, x: np.ndarray) -> np.ndarray:
        return x

    def base(self, x: np.ndarray, h: np.ndarray, total: np.ndarray) -> np.ndarray:
        """The catch: a fisher's part of all that is caught is that of the effort."""
        return h * x * np.where(total > 0, -np.expm1(-total) / np.where(total > 0, total, 1.0), 1.0) / self.sustainable_yield

    def utility(self, x: np.ndarray, h: np.ndarray, total: np.ndarray) -> np.ndarray:
        return self.base(x, h, total) - h * self.break_even / self.sustainable_yield

    def largest_tax(self, fishers: int, discount: float) -> float:
        """The price of fish."""
        del fishers, discount
        return 1.0

    def best_escapement(self, discount: float) -> float:
        """The stock that a sole owner leaves, in tonnes, to a thousandth."""
        left = np.arange(self.break_even, self.unfished, 1e-3)

        def worth(x: np.ndarray) -> np.ndarray:
            return x - self.break_even * np.log(x)

        return float(left[(discount * worth(self.grow(left)) - worth(left)).argmax()])


@dataclass(frozen=True)
class FishWar:
    """Levhari and Mirman's stock, in units of the unfished one."""

    growth: float = 0.5
    unfished: float = 1.0

    def stocks(self, levels: int) -> np.ndarray:
        lowest = self.growth / (1 - self.growth) * np.log(0.1)  # where it rests if all fish at the largest rate
        return np.exp(np.linspace(lowest, 0, levels))

    def efforts(self, fishers: int, count: int) -> np.ndarray:
        return np.linspace(0.1, 0.9, count) / fishers

    def next_stock(self, x: np.ndarray, total: np.ndarray) -> np.ndarray:
        return (x * (1 - total)) ** self.growth

    def coordinate(self, x: np.ndarray) -> np.ndarray:
        return np.log(x)

    def utility(self, x: np.ndarray, h: np.ndarray, total: np.ndarray) -> np.ndarray:
        return np.log(h * x) + 0 * total

    def base(self, x: np.ndarray, h: np.ndarray, total: np.ndarray) -> np.ndarray:
        return h + 0 * (x + total)

    def largest_tax(self, fishers: int, discount: float) -> float:
        """Twice the rate at which fishers cooperate."""
        return 2 * self.cooperative_tax(fishers, discount)

    def equilibrium_rate(self, fishers: int, discount: float) -> float:
        """What each fisher takes in the Markov-perfect equilibrium."""
        kept = self.growth * discount
        return (1 - kept) / (fishers * (1 - kept) + kept)

    def cooperative_rate(self, fishers: int, discount: float) -> float:
        """What each fisher takes if they cooperate."""
        return (1 - self.growth * discount) / fishers

    def cooperative_tax(self, fishers: int, discount: float) -> float:
        """The tax on rates at which the equilibrium is cooperative."""
        return (fishers - 1) / (1 - self.growth * discount)


STOCKS: dict[str, Schaefer | FishWar] = {"schaefer": Schaefer(), "fish_war": FishWar()}


@dataclass(frozen=True)
class StockTables:
    """The tables of N fishers at one stock, over their joint actions."""

    stocks: np.ndarray
    """(S,)."""
    efforts: np.ndarray
    """(B,)."""
    transition: np.ndarray
    """(S, 1, B^N, S)."""
    utility: np.ndarray
    """(N, S, 1, B^N)."""
    base: np.ndarray
    """(N, S, 1, B^N)."""


def stock_tables(stock: Stock, fishers: int, levels: int, efforts: int, noise: float) -> StockTables:
    """The tables of a stock; ``noise`` is the standard deviation of the logarithm of the yearly shock."""
    x, h = stock.stocks(levels), stock.efforts(fishers, efforts)
    each = np.stack(np.meshgrid(*[h] * fishers, indexing="ij")).reshape(fishers, -1)
    arrives = stock.next_stock(x[:, None], each.sum(0))
    shocked = [weight * _at_levels(stock, x, arrives * np.exp(noise * shock)) for shock, weight in zip(*SHOCKS, strict=True)]
    transition = reduce(np.add, shocked) if noise > 0 else _at_levels(stock, x, arrives)
    of = x[:, None, None], each[:, None, None, :], each.sum(0)
    return StockTables(x, h, transition[:, None], stock.utility(*of), stock.base(*of))


def _at_levels(stock: Stock, levels: np.ndarray, arrives: np.ndarray) -> np.ndarray:
    """Stocks (...) as distributions over the levels around them, (..., S)."""
    grid = stock.coordinate(levels)
    with np.errstate(divide="ignore"):
        at = (stock.coordinate(np.maximum(arrives, 0)) - grid[0]) / (grid[1] - grid[0])
    at = np.clip(at, 0, len(levels) - 1)
    return np.maximum(1 - np.abs(at[..., None] - np.arange(len(levels))), 0)
