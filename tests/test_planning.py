"""Dynamic programming against theorems, and against slow and simple versions of itself."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stackelberg_envs as se
from stackelberg_envs.planning.hard_policy_iteration import hard_policy_iteration
from stackelberg_envs.planning.linear_systems import Dense, PlanningError
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.processes.inverse_cdf import cumulative, draw
from stackelberg_envs.processes.mdp import decision_problem, joint_policy, stack
from stackelberg_envs.processes.transitions import expect
from stackelberg_envs.testing import random_games, with_commitments
from stackelberg_envs.worlds.mdp import InducedMDP

games_and_points = with_commitments(random_games())


def problem(game: se.StackelbergGame, x: np.ndarray) -> InducedMDP:
    return game.problems(x)[0]


@given(games_and_points, st.floats(0.01, 1.0))
@settings(deadline=None, max_examples=40)
def test_soft_policy_iteration_is_the_fixed_point_of_soft_value_iteration(drawn: tuple[se.StackelbergGame, np.ndarray], tau: float) -> None:
    """Both visibility modes, written out as in the definition: V = sum_a pi tau LSE_b Q/tau, or tau LSE_b sum_a pi Q/tau."""
    mdp = problem(*drawn)
    v = np.zeros(mdp.sizes[0])
    for _ in range(3000):
        q = mdp.follower_reward + mdp.follower_discount * np.einsum("sabt,t->sab", mdp.transition, v)
        if mdp.follower_sees == "policy":
            q = np.einsum("sa,sab->sb", mdp.leader_policy, q)[:, None]
        top = q.max(-1, keepdims=True)
        lse = (top + tau * np.log(np.exp((q - top) / tau).sum(-1, keepdims=True)))[..., 0]
        new = (lse * (mdp.leader_policy if mdp.follower_sees == "action" else 1)).sum(-1)
        done = np.abs(new - v).max() < 1e-13
        v = new
        if done:
            break
    plan = soft_policy_iteration(mdp, tau)
    np.testing.assert_allclose(plan.values, v, atol=1e-9)
    np.testing.assert_allclose(plan.policy.sum(-1), 1, atol=1e-12)
    assert plan.evaluations <= 12


@given(games_and_points)
@settings(deadline=None, max_examples=30)
def test_soft_tends_to_hard(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    """V_hard <= V_soft <= V_hard + tau log B / (1 - gamma)."""
    mdp = problem(*drawn)
    hard = hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount).values
    for tau in (0.1, 1e-3):
        soft = soft_policy_iteration(mdp, tau).values
        slack = tau * np.log(mdp.sizes[2]) / (1 - mdp.follower_discount)
        assert (soft >= hard - 1e-9).all()
        assert (soft <= hard + slack + 1e-9).all()


@given(games_and_points, st.floats(0.1, 10), st.floats(-5, 5))
@settings(deadline=None, max_examples=30)
def test_affine_rescaling_leaves_the_policy(drawn: tuple[se.StackelbergGame, np.ndarray], scale: float, shift: float) -> None:
    """(r, tau) -> (c r + d, c tau) changes no response, where every row of the kernel sums to 1."""
    mdp = problem(*drawn)
    rescaled = replace(mdp, follower_reward=scale * mdp.follower_reward + shift)
    np.testing.assert_allclose(soft_policy_iteration(mdp, 0.05).policy, soft_policy_iteration(rescaled, 0.05 * scale).policy, atol=1e-7)


@given(games_and_points, st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_potential_shaping_leaves_the_policy(drawn: tuple[se.StackelbergGame, np.ndarray], seed: int) -> None:
    """r + c(s) - gamma E c(s') has the same soft response to every commitment (Ng, Harada and Russell 1999)."""
    mdp = problem(*drawn)
    c = np.random.default_rng(seed).normal(size=mdp.sizes[0])
    shaped = replace(mdp, follower_reward=mdp.follower_reward + c[:, None, None] - mdp.follower_discount * mdp.kernel.expect(c))
    np.testing.assert_allclose(soft_policy_iteration(mdp, 0.1).policy, soft_policy_iteration(shaped, 0.1).policy, atol=1e-7)


@given(games_and_points)
@settings(deadline=None, max_examples=30)
def test_value_is_occupancy_times_reward(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    """rho . V = d . r, and a long horizon approaches the infinite one from its own partial sums."""
    game, x = drawn
    mdp = problem(game, x)
    policy = soft_policy_iteration(mdp, 0.1).policy
    joint = joint_policy(mdp, policy)
    kernel = np.einsum("sab,sabt->st", joint, mdp.transition)
    occupancy = np.linalg.solve(np.eye(len(kernel)) - mdp.leader_discount * kernel.T, mdp.initial)
    value = mdp.initial @ policy_value(mdp, policy, mdp.leader_reward, mdp.leader_discount)
    assert value == pytest.approx((occupancy[:, None, None] * joint * mdp.leader_reward).sum(), abs=1e-9)
    finite = mdp.initial @ policy_value(mdp, policy, mdp.leader_reward, mdp.leader_discount, horizon=2000)
    assert finite == pytest.approx(value, abs=1e-9)


@given(st.integers(1, 6), st.integers(0, 10_000), st.floats(0, 1))
@settings(deadline=None)
def test_draw_follows_its_probabilities(k: int, seed: int, mass: float) -> None:
    """Equally spaced uniforms are mapped in the right proportions; what is missing to 1 maps to K; impossible indices never come."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k)) * mass
    p[rng.integers(k)] = 0.0
    u = (np.arange(20_000) + 0.5) / 20_000
    drawn = draw(np.broadcast_to(p, (len(u), k)), u)
    frequency = np.bincount(drawn, minlength=k + 1) / len(u)
    np.testing.assert_allclose(frequency, np.append(p, 1 - p.sum()), atol=1e-3)
    assert frequency[:k][p == 0].sum() == 0


def test_rounding_never_ends_an_episode() -> None:
    """Ten tenths sum to less than 1 in floating point, and still no uniform falls through."""
    p = np.full(10, 0.1)
    assert np.cumsum(p)[-1] < 1
    assert cumulative(p)[-1] == 1.0
    assert draw(p, np.asarray(np.nextafter(1.0, 0.0))) == 9


@given(games_and_points)
@settings(deadline=None, max_examples=20)
def test_expect_is_the_sum(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    """Every fast path, against einsum."""
    mdp = problem(*drawn)
    v = np.random.default_rng(0).normal(size=(3, mdp.sizes[0]))
    kernels = np.stack([mdp.transition] * 3)
    wanted = np.einsum("sabt,kt->ksab", mdp.transition, v)
    np.testing.assert_allclose(mdp.kernel.expect(v), wanted, atol=1e-12)
    np.testing.assert_allclose(expect(kernels, v), wanted, atol=1e-12)
    np.testing.assert_allclose(mdp.kernel.expect(v[0]), wanted[0], atol=1e-12)


def test_stacked_processes_are_solved_as_one_batch() -> None:
    game = se.game("four_rooms-v0")
    mdps = [game.problems(np.zeros(105), c)[0] for c in (0, 1)]
    batched = soft_policy_iteration(stack(mdps), 0.003)
    for i, mdp in enumerate(mdps):
        np.testing.assert_allclose(batched.policy[i], soft_policy_iteration(mdp, 0.003).policy, atol=1e-9)
    with pytest.raises(ValueError, match="differ in sizes"):
        stack([mdps[0], se.game("toy3-v0").problems(np.zeros(6))[0]])


def test_no_solution_is_said_so() -> None:
    mdp = se.game("toy3-v0").problems(np.zeros(6))[0]
    with pytest.raises(PlanningError, match="finite"):
        soft_policy_iteration(replace(mdp, follower_reward=np.full((3, 2, 3), np.nan)), 0.1)


def test_steps_that_are_only_rounding_end_the_iteration() -> None:
    """Solves that are off by 1e-10 leave steps of that size for ever: the answer is as good as they are, and its certificate says so."""
    rng = np.random.default_rng(0)

    class Inexact(Dense):
        def solve(self, rhs: np.ndarray, tolerance: float | None = None) -> np.ndarray:
            return super().solve(rhs) + 1e-10 * rng.choice([-1.0, 1.0], rhs.shape)

    faced = problem(se.game("random_markov_game-v0", seed=3), np.zeros(15))
    exact, found = (soft_policy_iteration(faced, 0.01, factorise=factorise) for factorise in (Dense, Inexact))
    assert found.step > 1e-9 * 0.01
    assert found.evaluations < exact.evaluations + 30
    assert np.abs(found.values - exact.values).max() <= found.bound + exact.bound < 1e-8


def test_counters_on_the_toy() -> None:
    """Discount .99: Newton takes at most 8 evaluations from nothing, 4 from a neighbour; soft value iteration over a thousand sweeps."""
    for R, p in itertools.product((1.0, 2.0), (0.05, 0.3, 0.5, 0.73, 0.95)):
        game, x = se.game("toy3-v0", R=R), np.zeros(6)
        x[3] = np.log(p / (1 - p))
        mdp, near = game.problems(x)[0], game.problems(x + 0.03)[0]
        plan = soft_policy_iteration(mdp, 0.05)
        assert plan.evaluations <= 8
        assert soft_policy_iteration(near, 0.05, values=plan.values).evaluations <= 4
        assert np.abs(se.Truncated(0.05, 1000).answer(mdp, None).values - plan.values).max() > 1e-6
