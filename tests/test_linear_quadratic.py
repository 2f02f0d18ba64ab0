"""Linear-quadratic worlds: published values, exact scores against simulation, responses against other solvers, unstable loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_discrete_are

import stackelberg_envs as se
from solvers import Declined, solve
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.riccati import riccati
from stackelberg_envs.play.monte_carlo import discounted_return
from stackelberg_envs.play.sampled_rollouts import play_sampled
from stackelberg_envs.processes.gaussian import GaussianPolicy
from stackelberg_envs.processes.payments import QuadraticPayment
from stackelberg_envs.worlds.linear_quadratic import LinearQuadratic

BUILDING, GAIN = se.game("building-v0"), se.game("lq_gain-v0")


@pytest.mark.parametrize(("built", "value"), [(0.5, -261.96), (1.0, -197.25), (0.0, -1041.6)])
def test_building_has_its_reference_values(built: float, value: float) -> None:
    """shared/papers/bchg.md 3.2, over 100 steps; with everything at 0 the loop has spectral radius 1.06 and the value is finite."""
    x = np.full(8, np.log(built / (1 - built)) if 0 < built < 1 else np.sign(built - 0.5) * 60.0)
    assert float(se.evaluate(BUILDING, x).leader_return) == pytest.approx(value, abs=0.05)


def test_gain_has_its_reference_values() -> None:
    """shared/papers/bchg.md 3.4: 17.45 undiscounted and 10.67 discounted at K = (-9.97, -9.40); .0149 at K = 0."""
    x = np.array([-9.97, -9.40])
    assert float(se.evaluate(GAIN, x, leader_discount=1.0).leader_return) == pytest.approx(17.45, abs=0.02)
    assert float(se.evaluate(GAIN, x).leader_return) == pytest.approx(10.67, abs=0.02)
    assert float(se.evaluate(GAIN, np.zeros(2), leader_discount=1.0).leader_return) == pytest.approx(0.0149, abs=1e-4)


def test_the_published_architect_stops_short() -> None:
    """BC-HG ends at -196.7; the reference optimum is -163.35 at il = (.99, 0, .94, .99), aa = (0, .90, .98, .99)."""
    built = np.clip(np.array([0.99, 0.0, 0.94, 0.99, 0.0, 0.90, 0.98, 0.99]), 1e-3, 1)
    assert float(se.evaluate(BUILDING, np.log(built / (1 - built))).leader_return) == pytest.approx(-163.4, abs=0.2)


@pytest.mark.parametrize(
    ("game", "x"),
    [
        (BUILDING, np.zeros(8)),
        (BUILDING, np.linspace(-2, 2, 8)),
        (se.game("building-v0", zones=6), np.zeros(12)),
        (GAIN, np.array([-9.97, -9.40])),
        (se.game("lq_gain-v0", width=0.3, leader_sd=0.2), np.array([-3.0, 1.0])),
    ],
    ids=str,
)
def test_exact_scores_are_those_of_play(game: se.StackelbergGame, x: np.ndarray) -> None:
    """Law of large numbers, four standard errors: the leader's return, and the follower's plain return."""
    scored = se.evaluate(game, x)
    (process,), rng = game.problems(x), np.random.default_rng(0)
    played = play_sampled(
        process, scored.responses[0].policy, process.start(rng.random((20_000, process.noise.start))), rng, game.max_cycles
    )
    pairs = (
        (played.leader_rewards, process.leader_discount, scored.leader_return),
        (played.follower_rewards, process.follower_discount, scored.follower_returns[0]),
    )
    for rewards, discount, exact in pairs:
        returns = discounted_return(rewards, discount)
        assert abs(returns.mean() - float(exact)) < 4 * returns.std() / len(returns) ** 0.5


@given(st.integers(0, 10_000), st.floats(0.1, 0.99))
@settings(deadline=None, max_examples=30)
def test_riccati_agrees_with_scipy(seed: int, discount: float) -> None:
    """scipy solves the undiscounted equation by an ordered Schur form: scale A and B by the root of the discount."""
    rng = np.random.default_rng(seed)
    A, B, q = rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), rng.normal(size=(3, 3))
    Q, R = q @ q.T + 0.1 * np.eye(3), np.diag(rng.uniform(0.1, 2.0, 2))
    P, residual = riccati(A, B, Q, R, discount)
    np.testing.assert_allclose(P, solve_discrete_are(discount**0.5 * A, discount**0.5 * B, Q, R), rtol=1e-6)
    assert residual < 1e-9


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_no_gaussian_policy_beats_the_soft_response(seed: int) -> None:
    """And what it earns is the mean of its soft value: V(s_0, a_0), by simulation of the first state and action only."""
    rng = np.random.default_rng(seed)
    game, x = (GAIN, rng.normal(size=2)) if seed % 2 else (BUILDING, rng.normal(size=8))
    (process,) = game.problems(x)
    policy, value, _ = process.soft_response(0.1)
    _, optimum, gap = process.follower_score(policy, 0.1, 100)
    assert gap == 0
    other = replace(policy, on_state=policy.on_state + 0.05 * rng.normal(size=policy.on_state.shape), spread=1.2 * policy.spread)
    _, attained, gap = process.follower_score(other, 0.1, 100)
    assert attained < optimum
    assert gap == pytest.approx(float(optimum - attained))
    s = process.start(rng.random((40_000, process.noise.start)))
    values = value(s, process.lead(s, rng.random((len(s), process.noise.lead))))
    assert abs(values.mean() - float(optimum)) < 5 * values.std() / len(s) ** 0.5 + 1e-6


def test_the_gap_is_what_play_shows() -> None:
    """The follower's own objective, entropy included, of a policy that is not optimal: by simulation, four standard errors."""
    (process,) = BUILDING.problems(np.ones(8))
    best, _, _ = process.soft_response(0.1)
    policy = replace(best, on_state=0.7 * best.on_state)
    _, attained, _ = process.follower_score(policy, 0.1, 100)
    rng = np.random.default_rng(1)
    played = play_sampled(process, policy, process.start(rng.random((20_000, 4))), rng, 300)
    bonus = 0.1 * float(policy.entropy) / (1 - process.follower_discount)
    returns = discounted_return(played.follower_rewards, process.follower_discount) + bonus
    assert abs(returns.mean() - float(attained)) < 4 * returns.std() / len(returns) ** 0.5


