"""Equilibria of followers who mix: by supports, selected by name, under leaders who mix, and never anything that is none."""

from __future__ import annotations

import warnings
from typing import Any

import nashpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_interacting import Fixed, one_shot, random_process

import solvers
import stackelberg_envs as se
from stackelberg_envs.planning import matrix_games as mg
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.normal_form import mixed_equilibria, pure_equilibria
from stackelberg_envs.planning.saddle_point import saddle_point
from stackelberg_envs.planning.stage_games import stage_saddle
from stackelberg_envs.worlds.markov_game import InducedMarkovGame

PENNIES = np.array([[1.0, -1.0], [-1.0, 1.0]])
SEXES = np.array([[3.0, 0.0], [0.0, 2.0]]), np.array([[2.0, 0.0], [0.0, 3.0]])


def gain(payoffs: np.ndarray, u: np.ndarray, w: np.ndarray) -> float:
    """The most that anybody gains by deviating."""
    first, second = payoffs
    return max((first @ w).max() - u @ first @ w, (u @ second).max() - u @ second @ w)


# -- the enumeration


def test_games_by_hand() -> None:
    """Matching pennies; the battle of the sexes; one action; a game without gain, of which some equilibrium is found."""
    ((u, w),) = mixed_equilibria(np.stack([PENNIES, -PENNIES]))
    np.testing.assert_allclose([u, w], 0.5)
    found = mixed_equilibria(np.stack(SEXES))
    assert len(found) == 3
    np.testing.assert_allclose(np.concatenate(found[-1]), [0.6, 0.4, 0.4, 0.6])
    assert len(mixed_equilibria(np.ones((2, 1, 3)))) == 3
    assert len(mixed_equilibria(np.zeros((2, 3, 2)))) >= 6
    with pytest.raises(PlanningError, match=r"9 x 9 actions take 48619 pairs of supports, over 20000"):
        mixed_equilibria(np.zeros((2, 9, 9)))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6), st.booleans(), st.floats(-6, 6))
@settings(deadline=None, max_examples=60)
def test_all_equilibria_are_found_and_nothing_else(m: int, n: int, seed: int, whole: bool, size: float) -> None:
    """Each is at rest; an odd number where no two payoffs are alike (Wilson 1971), at least one in any game (Nash); those that nashpy
    finds, which leaves some out, are among them."""
    rng = np.random.default_rng(seed)
    payoffs = rng.integers(-2, 3, size=(2, m, n)).astype(float) if whole else rng.normal(size=(2, m, n))
    found = mixed_equilibria(10**size * payoffs)
    assert found
    assert all(gain(payoffs, u, w) < 1e-8 + 1e-8 / 10**size for u, w in found)
    if not whole and size > -3:  # below, ties are absolute
        assert len(found) % 2 == 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            others = list(nashpy.Game(*payoffs).support_enumeration())
        for u, w in others:
            assert min(max(np.abs(u - x).max(), np.abs(w - y).max()) for x, y in found) < 1e-6


# -- the follower


def test_matching_pennies_is_mixed() -> None:
    """Formerly a pure profile with a regret of 2."""
    for selection in ("best", "worst", "payoff", "risk", "first"):
        scored = se.evaluate(Fixed(one_shot(PENNIES, -PENNIES, leader=[[1, 0], [0, 0]]), se.Nash(selection)), np.zeros(6))
        np.testing.assert_allclose(scored.responses[0].policies, 0.5)
        assert scored.leader_return == pytest.approx(0.25)
        assert scored.duality_gap <= 1e-12


@pytest.mark.parametrize(
    ("selection", "mixed", "paid"),
    [("first", False, 0.0), ("first", True, 0.0), ("best", False, 0.0), ("best", True, 0.36), ("worst", True, 0.0), ("payoff", True, 0.0)],
)
def test_selection_among_mixed_equilibria(selection: Any, mixed: bool, paid: float) -> None:
    """A leader that is paid where the sexes miss each other in one way prefers that they mix: .6 x .6."""
    game = Fixed(one_shot(*SEXES, leader=[[0, 1], [0, 0]]), se.Nash(selection, mixed=mixed))
    scored = se.evaluate(game, np.zeros(6))
    assert scored.leader_return == pytest.approx(paid)
    assert scored.duality_gap <= 1e-12


def test_the_name_of_a_follower_is_what_it_was() -> None:
    """Recorded runs are found by it."""
    assert repr(se.Nash("best")) == "Nash(selection='best', temperature=0.0)"
    assert repr(se.Nash("best", mixed=True)) == "Nash(selection='best', mixed=True, temperature=0.0)"
    with pytest.raises(ValueError, match="Nash: mixed is True or False, got 'yes'"):
        se.Nash("best", mixed="yes")  # type: ignore[arg-type]


