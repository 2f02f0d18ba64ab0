"""Followers who learn, and have learned something before the leader's first commitment comes to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arguments import ArgumentError, CheckedArguments, whole
from ..processes.arrays import Array
from ..response import Response

if TYPE_CHECKING:
    from ..game import Follower, StackelbergGame


@dataclass(frozen=True)
class Pretrained(CheckedArguments):
    """A ``follower`` who learns, trained for ``steps`` before its first answer, under the commitment that it then answers.

    The ledger counts these steps as ``pretraining_steps`` and nowhere else: neither as ``training_steps`` nor as updates or evaluations.
    With a ``budget`` it is somebody else who says how much the follower learns, and there is no pre-training.

    Args:
        follower: who learns, and goes on from its last answer (``start="carry"``): one that begins anew would forget.
        steps: of training, in the follower's own unit: samples of `SoftQLearning`, iterations of `NaturalPolicyGradient`.

    Raises:
        ArgumentError: for followers who do not learn, or begin anew at each commitment.
    """

    follower: Follower
    steps: int

    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole("steps of Pretrained", self.steps, 1)
        if not getattr(self.follower, "learns", False):
            raise ArgumentError(f"Pretrained is for followers who learn, such as SoftQLearning(0.1, 100), and {self.follower!r} does not")
        if getattr(self.follower, "start", "carry") != "carry":
            raise ArgumentError(
                f"{self.follower!r} begins anew at each commitment, and would forget what it was pre-trained to; give it start='carry'"
            )

    @property
    def temperature(self) -> float:
        """The follower's."""
        return self.follower.temperature

    @property
    def judge(self) -> Follower:
        """The follower's own judge, or the follower without pre-training where it names none."""
        return getattr(self.follower, "judge", self.follower)

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
        """Train first if there is no ``state``, and respond; see `stackelberg_envs.game.Follower.respond`."""
        if state is not None or budget is not None:
            return self.follower.respond(game, x, context, budget=budget, rng=rng, state=state)
        noise = np.random.default_rng(0) if rng is None else rng
        begun = self.follower.respond(game, x, context, budget=self.steps, rng=noise)
        response = self.follower.respond(game, x, context, rng=noise, state=begun.state)
        return replace(response, answers=tuple(replace(answer, pretraining_steps=self.steps) for answer in response.answers))
