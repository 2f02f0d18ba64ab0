"""Exact values of matrix games against theorems, published values and an independent library; and the planners that use them."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import nashpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_values import MATRIX_GAMES, TOY3_LINE_SEARCH
from scipy.optimize import linprog

import solvers
import stackelberg_envs as se
from stackelberg_envs.games.bimatrix_presets import ORDINAL, PRESETS, random_payoffs
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning import matrix_games as mg

Payoffs = tuple[np.ndarray, np.ndarray]


def matrices(*, types: int = 1) -> st.SearchStrategy[Payoffs]:
    """Payoffs (m, n) and (T, m, n): continuous ones, and small integers, which bring ties, duplicates and constant games."""

    def build(arguments: tuple[int, int, int, bool]) -> Payoffs:
        m, n, seed, degenerate = arguments
        rng = np.random.default_rng(seed)
        if degenerate:
            return rng.integers(0, 3, (m, n)).astype(float), rng.integers(0, 3, (types, m, n)).astype(float)
        return random_payoffs(rows=m, columns=n, types=types, correlation=rng.uniform(-1, 1), seed=seed)

    return st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6), st.booleans()).map(build)


def judged(payoffs: Payoffs, mixture: np.ndarray, ties: Any) -> float:
    """The referee's score of a mixture."""
    game = se.game("bimatrix-v0", leader_payoff=payoffs[0], follower_payoff=payoffs[1])
    return float(se.evaluate(game, mg.logits(mixture), follower=se.Hard(ties)).leader_return)


@pytest.mark.parametrize("name", MATRIX_GAMES)
def test_known_values(name: str) -> None:
    known, payoffs = MATRIX_GAMES[name], PRESETS[name]
    strong = mg.strong_commitment(*payoffs)
    assert strong.value == pytest.approx(known["strong"], abs=1e-9)
    assert mg.weak_commitment(*payoffs).value == pytest.approx(known["weak_supremum"], abs=1e-9)
    assert mg.pure_commitment(*payoffs).value == known["pure"]
    if "mixture" in known:
        np.testing.assert_allclose(strong.mixture, known["mixture"], atol=1e-9)
        assert mg.value_of(*payoffs, strong.mixture, ties="weak").value == pytest.approx(known["weak_there"], abs=1e-9)
        assert judged(payoffs, strong.mixture, "weak") == pytest.approx(known["weak_there"], abs=1e-9)
        margin = mg.margin_commitment(*payoffs, 1e-3)
        assert margin is not None
        assert margin.value == pytest.approx(known["margin_.001"], abs=1e-7)
    rows = range(len(payoffs[0]))
    pure_nash = {payoffs[0][i, j] for i in rows for j in range(payoffs[0].shape[1]) if _is_pure_nash(payoffs, i, j)}
    assert pure_nash == set(known["pure_nash"])


def _is_pure_nash(payoffs: Payoffs, i: int, j: int) -> bool:
    return payoffs[0][i, j] >= payoffs[0][:, j].max() and payoffs[1][i, j] >= payoffs[1][i].max()


def test_the_twelve_are_all_symmetric_strict_ordinal_games() -> None:
    """Robinson and Goforth 2005: 24 rankings, two and two the same up to the names of the moves."""
    classes = {frozenset([ranks, ranks[::-1]]) for ranks in itertools.permutations((1, 2, 3, 4))}
    assert len(classes) == 12
    assert {frozenset([ranks, ranks[::-1]]) for ranks in ORDINAL.values()} == classes
    assert all(np.array_equal(PRESETS[name][0], PRESETS[name][1].T) for name in ORDINAL)
    strong = {name: mg.strong_commitment(*PRESETS[name]).value for name in ORDINAL}
    assert strong.pop("prisoners_dilemma") == 2
    assert [strong.pop(name) for name in ("deadlock", "prisoners_delight")] == [3, 3], "the follower's second move is dominant"
    assert set(strong.values()) == {4.0}, "a row to which the follower's reply pays the leader most"


def test_random_payoffs_are_correlated_as_asked() -> None:
    for rho in (-1.0, -0.5, 0.0, 1.0):
        leader, follower = random_payoffs(rows=200, columns=200, correlation=rho)
        measured = np.corrcoef(leader.ravel(), follower.ravel())[0, 1]
        assert measured == pytest.approx(rho, abs=4 / 200), "four standard errors of 40,000 pairs"
    zero_sum = se.game("bimatrix-v0", preset="random", correlation=-1.0, seed=3).problems(np.zeros(3))[0]
    np.testing.assert_allclose(zero_sum.leader_reward, -zero_sum.follower_reward)


