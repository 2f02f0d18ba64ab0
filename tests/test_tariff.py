"""Tariffs: the optimum against a brute force, a closed form and another programme, bounds against all that is found, and what jumps."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.games.tariff import Tariff
from stackelberg_envs.games.tariff_households import HOUSEHOLDS, SLOTS, Household, base_load, spot_prices
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.tariff_programme import best_tariff
from stackelberg_envs.planning.tariffs import enumerate_tariffs
from stackelberg_envs.play.rollouts import simulate

STRONG = se.Hard("strong")


def tariff(**arguments: Any) -> Tariff:
    game = se.game("tariff-v0", **arguments)
    assert isinstance(game, Tariff)
    return game


def worth(game: Tariff, prices: Any, follower: se.Follower = STRONG) -> float:
    return float(se.evaluate(game, game.at_prices(prices), follower=follower).leader_return)


def brute_force(households: tuple[Household, ...], levels: int, peak_cost: float, prices: np.ndarray) -> np.ndarray:
    """What tariffs (N, 4) earn, from the words of the game alone: every schedule of every household, and no tolerance in its choices."""
    earned = np.zeros(len(prices))
    for household in households:
        base, unit = base_load(household, 4), household.flexible / levels
        window = [t for t in range(4) if household.arrival <= 6 * t < household.deadline]
        most = min(levels, int(household.power * 6 / unit))
        schedules = np.array([
            q for q in product(*(range(most + 1) if t in window else (0,) for t in range(4))) if sum(q) == levels
        ])  # fmt: skip
        load = base + unit * schedules
        waiting = household.delay * unit * 6 * (schedules @ np.maximum(np.arange(4) - window[0], 0))
        cost = (spot_prices(4) * load + peak_cost * load**2 / 6).sum(axis=1)
        bills = prices @ load.T + waiting
        least, outside = bills.min(axis=1), 0.3 * load[0].sum() + waiting.min()
        best = np.where(bills <= least[:, None] + 1e-9, prices @ load.T - cost, -np.inf).max(axis=1)
        earned += np.where(least < outside - 1e-9, best, np.where(least > outside + 1e-9, 0.0, np.maximum(best, 0.0))) / len(households)
    return earned


@pytest.mark.parametrize(
    ("types", "levels", "peak_cost"),
    [((0, 1), 2, 0.02), ((0, 3), 3, 0.02), ((0, 2, 3), 2, 0.12)],
    ids=["two", "three levels", "one leaves"],
)
def test_no_grid_beats_the_enumeration(types: tuple[int, ...], levels: int, peak_cost: float) -> None:
    """A grid of 0.04 EUR and finer ones around its best tariffs: never above, and within 0.5 % below."""
    households = tuple(HOUSEHOLDS[i] for i in types)
    game = tariff(households=households, levels=levels, peak_cost=peak_cost, temperature=0.0)
    plan = enumerate_tariffs(game.consumers)
    if peak_cost > 0.1:
        assert any(q is None for q in plan.schedules)
        assert not all(q is None for q in plan.schedules)
    prices = np.stack(np.meshgrid(*[np.arange(0.0, 0.61, 0.04)] * 4), axis=-1).reshape(-1, 4)
    rng, best = np.random.default_rng(0), -np.inf
    for width in 0.04 * 0.6 ** np.arange(14):
        earned = brute_force(households, levels, peak_cost, prices)
        best = max(best, float(earned.max()))
        top = prices[np.argsort(earned)[-300:]]
        prices = np.clip(np.concatenate([top, *(top + width * rng.uniform(-1, 1, size=top.shape) for _ in range(20))]), 0.0, 0.6)
    assert best <= plan.value + 1e-8
    assert best == pytest.approx(plan.value, rel=0.005)
    assert brute_force(households, levels, peak_cost, plan.prices[None])[0] == pytest.approx(plan.value, abs=1e-6)
    assert worth(game, plan.prices) == pytest.approx(plan.value, abs=1e-9)


def test_one_household_that_cannot_wait() -> None:
    """It pays what it would pay elsewhere, and not more: the flat bill less what its load costs, computed by hand."""
    own = Household("rigid", base=8, evening=0.5, flexible=2, arrival=6, deadline=12, power=4, delay=0.0)
    game = tariff(households=(own,), temperature=0.0)
    load = base_load(own, 4) + 2 * np.eye(4)[1]
    assert load.sum() == pytest.approx(10, abs=1e-12)
    by_hand = 0.3 * 10 - (spot_prices(4) * load + 0.02 * load**2 / 6).sum()
    assert game.plan.value == pytest.approx(by_hand, abs=1e-9)
    assert game.plan.prices @ load == pytest.approx(3.0, abs=1e-9)
    assert worth(game, game.plan.prices) == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.parametrize("household", [HOUSEHOLDS[i] for i in (0, 1, 4)], ids=lambda household: household.name)
def test_one_type_leaves_all_its_surplus(household: Household) -> None:
    """Prices that make all hours equally good for the household leave the choice to the retailer: the surplus bound is attained."""
    game = tariff(households=(household,), periods=24, temperature=0.0)
    assert game.plan.value == pytest.approx(game.consumers.upper_bound, abs=1e-9)
    assert worth(game, game.plan.prices) == pytest.approx(game.plan.value, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_programme_is_the_enumeration(seed: int) -> None:
    """Two exact methods that share the last linear programme alone, on random households; what they claim is what the game pays."""
    game = tariff(households=3, seed=seed, levels=3, peak_cost=[0.02, 0.15][seed % 2], flat_margin=[0.0, 0.0, 0.05, 0.05][seed])
    enumerated, solved = enumerate_tariffs(game.consumers), best_tariff(game.consumers)
    assert solved.value == pytest.approx(enumerated.value, abs=1e-7)
    assert solved.value <= solved.bound <= game.consumers.upper_bound + 1e-9
    assert solved.bound == pytest.approx(solved.value, abs=1e-5)
    for plan in (enumerated, solved):
        strong = se.evaluate(game, game.at_prices(plan.prices), follower=STRONG)
        assert float(strong.leader_return) == pytest.approx(plan.value, abs=1e-9)
        leaves = game.demand([response.policies[0] for response in strong.responses]).leaves
        assert [q is None for q in plan.schedules] == (leaves > 0.5).tolist()
        assert worth(game, plan.prices, se.Hard("weak")) <= plan.value + 1e-9


def test_a_day_of_hours() -> None:
    """Solved to the end; it drops the household that costs more than it pays.  Nothing that solvers or chance find is above its bound."""
    game = tariff(periods=24, temperature=0.0)
    assert [q is None for q in game.plan.schedules] == [False, False, False, True]
    assert game.plan.value == pytest.approx(game.plan.bound, rel=1e-5)
    assert worth(game, game.plan.prices) == pytest.approx(game.plan.value, abs=1e-9)
    near = game.plan.prices + np.random.default_rng(0).normal(scale=0.003, size=(16, 24))
    tried = np.asarray(se.evaluate(game, np.stack([game.at_prices(prices) for prices in near]), follower=STRONG).leader_return)
    assert tried.max() <= game.plan.bound + 1e-9
    fewer = tariff(periods=12).consumers
    stopped = best_tariff(fewer, nodes=1)
    assert stopped.value <= best_tariff(fewer).value <= stopped.bound <= fewer.upper_bound + 1e-9


@given(
    seed=st.integers(0, 10**6),
    temperature=st.sampled_from([0.01, 0.05, 0.3]),
    margin=st.sampled_from([0.0, 0.05]),
    near=st.floats(0.0, 0.2),
)
@settings(deadline=None, max_examples=25)
def test_no_tariff_beats_the_soft_bound(seed: int, temperature: float, margin: float, near: float) -> None:
    """Random tariffs around the flat price, of random households."""
    game = tariff(households=2, seed=seed % 7, levels=2, flat_margin=margin, temperature=temperature)
    prices = np.clip(0.28 + near * np.random.default_rng(seed).normal(size=(32, 4)), 0.0, 0.6)
    earned = se.evaluate(game, np.stack([game.at_prices(row) for row in prices])).leader_return
    assert np.max(earned) <= game.bound() + 1e-9  # type: ignore[operator]


def test_the_soft_bound_is_near() -> None:
    """One type's is reached within 0.1 %, that of four within 7 %; with the temperature it tends to the surplus bound."""
    for households, gap in ((1, 0.001), (4, 0.07)):
        game = tariff(households=households)
        bound = game.bound()
        assert bound == min(se.upper_bounds(game).values())
        best = solvers.solve(game, "multistart", budget=60).leader_return
        assert bound is not None
        assert (1 - gap) * bound <= best <= bound + 1e-9
    limits = [tariff(temperature=tau).bound() for tau in (0.01, 0.001, 0.0001)]
    away = [abs(limit - tariff().consumers.upper_bound) for limit in limits if limit is not None]
    assert len(away) == 3
    assert away[0] > 3 * away[1] > 9 * away[2]
    assert tariff().bound(se.Quantal(0.1)) is None


