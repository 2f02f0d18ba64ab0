"""Many rounds or episodes at once, as Gymnasium vector environments.

They are batches in lockstep over the single-episode views, with all three of Gymnasium's autoreset modes; the batched road for sampling is
`stackelberg_envs.play.rollouts.simulate`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ..arguments import CheckedArguments, check_memory, nearest, whole
from .gym import FollowerEnv, LeaderEnv


class _SameGame(CheckedArguments, SyncVectorEnv):
    """``num_envs`` copies of one view of one game.

    Args:
        view: the single environment's class.
        num_envs: how many.
        autoreset_mode: when a finished environment starts again.
        **kwargs: arguments of the single environment.
    """

    def __init__(
        self, view: type[LeaderEnv] | type[FollowerEnv], num_envs: int, autoreset_mode: AutoresetMode | str, **kwargs: Any
    ) -> None:
        check_memory("num_envs environments", 1000 * whole("num_envs", num_envs, 1))
        modes = [mode.value for mode in AutoresetMode]
        if not isinstance(autoreset_mode, AutoresetMode) and autoreset_mode not in modes:
            raise ValueError(f"there is no autoreset_mode {autoreset_mode!r}; {nearest(autoreset_mode, modes)}")
        super().__init__([lambda: view(**kwargs)] * num_envs, autoreset_mode=AutoresetMode(autoreset_mode))


class LeaderVectorEnv(_SameGame):
    """`LeaderEnv`, ``num_envs`` times; ``commit`` announces one policy to all.

    Args:
        num_envs: how many.
        autoreset_mode: when a finished environment starts again.
        **kwargs: arguments of `LeaderEnv`.
    """

    def __init__(self, num_envs: int = 1, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, **kwargs: Any) -> None:
        super().__init__(LeaderEnv, num_envs, autoreset_mode, **kwargs)

    def commit(self, x: np.ndarray) -> None:
        """Announce the leader's policy (n,) to all environments."""
        self.call("commit", x)


class FollowerVectorEnv(_SameGame):
    """`FollowerEnv`, ``num_envs`` times.

    Args:
        num_envs: how many.
        autoreset_mode: when a finished environment starts again.
        **kwargs: arguments of `FollowerEnv`.
    """

    def __init__(self, num_envs: int = 1, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, **kwargs: Any) -> None:
        super().__init__(FollowerEnv, num_envs, autoreset_mode, **kwargs)
