"""Lists of successors give what a dense kernel gives: plans, scores, gradients, episodes; on every game that fits both."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from solvers.needs import needs_smooth_followers
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.hard_policy_iteration import hard_policy_iteration
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play.rollouts import simulate
from stackelberg_envs.play.steps import TabularStepper
from stackelberg_envs.processes import chains
from stackelberg_envs.processes.mdp import decision_problem, joint_policy, stack
from stackelberg_envs.processes.successor_lists import SuccessorLists
from stackelberg_envs.processes.successors import Successors
from stackelberg_envs.processes.transitions import DenseTransition
from stackelberg_envs.testing import check_env, check_game, random_games
from stackelberg_envs.testing.modified_games import GameWithIneffectiveFollowers, GameWithOtherFollowerRewards, GameWithSuccessorLists
from stackelberg_envs.views.parallel import StackelbergParallel


@pytest.fixture(params=["factorised", "iterative"])
def solved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Few states are factorised, in lists too; here they are also solved as many are."""
    if request.param == "iterative":
        monkeypatch.setattr(chains, "DIRECT", 0)
    return request.param


TABULAR = [
    ("four_rooms-v0", {}),
    ("toy3-v0", {}),
    ("random_markov_game-v0", {}),
    ("random_markov_game-v0", {"preset": "penalty", "states": 20}),
    ("random_markov_game-v0", {"influence": "reward", "follower_sees": "action"}),
    ("bimatrix-v0", {}),
    ("zero_sum_incentive-v0", {"states": 4, "actions": (2, 3)}),
    ("sentinel_intruder-v0", {"size": 3}),
    ("escape_room-v0", {}),
    ("contract_tree-v0", {}),
    ("security-v0", {"preset": "districts"}),
    ("tax_design-v0", {"preset": "legacy", "consumers": 2, "grid": 11, "hours": 2, "spendings": 3}),
    ("warehouse-v0", {"variant": "relaxed", "rows": 3, "columns": 4, "candidates": 4, "shelves": 2, "pickers": 2}),
    ("preference-v0", {}),
]


@pytest.mark.parametrize(("id", "arguments"), TABULAR, ids=str)
def test_scores_and_gradients_of_every_game(id: str, arguments: dict[str, Any], solved: str) -> None:
    game = se.game(id, **arguments)
    listed = GameWithSuccessorLists(game)
    listed.objective = game.objective  # type: ignore[method-assign]  # preference-v0 has its own
    x = 0.5 * np.random.default_rng(0).normal(size=game.commitment_shape)
    scores = [se.evaluate(g, x) for g in (game, listed)]
    np.testing.assert_allclose(scores[1].leader_return, scores[0].leader_return, atol=1e-8)
    np.testing.assert_allclose(scores[1].follower_returns, scores[0].follower_returns, atol=1e-8)
    assert float(scores[1].follower_gap) < 1e-7 + float(scores[0].follower_gap)
    over = [se.evaluate(g, x, horizon=7, leader_discount=1.0).leader_return for g in (game, listed)]
    np.testing.assert_allclose(over[1], over[0], atol=1e-8)
    bounds = [se.cooperative_value(g) for g in (game, listed)]
    assert bounds[1] == (None if bounds[0] is None else pytest.approx(bounds[0], abs=1e-7))
    oracles = [RepeatedGame(g).oracle(se.Access.MODEL) for g in (game, listed)]
    if needs_smooth_followers("implicit", oracles[0]) is None:
        exact, other = (exact_gradient(oracle, torch.tensor(x), None, reaction=True).gradient.numpy() for oracle in oracles)
        np.testing.assert_allclose(other, exact, atol=1e-7 * (1 + np.abs(exact).max()))


