"""What a leader sets in one world, as the optional pieces of a game: payments to or from the follower, or a policy."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..commitments import Saturation, sigmoid, softmax_policy
from ..optional import OptionalPieces
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants


class Controls(OptionalPieces, abc.ABC):
    """The optional pieces of a game, as far as they come from what its leader sets."""

    refusal: Any = None
    """Where the leader sets quotas, the method `Refusals.refusal`; else None."""
    instead: np.ndarray | None = None
    """Then: which action takes place in each state where another is refused, integers (S,)."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """n, the number of components of a commitment."""

    @property
    def saturation(self) -> Saturation | None:
        """Where they lose their derivative; None where their author does not say."""
        return None


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
        self.count = len(places)
        self._table = _SparseTable(places, sizes)

    @property
    def dimension(self) -> int:
        return self.count if self.budget is None else self.count + 1

    @property
    def saturation(self) -> Saturation:
        return Saturation.softplus(self.dimension) if self.budget is None else Saturation.softmax(self.dimension)

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
        return self._table.fill(self.payments(x))


class _SparseTable:
    """Where the entries of a table over states, or over states and actions, are: at places (k, 1) or (k, 2), and 0 elsewhere."""

    def __init__(self, places: np.ndarray, sizes: tuple[int, int]) -> None:
        self.shape = sizes[: places.shape[1]]
        at = np.full(self.shape, len(places), dtype=np.int64)  # elsewhere: behind the last entry
        at[tuple(places.T)] = np.arange(len(places))
        self._constants = Constants(at=at.ravel())

    def fill(self, entries: Array) -> Array:
        """The table (..., S, 1, B or 1) with these entries (..., k)."""
        xp = array_namespace(entries)
        padded = xp.concat([entries, xp.zeros_like(entries[..., :1])], axis=-1)
        s, *actions = self.shape
        return xp.reshape(xp.take(padded, self._constants.like(entries).at, axis=-1), (*entries.shape[:-1], s, 1, *(actions or [1])))


class Refusals(Controls):
    """Quotas q = sigmoid(x), one at each place: with probability 1 - q the action is refused, and another takes its place in all respects.

    Args:
        places: pairs of state and action (k, 2), integers.
        sizes: (S, B).
        instead: the action that takes place in each state, integers (S,).
    """

    def __init__(self, places: np.ndarray, sizes: tuple[int, int], instead: np.ndarray) -> None:
        self.count, self.instead = len(places), instead
        self._table = _SparseTable(places, sizes)

    @property
    def dimension(self) -> int:
        return self.count

    @property
    def saturation(self) -> Saturation:
        return Saturation.sigmoid(self.dimension)

    def refusal(self, x: Array) -> Array:
        """The probability of being refused, (..., S, 1, B)."""
        return self._table.fill(sigmoid(-x))

    def instruments(self, x: Array) -> dict[str, np.ndarray]:
        """The quotas."""
        return {"quotas": sigmoid(np.asarray(x))}


class Combination(Controls):
    """Several controls side by side: a commitment is theirs, one after the other; payments and their costs add up.

    At most one of them refuses actions.  Of two of one name the second is told by a number.
    """

    def __init__(self, parts: Sequence[Controls]) -> None:
        self.parts = tuple(parts)
        ends = np.cumsum([part.dimension for part in parts]).tolist()
        self._slices = [slice(end - part.dimension, end) for part, end in zip(self.parts, ends, strict=True)]
        self.instead = next((part.instead for part in parts if part.instead is not None), None)
        for piece, own in (("incentive", self._incentive), ("leader_cost", self._leader_cost), ("refusal", self._refusal)):
            if any(getattr(part, piece) is not None for part in parts):
                setattr(self, piece, own)

    @property
    def dimension(self) -> int:
        return sum(part.dimension for part in self.parts)

    @property
    def saturation(self) -> Saturation | None:
        parts = [part.saturation for part in self.parts]
        known = [part for part in parts if part is not None]
        return sum(known, Saturation.softmax()) if len(known) == len(parts) else None

    def _each(self, piece: str, x: Array, *context: Any) -> list[Any]:
        """What the parts that have a piece say, each of its own components."""
        return [
            getattr(part, piece)(x[..., own], *context)
            for part, own in zip(self.parts, self._slices, strict=True)
            if getattr(part, piece) is not None
        ]

    def _incentive(self, x: Array, context: int | str = 0) -> Array:
        return sum(self._each("incentive", x, context))

    def _leader_cost(self, x: Array, context: int | str = 0) -> Array:
        return sum(self._each("leader_cost", x, context))

    def _refusal(self, x: Array) -> Array:
        (refusal,) = self._each("refusal", x)
        return refusal

    def instruments(self, x: Array) -> dict[str, np.ndarray]:
        """Those of all parts, by name."""
        named: dict[str, np.ndarray] = {}
        for said in self._each("instruments", np.asarray(x)):
            for name, values in said.items():
                again = sum(other.partition(" (")[0] == name for other in named)
                named[f"{name} ({again + 1})" if again else name] = values
        return named


class Policy(Controls):
    """The leader's policy: S x A logits, row-major, softmax over A."""

    def __init__(self, states: int, actions: int) -> None:
        self.states, self.actions = states, actions

    @property
    def dimension(self) -> int:
        return self.states * self.actions

    @property
    def saturation(self) -> Saturation:
        return Saturation.softmax(*[self.actions] * self.states)

    def log_leader_policy(self, x: Array) -> Array:
        """log pi(a|s), (..., S, A)."""
        return softmax_policy(x, self.states, self.actions)
