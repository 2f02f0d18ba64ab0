"""Guided cart-pole: blow wind at it, so that it balances elsewhere.

The leader wants the cart in a band of its own.

The follower pushes the cart and is paid for every step that the pole stands; the leader pushes the pole, with a force that the follower
sees before it acts, and is paid for every step that ends with the cart in its band.  GuidedCartPole of Kudo, Tanabe, Wachi, Akimoto, ICAPS
2026, arXiv 2603.14867, by its public code, where it has no published results.  Gym's cart-pole (Barto, Sutton, Anderson 1983) with a force
of 10 b and the leader's wind on the pole alone::

    theta'' = (g sin(theta) - cos(theta) q) / (l (4/3 - m_p cos(theta)^2 / m)) + 20 w a cos(theta)^2
    x''     = q - m_p l theta''(a = 0) cos(theta) / m,       q = (10 b + m_p l theta'^2 sin(theta)) / m
    r_F = 1,   r_L = 1[low < x < high]  of the state that is reached

with Euler steps of 0.02 s.  An episode ends when ``|x| > 2.4`` or ``|theta| > 12`` degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, real, whole
from ..followers.feedback import LARGEST_SD, Feedback, squashed_gaussian_action, squashed_gaussian_log_density, weight_count
from ..game import StackelbergGame
from ..planning.riccati import riccati
from ..processes.arrays import Array, array_namespace, clip, columns, components, ones_like
from ..processes.constants import Constants
from ..processes.gaussian import rows
from ..processes.sampled import Noise
from ..worlds.sampled import SampledProcess

GRAVITY, CART, POLE, HALF, FORCE, DT = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
TOTAL = CART + POLE
WIND = 20.0
"""Angular acceleration by the leader's strongest wind, in 1 / s^2."""
TRACK, TILT = 2.4, 12 * 2 * np.pi / 360
TARGETS = {"v0": (-0.25, 0.25), "v1": (0.25, 0.75)}
SCALES = (1 / 2.4, 0.5, 1 / TILT, 0.5)
DISCOUNT = 0.99
_CONSTANTS = Constants(scales=np.array(SCALES))


@dataclass(frozen=True)
class GuidedCartPoleProcess(SampledProcess):
    """States (x, x', theta, theta') in m, m/s, rad, rad/s; the pole leans to the right where theta is positive."""

    x: Array
    hidden: int
    leader_sd: float
    wind: float
    target: tuple[float, float]
    follower_discount: float = DISCOUNT
    leader_discount: float = DISCOUNT
    state_space = Box(np.array([-TRACK, -np.inf, -TILT, -np.inf]), np.array([TRACK, np.inf, TILT, np.inf]), dtype=np.float64)
    leader_actions = Box(-1.0, 1.0, (1,), np.float64)
    follower_action = Box(-1.0, 1.0, (1,), np.float64)
    noise = Noise(4, 1, 0)
    tables: ClassVar[tuple[str, ...]] = ("x",)

    def start(self, u: Array) -> Array:
        return 0.1 * u - 0.05

    def lead(self, states: Array, u: Array) -> Array:
        return squashed_gaussian_action(self.x, features(states), u, self.hidden, self.leader_sd)

    def step(self, states: Array, leads: Array, actions: Array, u: Array) -> tuple[Array, Array]:
        del u
        xp = array_namespace(states)
        x, speed, angle, spin = components(states)
        force, wind = (clip(components(given)[0], -1.0, 1.0) for given in (actions, leads))
        cos, sin = xp.cos(angle), xp.sin(angle)
        push = (FORCE * force + POLE * HALF * (spin * spin) * sin) / TOTAL
        turning = (GRAVITY * sin - cos * push) / (HALF * (4.0 / 3.0 - POLE * (cos * cos) / TOTAL))
        moving = push - POLE * HALF * turning * cos / TOTAL
        turning = turning + WIND * self.wind * wind * (cos * cos)
        arrived = columns([x + DT * speed, speed + DT * moving, angle + DT * spin, spin + DT * turning])
        return arrived, (xp.abs(arrived[..., 0]) > TRACK) | (xp.abs(arrived[..., 2]) > TILT)

    def rewards(self, states: Array, leads: Array, actions: Array, arrived: Array) -> tuple[Array, Array]:
        del states, leads, actions
        place, (low, high) = arrived[..., 0], self.target
        ones = ones_like(place)
        return ones, ((place > low) & (place < high)) * ones


