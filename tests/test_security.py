"""Security games: the strong equilibrium by linear programmes over marginals, the commitments that have it, and real assignments."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import solvers
import stackelberg_envs as se
from baselines.bench import best, results_file
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.games.security_presets import PRESETS, random_targets
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.modified_game import ModifiedGame
from stackelberg_envs.planning import assignments as drawn
from stackelberg_envs.planning import matrix_games
from stackelberg_envs.planning.security import Coverage, TargetPayoffs, coverage_limits, marginal_logits, strong_coverage
from stackelberg_envs.testing import check_env, check_game

STRONG = se.Hard("strong")
VARIANTS: list[dict[str, Any]] = [
    {},
    {"preset": "zero_sum", "targets": 6, "guards": 2},
    {"preset": "two_targets"},
    {"preset": "types"},
    {"preset": "districts"},
    {"targets": 4, "guards": 2, "types": 3, "seed": 2},
    {"targets": 30, "guards": 9, "seed": 1},
    {"targets": 3, "guards": 3, "seed": 5},
]
variants = pytest.mark.parametrize("arguments", VARIANTS, ids=str)


def build(**arguments: Any) -> Any:
    return se.game("security-v0", **arguments)


def optimum(game: Any) -> Coverage:
    found = strong_coverage(game.payoffs, game.limits[0], game.limits[1], game.context_probabilities)
    assert found is not None
    return found


def joint_assignments(protects: np.ndarray) -> np.ndarray:
    """Which targets are covered, (N, t), where each guard protects one of its own or stays in, and no two the same."""
    choices = [(-1, *np.flatnonzero(row)) for row in protects]
    distinct = {tuple(sorted(c for c in chosen if c >= 0)) for chosen in product(*choices)}
    found = sorted(s for s in distinct if len(set(s)) == len(s))
    return np.array([[i in s for i in range(protects.shape[1])] for s in found], dtype=np.float64)


def origami(payoffs: TargetPayoffs, guards: int) -> float:
    """Kiekintveld et al. 2009, in another way: cover just enough that nothing pays more than v, the lowest v that m guards can afford."""
    (low,), (high,) = payoffs.attacker_covered, payoffs.attacker_uncovered

    def needed(v: float) -> np.ndarray:
        return np.maximum(high - v, 0) / (high - low)

    below, above = float(low.max()), float(high.max())  # no target can be made worth less than covered, so v is at least that
    if needed(below).sum() <= guards:
        above = below
    for _ in range(200):
        v = (below + above) / 2
        below, above = (below, v) if needed(v).sum() <= guards else (v, above)
    c = np.clip(needed(above), 0, 1)
    worth = payoffs.attacker(c)[0]
    return float(payoffs.defender(c)[0][worth >= worth.max() - 1e-9].max())


@given(st.integers(1, 9), st.integers(1, 8), st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_programmes_agree_with_origami(targets: int, guards: int, seed: int) -> None:
    """ORIGAMI minimises what the attacker gets, which in a security game is a strong equilibrium."""
    payoffs = TargetPayoffs(**random_targets(targets=targets, seed=seed))
    found = strong_coverage(payoffs, np.ones((1, targets)), [min(guards, targets)])
    assert found is not None
    assert found.value == pytest.approx(origami(payoffs, min(guards, targets)), abs=1e-7)


@pytest.mark.parametrize("seed", range(12))
def test_marginals_are_worth_what_joint_assignments_are(seed: int) -> None:
    """The multiple LPs of the matrix game whose rows are all assignments of guards, also of guards who differ, and against types."""
    rng = np.random.default_rng(seed)
    targets, guards, types = int(rng.integers(2, 6)), int(rng.integers(1, 3)), 1 + seed % 2
    payoffs = random_targets(targets=targets, types=types, seed=seed)
    if seed % 3:
        own: dict[str, Any] = {"guards": guards}
    else:
        cut = int(rng.integers(1, targets))
        own = {"protects": (tuple(range(cut)), tuple(range(max(cut - 1, 0), targets)))}
    game = build(**payoffs, **own, type_probabilities=rng.dirichlet(np.ones(types)))
    rows = joint_assignments(game.protects)
    leader, follower = (np.stack([pay(row) for row in rows], axis=1) for pay in (game.payoffs.defender, game.payoffs.attacker))
    by_assignments = matrix_games.strong_commitment(leader, follower, game.context_probabilities)
    assert optimum(game).value == pytest.approx(by_assignments.value, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_zero_sum_is_the_maximin(seed: int) -> None:
    """max v s.t. U_D(c, i) >= v for every target: one programme."""
    game = build(preset="zero_sum", targets=7, guards=3, seed=seed)
    p = game.payoffs
    saved = np.diag((p.defender_covered - p.defender_uncovered)[0])
    found = linprog(
        np.append(np.zeros(7), -1.0),
        A_ub=np.block([[-saved, np.ones((7, 1))], [np.ones((1, 7)), np.zeros((1, 1))]]),
        b_ub=np.append(p.defender_uncovered[0], 3.0),
        bounds=[(0, 1)] * 7 + [(None, None)],
    )
    assert optimum(game).value == pytest.approx(-found.fun, abs=1e-9)
    np.testing.assert_allclose(p.defender_covered, -p.attacker_covered)


def test_values_by_hand() -> None:
    assert optimum(build(preset="two_targets")).value == pytest.approx(0.5)
    lured = optimum(build(preset="types"))
    assert lured.value == pytest.approx(-0.9 / 11)
    assert lured.attacked == (0, 1)
    np.testing.assert_allclose(lured.marginals, 2 / 11)
    one = np.ones((1, 2))
    out = strong_coverage(build(preset="types").payoffs, np.concatenate([one, -one]), [1, -1])
    assert out is not None
    assert out.value == pytest.approx(-5.5 / 13), "c = (3/13, 10/13), where both types attack the first target"


@pytest.mark.parametrize("arguments", [{"targets": 30, "guards": 9}, {"targets": 3, "guards": 3}, {"types": 3}], ids=str)
def test_contract(arguments: dict[str, Any]) -> None:
    """Sizes beside those of tests/test_games.py."""
    assert "torch agrees and differentiates" in check_game(build(**arguments)).passed


def test_environment() -> None:
    check_env(se.make("security-v0", preset="districts"), kernel_steps=300)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_coverage_is_that_of_sets(targets: int, guards: int, seed: int) -> None:
    """Against the sum over all sets of at most m targets."""
    guards = min(guards, targets)
    x = np.random.default_rng(seed).normal(scale=4, size=targets)
    sets = np.array([[i in s for i in range(targets)] for k in range(guards + 1) for s in combinations(range(targets), k)], dtype=float)
    weights = np.exp(sets @ x)
    np.testing.assert_allclose(build(targets=targets, guards=guards).coverage(x), weights @ sets / weights.sum(), rtol=1e-12)


def test_one_guard_is_a_softmax_with_a_zero() -> None:
    x = np.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(build(targets=3, guards=1).coverage(x), np.exp(x) / (1 + np.exp(x).sum()), rtol=1e-14)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_commitments_and_marginals_are_one_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for game in (build(targets=6, guards=int(rng.integers(1, 7))), build(preset="districts")):
        x = rng.normal(scale=3, size=6)
        found = marginal_logits(game.coverage, game.coverage(x), 40.0)
        assert found is not None
        np.testing.assert_allclose(game.coverage(found), game.coverage(x), rtol=0, atol=1e-11)
        np.testing.assert_allclose(found, x, atol=1e-2)


def test_what_guards_who_differ_can_do() -> None:
    """The conditions on sets of targets leave what the matrix of guards and targets leaves, for any gains."""
    game = build(preset="districts")
    guard, target = np.nonzero(game.protects)
    inside = np.zeros((9, len(guard)))
    inside[guard, np.arange(len(guard))] = inside[3 + target, np.arange(len(guard))] = 1
    for seed in range(10):
        gains = np.random.default_rng(seed).normal(size=6)
        by_pairs = linprog(-gains[target], A_ub=inside, b_ub=np.ones(9))
        by_sets = linprog(-gains, A_ub=game.limits[0], b_ub=game.limits[1], bounds=(0, 1))
        assert by_sets.fun == pytest.approx(by_pairs.fun)
    rows, bounds = coverage_limits(lambda sets: np.minimum(sets.sum(axis=1), 2), 4)
    assert (rows.tolist(), bounds.tolist()) == ([[1, 1, 1, 1]], [2]), "of two guards who can protect anything one condition is left"


@variants
def test_security_lp_attains_the_equilibrium(arguments: dict[str, Any]) -> None:
    game = build(**arguments)
    solution = solvers.solve(game, "security_lp", follower=STRONG, budget=2)
    value = solution.history[-1]["value"]
    assert value == pytest.approx(optimum(game).value, abs=1e-9)
    assert 0 <= value - solution.leader_return + 1e-10 < 1e-7, "commitments reach the inside of what guards can do"
    assert solution.x in game.leader_space


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_security_lp_in_other_units(scale: float) -> None:
    payoffs = {name: scale * table for name, table in random_targets(targets=5, seed=7).items()}
    solution = solvers.solve(build(**payoffs), "security_lp", follower=STRONG, budget=1)
    small = optimum(build(targets=5, seed=7)).value
    assert solution.leader_return == pytest.approx(scale * small, abs=1e-6 * scale)


def test_best_known_values() -> None:
    """Of every preset; the programme's value is an upper bound, and the certificate attains it to 1e-7."""
    entries = [entry for entry in results_file.read(best.COMMITTED).values() if entry["world"]["id"] == "security-v0"]
    hard = {entry["world"]["arguments"]["preset"]: entry for entry in entries if entry["id"].endswith(repr(STRONG))}
    assert set(hard) == {"random", "zero_sum", *PRESETS}
    for preset, entry in hard.items():
        attained = se.evaluate(game := build(preset=preset), np.array(entry["x"]), follower=STRONG).leader_return
        assert 0 <= optimum(game).value - attained + 1e-10 < 1e-7


