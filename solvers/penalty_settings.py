"""The hyperparameters of `solvers.penalty`, which its exact and its sampled gradients share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .copies import CopyAscent
from .penalties import PENALTIES


@dataclass(frozen=True)
class PenaltySettings(CopyAscent):
    """What the penalty is, how its weight grows, and how gradients are obtained.

    Args:
        penalty: ``"value"`` (of opponents, the Nikaido-Isoda function) or ``"bellman"``.
        form: ``"exact"`` gradients, or ``"sampled"`` ones.
        ramp: lambda at first and in the end, on the scale of the value penalty.
        ramp_steps: updates after which the end is reached.
        sweeps: mirror-descent steps of g^ an iteration (exact form).
        rate: their step size eta; infinite for soft policy iteration.
        episodes: of each of the two batches of a context (sampled form).
        horizon: steps at which they are cut; 0 for the game's ``max_cycles``.
        baseline_rate: how fast the table of the leader's values, a baseline, follows its episodes, in [0, 1].
    """

    penalty: Literal["value", "bellman"] = "value"
    form: Literal["exact", "sampled"] = "exact"
    ramp: tuple[float, ...] = (1.0, 50.0)
    ramp_steps: int = 500
    sweeps: int = 1
    rate: float = float("inf")
    episodes: int = 100
    horizon: int = 0
    baseline_rate: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "ramp", tuple(float(weight) for weight in self.ramp))
        if self.penalty not in PENALTIES or self.form not in ("exact", "sampled"):
            raise ValueError(f"penalty is 'value' or 'bellman' and form 'exact' or 'sampled', got {self.penalty!r} and {self.form!r}")
        if len(self.ramp) != 2 or not all(0 < weight < float("inf") for weight in self.ramp) or self.ramp_steps < 1:
            raise ValueError(f"ramp is two positive, finite weights and ramp_steps at least 1, got {self.ramp} and {self.ramp_steps}")
        if min(self.sweeps, self.episodes) < 1 or not self.rate > 0 or self.horizon < 0 or not 0 <= self.baseline_rate <= 1:
            raise ValueError(f"penalty needs sweeps and episodes from 1, a positive rate, and a baseline_rate in [0, 1]; got {self!r}")