class Opaque:
    """A Gaussian policy that does not show what it is, nor, unless asked, its density."""

    def __init__(self, policy: GaussianPolicy, *, density: bool) -> None:
        self._policy, self.noise = policy, policy.noise
        if density:
            self.log_density = policy.log_density

    def act(self, states: np.ndarray, leads: np.ndarray, u: np.ndarray) -> np.ndarray:
        return self._policy.act(states, leads, u)


@pytest.mark.parametrize("density", [True, False])
def test_other_policies_are_scored_by_playing(density: bool) -> None:
    """By law of large numbers the exact scores, gap included; without a density the gap is that of plain rewards."""
    x = np.linspace(-1, 1, 8)
    (process,) = BUILDING.problems(x)
    best, _, _ = process.soft_response(0.1)
    policy = replace(best, on_state=0.5 * best.on_state)
    answer = se.Response((replace(se.evaluate(BUILDING, x).responses[0].answers[0], policy=Opaque(policy, density=density)),))
    scored = se.evaluate(BUILDING, x, responses=(answer,))
    _, own, gap = process.follower_score(policy, 0.1 if density else 0.0, 100)
    assert abs(float(scored.leader_return) - float(process.leader_return(policy, 100, 0.9))) < 4 * float(scored.standard_error)
    assert float(scored.follower_gap) == pytest.approx(float(gap), rel=0.1)
    assert float(scored.follower_values[0, 0]) == pytest.approx(float(own), rel=0.1)
    assert gap > 50


@pytest.mark.parametrize(("game", "scale"), [(BUILDING, 1.0), (GAIN, 3.0)], ids=str)
def test_gradients_go_through_the_riccati_equation(game: se.StackelbergGame, scale: float) -> None:
    """Central differences of the exact score, through the follower's response."""
    rng, step = np.random.default_rng(3), 1e-5
    for _ in range(3):
        x = scale * rng.normal(size=game.dimension)
        leaf = torch.tensor(x, requires_grad=True)
        (process,) = game.problems(leaf)
        game.objective((process,), (process.soft_response(0.1)[0],)).backward()
        assert leaf.grad is not None
        for i, slope in enumerate(leaf.grad.tolist()):
            up, down = (float(se.evaluate(game, x + sign * step * np.eye(len(x))[i]).leader_return) for sign in (1, -1))
            assert slope == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-7)


def test_unstable_loops() -> None:
    """A spectral radius above 1 gives a finite score over 100 steps; what overflows, or cannot be kept finite, is an error in words."""
    far = np.array([20.0, 20.0])
    (process,) = GAIN.problems(far)
    idle = GaussianPolicy(np.zeros((1, 2)), np.zeros((1, 1)), 1e-3 * np.eye(1))
    _, attained, gap = process.follower_score(idle, 0.1, 100)
    assert attained == -np.inf
    assert gap == np.inf
    payment = QuadraticPayment(np.eye(3), np.zeros(()))
    with pytest.raises(PlanningError, match=r"spectral radius 2, .* overflow within 2000 steps"):
        replace(process, payment=payment).leader_return(idle, 2000, 0.99)
    uncontrolled = LinearQuadratic(
        2 * np.eye(2),
        np.zeros((2, 1)),
        process.C,
        process.gain,
        0.0,
        0.0,
        process.Q,
        process.R,
        payment,
        process.start_mean,
        0.0,
        0.95,
        0.99,
    )
    with pytest.raises(PlanningError, match="no policy keeps its discounted costs finite"):
        uncontrolled.soft_response(0.1)
    with pytest.raises(FloatingPointError, match="unstable under this commitment"):
        play_sampled(uncontrolled, idle, np.ones((1, 2)), np.random.default_rng(0), 2000)


def test_a_leader_without_noise_has_no_density() -> None:
    """Who needs one declines, and closed forms go on."""
    still = se.game("lq_gain-v0", leader_sd=0.0)
    with pytest.raises(Declined, match="acts by a density"):
        solve(still, "neural_bchg", budget=1)
    noisy = se.evaluate(GAIN, np.array([-9.97, -9.40])).leader_return
    assert se.evaluate(still, np.array([-9.97, -9.40])).leader_return == pytest.approx(noisy, rel=0.01)


def test_followers_that_plan_with_tables_say_so() -> None:
    with pytest.raises(PlanningError, match="take Soft"):
        se.evaluate(GAIN, np.zeros(2), follower=se.Hard())
    with pytest.raises(TypeError, match="has no tables"):
        _ = GAIN.sizes
