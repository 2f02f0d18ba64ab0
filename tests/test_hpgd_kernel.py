"""HPGD with a kernel term: the transposed sum is the dense one, it finds the exact hypergradient, and what the published form finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import solvers
import stackelberg_envs as se
from solvers.estimators.hpgd_kernel import MISSING, HPGDKernel
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.game import as_tuple
from stackelberg_envs.games.tax_design import Consumer, TaxDesign
from stackelberg_envs.mdp import dense
from stackelberg_envs.oracle import Rounds
from stackelberg_envs.outcome import Outcome

SMALL: dict[str, Any] = {"preset": "legacy", "grid": 21, "hours": 3, "spendings": 2}
X = np.array([-0.5, 0.3, -0.2, 0.1])


def written_down(game: TaxDesign, valued: Outcome, averaged: Outcome, who: int, *, published: bool, response: bool = True) -> np.ndarray:
    """The estimator with D_t as vectors of dim x, dense Jacobians, and loops over visits."""
    context, temperature = int(valued.contexts[0]), game.default_follower.temperature  # type: ignore[attr-defined]
    mdp, policy = game.problems(X, context)[who], se.evaluate(game, X).responses[context].policies[who][:, 0]
    V = Rounds(game).values(X, context)[who]
    leaf = torch.tensor(X)

    def jacobian(table: Any) -> np.ndarray:
        return torch.autograd.functional.jacobian(table, leaf).numpy()

    s_count, _, b_count = mdp.sizes
    P = dense(mdp.transition)[:, 0]
    dP = jacobian(lambda y: dense(game.problems(y, context)[who].transition)[:, 0])
    dr = np.broadcast_to(jacobian(lambda y: as_tuple(game.incentive(y, context))[who][0, 0]), (s_count, b_count, 4))
    dcost = np.broadcast_to(jacobian(lambda y: as_tuple(game.leader_cost(y, context))[who][0, 0]), (s_count, b_count, 4))
    gamma, gamma_leader = mdp.follower_discount, mdp.leader_discount
    step = dr + (gamma * np.einsum("sbtx,t->sbx", dP, V) if response and not published else 0.0)

    def togo(rewards: np.ndarray, discount: float) -> np.ndarray:
        total = rewards.copy()
        for t in reversed(range(total.shape[1] - 1)):
            total[:, t] += discount * total[:, t + 1]
        return total

    states, actions = averaged.states[:, who, :-1], averaged.follower_actions[:, who]
    D, U = togo(step[states, actions], gamma), togo(averaged.leader_rewards, gamma_leader)
    horizon = states.shape[1]
    dV, W, n = np.zeros((s_count, 4)), np.zeros(s_count), np.zeros(s_count)
    for i, t in np.ndindex(states.shape):
        if gamma ** (horizon - t) <= MISSING:
            n[states[i, t]] += 1
            dV[states[i, t]] += D[i, t]
            W[states[i, t]] += U[i, t]
    W = np.where(n > 0, W / np.maximum(n, 1), W.sum() / n.sum())
    dV = dV / np.maximum(n, 1)[:, None]
    dQ = step + gamma * np.einsum("sbt,tx->sbx", P, dV)
    dA = dQ - np.einsum("sb,sbx->sx", policy, dQ)[:, None]
    states, actions = valued.states[:, who, :-1], valued.follower_actions[:, who]
    U, gradient = togo(valued.leader_rewards, gamma_leader), np.zeros(4)
    for i, t in np.ndindex(states.shape):
        s, b = states[i, t], actions[i, t]
        if published:
            reacts = U[i, t] * (D[i, t] - dV[s])
        else:
            reacts = (U[i, t] - W[s]) * dA[s, b]
        gradient += gamma_leader**t * (reacts / temperature - dcost[s, b] + gamma_leader * W @ dP[s, b]) / len(states)
    return gradient


@pytest.mark.parametrize(
    "options",
    [{}, {"batches": "same"}, {"kernel_response": False}, {"form": "published"}],
    ids=["independent", "same", "still", "published"],
)
@pytest.mark.parametrize("consumers", [1, 2])
def test_the_transposed_estimator_is_the_dense_one(options: dict[str, Any], consumers: int) -> None:
    """On the same episodes, to 1e-10 of its size; the sum over consumers, each with the leader's whole return."""
    game = TaxDesign(**SMALL, consumers=consumers, max_cycles=60)
    estimator = HPGDKernel(episodes=6, **options)
    found = estimator.estimate(Rounds(game, seed=5).oracle(estimator.access), torch.tensor(X), None, np.random.default_rng(0))
    published = options.get("form") == "published"
    two = not published and options.get("batches") != "same"
    seen = Rounds(game, seed=5).play(X, episodes=12 if two else 6, one_context=True)
    valued, averaged = seen.split(6) if two else (seen, seen)
    response = options.get("kernel_response", True)
    wanted = sum(written_down(game, valued, averaged, i, published=published, response=response) for i in range(consumers))
    np.testing.assert_allclose(found.gradient.numpy(), wanted, atol=1e-10 * np.abs(wanted).max())


