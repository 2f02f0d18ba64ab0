"""A game made from another by changing the worlds that it induces."""

from __future__ import annotations

import abc
from typing import Any

from .game import StackelbergGame
from .optional import PIECES
from .processes.arrays import Array


class ModifiedGame(StackelbergGame):
    """A copy of ``game`` with other rules and the same spaces."""

    def __init__(self, game: StackelbergGame) -> None:
        self._game = game
        for attribute in (
            "name",
            "leader_space",
            "default_follower",
            "max_cycles",
            "followers",
            "contexts",
            "context_probabilities",
            "context_visibility",
            "follower_actions_public",
            "additive",
            "smooth",
            "saturation",
            *(piece for piece in PIECES if piece not in ("upper_bound", "upper_bound_against")),  # which is proved of the other game
        ):
            setattr(self, attribute, getattr(game, attribute))

    @abc.abstractmethod
    def modify(self, process: Any) -> Any:
        """The induced process with other rules."""

    def induced(self, x: Array, context: int) -> Any:
        induced = self._game.induced(x, context)
        return tuple(self.modify(process) for process in induced) if isinstance(induced, tuple) else self.modify(induced)