def test_three_followers_are_refused_with_the_least_regret() -> None:
    """Three-player matching pennies (Jordan, GEB 1993): the first likes to be like the second, the second like the third, and the third
    unlike the first; in each profile somebody would gain 1."""
    first, second, third = np.indices((2, 2, 2))
    circle = np.stack([first == second, second == third, third != first]).astype(float)
    assert not pure_equilibria(circle).any()
    game = Fixed(one_shot(*circle), se.Nash("first"))
    with pytest.raises(PlanningError, match=r"3 followers have no pure equilibrium here.*at least 1 by deviating"):
        se.evaluate(game, np.zeros(6))
    with pytest.raises(PlanningError, match=r"Nash\(mixed=True\) is for two followers, and here 3 interact"):
        se.evaluate(game, np.zeros(6), follower=se.Nash("first", mixed=True))


def layers(seed: int, sees: Any) -> InducedMarkovGame:
    """Random rewards of two followers and a leader who mixes, over states that never come back."""
    process = random_process(seed, states=3, leads=2, actions=(2, 3), sees=sees, zero_sum=False)
    return InducedMarkovGame(
        **{
            **{name: getattr(process, name) for name in process.tables},
            "transition": process.transition * np.triu(np.ones((3, 3)), 1)[:, None, None],
            "actions": (2, 3),
            "follower_discount": 0.9,
            "leader_discount": 0.8,
            "follower_sees": sees,
        }
    )


@given(st.integers(0, 10**6), st.sampled_from(["action", "policy"]), st.sampled_from(["best", "worst", "payoff", "first"]), st.booleans())
@settings(deadline=None, max_examples=40)
def test_what_is_answered_is_at_rest(seed: int, sees: str, selection: Any, mixed: bool) -> None:
    """The referee's duality gap is rounding, and within the certificates, for leaders who mix, whether their action is seen or not."""
    game = Fixed(layers(seed, sees), se.Nash(selection, mixed=mixed))
    scored = se.evaluate(game, np.zeros(6))
    assert scored.duality_gap <= 1e-8
    assert scored.follower_gap <= scored.responses[0].certificate + 1e-12
    policies = scored.responses[0].policies
    if sees == "policy":
        assert all(np.ptp(policy, axis=1).max() == 0 for policy in policies)
    values = np.array([answer.values @ game.process.initial for answer in scored.responses[0].answers])
    np.testing.assert_allclose(values, scored.follower_values[0], atol=1e-10)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=20)
def test_best_and_worst_are_that_in_one_shot(seed: int) -> None:
    """Of a leader who mixes unseen, over all equilibria of the mean game; and its mixture moves the equilibrium."""
    rng = np.random.default_rng(seed)
    pi, rewards, leader = rng.dirichlet(np.ones(2)), rng.normal(size=(2, 2, 3, 3)), rng.normal(size=(2, 9))
    process = InducedMarkovGame(
        pi[None], np.zeros((1, 2, 9, 1)), rewards.reshape(2, 1, 2, 9), leader[None], np.ones(1), (3, 3), 1.0, 1.0, follower_sees="policy"
    )
    mean = np.einsum("a,naij->nij", pi, rewards)
    paid = [u @ (pi @ leader).reshape(3, 3) @ w for u, w in mixed_equilibria(mean)]
    ends = [se.evaluate(Fixed(process, se.Nash(how, mixed=True)), np.zeros(6)).leader_return for how in ("best", "worst")]
    np.testing.assert_allclose(ends, [max(paid), min(paid)], atol=1e-9)


def test_a_deadline_gives_an_end_to_go_back_from() -> None:
    """A Markov game in which states come back has equilibria by backward induction over three steps."""
    process = random_process(4, states=3, zero_sum=False)
    with pytest.raises(PlanningError, match="with_deadline gives it an end"):
        se.evaluate(Fixed(process, se.Nash("best")), np.zeros(6))
    for selection in ("best", "worst"):
        scored = se.evaluate(Fixed(se.with_deadline(process, 3), se.Nash(selection, mixed=True)), np.zeros(6))
        assert scored.duality_gap <= 1e-9


