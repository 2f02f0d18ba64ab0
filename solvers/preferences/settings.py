"""Budgets and hyperparameters of reward learning from preferences, in one record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

PPO_OPTIONS = {"learning_rate": 1e-3, "gamma": 0.95, "gae_lambda": 0.95, "n_epochs": 10, "batch_size": 200, "ent_coef": 0.01}
"""Of stable-baselines3; otherwise its defaults."""
OWN = {"alpha": "sobirl", "draws": "sobirl", "penalty": "pbrl", "plays": "pbrl"}
"""Settings that one method alone reads."""


@dataclass(frozen=True)
class Settings:
    """What all methods share, and what each of two has of its own (``OWN``).

    Args:
        task: id of a Gymnasium environment; see `Task`.
        steps: environment steps of all policies of a method together.
        episodes: of a play, side by side.
        warm_up: plays of the untrained policy.
        segment: steps of a segment.
        temperature: of the teacher, in units of the true reward.
        first_pairs: labels on the warm-up.
        pairs: labels a round.
        memory: labels that are kept.
        first_epochs: passes over the first labels.
        epochs: passes over the memory a round.
        batch: pairs of a minibatch.
        rate: of AdamW, for the reward.
        decay: its weight decay, decoupled from the gradient: each update shrinks the weights by the factor 1 - rate * decay.
        alpha: temperature in SoBiRL's reaction term.
        draws: actions by which that term averages over the policy.
        penalty: PBRL's lambda, per unit of the mean reward of a step.
        plays: of each of PBRL's policies, the newest, over which V is averaged.
        fresh_steps: that the referee's fresh policy has, uncharged.
        starts: on which the referee judges a point of the curve; five times as many, others, at the end.
        ppo: options of the followers.
    """

    task: str = "Pendulum-v1"
    steps: int = 76_000
    episodes: int = 10
    warm_up: int = 2
    segment: int = 25
    temperature: float = 5.0
    first_pairs: int = 96
    pairs: int = 24
    memory: int = 3000
    first_epochs: int = 100
    epochs: int = 10
    batch: int = 32
    rate: float = 1e-3
    decay: float = 1.0
    alpha: float = 10.0
    draws: int = 4
    penalty: float = 3.0
    plays: int = 6
    fresh_steps: int = 44_000
    starts: int = 20
    ppo: dict[str, Any] = field(default_factory=lambda: dict(PPO_OPTIONS))

    def __post_init__(self) -> None:
        sizes = (self.steps, self.episodes, self.warm_up, self.segment, self.first_pairs, self.memory, self.batch, self.draws, self.plays)
        least = min(*sizes, self.first_epochs, self.epochs, self.fresh_steps, self.starts, self.pairs // 2 - 1)
        if least < 1 or min(self.temperature, self.rate, self.alpha, self.penalty) <= 0 or self.decay < 0:
            raise ValueError(f"preferences need sizes from 1, pairs from 4, positive rates and weights, and a decay from 0, got {self!r}")

    def settings_of(self, method: str) -> dict[str, Any]:
        """Those that this method reads: what its results depend on."""
        return {name: value for name, value in asdict(self).items() if OWN.get(name, method) == method}
