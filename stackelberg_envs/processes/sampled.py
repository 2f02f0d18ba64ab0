"""Dynamics without tables: continuous states, and functions where `stackelberg_envs.processes.mdp` has arrays.

Symbols are those of `stackelberg_envs.processes.mdp`; in addition::

    s in R^d    state      a in R^k    the leader's action of a step (k = 0 in design games)      b    the follower's action
    u           uniform variates in [0, 1): noise is data, and `normal` makes them Gaussian

One definition serves single steps of the views and batched play: every function takes leading batch axes ``...``, and a batch of
commitments (..., n), or (..., 1, n), plays states (..., N, d).
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from functools import cache
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from array_api_compat import is_torch_array
from gymnasium.spaces import Box, Discrete

from .arrays import Array, array_namespace, clip

DOUBLE = float(np.finfo(np.float64).eps) / 4
"""The least variate of `normal` in double precision."""


class Noise(NamedTuple):
    """How many uniform variates each random choice takes."""

    start: int
    lead: int
    step: int


class Actor(Protocol):
    """A follower's policy in a world without tables.

    One that knows its density has ``log_density(states, leads, actions)``, log g(b|s,a) (...), too; its entropy bonus can then be scored.
    """

    @property
    def noise(self) -> int:
        """Uniform variates an action takes."""
        ...

    def act(self, states: Array, leads: Array, u: Array) -> Array:
        """Actions for states (..., d), the leader's actions (..., k) and variates (..., ``noise``): (..., m), or integers (...)."""
        ...


class SampledDynamics(abc.ABC):
    """The decision process of one follower, as functions of state, actions and noise.

    Subclasses are frozen dataclasses that hold the commitment (or what it comes to) and constants; they are picklable, and pure.
    """

    state_space: Box
    """Where states lie, (d,) float64; infinite bounds where there are none."""
    leader_actions: Box | None = None
    """The leader's action of a step, (k,); None in a design game."""
    follower_action: Box | Discrete
    """The follower's."""
    noise: Noise
    follower_discount: float
    leader_discount: float
    follower_sees: Literal["action", "policy"] = "action"
    action_parts: tuple[int, ...] = ()
    """Of a Discrete action that is several choices in one: how many options each has, row-major."""
    tables: ClassVar[tuple[str, ...]] = ()
    """The array fields."""
    rank: ClassVar[int] = 1
    """Axes that the first of them has for one commitment."""

    @abc.abstractmethod
    def start(self, u: Array) -> Array:
        """First states (..., d) from variates (..., ``noise.start``)."""

    @abc.abstractmethod
    def lead(self, states: Array, u: Array) -> Array:
        """The leader's own actions (..., k) from variates (..., ``noise.lead``); k = 0 in design games."""

    @abc.abstractmethod
    def step(self, states: Array, leads: Array, actions: Array, u: Array) -> tuple[Array, Array]:
        """Next states (..., d), and whether the episode has ended with them, booleans (...)."""

    @abc.abstractmethod
    def rewards(self, states: Array, leads: Array, actions: Array, arrived: Array) -> tuple[Array, Array]:
        """What follower and leader are paid for a step, (...) each."""

    @property
    def leads(self) -> int:
        """k, the number of components of the leader's action of a step."""
        return 0 if self.leader_actions is None else int(self.leader_actions.shape[0])

    def uniforms(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Variates from NumPy's generator, in the commitment's library, dtype and device."""
        u = rng.random(shape)
        if not self.tables:
            return u
        like = getattr(self, self.tables[0])
        return array_namespace(like).asarray(u, dtype=like.dtype, device=like.device)


def normal(u: Array) -> Array:
    """Standard normal variates from uniform ones, by the inverse distribution function; finite for u = 0 too."""
    if type(u) is np.ndarray and u.dtype == np.float64:
        return _ndtri()(clip(u, DOUBLE, 1 - 2 * DOUBLE))
    xp = array_namespace(u)
    tiny = float(xp.finfo(u.dtype).eps) / 4
    inside = clip(u, tiny, 1 - 2 * tiny)
    return xp.special.ndtri(inside) if is_torch_array(u) else _ndtri()(inside)


@cache
def _ndtri() -> Callable[[np.ndarray], np.ndarray]:
    from scipy.special import ndtri  # slow to import

    return ndtri


def normal_cdf(z: Array) -> Array:
    """P(Z <= z) of a standard normal variate, the other way round from `normal`; by erfc, whose lower tail is exact in torch too."""
    if is_torch_array(z):
        return 0.5 * array_namespace(z).special.erfc(-(0.5**0.5) * z)
    from scipy.special import erfc

    return 0.5 * erfc(-(0.5**0.5) * z)
