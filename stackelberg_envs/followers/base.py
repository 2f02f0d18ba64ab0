"""Followers who respond in each world independently of the others.

A follower is an argument, never a part of the game: the same game is played by soft, hard, bounded or mistaken ones, and the referee's
follower may differ from the one that a leader trained against.
"""

from __future__ import annotations

import abc
from dataclasses import replace
from typing import Any

import numpy as np

from ..arguments import CheckedArguments
from ..game import StackelbergGame
from ..processes.arrays import Array
from ..processes.mdp import MDP
from ..response import Answer, Response
from ..worlds.base import World


class IndependentFollower(CheckedArguments, abc.ABC):
    """A follower that responds in each world independently: subclasses implement `answer_in`."""

    temperature: float

    @property
    def temperatures(self) -> tuple[float, float] | None:
        """Of its values and of its answer, where the answer is the softmax of the action values of one Bellman equation; else None."""
        return None

    @abc.abstractmethod
    def answer_in(self, world: World, memory: Any) -> Answer:
        """Answer one world; ``memory`` is what the previous answer left (`Answer.memory`, or else its values), if there was one."""

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
        """See `stackelberg_envs.game.Follower.respond`."""
        del budget, rng
        worlds = game.problems(x, context)
        memories = (None,) * len(worlds) if state is None else state
        answers = tuple(self.answer_in(world, memory) for world, memory in zip(worlds, memories, strict=True))
        return Response(answers, state=tuple(answer.values if answer.memory is None else answer.memory for answer in answers))


class TabularFollower(IndependentFollower):
    """A follower that plans with the tables of its decision process: subclasses implement `answer`."""

    @abc.abstractmethod
    def answer(self, mdp: MDP, values: Array | None) -> Answer:
        """Answer one process; ``values`` (..., S) are those of its previous answer, or its `Answer.memory`, if there was one."""

    def answer_in(self, world: World, memory: Any) -> Answer:
        mdp = world.tables_for(self)
        return replace(self.answer(mdp, memory), planned_in=mdp)
