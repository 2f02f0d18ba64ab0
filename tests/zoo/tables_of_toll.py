"""What the author of the toll environment says of it: who leads, what only the follower knows, and its tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from zoo.toll import DISTRICTS, LANE, NAMES, ROAD, Town

from stackelberg_envs.testing import Tables


def transition(town: Any) -> np.ndarray:
    """Of today's weather, (S, B, S); what a row lacks is the arrival."""
    chances = np.array([0.9 - 0.3 * town.weather, 0.5, 0.0]) * (1 - Town.slip)
    table = np.zeros((DISTRICTS, 3, DISTRICTS))
    for s in range(DISTRICTS):
        table[s, :, s] = 1 - chances
        if s + 1 < DISTRICTS:
            table[s, :, s + 1] = chances
    return table


def rewards(names: tuple[str, str]) -> Any:
    """Of what is announced, (S, B) for each of two agents."""

    def tables(town: Any) -> dict[str, np.ndarray]:
        toll = np.zeros((DISTRICTS, 3))
        toll[:, ROAD] = 0.0 if town.tolls is None else town.tolls
        return {names[0]: toll - 0.1 * town.weather, names[1]: -1.0 - toll - np.array(Town.costs)}

    return tables


def arguments(names: tuple[str, str] = NAMES, kernel_steps: int = 600) -> dict[str, Any]:
    """What to pass to `check_env` besides the environment."""
    return {
        "leader": names[0],
        "followers": [names[1]],
        "private": "costs",
        "hidden": {"weather": lambda weather: 1 - weather},
        "model": Tables(lambda town: min(town.district, DISTRICTS), transition, rewards(names)),
        "kernel_steps": kernel_steps,
    }


assert LANE == 1, "the tables above list the lane second"
