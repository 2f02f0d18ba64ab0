"""Contracts of every game in the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stackelberg_envs as se
from baselines.bench.configuration import World
from stackelberg_envs.games.four_rooms import Walker
from stackelberg_envs.games.toy3 import VARIANTS as VARIANTS_OF_TOY3
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.registry import GAMES
from stackelberg_envs.testing import check_game, commitments, random_games

VARIANTS = [
    ("four_rooms-v0", {}),
    ("four_rooms-v0", {"preset": "hpgd", "beta": 1}),
    ("four_rooms-v0", {"preset": "bchg"}),
    ("four_rooms-v0", {"walkers": 3}),
    ("toy3-v0", {"R": 1}),
    ("toy3-v0", {"R": 2}),
    *(("toy3-v0", {"variant": variant}) for variant in sorted(VARIANTS_OF_TOY3.keys() - {"4"})),
    ("toy3-v0", {"variant": "1_1a", "follower_sees": "policy"}),
    ("bimatrix-v0", {}),
    ("bimatrix-v0", {"preset": "maintain"}),
    ("bimatrix-v0", {"preset": "prisoners_dilemma", "rounds": 10}),
    ("bimatrix-v0", {"preset": "random", "rows": 4, "columns": 2, "types": 3, "correlation": -0.5}),
    ("bimatrix-v0", {"preset": "random", "rows": 2, "types": 2, "rounds": 3, "visibility": "after"}),
    ("contract_tree-v0", {}),
    ("contract_tree-v0", {"depth": 3, "commitment": "step", "b_max": 3.0, "seed": 1}),
    ("subsidy-v0", {}),
    ("subsidy-v0", {"budget": 0.5, "price": 2.0, "conflict": 1.0, "seed": 1}),
    ("tariff-v0", {}),
    ("tariff-v0", {"periods": 6, "households": 2, "seed": 1, "levels": 3, "flat_margin": 0.05, "temperature": 0.0}),
    ("patrol-v0", {"park": "ring", "size": 4, "zero_sum": False, "base": 1}),
    ("patrol-v0", {"size": 2, "durations": (1, 3), "memory": 2}),
    ("patrol-v0", {"size": 2, "watches": False, "horizon": 4}),
    ("security-v0", {}),
    ("security-v0", {"preset": "types"}),
    ("security-v0", {"preset": "districts"}),
    ("random_markov_game-v0", {"follower_sees": "policy"}),
    ("random_markov_game-v0", {"follower_sees": "action", "conflict": 0.0, "seed": 5}),
    ("random_markov_game-v0", {"influence": "reward", "action_cost": (0.0, 0.3, -0.1)}),
    ("random_markov_game-v0", {"influence": "dynamics", "follower_sees": "action"}),
    ("random_markov_game-v0", {"own_action_pays": False, "action_cost": 0.1, "noise": 1.0}),
    ("random_markov_game-v0", {"preset": "penalty"}),
    ("zero_sum_incentive-v0", {"states": 4, "actions": (2, 3)}),
    ("sentinel_intruder-v0", {"size": 3}),
    ("escape_room-v0", {}),
    ("escape_room-v0", {"agents": 3, "needed": 2, "steps": 2, "payments": "states"}),
    ("escape_room-v0", {"agents": 5, "needed": 3, "steps": 1}),
    ("commons-v0", {"levels": 6, "efforts": 3}),
    ("commons-v0", {"stock": "fish_war", "fishers": 3, "levels": 5, "efforts": 2, "mechanism": ["tax", "penalty"]}),
    ("platform-v0", {"prices": 4}),
    (
        "platform-v0",
        {"prices": 4, "memory": "winner", "instruments": ("prominence", "advantage", "ceiling"), "costs": (1.0, 1.4), "fee": 0.2},
    ),
    ("platform-v0", {"prices": 5, "memory": "none", "instruments": ("ceiling",)}),
    ("tax_design-v0", {"grid": 21, "hours": 3, "spendings": 2}),
    ("tax_design-v0", {"preset": "legacy", "consumers": 2, "grid": 11, "hours": 2, "spendings": 3}),
    ("preference-v0", {}),
    ("preference-v0", {"objective": "likelihood"}),
    ("preference-v0", {"objective": "likelihood", "states": 4, "horizon": 3, "features": 8, "label_noise": 0.1, "seed": 1}),
    ("lq_gain-v0", {}),
    ("lq_gain-v0", {"width": 0.1}),
    ("building-v0", {}),
    ("building-v0", {"zones": 6}),
    ("continuous_toy-v0", {}),
    ("continuous_toy-v0", {"variant": "1_1a", "leader_sd": 0.3}),
    ("guided_cartpole-v0", {}),
    ("guided_cartpole-v0", {"target": "v1", "hidden": 4}),
    ("guided_pendulum-v0", {}),
    ("tax_economy-v0", {"grid": 21, "hours": 3, "spendings": 2}),
    ("tax_economy-v0", {"preset": "legacy", "grid": 11, "hours": 2, "spendings": 3}),
    ("guided_pendulum-v0", {"hidden": 3, "leader_sd": 1.0}),
    ("warehouse-v0", {}),
    ("warehouse-v0", {"variant": "relaxed", "rows": 3, "columns": 4, "candidates": 4, "shelves": 2, "pickers": 3}),
    ("warehouse-v0", {"variant": "relaxed", "squeeze": 5, "seed": 1}),
]


@pytest.mark.parametrize(("id", "arguments"), VARIANTS, ids=str)
def test_contract(id: str, arguments: dict[str, object]) -> None:
    """Tables, purity, batches, refusals, incentives; NumPy and torch agree to 1e-12 and gradients match central differences."""
    game = se.game(id, **arguments)
    report = check_game(game)
    assert ("torch agrees and differentiates" if game.smooth else "torch agrees, and nothing has a slope") in report.passed


@given(random_games().filter(lambda game: game.sizes[0][1] > 1))  # a leader with one action moves nothing, and the kit says so
@settings(deadline=None, max_examples=15)
def test_contract_of_random_games(game: se.StackelbergGame) -> None:
    check_game(game)


@pytest.mark.parametrize(
    ("id", "arguments", "digest"),
    [
        ("random_markov_game-v0", {}, "431cb18208ca5236"),
        ("random_markov_game-v0", {"follower_sees": "action", "conflict": 0.0, "seed": 5}, "d47b6f95780facbb"),
        ("random_markov_game-v0", {"states": 9, "branching": 4, "leader_actions": 2, "seed": 3}, "0bc7f9bb033522e2"),
        ("toy3-v0", {}, "51d6cdae13de4cee"),
        ("toy3-v0", {"R": 2}, "81d362d1e9d4ac9b"),
    ],
    ids=str,
)
def test_tables_are_those_of_recorded_results(id: str, arguments: dict[str, Any], digest: str) -> None:
    """Of commit 74587cf (0.2.0): new arguments may not change what old ones draw, for recorded results are found by this key."""
    assert World(id, arguments).key == f"{id} {digest} Soft(temperature=0.05)"


def test_what_the_leader_influences() -> None:
    """Each dial leaves the rest of the instance as it was drawn; tables that the leader cannot move are those of its action 0."""

    def tables(**arguments: Any) -> se.InducedMDP:
        return se.game("random_markov_game-v0", seed=4, **arguments).problems(np.zeros(15))[0]

    plain, cost = tables(), np.array([0.0, 0.2, -0.3])[:, None]
    only_reward, only_dynamics = tables(influence="reward"), tables(influence="dynamics", action_cost=(0.0, 0.2, -0.3))
    for action in range(3):
        np.testing.assert_array_equal(only_reward.transition[:, action], plain.transition[:, 0])
        np.testing.assert_array_equal(only_dynamics.follower_reward[:, action], plain.follower_reward[:, 0])
    np.testing.assert_array_equal(only_reward.leader_reward, plain.leader_reward)
    np.testing.assert_array_equal(only_dynamics.transition, plain.transition)
    np.testing.assert_allclose(only_dynamics.leader_reward, plain.leader_reward[:, :1] - cost)
    # the garnet of our study of outcomes: r_L(s,b) - .1 a, r_F = noise + .5 (1 - r_L)
    study, noise = tables(own_action_pays=False, action_cost=0.1, noise=1.0), tables(conflict=0.0).follower_reward
    unpaid = plain.leader_reward[:, :1]
    np.testing.assert_allclose(study.leader_reward, unpaid - 0.1 * np.arange(3)[:, None])
    np.testing.assert_allclose(study.follower_reward, noise + 0.5 * (1 - unpaid))


def test_a_leader_without_influence_on_what_it_is_paid_for() -> None:
    """If its action changes neither its pay nor the dynamics, and the follower wants only the opposite, every commitment is as good."""
    game = se.game("random_markov_game-v0", influence="reward", own_action_pays=False, conflict=1.0, follower_sees="policy")
    xs = np.random.default_rng(0).normal(size=(4, 15))
    scored = se.evaluate(game, xs)
    np.testing.assert_allclose(scored.leader_return, scored.leader_return[0], atol=1e-9)


def test_penalty_preset() -> None:
    """100 states, all reached from each; rewards are 0 or above .7, and 70 % are 0 (5 standard errors); a uniform leader earns 2.6 to 2.8
    at temperature .1 where an independent pilot on other draws had 2.65 and 2.62."""
    game = se.game("random_markov_game-v0", preset="penalty")
    (mdp,) = game.problems(np.zeros(500))
    assert mdp.sizes == (100, 5, 5)
    assert (mdp.transition > 0).all()
    assert mdp.transition.max() < 1 / 25, "the weights are uniform: none is far above twice the mean"
    for reward in (mdp.leader_reward, mdp.follower_reward):
        assert (reward == 0).mean() == pytest.approx(0.7, abs=5 * np.sqrt(0.7 * 0.3 / 2500))
        assert reward[reward > 0].min() >= 0.7
    assert game.default_follower == se.Soft(0.001)
    assert 2.6 < se.evaluate(game, np.zeros(500), follower=se.Soft(0.1)).leader_return < 2.8
    smaller = se.game("random_markov_game-v0", preset="penalty", states=7, conflict=1.0)
    assert smaller.sizes == ((7, 5, 5),)
    (mdp,) = smaller.problems(np.zeros(35))
    np.testing.assert_allclose(mdp.follower_reward + mdp.leader_reward, 1.0)


def test_registry_and_folder_agree() -> None:
    folder = Path(se.__file__).parent / "games"
    games = {entry.split(":")[0] for entry in GAMES.values()}
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert games <= files
    assert all(any(file.startswith(f"{game}_") for game in games) for file in files - games), "a file belongs to a game by its name"
    assert all(se.game(id).name == id.removesuffix("-v0") for id in se.games())


def test_every_game_is_two_lines_away() -> None:
    for id in se.games():
        module = getattr(se, id.replace("-", "_"))
        assert str(module.env()) == str(module.raw_env()) == str(module.parallel_env()) == id.replace("-", "_")


def test_four_rooms_map() -> None:
    """104 cells; the four doors; rows of the kernel; the penalties spend at most the budget."""
    from stackelberg_envs.games.four_rooms import CELLS, INDEX, transition

    assert len(CELLS) == 104
    assert all(door in INDEX for door in ((3, 6), (6, 2), (7, 9), (10, 6)))
    kernel = transition(0.33, (1, 9))
    start = INDEX[(4, 1)]
    assert kernel[start, 0, 1, INDEX[(4, 2)]] == pytest.approx(0.67)
    assert kernel[start, 0, 1, start] == pytest.approx(0.11), "west of the start is wall: that slip stays"
    assert kernel[INDEX[(1, 9)]].sum() == 0, "acting in the goal ends the episode"
    game = se.game("four_rooms-v0")
    assert -game.penalties(np.zeros(105)).sum() == pytest.approx(0.2 * 104 / 105)  # type: ignore[attr-defined]


@given(commitments(se.game("four_rooms-v0"), scale=5.0))
@settings(deadline=None, max_examples=20)
def test_budget_is_never_exceeded(x: np.ndarray) -> None:
    penalties = se.game("four_rooms-v0").penalties(x)  # type: ignore[attr-defined]
    assert (penalties <= 0).all()
    assert -penalties.sum() <= 0.2 + 1e-12


@given(random_games(), st.integers(0, 100))
@settings(deadline=None, max_examples=15)
def test_batches_of_commitments_are_scored_like_one(game: se.StackelbergGame, seed: int) -> None:
    xs = np.random.default_rng(seed).normal(size=(2, 3, game.dimension))
    scored = se.evaluate(game, xs)
    assert scored.leader_return.shape == (2, 3)
    assert scored.per_context.shape == (2, 3, 1)
    assert scored.follower_returns.shape == (2, 3, 1)
    for index in np.ndindex(2, 3):
        assert scored.leader_return[index] == pytest.approx(float(se.evaluate(game, xs[index]).leader_return), abs=1e-9)


@pytest.mark.parametrize(("id", "arguments"), VARIANTS, ids=str)
def test_scores_are_the_same_in_torch(id: str, arguments: dict[str, object]) -> None:
    game = se.game(id, **arguments)
    x = np.random.default_rng(0).normal(size=game.dimension)
    here, there = se.evaluate(game, x), se.evaluate(game, torch.tensor(x))
    assert isinstance(there.leader_return, torch.Tensor)
    np.testing.assert_allclose(there.leader_return.numpy(), here.leader_return, atol=1e-10)
    np.testing.assert_allclose(there.follower_returns.numpy(), here.follower_returns, atol=1e-10)


def test_evaluate_takes_other_horizons_and_discounts() -> None:
    game, x = se.game("toy3-v0"), np.zeros(6)
    x[3] = np.log(0.165 / 0.835)
    assert se.evaluate(game, x, horizon=150).leader_return == pytest.approx(27.3154, abs=1e-3)
    assert se.evaluate(game, x, horizon=150, leader_discount=1.0).leader_return == pytest.approx(52.32, abs=0.01)
    assert se.evaluate(game, x, horizon=1).leader_return == pytest.approx(float(se.Soft(0.05).respond(game, x).policy[0, 0, 1]))


def test_a_context_conditional_leader_has_a_row_a_context() -> None:
    """Where the leader sees the context first it can do at least as well; the same row twice is the same commitment."""
    game = se.game("four_rooms-v0")
    informed = se.game("four_rooms-v0")
    informed.context_visibility = "before"
    x = np.random.default_rng(0).normal(size=(2, 105))
    both = se.evaluate(informed, x).per_context
    np.testing.assert_allclose(both, [se.evaluate(game, x[0]).per_context[0], se.evaluate(game, x[1]).per_context[1]])
    with pytest.raises(se.CommitmentError, match="one row a context"):
        se.evaluate(informed, x[0])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full(105, np.nan), r"four_rooms: the commitment is not finite \(first at component 0\)"),
        (np.append(np.zeros(104), np.inf), "first at component 104"),
        (np.zeros(104), r"105 components in its last axis, got shape \(104,\)"),
        (np.float64(1.0), "105 components"),
        ("zeros", "an array of 105 numbers, got 'zeros'"),
        (np.zeros(105, dtype=bool), "real numbers, got dtype bool"),
    ],
)
def test_senseless_commitments_are_refused(x: object, message: str) -> None:
    with pytest.raises(se.CommitmentError, match=message):
        se.evaluate(se.game("four_rooms-v0"), x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: se.game("four_room-v0"), KeyError, "did you mean 'four_rooms-v0'"),
        (lambda: se.make("toy4-v0"), KeyError, "did you mean 'toy3-v0'"),
        (lambda: se.game("four_rooms-v0", slipp=0.1), TypeError, "takes no argument 'slipp'; did you mean 'slip'"),
        (lambda: se.game("four_rooms-v0", preset="hpdg"), ValueError, "did you mean 'hpgd'"),
        (lambda: se.game("four_rooms-v0", slip=1.0), ValueError, "slip is a finite number at least 0 and below 1"),
        (lambda: se.game("four_rooms-v0", walkers=9), ValueError, "walkers is a whole number 1 to 4"),
        (lambda: se.game("four_rooms-v0", walkers=()), ValueError, "at least one Walker"),
        (lambda: se.game("four_rooms-v0", walkers=(Walker((4, 1), ((1, 9),)),)), ValueError, r"a goal for every context \(G1, G2\)"),
        (lambda: se.game("four_rooms-v0", walkers=(Walker((0, 0), ((1, 9), (1, 9))),)), ValueError, r"\(0, 0\) is not a free cell"),
        (lambda: se.evaluate(se.game("toy3-v0"), np.zeros(6), horizon=-1), ValueError, "horizon is a number of steps"),
        (lambda: se.evaluate(se.game("toy3-v0"), np.zeros(6), leader_discount=1.5), ValueError, r"leader_discount is in \[0, 1\]"),
        (
            lambda: se.evaluate(se.game("toy3-v0"), np.zeros(6), leader_discount=1.0),
            PlanningError,
            "state 0 never leads to the end",
        ),
        (lambda: se.game("toy3-v0", variant="1-2a"), ValueError, "did you mean '1_2a'"),
        (lambda: se.game("toy3-v0", variant="1_2a", R=2), ValueError, "only variants 4 and 4_1a have an R"),
        (lambda: se.game("toy3-v0", follower_sees="both"), ValueError, "toy3 has no follower_sees 'both'; Known: action, policy"),
        (lambda: se.game("four_rooms-v0").commit(np.zeros(105), "G3"), KeyError, "no context 'G3'"),
        (lambda: se.game("four_rooms-v0").commit(np.zeros(105), 2), KeyError, "context is a whole number 0 to 1, got 2; or it is a name"),
        (lambda: se.game("random_markov_game-v0", branching=9), ValueError, "branching, at most states, is a whole number 1 to 5"),
        (lambda: se.game("random_markov_game-v0", branching=0), ValueError, "branching, at most states, is a whole number 1 to 5"),
        (lambda: se.game("random_markov_game-v0", preset="penalties"), ValueError, "no preset 'penalties'; did you mean 'penalty'"),
        (lambda: se.game("random_markov_game-v0", influence="rewards"), ValueError, "did you mean 'reward'"),
        (lambda: se.game("random_markov_game-v0", action_cost=(0.1, 0.2)), ValueError, "one for each of the 3 leader actions"),
        (
            lambda: se.game("random_markov_game-v0", reward_threshold=1.0),
            ValueError,
            r"reward_threshold is a finite number at least 0",
        ),
        (lambda: se.game("random_markov_game-v0", discount=1.0), ValueError, r"discount is a finite number at least 0 and below 1"),
        (lambda: se.game("bimatrix-v0", leader_payoff=[[1]]), ValueError, "the payoffs of both players"),
        (lambda: se.game("bimatrix-v0", leader_payoff=[[1]], follower_payoff=[[1, 2]]), ValueError, r"one shape \(m, n\)"),
        (lambda: se.game("bimatrix-v0", preset="chiken"), ValueError, "did you mean 'chicken'"),
        (lambda: se.game("bimatrix-v0", preset="chicken", seed=1), ValueError, "seed belong to preset='random'"),
        (lambda: se.game("bimatrix-v0", preset="chicken", leader_payoff=[[1]]), ValueError, "either payoffs or a preset"),
        (
            lambda: se.game("bimatrix-v0", preset="random", correlation=2.0),
            ValueError,
            r"correlation is a finite number at least -1",
        ),
        (lambda: se.game("bimatrix-v0", preset="random", types=2, type_probabilities=[1.0]), ValueError, "one a type"),
        (lambda: se.game("bimatrix-v0", rounds=0), ValueError, "rounds is a finite number at least 1"),
        (lambda: se.game("bimatrix-v0", visibility="before"), ValueError, "no visibility 'before'; Known: after, never"),
        (lambda: se.game("contract_tree-v0", depth=0), ValueError, "depth is a whole number 1 to 8, got 0"),
        (lambda: se.game("contract_tree-v0", b_max=0.0), ValueError, "b_max is a finite number above 0"),
        (lambda: se.game("contract_tree-v0", commitment="steps"), ValueError, "did you mean 'step'"),
        (lambda: se.game("escape_room-v0", agents=2.0), ValueError, "agents is a whole number, got 2.0"),
        (lambda: se.game("escape_room-v0", needed=2), ValueError, "needed is a whole number 1 to 1"),
        (lambda: se.game("escape_room-v0", payments="state"), ValueError, "did you mean 'states'"),
        (lambda: se.game("sentinel_intruder-v0", size=30), ValueError, "size is a whole number 2 to 20"),
        (lambda: se.game("sentinel_intruder-v0", slips=0.1), ValueError, "slips is a list of 2, each a number, got 0.1"),
        (lambda: se.game("zero_sum_incentive-v0", actions=3), ValueError, "actions is a list of 2, each a whole number, got 3"),
        (lambda: se.game("zero_sum_incentive-v0", discount=1.0), ValueError, "discount is a finite number"),
        (lambda: se.game("preference-v0", states=3.5), ValueError, "preference: states is a whole number, got 3.5"),
        (lambda: se.game("guided_cartpole-v0", target="v2"), ValueError, "no target 'v2'; did you mean 'v"),
        (lambda: se.game("guided_pendulum-v0", leader_sd=2.0), ValueError, "leader_sd is a finite number above 0.0 and at most 1"),
        (lambda: se.game("continuous_toy-v0", variant="2_1"), ValueError, "no variant '2_1'; did you mean '4_1a'"),
        (lambda: se.game("building-v0", zones=5), ValueError, "their number is even, got 5"),
        (lambda: se.evaluate(se.game("guided_pendulum-v0"), np.zeros((2, 4))), ValueError, "one commitment at a time"),
        (lambda: se.Saddle("a"), ValueError, "Saddle: temperature is a number, got 'a'"),  # type: ignore[arg-type]
        (lambda: se.make("toy3-v0", view="ply"), ValueError, "no view 'ply'; did you mean 'play'"),
        (lambda: se.make("four_rooms-v0", view="play"), ValueError, "use view='commitment'"),
        (lambda: se.make("toy3-v0", max_cycles=0), ValueError, "max_cycles is a whole number from 1"),
        (lambda: se.make("toy3-v0", render_mode="window"), ValueError, "'human', 'ansi', 'rgb_array' or None"),
        (lambda: se.nothing_v0, AttributeError, "no attribute 'nothing_v0'"),
    ],
)
def test_senseless_requests_say_what_to_do(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("id", ["toy3-v0", "random_markov_game-v0", "four_rooms-v0"])
@pytest.mark.parametrize("cycles", [0, -3, 2.5, True])
def test_episode_lengths_are_checked(id: str, cycles: object) -> None:
    with pytest.raises(ValueError, match="max_cycles is a whole number"):
        se.game(id, max_cycles=cycles)
