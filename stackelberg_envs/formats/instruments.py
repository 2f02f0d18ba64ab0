"""What a leader may set in a world that is given as tables, as data: subsidies, penalties, quotas, sums of these, or its own actions.

An instrument knows no world; in one of given sizes it comes to `stackelberg_envs.formats.controls.Controls`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from ..arguments import nearest, real
from .controls import Combination, Controls, Payments, Policy, Refusals
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
class Addend:
    """An instrument that can be added to others: ``Subsidies(...) + Penalties(...) + Quotas(...)``."""

    def __add__(self, other: Instrument) -> Combined:
        return Combined((self, other))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Combined(Addend):
    """Several instruments of one leader; what ``+`` makes.  A commitment is theirs, one after the other.

    Args:
        parts: the instruments; at most one of them `Quotas`.
    """

    parts: tuple[Instrument, ...]

    def controls(self, sizes: tuple[int, int, int], available: np.ndarray | None = None) -> Controls:
        """See `Instrument.controls`."""
        for part in self.parts:
            if isinstance(part, type) or not hasattr(part, "controls"):
                raise ValueError(f"what is added to an instrument is one, such as Penalties(...), got {part!r}")
        parts = [part.controls(sizes, available) for part in self.parts]
        if any(part.log_leader_policy is not None for part in parts):
            raise ValueError("MixedActions() are for a leader that acts, and other instruments for one that does not: they do not add up")
        if sum(part.refusal is not None for part in parts) > 1:
            raise ValueError("quotas are named once: take one Quotas(...) with all its pairs")
        return Combination(parts)


@dataclass(frozen=True, eq=False)
class Transfer(Addend):
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


@dataclass(frozen=True, eq=False)
class Quotas(Addend):
    """The leader lets an action pass with probability q = sigmoid(x), one component a pair; else another takes its place.

    The other action takes place in all respects: rewards, payments, and what comes next.  So the leader moves the dynamics, and solvers
    that only know how rewards are steered decline.  Transitions are then dense.

    Args:
        where: the pairs that have a quota: a list of pairs (s, b), or a boolean mask (S, B).
        instead: the action that takes place where one is refused: one for all states, or one for each, integers (S,).

    Raises:
        ValueError: for places that are not in the world, or a refusal that leads to an action that is not there or has a quota, once
            there is a world.
    """

    where: Any
    instead: Any

    def controls(self, sizes: tuple[int, int, int], available: np.ndarray | None = None) -> Controls:
        """See `Instrument.controls`."""
        s, a, b = sizes
        if a > 1:
            raise ValueError(f"Quotas are for a leader that does not act, and in this world it has {a} actions: take MixedActions()")
        there = np.ones((s, b), dtype=bool) if available is None else available[:, 0]
        places = indices("Quotas.where", self.where, there.shape)
        instead = np.asarray(self.instead)
        if instead.dtype.kind not in "iu" or instead.shape not in ((), (s,)) or not ((instead >= 0) & (instead < b)).all():
            raise ValueError(f"instead is an action from 0 to {b - 1}, or one for each of {s} states, got {self.instead!r}")
        instead = np.broadcast_to(instead, s).astype(np.int64)
        ruled = np.zeros((s, b), dtype=bool)
        ruled[tuple(places.T)] = True
        wrong = ruled.any(axis=1) & (ruled | ~there)[np.arange(s), instead]
        if wrong.any():
            state = int(wrong.argmax())
            raise ValueError(
                f"in state {state} action {instead[state]} is to take place instead, and it has a quota itself or is not there"
            )
        return Refusals(places, (s, b), instead)


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
