"""Contexts that share what is counted: evidence against an urn, what is found to agree, and what it does to a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inverse_many import Garnets, settings_of

import solvers
import stackelberg_envs as se
from solvers.inference.joint import JointInference
from solvers.inference.model import Counts, tables
from solvers.inference.pooling import PooledCells, row_evidence
from solvers.inference.state import Settings
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.leader.repeated_game import RepeatedGame

SIZES = (4, 2, 2)
PRIOR = 0.1


def counts_of(transition: np.ndarray, visits: np.ndarray, reward: float, rng: np.random.Generator) -> Counts:
    """So many visits (S, A, B) of each cell, the last column of ``transition`` (S, A, B, S + 1) the end; every visit pays ``reward``."""
    moves = np.array([rng.multinomial(n, p) for n, p in zip(visits.ravel(), transition.reshape(-1, transition.shape[-1]), strict=True)])
    return Counts(moves.reshape(transition.shape).astype(float), reward * visits, np.ones(len(transition)))


def infer_pooled(followers: int, episodes: int) -> tuple[Oracle, JointInference, Settings]:
    """What three commitments tell of two contexts that are one game."""
    game = Garnets(2, followers)
    game.games[1] = game.games[0]
    oracle = RepeatedGame(game, seed=0).oracle(Access.OUTCOME)
    pooled = replace(settings_of(oracle), pool=True)
    joint = JointInference.prior(oracle, pooled)
    for x in np.random.default_rng(1).normal(size=(3, game.dimension)):
        joint = joint.update(oracle, x, oracle.play(x, episodes=episodes), pooled)
    return oracle, joint, pooled


@settings(deadline=None)  # the first example imports SciPy
@given(st.lists(st.integers(0, 3), max_size=12), st.floats(0.05, 5))
def test_evidence_is_that_of_an_urn(arrivals: list[int], prior: float) -> None:
    """The sequence drawn one after the other, each from the mean of the posterior of those before (Polya's urn)."""
    moves, expected = np.zeros(4), 0.0
    for arrival in arrivals:
        expected += np.log((moves[arrival] + prior / 4) / (moves.sum() + prior))
        moves[arrival] += 1
    assert float(row_evidence(moves, prior)) == pytest.approx(expected, abs=1e-9)


def test_contexts_agree_where_they_do() -> None:
    """Three contexts, in the third of which one state moves otherwise: with 200 visits of each cell that is found, and with none is not."""
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.full(5, 0.5), size=SIZES)
    other = transition.copy()
    other[2] = rng.dirichlet(np.full(5, 0.5), size=SIZES[1:])
    visits = np.full(SIZES, 200)
    pool = PooledCells.of([counts_of(own, visits, 1.0, rng) for own in (transition, transition, other)], PRIOR)
    expected = np.ones(SIZES, dtype=bool)
    expected[2] = False
    np.testing.assert_array_equal(pool.same, expected)
    different = rng.dirichlet(np.full(5, 0.5), size=SIZES)
    assert not PooledCells.of([counts_of(own, visits, 1.0, rng) for own in (transition, different)], PRIOR).same.any()
    nothing = [Counts.zeros(SIZES), Counts.zeros(SIZES)]
    assert not PooledCells.of(nothing, PRIOR).same.any(), "nothing was compared, so nothing is known to agree"


def test_what_agrees_is_counted_together_and_rewards_are_not() -> None:
    rng = np.random.default_rng(1)
    transition = rng.dirichlet(np.full(5, 0.5), size=SIZES)
    once, often = np.full(SIZES, 30), np.full(SIZES, 300)
    once[3] = 0
    counts = [counts_of(transition, once, 1.0, rng), counts_of(transition, often, 2.0, rng)]
    pool = PooledCells.of(counts, PRIOR)
    assert pool.same.all(), "one context alone was in the last state, and cells agree elsewhere"
    known = [tables(own, PRIOR) for own in counts]
    first, second = pool.share(known, PRIOR)
    together = (counts[0].moves + counts[1].moves + PRIOR / 5) / (once + often + PRIOR)[..., None]
    for shared in (first, second):
        np.testing.assert_allclose(shared["transition"], together[..., :-1], atol=1e-12)
    assert (first["leader_reward"][:3] == 1).all()
    assert (second["leader_reward"] == 2).all()
    assert (first["leader_reward"][3] == 2).all(), "where a context has not been it believes the other"
    drawn = pool.share([tables(own, PRIOR, rng=rng) for own in counts], PRIOR, rng)
    np.testing.assert_array_equal(drawn[0]["transition"], drawn[1]["transition"])
    assert not np.array_equal(drawn[0]["transition"], first["transition"])


