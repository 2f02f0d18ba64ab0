"""LQ gain: steer a linear system that a follower calms.

The leader steers by feedback; the follower sees each push, and keeps the state near zero.

The leader wants x_1 to swing out to -0.8 with x_2 at rest, and chooses the gain of its feedback; the follower pays for distance and for
effort.  BilevelLQR (LQREnv-v4) of Kudo, Tanabe, Wachi, Akimoto, ICAPS 2026, arXiv 2603.14867, by its public code: s' = A s + C a + B b with
A = [[0, 1], [0, 0]], B = (0, .1), C = (.1, 0), s_0 = (1, 0), a ~ N(K s, .001^2), ``r_F = -(|s|^2 + b^2)``, and
r_L = exp(-1/2 sum_i ((s_i - m_i) / sigma_i)^2), m = (-.8, 0), sigma = (.2, .01).

The reward is a needle.  The published runs end at .15 (undiscounted, 100 steps); the reference values here are 17.45 undiscounted and
10.66 discounted at K = (-9.97, -9.40), and more is attainable.  ``width`` is the dial: the wider, the easier.
"""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box

from ..arguments import cycles, real
from ..followers.exact import Soft
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..processes.payments import TargetPayment
from ..worlds.linear_quadratic import LinearQuadratic

A = np.array([[0.0, 1.0], [0.0, 0.0]])
B = np.array([[0.0], [0.1]])
C = np.array([[0.1], [0.0]])
START = np.array([1.0, 0.0])
CENTRE = np.array([-0.8, 0.0])
LEADER_SD = 1e-3
FOLLOWER_DISCOUNT, LEADER_DISCOUNT = 0.95, 0.99


class LQGain(StackelbergGame):
    """A 2-dimensional linear system with a needle as goal; the commitment is the gain K of the leader's feedback, x = K in R^2.

    Args:
        width: sigma_2, how far x_2 may be from 0 for the leader to be paid; published: 0.01.
        temperature: tau of the default follower; published: 0.1.
        leader_sd: standard deviation of the leader's actions; published: 0.001.  With 0 they have no density.
        max_cycles: steps of an episode, over which commitments are scored too; published: 100.
    """

    name = "lq_gain"

    def __init__(self, *, width: float = 0.01, temperature: float = 0.1, leader_sd: float = LEADER_SD, max_cycles: int = 100) -> None:
        self.width, self.leader_sd = real("width", width, 0.0, open_low=True), real("leader_sd", leader_sd, 0.0)
        self.leader_space = Box(-20.0, 20.0, (2,), np.float64)
        self.default_follower = Soft(real("temperature", temperature, 0.0, open_low=True))
        self.max_cycles = cycles(max_cycles)
        widths = np.array([0.2, self.width])
        if self.leader_sd > 0:
            self.log_leader_density = self._log_density
        self._constants = Constants(A=A, B=B, C=C, Q=np.eye(2), R=np.eye(1), start=START, centre=CENTRE, widths=widths)

    def induced(self, x: Array, context: int) -> LinearQuadratic:
        del context
        c = self._constants.like(x)
        return LinearQuadratic(
            A=c.A,
            B=c.B,
            C=c.C,
            gain=x[..., None, :],
            leader_sd=self.leader_sd,
            noise_sd=0.0,
            Q=c.Q,
            R=c.R,
            payment=TargetPayment(c.centre, c.widths),
            start_mean=c.start,
            start_sd=0.0,
            follower_discount=FOLLOWER_DISCOUNT,
            leader_discount=LEADER_DISCOUNT,
        )

    def instruments(self, x: Array) -> dict[str, Array]:
        """The gain K, (..., 2): push for a unit of each state."""
        return {"gain K, push per unit of state": x}

    def _log_density(self, x: Array, states: Array, leads: Array) -> Array:
        """log pi(a|s) of the leader's Gaussian feedback, (...), for states (..., 2) and actions (..., 1)."""
        xp = array_namespace(x)
        off = leads[..., 0] - xp.sum(x * states, axis=-1)
        return -0.5 * (off / self.leader_sd) ** 2 - float(np.log(self.leader_sd * np.sqrt(2 * np.pi)))