def test_security_lp_declines() -> None:
    class Bonus(type(build())):
        def leader_cost(self, x: Any, context: int | str = 0) -> Any:
            return super().leader_cost(x, context) ** 2

    for game, follower, why in (
        (build(), se.Soft(0.1), "plays against Hard"),
        (build(types=4), STRONG, "4096, over 1000"),
        (se.game("toy3-v0"), STRONG, "one attack of one attacker"),
        (se.game("bimatrix-v0"), STRONG, "one attack of one attacker"),
        (Bonus(), STRONG, "pays otherwise than a security game"),
        (build(targets=11, **wide(11)), STRONG, "cannot do what guards do"),
    ):
        with pytest.raises(solvers.Declined, match=why):
            solvers.solve(game, "security_lp", follower=follower, budget=1)


def wide(targets: int) -> dict[str, Any]:
    """Guards who differ, of too many targets for all sets to be asked for."""
    return {"protects": (tuple(range(3)), tuple(range(2, targets)))}


@pytest.mark.parametrize("preset", ["random", "types", "districts"])
def test_slopes_against_soft_attackers(preset: str) -> None:
    """The exact hypergradient against central differences."""
    game = build(preset=preset)
    x = np.random.default_rng(0).normal(size=game.dimension)
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    gradient = exact_gradient(oracle, torch.tensor(x), None, reaction=True).gradient.numpy()
    steps = 1e-5 * np.eye(game.dimension)
    differences = (se.evaluate(game, x + steps).leader_return - se.evaluate(game, x - steps).leader_return) / 2e-5
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-9)


