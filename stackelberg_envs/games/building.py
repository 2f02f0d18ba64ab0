"""Building: insulate a building, and open its walls to air.

The heating runs by what is built, and keeps it warm.

The leader chooses insulation and airflow of every zone, which move the thermal dynamics; the follower controls heating and cooling units
and pays for deviations of temperature and for energy; the leader is paid for even temperatures and little energy, less what it builds.
BuildingThermalControl (variant 3 with the published configuration) of Kudo, Tanabe, Wachi, Akimoto, ICAPS 2026, arXiv 2603.14867, by its
public code.  Zones i stand in a ring, walls i between zones i and i + 1, and units heat two neighbouring zones each::

    s'_i = s_i + e_i (1 - il_i) s_i + sum over neighbours j of W_ij aa_wall (s_j - s_i) + (B u)_i + noise
    r_F  = -s' Q s - .01 |u|^2            r_L = -Var(s) - .5 |u|^2 - .1 |il|^2 - .1 |aa|^2
    il, aa = sigmoid(x)                   Var: population variance over zones

Published code cuts temperatures at +-30, six standard deviations of the first state; here there is no cut, so that scores are exact.
Discounted over 100 steps: -261.96 at il = aa = .5, -197.25 at 1; BC-HG is reported at -196.7, and exact gradient ascent finds -163.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, real, whole
from ..commitments import Saturation, sigmoid
from ..followers.exact import Soft
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..processes.payments import QuadraticPayment
from ..worlds.linear_quadratic import LinearQuadratic

GAIN = np.array([0.04, 0.03, 0.06, 0.05])
"""e_i: how fast a zone without insulation drifts."""
RIGHT = np.array([0.05, 0.04, 0.06, 0.05])
"""Exchange of zone i with zone i + 1."""
LEFT = np.array([0.05, 0.03, 0.04, 0.03])
"""Exchange of zone i with zone i - 1."""
UNIT = np.array([0.1, 0.6, 0.55, 0.3])
"""How strongly the unit of zone i heats it."""
COMFORT = np.array([8.0, 1.0, 5.0, 6.0])
"""Diagonal of Q."""
ENERGY = 0.01
NOISE_SD, START_SD = 0.02, 5.0
DISCOUNT = 0.9


class Building(StackelbergGame):
    """Thermal control of a ring of zones; the commitment is insulation and airflow, x in R^(2 zones), by sigmoid.

    Args:
        zones: an even number from 4; published: 4.  More repeat the four published zones around a larger ring.
        temperature: tau of the default follower; published: 0.1.
        max_cycles: steps of an episode, over which commitments are scored too; published: 100.
    """

    name = "building"

    def __init__(self, *, zones: int = 4, temperature: float = 0.1, max_cycles: int = 100) -> None:
        self.zones = whole("zones", zones, 4)
        if self.zones % 2:
            raise ValueError(f"zones share their units in pairs, so their number is even, got {zones}")
        n = self.zones
        check_memory("zones", 4 * n**3)
        self.leader_space = Box(-10.0, 10.0, (2 * n,), np.float64)
        self.saturation = Saturation.sigmoid(self.dimension)
        self.default_follower = Soft(real("temperature", temperature, 0.0, open_low=True))
        self.max_cycles = cycles(max_cycles)
        around = np.arange(n)
        walls = np.zeros((n, n, n))  # what an open wall adds to the dynamics
        for wall in around:
            for zone, other, rate in ((wall, (wall + 1) % n, RIGHT), ((wall + 1) % n, wall, LEFT)):
                walls[wall, zone, other] += rate[zone % 4]
                walls[wall, zone, zone] -= rate[zone % 4]
        units = np.zeros((n, n // 2))
        units[around, around // 2] = UNIT[around % 4]
        payment = np.zeros((n + n // 2, n + n // 2))
        payment[:n, :n] = np.eye(n) / n - np.ones((n, n)) / n**2
        payment[n:, n:] = 0.5 * np.eye(n // 2)
        self._constants = Constants(
            still=np.eye(n),
            drift=np.eye(n)[:, :, None] * np.eye(n)[:, None, :] * GAIN[around % 4][:, None, None],
            walls=walls,
            units=units,
            none=np.zeros((n, 0)),
            gain=np.zeros((0, n)),
            Q=np.diag(COMFORT[around % 4]),
            R=ENERGY * np.eye(n // 2),
            start=np.zeros(n),
            payment=payment,
        )

    def induced(self, x: Array, context: int) -> LinearQuadratic:
        del context
        c = self._constants.like(x)
        return LinearQuadratic(
            A=self._dynamics(x),
            B=c.units,
            C=c.none,
            gain=c.gain,
            leader_sd=0.0,
            noise_sd=NOISE_SD,
            Q=c.Q,
            R=c.R,
            payment=QuadraticPayment(c.payment, self.leader_cost(x)),
            start_mean=c.start,
            start_sd=START_SD,
            follower_discount=DISCOUNT,
            leader_discount=DISCOUNT,
        )

    def leader_cost(self, x: Array, context: int = 0) -> Array:
        """What insulation and airflow cost in each step, (...)."""
        del context
        return 0.1 * array_namespace(x).sum(sigmoid(x) ** 2, axis=-1)

    def log_kernel_density(self, x: Array, states: Array, leads: Array, actions: Array, arrived: Array) -> Array:
        """``log P(s'|s,b)`` of the thermal dynamics that the leader builds, (...), up to a constant, for states (..., zones)."""
        del leads
        xp = array_namespace(x)
        c = self._constants.like(x)
        expected = xp.matmul(states, xp.matrix_transpose(self._dynamics(x))) + xp.matmul(actions, c.units.T)
        return -0.5 * xp.sum(((arrived - expected) / NOISE_SD) ** 2, axis=-1)

    def _dynamics(self, x: Array) -> Array:
        """A, (..., zones, zones)."""
        xp, n = array_namespace(x), self.zones
        c, built = self._constants.like(x), sigmoid(x)
        leaks = xp.sum((1 - built[..., :n])[..., None, None] * c.drift, axis=-3)
        return c.still + leaks + xp.sum(built[..., n:][..., None, None] * c.walls, axis=-3)

    def instruments(self, x: Any) -> dict[str, np.ndarray]:
        """Insulation of each zone and airflow through each wall, (..., zones) in [0, 1]."""
        built = np.asarray(sigmoid(np.asarray(x)))
        return {"insulation": built[..., : self.zones], "airflow": built[..., self.zones :]}
