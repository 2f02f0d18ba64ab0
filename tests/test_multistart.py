"""Many local searches: the right value, the good basin, and bounds that nothing beats."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box
from hypothesis import given
from small_games import SMALLER

import solvers
import stackelberg_envs as se
from baselines.bench.pieces import Without
from stackelberg_envs.bounds import BoundError
from stackelberg_envs.games.bimatrix import CONITZER_LEADER
from stackelberg_envs.testing import random_games, with_commitments

games_and_points = with_commitments(random_games())


def test_one_search_crosses_into_the_good_basin() -> None:
    """From a standard start, where plain ascent ends at .39 (Thoma et al., Table 1); and its value is the referee's."""
    game, follower = se.game("four_rooms-v0", preset="hpgd"), se.Soft(0.003)
    solution = solvers.solve(game, "multistart", follower=follower, budget=1, seed=1001)
    assert solution.leader_return > 0.7
    assert solution.history[-1]["search_return"] == pytest.approx(solution.leader_return, abs=1e-10)
    assert solution.cost.commitments <= 200


def test_the_best_is_kept() -> None:
    """What is reported never falls, while single searches end anywhere."""
    game, follower = se.game("four_rooms-v0", preset="hpgd"), se.Soft(0.003)
    solution = solvers.solve(game, "multistart", follower=follower, budget=600, seed=2, reports=600, evaluations=60)
    scores = [row["leader_return"] for row in solution.history]
    assert scores == sorted(scores)
    ends = [row["search_return"] for row in solution.history[1:]]
    assert max(ends) == pytest.approx(scores[-1], abs=1e-9)
    assert min(ends) < max(ends) - 0.1


def test_multistart_reproduces_and_resumes() -> None:
    """Bit for bit: twice the same; and stopped in the middle, pickled, and resumed."""

    def go(budget: int, **more: Any) -> solvers.Solution:
        return solvers.solve(se.game("four_rooms-v0"), "multistart", budget=budget, seed=7, reports=10, evaluations=15, **more)

    whole, again, half = go(80), go(80), go(40)
    np.testing.assert_array_equal(whole.x, again.x)
    resumed = go(80, resume=pickle.loads(pickle.dumps(half.checkpoint)))
    np.testing.assert_array_equal(resumed.x, whole.x)
    assert {**resumed.history[-1], "seconds": 0} == {**whole.history[-1], "seconds": 0}
    assert half.cost.commitments < whole.cost.commitments < 80 + 20


def test_multistart_stays_in_the_leaders_space() -> None:
    game = se.game("bimatrix-v0")
    game.leader_space = Box(-0.2, 0.2, game.leader_space.shape, np.float64)
    solution = solvers.solve(game, "multistart", budget=50)
    assert np.abs(solution.x).max() == pytest.approx(0.2), "the optimum lies outside"
    with pytest.raises(solvers.Declined, match="multistart differentiates a soft response"):
        solvers.solve(game, "multistart", follower=se.Hard())
    with pytest.raises(ValueError, match="positive scales"):
        solvers.build("multistart", scales=[0.0])
    for scales in (0.1, [0.1, "a"], [True]):
        with pytest.raises(TypeError, match="scales is a list, each entry a number"):
            solvers.build("multistart", scales=scales)
    assert solvers.build("multistart", scales=[1, 2]) == solvers.build("multistart", scales=(1.0, 2.0))


def test_cooperative_values() -> None:
    """By hand: one shot pays at most the largest entry, and nothing is known where the objective is not a sum over steps."""
    game = se.game("bimatrix-v0")
    assert se.cooperative_value(game) == pytest.approx(np.max(CONITZER_LEADER))
    game.additive = False
    assert se.cooperative_value(game) is None
    moves = Without(se.game("contract_tree-v0"), "leader_cost")
    for without, why in (
        (game, "its objective is not a sum of rewards over steps"),
        (se.game("lq_gain-v0"), "its worlds have no tables"),
        (se.game("toll_network-v0", network="braess"), "its rewards move with what a crowd does"),
        (moves, "its dynamics, or the leader's rewards before leader_cost, move"),
    ):
        with pytest.raises(BoundError, match=f"{without.name} has no cooperative value: {why}"):
            se.cooperative_value(without, strict=True)


@given(games_and_points)
def test_no_commitment_beats_cooperation(pair: tuple[se.StackelbergGame, np.ndarray]) -> None:
    game, x = pair
    bound = se.cooperative_value(game)
    assert bound is None or (np.asarray(se.evaluate(game, x).leader_return) <= bound + 1e-9).all()


@pytest.mark.parametrize("id", se.games())
def test_no_game_beats_cooperation(id: str) -> None:
    game = se.game(id, **SMALLER.get(id, {}))
    cooperative, bound = se.cooperative_value(game), se.upper_bound(game)
    if not game.tabular or game.crowd or game.log_kernel is not None:
        assert cooperative is None, "without tables, in a crowd, or where the leader moves the dynamics, there is no bound of this kind"
    if game.upper_bound is None:
        assert bound == cooperative
    bounds = se.upper_bounds(game, boxes=100)
    assert bound is None or min(bounds.values()) <= bound
    for seed in range(5 if bounds else 0):
        x = 3 * np.random.default_rng(seed).normal(size=game.commitment_shape)
        assert float(se.evaluate(game, x).leader_return) <= min(bounds.values())


def test_combinatorial_revives_what_a_softmax_has_given_up() -> None:
    """With all of the budget unused every other weight is 1e-9, and so is its gradient: a search without lifting ends where it began."""
    game, follower, start = se.game("four_rooms-v0", preset="bchg"), se.Soft(0.01), np.zeros(105)
    start[-1] = 20.0
    stuck = solvers.solve(game, "multistart", follower=follower, start=start, budget=1, evaluations=20)
    assert stuck.leader_return == pytest.approx(float(se.evaluate(game, start, follower=follower).leader_return), abs=1e-6)
    lifted = solvers.solve(game, "combinatorial", follower=follower, start=start, budget=1, kept=1, evaluations=20)
    assert lifted.leader_return > stuck.leader_return + 0.01


def test_combinatorial_reproduces_resumes_and_declines() -> None:
    game = se.game("toy3-v0")
    once = solvers.solve(game, "combinatorial", budget=120, seed=3, reports=10, kept=2, evaluations=10)
    half = solvers.solve(game, "combinatorial", budget=60, seed=3, reports=10, kept=2, evaluations=10)
    resumed = solvers.solve(game, "combinatorial", budget=120, seed=3, reports=10, kept=2, evaluations=10, resume=half.checkpoint)
    assert np.array_equal(once.x, resumed.x)
    assert once.leader_return > 34.9  # the published optimum is 34.99
    with pytest.raises(solvers.Declined, match="combinatorial differentiates a soft response"):
        solvers.solve(game, "combinatorial", follower=se.Hard())
    with pytest.raises(ValueError, match="depth"):
        solvers.build("combinatorial", depth=0.0)