@given(matrices())
@settings(deadline=None, max_examples=60)
def test_values_are_ordered_and_the_referee_agrees(payoffs: Payoffs) -> None:
    """Weak <= strong, pure <= mixed, and each value is what the referee finds at its certificate."""
    strong, weak = mg.strong_commitment(*payoffs), mg.weak_commitment(*payoffs)
    assert weak.value <= strong.value + 1e-9
    assert judged(payoffs, strong.mixture, "strong") == pytest.approx(strong.value, abs=1e-7)
    if weak.slack > 1e-4:
        near = judged(payoffs, weak.towards_interior(1e-6), "weak")
        assert weak.value - 2e-2 * np.ptp(payoffs[0]) - 1e-9 <= near <= weak.value + 1e-9
    for ties, best in (("strong", strong), ("weak", weak)):
        pure = mg.pure_commitment(*payoffs, ties=ties)  # type: ignore[arg-type]
        assert pure.value <= best.value + 1e-9
        assert judged(payoffs, pure.mixture, ties) == pytest.approx(pure.value, abs=1e-12)
        for mixture in np.random.default_rng(0).dirichlet(np.ones(len(payoffs[0])), 20):
            assert mg.value_of(*payoffs, mixture, ties=ties).value <= best.value + 1e-9  # type: ignore[arg-type]


@given(matrices())
@settings(deadline=None, max_examples=60)
def test_commitment_is_worth_every_equilibrium(payoffs: Payoffs) -> None:
    """The strong Stackelberg value is at least the leader's payoff in every Nash equilibrium (von Stengel and Zamir 2010), by nashpy."""
    leader, follower = payoffs[0], payoffs[1].reshape(payoffs[0].shape)
    value = mg.strong_commitment(leader, follower).value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate games nashpy finds some of the equilibria, and says so
        found = list(nashpy.Game(leader, follower).support_enumeration())
    for row, column in found:
        assert value >= row @ leader @ column - 1e-9


@given(matrices())
@settings(deadline=None, max_examples=40)
def test_zero_sum_commitment_is_worth_the_minimax_value(payoffs: Payoffs) -> None:
    """Von Neumann 1928, by the follower's linear programme: min v s.t. L y <= v; ties do not matter."""
    leader = payoffs[0]
    m, n = leader.shape
    dual = linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.hstack([leader, -np.ones((m, 1))]),
        b_ub=np.zeros(m),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
    )
    for solve in (mg.strong_commitment, mg.weak_commitment):
        assert solve(leader, -leader).value == pytest.approx(dual.fun, abs=1e-7)


@given(matrices(), st.floats(0.1, 50), st.floats(-20, 20))
@settings(deadline=None, max_examples=40)
def test_affine_rescaling(payoffs: Payoffs, scale: float, shift: float) -> None:
    """The leader's payoffs rescale the value; the follower's, even row by row shifted, leave it alone."""
    leader, follower = payoffs
    shifts = np.random.default_rng(0).normal(size=(len(leader), 1))
    for solve in (mg.strong_commitment, mg.weak_commitment):
        value = solve(leader, follower).value
        assert solve(scale * leader + shift, follower).value == pytest.approx(scale * value + shift, abs=1e-6)
        assert solve(leader, scale * follower + shift + shifts).value == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_the_weak_planner_stays_clear_of_ties(offset: float) -> None:
    """However large the follower's payoffs, what the solver commits to is worth the supremum against a weak follower."""
    leader, follower = (np.array(table) for table in PRESETS["conitzer"])
    game = se.game("bimatrix-v0", leader_payoff=leader.tolist(), follower_payoff=(follower + offset).tolist())
    solution = solvers.solve(game, "multiple_lp", follower=se.Hard("weak"), budget=1)
    assert solution.history[-1]["value"] == pytest.approx(2.5, abs=1e-6)
    assert solution.leader_return == pytest.approx(2.5, abs=2e-3)


@given(matrices())
@settings(deadline=None, max_examples=40)
def test_the_margin_curve_falls_from_the_weak_value(payoffs: Payoffs) -> None:
    weak = mg.weak_commitment(*payoffs).value
    curve = [mg.margin_commitment(*payoffs, margin) for margin in (1e-6, 1e-3, 0.1, 0.5, 1.0)]
    values = [-np.inf if point is None else point.value for point in curve]
    assert values[0] <= weak + 1e-9
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(values))
    for point, margin in zip(curve, (1e-6, 1e-3, 0.1, 0.5, 1.0), strict=True):
        if point is not None:
            other = point.mixture @ payoffs[1].reshape(payoffs[0].shape)
            (answer,) = point.columns
            rivals = np.delete(other, answer)
            assert not rivals.size or other[answer[0]] - rivals.max() >= margin - 1e-8


