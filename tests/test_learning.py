"""Followers that learn: they come to the exact response at the rates that theory gives, and can be stopped, copied and trained."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
import stackelberg_envs as se
from stackelberg_envs.leader.access import Permission
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.policy_evaluation import policy_value, regularised_reward
from stackelberg_envs.processes.mdp import at_nodes
from stackelberg_envs.testing import commitments, random_games
from stackelberg_envs.testing.modified_games import GameWithSuccessorLists

games_and_points = random_games().flatmap(lambda game: st.tuples(st.just(game), commitments(game)))
SEES = ("policy", "action")
SAMPLES = ("stream", "uniform")


def best_table(game: se.StackelbergGame, x: np.ndarray, temperature: float) -> np.ndarray:
    """Q* at the follower's nodes, flat."""
    (mdp,) = game.problems(x)
    values = mdp.soft_answer(temperature, None).values  # type: ignore[arg-type]
    return at_nodes(mdp, mdp.follower_reward + mdp.follower_discount * mdp.transition @ values).ravel()  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("sees", SEES)
@pytest.mark.parametrize("samples", SAMPLES)
def test_q_learning_errs_as_one_over_the_root_of_its_updates(sees: str, samples: str) -> None:
    """The root mean square error of Q over 20 runs falls as k^-1/2 (Wainwright 2019, up to logarithms): the exponent fitted over five
    budgets, each twice the last, is in a band of .15 about -1/2.  (At discounts near 1 the bias of the start, which falls as 1/k, hides the
    noise for longer.)"""
    game, tau = (
        se.game("random_markov_game-v0", states=3, leader_actions=2, follower_actions=2, follower_sees=sees, discount=0.5, seed=5),
        0.2,
    )
    x = np.random.default_rng(0).normal(size=6)
    star, follower = best_table(game, x, tau), se.SoftQLearning(tau, 1, samples)  # type: ignore[arg-type]
    sizes = 20_000 * 2 ** np.arange(5)
    errors = np.zeros(5)
    for seed in range(20):
        state, rng, done = None, np.random.default_rng(seed), 0
        for i, size in enumerate(sizes):
            response = follower.respond(game, x, budget=int(size) - done, rng=rng, state=state)
            state, done = response.state, int(size)
            errors[i] += np.mean((state[0].table - star) ** 2) / 20
    exponent = np.polyfit(np.log(sizes), 0.5 * np.log(errors), 1)[0]
    assert -0.65 < exponent < -0.35
    assert np.sqrt(errors[-1]) < 0.01
    assert response.certificate < 1e-3
    np.testing.assert_allclose(response.policy, se.Soft(tau).respond(game, x).policy, atol=0.05)


