"""M-SoBiRL: its fixed point is the exact hypergradient.  SoBiRL: what it estimates instead, and by how much it is off."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from small_games import Bonuses

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from solvers.estimators.sobirl import MSoBiRL, SoBiRL
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import Dense, system
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.processes.mdp import joint_policy


def exact(game: se.StackelbergGame, x: np.ndarray, *, reaction: bool = True) -> np.ndarray:
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    return exact_gradient(oracle, torch.tensor(x), None, reaction=reaction).gradient.numpy()


def recursed(game: se.StackelbergGame, x: np.ndarray, rounds: int, estimator: MSoBiRL) -> np.ndarray:
    """The estimate after so many iterations at the same ``x``."""
    oracle, rng, memory = RepeatedGame(game).oracle(se.Access.MODEL), np.random.default_rng(0), None
    for _ in range(rounds):
        estimate = estimator.estimate(oracle, torch.tensor(x), memory, rng)
        memory = estimate.memory
    return estimate.gradient.numpy()


@pytest.mark.parametrize("follower_sees", ["policy", "action"])
def test_msobirl_converges_to_the_hypergradient(follower_sees: str) -> None:
    """At a fixed x, by direction and length: by iterations with one adjoint step each, and by one iteration with many of both steps."""
    game = se.game("random_markov_game-v0", discount=0.8, follower_sees=follower_sees)
    x = np.random.default_rng(3).normal(size=15)
    wanted = exact(game, x)

    def error(iterations: int, **inner: int) -> tuple[float, float]:
        found = recursed(game, x, iterations, MSoBiRL(**inner))  # type: ignore[arg-type]
        cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
        return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted)), 1 - float(cosine)

    iterated = [error(n)[0] for n in (1, 10, 60)]
    assert iterated[0] > 0.05
    assert iterated[0] > 10 * iterated[1] > 15 * iterated[2]
    nested = [error(1, sweeps=300, adjoint_steps=steps) for steps in (1, 300, 2000)]
    assert nested[0][0] > 0.05
    assert nested[1] < (1e-4, 1e-8)
    assert max(nested[2]) < 1e-10


def test_msobirl_is_the_published_iteration() -> None:
    """In a design game, by the published formulas and nothing else: w <- w - zeta A^T (A w - U^T u), five iterations."""
    game = Bonuses(discount=0.5)
    x, zeta, tau, gamma = np.random.default_rng(0).normal(size=game.dimension), 0.2, 0.5, 0.5
    mdp = game.problems(x)[0]
    P, r_L = mdp.transition[:, 0], mdp.leader_reward[:, 0]
    r, dr = mdp.follower_reward[:, 0], game.incentive_jacobian
    V, w = np.zeros(4), None
    for _ in range(5):
        for _ in range(3):
            V = tau * np.log(np.exp((r + gamma * P @ V) / tau).sum(-1))
        g = np.exp((r + gamma * P @ V) / tau)
        g /= g.sum(-1, keepdims=True)
        A = (np.eye(4) - gamma * np.einsum("sb,sbt->st", g, P)).T
        W = np.linalg.solve(A.T, (g * r_L).sum(-1))
        u = np.linalg.solve(A, mdp.initial)[:, None] * g * (r_L + gamma * P @ W)
        U = np.eye(4)[:, None] - gamma * P
        w = u.sum(-1) if w is None else w
        w = w - zeta * A.T @ (A @ w - np.einsum("sbt,sb->t", U, u))
        phi = np.einsum("sb,sbn->sn", g, dr)
        gradient = (np.einsum("sb,sbn->n", u, dr) - phi.T @ w) / tau
    np.testing.assert_allclose(recursed(game, x, 5, MSoBiRL(sweeps=3, zeta=zeta)), gradient, atol=1e-12)


def truncated(game: Bonuses, x: np.ndarray, weights: str) -> np.ndarray:
    """What SoBiRL estimates: sum of visits (of the start, or all discounted ones) g (Q_L - V_L) / tau, as x is one bonus for each pair."""
    mdp = game.problems(x)[0]
    g = game.default_follower.respond(game, x).policy
    W = policy_value(mdp, g, mdp.leader_reward, mdp.leader_discount)
    Q = (mdp.leader_reward + mdp.leader_discount * mdp.transition @ W)[:, 0]
    chain = mdp.kernel.markov_chain(joint_policy(mdp, g))
    visits = mdp.initial if weights == "first" else Dense(system(chain, mdp.leader_discount)).solve_transposed(mdp.initial)
    return (visits[:, None] * g[:, 0] * (Q - W[:, None]) / 0.5).ravel()


@pytest.mark.parametrize(("weights", "discount"), [("first", 0.9), ("steps", 0.9), ("steps", 0.0)])
def test_the_bias_of_sobirl(weights: str, discount: float) -> None:
    """Its mean, within four standard errors, is the one-step truncation, far from the truth unless the follower looks no further."""
    x, count = np.random.default_rng(1).normal(size=12), 300
    game = Bonuses(discount=discount)
    oracle, rng = RepeatedGame(game, seed=4).oracle(se.Access.POLICY), np.random.default_rng(0)
    estimator = SoBiRL(episodes=400, weights=weights)  # type: ignore[arg-type]
    drawn = np.stack([estimator.estimate(oracle, torch.tensor(x), None, rng).gradient.numpy() for _ in range(count)])
    mean, error, true = drawn.mean(axis=0), drawn.std(axis=0) / np.sqrt(count), exact(game, x)
    assert (np.abs(mean - truncated(game, x, weights)) < 4 * error).all()
    if discount == 0:
        np.testing.assert_allclose(truncated(game, x, weights), true, atol=1e-12)
    else:
        gap = truncated(game, x, weights) - true
        along = (drawn - true) @ gap / np.linalg.norm(gap)
        assert along.mean() > 6 * along.std() / np.sqrt(count)
        assert np.linalg.norm(gap) > 0.2 * np.linalg.norm(true)


@pytest.mark.parametrize("weights", ["first", "steps"])
def test_sobirl_is_naive_on_four_rooms(weights: str) -> None:
    """Incentives for cells do not depend on the follower's action: the reaction is zero, and the mean is the naive gradient."""
    game = se.game("four_rooms-v0", preset="bchg")
    x = 0.1 * np.random.default_rng(0).normal(size=105)
    estimator = SoBiRL(episodes=200, weights=weights)  # type: ignore[arg-type]
    found = []
    for seed in range(20):
        rounds = RepeatedGame(game, seed=seed)
        found.append(estimator.estimate(rounds.oracle(se.Access.POLICY), torch.tensor(x), None, np.random.default_rng(0)).gradient.numpy())
        seen = RepeatedGame(game, seed=seed).play(x, episodes=200, one_context=True)
        visits = np.zeros(105)
        discounted = np.broadcast_to(0.99 ** np.arange(seen.alive.shape[-1]), seen.alive[:, 0].shape)
        np.add.at(visits, np.minimum(seen.states[:, 0, :-1], 104)[seen.alive[:, 0]], discounted[seen.alive[:, 0]])
        leaf = torch.tensor(x, requires_grad=True)
        paid = (game.leader_cost(leaf, 0)[:, 0, 0] * torch.tensor(visits[:104])).sum() / 200
        (direct,) = torch.autograd.grad(-paid, leaf)
        np.testing.assert_allclose(found[-1], direct.numpy(), atol=1e-12)
    naive, reacting = exact(game, x, reaction=False), exact(game, x)
    error = np.std(found, axis=0) / np.sqrt(20)
    assert (np.abs(np.mean(found, axis=0) - naive) < 5 * error + 1e-6).all()
    assert np.linalg.norm(reacting - naive) > 10 * np.linalg.norm(np.mean(found, axis=0) - naive)