def frequencies_hold(covered: np.ndarray, marginals: np.ndarray) -> None:
    """Within four standard errors."""
    error = np.sqrt(marginals * (1 - marginals) / len(covered))
    assert (np.abs(covered.mean(axis=0) - marginals) <= 4 * error + 1e-12).all()


@pytest.mark.parametrize("seed", range(3))
def test_comb_samples(seed: int) -> None:
    """Exactly m distinct targets each, as often as the marginals say; of a sum that is no whole number, one more or less."""
    game = build(targets=9, guards=4, seed=seed)
    uniforms = np.random.default_rng(seed).uniform(size=20_000)
    marginals = optimum(game).marginals
    covered = drawn.comb_sample(marginals, uniforms)
    assert (covered.sum(axis=1) == 4).all()
    frequencies_hold(covered, marginals)
    fewer = drawn.comb_sample(0.9 * marginals, uniforms)
    assert set(fewer.sum(axis=1)) == {3, 4}
    frequencies_hold(fewer, 0.9 * marginals)


def test_assignments_of_guards_who_differ() -> None:
    """Each guard protects one of its own targets or stays in, no two the same, as often as the optimum says."""
    game = build(preset="districts")
    marginals = optimum(game).marginals
    mixture = drawn.birkhoff(drawn.guard_marginals(marginals, game.protects))
    sent = mixture.draw(np.random.default_rng(0).uniform(size=20_000))
    covered = (sent[:, :, None] == np.arange(6)).sum(axis=1)
    assert covered.max() == 1
    assert all(game.protects[g, i] for g in range(3) for i in set(sent[:, g]) - {-1})
    frequencies_hold(covered, marginals)
    with pytest.raises(ValueError, match="these guards cannot cover"):
        drawn.guard_marginals([1.0, 1.0, 1.0, 0.2, 0.0, 0.0], game.protects)


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 10**6), st.booleans())
@settings(deadline=None, max_examples=40)
def test_birkhoff_reproduces_the_matrix(guards: int, targets: int, seed: int, full: bool) -> None:
    """Also where rows sum to 1 (mixtures of permutations), and where entries are 0 or 1."""
    rng = np.random.default_rng(seed)
    if full:
        p = sum(w * np.eye(targets)[rng.permutation(targets)] for w in rng.dirichlet(0.3 * np.ones(4)))
    else:
        p = rng.uniform(size=(guards, targets)) * rng.integers(0, 2, size=(guards, targets))
        p = p / max(p.sum(axis=0).max(), p.sum(axis=1).max(), 1e-3)
    mixture = drawn.birkhoff(p)
    again = np.zeros_like(p)
    for weight, sent in zip(mixture.weights, mixture.assignments, strict=True):
        again[sent >= 0, sent[sent >= 0]] += weight
        assert len(set(sent[sent >= 0])) == (sent >= 0).sum()
    np.testing.assert_allclose(again, p, rtol=0, atol=1e-12)
    assert (mixture.weights > 0).all()
    assert len(mixture.weights) <= sum(np.shape(p)) ** 2


