"""Theorems that mutants of the source once contradicted unnoticed; `mutants` has the mutants, and applies them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stackelberg_envs as se
from stackelberg_envs.leader.access import Cost, Permission
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play import rollouts
from stackelberg_envs.testing import commitments, random_games

ALL = Permission.RESET | Permission.TRAINING
TEMPERATURE = 0.3


@given(random_games(states=4, follower_actions=3).flatmap(lambda game: st.tuples(st.just(game), commitments(game))))
@settings(deadline=None, max_examples=25)
def test_a_plan_that_stopped_early_is_as_near_as_it_says(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    """|V - V*| <= max|T V - V| / (1 - gamma); and V <= T V <= V* for the values V of a policy, so that the residual alone is too little."""
    game, x = drawn
    (mdp,) = game.problems(x)
    early, exact = (soft_policy_iteration(mdp, TEMPERATURE, tolerance=tolerance) for tolerance in (1e9, 1e-12))
    assert early.evaluations == 1
    assert np.abs(early.values - exact.values).max() <= early.bound + exact.bound


def test_runs_with_other_seeds_have_other_noise() -> None:
    """The mean over runs of one episode each comes to F(x), by the law of large numbers over seeds; outcomes and learners draw apart."""
    game, x = se.game("random_markov_game-v0", max_cycles=30), np.zeros(15)
    expected = float(se.evaluate(game, x, horizon=30).leader_return)
    returns = np.array([RepeatedGame(game, seed=seed).oracle(se.Access.OUTCOME).returns(x, episodes=1) for seed in range(60)])
    assert len(np.unique(returns)) > 50, "runs share their noise"
    assert abs(returns.mean() - expected) < 5 * returns.std() / np.sqrt(len(returns))
    learner = se.SoftQLearning(0.3, 50)
    learned = [RepeatedGame(game, learner, seed=seed).oracle(se.Access.VALUE).values(x)[0] for seed in range(3)]
    assert all((one != learned[0]).any() for one in learned[1:]), "learners of different runs share their noise"


REQUESTS: dict[str, Any] = {
    "returns": lambda oracle, x: oracle.returns(x),
    "play": lambda oracle, x: oracle.play(x, horizon=1),
    "play_streams": lambda oracle, x: oracle.play_streams(x, streams=1, steps=2),
    "policies": lambda oracle, x: oracle.policies(x),
    "values": lambda oracle, x: oracle.values(x),
    "action_values": lambda oracle, x: oracle.action_values(x),
    "commit": lambda oracle, x: oracle.commit(x),
    "play_from": lambda oracle, x: oracle.play_from(x, 0, np.zeros((1, 1), dtype=np.int64), horizon=1),
    "play_as": lambda oracle, x: oracle.play_as(x, [np.full((5, 3, 3), 1 / 3)], horizon=1),
    "train": lambda oracle, x: oracle.train(x, 0, 1),
}


def test_whatever_is_asked_of_a_new_commitment_commits_to_it_once() -> None:
    """Definition of the budget: the commitments that were asked about.  A fresh ledger has counted nothing."""
    rounds = RepeatedGame(se.game("random_markov_game-v0"), se.SoftQLearning(0.3, 1))
    oracle = rounds.oracle(se.Access.MODEL, ALL)
    assert not any(asdict(rounds.cost).values())
    assert not any(asdict(Cost()).values())
    for i, (name, ask) in enumerate(REQUESTS.items()):
        x = np.full(15, float(i + 1))
        for _ in range(2):
            ask(oracle, x)
            assert rounds.cost.commitments == i + 1, name
    oracle.returns_in_one_context([x + 1, x + 2])
    assert rounds.cost.commitments == len(REQUESTS) + 2


@pytest.mark.parametrize("compiled", [rollouts.COMPILED, False])
def test_who_starts_in_the_end_takes_no_step(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end has value 0 and pays nothing: beside a follower that walks, and alone."""
    monkeypatch.setattr(rollouts, "COMPILED", compiled)
    rounds = RepeatedGame(se.game("random_markov_game-v0"), seed=3)
    oracle = rounds.oracle(se.Access.OUTCOME, Permission.RESET)
    seen = oracle.play_from(np.zeros(15), 0, np.array([[5], [0], [5]]), horizon=4)
    assert seen.alive[:, 0].sum(axis=-1).tolist() == [0, 4, 0]
    assert rounds.cost.outcome_steps == 4
    assert (seen.leader_returns(0.9)[[0, 2]] == 0).all()
    assert (seen.states[[0, 2]] == 5).all()
    nobody = oracle.play_from(np.zeros(15), 0, np.array([[5]]), actions=np.array([[2]]))
    assert (nobody.steps, rounds.cost.outcome_steps) == (0, 4)


@given(random_games(states=3).flatmap(lambda game: st.tuples(st.just(game), commitments(game))))
@settings(deadline=None, max_examples=15)
def test_at_discount_0_only_the_first_step_pays(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    """F = sum rho pi g r_L, over the infinite horizon and over one step."""
    game, x = drawn
    (mdp,) = game.problems(x)
    (policy,) = (response.policy for response in se.evaluate(game, x).responses)
    first = np.einsum("s,sa,sab,sab->", mdp.initial, mdp.leader_policy, policy, mdp.leader_reward)
    scored = [
        se.evaluate(game, x, leader_discount=0),
        se.evaluate(game, x, leader_discount=0.0, horizon=7),
        se.evaluate(game, x, horizon=1),
    ]
    np.testing.assert_allclose([float(each.leader_return) for each in scored], first, atol=1e-12)


@pytest.mark.parametrize("horizon", [True, False, np.True_, 2.0, -1])
def test_a_truth_is_no_number_of_steps(horizon: Any) -> None:
    game = se.game("random_markov_game-v0")
    with pytest.raises(ValueError, match="horizon is a number of steps"):
        se.evaluate(game, np.zeros(15), horizon=horizon)
    rounds = RepeatedGame(game)
    with pytest.raises(ValueError, match="horizon is a number of steps"):
        rounds.oracle(se.Access.OUTCOME).play(np.zeros(15), horizon=horizon)
    assert not any(asdict(rounds.cost).values())
