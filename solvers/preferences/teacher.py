"""Segments of play, and a synthetic teacher who says which of two it prefers: Bradley-Terry on their true returns.

    P(first preferred) = sigmoid( (R(first) - R(second)) / temperature ),   R = sum of the true rewards of a segment

Bradley and Terry, Biometrika 39, 1952; segments and a bounded memory of labels as in Christiano et al., NeurIPS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class Rollout:
    """N whole episodes of the same length T, side by side."""

    inputs: np.ndarray
    """What rewards are functions of, (T, N, d): the observation and the action that took effect, scaled to about [-1, 1]."""
    observations: np.ndarray
    """(T, N, observation)."""
    rewards: np.ndarray
    """The true ones, (T, N): for the teacher, for the referee, and for the ceiling; no other follower sees them."""


class Pairs(NamedTuple):
    """P labelled pairs of segments of length L."""

    inputs: np.ndarray
    """(P, 2, L, d)."""
    observations: np.ndarray
    """(P, 2, L, observation)."""
    first: np.ndarray
    """1. where the first is preferred, else 0., (P,)."""


class Places(NamedTuple):
    """Where in a rollout the segments of pairs begin."""

    starts: np.ndarray
    """(P, 2)."""
    episodes: np.ndarray
    """(P, 2)."""


@dataclass(frozen=True)
class Teacher:
    """Who labels pairs.

    Args:
        length: L, steps of a segment.
        temperature: in units of the true reward; labels of pairs whose returns differ by much more are certain.
    """

    length: int
    temperature: float

    def ask(self, rollout: Rollout, pairs: int, rng: np.random.Generator) -> tuple[Pairs, Places]:
        """Draw segments uniformly from the rollout, pair them, and label the pairs."""
        steps, episodes = rollout.rewards.shape
        if steps < self.length:
            raise ValueError(f"segments of {self.length} steps do not fit into episodes of {steps}; make segments shorter")
        places = Places(rng.integers(steps - self.length + 1, size=(pairs, 2)), rng.integers(episodes, size=(pairs, 2)))
        times = places.starts[..., None] + np.arange(self.length)
        cut = (times, places.episodes[..., None])
        returns = rollout.rewards[cut].sum(axis=-1)
        first = rng.random(pairs) < self.prefers(returns)
        return Pairs(rollout.inputs[cut], rollout.observations[cut], first.astype(np.float32)), places

    def prefers(self, returns: np.ndarray) -> np.ndarray:
        """Probability that the first of two is preferred, (P,), from their true returns (P, 2)."""
        return expit((returns[:, 0] - returns[:, 1]) / self.temperature)


class Memory:
    """The last ``size`` labelled pairs."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pairs: Pairs | None = None

    def add(self, new: Pairs) -> None:
        joined = new if self.pairs is None else Pairs(*(np.concatenate(both) for both in zip(self.pairs, new, strict=True)))
        self.pairs = Pairs(*(array[-self.size :] for array in joined))

    @property
    def all(self) -> Pairs:
        if self.pairs is None:
            raise ValueError("no pair has been labelled yet; ask the teacher first")
        return self.pairs
