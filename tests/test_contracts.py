"""Optimal contracts against brute force, theorems and recorded values; and that hidden actions stay hidden."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_oracle import Nosy

import solvers
import stackelberg_envs as se
from baselines.studies import contracts as study
from solvers.base import run
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning import contracts
from stackelberg_envs.testing import ConformanceError, check_env, check_game
from stackelberg_envs.testing.modified_games import GameWithIneffectiveFollowers, GameWithOtherFollowerRewards
from stackelberg_envs.views.gym import LeaderEnv
from stackelberg_envs.views.parallel import StackelbergParallel

TREES = [(depth, seed) for depth in (1, 2, 3) for seed in (0, 1, 2)]
STRONG = se.Hard("strong")


def tree_game(depth: int, seed: int = 0, **arguments: Any) -> Any:
    return se.game("contract_tree-v0", depth=depth, seed=seed, **arguments)


def worth(game: Any, x: np.ndarray, follower: se.Follower = STRONG) -> float:
    return float(se.evaluate(game, x, follower=follower).leader_return)


@pytest.mark.parametrize(("depth", "zero", "perfect"), [(1, 0.191, 0.459), (2, 0.420, 0.933)])
def test_recorded_values(depth: int, zero: float, perfect: float) -> None:
    """Means over 20 trees of an independent pilot (project notes, C2): 20 trees of which the values here are, so all three digits agree."""
    games = [tree_game(depth, seed) for seed in range(20)]
    assert np.mean([worth(game, game.leader_space.low) for game in games]) == pytest.approx(zero, abs=5e-4)
    assert np.mean([contracts.subgame_perfect(game.tree).value for game in games]) == pytest.approx(perfect, abs=5e-4)


@pytest.mark.parametrize("seed", range(5))
def test_one_decision_against_a_grid(seed: int) -> None:
    """No pair of payments of a grid of spacing .005 is worth more, and one is worth as much up to the spacing."""
    game = tree_game(1, seed)
    (q, idle), (_, cost) = game.tree.chances[0, 0], -game.tree.utility[0]
    left, right = np.meshgrid(np.arange(401) / 200, np.arange(401) / 200)
    works = idle * left + q * right - cost >= q * left + idle * right - 1e-12
    paid = np.where(works, idle * left + q * right, q * left + idle * right)
    value = (np.where(works, q, idle) * game.tree.reward[0, 1] - paid).max()
    for solve in (contracts.subgame_perfect, contracts.optimal_contract):
        assert value - 1e-8 <= solve(game.tree).value <= value + 0.005


@pytest.mark.parametrize(("depth", "seed"), TREES)
def test_order_of_values(depth: int, seed: int) -> None:
    """First best >= committed >= subgame perfect >= zero contract; with one decision, promises for later are none."""
    game = tree_game(depth, seed)
    perfect, promised = contracts.subgame_perfect(game.tree), contracts.optimal_contract(game.tree)
    values = [worth(game, game.leader_space.low), perfect.value, promised.value, contracts.first_best(game.tree)]
    assert (np.diff(values) >= -1e-9).all()
    assert values[2] - values[1] == pytest.approx(0, abs=1e-9) if depth == 1 else values[2] - values[1] >= -1e-9
    assert promised.agent[0] >= 0, "the agent may idle, so it is never worse off than away"


def test_promises_are_worth_something() -> None:
    """With three decisions commitment gains in more than half of 20 trees, and it never loses."""
    trees = [tree_game(3, seed).tree for seed in range(20)]
    gains = np.array([contracts.optimal_contract(tree).value - contracts.subgame_perfect(tree).value for tree in trees])
    assert gains.min() > -1e-9
    assert (gains > 1e-6).mean() > 0.5


@pytest.mark.parametrize(("depth", "seed"), TREES)
def test_the_referee_agrees(depth: int, seed: int) -> None:
    """F(x*) by `evaluate` is the programme's value for either horizon, the agent does what it is asked, and no perturbation is better."""
    rng = np.random.default_rng(seed)
    for commitment, solve in (("episode", contracts.optimal_contract), ("step", contracts.subgame_perfect)):
        game = tree_game(depth, seed, commitment=commitment)
        best = solve(game.tree)
        x = contracts.logits(best.payments, game.b_max)
        scored = se.evaluate(game, x, follower=STRONG)
        assert float(scored.leader_return) == pytest.approx(best.value, abs=1e-9)
        assert float(scored.follower_returns[0]) == pytest.approx(best.agent[0], abs=1e-7)
        actions = np.asarray(scored.responses[0].policy)[: game.tree.nodes, 0].argmax(-1)
        np.testing.assert_array_equal(actions, best.actions)
        others = np.clip(x + rng.normal(size=(200, x.size)) * rng.choice([0.01, 0.3, 3.0], size=(200, 1)), -20, 20)
        assert np.asarray(se.evaluate(game, others, follower=STRONG).leader_return).max() <= best.value + 1e-8