def test_degenerate_games_by_hand() -> None:
    """Duplicates, constants, one row, one column."""
    leader = np.array([[5.0, 1.0, 2.0], [0.0, 0.0, 3.0]])
    twice = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # columns 0 and 1 cannot be told apart
    assert mg.strong_commitment(leader, twice).value == 5.0
    weak = mg.weak_commitment(leader, twice)
    assert weak.value == pytest.approx(3.0), "row 1 and column 2; against columns 0 and 1 the weak value is at most 1"
    assert mg.weak_commitment(leader[:, :2], twice[:, :2]).columns == ((0, 1),)
    constant = np.zeros((2, 3))
    assert mg.strong_commitment(leader, constant).value == 5.0
    assert mg.weak_commitment(leader, constant).value == pytest.approx(1.0), "the maximin over rows"
    for ties in (mg.strong_commitment, mg.weak_commitment):
        assert ties([[1.0, 7.0]], [[0.0, 1.0]]).value == 7.0
        assert ties([[1.0], [7.0]], [[0.0], [1.0]]).value == 7.0
        assert ties([[2.0, 2.0], [2.0, 2.0]], np.ones((2, 2))).value == 2.0
    dominated = np.array([[1.0, 1.0], [1.0, 0.0]])  # column 1 is at best tied, in row 0, where the leader wants it
    assert mg.strong_commitment([[0.0, 9.0], [1.0, 0.0]], dominated).value == pytest.approx(9.0)
    assert mg.weak_commitment([[0.0, 9.0], [1.0, 0.0]], dominated).value == pytest.approx(1.0), "it is never strictly best"


@given(matrices(types=3), st.integers(0, 100))
@settings(deadline=None, max_examples=15)
def test_types_by_two_programmes(payoffs: Payoffs, seed: int) -> None:
    """Multiple LPs over joint responses and DOBSS agree, with each other and with the referee; the leader commits to one mixture."""
    p = np.random.default_rng(seed).dirichlet(np.ones(3))
    strong, mixed_integer = mg.strong_commitment(*payoffs, p), mg.dobss(*payoffs, p)
    assert mixed_integer.value == pytest.approx(strong.value, abs=1e-6)
    game = se.game("bimatrix-v0", leader_payoff=payoffs[0], follower_payoff=payoffs[1], type_probabilities=p)
    assert game.context_visibility == "never"
    for best in (strong, mixed_integer):
        scored = se.evaluate(game, mg.logits(best.mixture), follower=se.Hard("strong"))
        assert float(scored.leader_return) == pytest.approx(best.value, abs=1e-7)
    informed = sum(q * mg.strong_commitment(payoffs[0], other).value for q, other in zip(p, payoffs[1], strict=True))
    assert strong.value <= informed + 1e-9, "to see the type first is worth at least as much"
    assert mg.weak_commitment(*payoffs, p).value <= strong.value + 1e-9


def test_one_type_three_times_is_one_type() -> None:
    leader, follower = PRESETS["maintain"]
    assert mg.strong_commitment(leader, np.stack([follower] * 3)).value == pytest.approx(27.5)
    assert mg.dobss(leader, np.stack([follower] * 9)).value == pytest.approx(27.5), "3^9 joint responses"
    with pytest.raises(ValueError, match="19683 joint responses of 9 types"):
        mg.weak_commitment(leader, np.stack([follower] * 9))
    for call in (
        lambda: mg.strong_commitment(leader, follower[:2]),
        lambda: mg.strong_commitment(leader, np.full((3, 3), np.nan)),
        lambda: mg.strong_commitment(leader, follower, [0.5, 0.5]),
        lambda: mg.margin_commitment(leader, follower, 0.0),
        lambda: mg.value_of(leader, follower, [1.0]),
    ):
        with pytest.raises(ValueError, match=r"payoffs|probabilities|margin is positive|a mixture has shape"):
            call()


@pytest.mark.parametrize(("name", "ties"), [(name, ties) for name in ("maintain", "conitzer", "chicken") for ties in ("strong", "weak")])
def test_multiple_lp(name: str, ties: Any) -> None:
    """The solver meets the game only through its oracle; the referee finds the value, or all but a millionth of the payoffs' range."""
    game = se.game("bimatrix-v0", preset=name)
    solution = solvers.solve(game, "multiple_lp", follower=se.Hard(ties), budget=3)
    assert solution.history[-1]["value"] == pytest.approx(MATRIX_GAMES[name]["strong"])
    assert solution.leader_return == pytest.approx(MATRIX_GAMES[name]["strong"], abs=1e-9 if ties == "strong" else 1e-4)
    assert solution.x in game.leader_space
    types = se.game("bimatrix-v0", preset="random", types=3, seed=4)
    leader, follower = random_payoffs(types=3, seed=4)
    best = solvers.solve(types, "multiple_lp", follower=se.Hard("strong"), budget=1).leader_return
    assert best == pytest.approx(mg.dobss(leader, follower).value, abs=1e-8)


