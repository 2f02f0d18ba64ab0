"""What every agent of a game observes and does, view by view."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

import stackelberg_envs as se
from stackelberg_envs.registry import gymnasium_id

from .markdown import table

UNBOUNDED = 1e30


def spaces_table(id: str) -> str:
    """A table of the views that the game has, and in words those that it does not have."""
    rows, missing = [], []
    views = [
        ("`make`", se.make, {}),
        ("`make`", se.make, {"view": "play"}),
        ("`make_parallel`", se.make_parallel, {"view": "simultaneous"}),
    ]
    for name, make, arguments in views:
        said = f"{name}, view {arguments.get('view', 'commitment')}"
        try:
            env: Any = make(id, **arguments)
        except ValueError as error:
            missing.append(f"- {said}: {error}.")
            continue
        rows += [(said, agent, words(env.observation_space(agent)), words(env.action_space(agent))) for agent in env.possible_agents]
    for side in ("Leader", "Follower"):
        env = gymnasium.make(gymnasium_id(id, side), disable_env_checker=True)
        rows.append((f"`{gymnasium_id(id, side)}`", side.lower(), words(env.observation_space), words(env.action_space)))
    text = table(("view", "agent", "observes", "acts by"), rows)
    notice = "Observations are one-hot blocks and numbers in one vector; `make_parallel` has the spaces of `make`."
    return f"{text}\n\n{notice}" + (f" Views that it does not have:\n\n{chr(10).join(missing)}" if missing else "")


def words(space: gymnasium.Space[Any]) -> str:
    """A space in a few words: ``one of 4``, ``105 numbers in [-20, 20]``."""
    if isinstance(space, Discrete):
        return f"one of {space.n}" if space.start == 0 else f"one of {space.n}, from {space.start}"
    if not isinstance(space, Box):
        return " and ".join(f"{key}: {words(inner)}" for key, inner in getattr(space, "spaces", {}).items()) or str(space)
    low, high = float(np.min(space.low)), float(np.max(space.high))
    count = "one number" if space.shape == (1,) else f"{' x '.join(map(str, space.shape))} numbers"
    return count if max(-low, high) > UNBOUNDED else f"{count} in [{low:g}, {high:g}]"