def test_both_horizons_mean_the_same_agent_at_the_equilibrium() -> None:
    """Subgame perfect: one who looks ahead in the committed game answers those contracts as the one who expects them."""
    for seed in range(5):
        ahead, step = tree_game(3, seed), tree_game(3, seed, commitment="step")
        best = contracts.subgame_perfect(ahead.tree)
        x = contracts.logits(best.payments, ahead.b_max)
        assert worth(ahead, x) == pytest.approx(worth(step, x), abs=1e-9)
        assert worth(ahead, x) == pytest.approx(best.value, abs=1e-9)


def test_what_counts_as_offered() -> None:
    """A promise for later moves the agent now if x holds for the episode, and does not if contracts are offered step by step."""
    x = np.zeros(6)
    y = x.copy()
    y[4:] = 20.0  # a fortune after R, whatever comes then
    for commitment, moved in (("episode", True), ("step", False)):
        game = tree_game(2, commitment=commitment)
        first, second = (np.asarray(game.default_follower.respond(game, at).policy)[0, 0, 1] for at in (x, y))
        assert (abs(first - second) > 0.1) == moved


def test_committed_refuses_what_it_cannot_do() -> None:
    tree = tree_game(5).tree
    with pytest.raises(ValueError, match="on up to 15 nodes"):
        contracts.optimal_contract(tree)
    with pytest.raises(ValueError, match="looks ahead"):
        contracts.optimal_contract(dataclasses.replace(tree_game(1).tree, agent_discount=0.0))


@pytest.mark.parametrize("commitment", ["episode", "step"])
def test_contract_lp(commitment: str) -> None:
    """The solver reads the tree off the model: the value is that of the tree itself, and the commitment attains it."""
    for depth in (1, 2, 3):
        game = tree_game(depth, 4, commitment=commitment, b_max=1.7)
        value = (contracts.optimal_contract if commitment == "episode" else contracts.subgame_perfect)(game.tree).value
        solution = solvers.solve(game, "contract_lp", follower=STRONG, budget=2)
        assert solution.history[-1]["value"] == pytest.approx(value, abs=1e-9)
        assert solution.leader_return == pytest.approx(value, abs=1e-9)


def test_recorded_study() -> None:
    """The page's table is what is recorded, and exact values come out again (a few trees of each depth)."""
    docs = Path(__file__).parent.parent / "docs"
    rows = json.loads((docs / "reproductions/recorded/contracts.json").read_text())
    page = (docs / "explanation/contracts.md").read_text()
    for depth in study.DEPTHS:
        mine = [row for row in rows if row["depth"] == depth]
        means = " | ".join(f"{np.mean([row[key] for row in mine]):.3f}" for key in study.SHOWN)
        assert f"| {depth} | {means} |" in page
        for row in mine[:3]:
            values = study.exact(tree_game(depth, row["seed"]))
            assert values == pytest.approx({key: row[key] for key in values}, abs=1e-7)


def test_solvers_that_watch_actions_decline() -> None:
    game = tree_game(2)
    for name in ("hpgd", "sobirl", "inverse_planning", "bchg"):
        with pytest.raises(solvers.Declined, match=f"{name} learns from what followers do, and in this game their actions are hidden"):
            solvers.solve(game, name, access=se.Access.MODEL)
    for name in ("leader_ppo", "biac", "enumeration", "multiple_lp"):
        with pytest.raises(solvers.Declined):
            solvers.solve(game, name)
    for other, follower, said in (
        (game, se.Soft(0.1), r"plays against Hard\(ties='strong'\)"),
        (se.game("toy3-v0"), STRONG, "a binary tree with two actions"),
        (se.game("four_rooms-v0"), STRONG, "one context"),
        (tree_game(5), STRONG, "up to 15 decision nodes, and here are 31"),
    ):
        with pytest.raises(solvers.Declined, match=said):
            solvers.solve(other, "contract_lp", follower=follower)


