"""What a leader may set in a world that is given as tables, as data: subsidies, penalties, or its own actions.

An instrument knows no world; in one of given sizes it comes to `stackelberg_envs.formats.controls.Controls`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from ..arguments import nearest, real
from .controls import Controls, Payments, Policy
from .validation import indices


class Instrument(Protocol):
    """What a leader may set, in any world."""

    def controls(self, sizes: tuple[int, int, int], available: np.ndarray | None = None) -> Controls:
        """What it comes to in a world of sizes (S, A, B).

        Args:
            sizes: of the world.
            available: which actions the follower can take, booleans (S, A, B); None for all.

        Raises:
            ValueError: if it does not fit them.
        """
        ...


@dataclass(frozen=True, eq=False)
class Transfer:
    """What `Subsidies` and `Penalties` have in common."""

    sign: ClassVar[float]

    where: Any
    price: float
    budget: float | None = field(default=None, kw_only=True)
    scale: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        real("price", self.price, -float("inf"))
        real("scale", self.scale, 0.0, open_low=True)
        if self.budget is not None:
            real("budget", self.budget, 0.0, open_low=True)
            if self.scale != 1:
                raise ValueError("with a budget, payments are shares of it: leave scale out")

    def controls(self, sizes: tuple[int, int, int], available: np.ndarray | None = None) -> Controls:
        """See `Instrument.controls`."""
        s, a, b = sizes
        kind = type(self).__name__
        if a > 1:
            raise ValueError(f"{kind} are for a leader that does not act, and in this world it has {a} actions: take MixedActions()")
        places = self._paid_indices(f"{kind}.where", np.ones((s, b), dtype=bool) if available is None else available[:, 0])
        return Payments(kind.lower(), places, (s, b), sign=self.sign, price=self.price, budget=self.budget, scale=self.scale)

    def _paid_indices(self, name: str, available: np.ndarray) -> np.ndarray:
        """States (k, 1) or pairs (k, 2), in a world whose actions are ``available`` (S, B)."""
        if isinstance(self.where, str):
            everywhere = {"states": available.any(axis=1), "pairs": available}
            if self.where not in everywhere:
                raise ValueError(f"{name} is a mask, a list, or a word, not {self.where!r}; {nearest(self.where, tuple(everywhere))}")
            return np.argwhere(everywhere[self.where])
        axes = np.asarray(self.where, dtype=object).ndim  # as objects: a list of unequal lengths is left to the message below
        places = indices(name, self.where, available.shape[: 2 if axes == 2 else 1])
        if len(places) == 0:
            raise ValueError(f"{name} is empty: there is no place for a payment")
        return places


@dataclass(frozen=True, eq=False)
class Subsidies(Transfer):
    """The leader pays the follower y >= 0 each time it acts at one of the chosen places, at a cost of ``price`` times y.

    Without a budget y = scale softplus(x), one component a place.  With one, y = budget softmax(x), and one component more, the last, is
    what stays unspent: a budget bounds the sum over places of what each pays once.

    Args:
        where: the places: ``"pairs"``, all pairs of state and available action, or ``"states"``, all states, whatever the action; a list
            of pairs (s, b) or of states; or a boolean mask (S, B) or (S,).
        price: what a unit costs the leader.
        budget: above 0, in units of reward; None for payments without a bound.
        scale: the unit of payments without a budget.

    Raises:
        ValueError: for numbers out of range; for places that are not in the world, once there is one.
    """

    sign = 1.0

    where: Any = "pairs"
    price: float = 1.0


@dataclass(frozen=True, eq=False)
class Penalties(Transfer):
    """The leader takes y >= 0 from the follower each time it acts at one of the chosen places, at a cost of ``price`` times y.

    Arguments are those of `Subsidies`; without any, places are all states, and the price is 0: what is taken goes to nobody.  With
    ``price=-1`` it goes to the leader, as a tax does.
    """

    sign = -1.0

    where: Any = "states"
    price: float = 0.0


@dataclass(frozen=True)
class MixedActions:
    """The leader acts in the game: x are S x A logits, row-major, softmax over its A > 1 actions."""

    def controls(self, sizes: tuple[int, int, int], available: np.ndarray | None = None) -> Controls:
        """See `Instrument.controls`."""
        del available
        s, a, _ = sizes
        if a == 1:
            raise ValueError(
                "MixedActions() are for a leader that acts, and in this world it does not: give transition as (S, A, B, S), or take "
                "Subsidies or Penalties"
            )
        return Policy(s, a)
