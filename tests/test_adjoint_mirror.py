"""Gradients through mirror-descent steps: by plain differentiation, by differences of the real follower, and by the fixed point's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_games import Three

import solvers
import stackelberg_envs as se
from solvers.adjoint_mirror import AdjointMirror, gradient_through
from solvers.copies import induced_processes
from solvers.estimators.implicit import exact_gradient
from solvers.penalties import expected_return, visits
from stackelberg_envs.leader.repeated_game import RepeatedGame

X = np.array([0.5, -0.3, 0.2, 0.1, -0.6, 0.4])


def estimate(game: se.StackelbergGame, x: np.ndarray, estimator: AdjointMirror, follower: Any = None) -> Any:
    oracle = RepeatedGame(game, follower).oracle(se.Access.MODEL)
    return estimator.estimate(oracle, torch.tensor(x), None, np.random.default_rng(0))


def exact(game: se.StackelbergGame, x: np.ndarray, follower: Any = None) -> np.ndarray:
    return exact_gradient(RepeatedGame(game, follower).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient.numpy()


@pytest.mark.parametrize("steps", [1, 2, 7, 9])
def test_the_recursion_is_the_derivative_of_all_steps(steps: int) -> None:
    """On three states, to 1e-10: the steps written out, with every one in memory, and differentiated at once."""
    game, rate, tau, gamma = Three(0.6), 2.0, Three.temperature, Three.discount
    leaf = torch.tensor(X, requires_grad=True)
    ((_, mdp),) = induced_processes(RepeatedGame(game).oracle(se.Access.MODEL), leaf)
    P, reward = mdp.kernel.dense()[0, :, 0], mdp.follower_reward[0, :, 0]
    z, a = torch.log(torch.full((3, 2), 0.5, dtype=torch.float64)), rate * tau / (1 + rate * tau)
    for _ in range(steps):
        g = torch.softmax(z, -1)
        chain = torch.einsum("sb,sbt->st", g, P)
        V = torch.linalg.solve(torch.eye(3, dtype=z.dtype) - gamma * chain, (g * (reward - tau * torch.log(g))).sum(-1))
        z = (1 - a) * torch.log(g) + a / tau * (reward + gamma * P @ V)
    policy = torch.softmax(z, -1)[None, :, None]
    earned = expected_return(mdp, policy, mdp.leader_reward, visits(mdp, policy, mdp.leader_discount)).sum()
    (expected,) = torch.autograd.grad(earned, leaf)
    found = estimate(game, X, AdjointMirror(steps, rate))
    np.testing.assert_allclose(found.gradient.numpy(), expected.numpy(), atol=1e-10)
    assert found.value == pytest.approx(float(earned.detach()), abs=1e-12)


@pytest.mark.parametrize("id", ["random_markov_game-v0", "patrol-v0"])
def test_it_is_exact_for_a_follower_who_takes_these_steps(id: str) -> None:
    """Central differences of the referee's scores against `MirrorDescent` from the uniform policy, far from its best response."""
    arguments = {"park": "ring", "size": 4, "durations": (1, 2), "temperature": 0.05} if id == "patrol-v0" else {}
    game = se.game(id, **arguments)
    rng, tau = np.random.default_rng(0), game.default_follower.temperature
    x, steps, rate = 0.3 * rng.normal(size=game.dimension), 5, 1 / tau
    follower = se.MirrorDescent(tau, steps, rate, start="reset")
    found = estimate(game, x, AdjointMirror(steps, rate), follower).gradient.numpy()
    assert np.linalg.norm(found - exact(game, x)) > 0.01 * np.linalg.norm(found), "the best response has another gradient"
    for _ in range(3):
        u = rng.normal(size=x.shape) / np.sqrt(len(x))
        up, down = (float(se.evaluate(game, x + sign * 1e-5 * u, follower=follower).leader_return) for sign in (1, -1))
        assert found @ u == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-7)