@given(random_games(), st.integers(0, 99), st.booleans())
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_operations(solved: str, game: se.StackelbergGame, seed: int, batched: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, game.dimension) if batched else game.dimension)
    (one,) = game.problems(x)
    other = replace(one, transition=SuccessorLists.of(one.transition))
    s, a, b = one.sizes
    assert other.sizes == one.sizes
    assert other.transition.shape == one.transition.shape
    assert (other.transition.requires_grad, other.transition.ndim) == (False, one.transition.ndim)
    np.testing.assert_array_equal(other.transition.dense(), one.transition)
    np.testing.assert_array_equal(other.transition[s - 1, 0, b - 1], one.transition[s - 1, 0, b - 1])
    v, policy = rng.normal(size=(*x.shape[:-1], s)), rng.dirichlet(np.ones(b), (*x.shape[:-1], s, a))
    weights, blend = joint_policy(one, policy), rng.dirichlet(np.ones(b), (s, a, 2))
    for f in (
        lambda p: p.expect(v),
        lambda p: p.push_forward(weights),
        lambda p: p.markov_chain(weights).expect(v),
        lambda p: p.markov_chain(weights).push_forward(v),
        lambda p: p.markov_chain(weights).dense(),
        lambda p: p.mixture(blend).dense(),
        lambda p: p.mean_over_leader(one.leader_policy).dense(),
        lambda p: p.join_actions().dense(),
        lambda p: p.average_actions().dense(),
    ):
        np.testing.assert_allclose(f(other.kernel), f(one.kernel), atol=1e-13)
    seen = [decision_problem(mdp, one.follower_reward).transition.dense() for mdp in (one, other)]
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-13)
    soft, same = soft_policy_iteration(one, 0.2), soft_policy_iteration(other, 0.2)
    np.testing.assert_allclose(same.values, soft.values, atol=1e-9)
    assert same.bound < 1e-8
    hard = [hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount).action_values for mdp in (one, other)]
    np.testing.assert_allclose(hard[1], hard[0], atol=1e-9)
    together = stack([other, other])
    assert together.transition.probabilities.shape[0] == 2


@given(st.integers(0, 99))
@settings(deadline=None, max_examples=10)
def test_actions_that_share_their_lists(seed: int) -> None:
    """Every mixture of axes of size 1 in the table of next states is the kernel in which they are written out."""
    rng = np.random.default_rng(seed)
    s, a, b, k = rng.integers(1, 5, size=4)
    p = rng.dirichlet(np.ones(k), (s, a, b))
    v, weights, pi = rng.normal(size=s), rng.dirichlet(np.ones(b), (s, a)), rng.dirichlet(np.ones(a), s)
    blend = rng.dirichlet(np.ones(b), (s, a, 3))
    operations = (
        lambda q: q.expect(v),
        lambda q: q.push_forward(weights),
        lambda q: q.markov_chain(weights).expect(v),
        lambda q: q.mixture(blend).dense(),
        lambda q: q.mean_over_leader(pi).dense(),
        lambda q: q.join_actions().dense(),
    )
    for leads, follows in ((1, 1), (a, 1), (1, b), (a, b)):
        table = rng.integers(s, size=(s, leads, follows, k))
        short, long = SuccessorLists(table, p), SuccessorLists(np.broadcast_to(table, (s, a, b, k)), p)
        kernel = long.dense()
        np.testing.assert_allclose(short.dense(), kernel, atol=1e-14)
        np.testing.assert_allclose(short[s - 1, a - 1, b - 1], kernel[s - 1, a - 1, b - 1], atol=1e-14)
        for f in operations:
            np.testing.assert_allclose(f(short), f(DenseTransition(kernel)), atol=1e-13)
            np.testing.assert_allclose(f(long), f(DenseTransition(kernel)), atol=1e-13)


@given(random_games(), st.integers(0, 99))
@settings(deadline=None, max_examples=15)
def test_the_same_noise_is_the_same_episode(game: se.StackelbergGame, seed: int) -> None:
    """Batched, compiled or not, and step by step."""
    x = np.random.default_rng(seed).normal(size=game.dimension)
    (one,), (other,) = game.problems(x), GameWithSuccessorLists(game).problems(x)
    policy, first = soft_policy_iteration(one, 0.3).policy, np.zeros(20, dtype=np.int64)
    for noise in (lambda: np.random.default_rng(seed), lambda: lambda t, rows: np.random.default_rng(seed + t).random((20, 3))[rows]):
        played, same = (simulate(mdp, policy, first, noise(), 30) for mdp in (one, other))
        for field in vars(same):
            np.testing.assert_array_equal(getattr(played, field), getattr(same, field))
    samplers, rng = (TabularStepper(one), TabularStepper(other)), np.random.default_rng(seed)
    s, a, b = one.sizes
    for noise in range(30):
        at = int(rng.integers(s)), int(rng.integers(a)), (int(rng.integers(b)),)
        steps = [sampler.step(*at, np.random.default_rng(noise)) for sampler in samplers]
        assert steps[0] == steps[1]


