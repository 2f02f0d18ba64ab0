"""The decision process of one traveller in a crowd, whose rewards depend on what the crowd does.

The crowd is a continuum of followers, all with this process.  A resource is what they share: a link of a road, a cell, a place on a beach
(Rosenthal, Int. J. Game Theory 1973).  Symbols are those of `stackelberg_envs.processes.mdp`, with A = 1; in addition::

    mu(s,b) = sum_t gamma^t P(s_t = s, b_t = b)     expected visits of one of the crowd, who plays g
    l(s,b)                                          the resource that is used by action b in state s, or none
    y_l = m sum_{l(s,b) = l} mu(s,b)                load of resource l; m: the mass of the crowd
    r_F(s,b; y), r_L(s,b; y)                        rewards at loads y

One of the crowd moves no load.  Its best response at loads y is that of an ordinary process, `MeanField.at`, and the crowd is at an
equilibrium where its policy is a best response to its own loads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from .arrays import Array, array_namespace, as_numpy
from .mdp import MDP
from .tables import ProcessTables
from .transitions import map_numbers


@dataclass(frozen=True, eq=False)
class MeanField(ProcessTables):
    """A process in a crowd; the docstring of `stackelberg_envs.worlds.mean_field.InducedMeanField` has the arguments."""

    transition: Any
    resource: np.ndarray
    rewards: Callable[[Array], tuple[Array, Array]]
    resources: int
    initial: Array
    follower_discount: float
    leader_discount: float
    mass: float
    temperature: float
    available: Array | None = None

    tables: ClassVar[tuple[str, ...]] = ("transition", "initial")
    """The array fields."""
    process: ClassVar[type[MDP]] = MDP
    """The type of what one of the crowd faces."""

    def __post_init__(self) -> None:
        self._check_discounts()
        self._unwrap_transition()
        s, a, b, _ = self.transition.shape[-4:]
        if a != 1:
            raise ValueError(f"the leader of a crowd sets rewards and does not act: transition is (..., S, 1, B, S), and here A = {a}")
        resource = np.asarray(self.resource)
        if (
            resource.shape != (s, b)
            or resource.dtype.kind != "i"
            or resource.min(initial=0) < -1
            or resource.max(initial=0) >= self.resources
        ):
            raise ValueError(
                f"resource is integers of shape (S, B) = {(s, b)}, from 0 to {self.resources - 1} or -1 for none; got {resource.dtype} of "
                f"shape {resource.shape}, from {resource.min(initial=0)} to {resource.max(initial=0)}"
            )
        if not 0 < self.mass < float("inf") or not 0 < self.temperature < float("inf"):
            raise ValueError(f"mass and temperature are above 0 and finite, got {self.mass} and {self.temperature}")

    def map(self, f: Callable[[Array], Array]) -> Self:
        """The same process with ``f`` applied to each table, and to rewards once they are asked for."""
        rewards = self.rewards
        changed: dict[str, Any] = {name: map_numbers(f, getattr(self, name)) for name in self.tables}
        if self.available is not None:
            changed["available"] = f(self.available) != 0

        def mapped(loads: Array) -> tuple[Array, Array]:
            follower, leader = rewards(loads)
            return f(follower), f(leader)

        return replace(self, **changed, rewards=mapped)

    def in_numpy(self) -> Self:
        """The same process of NumPy numbers, without history: for planning, whatever library the commitment came in."""
        like, rewards = self.initial, self.rewards

        def converted(loads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            xp = array_namespace(like)
            writable = np.array(loads)  # or torch warns
            follower, leader = rewards(xp.asarray(writable, dtype=like.dtype, device=like.device))
            return as_numpy(follower), as_numpy(leader)

        return replace(
            self,
            transition=map_numbers(as_numpy, self.transition),
            initial=as_numpy(self.initial),
            rewards=converted,
            available=None if self.available is None else as_numpy(self.available),
        )

    @property
    def leader_policy(self) -> Array:
        """The leader does not act in a step: ones, (S, 1)."""
        xp = array_namespace(self.initial)
        return xp.ones((*self.initial.shape, 1), dtype=self.initial.dtype, device=self.initial.device)

    def at(self, loads: Array) -> Any:
        """What one of the crowd faces at loads (..., L)."""
        follower, leader = self.rewards(loads)
        return self.process(
            leader_policy=self.leader_policy,
            transition=self.transition,
            follower_reward=follower,
            leader_reward=leader,
            initial=self.initial,
            follower_discount=self.follower_discount,
            leader_discount=self.leader_discount,
            available=self.available,
        )

    @cached_property
    def uses(self) -> Any:
        """A scipy matrix (L, S B): which resource each action in each state uses."""
        from scipy.sparse import csr_array

        flat = np.asarray(self.resource).ravel()
        (used,) = np.nonzero(flat >= 0)
        return csr_array((np.ones(len(used)), (flat[used], used)), shape=(self.resources, len(flat)))

    def loads_of_visits(self, visits: np.ndarray) -> np.ndarray:
        """Loads (L,) of expected visits (S, 1, B) of one of the crowd."""
        return self.mass * (self.uses @ visits.ravel())

    def spread(self, prices: np.ndarray) -> np.ndarray:
        """The adjoint of `loads_of_visits`: what a price for each unit of load (L,) is at the actions that cause it, (S, 1, B)."""
        s, b = self.resource.shape
        return (self.mass * (self.uses.T @ prices)).reshape(s, 1, b)
