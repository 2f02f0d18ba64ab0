"""Subsidies: the exact optimum against enumeration, the transfer bound against all that was found, and instruments that add up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import solvers
import stackelberg_envs as se
from baselines.bench import best, results_file
from baselines.bench.jobs import World
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.bounds import BoundError
from stackelberg_envs.games.subsidy import Subsidy
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning import contracts
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.subsidies import optimal_subsidies
from stackelberg_envs.testing import check_game

STRONG = se.Hard("strong")


def subsidy(**arguments: Any) -> Subsidy:
    game = se.game("subsidy-v0", **arguments)
    assert isinstance(game, Subsidy)
    return game


def lake(instrument: Any, **discounts: float) -> se.StackelbergGame:
    return se.from_gymnasium(gymnasium.make("FrozenLake-v1"), 1.0, instrument=instrument, **{"follower_discount": 0.9, **discounts})


def worth(game: se.StackelbergGame, x: np.ndarray, follower: se.Follower | None = None) -> float:
    return float(se.evaluate(game, x, follower=follower).leader_return)


def cheapest(game: Subsidy, policy: np.ndarray) -> float:
    """What a leader earns who makes one deterministic policy a best response as cheaply as it can: a linear programme over payments."""
    world = game._world
    s, _, b = world.follower_reward.shape
    p, r, gamma, rows = world.transition[:, 0], world.follower_reward[:, 0], game.follower_discount, np.arange(s)
    chain = np.eye(s) - gamma * p[rows, policy]
    visits = np.linalg.solve(chain.T, world.initial)
    bellman = np.hstack(
        [(gamma * p - np.eye(s)[:, None]).reshape(s * b, s), np.eye(s * b)]
    )  # of values and payments: r + b + gamma P V <= V
    planned = rows * b + policy
    cost = np.zeros(s + s * b)
    cost[s + planned] = visits
    found = linprog(
        cost,
        A_ub=bellman,
        b_ub=-r.ravel(),
        A_eq=bellman[planned],
        b_eq=-r.ravel()[planned],
        bounds=[(None, None)] * s + [(0, None)] * s * b,
    )
    return float(visits @ world.leader_reward[rows, 0, policy]) - game.price * found.fun


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_is_that_of_enumeration(seed: int) -> None:
    """Every deterministic policy, each made a best response by a linear programme; the null commitment is far from it."""
    game = subsidy(states=4, seed=seed, price=[1.0, 0.5, 2.0][seed % 3])
    enumerated = max(cheapest(game, np.array(policy)) for policy in product(range(3), repeat=4))
    assert game.plan.value == pytest.approx(enumerated, abs=1e-7)
    assert worth(game, game.commitment(game.plan.payments), STRONG) == pytest.approx(enumerated, abs=1e-6)
    assert se.transfer_bound(game, STRONG) == pytest.approx(enumerated, abs=1e-7)


def test_the_planner() -> None:
    """In a large Garnet of lists, in Frozen Lake with pairs in another order, and with masked actions; it declines what it cannot do."""
    backwards = [(s, b) for s in reversed(range(16)) for b in (2, 0, 3, 1)]
    rng = np.random.default_rng(0)
    masked = rng.uniform(size=(6, 3))
    masked[[0, 3], [1, 2]] = -np.inf
    worlds = (
        subsidy(states=2000, actions=2, price=0.7),
        lake(se.Subsidies(backwards, scale=0.1)),
        se.from_arrays(
            rng.dirichlet(np.ones(6), (6, 3)), masked, rng.uniform(size=(6, 3)), follower_discount=0.9, instrument=se.Subsidies()
        ),
    )
    for game in worlds:
        solution = solvers.solve(game, "subsidy_planner", follower=STRONG, budget=2)
        assert solution.leader_return == pytest.approx(se.transfer_bound(game, STRONG), abs=1e-6)
    for other, follower, why in (
        (subsidy(), None, "plays against Hard"),
        (subsidy(), se.Hard("weak"), "plays against Hard"),
        (subsidy(budget=1.0), STRONG, "without a budget"),
        (se.game("toy3-v0"), STRONG, "needs a payment for each pair"),
        (lake(se.Subsidies(), leader_discount=0.8), STRONG, "who discount alike"),
        (lake(se.Penalties("pairs", 1.0)), STRONG, "in proportion"),
    ):
        with pytest.raises(solvers.Declined, match=why):
            solvers.solve(other, "subsidy_planner", follower=follower, budget=1)
    with pytest.raises(PlanningError, match="the leader does not act"):
        optimal_subsidies(se.game("random_markov_game-v0").null_worlds[0])  # type: ignore[arg-type]


@given(
    st.integers(0, 10**6),
    st.sampled_from([0.3, 1.0, 2.5]),
    st.sampled_from([None, 0.4]),
    st.sampled_from([
        se.Soft(0.02), se.Soft(0.5), STRONG, se.Hard("weak"), se.EpsilonOptimal(0.1, "adversarial"), se.EpsilonOptimal(0.1, "cooperative")
    ]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_no_commitment_beats_the_transfer_bound(seed: int, price: float, budget: float | None, follower: se.Follower) -> None:
    """Random ones, and the optimal payments raised and lowered a little."""
    game = subsidy(states=4, actions=2, branching=2, price=price, budget=budget, seed=seed)
    rng = np.random.default_rng(seed)
    xs = [scale * rng.normal(size=game.dimension) for scale in (1.0, 6.0)]
    if budget is None:
        xs += [game.commitment(factor * game.plan.payments) for factor in (0.9, 1.0, 1.1)]
    bound = se.transfer_bound(game, follower)
    assert bound is not None
    assert max(worth(game, x, follower) for x in xs) <= bound + 1e-6 * (1 + abs(bound))


def test_the_bound_shrinks_to_the_optimum_and_is_tighter_than_cooperation() -> None:
    """As the temperature falls; and for committed contracts it is above the optimum of the linear programme, far below cooperation."""
    game = subsidy(seed=3)
    hard = se.transfer_bound(game, STRONG)
    gaps = [
        abs(bound - hard) for tau in (0.1, 0.01, 0.001) if (bound := se.transfer_bound(game, se.Soft(tau))) is not None and hard is not None
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.005
    for seed in range(3):
        tree = se.game("contract_tree-v0", depth=3, seed=seed)
        bound, cooperative = se.transfer_bound(tree, STRONG), se.cooperative_value(tree)
        assert bound is not None
        assert cooperative is not None
        assert contracts.optimal_contract(tree.tree).value <= bound < cooperative  # type: ignore[attr-defined]
        soft = se.transfer_bound(tree)
        assert soft is not None
        assert solvers.solve(tree, "multistart", budget=40).leader_return <= soft < bound
        assert bound == pytest.approx(contracts.first_best(tree.tree), abs=1e-9)  # type: ignore[attr-defined]


def test_no_best_known_value_beats_the_transfer_bound() -> None:
    stored = [entry for entry in results_file.read(best.COMMITTED).values() if entry["world"]["id"] in ("subsidy-v0", "contract_tree-v0")]
    for entry in stored:
        world = World(**entry["world"])
        bound = se.transfer_bound(world.game(), world.answerer())
        assert bound is not None
        assert 0 < entry["leader_return"] <= bound + 1e-6
    assert len(stored) >= 3


@pytest.mark.parametrize(
    ("make", "follower", "why"),
    [
        (lambda: se.game("four_rooms-v0"), None, "its leader takes from followers, or pays nothing"),
        (lambda: se.game("toy3-v0"), None, "it does not say incentive and leader_cost"),
        (lambda: se.game("escape_room-v0"), STRONG, "its followers interact"),
        (lambda: se.game("lq_gain-v0"), se.Soft(0.1), "its objective is not a sum of rewards"),
        (subsidy, se.Quantal(0.1), "is not Hard, Soft or EpsilonOptimal"),
        (lambda: se.game("tax_design-v0", grid=21, hours=3, spendings=2), STRONG, "its (leader takes|cost)"),
        (lambda: lake(se.Subsidies(price=0.0)), None, "not in proportion"),
        (lambda: lake(se.Subsidies(), leader_discount=0.8), None, "discount differently"),
        (
            lambda: lake(se.Subsidies() + se.Quotas([(0, 1)], 0)),
            None,
            "takes|moves|proportion",
        ),
    ],
)
def test_what_has_no_transfer_bound(make: Callable[[], se.StackelbergGame], follower: se.Follower | None, why: str) -> None:
    assert se.transfer_bound(make(), follower) is None
    with pytest.raises(BoundError, match=f"no transfer bound: .*{why}"):
        se.transfer_bound(make(), follower, strict=True)


def test_commitments_of_payments() -> None:
    for budget in (None, 20.0):
        game = subsidy(budget=budget)
        paid = np.random.default_rng(0).uniform(0.01, 1.0, size=(5, 3))
        assert game.instruments(game.commitment(paid))["subsidies"] == pytest.approx(paid.ravel(), abs=1e-12)
        assert game.leader_space.contains(game.commitment(0 * paid))
        assert game.instruments(game.commitment(0 * paid))["subsidies"].max() < 1e-7
    with pytest.raises(ValueError, match="something has to stay unspent"):
        subsidy(budget=1.0).commitment(np.full((5, 3), 0.1))


def test_instruments_add_up() -> None:
    """Rewards and costs are sums of those of each alone; refused actions are mixed by hand; derivatives and every check agree."""
    rng = np.random.default_rng(1)
    kernel, reward, leader = rng.dirichlet(np.ones(4), size=(4, 3)), rng.uniform(size=(4, 3)), rng.uniform(size=(4, 3))
    subsidies, penalties, quotas = (
        se.Subsidies(price=0.5),
        se.Penalties([0, 2], price=-1.0, budget=1.0),
        se.Quotas([(0, 2), (3, 1)], [0, 1, 1, 0]),
    )

    def world(instrument: Any) -> se.StackelbergGame:
        return se.from_arrays(kernel, reward, leader, follower_discount=0.9, instrument=instrument, name="mix")

    game = world(subsidies + penalties + quotas)
    x = rng.normal(size=game.dimension)
    assert {name: len(values) for name, values in game.instruments(x).items()} == {"subsidies": 12, "penalties": 2, "quotas": 2}
    (alone,), (taxed,) = world(subsidies).problems(x[:12]), world(penalties).problems(x[12:15])
    paid, earned = (
        alone.follower_reward + taxed.follower_reward - reward[:, None],
        alone.leader_reward + taxed.leader_reward - leader[:, None],
    )
    share = 1 / (1 + np.exp(-x[15:]))
    expected = [table[:, 0].copy() for table in (paid, earned)] + [kernel.copy()]
    for table in expected:
        for (s, b), instead, q in zip(quotas.where, (0, 0), share, strict=True):
            table[s, b] = q * table[s, b] + (1 - q) * table[s, instead]
    (induced,) = game.problems(x)
    for table, by_hand in zip((induced.follower_reward, induced.leader_reward, induced.transition), expected, strict=True):
        np.testing.assert_allclose(table[:, 0], by_hand, atol=1e-14)
    check_game(game)
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    gradient = exact_gradient(oracle, torch.tensor(x), None, reaction=True).gradient.numpy()
    slopes = [(worth(game, x + 1e-5 * step) - worth(game, x - 1e-5 * step)) / 2e-5 for step in np.eye(game.dimension)]
    assert gradient == pytest.approx(slopes, abs=1e-6)
    twice = world(se.Subsidies([0]) + se.Subsidies([1]))
    assert list(twice.instruments(np.zeros(2))) == ["subsidies", "subsidies (2)"]


@pytest.mark.parametrize(
    ("instrument", "why"),
    [
        (se.Quotas([(0, 9)], 0), "Quotas.where"),
        (se.Quotas([(0, 1)], 7), "instead is an action from 0 to 3"),
        (se.Quotas([(0, 1)], 1), "in state 0 action 1 is to take place instead, and it has a quota itself"),
        (se.Quotas([(0, 1)], 0) + se.Quotas([(1, 1)], 0), "quotas are named once"),
        (se.Subsidies() + 3, "what is added to an instrument is one"),  # type: ignore[operator]  # what a person may write
        (se.Subsidies() + se.MixedActions(), "MixedActions"),
    ],
)
def test_instruments_that_do_not_add_up(instrument: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lake(instrument)
