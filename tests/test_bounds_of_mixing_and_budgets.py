"""Bounds of processes that mix and of budgets: never below what a commitment earns, and exact where nothing is relaxed."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stackelberg_envs as se
from stackelberg_envs.bounds import BoundError
from stackelberg_envs.games.random_markov_game import RandomMarkovGame
from stackelberg_envs.mixing_bound import mixing_bound
from stackelberg_envs.planning.budget_bound import Penalised, budget_bound
from stackelberg_envs.planning.mixing import Mixing
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.worlds.mdp import InducedMDP

Sees = Literal["policy", "action"]


def dense_game(seed: int, sees: Sees, states: int, actions: tuple[int, int]) -> RandomMarkovGame:
    a, b = actions
    return RandomMarkovGame(
        states=states,
        leader_actions=a,
        follower_actions=b,
        branching=states,
        weights="uniform",
        conflict=0.3,
        follower_sees=sees,
        discount=0.8,
        seed=seed,
    )


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["policy", "action"]), st.integers(1, 5), st.sampled_from([0.1, 0.3]))
def test_no_policy_beats_the_mixing_bound(seed: int, sees: Sees, states: int, temperature: float) -> None:
    game = dense_game(seed, sees, states, (2, 2))
    rng = np.random.default_rng(seed)
    xs = np.clip(rng.normal(size=(12, game.dimension)) * rng.choice([1, 20], size=(12, 1)), -20, 20)
    found = max(float(se.evaluate(game, x, follower=se.Soft(temperature)).leader_return) for x in xs)
    bound = mixing_bound(game, se.Soft(temperature), strict=True)
    assert bound is not None
    assert found <= bound + 1e-7
    if sees == "action":  # else mixtures are found within tolerances
        assert bound <= (se.cooperative_value(game) or np.inf) + 1e-6


@pytest.mark.parametrize("sees", ["policy", "action"])
def test_of_one_state_nothing_tilts_and_the_mixing_bound_is_the_best_mixture(sees: Sees) -> None:
    game = dense_game(3, sees, 1, (2, 3))
    mdp = game.problems(np.zeros(2), 0)[0]
    mixtures = np.linspace(0, 1, 2001)[:, None] * np.array([1.0, -1.0]) + np.array([0.0, 1.0])
    follower, leader = np.asarray(mdp.follower_reward)[0], np.asarray(mdp.leader_reward)[0]
    own = mixtures @ follower if sees == "policy" else follower
    answer = np.exp((own - own.max(axis=-1, keepdims=True)) / 0.05)
    answer /= answer.sum(axis=-1, keepdims=True)
    earned = ((mixtures @ leader) * answer).sum(axis=1) if sees == "policy" else (leader * answer).sum(axis=1)
    exact = float(earned.max()) / (1 - game.discount)
    bound = mixing_bound(game, se.Soft(0.05), strict=True)
    assert bound is not None
    assert exact - 1e-9 <= bound <= exact + (0.02 * np.ptp(leader) / (1 - game.discount) if sees == "policy" else 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_values_lie_in_the_box_and_tilts_are_no_larger_together_than_the_coupling_says(seed: int) -> None:
    game = dense_game(seed, "action", 8, (2, 3))
    rng = np.random.default_rng(seed)
    relaxation = Mixing(game.problems(np.zeros(game.dimension), 0)[0], 0.1)
    limit = relaxation.coupling(np.ones((8, 2)))
    for x in rng.normal(size=(10, game.dimension)) * 5:
        mdp = game.problems(x, 0)[0]
        plan = soft_policy_iteration(mdp, 0.1)
        w = np.asarray(plan.values)
        d = w - game.discount * w.mean() - relaxation.centre
        assert (np.abs(d) <= relaxation.radius + 1e-6).all()
        tilts = game.discount * relaxation.centred @ d
        joint = np.asarray(mdp.leader_policy)[..., None] * np.asarray(plan.policy)
        chain = np.einsum("sab,sabt->st", joint, relaxation.transition)
        visits = np.linalg.solve((np.eye(8) - game.discount * chain).T, np.asarray(mdp.initial))
        spent = visits @ (np.asarray(mdp.leader_policy) * np.ptp(tilts, axis=-1) ** 2 / 2).sum(axis=1)
        assert spent <= limit


def test_a_price_of_tilts_tightens_the_bound_where_there_are_many_states() -> None:
    game = RandomMarkovGame(preset="penalty", states=40, follower_sees="action", seed=9)
    relaxation = Mixing(game.problems(np.zeros(game.dimension), 0)[0], 0.1)
    free, priced = (relaxation.bound(price) for price in (0.0, 2.0))
    assert float(se.evaluate(game, np.zeros(game.dimension), follower=se.Soft(0.1)).leader_return) < priced < free


def test_what_has_no_mixing_bound() -> None:
    assert mixing_bound(se.game("four_rooms-v0")) is None
    with pytest.raises(BoundError, match="no entropy"):
        mixing_bound(se.game("random_markov_game-v0"), se.Hard("strong"), strict=True)


def two_ways(temperature: float, penalties: np.ndarray) -> tuple[InducedMDP, float]:
    """A walker at state 0 who goes by 1, or by 2 and 3, to 4, where it earns 1; the leader earns 1 in state 3.  Also its return."""
    after = np.array([[1, 2], [4, 1], [3, 3], [4, 2], [4, 4]])
    transition = np.zeros((5, 1, 2, 5))
    for state in range(4):
        for action, successor in enumerate(after[state]):
            transition[state, 0, action] = 0.1 / 5
            transition[state, 0, action, successor] += 0.9
    mdp = InducedMDP(
        leader_policy=np.ones((5, 1)),
        transition=transition,
        follower_reward=np.broadcast_to((np.eye(5)[4] - penalties)[:, None, None], (5, 1, 2)),
        leader_reward=np.broadcast_to(np.eye(5)[3][:, None, None], (5, 1, 2)),
        initial=np.eye(5)[0],
        follower_discount=0.9,
        leader_discount=0.9,
    )
    plan = soft_policy_iteration(mdp, temperature)
    chain = np.einsum("sb,sbt->st", np.asarray(plan.policy)[:, 0], transition[:, 0])
    return mdp, float(np.linalg.solve((np.eye(5) - 0.9 * chain).T, np.eye(5)[0])[3])


@pytest.mark.parametrize("temperature", [0.01, 0.05])
@pytest.mark.parametrize("price", [0.0, 2.0])
def test_no_spread_of_a_budget_beats_its_bound_which_is_far_below_what_no_limit_would_allow(temperature: float, price: float) -> None:
    budget, penalised, free = 0.3, np.array([False, True, True, False, False]), np.zeros(5)
    mdp = two_ways(temperature, free)[0]
    best = -np.inf
    for one in np.linspace(0, budget, 31):
        for other in np.linspace(0, budget - one, 4):
            spent = one + other
            induced, earned = two_ways(temperature, np.array([0.0, one, other, 0.0, 0.0]))
            plan = soft_policy_iteration(induced, temperature)
            chain = np.einsum("sb,sbt->st", np.asarray(plan.policy)[:, 0], np.asarray(induced.transition)[:, 0])
            visits = np.linalg.solve((np.eye(5) - 0.9 * chain).T, np.eye(5)[0])
            best = max(best, earned - price * spent * float(visits[4]))
    cost = price * np.broadcast_to(np.eye(5)[4][:, None, None], (5, 1, 2))
    bound = budget_bound([Penalised(mdp, np.asarray(mdp.leader_reward), penalised, cost)], budget, temperature)
    anything = soft_policy_iteration(replace(mdp, follower_reward=np.asarray(mdp.leader_reward)), 1e-4)
    assert best <= bound + 1e-9
    assert bound <= 0.5 * float(np.asarray(anything.values)[0])
