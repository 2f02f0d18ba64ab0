"""Upper bounds: never below a value that anybody found, and equal to what is known."""

from __future__ import annotations

from math import factorial
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import stackelberg_envs as se
from baselines.bench import best, results_file
from baselines.studies import brackets
from stackelberg_envs.bounds import BoundError
from stackelberg_envs.games.random_markov_game import RandomMarkovGame
from stackelberg_envs.games.warehouse import Warehouse
from stackelberg_envs.planning.interval_answers import best_mixture
from stackelberg_envs.planning.matrix_games import strong_commitment
from stackelberg_envs.planning.simplex_grid import simplex_grid
from stackelberg_envs.policy_bound import policy_bound

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 3))
"""States, and actions of leader and follower."""
FOLLOWERS = [se.Hard("strong"), se.Soft(0.02), se.Soft(0.3), se.Quantal(0.02), se.Quantal(0.3)]


@pytest.mark.parametrize(("size", "depth"), [(1, 1), (2, 2), (3, 2), (4, 1), (5, 0)])
def test_cells_have_equal_volumes_that_fill_the_simplex_and_children_lie_in_their_cell(size: int, depth: int) -> None:
    grid = simplex_grid(size, depth)
    for level, cells in enumerate(grid.cells):
        corners = grid.vertices[cells]
        volumes = np.abs(np.linalg.det(corners)) / factorial(size - 1)
        assert len(cells) == (4 << level) ** (size - 1)
        assert volumes == pytest.approx(1 / factorial(size - 1) / len(cells), rel=1e-9)
    for level, children in enumerate(grid.children):
        corners, parts = grid.vertices[grid.cells[level]], grid.vertices[grid.cells[level + 1][children]]
        shares = np.linalg.solve(np.swapaxes(corners, 1, 2)[:, None], np.swapaxes(parts, 2, 3))
        assert shares.min() > -1e-9


@settings(deadline=None, max_examples=20)
@given(SEEDS, SIZES, st.sampled_from(["policy", "action"]), st.sampled_from(FOLLOWERS))
def test_no_policy_beats_the_policy_bound(
    seed: int, sizes: tuple[int, int, int], sees: Literal["policy", "action"], follower: se.Follower
) -> None:
    states, a, b = sizes
    game = RandomMarkovGame(states=states, leader_actions=a, follower_actions=b, branching=1 + seed % states, seed=seed, follower_sees=sees)
    rng = np.random.default_rng(seed)
    xs = np.clip(rng.normal(size=(12, game.dimension)) * rng.choice([1, 20], size=(12, 1)), -20, 20)
    found = max(float(se.evaluate(game, x, follower=follower).leader_return) for x in xs)
    bounds = [policy_bound(game, follower, boxes=boxes, gap=0.0, strict=True) for boxes in (1, 60, 300)]
    values = [bound.value for bound in bounds if bound is not None]
    assert found <= values[-1] + 1e-7
    assert np.diff(values).max() <= 1e-9  # more boxes only help
    assert values[0] <= (se.upper_bound(game) or np.inf) + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_of_one_state_the_search_ends_at_the_strong_equilibrium_of_the_matrix_game(seed: int) -> None:
    game = RandomMarkovGame(states=1, leader_actions=3, follower_actions=3, branching=1, seed=seed)
    mdp = game.problems(np.zeros(game.dimension), 0)[0]
    exact = strong_commitment(mdp.leader_reward[0], mdp.follower_reward[0]).value / (1 - game.discount)
    searched = policy_bound(game, se.Hard("strong"), found=exact, gap=0.02, boxes=20_000)
    assert searched is not None
    assert exact - 1e-7 <= searched.value <= exact / 0.98 + 1e-7


def test_of_two_states_the_search_ends_at_the_best_policy_of_a_fine_grid() -> None:
    game = se.game("random_markov_game-v0", states=2, leader_actions=2, follower_actions=2, branching=2, seed=1)
    grid = np.linspace(-8, 8, 40)
    found = max(float(se.evaluate(game, np.array([0, a, 0, b])).leader_return) for a in grid for b in grid[::2])
    searched = policy_bound(game, found=found, gap=0.03, boxes=20_000)
    assert searched is not None
    assert found <= searched.value <= found / 0.97 + 1e-9


