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

Where there are several contexts, or several followers who do not interact, steps 2 and 3 are done for each pair of them, and step 5 plans
for the sum of what the leader earns in all, weighted by the probabilities of contexts (`solvers.inference.joint`).  What it earned of
whom is told from totals by regression (`solvers.inference.attribution`).

Assumptions: followers who do not interact, each with a stationary soft response and a known discount; contexts that the leader sees after
it has committed; stationary dynamics, additive objectives and tables.

Options, all off by default, so that runs of old stay what they were:

* ``curiosity`` prices information in step 5: of the planned commitments that with the largest return plus price of its Fisher information
  is tried, as in `solvers.active_inverse`
* ``components`` plans, in step 5, from commitments that use one component alone, too, as `solvers.combinatorial` does: where a commitment
  is a budget that is spread over cells, the best one often uses a few of them
* ``confidence`` confirms by what was seen under each commitment in step 4, pooled over all times it was played (`solvers.inference.tried`):
  the incumbent changes only where another commitment that was tried is better with this probability.  The history tells the return that the
  incumbent has with this probability, ``confirmed_return``, and by how much it is below the highest one so far, ``retracted``
* ``tolerance`` stops where, with this confidence, no plan beats the incumbent by more (`solvers.improvement`)
* ``pool`` counts next states of several contexts together at the cells where they agree (`solvers.inference.pooling`)
* ``temperatures`` and ``horizons`` compare what may be assumed of the follower by its evidence (`solvers.inference.hypotheses`)

Maximum likelihood of a quantal response and planning in what was estimated are not new: greedy `solvers.qse_mle` (Chen, Wang, Yang 2023,
arXiv 2307.14085) and `solvers.plan_after_estimation` (OpenReview Nw7i9Gd1WU) are kin, and pooled inverse RL before planning is older.  New
here, as far as abstracts tell, are how it is done for a follower who plans ahead: one reward pooled through the exact soft response, the
quadratic memory of old commitments, the confirmation in step 4, and planning by exact hypergradients.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from stackelberg_envs.arguments import real, whole
from stackelberg_envs.leader.access import Access, Oracle

from .ascent import short_repr
from .base import Solver, State
from .game_ascent import PlannerMemory, ascend, confirm, next_population, predicted_returns, random_commitments
from .improvement import improvement_draws
from .inference.hypotheses import Hypotheses
from .inference.information import expected_information, information_gain
from .inference.joint import JointInference, outcome_of
from .inference.model import EstimatedGames, induced_mdp, instrument_cost
from .inference.state import LARGE, Settings
from .inference.tried import TriedCommitments, believed_tables, return_draws, table_draws
from .needs import needs_counted_games

OPTIONS = ("curiosity", "searches", "components", "confidence", "draws", "tolerance", "temperatures", "horizons", "pool")
"""Left out of a ``repr`` where they have their defaults, which names recorded runs."""


@dataclass(frozen=True)
class Memory(PlannerMemory[JointInference]):
    """What the leader keeps between two rounds, with what the options need."""

    hypotheses: Hypotheses = field(kw_only=True)
    tried: tuple[TriedCommitments, ...] = field(kw_only=True)
    """Of each pair of context and follower."""
    highest: float = field(default=-np.inf, kw_only=True)
    """The highest return that was confirmed so far."""


class Now(NamedTuple):
    """What the leader has in a round once it has learned from the outcome."""

    oracle: Oracle
    inference: JointInference
    settings: Settings
    tried: tuple[TriedCommitments, ...]
    game: EstimatedGames
    """As it is believed to be."""
    rng: np.random.Generator