def test_gradients_and_what_jumps() -> None:
    """Soft households have slopes, and they are exact; hard ones stay until a price is a millionth higher, and take their bills along."""
    game, plan = tariff(), tariff(temperature=0.0).plan
    x = game.at_prices([0.28, 0.31, 0.25, 0.3])
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    gradient = exact_gradient(oracle, torch.tensor(x), None, reaction=True).gradient.numpy()
    central = [(float(se.evaluate(game, x + h).leader_return - se.evaluate(game, x - h).leader_return)) / 2e-5 for h in 1e-5 * np.eye(4)]
    assert gradient == pytest.approx(central, abs=1e-7)
    just_above = worth(game, plan.prices * (1 + 1e-6))
    assert just_above < 0.75 * worth(game, plan.prices)
    below = [worth(game, plan.prices - 1e-3 * step) for step in (4, 3, 2, 1, 0)]
    assert (np.diff(below) > 0).all(), "below the jump all prices together still want to rise"
    assert worth(game, np.full(4, 0.5)) == 0, "and far above it nobody is left"


def test_demand_is_that_of_episodes() -> None:
    """Energy is kept; expected loads are those of 20,000 sampled days within five standard errors; odds are those of the two values."""
    game = tariff(levels=3)
    x = game.at_prices([0.25, 0.33, 0.22, 0.3])
    answered = se.evaluate(game, x)
    policies = [response.policies[0] for response in answered.responses]
    demand = game.demand(policies)
    totals = [household.base + household.flexible for household in game.households]
    assert demand.loads.sum(axis=1) == pytest.approx(totals, abs=1e-9)
    assert game.flat_demand().loads.sum(axis=1) == pytest.approx(totals, abs=1e-9)
    days = simulate(game.problems(x, 0)[0], policies[0], np.zeros(20_000, dtype=np.int64), np.random.default_rng(0), game.max_cycles)
    left = np.asarray(days.follower_actions)[:, 0] == 1
    assert left.mean() == pytest.approx(demand.leaves[0], abs=5 * (0.25 / 20_000) ** 0.5)
    units = np.asarray(days.follower_actions)[:, 1:].mean(axis=0)
    assert base_load(game.households[0], 4) + 8 / 3 * units == pytest.approx(demand.loads[0], abs=5 * 8 / 20_000**0.5)
    stay = se.Hard().respond(game, game.at_prices([0.3] * 4), 3).policies[0]
    assert game.demand([stay] * 4).peak_to_average > 1
    profile = game.profile(x, [[policy] for policy in policies])
    assert profile.amounts["load"] @ np.full(4, 6.0) == pytest.approx(np.mean(totals), abs=1e-9)
    assert profile.periods == ("12:00", "18:00", "00:00", "06:00")


