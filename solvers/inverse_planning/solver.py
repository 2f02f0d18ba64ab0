"""The rounds of `inverse_planning`: commit, watch, explain, confirm, plan, sometimes explore."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from stackelberg_envs.access import Access, Oracle
from stackelberg_envs.followers import Soft
from stackelberg_envs.mdp import InducedMDP
from stackelberg_envs.planning import soft_policy_iteration

from ..base import Solver, State
from ..estimators.implicit import surrogate_objective
from ..linear import LU
from .irl import Belief, Responses, fit, forget
from .model import Counts, EstimatedGame, known_cost, tables


@dataclass(frozen=True)
class Carried:
    """What the leader remembers."""

    counts: Counts
    belief: Belief
    commitments: np.ndarray
    """Those in the window, (w, n)."""
    responses: np.ndarray
    """Visits of each (s, a, b) under them, (w, S, A, B)."""
    population: np.ndarray
    """Candidates, (P, n)."""
    trying: np.ndarray
    """The next commitment, (n,)."""
    rounds: int = 0


@dataclass(frozen=True)
class InversePlanning(Solver):
    """Plans in the game it infers from outcomes alone (OUTCOME; INCENTIVE where it sets rewards); one iteration is one commitment.

    Args:
        episodes: watched under each commitment.
        temperature: assumed of the follower; where it is not known, any will do, as only its ratio to ``scale`` matters.
        scale: prior standard deviation of the follower's rewards.
        kernel_prior: mass of the Dirichlet prior over the next state of each (s, a, b).
        window: commitments that are kept exactly; older ones are kept as a quadratic form.
        population: candidates that are planned from beside the best so far.
        planning_steps: ascent steps (Adam) a round from each candidate.
        lr: their learning rate.
        spread: standard deviation of random candidates, and of the first commitments after the start.
        first: how many commitments after the start are random.
        explore: probability of exploring in the first round; it falls with 1/sqrt(1 + k/20).
        optimism: what exploration believes the leader earns where it has never been.
        largest: bound on the components of planned commitments.
    """

    episodes: int = 3
    temperature: float = 0.05
    scale: float = 1.0
    kernel_prior: float = 0.1
    window: int = 24
    population: int = 6
    planning_steps: int = 10
    lr: float = 0.1
    spread: float = 1.5
    first: int = 4
    explore: float = 0.5
    optimism: float = 0.5
    largest: float = 5.0

    access = Access.OUTCOME

    def declines(self, oracle: Oracle) -> str | None:
        if len(oracle.contexts) > 1 or oracle.followers > 1:
            return "inverse_planning explains one follower in one context"
        if not oracle.additive:
            return "inverse_planning needs an additive leader objective"
        if oracle.sizes[0][1] == 1 and oracle.access < Access.INCENTIVE:
            return "inverse_planning needs to know the leader's instrument in a design game: grant it access INCENTIVE"
        return None

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        sizes, none = oracle.sizes[0], np.zeros((0, x.size))
        belief = Belief.prior(sizes, self.scale)
        return State(x, carried=Carried(Counts.none(sizes), belief, none, np.zeros((0, *sizes)), none, x.copy()))

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        memory: Carried = state.carried
        x = memory.trying
        seen = oracle.play(x, episodes=self.episodes)  # 1
        counts, visits = memory.counts.plus(seen, known_cost(oracle, x))  # 2
        memory = self._explained(oracle, replace(memory, counts=counts), x, visits)  # 3
        believed = EstimatedGame(oracle, self.temperature, tables(counts, self.kernel_prior), memory.belief.reward)
        incumbent = state.x
        if not np.array_equal(x, incumbent):  # 4
            tried, kept = _values(believed, np.stack([x, incumbent]), self.temperature)
            incumbent = x if tried > kept else incumbent
        best, value, population = self._planned(believed, incumbent, self._renewed(memory, rng, x.size))  # 5
        following, explores = best, rng.random() < self.explore / np.sqrt(1 + memory.rounds / 20)
        if memory.rounds < self.first:
            following = np.clip(self.spread * rng.normal(size=x.size), -self.largest, self.largest)
        elif explores:  # 6
            drawn = tables(counts, self.kernel_prior, bonus=self.optimism, rng=rng)
            possible = EstimatedGame(oracle, self.temperature, drawn, memory.belief.draw(rng))
            following, _, _ = self._planned(possible, incumbent, population)
        memory = replace(memory, population=population, trying=following, rounds=memory.rounds + 1)
        return State(incumbent, state.iteration + 1, memory, {"predicted_return": value})

    def _explained(self, oracle: Oracle, memory: Carried, x: np.ndarray, visits: np.ndarray) -> Carried:
        """Memory with one more commitment, and a belief that explains it too."""
        commitments = np.concatenate([memory.commitments, x[None]])
        responses = np.concatenate([memory.responses, visits[None]])
        belief, transition = memory.belief, memory.counts.transition(self.kernel_prior)
        if len(commitments) > self.window:
            belief = forget(belief, self._responses(oracle, commitments[:1], responses[:1], transition, memory.counts), self.temperature)
            commitments, responses = commitments[1:], responses[1:]
        data = self._responses(oracle, commitments, responses, transition, memory.counts)
        steps = 9 if memory.rounds < 10 else 3
        belief = fit(belief, data, self.temperature, self.scale, steps=steps)
        return replace(memory, commitments=commitments, responses=responses, belief=belief)

    def _responses(self, oracle: Oracle, xs: np.ndarray, visits: np.ndarray, transition: np.ndarray, counts: Counts) -> Responses:
        """Commitments (K, n) and the visits under them, as `irl.fit` takes them."""
        unknown = EstimatedGame(oracle, self.temperature, {**tables(counts, self.kernel_prior), "transition": transition}, 0 * counts.paid)
        with torch.no_grad():
            mdp = unknown.problems(torch.as_tensor(xs))[0].map(lambda table: table.numpy())
        sees_policy = mdp.follower_sees == "policy" and mdp.sizes[1] > 1
        return Responses(mdp, visits.sum(-2, keepdims=True) if sees_policy else visits)

    def _renewed(self, memory: Carried, rng: np.random.Generator, n: int) -> np.ndarray:
        """The population; every fifth round one member is replaced by a random one."""
        fresh = np.clip(self.spread * rng.normal(size=(self.population, n)), -self.largest, self.largest)
        if len(memory.population) == 0:
            return fresh
        population = memory.population.copy()
        if memory.rounds % 5 == 0:
            population[memory.rounds // 5 % self.population] = fresh[0]
        return population

    def _planned(self, game: EstimatedGame, incumbent: np.ndarray, population: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """(commitment, its predicted return, population) after some steps of ascent; the incumbent stays unless 1 % is to be gained."""
        planned = ascend(game, np.concatenate([incumbent[None], population]), self)
        values = _values(game, np.concatenate([incumbent[None], planned]), self.temperature)
        i = int(np.argmax(values))
        if values[i] <= values[0] + 0.01 * abs(values[0]):
            i = 0
        return (incumbent if i == 0 else planned[i - 1]), float(values[i]), planned[1:]


def ascend(game: EstimatedGame, xs: np.ndarray, settings: InversePlanning) -> np.ndarray:
    """Adam on the exact hypergradient of ``game`` from each of ``xs`` (K, n)."""
    points = torch.tensor(xs, requires_grad=True)
    optimiser = torch.optim.Adam([points], lr=settings.lr, maximize=True)
    values = None
    for _ in range(settings.planning_steps):
        mdp = game.problems(points)[0]
        frozen = mdp.map(torch.Tensor.detach)
        with torch.no_grad():
            plan = soft_policy_iteration(_batched(frozen, len(xs)), settings.temperature, values=values, factorise=LU)
            values = plan.values
        terms, _, _, _ = surrogate_objective(_batched(mdp, len(xs)), _batched(frozen, len(xs)), plan, settings.temperature, reaction=True)
        optimiser.zero_grad()
        terms.sum().backward()
        optimiser.step()
        with torch.no_grad():
            points.clamp_(-settings.largest, settings.largest)
    return points.detach().numpy()


def _batched(mdp: InducedMDP, count: int) -> InducedMDP:
    """Every table with the batch axis, which those that do not depend on x lack."""
    ranks = {"leader_policy": 2, "transition": 4, "follower_reward": 3, "leader_reward": 3, "initial": 1}
    expanded: dict[str, Any] = {}
    for name, rank in ranks.items():
        table = getattr(mdp, name)
        expanded[name] = table if table.ndim > rank else table.expand(count, *table.shape)
    return replace(mdp, **expanded)


def _values(game: EstimatedGame, xs: np.ndarray, temperature: float) -> np.ndarray:
    """Predicted returns of commitments (K, n)."""
    with torch.no_grad():
        mdp = _batched(game.problems(torch.tensor(xs))[0], len(xs))
        policy = Soft(temperature).answer(mdp, None).policy
        return game.objective((mdp,), (policy,)).numpy()