def test_gradient_and_return_methods_run_on_it() -> None:
    """They gain on where they start, and stay below the programme; where nothing is paid, gradients vanish."""
    game = tree_game(2, 1)
    for name, follower, budget in (("zeroth_order", STRONG, 400), ("zeroth_order", None, 200), ("implicit", None, 100)):
        found = solvers.solve(game, name, follower=follower, budget=budget, optimiser="adam", lr=0.1, start=np.zeros(6))
        assert found.leader_return > found.history[0]["leader_return"] + 0.5
        assert found.leader_return <= contracts.first_best(game.tree)
        assert follower is None or found.leader_return <= contracts.optimal_contract(game.tree).value
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    stuck = exact_gradient(oracle, torch.tensor(game.leader_space.low), None, reaction=True).gradient
    assert float(stuck.abs().max()) < 1e-6


def test_sampled_returns_estimate_expected_ones() -> None:
    """What outcomes and referee settle where is the same: four standard errors at two sample sizes."""
    game, x = tree_game(3, 2), np.random.default_rng(0).normal(size=14)
    exact = worth(game, x, game.default_follower)
    for episodes in (300, 3000):
        drawn = RepeatedGame(game, seed=episodes).play(x, episodes=episodes).leader_returns(1.0)
        assert abs(drawn.mean() - exact) < 4 * drawn.std() / np.sqrt(episodes)


def test_outcomes_leave_hidden_actions_out() -> None:
    """Other actions with the same outcomes: everything that the oracle plays is equal, and so is a nosy solver's whole trajectory."""
    game = tree_game(3)
    powerless = GameWithIneffectiveFollowers(game)
    x, lazy = np.random.default_rng(0).normal(size=14), se.Believes(GameWithOtherFollowerRewards(game), se.Hard())
    policies = [follower.respond(powerless, x).policy for follower in (se.Hard(), lazy)]
    assert not np.array_equal(*policies), "the followers do not do the same"
    seen = []
    for follower in (se.Hard(), lazy):
        oracle = RepeatedGame(powerless, follower, 3).oracle(se.Access.OUTCOME)
        assert oracle.follower_actions_public is False
        outcomes = [oracle.play(x, episodes=50), oracle.play_streams(x, streams=3, steps=21)]
        seen.append([table for outcome in outcomes for table in vars(outcome).values()])
        assert (outcomes[0].follower_actions == -1).all()
        with pytest.raises(ValueError, match="hides the follower's actions"):
            outcomes[0].pairs(0, 2)
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)
    runs = [run(Nosy(), powerless, follower=follower, budget=10, seed=2) for follower in (se.Hard(), lazy)]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)


@pytest.mark.parametrize("observations", ["vector", "index"])
def test_views_leave_hidden_actions_out(observations: Any) -> None:
    """AEC and parallel by the kit; Gymnasium: two followers that do not do the same show a leader the same rounds."""
    for build in (se.make, se.make_parallel):
        report = check_env(build("contract_tree-v0", depth=4, observations=observations), kernel_steps=1000)
        assert "the leader sees nothing of hidden actions" in report.passed
    game, rng = tree_game(3), np.random.default_rng(1)
    powerless = GameWithIneffectiveFollowers(game)
    envs = [
        LeaderEnv(powerless, follower=who, observations=observations)
        for who in (se.Hard(), se.Believes(GameWithOtherFollowerRewards(game), se.Hard()))
    ]
    for seed in range(10):
        x, told = rng.normal(size=14), []
        for env in envs:
            first, _ = env.reset(seed=seed)
            observation, reward, _, _, info = env.step(x)
            told.append((np.array(first), np.array(observation), reward, info["discounted_return"], info["time"]))
        for one, other in zip(*told, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_kit_finds_a_leader_paid_for_hidden_actions() -> None:
    class PaidForEffort(type(tree_game(1))):  # type: ignore[misc]
        def induced(self, x: Any, context: int) -> Any:
            mdp = super().induced(x, context)
            return dataclasses.replace(mdp, leader_reward=mdp.leader_reward + np.array([0.0, 0.1]))

    with pytest.raises(ConformanceError, match="the leader is paid for outcomes where actions are hidden: leader_reward depends"):
        check_game(PaidForEffort())
    with pytest.raises(ConformanceError, match="the leader's reward depends on a hidden action"):
        check_env(StackelbergParallel(PaidForEffort(depth=4)), kernel_steps=500)
