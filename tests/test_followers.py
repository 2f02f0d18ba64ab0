"""Followers: order relations that theory promises, and what each refuses."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

import stackelberg_envs as se
from stackelberg_envs.planning.policy_evaluation import policy_value, regularised_reward
from stackelberg_envs.processes.mdp import joint_policy, stack
from stackelberg_envs.response import Answer
from stackelberg_envs.testing import random_games, with_commitments

games_and_points = with_commitments(random_games())
ANYBODY = [
    se.Soft(0.1),
    se.Hard("strong"),
    se.Hard("weak"),
    se.Hard("uniform"),
    se.Quantal(0.2),
    se.Truncated(0.1, 3),
    se.MirrorDescent(0.1, 2, rate=5.0),
    se.SoftInside(0.1),
    se.SoftQLearning(0.1, 500),
    se.NaturalPolicyGradient(0.1, 2, eta=0.01),
    se.EpsilonOptimal(0.05),
]


@given(games_and_points)
@settings(deadline=None, max_examples=30)
def test_strong_uniform_weak(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    """Ties broken for the leader are worth at least as much as evenly, and those at least as much as against it; all are optimal."""
    game, x = drawn
    strong, uniform, weak = (se.evaluate(game, x, follower=se.Hard(ties)) for ties in ("strong", "uniform", "weak"))  # type: ignore[arg-type]
    assert strong.leader_return >= uniform.leader_return - 1e-9
    assert uniform.leader_return >= weak.leader_return - 1e-9
    assert max(strong.follower_gap, uniform.follower_gap, weak.follower_gap) < 1e-7


@given(games_and_points, st.floats(0.001, 0.5))
@settings(deadline=None, max_examples=25)
def test_epsilon_optimal_brackets(drawn: tuple[se.StackelbergGame, np.ndarray], epsilon: float) -> None:
    """Within epsilon of its optimum a follower can hurt or help at least as much as by breaking ties, and loses no more than that."""
    game, x = drawn
    worst = se.evaluate(game, x, follower=se.EpsilonOptimal(epsilon))
    best = se.evaluate(game, x, follower=se.EpsilonOptimal(epsilon, "cooperative"))
    assert worst.leader_return <= se.evaluate(game, x, follower=se.Hard("weak")).leader_return + 1e-6
    assert best.leader_return >= se.evaluate(game, x, follower=se.Hard("strong")).leader_return - 1e-6
    assert max(worst.follower_gap, best.follower_gap) <= epsilon + 1e-5


@given(games_and_points, st.sampled_from(ANYBODY))
@settings(deadline=None, max_examples=40)
def test_gap_is_never_negative(drawn: tuple[se.StackelbergGame, np.ndarray], follower: se.Follower) -> None:
    game, x = drawn
    scored = se.evaluate(game, x, follower=follower)
    assert scored.follower_gap >= 0
    assert np.isfinite(scored.leader_return)


@given(games_and_points, st.floats(0.01, 0.5))
@settings(deadline=None, max_examples=20)
def test_the_published_recursion_by_brute_force(drawn: tuple[se.StackelbergGame, np.ndarray], temperature: float) -> None:
    """`SoftInside` is the fixed point of the published sweeps; where followers see only the policy it is the right one, `Soft`'s."""
    game, x = drawn
    (mdp,) = game.problems(x)
    answer = se.SoftInside(temperature).answer(mdp, None)
    if mdp.follower_sees == "policy":
        np.testing.assert_allclose(answer.policy, mdp.soft_answer(temperature, None).policy, atol=1e-9)
        return
    v = np.zeros(mdp.sizes[0])

    def action_values() -> np.ndarray:
        return mdp.follower_reward + mdp.follower_discount * (mdp.transition @ v)

    for _ in range(1500):  # discounts are at most .98
        v = temperature * logsumexp((mdp.leader_policy[..., None] * action_values()).sum(1) / temperature, axis=-1)  # type: ignore[operator]
    np.testing.assert_allclose(answer.values, v, atol=1e-6)
    np.testing.assert_allclose(answer.policy, softmax(action_values() / temperature, axis=-1), atol=1e-5)