@pytest.mark.parametrize(
    ("solver", "id", "arguments", "follower", "reason"),
    [
        ("multiple_lp", "bimatrix-v0", {}, se.Soft(0.1), "plays against Hard"),
        ("multiple_lp", "bimatrix-v0", {"rounds": 2}, se.Hard(), "one-shot"),
        ("multiple_lp", "toy3-v0", {}, se.Hard(), "one-shot"),
        ("multiple_lp", "random_markov_game-v0", {"states": 1, "branching": 1, "max_cycles": 1}, se.Hard(), "ends after one move"),
        (
            "multiple_lp",
            "random_markov_game-v0",
            {"states": 1, "branching": 1, "max_cycles": 1, "follower_sees": "action"},
            se.Hard(),
            "mixture",
        ),
        ("enumeration", "four_rooms-v0", {}, None, "has one action"),
        ("enumeration", "random_markov_game-v0", {"states": 9}, None, r"3\^9, over 10000"),
        ("line_search", "bimatrix-v0", {}, None, "has 0 to 1"),
    ],
)
def test_planners_decline(solver: str, id: str, arguments: dict[str, Any], follower: Any, reason: str) -> None:
    more = {"component": 2} if solver == "line_search" else {}
    with pytest.raises(solvers.Declined, match=reason):
        solvers.solve(se.game(id, **arguments), solver, follower=follower, budget=2, **more)


@pytest.mark.parametrize(("R", "follower", "optimum", "precision", "p"), TOY3_LINE_SEARCH)
def test_line_search_on_toy3(R: int, follower: se.Follower, optimum: float, precision: float, p: float) -> None:
    """Along the logit of A's action 1, with the cliff behind the optimum: `p` is the probability of the other action there."""
    solution = solvers.solve(se.game("toy3-v0", R=R), "line_search", follower=follower, component=3, start=np.zeros(6), budget=500)
    assert solution.leader_return == pytest.approx(optimum, abs=precision)
    assert 1 / (1 + np.exp(solution.x[3])) == pytest.approx(p, abs=3e-4)
    assert not np.delete(solution.x, 3).any(), "the others stay"
    assert solution.history[-1]["search_return"] == pytest.approx(solution.leader_return, abs=1e-10)


@given(st.integers(0, 1000), st.sampled_from(["policy", "action"]), st.sampled_from([se.Soft(0.05), se.Hard("strong")]))
@settings(deadline=None, max_examples=8)
def test_enumeration_beats_every_deterministic_policy(seed: int, sees: str, follower: se.Follower) -> None:
    """All 2^3 by hand: logits of 0 and -800."""
    game = se.game("random_markov_game-v0", states=3, leader_actions=2, follower_actions=2, branching=2, seed=seed, follower_sees=sees)
    solution = solvers.solve(game, "enumeration", follower=follower, budget=12)
    assert solution.history[-1]["tried"] == solution.history[-1]["policies"] == 8
    scores = [
        float(se.evaluate(game, np.where(np.eye(2)[list(actions)] > 0, 0.0, -800.0).ravel(), follower=follower).leader_return)
        for actions in itertools.product(range(2), repeat=3)
    ]
    assert solution.leader_return == pytest.approx(max(scores), abs=1e-7)


def test_memory_pays_in_the_iterated_dilemma() -> None:
    """By hand, ten rounds: open with a defection (4), then cooperate (3) as long as the follower does, who gets 1 + 9 x 3 > 10 x 2."""
    game = se.game("bimatrix-v0", preset="prisoners_dilemma", rounds=10)
    assert game.sizes == ((5, 2, 2),)
    solution = solvers.solve(game, "enumeration", follower=se.Hard("strong"), budget=32)
    assert solution.leader_return == pytest.approx(4 + 9 * 3)
    once = mg.strong_commitment(*PRESETS["prisoners_dilemma"]).value
    always = np.tile([-20.0, 20.0], 5)
    assert se.evaluate(game, always, follower=se.Hard()).leader_return == pytest.approx(10 * once), "without memory, ten times one shot"
    x = np.random.default_rng(0).normal(size=game.dimension)
    exact = float(se.evaluate(game, x).leader_return)
    played = RepeatedGame(game, seed=0).play(x, episodes=20_000).leader_returns(1.0)
    assert played.mean() == pytest.approx(exact, abs=4 * played.std() / np.sqrt(20_000) + 0.01), "cut episodes cost under .01"
