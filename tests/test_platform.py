"""Display rules and two sellers: published prices, rules by hand, logit equilibria against theorems, gradients, and sellers who learn."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from scipy.optimize import minimize_scalar
from small_games import Umpired

import stackelberg_envs as se
from baselines.studies import platform as study
from solvers import Declined, solve
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.games.platform import Platform
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.planning.soft_nash import soft_nash
from stackelberg_envs.play import rollouts
from stackelberg_envs.processes.markov_game import MarkovGame

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"
RULES = ("prominence", "advantage", "ceiling")


def profit(own: float, other: float, shown: bool = True, cost: float = 1.0, mu: float = 0.25) -> float:
    """A seller's, by the formula of Calvano et al. 2020; ``shown``: whether the other is shown, too."""
    mine, its = np.exp((1 + cost - own) / mu), np.exp((1 + cost - other) / mu) if shown else 0.0
    return float((own - cost) * mine / (1 + mine + its))


def once(payoffs: np.ndarray, *, discount: float = 0.0) -> MarkovGame:
    """A game in normal form, (2, m, n), played once."""
    _, m, n = payoffs.shape
    rewards = payoffs.reshape(2, 1, 1, m * n)
    one = np.ones((1, 1))
    return MarkovGame(one, np.zeros((1, 1, m * n, 1)), rewards, rewards[0], np.ones(1), (m, n), discount, discount)


def _best_price(worth: Any) -> float:
    """Where ``worth`` of a price is largest."""
    found: Any = minimize_scalar(lambda price: -worth(price), bounds=(1.0, 3.0), method="bounded", options={"xatol": 1e-10})
    return float(found.x)


def test_static_prices_are_the_published_ones() -> None:
    """Calvano et al. 2020: the static Nash price is 1.473 and the joint optimum 1.925; here by other programs, to the last digit."""
    game = Platform()
    assert game.nash_price == pytest.approx(1.473, abs=5e-4)
    assert game.joint_price == pytest.approx(1.925, abs=5e-4)
    price = 2.0
    for _ in range(100):
        price = _best_price(lambda own, other=price: profit(own, other))
    assert game.nash_price == pytest.approx(price, abs=1e-6)
    assert game.joint_price == pytest.approx(_best_price(lambda own: profit(own, own)), abs=1e-6)
    assert study.static_profit(game, game.joint_price) == pytest.approx(profit(game.joint_price, game.joint_price), abs=1e-12)
    np.testing.assert_allclose(game.prices[[0, -1]], [1.4277, 1.9702], atol=1e-4)


def test_the_market_held_once_has_that_nash_price() -> None:
    """On a fine grid a pure equilibrium is within a step of it, and the logit equilibrium comes near it as errors get rarer."""
    game = Platform(prices=60, memory="none", instruments=("prominence",))
    free = game.at_rule(prominence=0)
    hard = se.evaluate(game, free, follower=se.Nash("payoff"))
    found = [game.prices[policy[0, 0].argmax()] for policy in hard.responses[0].policies]
    np.testing.assert_allclose(found, 1.473, atol=game.prices[1] - game.prices[0])
    soft = [float(se.evaluate(game, free, follower=se.SoftNash(tau)).leader_return) for tau in (0.01, 0.001, 0.0003)]
    gaps = np.abs(np.array(soft) - float(hard.leader_return))
    assert (np.diff(gaps) < 0).all()
    assert gaps[-1] < 3e-3