def features(states: Array) -> Array:
    """phi(s) = (x / 2.4, x' / 2, theta / 12 degrees, theta' / 2, 1), (..., 5)."""
    scaled = states * _CONSTANTS.like(states).scales
    return array_namespace(states).concat([scaled, ones_like(states[..., :1])], axis=-1)


@dataclass(frozen=True)
class Balance:
    """b = clip(f . s + c a, -1, 1): linear feedback around the upright pole, which also answers the wind it sees."""

    on_state: tuple[float, ...]
    on_lead: float
    noise: int = 0

    def act(self, states: Array, leads: Array, u: Array) -> Array:
        """See `stackelberg_envs.processes.sampled.Actor.act`."""
        del u
        xp = array_namespace(states)
        gain = xp.asarray([self.on_state], dtype=states.dtype, device=states.device)
        return clip(rows(states, gain) + self.on_lead * leads, -1.0, 1.0)


def balance(wind: float) -> Balance:
    """The feedback that is optimal for the dynamics linearised at rest, and costs x^2 + 10 theta^2 + 0.1 (x'^2 + theta'^2 + b^2).

    It returns the cart to the middle; the wind enters through C, as in `stackelberg_envs.worlds.linear_quadratic`: b = -F (A s + C a).
    """
    process = GuidedCartPoleProcess(np.zeros(5), 0, 0.1, wind, TARGETS["v0"])
    around = 1e-5 * np.concatenate([np.eye(6), -np.eye(6)])
    moved, _ = process.step(around[:, :4], around[:, 4:5], around[:, 5:], np.zeros((12, 0)))
    jacobian = (moved[:6] - moved[6:]).T / 2e-5
    A, C, B = jacobian[:, :4], jacobian[:, 4:5], jacobian[:, 5:]
    P, _ = riccati(A, B, np.diag([1.0, 0.1, 10.0, 0.1]), np.array([[0.1]]), DISCOUNT)
    F = DISCOUNT * np.linalg.solve(0.1 + DISCOUNT * B.T @ P @ B, B.T @ P)
    return Balance(tuple(float(g) for g in -(F @ A)[0]), float(-(F @ C)[0, 0]))


class GuidedCartPole(StackelbergGame):
    """Cart-pole in the leader's wind; the commitment is the weights of the wind's feedback (`followers.feedback`), 5 if linear.

    Scored by the referee's episodes; the default follower is a written rule (`balance`), not a best response.

    Args:
        target: where the leader wants the cart, ``"v0"`` for (-0.25, 0.25), ``"v1"`` for (0.25, 0.75), in m.
        wind: w, the leader's strongest wind as a fraction of 20 / s^2; published: 1, which is stronger than the cart.
        hidden: width of the leader's tanh layer; 0 for linear feedback of `features`.
        leader_sd: standard deviation of the leader's noise before squashing, at most 1.
        max_cycles: steps of an episode; published: 200.
    """

    name = "guided_cartpole"

    def __init__(
        self, *, target: Literal["v0", "v1"] = "v0", wind: float = 1.0, hidden: int = 0, leader_sd: float = 0.1, max_cycles: int = 200
    ) -> None:
        self.target, self.wind = TARGETS[target], real("wind", wind, 0.0)
        check_memory("hidden units", 100 * whole("hidden", hidden, 0))
        self.hidden, self.leader_sd = whole("hidden", hidden, 0), real("leader_sd", leader_sd, 0.0, LARGEST_SD, open_low=True)
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-10.0, 10.0, (weight_count(5, self.hidden),), np.float64)
        self.default_follower = Feedback(balance(self.wind))

    def induced(self, x: Array, context: int) -> GuidedCartPoleProcess:
        del context
        return GuidedCartPoleProcess(x, self.hidden, self.leader_sd, self.wind, self.target)

    def instruments(self, x: Array) -> dict[str, Array]:
        """The weights of the wind's feedback, (..., n): of each of the `features` if it is linear, in units of the strongest wind."""
        return {"weight, of strongest wind": x}

    def log_leader_density(self, x: Array, states: Array, leads: Array) -> Array:
        """log pi(a|s) of the leader's squashed Gaussian, (...), for states (..., 4) and actions (..., 1)."""
        return squashed_gaussian_log_density(x, features(states), leads, self.hidden, self.leader_sd)
