"""The check of estimators that say that they are exact: their gradients against differences of the referee's score."""

from __future__ import annotations

import copy

import numpy as np
import torch

from stackelberg_envs.evaluation import evaluate
from stackelberg_envs.game import StackelbergGame
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.testing.report import NotChecked, require

from .ascent import Ascent
from .base import Solver

STEP, DIRECTIONS = 1e-3, 3
"""Of central differences: the longer of two steps, and random directions at each of two commitments."""


def says_exact(solver: Solver) -> bool:
    """Whether a solver ascends along an estimator's gradients, and that says that they are exact."""
    return isinstance(solver, Ascent) and solver.estimator.exact


def ask_for_exact(solver: Solver) -> str | None:
    """An estimator that may see the model and says nothing is not checked."""
    if isinstance(solver, Ascent) and solver.access >= Access.MODEL and not solver.estimator.exact:
        raise NotChecked("if it is meant to be exact,  exact: ClassVar[bool] = True  in the class has it compared with differences")
    return "it does not estimate a gradient from the model"


def check_gradient(solver: Ascent, game: StackelbergGame, seed: int) -> None:
    """Compare an exact estimator's gradient with differences of `evaluate`, along random directions at two commitments.

    The second commitment is estimated with the memory of the first.  Differences with two steps are extrapolated (Richardson), and by how
    much they differ bounds their error.

    Raises:
        Violation: if a derivative along a direction is another.
    """
    estimator = solver.estimator
    rng, memory = np.random.default_rng([seed, 0x9AD]), None
    oracle = RepeatedGame(game, seed=seed).oracle(estimator.access, estimator.permissions)
    for _ in range(2):
        x = np.clip(0.3 * rng.normal(size=game.commitment_shape), game.leader_space.low, game.leader_space.high)
        estimate = copy.deepcopy(estimator).estimate(oracle, torch.tensor(x, dtype=torch.float64, device=solver.device), memory, rng)
        gradient, memory = estimate.gradient.detach().cpu().numpy(), estimate.memory
        require(gradient.shape == x.shape, f"the gradient has shape {gradient.shape}, and the commitment {x.shape}")
        for _ in range(DIRECTIONS):
            direction = rng.normal(size=x.shape)
            direction /= np.linalg.norm(direction)
            slope, error = _directional_derivative(game, x, direction)
            said = float(gradient.ravel() @ direction.ravel())
            why = "the sign is wrong" if abs(said + slope) <= 1e-3 * abs(slope) else "does it miss how the followers react?"
            message = f"along a direction the gradient says {said:.6g}, and differences of the referee's score {slope:.6g}: {why}"
            require(abs(said - slope) <= error + 1e-4 * abs(slope), message)


def _directional_derivative(game: StackelbergGame, x: np.ndarray, direction: np.ndarray) -> tuple[float, float]:
    """The derivative of the score along a direction, and a bound on its error."""

    def difference(step: float) -> float:
        ahead, behind = (float(evaluate(game, x + signed * direction).leader_return) for signed in (step, -step))
        return (ahead - behind) / (2 * step)

    coarse, fine = difference(STEP), difference(STEP / 2)
    return fine + (fine - coarse) / 3, abs(fine - coarse) + 1e-6 * (1 + abs(fine))