class Confirmed(NamedTuple):
    """What a round comes to."""

    incumbent: np.ndarray
    """The commitment to report, (n,)."""
    doubtful: np.ndarray | None
    """A commitment that is better by ``margin`` in the mean, without the confidence: worth another look."""
    highest: float
    """The highest return that was confirmed so far."""
    row: dict[str, float]
    """For the history."""


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
        curiosity: what a nat of information is worth in return, in the first round; it falls with 1/sqrt(1 + k).
        searches: random commitments a round that are planned from beside the population, and forgotten where they are not the best.
        components: commitments that use one component alone, at ``largest``, that are planned from in each round: the best of all, as in
            `solvers.combinatorial`.
        confidence: with which a commitment has to be better than the incumbent; 0 to go by predicted returns and ``margin``.
        draws: from the posterior, for ``confidence`` and ``tolerance``.
        tolerance: stop where, with this ``confidence``, nothing is better than the incumbent by more than this share of its return.
        temperatures: factors of the temperature that are compared.
        horizons: factors of the follower's horizon that are compared.
        pool: whether contexts share what is counted, at the cells where their counts agree.
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
    curiosity: float = 0.0
    searches: int = 0
    components: int = 0
    confidence: float = 0.0
    draws: int = 32
    tolerance: float | None = None
    temperatures: tuple[float, ...] = (1.0,)
    horizons: tuple[float, ...] = (1.0,)
    pool: bool = False

    access = Access.OUTCOME

    def __repr__(self) -> str:
        return short_repr(self, *OPTIONS)

    def __post_init__(self) -> None:
        for name in ("temperatures", "horizons"):
            object.__setattr__(self, name, tuple(float(factor) for factor in getattr(self, name)))
            if not getattr(self, name) or not all(0 < factor < np.inf for factor in getattr(self, name)):
                raise ValueError(f"inverse_planning needs at least one positive factor in {name}; got {self!r}")
        real("curiosity", self.curiosity, 0)
        whole("searches", self.searches, 0)
        whole("components", self.components, 0)
        whole("draws", self.draws, 2)
        real("confidence", self.confidence, 0)
        if self.confidence >= 1:
            raise ValueError(f"confidence is a probability below 1; got {self!r}")
        if self.tolerance is not None:
            real("tolerance", self.tolerance, 0, open_low=True)
            if self.confidence == 0:
                raise ValueError("tolerance stops with a stated confidence: set confidence, such as 0.9, too")
        _ = self.settings
        least = {"episodes": 1, "population": 0, "planning_steps": 0, "first": 0, "spread": 0, "explore": 0, "margin": 0}
        short = [name for name, low in least.items() if not low <= getattr(self, name) < np.inf]
        if short or not 0 < self.lr < np.inf or not 0 < self.largest < np.inf or not np.isfinite(self.optimism):
            raise ValueError(f"inverse_planning needs positive lr and largest, a finite optimism, and nothing negative; got {self!r}")

    def declines(self, oracle: Oracle) -> str | None:
        if len(oracle.contexts) > 1 and oracle.context_visibility != "after":
            seen = {"never": "never sees it", "before": "sees it before it commits, in a game of its own for each"}
            return f"inverse_planning learns from the context of each episode, and this leader {seen[oracle.context_visibility]}"
        if self.components > 0 and len(oracle.commitment_shape) > 1:
            return "components are those of one vector, and here a commitment has a row for each context"
        if (reason := needs_counted_games("inverse_planning", oracle)) is not None:
            return reason
        if oracle.followers > 1 and self.confidence > 0:
            return (
                "inverse_planning tells by regression what it earned of each of several followers, and has no posterior of that: "
                "leave confidence and tolerance out"
            )
        if (rewards := max(int(np.prod(sizes)) for sizes in oracle.sizes)) >= LARGE and (self.curiosity > 0 or self._compares):
            return (
                f"inverse_planning keeps no Fisher matrix of {rewards} x {rewards} rewards, from {LARGE} on: "
                "leave curiosity, temperatures and horizons out"
            )
        return None

    @property
    def _compares(self) -> bool:
        """Whether there is more than one hypothesis about the follower."""
        return len(self.temperatures) * len(self.horizons) > 1

    @cached_property
    def settings(self) -> Settings:
        """Settings of the inference from outcomes; where hypotheses are compared no commitment is forgotten."""
        return Settings(self.temperature, self.scale, self.kernel_prior, EVERY if self._compares else self.window, pool=self.pool)

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        hypotheses = Hypotheses.prior(oracle, self.settings.for_oracle(oracle), self.temperatures, self.horizons)
        inference = hypotheses.states[0]
        tried = tuple(TriedCommitments.none(x.size, state.counts.paid.shape) for state in inference.states)
        none = np.zeros((0, x.size))
        return State(x, carried=Memory(inference, none, x.copy(), hypotheses=hypotheses, tried=tried))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        memory: Memory = state.carried
        x, rounds = memory.trying, memory.inference.rounds
        seen = oracle.play(x, episodes=self.episodes)  # 1
        hypotheses = memory.hypotheses.update(oracle, x, seen)  # 2, 3
        inference, settings = hypotheses.best(oracle)
        tried = tuple(
            own.add_outcome(x, outcome_of(oracle, x, seen, of.context, of.follower), instrument_cost(oracle, x, of.context, of.follower))
            for own, of in zip(memory.tried, inference.states, strict=True)
        )
        now = Now(oracle, inference, settings, tried, self._model_of(oracle, inference, settings, tried), rng)
        incumbent, doubtful, highest, row = self._confirm(now, memory, state.x)  # 4
        fresh = memory.refresh(rng, self.population, self.spread, self.largest)
        best, value, population = self._plan(now, now.game, incumbent, fresh)  # 5
        following, explores = best, rng.random() < self.explore / np.sqrt(1 + rounds / 20)
        if rounds < self.first:
            (following,) = random_commitments(rng, 1, x.size, self.spread, self.largest)
        elif explores:  # 6
            possible = inference.posterior_sample(oracle, settings, rng, optimism=self.optimism)
            following, _, _ = self._plan(now, possible, incumbent, population)
        elif doubtful is not None:
            following = doubtful
        after = Memory(inference, population, following, hypotheses=hypotheses, tried=tried, highest=highest)
        row |= {"planned_return": value}
        if self._compares:
            row |= {"temperature": settings.temperature, "follower_discount": settings.follower_discount(oracle)}
        finished = None if self.tolerance is None or rounds < self.first else self._reason_to_stop(now, incumbent, population, row)
        return State(incumbent, state.iteration + 1, after, row, finished=finished)

    def _model_of(
        self, oracle: Oracle, inference: JointInference, settings: Settings, tried: tuple[TriedCommitments, ...]
    ) -> EstimatedGames:
        """The games that are planned in; with ``confidence`` the leader's rewards are posterior means, and else means of what was seen."""
        if self.confidence == 0:
            return inference.game(oracle, settings)
        pairs = zip(inference.states, tried, strict=True)
        known = [believed_tables(state.counts, own.squares, settings.kernel_prior) for state, own in pairs]
        return inference.game_with(oracle, settings, inference.share(known, settings), inference.rewards)

    def _confirm(self, now: Now, memory: Memory, incumbent: np.ndarray) -> Confirmed:
        """The commitment to report, and with ``confidence`` what is known of it."""
        if self.confidence == 0:
            return Confirmed(confirm(now.game, memory.trying, incumbent, self.margin), None, memory.highest, {})
        xs, returns = now.tried[0].xs, np.zeros((self.draws, len(now.tried[0].xs)))
        every = table_draws(now.inference, now.tried, now.settings, now.rng, self.draws)
        for own, known, (weight, game) in zip(now.tried, every, now.game.parts, strict=True):
            returns = returns + weight * return_draws(own, game, now.oracle, known, now.rng)
        old, means = int(np.flatnonzero((xs == incumbent).all(axis=1))[0]), returns.mean(axis=0)
        better = (returns > returns[:, [old]]).mean(axis=0) >= self.confidence
        best = int(np.argmax(np.where(better, means, -np.inf))) if better.any() else old
        likely = int(np.argmax(means))
        doubtful = xs[likely] if means[likely] > means[best] + self.margin * abs(means[best]) else None
        bound = float(np.quantile(returns[:, best], 1 - self.confidence))
        highest = max(memory.highest, bound)
        return Confirmed(xs[best], doubtful, highest, {"confirmed_return": bound, "retracted": highest - bound})

    def _plan(self, now: Now, game: EstimatedGames, incumbent: np.ndarray, population: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """(commitment, its predicted return, population) after some steps of ascent.

        Without ``curiosity`` less than ``margin`` moves nobody.
        """
        random = random_commitments(now.rng, self.searches, incumbent.size, self.spread, self.largest)
        starts = np.concatenate([incumbent[None], population, random, self._best_components(game, incumbent.size)])
        planned = ascend(game, starts, steps=self.planning_steps, lr=self.lr, largest=self.largest)
        values = predicted_returns(game, np.concatenate([incumbent[None], planned]))
        if self.curiosity > 0:
            i = 1 + int(np.argmax(values[1:] + self._price_of_information(now, game, planned)))
        else:
            i = int(np.argmax(values))
            if values[i] <= values[0] + self.margin * abs(values[0]):
                i = 0
        kept = next_population(planned, values[1:], i - 1, len(population))
        return (incumbent if i == 0 else planned[i - 1]), float(values[i]), kept

    def _best_components(self, game: EstimatedGames, n: int) -> np.ndarray:
        """Of the n commitments that use one component alone those with the highest predicted returns, (components, n)."""
        if self.components == 0:
            return np.zeros((0, n))
        alone = self.largest * np.eye(n)
        return alone[np.argsort(-predicted_returns(game, alone), kind="stable")[: self.components]]

    def _price_of_information(self, now: Now, game: EstimatedGames, xs: np.ndarray) -> np.ndarray:
        """What commitments (K, n) would tell about the followers' rewards, in units of return, (K,)."""
        gain = np.zeros(len(xs))
        for state, (weight, own) in zip(now.inference.states, game.parts, strict=True):
            mdp, temperature = induced_mdp(own, xs), now.settings.temperature
            information = expected_information(mdp, temperature, episodes=weight * self.episodes, steps=own.max_cycles)
            gain = gain + information_gain(state.belief.precision, information)  # type: ignore[union-attr]
        return self.curiosity / np.sqrt(now.inference.rounds) * gain

    def _reason_to_stop(self, now: Now, incumbent: np.ndarray, population: np.ndarray, row: dict[str, float]) -> str | None:
        """Why no further commitment is needed, or None; ``row`` gets the bound on what is left to gain."""
        improvements = improvement_draws(
            now.inference,
            now.tried,
            now.oracle,
            now.settings,
            np.concatenate([incumbent[None], population]),
            now.rng,
            draws=self.draws,
            steps=self.planning_steps,
            lr=self.lr,
            largest=self.largest,
        )
        bound = row["improvement_bound"] = float(np.quantile(improvements, self.confidence))
        assert self.tolerance is not None
        allowed = self.tolerance * abs(row["confirmed_return"])
        if bound > allowed:
            return None
        return f"with probability {self.confidence:g} no plan gains more than {allowed:.3g} on the incumbent"


EVERY = 10**9
"""A window that forgets nothing."""
