"""Planning in the game that explains all responses so far: a Stackelberg leader that sees outcomes and nothing else.

Our own method.  The follower's reward is one unknown table, and the leader's commitments are the experiments that identify it: the dynamics
that a commitment induces differ from round to round, and one reward has to explain the responses to all of them (`solvers.inference.irl`).
Dynamics and the leader's own reward are counted (`solvers.inference.model`).  In the estimated game the leader plans with the exact
hypergradient of the suite, which makes better use of an outcome than following one noisy gradient through it.  One round:

1. commit, and watch some episodes
2. count transitions and rewards, pooled over all commitments
3. explain: maximum causal entropy inverse RL, pooled, by damped Fisher scoring
4. confirm: a commitment that has just been tried becomes the incumbent if the model, which now contains its outcomes, says so
5. plan: a few steps of ascent from the incumbent and from a small population; the best is tried next
6. explore, ever more rarely: plan instead in a game drawn from the posterior, with optimism where the leader has never been

What is reported is the incumbent, never an exploration.

Maximum likelihood of a quantal response and planning in what was estimated are not new: greedy `solvers.qse_mle` (Chen, Wang, Yang 2023,
arXiv 2307.14085) and `solvers.plan_after_estimation` (OpenReview Nw7i9Gd1WU) are kin, and pooled inverse RL before planning is older.  New
here, as far as abstracts tell, are how it is done for a follower who plans ahead: one reward pooled through the exact soft response, the
quadratic memory of old commitments, the confirmation in step 4, and planning by exact hypergradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stackelberg_envs.leader.access import Access, Oracle

from .base import Solver, State
from .game_ascent import PlannerMemory, ascend, confirm, predicted_returns
from .inference.model import EstimatedGame
from .inference.state import InferenceState, Settings
from .needs import needs_one_follower


@dataclass(frozen=True)
class InversePlanning(Solver):
    """Plans in the game it infers from outcomes alone (OUTCOME; INCENTIVE where it sets rewards); one iteration is one commitment.

    Args:
        episodes: watched under each commitment.
        temperature: of inference, like the next three: see `solvers.inference.state.Settings`.
        scale: prior standard deviation of the follower's rewards.
        kernel_prior: mass of the prior over next states.
        window: commitments that are kept exactly.
        population: candidates that are planned from beside the best so far.
        planning_steps: ascent steps (Adam) a round from each candidate.
        lr: their learning rate.
        spread: standard deviation of random candidates, and of the first commitments after the start.
        first: how many commitments after the start are random.
        explore: probability of exploring in the first round; it falls with 1/sqrt(1 + k/20).
        optimism: what exploration believes the leader earns where it has never been.
        margin: share of its predicted return by which another commitment has to beat the incumbent.
        largest: bound on the components of planned commitments.
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
    first: int = 6
    explore: float = 0.5
    optimism: float = 0.5
    margin: float = 0.01
    largest: float = 5.0

    access = Access.OUTCOME

    def __post_init__(self) -> None:
        _ = self.settings
        least = {"episodes": 1, "population": 0, "planning_steps": 0, "first": 0, "spread": 0, "explore": 0, "margin": 0}
        short = [name for name, low in least.items() if not low <= getattr(self, name) < np.inf]
        if short or not 0 < self.lr < np.inf or not 0 < self.largest < np.inf or not np.isfinite(self.optimism):
            raise ValueError(f"inverse_planning needs positive lr and largest, a finite optimism, and nothing negative; got {self!r}")

    def declines(self, oracle: Oracle) -> str | None:
        if len(oracle.contexts) > 1:
            return "inverse_planning explains one follower in one context"
        return needs_one_follower("inverse_planning", oracle)

    @cached_property
    def settings(self) -> Settings:
        """Settings of the inference from outcomes."""
        return Settings(self.temperature, self.scale, self.kernel_prior, self.window)

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x, carried=PlannerMemory.at(x, InferenceState.prior(oracle, self.settings)))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        memory: PlannerMemory = state.carried
        x, rounds, settings = memory.trying, memory.inference.rounds, self.settings.for_oracle(oracle)
        seen = oracle.play(x, episodes=self.episodes)  # 1
        inference = memory.inference.update(oracle, x, seen, settings)  # 2, 3
        believed = inference.game(oracle, settings)
        incumbent = confirm(believed, x, state.x, self.margin)  # 4
        fresh = memory.refresh(rng, self.population, self.spread, self.largest)
        best, value, population = self._plan(believed, incumbent, fresh)  # 5
        following, explores = best, rng.random() < self.explore / np.sqrt(1 + rounds / 20)
        if rounds < self.first:
            following = np.clip(self.spread * rng.normal(size=x.size), -self.largest, self.largest)
        elif explores:  # 6
            possible = inference.posterior_sample(oracle, settings, rng, optimism=self.optimism)
            following, _, _ = self._plan(possible, incumbent, population)
        return State(incumbent, state.iteration + 1, PlannerMemory(inference, population, following), {"planned_return": value})

    def _plan(self, game: EstimatedGame, incumbent: np.ndarray, population: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """(commitment, its predicted return, population) after some steps of ascent; less than ``margin`` moves nobody."""
        starts = np.concatenate([incumbent[None], population])
        planned = ascend(game, starts, steps=self.planning_steps, lr=self.lr, largest=self.largest)
        values = predicted_returns(game, np.concatenate([incumbent[None], planned]))
        i = int(np.argmax(values))
        if values[i] <= values[0] + self.margin * abs(values[0]):
            i = 0
        return (incumbent if i == 0 else planned[i - 1]), float(values[i]), planned[1:]
