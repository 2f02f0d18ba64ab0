"""Worlds without tables: exact gradients against finite differences, sampled ones against exact ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.oracle import Rounds


def gradient(game: se.StackelbergGame, x: np.ndarray, *, reaction: bool = True) -> np.ndarray:
    return exact_gradient(Rounds(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=reaction).gradient.numpy()


def slopes(game: se.StackelbergGame, x: np.ndarray, *, responses: Any = None, step: float = 1e-5) -> np.ndarray:
    """Central differences of the referee's score; with ``responses`` the follower stays where it is."""

    def score(y: np.ndarray) -> float:
        return float(se.evaluate(game, y, responses=responses).leader_return)

    return np.array([(score(x + step * e) - score(x - step * e)) / (2 * step) for e in np.eye(len(x))])


@pytest.mark.parametrize(("id", "arguments"), [("lq_gain-v0", {}), ("building-v0", {}), ("building-v0", {"zones": 6})], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_hypergradient_is_the_derivative(id: str, arguments: dict[str, Any], seed: int) -> None:
    """To 1e-6 of the largest component (or of 1), with the follower's reaction and without."""
    game = se.game(id, **arguments)
    x = 1.5 * np.random.default_rng(seed).normal(size=game.dimension)
    for responses in (None, se.evaluate(game, x).responses):
        exact, differences = gradient(game, x, reaction=responses is None), slopes(game, x, responses=responses)
        np.testing.assert_allclose(exact, differences, atol=1e-6 * max(1.0, np.abs(exact).max()))


def test_the_value_comes_with_the_gradient() -> None:
    game, x = se.game("lq_gain-v0"), np.array([-9.97, -9.40])
    exact = exact_gradient(Rounds(game).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True)
    assert exact.value == pytest.approx(10.67, abs=0.02)


def test_what_exact_ascent_finds_in_the_building() -> None:
    """From all walls half open: -163.4 with the follower's reaction, and -198 without (arXiv 2603.14867 reports -196.7 for BC-HG)."""
    game, settings = se.game("building-v0"), {"optimiser": "adam", "lr": 0.1, "start": np.zeros(8), "budget": 300}
    assert solvers.solve(game, "implicit", **settings).leader_return == pytest.approx(-163.4, abs=1)
    assert solvers.solve(game, "naive", **settings).leader_return == pytest.approx(-198.3, abs=1)
    assert solvers.solve(game, "multistart", start=np.zeros(8), budget=60).leader_return == pytest.approx(-163.4, abs=1)
