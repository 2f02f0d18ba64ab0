"""What a leader infers of every follower in every context, where followers do not interact.

Each pair of a context and a follower has an inference of its own (`solvers.inference.state`), since dynamics, rewards and the follower's
reward may differ from context to context.  Three things tie them together: an outcome says which context each episode was in, the leader's
rewards are totals over followers (`solvers.inference.attribution`), and plans are for all of them at once::

    F(x) = sum_c p_c sum_i J_ci(x)

A context that was not seen yet is as its prior says; contexts of probability 0 are left out.  With `Settings.pool` contexts have in common
what is counted where their counts agree (`solvers.inference.pooling`); a follower's reward is inferred for each context all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.play.outcomes import Outcome

from .attribution import SharedSteps, cells_of
from .model import Counts, EstimatedGames, instrument_cost, tables
from .pooling import PooledCells
from .state import InferenceState, Settings

Tables = dict[str, np.ndarray]
"""As `solvers.inference.model.tables` makes them."""


@dataclass(frozen=True)
class JointInference:
    """Inferences of all pairs of context and follower, context by context."""

    states: tuple[InferenceState, ...]
    weights: tuple[float, ...]
    """Probability of the context of each."""
    shared: dict[int, SharedSteps]
    """By context: steps in which followers acted together."""
    rounds: int = 0
    """Commitments so far."""
    pools: tuple[PooledCells, ...] = ()
    """By follower: what contexts have in common; empty where nothing is pooled."""

    @staticmethod
    def prior(oracle: Oracle, settings: Settings) -> JointInference:
        """The inferences before the first commitment."""
        possible = [context for context, p in enumerate(oracle.context_probabilities) if p > 0]
        states = tuple(
            InferenceState.prior(oracle, settings, context, follower) for context in possible for follower in range(oracle.followers)
        )
        weights = tuple(float(oracle.context_probabilities[state.context]) for state in states)
        return JointInference(states, weights, {context: SharedSteps.none(oracle.sizes) for context in possible})

    def update(self, oracle: Oracle, x: np.ndarray, seen: Outcome, settings: Settings) -> JointInference:
        """The inferences after the outcome ``seen`` of one more commitment ``x`` (n,)."""
        parts = [outcome_of(oracle, x, seen, state.context, state.follower) for state in self.states]
        pools, believed = (), [None] * len(parts)
        if settings.pool and len(self.shared) > 1:
            counts = [
                state.counts.add_outcome(own, instrument_cost(oracle, x, state.context, state.follower))[0]
                for state, own in zip(self.states, parts, strict=True)
            ]
            pools = self._pools_of(counts, settings.kernel_prior)
            known = replace(self, pools=pools).share([tables(own, settings.kernel_prior) for own in counts], settings)
            believed = [own["transition"] for own in known]
        states = tuple(
            state.update(oracle, x, own, settings, transition) if len(own.contexts) else state
            for state, own, transition in zip(self.states, parts, believed, strict=True)
        )
        shared = {context: steps.add_outcome(in_context(oracle, seen, context)) for context, steps in self.shared.items()}
        return JointInference(states, self.weights, shared, self.rounds + 1, pools)

    def _pools_of(self, counts: Sequence[Counts], prior: float) -> tuple[PooledCells, ...]:
        """What contexts have in common, by follower, from the counts of each pair."""
        followers = sorted({state.follower for state in self.states})
        return tuple(PooledCells.of([counts[i] for i in self._pairs_of(follower)], prior) for follower in followers)

    def _pairs_of(self, follower: int) -> list[int]:
        """Which pairs are of one follower."""
        return [i for i, state in enumerate(self.states) if state.follower == follower]

    def share(self, known: Sequence[Tables], settings: Settings, rng: np.random.Generator | None = None) -> list[Tables]:
        """Tables of each pair, with what contexts have in common; ``rng`` draws that from its posterior."""
        shared = list(known)
        for follower, pool in enumerate(self.pools):
            pairs = self._pairs_of(follower)
            for i, own in zip(pairs, pool.share([known[i] for i in pairs], settings.kernel_prior, rng), strict=True):
                shared[i] = own
        return shared

    def tables(self, settings: Settings, *, bonus: float = 0.0, rng: np.random.Generator | None = None) -> list[Tables]:
        """`solvers.inference.model.tables` of each pair, with the leader's rewards attributed to followers."""
        rewards = [
            reward
            for context, steps in self.shared.items()
            for reward in steps.leader_rewards([state.counts for state in self.states if state.context == context], bonus)
        ]
        pairs = zip(self.states, rewards, strict=True)
        known = [{**tables(state.counts, settings.kernel_prior, rng=rng), "leader_reward": reward} for state, reward in pairs]
        return self.share(known, settings, rng)

    def game(self, oracle: Oracle, settings: Settings) -> EstimatedGames:
        """The games as they are believed to be."""
        return self.game_with(oracle, settings, self.tables(settings), self.rewards)

    def posterior_sample(self, oracle: Oracle, settings: Settings, rng: np.random.Generator, *, optimism: float) -> EstimatedGames:
        """Games drawn from the posterior over kernels and followers' rewards; the leader earns ``optimism`` where it has never been."""
        known = self.tables(settings, bonus=optimism, rng=rng)
        return self.game_with(oracle, settings, known, [state.belief.draw(rng) for state in self.states])

    def game_with(self, oracle: Oracle, settings: Settings, known: Sequence[Tables], rewards: Sequence[np.ndarray]) -> EstimatedGames:
        """Games with the tables ``known`` and the followers' ``rewards`` (S, A, B), one of each for each pair."""
        pairs = zip(self.weights, self.states, known, rewards, strict=True)
        return EstimatedGames(tuple((weight, state.game_with(oracle, settings, own, reward)) for weight, state, own, reward in pairs))

    @property
    def rewards(self) -> list[np.ndarray]:
        """The followers' rewards that are believed in, (S, A, B) for each pair."""
        return [state.belief.reward for state in self.states]

    def log_evidence(self, oracle: Oracle, settings: Settings) -> float:
        """Sum of `InferenceState.log_evidence` over all pairs, in nats."""
        if not self.pools:
            return float(sum(state.log_evidence(oracle, settings) for state in self.states))
        known = self.tables(settings)
        return float(sum(state.log_evidence(oracle, settings, own["transition"]) for state, own in zip(self.states, known, strict=True)))


def in_context(oracle: Oracle, seen: Outcome, context: int) -> Outcome:
    """The episodes of one context; all of them where there is but one, which an outcome need not name."""
    return seen if len(oracle.contexts) == 1 else seen.take(seen.contexts == context)


def outcome_of(oracle: Oracle, x: np.ndarray, seen: Outcome, context: int, follower: int) -> Outcome:
    """What an outcome of ``x`` (n,) tells of one follower in one context, as the outcome of a game with this follower alone.

    Its rewards of the leader are the totals of all followers, what it paid for its instrument added back for all but this one.
    """
    chosen = in_context(oracle, seen, context)
    rewards = chosen.leader_rewards
    for other in range(oracle.followers):
        if other != follower:
            sizes = oracle.sizes[other]
            paid = np.broadcast_to(instrument_cost(oracle, x, context, other), sizes).ravel()[cells_of(chosen, other, sizes)]
            rewards = rewards + np.where(chosen.alive[:, other], paid, 0.0)
    own = slice(follower, follower + 1)
    return replace(
        chosen,
        states=chosen.states[:, own],
        leader_actions=chosen.leader_actions[:, own],
        follower_actions=chosen.follower_actions[:, own],
        leader_rewards=rewards,
        alive=chosen.alive[:, own],
    )
