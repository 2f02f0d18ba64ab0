"""Followers with a wrong belief about their world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arguments import CheckedArguments
from ..game import Follower, StackelbergGame, group_by_world, judge_of, learns
from ..planning.linear_systems import PlanningError
from ..processes.arrays import Array
from ..response import Response


@dataclass(frozen=True)
class Believes(CheckedArguments):
    """Plans as ``follower`` would in ``game``, in whatever game it really plays."""

    game: StackelbergGame
    follower: Follower

    @property
    def temperature(self) -> float:
        return self.follower.temperature

    @property
    def judge(self) -> Follower:
        """The judge of the follower that holds the belief, with the same belief."""
        return replace(self, follower=judge_of(self.follower))

    @property
    def learns(self) -> bool:
        """Whether the follower that holds the belief learns."""
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
        """See `Follower.respond`; ``game`` must have the spaces of the game it believes in.

        Raises:
            ValueError: if the spaces differ.
            PlanningError: if the answer plays an action that is not available in ``game``.
        """
        if game.spaces != self.game.spaces or game.visibility != self.game.visibility:
            raise ValueError(
                f"a follower that believes in {self.game!r} and sees the {self.game.visibility} cannot act in {game!r} and see the "
                f"{game.visibility}; spaces must agree"
            )
        name = game.contexts[game.context_index(context)]
        if name not in self.game.contexts:
            raise ValueError(f"a follower that believes in {self.game.name} with contexts {self.game.contexts} knows none called {name!r}")
        response = self.follower.respond(self.game, x, name, budget=budget, rng=rng, state=state)
        if game.masked:
            worlds: tuple[Any, ...] = game.problems(x, context)
            for world, policies in zip(worlds, group_by_world(worlds, response.policies), strict=True):
                try:
                    world.check_policies(policies)
                except ValueError as error:
                    raise PlanningError(
                        f"a follower that believes in {self.game.name} takes actions for available that are not: {error}"
                    ) from error
        return response