@pytest.mark.parametrize(("memory", "fee"), [("prices", 0.0), ("winner", 0.2), ("none", 0.3)])
def test_rules_by_hand(memory: Any, fee: float) -> None:
    """Every set of sellers that may be shown, by loops over them."""
    names = RULES if memory != "none" else ("prominence", "ceiling")
    game = Platform(prices=3, memory=memory, instruments=names, fee=fee, fee_weight=0.5, costs=(1.0, 1.2), below=0.8)
    x = np.random.default_rng(3).normal(size=len(names))
    rule = {"advantage": 0.0} | {name: float(value) for name, value in game.rule(x).items()}
    for context, cost in enumerate(game.costs):
        (world,) = game.problems(x, context)
        for s in range(world.sizes[0]):
            before = np.sign(s % 3 - s // 3) if memory == "prices" else (0, 1, -1)[s]
            for j, k in product(range(3), repeat=2):
                asked = game.prices[[j, k]]
                hidden = 1 / (1 + np.exp((rule["ceiling"] - asked) / game.softness))
                wins = 1 / (1 + np.exp(-(asked[1] - asked[0] + rule["advantage"] * before) / game.softness))
                earned, wanted = np.zeros(2), 0.0
                for one, two, alone, first in product((False, True), repeat=4):
                    chance = np.prod(np.where([one, two], 1 - hidden, hidden))
                    chance *= rule["prominence"] if alone else 1 - rule["prominence"]
                    chance *= wins if first else 1 - wins
                    shown = (one and (first or not (alone and two)), two and not (alone and one and first))
                    worth = np.exp((1 + cost - asked) / 0.25) * shown
                    demand = worth / (1 + worth.sum())
                    earned += chance * ((1 - fee) * asked - cost) * demand
                    wanted += chance * (0.25 * np.log(1 + worth.sum()) + 0.5 * fee * asked @ demand)
                scale = 1.0 if memory == "none" else 0.05
                np.testing.assert_allclose(world.follower_rewards[:, s, 0, 3 * j + k], earned, atol=1e-13)
                np.testing.assert_allclose(world.leader_reward[s, 0, 3 * j + k], scale * wanted, atol=1e-13)
                if memory == "prices":
                    assert world.kernel[s, 0, 3 * j + k].argmax() == 3 * j + k
                if memory == "winner":
                    assert world.kernel[s, 0, 3 * j + k].argmax() == (0 if j == k else 1 if j < k else 2)


def test_who_was_cheaper_is_all_that_counts() -> None:
    """Maskin and Tirole's payoff-relevant state: sellers who remember prices play as those who remember the winner."""
    x = np.array([0.3, -0.5])
    both = [se.evaluate(Platform(prices=6, memory=memory), x) for memory in ("prices", "winner")]
    assert float(both[0].leader_return) == pytest.approx(float(both[1].leader_return), abs=1e-12)
    np.testing.assert_allclose(both[0].follower_returns, both[1].follower_returns, atol=1e-11)


@pytest.mark.parametrize(
    "arguments", [{}, {"fee": 0.3, "fee_weight": 2.0}, {"costs": (1.0, 1.4), "instruments": RULES, "below": 0.5}], ids=str
)
def test_no_rule_beats_the_bound(arguments: dict[str, Any]) -> None:
    """At the lowest price with both shown, where fees do not count; against logit equilibria and against sellers who play anything."""
    game = Platform(prices=5, memory="winner", **arguments)
    bound, rng = game.upper_bound(), np.random.default_rng(0)
    if not arguments:
        assert bound == pytest.approx(0.25 * np.log(1 + 2 * np.exp((2 - game.prices[0]) / 0.25)), abs=1e-12)
    for x in 4 * rng.normal(size=(6, game.dimension)):
        assert float(se.evaluate(game, x).leader_return) <= bound + 1e-12
        (world,) = game.problems(x, 0)
        played = [rng.dirichlet(np.full(5, 0.1), size=(3, 1)) for _ in range(2)]
        assert len(game.costs) > 1 or float(game.objective([world], played)) <= bound + 1e-12
    lowest = se.upper_bound(game)
    assert lowest is not None
    assert lowest <= bound


def test_rules_and_commitments_are_each_others_inverse() -> None:
    game = Platform(instruments=RULES)
    wanted = {"prominence": 0.3, "advantage": 0.1, "ceiling": 1.6}
    assert {name: float(value) for name, value in game.rule(game.at_rule(**wanted)).items()} == pytest.approx(wanted, abs=1e-12)
    assert (np.abs(game.at_rule(prominence=0, advantage=0, ceiling=game.prices[0])) <= 20).all()
    with pytest.raises(ValueError, match="has the numbers prominence, advantage, ceiling, got prominence"):
        game.at_rule(prominence=0.5)
    with pytest.raises(ValueError, match="prominence is a finite number at least 0"):
        game.at_rule(prominence=2, advantage=0, ceiling=1.6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"instruments": ()}, "one or more of prominence, advantage and ceiling"),
        ({"instruments": ("ceiling", "ceiling")}, "each once"),
        ({"memory": "none"}, "knows no previous winner"),
        ({"memory": "price"}, "did you mean 'prices'"),
        ({"prices": 1}, "prices is a whole number from 2"),
        ({"prices": 10**6}, "make them smaller"),
        ({"costs": ()}, "costs needs at least one"),
        ({"softness": 0}, "softness is a finite number above 0"),
        ({"fee": 1}, "fee is a finite number at least 0 and below 1"),
    ],
)
def test_senseless_markets(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        se.game("platform-v0", **arguments)


# -- the logit equilibrium ---------------------------------------------------------------------------------------------------------


class Rivals(Umpired):
    """`Umpired`, in which the second follower also wants what the leader wants: no longer opponents."""

    name = "rivals"

    def __init__(self, *, follower_sees: Any, contexts: int = 1, temperature: float = 0.2) -> None:
        super().__init__(follower_sees=follower_sees, contexts=contexts)
        self.default_follower: Any = se.SoftNash(temperature)

    def induced(self, x: Any, context: int) -> se.InducedMarkovGame:
        opposed = super().induced(x, context)
        first = opposed.follower_rewards[..., 0, :, :, :]
        second = opposed.leader_reward - 0.3 * first
        return replace(opposed, zero_sum=False, follower_rewards=array_namespace(x).stack([first, second], axis=-4))


@pytest.mark.parametrize("sees", ["action", "policy"])
def test_at_high_temperatures_there_is_one_and_iteration_finds_it(sees: Any) -> None:
    """Where errors are common the logit response map contracts: damped iteration from any policies comes to the same ones."""
    game, rng = Rivals(follower_sees=sees, temperature=3.0), np.random.default_rng(0)
    x = rng.normal(size=9)
    (world,) = game.problems(x)
    found = game.default_follower.respond(game, x).policies
    policies = [rng.dirichlet(np.ones(b), size=(3, 2 if sees == "action" else 1)).repeat(1 if sees == "action" else 2, 1) for b in (2, 3)]
    for _ in range(60):
        faced = [world.facing(i, policies) for i in range(2)]
        policies = [0.5 * own + 0.5 * soft_policy_iteration(mdp, 3.0).policy for own, mdp in zip(policies, faced, strict=True)]
    for one, other in zip(found, policies, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_opponents_who_meet_once_are_at_their_saddle_point() -> None:
    """What an opponent's entropy costs does not matter in the last step."""
    game = se.game("zero_sum_incentive-v0", states=4, actions=(2, 3), discount=0.0)
    x = np.random.default_rng(1).normal(size=game.dimension)
    saddle, (world,) = se.Saddle(0.1).respond(game, x).policies, game.problems(x)
    for one, other in zip(saddle, soft_nash(replace(world, zero_sum=False), 0.1).policies, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("hare", [0.55, 0.8])
def test_the_principal_branch_ends_at_the_risk_dominant_equilibrium(hare: float) -> None:
    """McKelvey and Palfrey 1995; Turocy 2005: in a stag hunt hares are dominant in risk from 1/2 on, though stags pay more."""
    payoff = np.array([[1.0, 0.0], [hare, hare]])
    found = soft_nash(once(np.stack([payoff, payoff.T])), 0.01)
    assert all(policy[0, 0, 1] > 1 - 1e-6 for policy in found.policies)
    stag = soft_nash(once(np.stack([payoff - [[0, 0], [0.3, 0.3]], (payoff - [[0, 0], [0.3, 0.3]]).T])), 0.01)
    assert all(policy[0, 0, 0] > 1 - 1e-6 for policy in stag.policies) == (hare - 0.3 < 0.5)


@pytest.mark.parametrize("seed", range(6))
def test_paths_lead_to_equilibria_in_random_games(seed: int) -> None:
    """At errors that are rare, and across the folds on the way: soft gaps are rounding, and hard ones within what entropy is worth."""
    rng = np.random.default_rng(seed)
    payoffs = rng.normal(size=(2, 4, 5))
    found = soft_nash(once(payoffs), 0.01)
    own, other = (policy[0, 0] for policy in found.policies)
    for table, mine, its in ((payoffs[0], own, other), (payoffs[1].T, other, own)):
        worth = table @ its
        wanted = np.exp((worth - worth.max()) / 0.01)
        np.testing.assert_allclose(mine, wanted / wanted.sum(), atol=1e-8)
        assert worth.max() - mine @ worth <= 0.01 * np.log(5)


def test_masked_and_idle_games() -> None:
    """An action that is not there is not played, and where nobody has anything to win all is played evenly."""
    game = once(np.zeros((2, 2, 3)))
    assert all(np.ptp(policy) < 1e-12 for policy in soft_nash(game, 0.1).policies)
    payoffs = np.random.default_rng(0).normal(size=(2, 2, 3))
    there = np.array([True, True, False] * 2).reshape(1, 1, 6)
    masked = soft_nash(replace(once(payoffs), available=there), 0.1)
    fewer = soft_nash(once(payoffs[:, :, :2]), 0.1)
    assert masked.policies[1][0, 0, 2] == 0
    np.testing.assert_allclose(masked.policies[1][0, 0, :2], fewer.policies[1][0, 0], atol=1e-10)
    with pytest.raises(PlanningError, match="action values to solve for, over 3000: take a smaller game"):
        soft_nash(once(np.random.default_rng(0).normal(size=(2, 16, 3000))), 0.1)
    with pytest.raises(PlanningError, match="here they do not"):
        se.evaluate(se.game("toy3-v0"), np.zeros(6), follower=se.SoftNash(0.1))


GAMES: dict[str, se.StackelbergGame] = {
    "prices": Platform(prices=3),
    "winner": Platform(prices=5, memory="winner", below=1.0, fee=0.2),
    "costs": Platform(prices=4, memory="winner", instruments=RULES, costs=(1.0, 1.4), below=0.5),
    "once": Platform(prices=6, memory="none", instruments=("prominence", "ceiling")),
    "leader acts": Rivals(follower_sees="action", contexts=2),
    "leader's policy is seen": Rivals(follower_sees="policy"),
    "escape": se.game("escape_room-v0", steps=2),
}


@pytest.mark.parametrize("name", GAMES)
def test_the_gradient_is_that_of_the_score(name: str) -> None:
    """Central differences, in games with deterministic and moved dynamics, with one shot and no end, and with leaders who act."""
    game = GAMES[name]
    follower = game.default_follower if name != "escape" else se.SoftNash(0.5)
    x = np.random.default_rng(0).normal(size=game.dimension)
    oracle = RepeatedGame(game, follower).oracle(se.Access.MODEL)
    found = exact_gradient(oracle, torch.tensor(x), None, reaction=True)
    scored = se.evaluate(game, x, follower=follower)
    assert found.value == pytest.approx(float(scored.leader_return), abs=1e-10)
    assert float(np.max(scored.follower_gap)) < 1e-8
    for i, unit in enumerate(1e-4 * np.eye(len(x))):
        ahead, behind = (float(se.evaluate(game, x + step, follower=follower).leader_return) for step in (unit, -unit))
        assert float(found.gradient[i]) == pytest.approx((ahead - behind) / 2e-4, abs=1e-7)


def test_batches_and_tensors_answer_as_single_commitments() -> None:
    game = GAMES["winner"]
    x = np.random.default_rng(2).normal(size=(3, 2))
    each = np.array([float(se.evaluate(game, one).leader_return) for one in x])
    np.testing.assert_allclose(se.evaluate(game, x).leader_return, each, atol=1e-12)
    np.testing.assert_allclose(se.evaluate(game, torch.tensor(x)).leader_return, each, atol=1e-12)  # type: ignore[arg-type]


def test_leaders_who_see_the_reaction_win() -> None:
    """Naive hides nobody, for hiding costs surplus at given prices; its sellers then have no reason to be cheap."""
    game = Platform(prices=4, memory="winner", below=1.0)
    free = float(se.evaluate(game, game.at_rule(prominence=0, advantage=0)).leader_return)
    searches: dict[str, dict[str, Any]] = {"multistart": {"evaluations": 12}, "zeroth_order": {"optimiser": "adam", "lr": 0.3}}
    returns = {name: solve(game, name, budget=12, seed=0, **options).leader_return for name, options in searches.items()}
    naive = solve(game, "naive", budget=12, seed=0, optimiser="adam", lr=1.0)
    assert naive.leader_return < free + 0.01
    assert min(returns.values()) > free + 0.1
    assert max(returns.values()) < game.upper_bound()
    for name in ("hpgd", "bchg", "penalty", "leader_ppo", "inverse_planning"):
        with pytest.raises(Declined):
            solve(game, name, budget=1)


# -- sellers who learn -------------------------------------------------------------------------------------------------------------


def test_learners_are_the_same_compiled_and_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: the loop in Python, compiled, in one call or in several, and after pickling in between."""
    game, follower, x = Platform(prices=3), se.IndependentQLearning(decay=0.01, patience=10_000), np.array([0.3, -0.4])
    together = follower.learn(game, x, periods=400, rng=np.random.default_rng(7))
    rng = np.random.default_rng(7)
    first = follower.learn(game, x, periods=150, rng=rng)
    pieces = follower.learn(game, x, periods=250, rng=rng, state=pickle.loads(pickle.dumps(first)))
    monkeypatch.setattr(rollouts, "COMPILED", False)
    plain = follower.learn(game, x, periods=400, rng=np.random.default_rng(7))
    for other in (pieces, plain):
        assert all(np.array_equal(*both) for both in zip(together.tables, other.tables, strict=True))
        assert np.array_equal(together.stream, other.stream)
    assert np.array_equal(together.visits, plain.visits)
    assert together.periods == together.visits.sum() == 400


def test_learners_defect_and_stop() -> None:
    """Without a tomorrow each learns its dominant action, and its answer is an equilibrium; without exploration a run is over soon."""
    game = Platform(prices=2, below=0.0, memory="winner", discount=0.0)
    x = game.at_rule(prominence=1.0, advantage=0.0)
    response = se.IndependentQLearning(decay=0.01, patience=2000).respond(game, x, rng=np.random.default_rng(0))
    assert response.certificate == 0
    assert all((policy.argmax(-1) == 0).all() for policy in response.policies)
    assert 2000 <= response.answers[0].training_steps < 20_000
    again = se.IndependentQLearning(decay=0.01, patience=2000).respond(game, x, state=response.state)
    assert again.answers[0].training_steps == 0
    moved = se.IndependentQLearning(start="carry", patience=1).respond(game, 0.9 * x, budget=1, state=response.state)
    assert moved.state.periods == 1
    assert np.abs(moved.state.tables[0] - response.state.tables[0]).max() < 0.1


def test_the_certificate_is_exploitability() -> None:
    """Of learners who have hardly begun: by value iteration on what each faces."""
    game, x = Platform(prices=3, memory="winner"), np.zeros(2)
    response = se.IndependentQLearning().respond(game, x, budget=50)
    (world,) = game.problems(x)
    worst = 0.0
    for i in range(2):
        mdp = world.facing(i, response.policies)
        best, kept = np.zeros(3), np.zeros(3)
        own = response.policies[i][:, 0].argmax(-1)
        for _ in range(1000):
            best = (mdp.follower_reward + 0.95 * mdp.kernel.expect(best))[:, 0].max(-1)
            kept = (mdp.follower_reward + 0.95 * mdp.kernel.expect(kept))[:, 0][np.arange(3), own]
        worst = max(worst, float((best - kept).max()))
    assert response.certificate == pytest.approx(worst, abs=1e-9)
    assert se.evaluate(game, x, follower=se.IndependentQLearning(steps=50)).leader_return == pytest.approx(
        float(game.objective([world], response.policies)), abs=1e-12
    )


def test_commitments_are_scored_by_the_judge() -> None:
    game = Platform(prices=3, memory="winner")
    found = solve(game, "zeroth_order", follower=se.IndependentQLearning(steps=200), budget=2, seed=0)
    assert found.leader_return == pytest.approx(float(se.evaluate(game, found.x, follower=se.SoftNash(0.01)).leader_return))
    with pytest.raises(PlanningError, match="two followers who have all their actions"):
        se.evaluate(se.game("escape_room-v0", agents=3), np.zeros(3), follower=se.IndependentQLearning(steps=1))
    with pytest.raises(PlanningError, match="one commitment at a time"):
        se.evaluate(game, np.zeros((2, 2)), follower=se.IndependentQLearning(steps=1))
    with pytest.raises(PlanningError, match="the discount of this game is 1"):
        se.evaluate(se.game("escape_room-v0", discount=1.0), np.zeros(3), follower=se.IndependentQLearning(steps=1))


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    return {row["case"]: row for row in json.loads((FOLDER / "recorded/platform.json").read_text())}


def test_the_page_is_what_the_record_says(rows: dict[str, dict[str, Any]]) -> None:
    assert list(rows) == list(study.CASES)
    assert study.page(list(rows.values())) == (FOLDER / "platform-learners.md").read_text(), "run  python -m baselines.studies.platform"


def test_recorded_learners_collude_as_published(rows: dict[str, dict[str, Any]]) -> None:
    """Calvano et al. 2020: a mean profit gain of 0.85.

    Johnson, Rhodes and Wildenbeest 2023: prominence of the cheaper lowers prices, and where these can fall to cost also surplus; dynamic
    prominence leaves fewer who collude.
    """
    free = rows["published market, no rule"]
    gain = np.array([run["gain"] for run in free["runs"]])
    assert gain.mean() == pytest.approx(0.85, abs=0.03)
    assert min(run["price"] for run in free["runs"]) > free["nash"] + 0.1
    median = {name: {key: np.median([run[key] for run in row["runs"]]) for key in ("price", "surplus")} for name, row in rows.items()}
    for market in ("published market", "prices down to cost"):
        none, prominent = (median[f"{market}, {rule}"] for rule in ("no rule", "prominence"))
        assert prominent["price"] < none["price"] - 0.05
    assert prominent["surplus"] < none["surplus"] - 0.05
    dear = {
        rule: np.mean([run["price"] > rows["published market, no rule"]["nash"] for run in rows[f"published market, {rule}"]["runs"]])
        for rule in ("no rule", "prominence", "dynamic prominence")
    }
    assert dear["no rule"] == 1 > 2 * dear["prominence"] > 2 * dear["dynamic prominence"]
    assert all(run["surplus"] <= row["bound"] + 1e-4 for row in rows.values() for run in row["runs"])


def test_one_recorded_run_again(rows: dict[str, dict[str, Any]]) -> None:
    """Seed 0 without a rule, bit for bit."""
    arguments, rule = study.CASES["published market, no rule"]
    game = Platform(**arguments)
    again = study.learn(game, game.at_rule(**rule), 0)
    again.pop("path")
    assert again == rows["published market, no rule"]["runs"][0]
