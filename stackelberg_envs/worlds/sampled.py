"""Worlds without tables: scored by closed forms where they have some, else over the referee's episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Discrete

from ..planning.linear_systems import PlanningError
from ..play.monte_carlo import REFEREE_EPISODES, discounted_return, monte_carlo
from ..play.outcomes import Outcome, outcome_of_vectors
from ..play.sampled_rollouts import SampledPolicyStepper, SampledStepper, play_sampled
from ..play.trajectories import Trajectories
from ..processes.arrays import Array, array_namespace
from ..processes.sampled import Actor, SampledDynamics
from ..response import Answer
from .base import EstimatedScores, FollowerScore, Spaces, World

NO_TEMPERATURE = 1e-12
"""The temperature of the response that optimises plain rewards."""
GAP_STEPS = 250_000
"""About how many steps are played for an estimate of a gap, which takes long episodes."""
FINGERPRINT_STEPS = 64
"""Steps with fixed noise by which worlds are told apart."""


class SampledProcess(SampledDynamics, World):
    """The decision process that a commitment induces for one follower, as functions of state, actions and noise.

    Subclasses are frozen dataclasses that hold the commitment (or what it comes to) and constants; they are picklable, and pure.
    """

    kind: ClassVar[str] = "vectors"

    # Optional methods; a world that has none leaves None.  (Typed Any, because a method may not override a variable.)
    soft_response: Any = None
    """``soft_response(temperature)``, where there is a closed form: the policy, its values as a function of (states, leads),
    and a certificate."""
    leader_return: Any = None
    """``leader_return(policy, horizon, discount)`` (...), exact, where there is a closed form; see `solves`."""
    follower_score: Any = None
    """``follower_score(policy, temperature, horizon)``, exact, where there is a closed form: plain return over the horizon, own objective
    (infinite horizon, with entropy), and the gap to its optimum, each (...)."""

    def solves(self, policy: Any) -> bool:
        """Whether ``leader_return`` and ``follower_score`` have closed forms for a policy; others are scored by playing."""
        del policy
        return False

    @property
    def actions(self) -> tuple[Any, ...]:  # type: ignore[override]
        """The action space of each follower in this process: one."""
        return (self.follower_action,)

    @property
    def spaces(self) -> tuple[Spaces, ...]:
        return (Spaces(self.state_space, self.leader_actions, self.follower_action),)

    @property
    def closed_forms(self) -> bool:
        return self.leader_return is not None

    def expected_return(
        self, policies: Sequence[Any], *, horizon: int | None, max_cycles: int, discount: float | None, seed: int = 0
    ) -> Array:
        (policy,) = policies
        steps, gamma = max_cycles if horizon is None else horizon, self.leader_discount if discount is None else discount
        if self.solves(policy):
            return self.leader_return(policy, steps, gamma)
        played, _ = monte_carlo(self, policy, steps, seed=seed)
        return array_namespace(played.leader_rewards).mean(discounted_return(played.leader_rewards, gamma), axis=-1)

    def score_follower(
        self, player: int, policies: Sequence[Any], temperature: float, *, horizon: int | None, max_cycles: int
    ) -> FollowerScore:
        return FollowerScore(*self.follower_score(policies[player], temperature, max_cycles if horizon is None else horizon))

    def uses_monte_carlo(self, policies: Sequence[Any]) -> bool:
        return not all(self.solves(policy) for policy in policies)

    def monte_carlo_scores(
        self, policies: Sequence[Any], temperature: float, *, horizon: int | None, max_cycles: int, discount: float | None
    ) -> EstimatedScores:
        (policy,) = policies
        played, episodes = monte_carlo(self, policy, max_cycles if horizon is None else horizon)
        returns = discounted_return(played.leader_rewards, self.leader_discount if discount is None else discount)
        own = discounted_return(played.follower_rewards, self.follower_discount)
        spread = float(array_namespace(returns).std(returns, correction=1))
        follower = FollowerScore(float(own.mean()), *self._monte_carlo_gap(policy, temperature))
        return EstimatedScores(float(returns.mean()), spread / episodes**0.5, follower)

    def _monte_carlo_gap(self, policy: Actor, temperature: float) -> tuple[float, float]:
        """The follower's own objective over (as good as) infinitely many steps, and what it lacks of the optimum, by episodes.

        The mean of V(s_0,a_0) - (what was earned), V the value of the best answer, which takes the luck of the start out.  The entropy
        bonus takes the policy's density; of a policy without one plain rewards are compared, with the optimum of those.
        """
        if self.soft_response is None:
            return float("nan"), float("nan")
        density = getattr(policy, "log_density", None)
        tau = 0.0 if density is None else temperature
        _, value, _ = self.soft_response(max(tau, NO_TEMPERATURE))
        steps = math.ceil(math.log(1e-4) / math.log(self.follower_discount))
        played, _ = monte_carlo(self, policy, steps, episodes=min(REFEREE_EPISODES, max(100, GAP_STEPS // steps)))
        rewards = played.follower_rewards
        if density is not None:
            rewards = rewards - tau * density(played.states[..., :-1, :], played.leader_actions, played.follower_actions)
        own = discounted_return(rewards, self.follower_discount)
        gap = float((value(played.states[..., 0, :], played.leader_actions[..., 0, :]) - own).mean())
        return float(own.mean()), max(gap, 0.0)

    def stepper(self) -> SampledStepper:
        return SampledStepper(self)

    def policy_stepper(self, policy: Actor) -> SampledPolicyStepper:
        return SampledPolicyStepper(policy)

    def play(
        self,
        policies: Sequence[Any],
        limits: np.ndarray,
        rng: np.random.Generator,
        *,
        states: np.ndarray | None = None,
        actions: np.ndarray | None = None,
    ) -> tuple[Trajectories, ...]:
        del states, actions  # chosen ones are for tables
        (policy,) = policies
        first = self.start(rng.random((len(limits), self.noise.start)))
        return (play_sampled(self, policy, first, rng, limits, leader_only=True),)

    @staticmethod
    def outcome(contexts: np.ndarray, ends: Sequence[int], pieces: Sequence[tuple[np.ndarray, int, Trajectories]]) -> Outcome:
        del ends
        return outcome_of_vectors(contexts, pieces)

    def soft_answer(self, temperature: float, values: Any) -> Answer:
        del values
        if self.soft_response is None:
            raise PlanningError(f"Soft({temperature}) plans with tables, and this world has none: take one that learns")
        return Answer(*self.soft_response(temperature))

    def tables_for(self, follower: Any) -> Any:
        instead = "one that learns" if self.soft_response is None else "Soft(temperature), which has a closed form here"
        raise PlanningError(f"{follower!r} plans with tables, and this world has none: take {instead}")

    def vector_dynamics_for(self, follower: Any) -> SampledProcess:
        return self

    def with_rewards(self, factor: float, constant: float) -> SampledProcess:
        return AffineRewards(self, factor, constant)

    def fingerprint(self) -> list[np.ndarray]:
        """What the world does in a few steps with fixed noise, whose rewards depend on all its constants."""
        rng, count = np.random.default_rng(0xF16E2), FINGERPRINT_STEPS
        s = self.start(rng.random((count, self.noise.start)))
        steps = [s]
        for _ in range(3):
            a = self.lead(s, rng.random((count, self.noise.lead)))
            if isinstance(self.follower_action, Discrete):
                b = rng.integers(self.follower_action.n, size=count)
            else:
                b = np.clip(rng.normal(size=(count, *self.follower_action.shape)), self.follower_action.low, self.follower_action.high)
            arrived, ended = self.step(s, a, b, rng.random((count, self.noise.step)))
            earned, paid = self.rewards(s, a, b, arrived)
            steps += [a, arrived, ended, earned, paid]
            s = arrived
        return [np.concatenate([np.ravel(np.asarray(values, dtype=np.float64)) for values in steps])]


class AffineRewards(SampledProcess):
    """A process without tables that pays the follower otherwise."""

    def __init__(self, process: SampledProcess, factor: float, constant: float) -> None:
        self.process, self.factor, self.constant = process, factor, constant
        for name in (
            "state_space",
            "leader_actions",
            "follower_action",
            "noise",
            "follower_discount",
            "leader_discount",
            "follower_sees",
        ):
            setattr(self, name, getattr(process, name))

    def start(self, u: Array) -> Array:
        return self.process.start(u)

    def lead(self, states: Array, u: Array) -> Array:
        return self.process.lead(states, u)

    def step(self, states: Array, leads: Array, actions: Array, u: Array) -> tuple[Array, Array]:
        return self.process.step(states, leads, actions, u)

    def rewards(self, states: Array, leads: Array, actions: Array, arrived: Array) -> tuple[Array, Array]:
        earned, paid = self.process.rewards(states, leads, actions, arrived)
        return self.factor * earned + self.constant, paid
