"""Guided pendulum: blow wind at it, so that it stays on the left.

The follower swings it up; the leader wants it to be up on the left side only.

The follower turns the pendulum to have it stand; the leader's wind, which the follower sees before it acts, is to keep it from the right
half-circle.  GuidedPendulum of Kudo, Tanabe, Wachi, Akimoto, ICAPS 2026, arXiv 2603.14867, by its public code, where it has no published
results.  Gym's pendulum, theta = 0 upright, with the leader's wind::

    theta'' = 15 sin(theta) + 3 b + 2 w a cos(theta)^2,     |theta'| <= 8,   |b| <= 2
    r_F = -(theta^2 + 0.1 theta'^2 + 0.001 b^2)               r_L = min(-sin(theta), 0)     of the state in which the step is taken

with semi-implicit Euler steps of 0.05 s, speeds cut before the angle moves, as Gymnasium has it (the source moves the angle first, by the
speed before the cut).  Episodes do not end by themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, real, whole
from ..followers.feedback import LARGEST_SD, Feedback, squashed_gaussian_action, squashed_gaussian_log_density, weight_count
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace, clip
from ..processes.sampled import Noise
from ..worlds.sampled import SampledProcess

GRAVITY, DT, FASTEST, TORQUE, WIND = 10.0, 0.05, 8.0, 2.0, 2.0
HEIGHT = 1.5 * GRAVITY
"""Energy of the pendulum at rest upright, in units of half its squared speed."""
DISCOUNT = 0.99


@dataclass(frozen=True)
class GuidedPendulumProcess(SampledProcess):
    """States (cos theta, sin theta, theta'), theta' in rad/s: the observation of the source, in which no angle is two states."""

    x: Array
    hidden: int
    leader_sd: float
    wind: float
    follower_discount: float = DISCOUNT
    leader_discount: float = DISCOUNT
    state_space = Box(np.array([-1.0, -1.0, -FASTEST]), np.array([1.0, 1.0, FASTEST]), dtype=np.float64)
    leader_actions = Box(-1.0, 1.0, (1,), np.float64)
    follower_action = Box(-TORQUE, TORQUE, (1,), np.float64)
    noise = Noise(2, 1, 0)
    tables: ClassVar[tuple[str, ...]] = ("x",)

    def start(self, u: Array) -> Array:
        return _state_vector(math.pi * (2 * u[..., 0] - 1), 2 * u[..., 1] - 1)

    def lead(self, states: Array, u: Array) -> Array:
        return squashed_gaussian_action(self.x, features(states), u, self.hidden, self.leader_sd)

    def step(self, states: Array, leads: Array, actions: Array, u: Array) -> tuple[Array, Array]:
        del u
        xp = array_namespace(states)
        cos, sin, speed = (states[..., i] for i in range(3))
        torque, wind = clip(actions[..., 0], -TORQUE, TORQUE), clip(leads[..., 0], -1.0, 1.0)
        faster = speed + DT * (HEIGHT * sin + 3 * torque + WIND * self.wind * wind * cos**2)
        faster = clip(faster, -FASTEST, FASTEST)
        arrived = _state_vector(xp.atan2(sin, cos) + DT * faster, faster)
        return arrived, xp.zeros(arrived.shape[:-1], dtype=xp.bool, device=arrived.device)

    def rewards(self, states: Array, leads: Array, actions: Array, arrived: Array) -> tuple[Array, Array]:
        xp = array_namespace(states)
        cos, sin, speed = (states[..., i] for i in range(3))
        torque = clip(actions[..., 0], -TORQUE, TORQUE)
        earned = -(xp.atan2(sin, cos) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)
        return earned, clip(-sin, None, 0.0) + 0 * leads[..., 0]


def _state_vector(angle: Array, speed: Array) -> Array:
    xp = array_namespace(angle)
    return xp.stack([xp.cos(angle), xp.sin(angle), speed + 0 * angle], axis=-1)


def features(states: Array) -> Array:
    """phi(s) = (cos theta, sin theta, theta' / 8, 1), (..., 4)."""
    xp = array_namespace(states)
    return xp.concat([states[..., :2], states[..., 2:] / FASTEST, xp.ones_like(states[..., :1])], axis=-1)


@dataclass(frozen=True)
class SwingUp:
    """Pumps energy until the pendulum can stand (Astrom and Furuta, Automatica 36, 2000), then holds it, and answers the wind it sees.

    b = clip(p theta' (E* - E) - w', -2, 2) with E = theta'^2 / 2 + 15 cos(theta), w' = 2 w a cos(theta)^2 / 3; where cos(theta) > 0.9,
    b = clip(-10 sin(theta) - 2 theta' - w', -2, 2).
    """

    wind: float
    pump: float = 0.5
    noise: int = 0

    def act(self, states: Array, leads: Array, u: Array) -> Array:
        """See `stackelberg_envs.processes.sampled.Actor.act`."""
        del u
        xp = array_namespace(states)
        cos, sin, speed = (states[..., i] for i in range(3))
        swing = self.pump * speed * (HEIGHT - (0.5 * speed**2 + HEIGHT * cos))
        wanted = xp.where(cos > 0.9, -10 * sin - 2 * speed, swing) - WIND * self.wind * leads[..., 0] * cos**2 / 3
        return clip(wanted, -TORQUE, TORQUE)[..., None]


class GuidedPendulum(StackelbergGame):
    """A pendulum in the leader's wind; the commitment is the weights of the wind's feedback (`followers.feedback`), 4 if linear.

    Scored by the referee's episodes; the default follower is a written rule (`SwingUp`), not a best response.

    Args:
        wind: w, the leader's strongest wind, as a fraction of 2 / s^2; published: 1.
        hidden: width of the leader's tanh layer; 0 for linear feedback of `features`.
        leader_sd: standard deviation of the leader's noise before squashing, at most 1.
        max_cycles: steps of an episode; published: 200.
    """

    name = "guided_pendulum"

    def __init__(self, *, wind: float = 1.0, hidden: int = 0, leader_sd: float = 0.1, max_cycles: int = 200) -> None:
        self.wind = real("wind", wind, 0.0)
        check_memory("hidden units", 100 * whole("hidden", hidden, 0))
        self.hidden, self.leader_sd = whole("hidden", hidden, 0), real("leader_sd", leader_sd, 0.0, LARGEST_SD, open_low=True)
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-10.0, 10.0, (weight_count(4, self.hidden),), np.float64)
        self.default_follower = Feedback(SwingUp(self.wind))

    def induced(self, x: Array, context: int) -> GuidedPendulumProcess:
        del context
        return GuidedPendulumProcess(x, self.hidden, self.leader_sd, self.wind)

    def instruments(self, x: Array) -> dict[str, Array]:
        """The weights of the wind's feedback, (..., n): of each of the `features` if it is linear, in units of the strongest wind."""
        return {"weight, of strongest wind": x}

    def log_leader_density(self, x: Array, states: Array, leads: Array) -> Array:
        """log pi(a|s) of the leader's squashed Gaussian, (...), for states (..., 3) and actions (..., 1)."""
        return squashed_gaussian_log_density(x, features(states), leads, self.hidden, self.leader_sd)