@pytest.mark.parametrize(
    "options", [{}, {"confidence": 0.9, "tolerance": 1e-6}, {"horizons": (0.5, 1.0)}], ids=["plain", "confidence", "horizons"]
)
def test_one_context_has_nothing_to_share(options: dict[str, object]) -> None:
    """The same bits with and without."""
    game = se.game("random_markov_game-v0", seed=4000, states=3, leader_actions=2, follower_actions=2)
    fixed = {"budget": 6, "seed": 1, "start": np.zeros(game.dimension), "first": 1, "draws": 4, **options}
    alone, pooled = (solvers.solve(game, "inverse_planning", pool=pool, **fixed) for pool in (False, True))
    np.testing.assert_array_equal(alone.x, pooled.x)
    assert [row["leader_return"] for row in alone.history] == [row["leader_return"] for row in pooled.history]


def test_followers_share_nothing_with_one_another() -> None:
    """Two contexts that are one game of two followers: both rows of a follower are the same, those of two are not."""
    _, joint, pooled = infer_pooled(followers=2, episodes=20)
    assert len(joint.pools) == 2
    for follower, pool in enumerate(joint.pools):
        first, second = (
            own["transition"] for own, state in zip(joint.tables(pooled), joint.states, strict=True) if state.follower == follower
        )
        assert pool.same.mean() > 0.9
        np.testing.assert_array_equal(first[pool.same], second[pool.same])
    assert not np.allclose(joint.tables(pooled)[0]["transition"], joint.tables(pooled)[1]["transition"])


@pytest.mark.parametrize(
    "options", [{}, {"confidence": 0.9, "tolerance": 1e-6}, {"horizons": (0.5, 1.0)}], ids=["plain", "confidence", "horizons"]
)
def test_a_context_is_predicted_from_the_other(options: dict[str, object]) -> None:
    """Two contexts that are one game: next states are closer to the truth than by each alone, and every option runs."""
    game = Garnets(2, 1)
    game.games[1] = game.games[0]
    errors = []
    for pool in (False, True):
        solver, rounds = solvers.build("inverse_planning", episodes=6, first=3, draws=4, pool=pool, **options), RepeatedGame(game, seed=0)
        oracle, rng = rounds.oracle(Access.OUTCOME), np.random.default_rng(0)
        state = solver.init(oracle, np.zeros(game.dimension))
        for _ in range(5):
            state = solver.step(oracle, state, rng)
        inference: JointInference = state.carried.inference
        (world,) = game.problems(np.zeros(game.dimension), 0)
        truth = np.asarray(world.joint.transition)
        errors.append(
            np.mean([np.abs(own["transition"] - truth).sum(-1).mean() for own in inference.tables(replace(settings_of(oracle), pool=pool))])
        )
    assert errors[1] < 0.9 * errors[0]


def test_evidence_uses_the_shared_dynamics() -> None:
    """Of pairs whose contexts are one game, as if one of them had been told the pooled next states."""
    oracle, joint, pooled = infer_pooled(followers=1, episodes=9)
    told = [own["transition"] for own in joint.tables(pooled)]
    expected = sum(state.log_evidence(oracle, pooled, known) for state, known in zip(joint.states, told, strict=True))
    assert joint.log_evidence(oracle, pooled) == pytest.approx(expected, abs=1e-9)
    alone = sum(state.log_evidence(oracle, pooled) for state in joint.states)
    assert abs(alone - expected) > 1e-3
