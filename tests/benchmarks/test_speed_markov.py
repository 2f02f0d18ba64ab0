"""Ratios for Markov games: the toy follower by Newton, and exact expectations instead of sampled ones; run by ``make speed``."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.timing import ratio

import stackelberg_envs as se
from solvers.estimators.critics import action_values, benefit
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.processes.inverse_cdf import cumulative, inverse_cdf

pytestmark = pytest.mark.speed


def test_newton_against_soft_value_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    """toy3, R = 1, uniform leader: both to 1e-9 in the follower's values; the sweeps are vectorised, which the published ones are not."""
    (mdp,) = se.game("toy3-v0").problems(np.zeros(6))
    exact = soft_policy_iteration(mdp, 0.05)
    sweeps = next(n for n in range(100, 5000, 100) if np.abs(se.Truncated(0.05, n).answer(mdp, None).values - exact.values).max() < 1e-9)
    again = soft_policy_iteration(mdp, 0.05, values=exact.values + 1e-3)
    np.testing.assert_allclose(again.values, exact.values, atol=1e-9)
    times, swept, newton = ratio(lambda: se.Truncated(0.05, sweeps).answer(mdp, None), lambda: soft_policy_iteration(mdp, 0.05))
    with capsys.disabled():
        print(f"\ntoy follower to 1e-9: {sweeps} sweeps {swept * 1e3:.1f} ms, ", end="")
        print(f"{exact.evaluations} Newton evaluations {newton * 1e3:.2f} ms ({times:.0f} x)")
    assert times >= 50


def test_exact_expectation_against_samples(capsys: pytest.CaptureFixture[str]) -> None:
    """The benefit at 450 visited steps: exact over the follower's three actions against means of 256 samples, as published."""
    (mdp,) = se.game("toy3-v0").problems(np.zeros(6))
    g = soft_policy_iteration(mdp, 0.05).policy
    leader_q, rng = action_values(mdp, g), np.random.default_rng(0)
    s, a, b = (rng.integers(n, size=450) for n in (3, 2, 3))
    sums = cumulative(g)

    def sampled() -> np.ndarray:
        drawn = inverse_cdf(sums[s, a][:, None], rng.random((450, 256)))
        return leader_q[s, a, b] - leader_q[s[:, None], a[:, None], drawn].mean(axis=1)

    def exact() -> np.ndarray:
        return benefit(mdp, g, leader_q)[s, a, b]

    spread = np.sqrt((g * (leader_q - (g * leader_q).sum(-1, keepdims=True)) ** 2).sum(-1))[s, a]
    error = np.mean([sampled() for _ in range(200)], axis=0) - exact()
    assert (np.abs(error) < 5 * spread / np.sqrt(256 * 200) + 1e-9).all()
    times, slow, fast = ratio(sampled, exact)
    with capsys.disabled():
        print(f"\nbenefit at 450 steps: 256 samples {slow * 1e3:.2f} ms, exact {fast * 1e3:.3f} ms ({times:.0f} x)")
    assert times >= 10
