"""Fisheries: soft Markov-perfect equilibria and their certificate, closed forms, the mechanism, the planner's bound, and the gradient."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import stackelberg_envs as se
from baselines.studies import commons as study
from solvers import Declined, solve
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.games.commons import Commons
from stackelberg_envs.games.commons_stocks import FishWar, Schaefer
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning import soft_nash as planner
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.planning.soft_nash import StageEquations, soft_nash
from stackelberg_envs.processes.mdp import broadcast_over_leader_actions
from stackelberg_envs.testing.small_game import SmallGame

SOFT = se.SoftNash(0.4)
GAMES: dict[str, Any] = {
    "schaefer": lambda: Commons(levels=8, bands=2),
    "three fishers, shocks": lambda: Commons(fishers=3, levels=6, efforts=3, bands=2, noise=0.2),
    "fish war": lambda: Commons(stock="fish_war", levels=5, bands=2),
    "no symmetry, the leader acts": lambda: SmallGame(actions=(2, 3), interact=True),
    "masks, contexts, three": lambda: SmallGame(
        actions=(2, 2, 2), leader_actions=1, interact=True, follower_sees="policy", lacking=True, circumstances=2, leader_discount=0.7
    ),
    "lists, ends, unseen": lambda: SmallGame(actions=(2, 2), interact=True, rows="lists", lacking=True, ends=True, follower_sees="policy"),
}


@cache
def game(kind: str) -> Any:
    return GAMES[kind]()


def soft(kind: str) -> se.Follower:
    return game(kind).default_follower if isinstance(game(kind), Commons) else SOFT


def once(payoffs: Any) -> se.InducedMarkovGame:
    """A game of one step, of payoffs (n, B_0, ..., B_{n-1})."""
    table = np.asarray(payoffs, dtype=np.float64)
    flat = table.reshape(len(table), 1, 1, -1)
    count = flat.shape[-1]
    return se.InducedMarkovGame(np.ones((1, 1)), np.zeros((1, 1, count, 1)), flat, flat[0], np.ones(1), table.shape[1:], 0.5, 0.5)


@pytest.mark.parametrize("kind", GAMES)
def test_what_anybody_could_gain_is_nothing_and_is_certified(kind: str) -> None:
    """The referee's best responses are those of one follower, and know nothing of the equilibrium's solver."""
    for seed in range(2):
        x = 2 * np.random.default_rng(seed).normal(size=game(kind).dimension)
        scored = se.evaluate(game(kind), x, follower=soft(kind))
        certificate = max(response.certificate for response in scored.responses)
        assert np.max(scored.follower_gap) <= certificate + 1e-12
        assert certificate < 1e-8


@pytest.mark.parametrize("kind", GAMES)
def test_the_hypergradient_is_the_derivative(kind: str) -> None:
    """Central differences of the referee's score, to 1e-6."""
    x = np.random.default_rng(1).normal(size=game(kind).dimension)
    oracle = RepeatedGame(game(kind), soft(kind)).oracle(se.Access.MODEL)
    exact = exact_gradient(oracle, torch.tensor(x), None, reaction=True)
    assert exact.value == pytest.approx(float(se.evaluate(game(kind), x, follower=soft(kind)).leader_return), abs=1e-10)
    for i in range(len(x)):
        step = 1e-5 * np.eye(len(x))[i]
        ahead, behind = (float(se.evaluate(game(kind), x + sign * step, follower=soft(kind)).leader_return) for sign in (1, -1))
        assert float(exact.gradient[i]) == pytest.approx((ahead - behind) / 2e-5, abs=1e-6)


def test_logit_equilibria_of_games_that_are_played_once() -> None:
    """Matching pennies of McKelvey and Palfrey, where the equilibrium is the root of one equation; and Turocy's theorem (GEB 2005):
    the principal branch of a 2 x 2 game with two strict equilibria ends at the risk-dominant one, and not at the better."""
    tau = 1.0
    found = soft_nash(once([[[9, 0], [0, 1]], [[0, 1], [1, 0]]]), tau)
    up, left = (float(policy[0, 0, 0]) for policy in found.policies)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        answer = 1 / (1 + np.exp(-(10 * middle - 1) / tau))
        low, high = (middle, high) if 1 / (1 + np.exp(-(1 - 2 * answer) / tau)) > middle else (low, middle)
    assert (up, left) == pytest.approx((1 / (1 + np.exp(-(10 * low - 1) / tau)), low), abs=1e-12)
    stag = np.array([[9.0, 0.0], [8.0, 7.0]])
    assert [float(policy[0, 0, 1]) for policy in soft_nash(once([stag, stag.T]), 0.05).policies] == pytest.approx([1, 1], abs=1e-9)