def test_msobirl_follows_where_one_adjoint_step_is_enough() -> None:
    """At gamma = .5, as published, it climbs as the exact gradient does; at gamma = .9 and a tenth of tau it needs more steps."""
    easy = Bonuses(discount=0.5)
    ends = [solvers.solve(easy, name, budget=150, lr=0.05, reports=1).leader_return for name in ("implicit", "msobirl")]
    assert ends[1] == pytest.approx(ends[0], rel=0.01)
    assert ends[1] > float(se.evaluate(easy, np.zeros(12)).leader_return) + 0.1
    hard = se.game("random_markov_game-v0", seed=1000)
    one, many = (
        solvers.solve(hard, "msobirl", budget=60, lr=0.02, optimiser="adam", reports=1, adjoint_steps=steps).leader_return
        for steps in (1, 30)
    )
    assert one < 3.7 < 4.0 < many


def test_declining() -> None:
    with pytest.raises(solvers.Declined, match="sobirl needs a leader that sets rewards"):
        solvers.solve(se.game("toy3-v0"), "sobirl")
    with pytest.raises(solvers.Declined, match="msobirl differentiates a soft response"):
        solvers.solve(se.game("toy3-v0"), "msobirl", follower=se.Hard())
    with pytest.raises(ValueError, match="Known: first, steps"):
        solvers.build("sobirl", weights="last")
    with pytest.raises(ValueError, match="positive sweeps"):
        solvers.build("msobirl", sweeps=0)
    assert dataclasses.asdict(solvers.solver_class("msobirl")()) == {"sweeps": 10, "zeta": 0.5, "adjoint_steps": 1}
