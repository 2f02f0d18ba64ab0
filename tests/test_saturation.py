"""Where commitments lose their derivative, which games say so, and gradient methods that come out of there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from small_games import SMALLER

import solvers
import stackelberg_envs as se
from stackelberg_envs.commitments import Saturation
from stackelberg_envs.testing.small_game import SmallGame

STUCK = {0: 16.16, 2: 16.61, 20: 16.58, 21: 16.73, 23: 16.74, 24: 20.0, 31: 16.07, 43: 15.11, 45: 16.2, 88: 19.21}
"""The ten cells that a search of Four Rooms, at temperature 0.005 and beta 1, did not give up: once the best known commitment."""
MAPS: dict[str, dict[str, Any]] = {
    "warehouse-v0": {"variant": "relaxed", "rows": 4, "columns": 5, "candidates": 4, "shelves": 2},
    "commons-v0": {"mechanism": ("tax", "quota", "penalty"), "levels": 5, "bands": 2},
}
"""Arguments with which more of a game depends on its commitment."""


def stuck() -> tuple[se.StackelbergGame, se.Soft, np.ndarray]:
    x = np.full(105, -20.0)
    x[list(STUCK)] = list(STUCK.values())
    return se.game("four_rooms-v0", preset="hpgd", beta=1.0), se.Soft(0.005), x


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor that is differentiated in a world."""
    if isinstance(value, torch.Tensor):
        if value.requires_grad:
            yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from tensors(each)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name))


def sensitivity(game: se.StackelbergGame, x: np.ndarray) -> np.ndarray:
    """How much each component moves the tables of all contexts: the size of the derivative of a few random sums of them, (n,)."""
    rng, sizes = np.random.default_rng(0), np.zeros(game.dimension)
    for context in range(len(game.contexts)):
        for _ in range(3):
            leaf = torch.from_numpy(x.copy()).requires_grad_()
            # a crowd's rewards are a function of its loads, and what the leader sets of them is the incentive
            tables = list(tensors(game.incentive(leaf, context) if game.crowd else game.problems(leaf, context)))
            total = torch.stack([(table * torch.from_numpy(rng.normal(size=tuple(table.shape)))).sum() for table in tables]).sum()
            (slope,) = torch.autograd.grad(total, leaf, allow_unused=True)
            sizes += np.abs(slope.numpy())
    return sizes


def corners(game: se.StackelbergGame) -> list[np.ndarray]:
    """Where a search may end: each component at one end of the leader's space or the other."""
    rng = np.random.default_rng(1)
    signs = [rng.choice([-1.0, 1.0], size=game.dimension) for _ in range(4)]
    return [np.where(sign > 0, game.leader_space.high, game.leader_space.low) for sign in signs]


@pytest.mark.parametrize("id", se.games())
def test_games_say_where_derivatives_are_lost(id: str) -> None:
    """A component whose effect on every table is 1e-4 of what it is at 0, and a lifted one's is not; a game that says nothing has none."""
    game = se.game(id, **{**SMALLER.get(id, {}), **MAPS.get(id, {})})
    if not (game.tabular and game.smooth):
        return
    usual = sensitivity(game, np.zeros(game.dimension)).max()
    lost = np.stack([sensitivity(game, x) < 1e-4 * usual for x in corners(game)])
    assert lost.any() == (game.saturation is not None)
    if game.saturation is not None:
        assert game.saturation.group.shape == (game.dimension,)
        lifted = np.stack([sensitivity(game, game.saturation.lift(x, 2.0)) for x in corners(game)])
        assert (lifted > 1e-4 * usual).all()


def test_a_lifted_commitment_is_the_nearest_whose_weights_are_there() -> None:
    maps = Saturation.softmax(2, 3) + Saturation.sigmoid(2) + Saturation.softplus(2) + Saturation.softmax(2)
    x = np.array([0.0, -30.0, 5.0, -20.0, 4.0, 30.0, -30.0, 30.0, -30.0, 3.0, -15.0])
    expected = [0.0, -12.0, 5.0, -7.0, 4.0, 12.0, -12.0, 30.0, -12.0, 3.0, -9.0]
    np.testing.assert_array_equal(maps.lift(x, 12.0), expected)
    np.testing.assert_array_equal(maps.lift(np.stack([x, x]), 12.0), [expected, expected])
    np.testing.assert_array_equal(maps.lift(np.array(expected), 12.0), expected)
    instruments = se.Subsidies(budget=1.0) + se.Penalties() + se.Quotas([(0, 1)], instead=0)
    kernel, rewards = np.full((2, 1, 2, 2), 0.5), np.zeros((2, 1, 2))
    game = se.from_arrays(kernel, rewards, rewards, follower_discount=0.9, instrument=instruments)
    assert game.saturation is not None
    np.testing.assert_array_equal(game.saturation.group, [0] * 5 + [-1] * 3)
    np.testing.assert_array_equal(game.saturation.high, [False] * 7 + [True])


def test_a_search_ends_where_a_cell_would_gain_and_a_lifted_one_does_not() -> None:
    """No logit has a derivative, and yet a penalty of 0.0002 more on some cell gains; a lifted search finds 1.4684 and more."""
    game, follower, x = stuck()

    def value(x: np.ndarray) -> float:
        return float(se.evaluate(game, x, follower=follower).leader_return)

    plain = solvers.solve(game, "multistart", follower=follower, start=x, budget=1, evaluations=100)
    assert plain.leader_return == pytest.approx(1.45961, abs=1e-5)
    assert plain.history[-1]["largest_slope"] < 1e-5
    weights = np.exp(plain.x - plain.x.max()) / np.exp(plain.x - plain.x.max()).sum()
    mixed = [np.log(0.999 * weights + 0.001 * one + 1e-15) for one in np.eye(105)]
    assert max(map(value, mixed)) > plain.leader_return + 1e-4
    lifted = solvers.solve(game, "multistart", follower=follower, start=x, budget=1, evaluations=100, lift=8.0)
    assert lifted.leader_return > 1.4684


def test_ascent_with_lift_leaves_where_plain_ascent_stays() -> None:
    game, follower, x = stuck()
    settings: dict[str, Any] = {"follower": follower, "start": x, "budget": 100, "reports": 1, "optimiser": "adam", "lr": 0.1}
    assert solvers.solve(game, "implicit", **settings).leader_return == pytest.approx(1.4596, abs=1e-4)
    lifted = solvers.solve(game, "implicit", lift=12.0, **settings)
    assert lifted.leader_return > 1.4684
    assert lifted.x.min() >= lifted.x.max() - 12


def test_lift_is_left_out_of_old_names_and_declined_without_logits() -> None:
    """Recorded runs are named by the repr of their solver."""
    assert "lift" not in repr(solvers.build("implicit")) + repr(solvers.build("multistart")) + repr(solvers.build("combinatorial"))
    assert "lift=12.0" in repr(solvers.build("implicit", lift=12.0))
    for name in ("implicit", "multistart"):
        with pytest.raises(solvers.Declined, match="does not say where its commitment saturates"):
            solvers.solve(SmallGame(), name, budget=1, lift=12.0)
        with pytest.raises(ValueError, match="lift"):
            solvers.build(name, lift=0.0)