def test_profiles_of_the_day() -> None:
    """Loads add up to what a day needs, however finely it is cut; wholesale prices peak in the evening."""
    for periods in (2, 4, 24, 48):
        assert base_load(HOUSEHOLDS[0], periods).sum() == pytest.approx(6, abs=1e-12)
    fine = spot_prices(SLOTS)
    assert np.argmax(fine) in (13, 14)  # around 19:00
    assert spot_prices(24) == pytest.approx(fine.reshape(24, 2).mean(axis=1), abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"periods": 5}, "divisor of 48"),
        ({"households": 9}, "households, without a seed,"),
        ({"households": ()}, "at least one, and a name of its own"),
        ({"households": (HOUSEHOLDS[0], HOUSEHOLDS[0])}, "a name of its own"),
        ({"largest_price": 0.0}, "largest_price"),
        ({"temperature": -1.0}, "temperature"),
        ({"periods": 24, "households": (Household("slow", 1, 0.5, 9, 6, 8, 1, 0.0),)}, "give it more power or time"),
    ],
)
def test_what_is_no_market(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        tariff(**arguments)


def test_too_many_schedules() -> None:
    with pytest.raises(ValueError, match="take fewer periods, or fewer levels"):
        enumerate_tariffs(tariff(periods=24).consumers)
