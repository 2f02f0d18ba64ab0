"""Bi-AC: the critic's fixed point, the actor's direction, and where both lead."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import solvers
import stackelberg_envs as se
from solvers.estimators.biac import BiAC, evaluate_by_sweeps
from solvers.inference.model import Counts
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.hard_policy_iteration import hard_policy_iteration
from stackelberg_envs.planning.linear_systems import Dense, system
from stackelberg_envs.processes.mdp import DecisionProblem, joint_policy


def known(game: se.StackelbergGame) -> Counts:
    """So many visits of everything that a batch more changes nothing."""
    mdp = game.problems(np.zeros(game.dimension))[0]
    ends = 1 - mdp.transition.sum(-1, keepdims=True)
    return Counts(1e12 * np.concatenate([mdp.transition, ends], axis=-1), 1e12 * mdp.leader_reward, 1e12 * mdp.initial)


def stage_values(game: se.StackelbergGame, answer: np.ndarray) -> np.ndarray:
    """Q (S, A, B) of a leader that plans alone in the world where the follower plays its mode, by policy iteration."""
    mdp = game.problems(np.zeros(game.dimension))[0]
    mode = answer.argmax(-1)[..., None]
    reward = np.take_along_axis(mdp.leader_reward, mode, -1)[..., 0]
    transition = np.take_along_axis(mdp.transition, mode[..., None], -2)[..., 0, :]
    alone = DecisionProblem(np.ones((len(reward), 1)), reward[:, None], transition[:, None])
    values = hard_policy_iteration(alone, mdp.leader_discount).values
    return mdp.leader_reward + mdp.leader_discount * mdp.transition @ values


@pytest.mark.parametrize("follower_sees", ["policy", "action"])
def test_the_critic_and_the_actor(follower_sees: str) -> None:
    """With the model known: Q is optimal against the mode, and the mean estimate is the policy gradient with that Q, to four errors."""
    game = se.game("random_markov_game-v0", discount=0.6, follower_sees=follower_sees, max_cycles=30)
    x = np.random.default_rng(0).normal(size=15)
    g = game.default_follower.respond(game, x).policy
    Q = stage_values(game, g)
    np.testing.assert_allclose(evaluate_by_sweeps(known(game), np.zeros(Q.shape), g, 0.6, 80), Q, atol=1e-9)

    mdp = game.problems(x)[0]
    visits = Dense(system(mdp.kernel.markov_chain(joint_policy(mdp, g)), 0.6)).solve_transposed(mdp.initial)
    advantage = Q - np.einsum("sa,sab->sb", mdp.leader_policy, Q)[:, None]
    toward = visits[:, None] * mdp.leader_policy * (g * advantage).sum(-1)
    wanted = toward - mdp.leader_policy * toward.sum(-1, keepdims=True)

    estimator, oracle, rng = BiAC(episodes=50), RepeatedGame(game, seed=1).oracle(se.Access.POLICY), np.random.default_rng(0)
    memory = (known(game), Q)
    drawn = np.stack([estimator.estimate(oracle, torch.tensor(x), memory, rng).gradient.numpy() for _ in range(400)])
    error = drawn.std(axis=0) / np.sqrt(400)
    assert (np.abs(drawn.mean(axis=0) - wanted.ravel()) < 4 * error).all()
    assert np.abs(wanted).max() > 20 * error.max()


def test_what_was_seen_is_pooled_and_what_was_not_is_worth_nothing() -> None:
    rounds = RepeatedGame(se.game("random_markov_game-v0"), seed=0)
    oracle, memory, rng = rounds.oracle(se.Access.POLICY), None, np.random.default_rng(0)
    for k in range(3):
        memory = BiAC(episodes=2).estimate(oracle, torch.full((15,), float(k), dtype=torch.float64), memory, rng).memory
    counts, Q = memory  # type: ignore[misc]
    assert counts.visits.sum() == rounds.cost.outcome_steps == 3 * 2 * 50
    assert (Q[counts.visits == 0] == 0).all()
    assert (Q[counts.visits > 0] > 0).all(), "the leader's rewards are positive"


def test_biac_collapses_on_toy3() -> None:
    """Kudo et al. 2026, figure: it falls on R = 2, from a start worth 39.9 (optimum 59.75), and does not learn on R = 1."""
    solution = solvers.solve(se.game("toy3-v0", R=2), "biac", budget=40, lr=0.1, optimiser="adam", reports=1)
    assert solution.history[0]["leader_return"] > 35
    assert solution.leader_return < 5
    assert solvers.solve(se.game("toy3-v0", R=1), "biac", budget=40, lr=0.1, optimiser="adam", reports=1).leader_return < 1


def test_declining() -> None:
    with pytest.raises(solvers.Declined, match="biac learns a policy for the game, and this leader does not act"):
        solvers.solve(se.game("four_rooms-v0"), "biac")
    with pytest.raises(ValueError, match="episodes and sweeps from 1"):
        solvers.build("biac", sweeps=0)
