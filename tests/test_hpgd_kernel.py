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
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play.outcomes import Outcome

SMALL: dict[str, Any] = {"preset": "legacy", "grid": 21, "hours": 3, "spendings": 2}
X = np.array([-1.7, -1.5, -1.2, -1.0])


def written_down(game: TaxDesign, valued: Outcome, averaged: Outcome, who: int, *, published: bool, response: bool = True) -> np.ndarray:
    """The estimator with D_t as vectors of dim x, dense Jacobians, and loops over visits."""
    context, temperature = int(valued.contexts[0]), game.default_follower.temperature  # type: ignore[attr-defined]
    mdp, policy = game.problems(X, context)[who], se.evaluate(game, X).responses[context].policies[who][:, 0]
    V = RepeatedGame(game).values(X, context)[who]
    leaf = torch.tensor(X)

    def jacobian(table: Any) -> np.ndarray:
        columns: list[Any] = [torch.autograd.functional.jvp(table, leaf, direction)[1] for direction in torch.eye(4).double()]
        return torch.stack(columns, dim=-1).numpy()

    s_count, _, b_count = mdp.sizes
    P = mdp.kernel.dense()[:, 0]
    dP = jacobian(lambda y: game.problems(y, context)[who].kernel.dense()[:, 0])
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
        reacts = U[i, t] * (D[i, t] - dV[s]) if published else (U[i, t] - W[s]) * dA[s, b]
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
    found = estimator.estimate(RepeatedGame(game, seed=5).oracle(estimator.access), torch.tensor(X), None, np.random.default_rng(0))
    published = options.get("form") == "published"
    two = not published and options.get("batches") != "same"
    seen = RepeatedGame(game, seed=5).play(X, episodes=12 if two else 6, one_context=True)
    valued, averaged = seen.split(6) if two else (seen, seen)
    response = options.get("kernel_response", True)
    wanted = sum(written_down(game, valued, averaged, i, published=published, response=response) for i in range(consumers))
    np.testing.assert_allclose(found.gradient.numpy(), wanted, atol=1e-10 * np.abs(wanted).max())


def drawn(count: int, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean error of independent estimates, its standard error, and the exact gradient; one taste, so that only episodes are random."""
    game = TaxDesign(**SMALL, consumers=[Consumer(((0.6, 0.3, 0.1), (0.6, 0.3, 0.1)))])
    exact = exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(X), None, reaction=True).gradient.numpy()
    estimator = HPGDKernel(**options)
    oracle, rng = RepeatedGame(game, seed=7).oracle(estimator.access), np.random.default_rng(0)
    found = np.stack([estimator.estimate(oracle, torch.tensor(X), None, rng).gradient.numpy() for _ in range(count)])
    return found.mean(axis=0) - exact, found.std(axis=0, ddof=1) / np.sqrt(count), exact


def test_the_direct_part_is_the_exact_one_on_average() -> None:
    """Within four standard errors: what the leader earns by its taxes, and by moving the kernel, while everybody acts as before."""
    game = TaxDesign(**SMALL, consumers=[Consumer(((0.6, 0.3, 0.1), (0.6, 0.3, 0.1)))])
    exact = exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(X), None, reaction=False).gradient.numpy()
    for form in ("kernel", "published"):
        estimator = HPGDKernel(episodes=100, form=form)
        oracle, rng = RepeatedGame(game, seed=7, measured=True).oracle(estimator.access), np.random.default_rng(0)
        estimates = [estimator.estimate(oracle, torch.tensor(X), None, rng) for _ in range(60)]
        found = np.stack([each.direct.numpy() for each in estimates])  # type: ignore[union-attr]
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0) - exact) < 4 * error + 0.02 * np.abs(exact)).all()
        assert (error < 0.1 * np.abs(exact)).all(), "a bias of the size of the gradient would be seen"


def test_independent_batches_find_the_exact_hypergradient() -> None:
    """The bias is that of means over visits: at most 8 % of the income tax's component in batches of 25 episodes, and falls as 1/batch.

    Nothing else is seen within four standard errors, which at 100 episodes are 4 % of that component.
    """
    (small, error, exact), (large, finer, _) = (drawn(count, episodes=episodes) for episodes, count in ((25, 800), (100, 300)))
    assert (np.abs(small[1:]) < 4 * error[1:]).all()
    assert 4 * error[0] < small[0] < 0.08 * exact[0]
    assert (np.abs(large) < 4 * finer).all()
    assert 4 * finer[0] < 0.04 * exact[0]
    assert large[0] < small[0] / 2


def test_the_response_to_the_moved_kernel_matters() -> None:
    """Without it the income tax's component is too large by a third, and those of the VAT, which moves no kernel, are right."""
    bias, error, exact = drawn(100, episodes=100, kernel_response=False)
    assert bias[0] > max(10 * error[0], 0.3 * exact[0])
    assert (np.abs(bias[1:]) < 4 * error[1:]).all()


def test_the_published_products_have_a_covariance_that_no_batch_removes() -> None:
    """D_t and U_t of one visit share its luck: slopes in VAT are a hundred times too steep, in batches of 25 episodes as of 100.

    They are in proportion to tastes, (.6, .3, .1), but for the rates at this commitment: all D_t move with what is bought at all.
    """
    small, large = (drawn(count, episodes=episodes, form="published") for episodes, count in ((25, 200), (100, 60)))
    for bias, error, exact in (small, large):
        assert (bias[1:] < -10 * error[1:]).all()
        assert (np.abs(bias[1:]) > 50 * np.abs(exact[1:])).all()
        np.testing.assert_allclose(bias[1:] / bias[1:].sum(), _steepness() / _steepness().sum(), atol=0.02)
    np.testing.assert_allclose(small[0][1:], large[0][1:], rtol=0.2)


def _steepness() -> np.ndarray:
    """-d log utility / d x of each VAT: om_i dy_i / (1 + y_i)."""
    vat = 2 / (1 + np.exp(-X[1:]))
    return np.array([0.6, 0.3, 0.1]) * vat * (1 - vat / 2) / (1 + vat)


def test_hpgd_kernel_declines() -> None:
    with pytest.raises(solvers.Declined, match="hpgd is for one that only sets rewards"):
        solvers.solve(se.game("four_rooms-v0"), "hpgd_kernel")
    with pytest.raises(solvers.Declined, match="hpgd_kernel and implicit have"):
        solvers.solve(TaxDesign(**SMALL), "hpgd")
    with pytest.raises(ValueError, match="Known: kernel, published"):
        solvers.build("hpgd_kernel", form="dense")
    with pytest.raises(se.AccessError, match="INCENTIVE"):
        solvers.solve(TaxDesign(**SMALL), "hpgd_kernel", access=se.Access.INCENTIVE)


def test_blocks_are_clipped_apart() -> None:
    """One step of rate 1 moves each block by its own gradient, or as much of it as has norm 1."""
    game, start = TaxDesign(**SMALL), X
    exact = exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(X), None, reaction=True).gradient.numpy()
    assert abs(exact[0]) > 1 > np.linalg.norm(exact[1:]) / 2
    moved = solvers.solve(game, "implicit", budget=1, start=start, lr=1.0, clip_blocks=[1, 3]).x - start
    np.testing.assert_allclose(moved[0], np.sign(exact[0]), atol=1e-12)
    np.testing.assert_allclose(moved[1:], exact[1:] / max(1.0, float(np.linalg.norm(exact[1:]))), atol=1e-12)
    with pytest.raises(solvers.Declined, match="do not divide"):
        solvers.solve(game, "implicit", clip_blocks=[2, 3])