FOUR = {"defender_covered": [0.0], "defender_uncovered": [-1.0], "attacker_covered": [-1.0], "attacker_uncovered": [1.0]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "zerosum"}, "did you mean 'zero_sum'"),
        ({"preset": "types", "targets": 3}, "targets belong to preset='random'"),
        ({**FOUR, "seed": 3}, "seed belong to preset='random'"),
        ({**FOUR, "preset": "types"}, "either all four payoffs or a preset"),
        ({"attacker_covered": [1.0]}, "without defender_covered, defender_uncovered, attacker_uncovered"),
        ({**FOUR, "attacker_covered": [1.0]}, "an attacker is paid less where a target is covered; at target 0"),
        ({**FOUR, "defender_covered": [-2.0]}, "a defender is paid no less"),
        ({**FOUR, "defender_covered": [0.0, 0.0]}, r"\(t,\) each"),
        ({**FOUR, "defender_covered": [np.inf]}, "finite"),
        ({**FOUR, "guards": 2}, "guards is a whole number 1 to 1, got 2"),
        ({"preset": "zero_sum", "types": 2}, "one type of attacker"),
        ({"preset": "districts", "guards": 2}, "either guards, how many there are, or what each protects"),
        ({**FOUR, "protects": [[1]]}, "a target of guard 0 is a whole number 0 to 0, got 1"),
        ({"targets": 3, "protects": [[0, 1]]}, "every target has some guard"),
        ({"targets": 40, "protects": [range(40), range(1, 40), range(40), range(40)]}, "over 20000 sets"),
        ({"types": 2, "type_probabilities": [1.0]}, "one a type"),
    ],
)
def test_mistakes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_marginals_that_are_none() -> None:
    for wrong in ([1.2], [[0.5]], []):
        with pytest.raises(ValueError, match="marginals are probabilities"):
            drawn.comb_sample(wrong, 0.5)
    with pytest.raises(ValueError, match="sums are at most 1"):
        drawn.birkhoff([[0.7, 0.6]])


def test_an_attacker_who_lacks_a_target_is_declined() -> None:
    """The programme lets every attacker attack every target."""

    class Fenced(ModifiedGame):
        def modify(self, process: Any) -> Any:
            return replace(process, available=np.arange(process.sizes[2]) > 0)

    with pytest.raises(solvers.Declined, match="who can attack every target"):
        solvers.solve(Fenced(se.game("security-v0")), "security_lp", budget=1, follower=se.Hard("strong"))