def test_masks_in_stage_games() -> None:
    """An action that is not there is not played, and what is left has its own equilibrium."""
    first = np.array([[1.0, -1.0, 9.0], [-1.0, 1.0, 9.0], [9.0, 9.0, 9.0]])
    process = one_shot(first, -first)
    mask = np.zeros((3, 3), dtype=bool)
    mask[:2, :2] = True
    masked = InducedMarkovGame(
        **{name: getattr(process, name) for name in process.tables}, actions=(3, 3), follower_discount=1.0, leader_discount=1.0,
        available=mask.reshape(1, 1, 9),
    )  # fmt: skip
    scored = se.evaluate(Fixed(masked, se.Nash("first")), np.zeros(6))
    np.testing.assert_allclose(np.squeeze(scored.responses[0].policies), [[0.5, 0.5, 0], [0.5, 0.5, 0]])
    assert scored.duality_gap <= 1e-12


# -- one payoff that forbids an action does not blur the others


def test_a_forbidden_action_does_not_blur_an_equilibrium() -> None:
    """1 against .5, beside -1e9: pure, mixed, and for who is indifferent."""
    first = np.array([[1.0, 1.0], [0.5, 0.5], [-1e9, -1e9]])
    assert np.argwhere(pure_equilibria(np.stack([first, np.zeros((3, 2))]))).tolist() == [[0, 0], [0, 1]]
    forbidden = np.full((2, 3, 3), -1e9)
    forbidden[:, :2, :2] = PENNIES, -PENNIES
    forbidden[0, :2, 2], forbidden[1, 2, :2] = 0.0, 0.0
    ((u, w), *_) = [one for one in mixed_equilibria(forbidden) if max(one[0][2], one[1][2]) == 0]
    np.testing.assert_allclose([u, w], [[0.5, 0.5, 0]] * 2)


@given(st.integers(0, 10**6), st.sampled_from([-1e9, 0.0, 1e9]))
@settings(deadline=None, max_examples=8)
def test_a_forbidden_column_does_not_blur_a_commitment(seed: int, leader_there: float) -> None:
    """Linear programmes and ties as without it, whatever the leader would get there."""
    rng = np.random.default_rng(seed)
    m, n, types = rng.integers(2, 4), rng.integers(2, 4), rng.integers(1, 3)
    leader, follower, at = rng.normal(size=(types, m, n)), rng.normal(size=(types, m, n)), int(rng.integers(n + 1))
    with_column = np.insert(leader, at, leader_there, axis=2), np.insert(follower, at, -1e9, axis=2)
    for solve in (mg.strong_commitment, mg.weak_commitment, mg.dobss):
        assert solve(*with_column).value == pytest.approx(solve(leader, follower).value, abs=1e-8)
    mixture = rng.dirichlet(np.ones(m))
    assert mg.value_of(*with_column, mixture).value == pytest.approx(mg.value_of(leader, follower, mixture).value, abs=1e-12)


def test_ties_of_a_matrix_game_beside_a_forbidden_column() -> None:
    leader, follower = np.array([[0.0, 1.0, 5.0]]), np.array([[1.0, 0.5, -1e9]])
    assert mg.value_of(leader, follower, [1.0]).columns == ((0,),)
    assert (mg.strong_commitment(leader, follower).value, mg.weak_commitment(leader, follower).value) == (0.0, 0.0)
    conitzer = se.game("bimatrix-v0", leader_payoff=[[1, 3, 0], [0, 2, 0]], follower_payoff=[[1, 0, -1e9], [0, 1, -1e9]])
    for ties in ("strong", "weak"):
        solution = solvers.solve(conitzer, "multiple_lp", follower=se.Hard(ties), budget=1)
        assert solution.leader_return == pytest.approx(2.5, abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.01])
def test_forbidden_actions_do_not_blur_a_saddle_point(temperature: float) -> None:
    """A row and a column that nobody may take: the saddle point of the rest, to ten digits."""
    q = np.random.default_rng(5).normal(size=(6, 3, 4))
    wide = np.zeros((6, 4, 5))
    wide[:, :3, :4], wide[:, 3], wide[:, :3, 4] = q, -1e9, 1e9
    plain, beside = stage_saddle(q, temperature), stage_saddle(wide, temperature)
    np.testing.assert_allclose(beside.values, plain.values, atol=1e-10)
    np.testing.assert_allclose(beside.first[:, :3], plain.first, atol=1e-10)


def test_a_large_reward_excuses_no_sum_that_is_not_zero() -> None:
    process = random_process(0)
    rewards = process.follower_rewards.copy()
    rewards[0, 0, 0, 0], rewards[1, 0, 0, 0] = -1e9, 1e9
    rewards[0, 1, 0, 0] += 0.5
    tables = {name: getattr(process, name) for name in process.tables}
    unequal = InducedMarkovGame(
        **{**tables, "follower_rewards": rewards}, actions=(2, 3), follower_discount=0.9, leader_discount=0.8, zero_sum=True
    )
    with pytest.raises(PlanningError, match="do not sum to 0"):
        saddle_point(unequal, 0.1)
