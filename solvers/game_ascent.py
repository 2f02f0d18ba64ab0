"""Planning in an estimated game, from several commitments at once: what the leaders that learn from outcomes share.

They differ in which game they plan in.  One plans in the estimate itself, or in a draw from its posterior (`solvers.inverse_planning`);
others plan in a game of their choice near the estimate, jointly with the commitment (`JointPlanning`).
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np
import torch

from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.processes.mdp import MDP

from .estimators.reaction import surrogate_objective
from .inference.model import EstimatedGame
from .inference.state import InferenceState
from .linear import LU
from .optimisers import Adam


@dataclass(frozen=True)
class PlannerMemory:
    """What the leader keeps between two rounds."""

    inference: InferenceState
    population: np.ndarray
    """Candidates, (P, n)."""
    trying: np.ndarray
    """The next commitment, (n,)."""

    @staticmethod
    def at(x: np.ndarray, inference: InferenceState) -> PlannerMemory:
        """The memory before the first round, in which ``x`` (n,) is tried."""
        return PlannerMemory(inference, np.zeros((0, x.size)), x.copy())

    def refresh(self, rng: np.random.Generator, size: int, spread: float, largest: float) -> np.ndarray:
        """The population, of ``size`` random commitments at first; every fifth round one member is replaced by a random one."""
        n = self.trying.size
        fresh = np.clip(spread * rng.normal(size=(size, n)), -largest, largest)
        if len(self.population) == 0:
            return fresh
        population = self.population.copy()
        rounds = self.inference.rounds
        if rounds % 5 == 0:
            population[rounds // 5 % size] = fresh[0]
        return population


class JointPlanning(abc.ABC):
    """Games that a planner may choose from, one for each of K commitments; it maximises ``weight * J - price`` over both."""

    weight: float = 1.0
    """Of the leader's return J."""
    leaves: tuple[torch.Tensor, ...]
    """What it chooses beside the commitments, float64 with gradients, (K, ...) each."""

    @abc.abstractmethod
    def choose(self, mdp: MDP) -> MDP:
        """The processes that the leaves choose, from those of the estimated game, (K, ...)."""

    @abc.abstractmethod
    def price(self) -> torch.Tensor:
        """What the choice costs, (K,)."""

    @abc.abstractmethod
    def project(self) -> None:
        """Move the leaves to where they are allowed, in place."""


def ascend(game: EstimatedGame, xs: np.ndarray, *, steps: int, lr: float, largest: float, joint: JointPlanning | None = None) -> np.ndarray:
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


def joint_values(game: EstimatedGame, xs: np.ndarray, joint: JointPlanning) -> tuple[np.ndarray, np.ndarray]:
    """(``weight * J - price``, J) of commitments (K, n) in the games that ``joint`` chooses, (K,) each."""
    with torch.no_grad():
        _, returns, _ = planner_surrogate(game, torch.tensor(xs), joint, reaction=False)
        return (joint.weight * returns - joint.price()).numpy(), returns.numpy()


def planner_surrogate(
    game: EstimatedGame, points: torch.Tensor, joint: JointPlanning | None, values: torch.Tensor | None = None, *, reaction: bool = True
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a planner ascends on: (scalars (K,) whose gradients are those of its objective, returns (K,), the follower's soft values).

    Args:
        game: where to plan.
        points: commitments (K, n).
        joint: what is chosen jointly with them.
        values: soft values of the follower to start its planning from, (K, S).
        reaction: whether the gradients are wanted as well as the returns.
    """
    mdp = game.problems(points)[0].joint
    mdp = mdp if joint is None else joint.choose(mdp)
    frozen = mdp.map(torch.Tensor.detach)
    with torch.no_grad():
        plan = soft_policy_iteration(frozen, game.soft.temperature, values=values, factorise=LU)
    found = surrogate_objective(mdp, frozen, plan, game.soft.temperature, reaction=reaction)
    return found.whole if joint is None else joint.weight * found.whole - joint.price(), found.returns, plan.values


def predicted_returns(game: EstimatedGame, xs: np.ndarray) -> np.ndarray:
    """Returns of commitments (K, n) in an estimated game, (K,)."""
    with torch.no_grad():
        problems = game.problems(torch.tensor(xs))
        policy = game.soft.answer_in(problems[0], None).policy
        return game.objective(problems, (policy,)).numpy()


def confirm(game: EstimatedGame, tried: np.ndarray, incumbent: np.ndarray, margin: float) -> np.ndarray:
    """The commitment to report, (n,): ``tried`` where its predicted return beats the incumbent's by the share ``margin``."""
    if np.array_equal(tried, incumbent):
        return incumbent
    new, old = predicted_returns(game, np.stack([tried, incumbent]))
    return tried if new > old + margin * abs(old) else incumbent