def test_one_follower_stands_for_all_where_the_game_is_symmetric() -> None:
    """The policy of one solves the equations of all; and in a game without symmetry nobody stands for others."""
    for kind, solved in (("three fishers, shocks", 1), ("no symmetry, the leader acts", 2)):
        (world,) = game(kind).problems(np.zeros(game(kind).dimension))
        found = soft_nash(world, 0.3)
        assert len(StageEquations(world).solved) == solved
        policies = [broadcast_over_leader_actions(policy, world.joint) for policy in found.policies]
        for i, policy in enumerate(policies):
            np.testing.assert_allclose(soft_policy_iteration(world.facing(i, policies), 0.3).policy, policy, atol=1e-8)


def test_the_choice_of_an_equilibrium_is_that_of_the_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a fifth of the temperature lead where larger ones do, also around folds, where a penalty for all makes two equilibria."""
    fishery = Commons(levels=10, largest_penalty=2.0)
    points = [3 * np.random.default_rng(seed).normal(size=fishery.dimension) for seed in (0, 3)]
    folds = []
    around = planner._around_fold
    monkeypatch.setattr(planner, "_around_fold", lambda *given: folds.append(given) or around(*given))
    found = [fishery.default_follower.respond(fishery, x).policies[0] for x in points]
    assert folds
    monkeypatch.setattr(planner, "COOLING", 1.2)
    monkeypatch.setattr(planner, "FIRST_COOLING", 1.2)
    for x, policy in zip(points, found, strict=True):
        np.testing.assert_allclose(fishery.default_follower.respond(fishery, x).policies[0], policy, atol=1e-7)


def test_the_great_fish_war() -> None:
    """Levhari and Mirman 1980, a = 0.5, discount 0.9, two fishers: each takes 0.3548 of the stock, and 0.275 if they cooperate.

    The error of the grid falls by four as efforts are twice as close, to 3e-5; the grid of stocks has none.
    """
    war = FishWar()
    assert (round(war.equilibrium_rate(2, 0.9), 4), round(war.cooperative_rate(2, 0.9), 4)) == (0.3548, 0.275)
    errors = np.array(
        [(f["equilibrium"] - 0.55 / 1.55, f["under the tax"] - 0.275) for f in (study.fish_war(2, b) for b in (9, 17, 33, 65))]
    )
    assert (np.abs(errors[:-1]) > 3.5 * np.abs(errors[1:])).all()
    assert (np.abs(errors[-1]) < 3e-5).all()
    fishery = Commons(stock="fish_war", levels=12, efforts=9, discount=0.9, temperature=0.01)
    policy = se.evaluate(fishery, fishery.open_access()).responses[0].policies[0]
    assert np.ptp(policy, axis=0).max() < 1e-7
    assert fishery.planned_efforts() == pytest.approx(np.full(12, 0.55))


def test_backward_induction_finds_the_same_equilibrium() -> None:
    """`Nash` in the same fishery with 60 years to go, an independent computation: at a low temperature soft fishers do that, too."""
    war = Commons(stock="fish_war", levels=4, efforts=9, discount=0.9, temperature=1e-3)
    ending = se.with_deadline(war, 60)
    policies = se.evaluate(ending, war.open_access(), follower=se.Nash("payoff")).responses[0].policies
    soft_ones = se.evaluate(war, war.open_access()).responses[0].policies
    for pure, policy in zip(policies, soft_ones, strict=True):
        np.testing.assert_array_equal(np.argmax(pure[:4, 0], axis=-1), np.argmax(policy[:, 0], axis=-1))


def test_the_planner_leaves_what_a_sole_owner_leaves() -> None:
    """Spence and Starrett 1975: 532.9 tonnes; the mean over the years on a grid of 10 tonnes is within 4."""
    assert Schaefer().best_escapement(0.95) == pytest.approx(532.911, abs=1e-3)
    assert study.schaefer(100, 13) == pytest.approx(532.911, abs=4)
    assert Schaefer().grow(np.array(500.0)) - 500 == Schaefer().sustainable_yield == 75


def test_nobody_gets_more_than_the_planner() -> None:
    """Random mechanisms and policies that are no response at all; where no quota moves the dynamics it is the cooperative value."""
    for kind in ("schaefer", "three fishers, shocks", "fish war"):
        fishery, rng = game(kind), np.random.default_rng(2)
        for _ in range(20):
            policies = [rng.dirichlet(np.full(b, 0.3), size=(s, 1)) for s, _, b in fishery.sizes]
            problems = fishery.problems(3 * rng.normal(size=fishery.dimension))
            assert float(fishery.objective(problems, policies)) <= fishery.upper_bound() + 1e-9
    taxed = Commons(levels=8, mechanism=("tax", "penalty"))
    assert se.cooperative_value(taxed) == pytest.approx(taxed.upper_bound(), abs=1e-9)
    assert se.upper_bound(Commons(levels=8)) == Commons(levels=8).upper_bound()


def test_the_mechanism_is_what_it_says() -> None:
    """Who is always inspected is as good as one that keeps to the allowance; instruments of a commitment are those that it was made of."""
    fishery = Commons(levels=8, collection=0.0, inspection=0.0)
    asked = {"tax": [0.1, 0.2, 0.3, 0.9], "quota": [0.5, 0.0, 1.0, 0.2], "penalty": [0.4]}
    for name, values in fishery.instruments(fishery.commitment(**asked)).items():
        np.testing.assert_allclose(values, asked[name], atol=1e-8)
    (free,), (always,) = fishery.problems(fishery.open_access()), fishery.problems(fishery.commitment(quota=1.0))
    kept = [4 * min(a, 1) + min(b, 1) for a in range(4) for b in range(4)]
    np.testing.assert_allclose(always.transition, free.transition[:, :, kept], atol=1e-7)
    np.testing.assert_allclose(always.follower_rewards, free.follower_rewards[..., kept], atol=1e-7)
    np.testing.assert_allclose(always.transition.sum(-1), 1, atol=1e-12)
    (both,) = fishery.problems(fishery.commitment(tax=0.5, penalty=1.0))
    base, below = fishery.tables.base, fishery.tables.transition @ (fishery.tables.stocks < 400)
    np.testing.assert_allclose(free.follower_rewards - both.follower_rewards, 0.5 * base + below, atol=1e-7)
    np.testing.assert_allclose(both.leader_reward, free.follower_rewards.sum(0), atol=1e-6)


def test_who_ignores_the_reaction_loses() -> None:
    """A tax costs something and moves nobody, says the naive gradient: it ends at open access, and the exact one near the planner."""
    fishery = Commons(levels=12, mechanism=("tax",))
    free = float(se.evaluate(fishery, fishery.open_access()).leader_return)
    naive = solve(fishery, "naive", budget=20, optimiser="adam", lr=0.5, reports=1)
    exact = solve(fishery, "implicit", budget=30, optimiser="adam", lr=0.5, reports=1)
    assert naive.leader_return == pytest.approx(free, abs=0.5)
    assert exact.leader_return > 0.85 * fishery.upper_bound() > 2 * free


def test_batches_tensors_and_copies_say_the_same() -> None:
    fishery = game("schaefer")
    points = np.random.default_rng(5).normal(size=(3, fishery.dimension))
    each = [float(se.evaluate(fishery, x).leader_return) for x in points]
    np.testing.assert_allclose(se.evaluate(fishery, points).leader_return, each, atol=1e-9)
    np.testing.assert_allclose(np.asarray(se.evaluate(fishery, torch.tensor(points)).leader_return), each, atol=1e-9)


def test_mistakes_are_named() -> None:
    for wrong, message in (
        ({"stock": "schafer"}, "did you mean 'schaefer'"),
        ({"mechanism": ("taxes",)}, "no instrument 'taxes'; did you mean 'tax'"),
        ({"mechanism": ()}, "at least one of tax, quota, penalty"),
        ({"bands": 30}, "bands is a whole number 1 to 20"),
        ({"fishers": 40}, "efforts \\*\\* fishers"),
    ):
        with pytest.raises((ValueError, MemoryError), match=message):
            Commons(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the mechanism has no quota: it is composed of tax"):
        Commons(mechanism=("tax",)).commitment(quota=1)
    with pytest.raises(PlanningError, match="opponents have a saddle point"):
        se.evaluate(se.game("zero_sum_incentive-v0", states=2, branching=1), np.zeros(18), follower=SOFT)
    with pytest.raises(PlanningError, match="a discount below 1"):
        se.evaluate(se.game("escape_room-v0", discount=1.0), np.zeros(3), follower=SOFT)
    with pytest.raises(Declined, match="followers who do not interact"):
        solve(Commons(levels=8, mechanism=("tax",)), "hpgd", budget=1)
