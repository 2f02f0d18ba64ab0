"""Hypothesis strategies, for property tests of games and solvers; hypothesis is imported when they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import registry
from ..game import StackelbergGame

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def commitments(game: StackelbergGame, *, scale: float = 3.0) -> SearchStrategy[np.ndarray]:
    """Commitments in the leader's space, within ``scale`` of zero, (n,) float64."""
    from hypothesis import strategies as st

    def random_commitment(seed_and_spread: tuple[int, float]) -> np.ndarray:
        seed, spread = seed_and_spread
        x = spread * np.random.default_rng(seed).normal(size=game.dimension)
        return np.clip(x, game.leader_space.low, game.leader_space.high)

    return st.tuples(st.integers(0, 2**32 - 1), st.floats(0.0, scale)).map(random_commitment)


def random_games(**fixed: Any) -> SearchStrategy[StackelbergGame]:
    """Small random Markov games of both kinds; ``fixed`` sets arguments of `stackelberg_envs.games.random_markov_game`."""
    from hypothesis import strategies as st

    def build(arguments: dict[str, Any]) -> StackelbergGame:
        arguments["branching"] = min(arguments["branching"], arguments["states"])
        return registry.game("random_markov_game-v0", **{**arguments, **fixed})

    return st.fixed_dictionaries(
        {
            "states": st.integers(1, 6),
            "leader_actions": st.integers(1, 4),
            "follower_actions": st.integers(1, 4),
            "branching": st.integers(1, 4),
            "conflict": st.floats(0, 1),
            "follower_sees": st.sampled_from(["policy", "action"]),
            "discount": st.floats(0, 0.98),
            "seed": st.integers(0, 10_000),
        }
    ).map(build)
