"""Many rounds or episodes at once, as Gymnasium vector environments, with all three of Gymnasium's autoreset modes.

`follower_vector_env` gives array operations over all environments where a game has tables, and copies of the single one elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ..arguments import CheckedArguments, cycles
from ..game import learns
from .batch import FollowerBatchEnv, autoreset, number_of_environments
from .episode import FOLLOWER
from .gym import FollowerEnv, LeaderEnv, build_game
from .rounds import LeaderBatchEnv


class LeaderVectorEnv(CheckedArguments, SyncVectorEnv):
    """`LeaderEnv`, ``num_envs`` times; ``commit`` announces one policy to all.

    Args:
        num_envs: how many.
        autoreset_mode: when a finished environment starts again.
        **kwargs: arguments of `LeaderEnv`.
    """

    def __init__(self, num_envs: int = 1, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, **kwargs: Any) -> None:
        super().__init__(_copies(LeaderEnv, num_envs, kwargs), autoreset_mode=autoreset(autoreset_mode))

    def commit(self, x: np.ndarray) -> None:
        """Announce the leader's policy (n,) to all environments."""
        self.call("commit", x)


class FollowerVectorEnv(CheckedArguments, SyncVectorEnv):
    """`FollowerEnv`, ``num_envs`` times.

    Args:
        num_envs: how many.
        autoreset_mode: when a finished environment starts again.
        **kwargs: arguments of `FollowerEnv`.
    """

    def __init__(self, num_envs: int = 1, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, **kwargs: Any) -> None:
        super().__init__(_copies(FollowerEnv, num_envs, kwargs), autoreset_mode=autoreset(autoreset_mode))


def leader_vector_env(
    num_envs: int = 1, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, **kwargs: Any
) -> LeaderBatchEnv | LeaderVectorEnv:
    """`LeaderEnv`, ``num_envs`` times: a `LeaderBatchEnv` for rounds with exact rewards, a `LeaderVectorEnv` for others and for pictures.

    Args:
        num_envs: how many.
        autoreset_mode: when a finished environment starts again.
        **kwargs: arguments of `LeaderEnv`.
    """
    follower = kwargs.get("follower")
    rounds = kwargs.get("mode", "round") == "round" and kwargs.get("rewards") in ("exact", "ex-ante")
    if rounds and kwargs.get("render_mode") is None and not (follower is not None and learns(follower)) and kwargs.get("episodes", 1) == 1:
        own = {key: value for key, value in kwargs.items() if key not in ("mode", "render_mode", "episodes")}
        return LeaderBatchEnv(num_envs=num_envs, autoreset_mode=autoreset_mode, **own)
    return LeaderVectorEnv(num_envs, autoreset_mode, **kwargs)


def follower_vector_env(
    num_envs: int = 1, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, *, game: Any, **kwargs: Any
) -> FollowerBatchEnv | FollowerVectorEnv:
    """`FollowerEnv`, ``num_envs`` times: a `FollowerBatchEnv` where the game has one, a `FollowerVectorEnv` elsewhere and for pictures.

    Args:
        num_envs: how many.
        autoreset_mode: when a finished environment starts again.
        game: a game, its id, or a reference to it.
        **kwargs: arguments of `FollowerEnv`, those of the game included.
    """
    own = {key: kwargs.pop(key) for key in ("commitment", "observations", "max_cycles") if key in kwargs}
    others = {key: kwargs.pop(key) for key in ("agent", "others", "render_mode") if key in kwargs}
    built = build_game(game, kwargs)
    limit = None if own.get("max_cycles") is None else cycles(own["max_cycles"])
    usual = others.get("agent") in (None, FOLLOWER) and others.get("others") is None and others.get("render_mode") is None
    if FollowerBatchEnv.applies(built, limit) and usual:
        return FollowerBatchEnv(built, num_envs, autoreset_mode=autoreset_mode, **own)
    return FollowerVectorEnv(num_envs, autoreset_mode, game=built, **own, **others)


def _copies(view: Callable[..., Any], num_envs: int, arguments: dict[str, Any]) -> list[Callable[[], Any]]:
    return [partial(view, **arguments)] * number_of_environments(num_envs)