def drawn(count: int, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean error of independent estimates, its standard error, and the exact gradient; one taste, so that only episodes are random."""
    game = TaxDesign(**SMALL, consumers=[Consumer(((0.6, 0.3, 0.1), (0.6, 0.3, 0.1)))])
    exact = exact_gradient(Rounds(game).oracle(se.Access.MODEL), torch.tensor(X), None, reaction=True).gradient.numpy()
    estimator = HPGDKernel(**options)
    oracle, rng = Rounds(game, seed=7).oracle(estimator.access), np.random.default_rng(0)
    found = np.stack([estimator.estimate(oracle, torch.tensor(X), None, rng).gradient.numpy() for _ in range(count)])
    return found.mean(axis=0) - exact, found.std(axis=0, ddof=1) / np.sqrt(count), exact


@pytest.mark.parametrize(("episodes", "count"), [(25, 400), (100, 200)])
def test_independent_batches_find_the_exact_hypergradient(episodes: int, count: int) -> None:
    """Every component within four standard errors, which are a small part of the gradient, at two sizes of batches."""
    bias, error, exact = drawn(count, episodes=episodes)
    assert (np.abs(bias) < 4 * error).all()
    assert (error < 0.05 * np.abs(exact)).all()


def test_the_response_to_the_moved_kernel_matters() -> None:
    """Without it the income tax's component is far off, and that of the VAT, which moves no kernel, is not."""
    bias, error, exact = drawn(100, episodes=50, kernel_response=False)
    assert np.abs(bias[0]) > 10 * error[0]
    assert np.abs(bias[0]) > 0.2 * np.abs(exact[0])
    assert (np.abs(bias[1:]) < 4 * error[1:]).all()


def test_the_published_products_have_a_covariance_that_no_batch_removes() -> None:
    """D_t and U_t of one visit share its luck: the slopes in VAT are many times too steep, in batches of 25 episodes as of 200.

    The steepest is of the good that the consumer likes best: U_t D_t falls with what is spent on it.
    """
    small, large = (drawn(count, episodes=episodes, form="published") for episodes, count in ((25, 200), (200, 50)))
    for bias, error, exact in (small, large):
        assert (bias[1:] < -10 * error[1:]).all()
        assert (np.abs(bias[1:]) > 5 * np.abs(exact[1:])).all()
        assert bias[1] < bias[2] < bias[3]
    np.testing.assert_allclose(small[0][1:], large[0][1:], rtol=0.25)


def test_hpgd_kernel_declines() -> None:
    with pytest.raises(solvers.Declined, match="hpgd is for one that only sets rewards"):
        solvers.solve(se.game("four_rooms-v0"), "hpgd_kernel")
    with pytest.raises(solvers.Declined, match="hpgd_kernel and implicit have"):
        solvers.solve(TaxDesign(**SMALL), "hpgd")
    with pytest.raises(ValueError, match="'kernel' or 'published'"):
        solvers.build("hpgd_kernel", form="dense")
    with pytest.raises(se.AccessError, match="INCENTIVE"):
        solvers.solve(TaxDesign(**SMALL), "hpgd_kernel", access=se.Access.INCENTIVE)


def test_blocks_are_clipped_apart() -> None:
    """One step of rate 1 moves each block by its own gradient, or as much of it as has norm 1."""
    game, start = TaxDesign(**SMALL), X
    exact = exact_gradient(Rounds(game).oracle(se.Access.MODEL), torch.tensor(X), None, reaction=True).gradient.numpy()
    assert abs(exact[0]) > 1 > np.linalg.norm(exact[1:]) / 2
    moved = solvers.solve(game, "implicit", budget=1, start=start, lr=1.0, clip_blocks=[1, 3]).x - start
    np.testing.assert_allclose(moved[0], np.sign(exact[0]), atol=1e-12)
    np.testing.assert_allclose(moved[1:], exact[1:] / max(1.0, float(np.linalg.norm(exact[1:]))), atol=1e-12)
    with pytest.raises(solvers.Declined, match="do not divide"):
        solvers.solve(game, "implicit", clip_blocks=[2, 3])
