"""Followers who are mistaken about their world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..game import Follower, StackelbergGame, judge_of, learns
from ..processes.arrays import Array
from ..response import Response


@dataclass(frozen=True)
class Believes:
    """Answers to another world: plans as ``follower`` would in ``game``, whatever game it is really in."""

    game: StackelbergGame
    follower: Follower

    @property
    def temperature(self) -> float:
        return self.follower.temperature

    @property
    def judge(self) -> Follower:
        """The judge of the follower that believes, with the same belief."""
        return replace(self, follower=judge_of(self.follower))

    @property
    def learns(self) -> bool:
        """Whether the follower that believes does."""
        return learns(self.follower)

    def respond(
        self,
        game: StackelbergGame,
        x: Array,
        context: int | str = 0,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
        state: Any = None,
    ) -> Response:
        """See `Follower.respond`; ``game`` must have the spaces of the game it believes in."""
        if game.spaces != self.game.spaces or game.visibility != self.game.visibility:
            raise ValueError(
                f"a follower that believes in {self.game!r} and sees the {self.game.visibility} cannot act in {game!r} and see the "
                f"{game.visibility}; spaces must agree"
            )
        name = game.contexts[game.context_index(context)]
        if name not in self.game.contexts:
            raise ValueError(f"a follower that believes in {self.game.name} with contexts {self.game.contexts} knows none called {name!r}")
        return self.follower.respond(self.game, x, name, budget=budget, rng=rng, state=state)