def test_it_passes_the_contracts_and_the_exact_solvers_take_it(solved: str) -> None:
    game = se.game("random_markov_game-v0", states=3, follower_actions=2, follower_sees="policy")
    listed = GameWithSuccessorLists(game)
    check_game(listed)
    check_env(StackelbergParallel(listed), kernel_steps=1500)
    x = np.linspace(-1, 1, game.dimension)
    for changed in (lambda same: same, GameWithIneffectiveFollowers, GameWithOtherFollowerRewards):
        for follower in (se.Soft(0.2), se.Hard(), se.EpsilonOptimal(0.1), se.MirrorDescent(0.2, 3, 1.0)):
            scores = [se.evaluate(changed(g), x, follower=follower).leader_return for g in (game, listed)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    found: dict[str, list[np.ndarray]] = {}
    for g in (game, listed):
        for name in ("implicit", "naive", "msobirl", "penalty", "two_stage", "zeroth_order", "bchg"):
            found.setdefault(name, []).append(solvers.solve(g, name, budget=8, seed=1).x)
    for name, (one, other) in found.items():
        np.testing.assert_allclose(one, other, atol=1e-7, err_msg=name)


def test_iterative_solves_differentiate(solved: str) -> None:
    """A return through BiCGSTAB has the derivatives of the dense solve, in policy and kernel, NumPy being none the wiser."""
    (mdp,) = se.game("random_markov_game-v0", states=6).problems(np.zeros(18))
    lists = SuccessorLists.of(mdp.transition)
    slopes = []
    for layout in ("dense", "lists"):
        policy = torch.full((6, 3, 3), 1 / 3, dtype=torch.float64, requires_grad=True)
        p = torch.tensor(lists.probabilities, requires_grad=True)
        kernel = SuccessorLists(lists.successors, p)
        there = replace(mdp.map(torch.tensor), transition=kernel if layout == "lists" else kernel.dense())
        value = (there.initial * policy_value(there, policy, there.leader_reward, 0.9)).sum()
        slopes.append([value.detach(), *torch.autograd.grad(value, (policy, p))])
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


def test_episodes_that_must_end(solved: str) -> None:
    """Discount 1: fine where every state leads to the end, however slowly; an error where one does not."""
    states = 50
    table = np.stack([np.arange(states), np.minimum(np.arange(states) + 1, states - 1)], axis=-1)[:, None, None]
    p = np.tile([0.5, 0.5], (states, 1, 1, 1))
    p[-1] = [0.25, 0.25]  # half the time the last state ends
    flat = np.ones((states, 1, 1))
    mdp = se.InducedMDP(np.ones((states, 1)), SuccessorLists(table, p), -flat, flat, np.eye(states)[0], 1.0, 1.0)
    value = policy_value(mdp, flat, mdp.leader_reward, 1.0)
    np.testing.assert_allclose(value, 2 * np.arange(states, 0, -1), rtol=1e-9)
    np.testing.assert_allclose(soft_policy_iteration(mdp, 0.1).values, -value, rtol=1e-9)
    p = p.copy()
    p[-1] = 0.5
    with pytest.raises(PlanningError, match="never leads to the end"):
        policy_value(replace(mdp, transition=SuccessorLists(table, p)), flat, mdp.leader_reward, 1.0)


def test_what_does_not_fit_is_refused() -> None:
    p = np.full((2, 1, 3, 2), 0.5)
    kernel = SuccessorLists(np.array([0, 1]).reshape(1, 1, 1, 2).repeat(2, axis=0), p)
    with pytest.raises(TypeError, match="no array"):
        np.asarray(kernel)
    for table, message in (
        (np.zeros((2, 1, 2, 2), dtype=int), "needs next states"),
        (np.zeros((2, 1, 3, 1), dtype=int), "needs next states"),
        (np.zeros((2, 3, 2), dtype=int), "needs next states"),
        (np.full((2, 1, 3, 2), 2), "0 to 1"),
        (np.full((2, 1, 3, 2), -1), "0 to 1"),
        (np.zeros((2, 1, 3, 2)), "integers"),
    ):
        with pytest.raises(ValueError, match=message):
            SuccessorLists(table, p)  # type: ignore[arg-type]
    flat = np.ones((2, 1, 3))
    mdp = se.InducedMDP(np.ones((2, 1)), kernel, flat, flat, np.array([1.0, 0.0]), 0.9, 0.9)
    with pytest.raises(ValueError, match="laid out differently"):
        stack([mdp, replace(mdp, transition=kernel.dense())])
    with pytest.raises(PlanningError, match="did not converge"):
        soft_policy_iteration(replace(mdp, follower_reward=np.nan * flat), 0.1)
    again = pickle.loads(pickle.dumps(kernel))
    assert again.successors == kernel.successors
    assert hash(again.successors) == hash(kernel.successors)
    assert copy.deepcopy(kernel).successors is kernel.successors
    assert Successors(np.zeros((2, 1, 1, 1), dtype=int)) != kernel.successors
