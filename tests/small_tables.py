"""Small worlds as people have them: as arrays, and as Gymnasium writes them."""

from __future__ import annotations

from typing import Any

import numpy as np

import stackelberg_envs as se

Table = dict[int, dict[int, list[tuple[float, int, float, bool]]]]
"""What Gymnasium calls P: for each state and action, steps (probability, next state, reward, terminated)."""


def world(seed: int, s: int = 4, b: int = 3) -> dict[str, Any]:
    """A random world with sparse rows, its rewards on next states, and its last state terminal."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(s), size=(s, b)) * (rng.random((s, b, s)) < 0.6)
    total = transition.sum(-1, keepdims=True)
    return {
        "transition": np.divide(transition, total, out=np.zeros_like(transition), where=total > 0),
        "follower_reward": rng.normal(size=(s, b, s)) * (np.arange(s) < s - 1)[:, None, None],
        "leader_reward": rng.normal(size=(s, b, s)) * (np.arange(s) < s - 1)[:, None, None],
        "terminal": [s - 1],
        "follower_discount": 0.9,
        "instrument": se.Subsidies(),
    }


def as_table(transition: np.ndarray, reward: np.ndarray, terminal: list[int]) -> Table:
    """The same world as Gymnasium writes it, each step in two halves; a deficit is one more step, which ends the episode."""
    table: Table = {}
    for s, b in np.ndindex(transition.shape[:2]):
        steps = [
            (0.5 * float(transition[s, b, t]), int(t), float(reward[s, b, t]), t in terminal or s in terminal)
            for t in np.flatnonzero(transition[s, b])
            for _ in range(2)
        ]
        table.setdefault(int(s), {})[int(b)] = [*steps, (max(0.0, 1 - float(transition[s, b].sum())), 0, 0.0, True)]
    return table
