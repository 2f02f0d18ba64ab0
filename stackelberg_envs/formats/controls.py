"""What a leader sets in one world, as the optional pieces of a game: payments to or from the follower, or a policy."""

from __future__ import annotations

import abc

import numpy as np

from ..commitments import softmax_policy
from ..optional import OptionalPieces
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants


class Controls(OptionalPieces, abc.ABC):
    """The optional pieces of a game, as far as they come from what its leader sets."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """n, the number of components of a commitment."""


class Payments(Controls):
    """Payments y >= 0 at chosen places, which the follower gets or makes, and the leader's cost, in proportion.

    y = scale softplus(x), one component a place; or, with a budget, y = budget softmax(x), with one component more, the last, for what
    stays unspent.

    Args:
        name: of the payments.
        places: states (k, 1), or pairs of state and action (k, 2), integers.
        sizes: (S, B).
        sign: 1 if the follower gets them, -1 if it makes them.
        price: what a unit costs the leader.
        budget: the sum of all payments and what stays unspent; None for payments without a bound.
        scale: their unit, without a budget.
    """

    def __init__(
        self, name: str, places: np.ndarray, sizes: tuple[int, int], *, sign: float, price: float, budget: float | None, scale: float
    ) -> None:
        self.name, self.sign, self.price, self.budget, self.scale = name, sign, price, budget, scale
        self.count, self.shape = len(places), sizes[: places.shape[1]]
        at = np.full(self.shape, self.count, dtype=np.int64)  # where nothing is paid: behind the last payment
        at[tuple(places.T)] = np.arange(self.count)
        self._constants = Constants(at=at.ravel())

    @property
    def dimension(self) -> int:
        return self.count if self.budget is None else self.count + 1

    def payments(self, x: Array) -> Array:
        """The payment at each place, (..., k)."""
        if self.budget is None:
            xp = array_namespace(x)
            return self.scale * xp.logaddexp(x, xp.zeros_like(x))
        return self.budget * array_namespace(x).exp(softmax_policy(x, 1, self.dimension))[..., 0, :-1]

    def commitment(self, payments: np.ndarray, lowest: float) -> np.ndarray:
        """The commitment (n,) whose `payments` are ``payments`` (k,), as far as components of at least ``lowest`` give them.

        Raises:
            ValueError: if there is a budget, and they add up to as much or more.
        """
        with np.errstate(divide="ignore"):
            if self.budget is None:
                y = payments / self.scale
                return np.maximum(y + np.log(-np.expm1(-y)), lowest)  # softplus, inverted
            if not payments.sum() < self.budget:
                raise ValueError(f"payments add up to {payments.sum():g}, and the budget is {self.budget:g}; something has to stay unspent")
            return np.append(np.maximum(np.log(payments / (self.budget - payments.sum())), lowest), 0.0)

    def instruments(self, x: Array) -> dict[str, np.ndarray]:
        """The payments by name."""
        return {self.name: np.asarray(self.payments(np.asarray(x)))}

    def shading(self, x: Array) -> Array:
        """The payment in each state, summed over actions, (..., S)."""
        return array_namespace(x).sum(self._payment_table(x), axis=(-2, -1))

    def incentive(self, x: Array, context: int | str = 0) -> Array:
        """What the follower gets, (..., S, 1, B), or (..., S, 1, 1) where payments do not look at actions."""
        return self.sign * self._payment_table(x)

    def leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """What the leader pays, of the shape of the incentive."""
        return self.price * self._payment_table(x)

    def _payment_table(self, x: Array) -> Array:
        """The payments, and 0 where there is none, (..., S, 1, B or 1)."""
        xp = array_namespace(x)
        padded = xp.concat([self.payments(x), xp.zeros_like(x[..., :1])], axis=-1)
        s, *actions = self.shape
        return xp.reshape(xp.take(padded, self._constants.like(x).at, axis=-1), (*x.shape[:-1], s, 1, *(actions or [1])))


class Policy(Controls):
    """The leader's policy: S x A logits, row-major, softmax over A."""

    def __init__(self, states: int, actions: int) -> None:
        self.states, self.actions = states, actions

    @property
    def dimension(self) -> int:
        return self.states * self.actions

    def log_leader_policy(self, x: Array) -> Array:
        """log pi(a|s), (..., S, A)."""
        return softmax_policy(x, self.states, self.actions)
