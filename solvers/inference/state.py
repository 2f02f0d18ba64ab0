"""What a leader infers of one follower in one context from outcomes, updated with one commitment after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.play.outcomes import Outcome

from .irl import Belief, Responses, fit, forget, log_evidence
from .model import Counts, EstimatedGame, induced_mdp, instrument_cost, tables
from .products import LargeBelief, fit_by_products

LARGE = 1000
"""From so many unknown rewards on, Fisher matrices are not built: `solvers.inference.products`."""
MAX_STEPS = 50
"""Of Fisher scoring a commitment; most take two to five."""


@dataclass(frozen=True)
class Settings:
    """How outcomes are explained.

    Args:
        temperature: assumed of the follower; where the leader acts any will do, as only its ratio to ``scale`` matters.  Where it sets
            rewards their unit is fixed: there the leader knows the temperature (INCENTIVE), and this is not used.
        scale: prior standard deviation of the follower's rewards.
        kernel_prior: mass of the Dirichlet prior over the next state of each (s, a, b).
        window: commitments that are kept exactly; older ones are kept as a quadratic form.  From `LARGE` rewards on all are kept.
        horizon: what the follower's horizon 1 / (1 - gamma) is taken for, as a factor of the one that is public.
        pool: whether contexts share what is counted where their counts agree: `solvers.inference.pooling`.
    """

    temperature: float
    scale: float
    kernel_prior: float
    window: int
    horizon: float = 1.0
    pool: bool = False

    def __post_init__(self) -> None:
        positive = (self.temperature, self.scale, self.kernel_prior, self.horizon)
        if not (np.isfinite(positive).all() and min(positive) > 0 and self.window >= 1):
            raise ValueError(f"inference needs a positive temperature, scale and kernel_prior, and a window from 1; got {self!r}")

    def for_oracle(self, oracle: Oracle) -> Settings:
        """The settings for a run: with the true temperature where the leader sets rewards."""
        return replace(self, temperature=oracle.temperature) if oracle.sizes[0][1] == 1 else self

    def with_factors(self, temperature: float, horizon: float) -> Settings:
        """The settings with the temperature and the horizon times these factors."""
        return replace(self, temperature=temperature * self.temperature, horizon=horizon * self.horizon)

    def follower_discount(self, oracle: Oracle, follower: int = 0) -> float:
        """The discount of a follower with this horizon, at least 0."""
        public = oracle.follower_discounts[follower]
        return public if self.horizon == 1 else max(0.0, 1 - (1 - public) / self.horizon)


@dataclass(frozen=True)
class InferenceState:
    """What the leader knows of one follower in one context: counts, responses to commitments, and a posterior over the follower's reward.

    Outcomes are those of this follower in this context alone (`solvers.inference.joint.outcome_of`).
    """

    counts: Counts
    belief: Belief | LargeBelief
    commitments: np.ndarray
    """Those in the window, (w, n)."""
    responses: np.ndarray
    """Visits of each (s, a, b) under them, (w, S, A, B)."""
    rounds: int = 0
    context: int = 0
    follower: int = 0

    @staticmethod
    def prior(oracle: Oracle, settings: Settings, context: int = 0, follower: int = 0) -> InferenceState:
        """The state before the first commitment."""
        sizes, scale = oracle.sizes[follower], settings.scale
        belief = LargeBelief(np.zeros(sizes), scale) if np.prod(sizes) >= LARGE else Belief.prior(sizes, scale)
        none = np.zeros((0, oracle.dimension)), np.zeros((0, *sizes))
        return InferenceState(Counts.zeros(sizes), belief, *none, context=context, follower=follower)

    def update(
        self, oracle: Oracle, x: np.ndarray, seen: Outcome, settings: Settings, transition: np.ndarray | None = None
    ) -> InferenceState:
        """The state after the outcome ``seen`` of one more commitment ``x`` (n,).

        ``transition`` (S, A, B, S) is what the leader believes of next states if it is not what was counted here.
        """
        counts, visits = self.counts.add_outcome(seen, instrument_cost(oracle, x, self.context, self.follower))
        commitments = np.concatenate([self.commitments, x[None]])
        responses = np.concatenate([self.responses, visits[None]])
        belief = self.belief
        if isinstance(belief, LargeBelief):
            data = self._responses(oracle, counts, commitments, responses, settings, transition)
            belief = fit_by_products(belief, data, settings.temperature, steps=MAX_STEPS)
            return self._after(counts, belief, commitments, responses)
        if len(commitments) > settings.window:
            old = self._responses(oracle, counts, commitments[:1], responses[:1], settings, transition)
            belief = forget(belief, old, settings.temperature)
            commitments, responses = commitments[1:], responses[1:]
        data = self._responses(oracle, counts, commitments, responses, settings, transition)
        belief = fit(belief, data, settings.temperature, settings.scale, steps=MAX_STEPS)
        return self._after(counts, belief, commitments, responses)

    def _after(self, counts: Counts, belief: Belief | LargeBelief, commitments: np.ndarray, responses: np.ndarray) -> InferenceState:
        return InferenceState(counts, belief, commitments, responses, self.rounds + 1, self.context, self.follower)

    def game(self, oracle: Oracle, settings: Settings, *, optimism: float = 0.0) -> EstimatedGame:
        """The game as it is believed to be; the leader earns ``optimism`` where it has never been."""
        known = tables(self.counts, settings.kernel_prior, bonus=optimism)
        return self.game_with(oracle, settings, known, self.belief.reward)

    def game_with(self, oracle: Oracle, settings: Settings, known: dict[str, np.ndarray], reward: np.ndarray) -> EstimatedGame:
        """A game with the tables ``known`` (`solvers.inference.model.tables`) and the follower's ``reward`` (S, A, B)."""
        discount = settings.follower_discount(oracle, self.follower)
        return EstimatedGame(oracle, settings.temperature, known, reward, discount, context=self.context, follower=self.follower)

    def log_evidence(self, oracle: Oracle, settings: Settings, transition: np.ndarray | None = None) -> float:
        """Laplace's approximation of the log-probability of the follower's actions, in nats; all commitments have to be in the window.

        ``transition`` is as in `update`.

        Raises:
            ValueError: where commitments were forgotten, or the inference keeps no Fisher matrix.
        """
        if isinstance(self.belief, LargeBelief) or len(self.commitments) < self.rounds:
            raise ValueError("evidence needs a Fisher matrix and every commitment: below solvers.inference.state.LARGE rewards, no window")
        data = self._responses(oracle, self.counts, self.commitments, self.responses, settings, transition)
        return log_evidence(self.belief, data, settings.temperature, settings.scale)

    def _responses(
        self, oracle: Oracle, counts: Counts, xs: np.ndarray, visits: np.ndarray, settings: Settings, transition: np.ndarray | None
    ) -> Responses:
        """Commitments (K, n) and the visits under them, as `irl.fit` takes them."""
        known = tables(counts, settings.kernel_prior)
        if transition is not None:
            known["transition"] = transition
        mdp = induced_mdp(self.game_with(oracle, settings, known, 0 * counts.paid), xs)
        sees_policy = mdp.follower_sees == "policy" and mdp.sizes[1] > 1
        return Responses(mdp, visits.sum(-2, keepdims=True) if sees_policy else visits)