def test_truncated_followers_improve_with_sweeps_and_memory() -> None:
    game, x = se.game("random_markov_game-v0"), np.zeros(15)
    gaps = [float(se.evaluate(game, x, follower=se.Truncated(0.05, k)).follower_gap) for k in (1, 5, 50, 300)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-9
    follower = se.Truncated(0.05, 1)
    state = None
    for _ in range(300):  # carrying its values over, one sweep a round is as good in the end
        response = follower.respond(game, x, state=state)
        state = response.state
    assert se.evaluate(game, x, follower=follower, responses=(response,)).follower_gap < 1e-9
    reset = se.Truncated(0.05, 1, "reset")
    again = reset.respond(game, x, state=response.state)
    np.testing.assert_allclose(again.policy, reset.respond(game, x).policy)


def test_believes_answers_to_its_own_world() -> None:
    """A follower that plans for slip .44 in a world with slip .33 answers as in its own, and has a gap here."""
    here, there, x = se.game("four_rooms-v0"), se.game("four_rooms-v0", slip=0.44), np.zeros(105)
    mistaken = se.Believes(there, se.Soft(0.003))
    for context in (0, 1):
        np.testing.assert_array_equal(mistaken.respond(here, x, context).policy, se.Soft(0.003).respond(there, x, context).policy)
    assert se.evaluate(here, x, follower=mistaken).follower_gap > 1e-4
    with pytest.raises(ValueError, match="spaces must agree"):
        mistaken.respond(se.game("toy3-v0"), np.zeros(6))
    with pytest.raises(ValueError, match="knows none called 'G2'"):
        se.evaluate(here, x, follower=se.Believes(se.game("four_rooms-v0", preset="bchg"), se.Soft(0.003)))
    seeing, blind = (se.game("random_markov_game-v0", follower_sees=sees) for sees in ("action", "policy"))
    with pytest.raises(ValueError, match="spaces must agree"):
        se.Believes(seeing, se.Soft(0.1)).respond(blind, np.zeros(15))
    with pytest.raises(ValueError, match="sees the leader's policy and not its action, and its policy depends on the action"):
        se.evaluate(blind, np.zeros(15), responses=(se.Hard().respond(seeing, np.zeros(15)),), follower=se.Hard())


def test_policies_of_others_are_scored_only_if_the_follower_could_have_them() -> None:
    """A follower that does not see the action gives (S, 1, B) or a row for each action, to one score; a table (S, B) is named."""
    game, x = se.game("random_markov_game-v0"), np.zeros(15)
    s, a, b = game.sizes[0]
    assert game.visibility == ("policy",)

    def score(policy: np.ndarray) -> float:
        answer = Answer(policy, values=np.zeros(s), certificate=np.nan)
        return float(se.evaluate(game, x, follower=se.Hard(), responses=(se.Response((answer,)),)).follower_gap)

    row = np.random.default_rng(0).dirichlet(np.ones(b), size=s)
    assert score(row[:, None]) == pytest.approx(score(np.repeat(row[:, None], a, axis=1)), abs=1e-12)
    with pytest.raises(ValueError, match=r"follower 0's policy has the shape \(5, 3\): it is \(S, A, B\) = \(5, 3, 3\), or \(5, 1, 3\)"):
        score(row)
    worst = np.eye(b)[np.random.default_rng(1).integers(b, size=(s, a))]
    with pytest.raises(ValueError, match="its policy depends on the action"):
        score(worst)


def test_hard_followers_on_a_corridor_without_discount() -> None:
    """Discount 1, a cost of 1 a step, and an end three steps away: the way out costs 3, and no improper policy gets in the way."""
    kernel = np.zeros((3, 1, 2, 3))
    for s in range(3):
        kernel[s, 0, 0, s] = 1.0  # stay
        if s < 2:
            kernel[s, 0, 1, s + 1] = 1.0  # go on; the last step leads out
    tables = {"leader_policy": np.ones((3, 1)), "transition": kernel, "initial": np.eye(3)[0]}
    mdp = se.InducedMDP(
        **tables, follower_reward=-np.ones((3, 1, 2)), leader_reward=np.ones((3, 1, 2)), follower_discount=1.0, leader_discount=1.0
    )
    for follower in (se.Hard("strong"), se.Hard("weak"), se.EpsilonOptimal(0.0), se.Quantal(0.1)):
        assert follower.answer(mdp, None).values[0] == pytest.approx(-3.0)


def test_ties_are_judged_for_each_commitment_of_a_batch() -> None:
    """A neighbour with huge rewards does not turn a clear preference into a tie."""
    small = se.game("random_markov_game-v0").problems(np.zeros(15))[0]
    huge = small.map(lambda table: table)
    batch = stack([small, dataclasses.replace(huge, follower_reward=huge.follower_reward * 1e9)])
    np.testing.assert_array_equal(se.Hard("weak").answer(batch, None).policy[0], se.Hard("weak").answer(small, None).policy)


def test_seeing_the_action_and_seeing_the_policy_are_different_games() -> None:
    x = np.random.default_rng(0).normal(size=15)
    seen, announced = (se.evaluate(se.game("random_markov_game-v0", follower_sees=s), x) for s in ("action", "policy"))
    assert abs(seen.leader_return - announced.leader_return) > 0.01
    assert seen.follower_values.item() > announced.follower_values.item(), "to see more cannot hurt a lone follower"


@pytest.mark.parametrize("follower_sees", ["policy", "action"])
@pytest.mark.parametrize(("rate", "discount"), [(0.5, 0.9), (5.0, 0.5), (5.0, 0.95), (200.0, 0.9)])
def test_mirror_descent_converges_at_the_proven_rate(follower_sees: str, rate: float, discount: float) -> None:
    """By the proof of Lan (2023), under the stationary distribution of the best response, E[V* - V] + (1/eta + tau) E[KL(pi* | pi)] shrinks
    by max(gamma, 1/(1 + eta tau)) in each step; and in the end the error of log pi shrinks by exactly 1/(1 + eta tau)."""
    game, tau = se.game("random_markov_game-v0", follower_sees=follower_sees, discount=discount, seed=3), 0.2
    mdp = game.problems(np.random.default_rng(0).normal(size=15))[0]
    star = mdp.soft_answer(tau, None)
    kernel = mdp.kernel.markov_chain(joint_policy(mdp, star.policy)).dense()
    stationary = np.linalg.matrix_power(kernel, 2**12)[0]
    follower, answer = se.MirrorDescent(tau, 1, rate), None
    kept, potentials, errors = 1 / (1 + rate * tau), [], []
    policy = np.full_like(star.policy, 1 / 3)
    for _ in range(200):
        values = policy_value(mdp, policy, regularised_reward(mdp, policy, tau), discount)
        divergence = (mdp.leader_policy * (star.policy * np.log(star.policy / policy)).sum(-1)).sum(-1)
        potentials.append(stationary @ (star.values - values) + (1 / rate + tau) * (stationary @ divergence))
        errors.append(np.abs(np.log(policy / star.policy)).max())
        answer = follower.answer(mdp, None if answer is None else answer.memory)
        np.testing.assert_allclose(answer.values, values, atol=1e-12)  # those of the policy that it improved
        policy = answer.policy
        assert answer.certificate >= (star.values - policy_value(mdp, policy, regularised_reward(mdp, policy, tau), discount)).max() - 1e-12
    potentials, errors = np.array(potentials), np.array(errors)
    assert (potentials[1:] <= max(discount, kept) * potentials[:-1] + 1e-13).all()
    late = np.flatnonzero((errors[:-1] < 1e-3) & (errors[1:] > 1e-10))
    assert len(late) >= 2
    np.testing.assert_allclose(errors[late + 1][-2:] / errors[late][-2:], kept, rtol=0.02)


def test_mirror_descent_without_bound_is_newtons_method() -> None:
    """eta = inf: the values after a step are one Newton step of soft policy iteration on, V + (I - gamma P_g)^-1 (TV - V)."""
    game, tau, gamma = se.game("random_markov_game-v0", seed=4), 0.1, 0.9
    mdp = game.problems(np.random.default_rng(0).normal(size=15))[0]
    before, after = (se.MirrorDescent(tau, steps).answer(mdp, None).values for steps in (1, 2))
    q = (mdp.leader_policy[..., None] * (mdp.follower_reward + gamma * mdp.transition @ before)).sum(1)
    g = np.broadcast_to(softmax(q / tau, axis=-1)[:, None], mdp.follower_reward.shape)
    kernel = mdp.kernel.markov_chain(joint_policy(mdp, g)).dense()
    newton = before + np.linalg.solve(np.eye(5) - gamma * kernel, tau * logsumexp(q / tau, axis=-1) - before)
    np.testing.assert_allclose(after, newton, atol=1e-12)


def test_mirror_descent_carries_its_policy() -> None:
    """Answer by answer as in one long answer; picklable; and ``"reset"`` begins anew each time."""
    game, x = se.game("random_markov_game-v0"), np.random.default_rng(0).normal(size=15)
    carrying, state = se.MirrorDescent(0.1, 1, rate=3.0), None
    for _ in range(4):
        response = carrying.respond(game, x, state=state)
        state = pickle.loads(pickle.dumps(response.state))
    np.testing.assert_allclose(response.policy, se.MirrorDescent(0.1, 4, rate=3.0).respond(game, x).policy, atol=1e-12)
    forgetful = se.MirrorDescent(0.1, 1, rate=3.0, start="reset")
    np.testing.assert_array_equal(forgetful.respond(game, x, state=state).policy, forgetful.respond(game, x).policy)


def test_several_followers_answer_separately_and_pay_together() -> None:
    x = np.random.default_rng(1).normal(size=105)
    crowd = se.game("four_rooms-v0", walkers=3)
    alone = [se.game("four_rooms-v0", walkers=(walker,)) for walker in crowd.walkers]  # type: ignore[attr-defined]
    scored = se.evaluate(crowd, x)
    singles = [se.evaluate(game, x) for game in alone]
    np.testing.assert_allclose(scored.leader_return, sum(single.leader_return for single in singles))
    np.testing.assert_allclose(scored.follower_returns, [single.follower_returns[0] for single in singles])
    with pytest.raises(ValueError, match="unpack"):
        _ = scored.responses[0].policy


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: se.Soft(0), "above 0"),
        (lambda: se.Soft(float("nan")), "Soft: temperature is a number, got nan"),
        (lambda: se.SoftInside(-0.1), "above 0"),
        (lambda: se.Hard("nice"), "Hard has no ties 'nice'; Known: strong, weak, uniform"),  # type: ignore[arg-type]
        (lambda: se.Quantal(-1), "above 0"),
        (lambda: se.Truncated(0.1, 0), "sweeps of Truncated is a whole number from 1"),
        (lambda: se.MirrorDescent(0.1, 0), "steps of MirrorDescent is a whole number from 1"),
        (lambda: se.MirrorDescent(0.1, rate=0.0), "rate of MirrorDescent is above 0"),
        (lambda: se.EpsilonOptimal(-1), "epsilon of EpsilonOptimal is a finite number at least 0"),
    ],
)
def test_senseless_followers_are_refused(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()  # type: ignore[operator]
