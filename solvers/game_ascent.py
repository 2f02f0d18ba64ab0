"""Planning in an estimated game, from several commitments at once: what the leaders that learn from outcomes share.

They differ in which game they plan in.  One plans in the estimate itself, or in a draw from its posterior (`solvers.inverse_planning`);
others plan in a game of their choice near the estimate, jointly with the commitment (`JointPlanning`).
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.processes.mdp import MDP

from .estimators.reaction import surrogate_objective
from .inference.joint import JointInference
from .inference.model import EstimatedGame, EstimatedGames
from .inference.state import InferenceState
from .linear import LU
from .optimisers import Adam

Believed = EstimatedGame | EstimatedGames
"""Where a leader plans: the game with one follower in one context, or those of all pairs, whose returns add up."""


Inference = TypeVar("Inference", InferenceState, JointInference)


@dataclass(frozen=True)
class PlannerMemory(Generic[Inference]):
    """What the leader keeps between two rounds."""

    inference: Inference
    population: np.ndarray
    """Candidates, (P, n)."""
    trying: np.ndarray
    """The next commitment, (n,)."""

    @staticmethod
    def at(x: np.ndarray, inference: InferenceState) -> PlannerMemory[InferenceState]:
        """The memory before the first round, in which ``x`` (n,) is tried."""
        return PlannerMemory(inference, np.zeros((0, x.size)), x.copy())

    def refresh(self, rng: np.random.Generator, size: int, spread: float, largest: float) -> np.ndarray:
        """The population, of ``size`` random commitments at first; every fifth round one member is replaced by a random one."""
        fresh = random_commitments(rng, size, self.trying.size, spread, largest)
        if len(self.population) == 0:
            return fresh
        population = self.population.copy()
        rounds = self.inference.rounds
        if rounds % 5 == 0:
            population[rounds // 5 % size] = fresh[0]
        return population


def random_commitments(rng: np.random.Generator, count: int, n: int, spread: float, largest: float) -> np.ndarray:
    """Commitments with normal components of standard deviation ``spread``, cut at ``largest``, (count, n)."""
    return np.clip(spread * rng.normal(size=(count, n)), -largest, largest)


def next_population(planned: np.ndarray, values: np.ndarray, best: int, size: int) -> np.ndarray:
    """The population (size, n) to keep of where a round's ascents ended.

    A start that is not kept, but ended best of all, takes the place of the worst that is.

    Args:
        planned: where the ascents ended: from the incumbent, from the population, and from the starts of this round alone, (K, n).
        values: of these, (K,).
        best: which of them is tried next.
        size: of the population.
    """
    kept = planned[1 : 1 + size].copy()
    if size > 0 and best > size:
        kept[int(np.argmin(values[1 : 1 + size]))] = planned[best]
    return kept


class JointPlanning(abc.ABC):
    """Games that a planner may choose from, one for each of K commitments; it maximises ``weight * J - price`` over both."""

    weight: float = 1.0
    """Of the leader's return J."""
    leaves: tuple[torch.Tensor, ...]
    """What it chooses beside the commitments, float64 with gradients, (K, ...) each."""

    @abc.abstractmethod
    def choose(self, mdp: MDP, part: int = 0) -> MDP:
        """The processes that the leaves choose, from those of one of the estimated games, (K, ...)."""

    @abc.abstractmethod
    def price(self) -> torch.Tensor:
        """What the choice costs, (K,)."""

    @abc.abstractmethod
    def project(self) -> None:
        """Move the leaves to where they are allowed, in place."""


def ascend(game: Believed, xs: np.ndarray, *, steps: int, lr: float, largest: float, joint: JointPlanning | None = None) -> np.ndarray:
    """Commitments (K, n) after some steps of Adam on the exact hypergradient of ``game`` from each of ``xs`` (K, n).

    Args:
        game: where to plan.
        xs: where to start.
        steps: of Adam.
        lr: their learning rate.
        largest: bound on the components of commitments.
        joint: what is chosen jointly with them; its leaves are changed in place.
    """
    points = torch.tensor(xs, requires_grad=True)
    leaves = [points] if joint is None else [points, *joint.leaves]
    optimiser = Adam((leaves, float(lr)))
    values = None
    for _ in range(steps):
        terms, _, values = planner_surrogate(game, points, joint, values)
        optimiser.zero_grad()
        terms.sum().backward()
        optimiser.step()
        with torch.no_grad():
            points.clamp_(-largest, largest)
            if joint is not None:
                joint.project()
    return points.detach().numpy()


def joint_values(game: Believed, xs: np.ndarray, joint: JointPlanning) -> tuple[np.ndarray, np.ndarray]:
    """(``weight * J - price``, J) of commitments (K, n) in the games that ``joint`` chooses, (K,) each."""
    with torch.no_grad():
        _, returns, _ = planner_surrogate(game, torch.tensor(xs), joint, reaction=False)
        return (joint.weight * returns - joint.price()).numpy(), returns.numpy()


def planner_surrogate(
    game: Believed,
    points: torch.Tensor,
    joint: JointPlanning | None,
    values: Sequence[torch.Tensor] | None = None,
    *,
    reaction: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """What a planner ascends on: (scalars (K,) whose gradients are those of its objective, returns (K,), the followers' soft values).

    Args:
        game: where to plan.
        points: commitments (K, n).
        joint: what is chosen jointly with them.
        values: soft values of the followers to start their planning from, (K, S) for each part of ``game``.
        reaction: whether the gradients are wanted as well as the returns.
    """
    terms, returns, kept = torch.zeros(len(points), dtype=points.dtype), torch.zeros(len(points), dtype=points.dtype), []
    for i, (weight, own) in enumerate(game.parts):
        mdp = own.problems(points)[0].joint
        mdp = mdp if joint is None else joint.choose(mdp, i)
        frozen = mdp.map(torch.Tensor.detach)
        with torch.no_grad():
            start = None if values is None else values[i]
            plan = soft_policy_iteration(frozen, own.soft.temperature, values=start, factorise=LU)
        found = surrogate_objective(mdp, frozen, plan, own.soft.temperature, reaction=reaction)
        terms, returns = terms + weight * found.whole, returns + weight * found.returns
        kept.append(plan.values)
    return terms if joint is None else joint.weight * terms - joint.price(), returns, kept


def predicted_returns(game: Believed, xs: np.ndarray) -> np.ndarray:
    """Returns of commitments (K, n) as they are believed to be, (K,)."""
    returns = np.zeros(len(xs))
    with torch.no_grad():
        for weight, own in game.parts:
            problems = own.problems(torch.tensor(xs))
            policy = own.soft.answer_in(problems[0], None).policy
            returns = returns + weight * own.objective(problems, (policy,)).numpy()
    return returns


def confirm(game: Believed, tried: np.ndarray, incumbent: np.ndarray, margin: float) -> np.ndarray:
    """The commitment to report, (n,): ``tried`` where its predicted return beats the incumbent's by the share ``margin``."""
    if np.array_equal(tried, incumbent):
        return incumbent
    new, old = predicted_returns(game, np.stack([tried, incumbent]))
    return tried if new > old + margin * abs(old) else incumbent