def test_the_error_against_a_best_response_falls_as_the_steps_contract() -> None:
    """By 1 - a a step (Cen et al. 2022 for log g; the adjoint contracts alike), a = 1/2 here: within 5 % over eight steps."""
    game = Three(0.6)
    true, rate = exact(game, X), 1 / Three.temperature
    errors = [np.linalg.norm(estimate(game, X, AdjointMirror(steps, rate)).gradient.numpy() - true) for steps in (16, 24)]
    assert np.log(errors[0] / errors[1]) / 8 == pytest.approx(np.log(2), rel=0.1)
    newton = estimate(game, X, AdjointMirror(8)).gradient.numpy()
    np.testing.assert_allclose(newton, true, atol=1e-10)


def test_the_crowds_gradient_is_that_of_its_equilibrium() -> None:
    """Braess's network: implicit differentiation of the fixed point, which shares no code with this, to 1e-8."""
    game = se.game("toll_network-v0", network="braess")
    x = 0.3 * np.random.default_rng(0).normal(size=game.dimension)
    found = estimate(game, x, AdjointMirror(36, 0.05)).gradient.numpy()
    np.testing.assert_allclose(found, exact(game, x), atol=1e-8)


class _Held:
    """A tensor that a graph keeps, and how many there are."""

    now = most = 0

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        _Held.now += 1
        _Held.most = max(_Held.most, _Held.now)

    def __del__(self) -> None:
        _Held.now -= 1


def test_memory_grows_with_the_root_of_the_steps() -> None:
    """Tensors that graphs hold at a time: 4 times as many steps take twice as many."""
    peaks = []
    for steps in (16, 64, 256):
        x = torch.ones(3, dtype=torch.float64, requires_grad=True)
        _Held.now = _Held.most = 0
        with torch.autograd.graph.saved_tensors_hooks(_Held, lambda held: held.tensor):
            gradient_through(lambda z, x=x: torch.sin(z + x), lambda z: (z**2).sum(), torch.zeros(3, dtype=torch.float64), x, steps)
        peaks.append(_Held.most)
    assert np.diff(np.log(peaks)) / np.log(4) == pytest.approx([0.5, 0.5], abs=0.1)


def test_bad_settings_are_named() -> None:
    for wrong in ({"steps": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="steps from 1 and a positive rate"):
            AdjointMirror(**wrong)


def test_it_climbs_to_a_stationary_point() -> None:
    """Of a random game: the exact gradient where it ends is a hundredth of what it was, for the best response and for five steps."""
    game, rate = se.game("random_markov_game-v0", seed=1000), 1 / se.game("random_markov_game-v0").default_follower.temperature
    few = se.MirrorDescent(game.default_follower.temperature, 5, rate, start="reset")
    for follower, settings in ((None, {}), (few, {"steps": 5, "rate": rate})):
        estimator = AdjointMirror(**settings)
        start = np.zeros(game.dimension)
        solution = solvers.solve(
            game, "adjoint_mirror", follower=follower, budget=300, lr=0.05, optimiser="adam", start=start, reports=1, **settings
        )
        before, after = (float(estimate(game, x, estimator, follower).gradient.norm()) for x in (start, solution.x))
        assert after < 0.01 * before


@pytest.mark.parametrize(
    ("id", "arguments", "follower", "message"),
    [
        ("zero_sum_incentive-v0", {}, None, "handles followers who do not interact, and crowds"),
        ("toy3-v0", {}, se.Hard(), "neither Soft nor MirrorDescent"),
        ("preference-v0", {"objective": "likelihood"}, None, "needs an additive leader objective"),
        ("building-v0", {}, None, "works on tables"),
    ],
)
def test_declining(id: str, arguments: dict[str, Any], follower: Any, message: str) -> None:
    with pytest.raises(solvers.Declined, match=message):
        solvers.solve(se.game(id, **arguments), "adjoint_mirror", follower=follower, budget=1)
