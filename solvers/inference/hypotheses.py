"""Which temperature and which discount the follower has: one inference for each pair, compared by evidence.

The evidence of a pair is its Laplace approximation, in nats, at the reward r that maximises the pooled likelihood L under it
(`solvers.inference.irl`)::

    log Z = L(r) - |r|^2 / (2 sigma^2) - log det (sigma^2 H) / 2

What identifies them differs.  The discount says how far responses look ahead, and that is seen as soon as commitments have moved what comes
later.  The temperature has no meaning without a unit of reward.  Where the leader sets rewards, its own instrument is the unit: responses
move by what it adds divided by the temperature.  Where it acts, (r, tau) and (k r, k tau) respond alike, and only tau / sigma is compared:
the evidence says which prior the rewards look as if drawn from, and nothing about the follower.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.play.outcomes import Outcome

from .joint import JointInference
from .state import Settings


@dataclass(frozen=True)
class Hypotheses:
    """Inferences from the same outcomes, each under a temperature and a horizon of its own."""

    settings: tuple[Settings, ...]
    states: tuple[JointInference, ...]

    @staticmethod
    def prior(oracle: Oracle, settings: Settings, temperatures: tuple[float, ...], horizons: tuple[float, ...]) -> Hypotheses:
        """All pairs of factors of the temperature of ``settings`` and of the horizon 1 / (1 - gamma) that is public, without outcomes."""
        every = tuple(settings.with_factors(temperature, horizon) for temperature, horizon in product(temperatures, horizons))
        return Hypotheses(every, tuple(JointInference.prior(oracle, each) for each in every))

    def update(self, oracle: Oracle, x: np.ndarray, seen: Outcome) -> Hypotheses:
        """After the outcome ``seen`` of one more commitment ``x`` (n,)."""
        pairs = zip(self.states, self.settings, strict=True)
        return Hypotheses(self.settings, tuple(state.update(oracle, x, seen, settings) for state, settings in pairs))

    def log_evidence(self, oracle: Oracle) -> np.ndarray:
        """log Z of each, in nats."""
        return np.array([state.log_evidence(oracle, own) for state, own in zip(self.states, self.settings, strict=True)])

    def best(self, oracle: Oracle) -> tuple[JointInference, Settings]:
        """The pair with the largest evidence."""
        i = int(np.argmax(self.log_evidence(oracle))) if len(self.states) > 1 else 0
        return self.states[i], self.settings[i]