@pytest.mark.parametrize(("reward", "found"), [(1.0, 34.9926), (2.0, 39.9402)])
def test_a_follower_who_sees_actions_has_values_that_some_mixture_of_them_has(reward: float, found: float) -> None:
    """In toy3 the leader would send every follower back who comes; none would come.  Without mixtures 30,000 boxes left 50.19."""
    searched = policy_bound(se.game("toy3-v0", R=reward), found=found, gap=0.05, boxes=100)
    assert searched is not None
    assert searched.left == 0
    assert found <= searched.value <= found / 0.95


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 4))
def test_mixtures_are_at_least_the_optimum_of_their_linear_programme(seed: int, actions: int) -> None:
    """And the optimum itself where values are known, up to the target's width."""
    rng = np.random.default_rng(seed)
    worth, low = rng.normal(size=(2, 5, actions))
    width = rng.choice([0.0, 0.3], size=(5, actions)) * rng.random((5, actions))
    values, middle = np.stack([low, low + width], axis=-1), low.mean(axis=1)
    targets = np.stack([middle - 0.05, middle + 0.05], axis=-1)
    bound, shares = best_mixture(worth, values, targets)
    for i in range(5):
        matrix, limits = np.stack([values[i, :, 0], -values[i, :, 1]]), np.array([targets[i, 1], -targets[i, 0]])
        exact = linprog(-worth[i], A_ub=matrix, b_ub=limits, A_eq=np.ones((1, actions)), b_eq=[1.0])
        assert bound[i] >= -exact.fun - 1e-9
        assert bound[i] == pytest.approx(shares[i] @ worth[i], abs=1e-12)
        one = [-linprog(-worth[i], A_ub=matrix[[k]], b_ub=limits[[k]], A_eq=np.ones((1, actions)), b_eq=[1.0]).fun for k in range(2)]
        assert bound[i] == pytest.approx(min(one), abs=1e-9)
    assert shares.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("game", "follower", "why"),
    [
        ("four_rooms-v0", None, "several contexts"),
        ("subsidy-v0", None, "more than the leader's policy"),
        ("random_markov_game-v0", se.Truncated(0.1, 3), "not Hard, Soft or Quantal"),
        ("toll_network-v0", None, "not a sum"),
    ],
)
def test_what_has_no_policy_bound(game: str, follower: se.Follower | None, why: str) -> None:
    assert policy_bound(se.game(game), follower) is None
    with pytest.raises(BoundError, match=why):
        policy_bound(se.game(game), follower, strict=True)


@pytest.mark.parametrize("follower", [se.Soft(0.005), se.Soft(0.05), se.Hard("strong")])
def test_no_spread_of_penalties_draws_a_walker_further_than_the_budget_bound(follower: se.Follower) -> None:
    game = se.game("four_rooms-v0", preset="bchg", beta=0.0)
    bound = se.upper_bounds(game, follower)
    rng = np.random.default_rng(0)
    xs = [np.zeros(game.dimension), *(20 * np.eye(game.dimension)[rng.choice(game.dimension, size=6, replace=False)])]
    returns = [float(se.evaluate(game, x, follower=follower).leader_return) for x in xs]
    assert max(returns) <= bound["game against follower"] < bound["cooperative"]


@pytest.mark.parametrize("preset", ["random", "districts", "types"])
def test_coverage_bounds_are_the_strong_equilibrium_and_nearly_what_soft_attackers_leave(preset: str) -> None:
    game = se.game("security-v0", preset=preset)
    hard, soft, cold = (game.upper_bound_against(follower) for follower in (se.Hard("weak"), se.Soft(0.1), se.Soft(1e-3)))
    rng = np.random.default_rng(1)
    xs = rng.normal(size=(40, game.dimension)) * 3
    assert max(float(se.evaluate(game, x, follower=se.Soft(0.1)).leader_return) for x in xs) <= soft
    assert max(float(se.evaluate(game, x, follower=se.Hard("strong")).leader_return) for x in xs) <= hard + 1e-9
    if len(game.contexts) == 1:
        assert cold == pytest.approx(hard, abs=0.02)  # an attacker with next to no entropy


def test_layouts_are_bounded_by_quickest_trips() -> None:
    for seed in range(2):
        sizes: dict[str, Any] = {"rows": 4, "columns": 4, "candidates": 5, "shelves": 2, "seed": seed}
        binary, relaxed = Warehouse(variant="binary", **sizes), Warehouse(variant="relaxed", **sizes)
        layouts = [binary.commitment((i, j)) for i in range(5) for j in range(i)]
        exact = max(float(se.evaluate(binary, x, follower=se.Hard()).leader_return) for x in layouts)
        assert binary.upper_bound() == pytest.approx(exact, abs=1e-9)
        mixed = np.random.default_rng(seed).normal(size=(5, 5))
        assert max(float(se.evaluate(relaxed, x).leader_return) for x in mixed) <= relaxed.upper_bound()
        assert exact <= relaxed.upper_bound() + 1e-9


def test_every_best_known_value_has_its_bounds_recorded_and_is_below_them() -> None:
    recorded = results_file.read(best.BOUNDS)
    known = best.read_best(best.COMMITTED)
    assert set(recorded) == set(known)
    for key, line in recorded.items():
        for bound in line["bounds"].values():
            assert known[key].leader_return <= bound + 1e-6 * (1 + abs(bound)), key


def test_recorded_bounds_are_what_the_search_proves() -> None:
    entries = [entry for entry in best.read_best(best.COMMITTED).values() if entry.world.arguments == {"seed": 2005}]
    (line,) = [brackets.bracket(entry, 200) for entry in entries]
    recorded = results_file.read(best.BOUNDS)[line["id"]]["bounds"]
    assert entries[0].leader_return <= recorded["policies"] <= line["bounds"]["policies"] <= line["bounds"]["cooperative"]
