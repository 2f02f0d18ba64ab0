"""The round that leaders with an estimated game share: commit, watch, estimate, report, choose the next commitment.

What differs between `solvers.qse_mle`, `solvers.plan_after_estimation` and `solvers.active_inverse` is how the next commitment is chosen.
The rest is as in `solvers.inverse_planning`: the estimates, the planner and its effort, what is assumed of the follower, and that the
commitment to report is one that was tried and then confirmed by the estimates.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle

from .ascent import short_repr
from .base import Solver, State
from .game_ascent import JointPlanning, PlannerMemory, ascend, confirm, joint_values, next_population, random_commitments
from .inference.model import EstimatedGame
from .inference.state import LARGE, InferenceState, Settings
from .needs import needs_one_follower


class Round(NamedTuple):
    """What the leader has before it chooses the next commitment."""

    game: EstimatedGame
    inference: InferenceState
    settings: Settings
    starts: np.ndarray
    """The incumbent, then the population, then the random starts of this round, (1 + P + R, n)."""
    kept: int
    """P."""


class Choice(NamedTuple):
    """The next commitment (n,), the population (P, n), and what to write into the history."""

    x: np.ndarray
    population: np.ndarray
    row: dict[str, float]


@dataclass(frozen=True)
class OutcomePlanner(Solver):
    """Chooses commitments by an estimated game.

    Args:
        episodes: watched under each commitment.
        temperature: of inference, like the next three: see `solvers.inference.state.Settings`.
        scale: prior standard deviation of the follower's rewards.
        kernel_prior: mass of the prior over next states.
        window: commitments that are kept exactly.
        population: candidates that are planned from beside the incumbent.
        planning_steps: ascent steps (Adam) a round from each candidate.
        lr: their learning rate.
        spread: standard deviation of random candidates, and of the first commitments after the start.
        first: how many commitments after the start are random.
        margin: share of its predicted return by which a commitment that was tried has to beat the incumbent.
        largest: bound on the components of planned commitments.
        searches: random commitments a round that are planned from beside the population, and forgotten where they are not the best.
    """

    episodes: int = 3
    temperature: float = 0.05
    scale: float = 1.0
    kernel_prior: float = 0.1
    window: int = 24
    population: int = 6
    planning_steps: int = 20
    lr: float = 0.1
    spread: float = 1.5
    first: int = 0
    margin: float = 0.01
    largest: float = 5.0
    searches: int = 0

    access = Access.OUTCOME

    def __repr__(self) -> str:
        return short_repr(self, "searches")

    def __post_init__(self) -> None:
        _ = self.settings
        least = {"episodes": 1, "population": 0, "planning_steps": 0, "first": 0, "spread": 0, "margin": 0, "searches": 0, **self._least()}
        if short := [name for name, low in least.items() if not low <= getattr(self, name) < np.inf]:
            raise ValueError(f"{self._name} needs {', '.join(f'{name} >= {least[name]}' for name in short)}, all finite; got {self!r}")
        if not 0 < self.lr < np.inf or not 0 < self.largest < np.inf:
            raise ValueError(f"{self._name} needs a positive lr and largest; got {self!r}")

    @property
    @abc.abstractmethod
    def _name(self) -> str:
        """What messages call this method."""

    @abc.abstractmethod
    def _least(self) -> dict[str, float]:
        """The least values of hyperparameters of its own."""

    @abc.abstractmethod
    def _choose(self, now: Round, rng: np.random.Generator) -> Choice:
        """The next commitment."""

    def declines(self, oracle: Oracle) -> str | None:
        if len(oracle.contexts) > 1:
            return f"{self._name} explains one follower in one context"
        if (reason := needs_one_follower(self._name, oracle)) is not None:
            return reason
        if (rewards := int(np.prod(oracle.sizes[0]))) >= LARGE:
            return f"{self._name} keeps a Fisher matrix of {rewards} x {rewards} rewards; inverse_planning does without from {LARGE} on"
        return None

    @cached_property
    def settings(self) -> Settings:
        """Settings of the inference from outcomes."""
        return Settings(self.temperature, self.scale, self.kernel_prior, self.window)

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x, carried=PlannerMemory.at(x, InferenceState.prior(oracle, self.settings)))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        memory: PlannerMemory[InferenceState] = state.carried
        x, rounds, settings = memory.trying, memory.inference.rounds, self.settings.for_oracle(oracle)
        inference = memory.inference.update(oracle, x, oracle.play(x, episodes=self.episodes), settings)
        game = inference.game(oracle, settings)
        incumbent = confirm(game, x, state.x, self.margin)
        population = memory.refresh(rng, self.population, self.spread, self.largest)
        starts = np.concatenate([incumbent[None], population, random_commitments(rng, self.searches, x.size, self.spread, self.largest)])
        choice = self._choose(Round(game, inference, settings, starts, len(population)), rng)
        following = choice.x
        if rounds < self.first:
            (following,) = random_commitments(rng, 1, x.size, self.spread, self.largest)
        return State(incumbent, state.iteration + 1, PlannerMemory(inference, choice.population, following), choice.row)

    def _plan_jointly(self, now: Round, joint: JointPlanning) -> Choice:
        """The commitment of the best pair of commitment and game, after some steps of ascent in both from each start."""
        planned = self._ascend(now, joint)
        values, returns = joint_values(now.game, planned, joint)
        best = int(np.argmax(values))
        return Choice(planned[best], next_population(planned, values, best, now.kept), {"planned_return": float(returns[best])})

    def _ascend(self, now: Round, joint: JointPlanning | None = None) -> np.ndarray:
        """Where the ascent from each start ends, (1 + P + R, n)."""
        return ascend(now.game, now.starts, steps=self.planning_steps, lr=self.lr, largest=self.largest, joint=joint)


def whitener(precision: np.ndarray) -> torch.Tensor:
    """W (n, n) with ``|u|^2 = d H d`` for d = u W, from the precision H (n, n)."""
    return torch.from_numpy(np.linalg.inv(np.linalg.cholesky(precision)))