@given(games_and_points)
@settings(deadline=None, max_examples=15)
def test_q_learning_on_random_games(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    """More samples, less to gain; the certificate is what the worst state loses, no less than the gap that the referee finds."""
    game, x = drawn
    follower = se.SoftQLearning(0.2, 1, "uniform")
    little, much = (follower.respond(game, x, budget=n, rng=np.random.default_rng(1)) for n in (100, 300_000))
    assert much.certificate < 0.1 * max(little.certificate, 0.1)
    scored = se.evaluate(game, x, follower=follower, responses=(much,))
    assert float(scored.follower_gap) <= much.certificate + 1e-9
    (mdp,) = game.problems(x)
    attained = policy_value(mdp, much.policy, regularised_reward(mdp, much.policy, 0.2), mdp.follower_discount)  # type: ignore[arg-type]
    best = mdp.soft_answer(0.2, None).values  # type: ignore[arg-type]
    assert much.certificate == pytest.approx((best - attained).max(), abs=1e-8)


@pytest.mark.parametrize("sees", SEES)
@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
def test_natural_policy_gradients_converge_at_the_proven_rate(sees: str, share: float) -> None:
    """Cen et al. 2022, Theorem 1: |Q* - Q^(t+1)| <= C gamma (1 - eta tau)^t and |log pi* - log pi^(t+1)| <= 2 C (1 - eta tau)^t / tau, with
    C = |Q* - Q^(0)| + 2 tau (1 - eta tau / (1 - gamma)) |log pi* - log pi^(0)|; to 1e-8."""
    game, tau, gamma = se.game("random_markov_game-v0", follower_sees=sees, discount=0.8, seed=3), 0.3, 0.8
    x, eta = np.random.default_rng(0).normal(size=15), share * 0.2 / 0.3
    (mdp,) = game.problems(x)
    star, best = best_table(game, x, tau), se.Soft(tau).respond(game, x).policy

    def errors(policy: np.ndarray) -> tuple[float, float]:
        v = policy_value(mdp, policy, regularised_reward(mdp, policy, tau), gamma)  # type: ignore[arg-type]
        q = at_nodes(mdp, mdp.follower_reward + gamma * mdp.transition @ v).ravel()  # type: ignore[union-attr, arg-type]
        return np.abs(q - star).max(), np.abs(np.log(policy / best)).max()

    first = errors(np.full_like(best, 1 / 3))
    bound = first[0] + 2 * tau * (1 - eta * tau / (1 - gamma)) * first[1]
    follower, state = se.NaturalPolicyGradient(tau, 1, eta), None
    for t in range(1000):
        response = follower.respond(game, x, state=state)
        state, (q_error, log_error) = response.state, errors(response.policy)
        assert q_error <= bound * gamma * (1 - eta * tau) ** t + 1e-9
        assert log_error <= 2 * bound / tau * (1 - eta * tau) ** t + 1e-9
        if log_error < 1e-8:
            break
    assert log_error < 1e-8
    if share == 1.0:
        newton = se.MirrorDescent(tau, 3).respond(game, x).policy
        np.testing.assert_allclose(se.NaturalPolicyGradient(tau, 3, eta).respond(game, x).policy, newton, atol=1e-9)
        np.testing.assert_array_equal(se.NaturalPolicyGradient(tau, 3).respond(game, x).policy, newton)


def test_one_natural_gradient_step_is_the_published_one() -> None:
    game, tau, eta, gamma = se.game("random_markov_game-v0", follower_sees="action"), 0.3, 0.1, 0.9
    x = np.random.default_rng(0).normal(size=15)
    (mdp,) = game.problems(x)
    one, two = (se.NaturalPolicyGradient(tau, n, eta).respond(game, x).policy for n in (1, 2))
    v = policy_value(mdp, one, regularised_reward(mdp, one, tau), gamma)  # type: ignore[arg-type]
    stepped = one ** (1 - eta * tau / (1 - gamma)) * np.exp(eta * (mdp.follower_reward + gamma * mdp.transition @ v) / (1 - gamma))  # type: ignore[union-attr]
    np.testing.assert_allclose(two, stepped / stepped.sum(-1, keepdims=True), atol=1e-12)


LEARNERS = [
    *(se.SoftQLearning(0.1, 700, samples, start=start) for samples in SAMPLES for start in ("carry", "reset")),  # type: ignore[arg-type]
    *(se.NaturalPolicyGradient(0.1, 3, 0.2, start) for start in ("carry", "reset")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("follower", LEARNERS, ids=str)
@pytest.mark.parametrize("sees", SEES)
def test_a_run_in_pieces_is_the_run_at_once(follower: Any, sees: str) -> None:
    """Bit for bit (Q-learning) or up to rounding, through pickles; and the same generator gives the same answer."""
    game, x = se.game("random_markov_game-v0", follower_sees=sees), np.random.default_rng(0).normal(size=15)
    unit = 100 if isinstance(follower, se.SoftQLearning) else 1
    whole, again = (follower.respond(game, x, budget=6 * unit, rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(whole.policy, again.policy)
    state, rng = None, np.random.default_rng(5)
    for share in (1, 2, 3):
        state, rng, follower = pickle.loads(pickle.dumps((state, rng, follower)))
        response = follower.respond(game, x, budget=share * unit, rng=rng, state=state)
        state = response.state
    if isinstance(follower, se.NaturalPolicyGradient):  # normalised once more at each stop
        np.testing.assert_allclose(response.policy, whole.policy, atol=1e-13)
    else:
        np.testing.assert_array_equal(response.policy, whole.policy)
        assert response.answers[0].training_steps == 300
        assert response.state[0].steps == 600
        assert response.state[0].visits.sum() == 600
        other = follower.respond(game, x, budget=600, rng=np.random.default_rng(6))
        assert not np.array_equal(other.policy, whole.policy)


@pytest.mark.parametrize("follower", LEARNERS, ids=str)
def test_carry_and_reset(follower: Any) -> None:
    """A new commitment finds a fresh learner, exactly; or one that is better from the first for what it knew."""
    game = se.game("random_markov_game-v0")
    x = np.random.default_rng(0).normal(size=15)
    budget = 20_000 if isinstance(follower, se.SoftQLearning) else 8
    trained = follower.respond(game, x, budget=budget, rng=np.random.default_rng(0))
    y, little = x + 0.01, max(1, budget // 100)
    moved = follower.respond(game, y, budget=little, rng=np.random.default_rng(1), state=trained.state)
    fresh = follower.respond(game, y, budget=little, rng=np.random.default_rng(1))
    gaps = [float(se.evaluate(game, y, follower=follower, responses=(response,)).follower_gap) for response in (moved, fresh)]
    if follower.start == "reset":
        np.testing.assert_array_equal(moved.policy, fresh.policy)
    else:
        assert gaps[0] < 0.5 * gaps[1]


def test_a_carried_table_follows_the_commitment() -> None:
    """With few visits that count, a learner that was long at another commitment comes to the new response; with all of them it does not."""
    game, rng = se.game("random_markov_game-v0", conflict=1.0), np.random.default_rng(0)
    x, y = 3 * rng.normal(size=(2, 15))
    errors = []
    for memory in (20, 10**6):
        follower = se.SoftQLearning(0.1, 200_000, "uniform", memory=memory)
        state = follower.respond(game, x, rng=np.random.default_rng(1)).state
        state = follower.respond(game, y, rng=np.random.default_rng(2), state=state).state
        errors.append(np.abs(state[0].table - best_table(game, y, 0.1)).max())
    assert errors[0] < 0.05 < errors[1]


@pytest.mark.parametrize("id", ["random_markov_game-v0", "four_rooms-v0", "toy3-v0", "contract_tree-v0"])
@pytest.mark.parametrize("samples", SAMPLES)
def test_compiled_learning_is_bit_for_bit_the_same(id: str, samples: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    game, tables = se.game(id), []
    rate = None if max(process.follower_discount for process in game.problems(np.zeros(game.dimension))) < 1 else 0.1
    for fused in (True, False):
        monkeypatch.setattr("stackelberg_envs.play.rollouts.COMPILED", fused)
        follower = se.SoftQLearning(0.1, 3000, samples, rate=rate)  # type: ignore[arg-type]
        tables.append(follower.respond(game, np.full(game.dimension, 0.3), rng=np.random.default_rng(1)).state[0])
    for name in ("table", "visits", "stream"):
        np.testing.assert_array_equal(getattr(tables[0], name), getattr(tables[1], name))


def test_streams_are_episodes_of_the_world() -> None:
    """Four Rooms: a stream starts where episodes do, takes no step that the world does not have, and is cut after ``max_cycles``."""
    game = se.game("four_rooms-v0", max_cycles=7)
    (mdp,) = game.problems(np.zeros(105))
    reachable = np.asarray(mdp.initial) > 0
    for _ in range(6):
        reachable = reachable | (np.asarray(mdp.transition)[reachable].sum((0, 1, 2)) > 0)
    visits = se.SoftQLearning(0.05, 400_000, exploration=1.0).respond(game, np.zeros(105)).state[0].visits.reshape(104, 4)
    np.testing.assert_array_equal(visits.sum(-1) > 0, reachable)
    assert visits.sum() == 400_000
    starts = 400_000 / 7 * np.asarray(mdp.initial)
    assert (visits.sum(-1) >= np.floor(starts)).all(), "every seventh step is a first one"


def test_rounds_train_charge_and_restore() -> None:
    """The ledger counts what followers learn from apart from what the leader watches; snapshots bring back the learner, not its noise."""
    game, x = se.game("four_rooms-v0"), np.zeros(105)
    rounds = RepeatedGame(game, se.SoftQLearning(0.05, 1000), seed=4)
    oracle = rounds.oracle(se.Access.VALUE, Permission.TRAINING)
    assert oracle.learns
    fresh = oracle.snapshot()
    oracle.train(x, "G1", 500)
    first = oracle.policies(x, "G1")[0]
    assert (rounds.cost.training_steps, rounds.cost.commitments, rounds.cost.outcome_steps) == (500, 1, 0)
    seen = oracle.play(x, episodes=4)
    watched = rounds.cost.outcome_steps
    assert watched == seen.steps
    assert rounds.cost.training_steps in (500, 1500), "in the other context they learn of their own accord when they are asked"
    np.testing.assert_array_equal(oracle.policies(x, "G1")[0], first)
    before = rounds.cost.training_steps
    oracle.train(x, "G1", 200)
    assert rounds.cost.training_steps == before + 200
    assert rounds._training[0][0].steps == 700
    assert not np.array_equal(oracle.policies(x, "G1")[0], first)
    oracle.restore(fresh)
    oracle.train(x, "G1", 500)
    assert rounds._training[0][0].steps == 500
    assert not np.array_equal(oracle.policies(x, "G1")[0], first), "its noise goes on"
    twin = RepeatedGame(game, se.SoftQLearning(0.05, 1000), seed=4)
    twin.play(np.ones(105), episodes=1)
    twin_first = RepeatedGame(game, se.SoftQLearning(0.05, 1000), seed=4)
    twin_first.train(x, 0, 500)
    np.testing.assert_array_equal(twin_first.policies(x, 0)[0], first)
    for steps in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="whole number"):
            oracle.train(x, 0, steps)
    with pytest.raises(ValueError, match="does not learn, so there is nothing to train"):
        RepeatedGame(game).train(x, 0, 5)
    assert not RepeatedGame(game).oracle(se.Access.RETURN, Permission.TRAINING).learns
    with pytest.raises(se.AccessError, match="permission TRAINING"):
        rounds.oracle(se.Access.MODEL).train(x, 0, 5)


def test_what_followers_sample_does_not_move_what_the_leader_sees() -> None:
    """Noise of learning and of outcomes are two streams: contexts and starts are the same however long followers train."""
    game = se.game("random_markov_game-v0", seed=1)
    seen = [RepeatedGame(game, se.SoftQLearning(0.1, steps), seed=2).play(np.zeros(15), episodes=30) for steps in (10, 5000)]
    np.testing.assert_array_equal(seen[0].states[:, :, 0], seen[1].states[:, :, 0])


def test_a_run_is_scored_by_the_exact_follower() -> None:
    """Whatever the learner got to; the history says how far that was, and what it cost; resumed bit for bit."""
    game, follower = se.game("four_rooms-v0"), se.SoftQLearning(0.05, 2000, start="reset")

    def go(budget: int, **more: Any) -> solvers.Solution:
        return solvers.solve(game, "hpgd", follower=follower, budget=budget, episodes=10, seed=3, reports=3, **more)

    solution = go(6)
    exact = se.evaluate(game, solution.x, follower=se.Soft(0.05))
    assert solution.leader_return == float(exact.leader_return) != float(se.evaluate(game, solution.x, follower=follower).leader_return)
    assert solution.history[-1]["follower_gap"] < 1e-9 < solution.history[-1]["learned_gap"]
    assert "learned_gap" not in solution.history[0], "nobody has answered yet"
    assert solution.cost.training_steps == 6 * 2000, "one context an iteration"
    resumed = go(6, resume=pickle.loads(pickle.dumps(go(3).checkpoint)))
    np.testing.assert_array_equal(resumed.x, solution.x)
    assert dataclasses.replace(resumed.cost, seconds=0) == dataclasses.replace(solution.cost, seconds=0)
    believing = se.Believes(se.game("four_rooms-v0", slip=0.44), follower)
    assert solvers.solve(game, "hpgd", follower=believing, budget=1, episodes=5, start=np.zeros(105)).history[0]["leader_return"] == float(
        se.evaluate(game, np.zeros(105), follower=se.Believes(se.game("four_rooms-v0", slip=0.44), se.Soft(0.05))).leader_return
    )


def test_several_followers_learn_separately() -> None:
    crowd = se.game("four_rooms-v0", walkers=2)
    response = se.SoftQLearning(0.05, 400).respond(crowd, np.zeros(105), rng=np.random.default_rng(0))
    assert [learner.steps for learner in response.state] == [400, 400]
    assert not np.array_equal(response.state[0].table, response.state[1].table)


def test_learners_refuse_what_they_cannot_do() -> None:
    game, x = se.game("random_markov_game-v0"), np.zeros(15)
    for wrong in (torch.zeros(15, dtype=torch.float64), np.zeros((2, 15))):
        with pytest.raises(PlanningError, match="one commitment at a time"):
            se.SoftQLearning(0.1, 10).respond(game, wrong)
    with pytest.raises(PlanningError, match=r"eta up to \(1 - gamma\) / tau, here 1$"):
        se.NaturalPolicyGradient(0.1, 1, 1.5).respond(game, x)
    with pytest.raises(PlanningError, match="discount 1 needs a rate of its own"):
        se.SoftQLearning(0.1, 10).respond(se.game("contract_tree-v0"), np.zeros(se.game("contract_tree-v0").dimension))
    opponents = se.game("zero_sum_incentive-v0")
    with pytest.raises(PlanningError, match="interact"):
        se.SoftQLearning(0.1, 10).respond(opponents, np.zeros(opponents.dimension))
    with pytest.raises(solvers.Declined, match="the follower cannot answer"):
        solvers.solve(se.game("zero_sum_incentive-v0"), "zeroth_order", follower=se.SoftQLearning(0.1, 10))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: se.SoftQLearning(0.0, 10), "temperature of SoftQLearning is a finite number above 0"),
        (lambda: se.SoftQLearning(0.1, -1), "steps of SoftQLearning is a whole number from 0"),
        (lambda: se.SoftQLearning(0.1, 1, exploration=1.5), "exploration of SoftQLearning"),
        (lambda: se.SoftQLearning(0.1, 1, rate=0.0), "rate of SoftQLearning"),
        (lambda: se.SoftQLearning(0.1, 1, memory=-1), "memory of SoftQLearning"),
        (lambda: se.SoftQLearning(0.1, 1, "dreams"), "SoftQLearning has no samples 'dreams'; did you mean 'stream'"),  # type: ignore[arg-type]
        (lambda: se.NaturalPolicyGradient(0.1, 0), "iterations of NaturalPolicyGradient is a whole number from 1"),
        (lambda: se.NaturalPolicyGradient(0.1, 1, -0.1), "eta of NaturalPolicyGradient"),
        (lambda: se.NaturalPolicyGradient(0.1, 1, start="again"), "NaturalPolicyGradient has no start 'again'; Known: carry, reset"),  # type: ignore[arg-type]
    ],
)
def test_senseless_learners_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_soft_q_learning_where_actions_share_rows() -> None:
    """The same samples, and so the same answer, as from lists of successors; the compiled loop once read beyond its tables here."""
    game, x = se.game("tax_design-v0", preset="legacy", grid=11, hours=2, spendings=3), np.array([-1.7, -1.5, -1.2, -1.0])
    assert isinstance(game.problems(x)[0].transition, se.SharedRows)
    follower = se.SoftQLearning(0.3, steps=3000)
    answers = [follower.respond(g, x, rng=np.random.default_rng(0)).policy for g in (game, GameWithSuccessorLists(game))]
    np.testing.assert_array_equal(answers[0], answers[1])
