"""Numbers that others computed: Four Rooms, the toy game, Conitzer and Sandholm's example."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known_values import FOUR_ROOMS_AT_ZERO, FOUR_ROOMS_WITHOUT_PENALTIES, MATRIX_GAMES, TOY3_GRADIENT, TOY3_OPTIMA, toy3_commitment
from scipy.optimize import minimize_scalar

import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.access import Access
from stackelberg_envs.oracle import Rounds


def gradient(game: se.StackelbergGame, x: np.ndarray, follower: se.Follower | None = None) -> np.ndarray:
    oracle = Rounds(game, follower).oracle(Access.MODEL)
    return exact_gradient(oracle, torch.tensor(x, dtype=torch.float64), None, reaction=True).gradient.numpy()


@pytest.mark.parametrize(("temperature", "beta", "g1", "g2", "mean", "norm", "mean_67"), FOUR_ROOMS_AT_ZERO)
def test_four_rooms_at_zero(temperature: float, beta: float, g1: float, g2: float, mean: float, norm: float, mean_67: float) -> None:
    follower, x = se.Soft(temperature), np.zeros(105)
    game = se.game("four_rooms-v0", preset="hpgd", beta=beta)
    scored = se.evaluate(game, x, follower=follower)
    np.testing.assert_allclose(scored.per_context, [g1, g2], atol=1e-5)
    assert scored.leader_return == pytest.approx(mean, abs=1e-5)
    slope = gradient(game, x, follower)
    assert np.linalg.norm(slope) == pytest.approx(norm, abs=1e-6)
    target = game.layout.cells.index((8, 4))  # type: ignore[union-attr]
    assert np.argmax(np.abs(slope)) == target, "the largest component is the target cell"
    assert slope[target] < 0, "make the target cheaper"
    default_kernel = se.game("four_rooms-v0", beta=beta)
    assert se.evaluate(default_kernel, x, follower=follower).leader_return == pytest.approx(mean_67, abs=1e-5)


@pytest.mark.parametrize(("temperature", "g1", "g2", "v1", "v2"), FOUR_ROOMS_WITHOUT_PENALTIES)
def test_four_rooms_without_penalties(temperature: float, g1: float, g2: float, v1: float, v2: float) -> None:
    x = np.zeros(105)
    x[-1] = 800.0  # all budget unused
    scored = se.evaluate(se.game("four_rooms-v0", preset="hpgd"), x, follower=se.Soft(temperature))
    np.testing.assert_allclose(scored.per_context, [g1, g2], atol=1e-4)
    np.testing.assert_allclose(scored.follower_values[:, 0], [v1, v2], atol=1e-4)


def test_four_rooms_presets() -> None:
    """The single-goal preset starts at -.7406 and -.7257: read off figures of Kudo et al. 2026, whose start is N(0, .01^2), not 0."""
    game = se.game("four_rooms-v0", preset="bchg")
    assert game.contexts == ("G1",)
    for temperature, value in ((0.001, -0.7406), (0.003, -0.7257)):
        assert se.evaluate(game, np.zeros(105), follower=se.Soft(temperature)).leader_return == pytest.approx(value, abs=2e-4)
    default = se.game("four_rooms-v0")
    assert (default.beta, default.slip, default.default_follower) == (3.0, 0.33, se.Soft(0.003))  # type: ignore[attr-defined]


@pytest.mark.parametrize(("R", "horizon", "discount", "optimum"), TOY3_OPTIMA)
def test_toy3_optima(R: int, horizon: int | None, discount: float | None, optimum: float) -> None:
    game = se.game("toy3-v0", R=R)

    def loss(p: float) -> float:
        return -float(se.evaluate(game, toy3_commitment(p), horizon=horizon, leader_discount=discount).leader_return)

    grid = min(np.arange(0.01, 1, 0.01), key=loss)  # the objective has plateaus and cliffs: bracket first
    found = minimize_scalar(loss, bounds=(grid - 0.01, grid + 0.01), method="bounded", options={"xatol": 1e-7})
    assert -found.fun == pytest.approx(optimum, abs=1e-3)


def test_toy3_gradient() -> None:
    logits, slope = TOY3_GRADIENT
    x = np.zeros(6)
    x[1::2] = logits
    found = gradient(se.game("toy3-v0", R=1), x)
    assert found[3] == pytest.approx(slope, abs=1e-4)
    assert np.abs(np.delete(found, [2, 3])).max() < 1e-10, "only the key state's logits matter"


def test_conitzer_and_sandholm() -> None:
    game, even, known = se.game("bimatrix-v0"), np.zeros(2), MATRIX_GAMES["conitzer"]
    assert se.evaluate(game, even, follower=se.Hard("strong")).leader_return == pytest.approx(known["strong"])
    assert se.evaluate(game, even, follower=se.Hard("weak")).leader_return == pytest.approx(known["weak_there"])
    for row, value in ((0, known["pure_nash"][0]), (1, known["pure"])):
        pure = np.full(2, -800.0)
        pure[row] = 0.0
        assert se.evaluate(game, pure, follower=se.Hard("strong")).leader_return == pytest.approx(value)
    barely = np.array([np.log(0.499 / 0.501), 0.0])  # a margin of .001 makes the good answer strict
    assert se.evaluate(game, barely, follower=se.Hard("weak")).leader_return == pytest.approx(2.499, abs=1e-9)
