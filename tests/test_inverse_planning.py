"""Inverse RL against finite differences and theorems; planning from outcomes alone against the exact optimum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import solvers
import stackelberg_envs as se
from baselines.bench import instances
from solvers.inference.irl import Belief, Responses, fit, forget, response_jacobian
from solvers.inference.model import Counts
from solvers.inference.products import LargeBelief, LinearisedResponse, fit_by_products
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play.outcomes import Outcome

SEES = ["action", "policy"]


def faced(sees: str, commitments: int = 4) -> tuple[se.StackelbergGame, Responses, np.ndarray]:
    """A random game, its true responses to several commitments as expected counts, and the true reward."""
    game = se.game("random_markov_game-v0", follower_sees=sees, states=4)
    xs = 1.5 * np.random.default_rng(0).normal(size=(commitments, game.dimension))
    mdp = game.problems(torch.tensor(xs))[0].map(lambda table: table.numpy())
    g = soft_policy_iteration(mdp, 0.05).policy
    if sees == "policy":
        g = g[:, :, :1]
    reward = mdp.follower_reward
    return game, Responses(replace(mdp, follower_reward=0 * reward), 50.0 * g), reward


@pytest.mark.parametrize("sees", SEES)
def test_the_response_jacobian_is_the_derivative(sees: str) -> None:
    """d log g / d r against central differences, every component, to 1e-6 relative to its size."""
    _, data, reward = faced(sees)
    temperature = 0.2
    mdp = replace(data.mdp, follower_reward=np.broadcast_to(reward, (4, *reward.shape[-3:])))
    nodes = data.counts.shape[-2]
    D = response_jacobian(mdp, soft_policy_iteration(mdp, temperature), temperature)
    step = 1e-5
    for i in range(reward.size):
        bump = step * np.eye(reward.size)[i].reshape(reward.shape)
        up, down = (
            np.log(
                soft_policy_iteration(replace(mdp, follower_reward=mdp.follower_reward + sign * bump), temperature).policy[..., :nodes, :]
            )
            for sign in (1, -1)
        )
        np.testing.assert_allclose(D[..., i], (up - down) / (2 * step), atol=2e-5)


@pytest.mark.parametrize("sees", SEES)
def test_pooled_commitments_predict_the_next_response_and_one_does_not(sees: str) -> None:
    """Fitted to expected counts of several commitments, the response to a new one is right; fitted to one, it is not."""
    game, data, _ = faced(sees, commitments=12)
    new = 1.5 * np.random.default_rng(9).normal(size=game.dimension)
    true = game.problems(new)[0]
    errors = {}
    for count in (1, 12):
        seen = Responses(replace(data.mdp, leader_policy=data.mdp.leader_policy[:count]), data.counts[:count])
        belief = fit(Belief.prior(game.sizes[0], 3.0), seen, 0.05, 3.0, steps=40)
        guess = soft_policy_iteration(replace(true, follower_reward=belief.reward), 0.05).policy
        errors[count] = np.abs(guess - soft_policy_iteration(true, 0.05).policy).sum(-1).mean() / 2
    assert errors[12] < 0.03
    assert errors[1] > 5 * errors[12]


def test_memory_stands_for_what_it_replaces() -> None:
    """At the fitted reward, folding commitments into the quadratic form leaves gradient and Fisher matrix as they were."""
    game, data, _ = faced("policy", commitments=6)
    belief = fit(Belief.prior(game.sizes[0], 1.0), data, 0.05, 1.0, steps=30)
    part = [
        Responses(replace(data.mdp, leader_policy=data.mdp.leader_policy[which]), data.counts[which]) for which in (slice(3), slice(3, 6))
    ]
    folded = fit(forget(belief, part[0], 0.05), part[1], 0.05, 1.0, steps=0)
    np.testing.assert_allclose(folded.precision, belief.precision, rtol=1e-9, atol=1e-9)
    moved = fit(forget(belief, part[0], 0.05), part[1], 0.05, 1.0, steps=1)
    assert np.abs(moved.reward - belief.reward).max() < 1e-3, "the optimum stays where it was"


@pytest.mark.parametrize("sees", SEES)
def test_products_are_those_of_the_matrices(sees: str) -> None:
    """D v, D^T u and the fitted reward without matrices are those with them; draws have the posterior's covariance."""
    game, data, reward = faced(sees, commitments=6)
    rng, tau = np.random.default_rng(4), 0.2
    mdp = replace(data.mdp, follower_reward=np.broadcast_to(reward, (6, *reward.shape[-3:])))
    r = reward.ravel()
    D = response_jacobian(mdp, soft_policy_iteration(mdp, tau), tau)
    here = LinearisedResponse(r, data, tau)
    v, u = rng.normal(size=r.size), rng.normal(size=data.counts.shape)
    np.testing.assert_allclose(here.apply(v), D @ v, atol=1e-8)
    np.testing.assert_allclose(here.apply_transposed(u), np.einsum("ksmb,ksmbn->n", u, D), atol=1e-7)
    dense = fit(Belief.prior(game.sizes[0], 1.0), data, tau, 1.0, steps=60)
    large = fit_by_products(LargeBelief(np.zeros(game.sizes[0]), 1.0), data, tau, steps=60)
    assert np.abs(large.reward - dense.reward).max() < 0.05
    drawn = np.stack([large.draw(rng).ravel() - large.reward.ravel() for _ in range(600)])
    np.testing.assert_allclose(drawn.var(axis=0), np.diag(np.linalg.inv(dense.precision)), rtol=0.5, atol=1e-3)


def test_counts_estimate_the_game() -> None:
    """Law of large numbers: dynamics, own reward and first states, four standard errors; nothing is lost or counted twice."""
    game = se.game("random_markov_game-v0")
    rounds = RepeatedGame(game, seed=0)
    counts = Counts.zeros(game.sizes[0])
    for x in np.random.default_rng(0).normal(size=(20, game.dimension)):
        seen = rounds.play(x, episodes=40)
        counts, visits = counts.add_outcome(seen, 0.0)
        assert visits.sum() == seen.steps
    assert counts.visits.sum() == rounds.cost.outcome_steps
    truth = game.problems(np.zeros(game.dimension))[0]
    n = np.maximum(counts.visits, 1)[..., None]
    p = truth.transition
    error = np.abs(counts.transition(1e-9) - p)
    often = counts.visits > 200
    assert often.sum() > 20
    assert (error[often] < 4 * np.sqrt(p * (1 - p) / n)[often] + 1e-3).all()
    np.testing.assert_allclose(counts.leader_reward()[counts.visits > 0], truth.leader_reward[counts.visits > 0], atol=1e-9)


@pytest.mark.parametrize(("R", "start"), [(1.0, 0.5), (1.0, 0.73), (2.0, 0.7)])
def test_the_toy_from_outcomes_alone(R: float, start: float) -> None:
    """At least 95 % of the optimum within ten commitments (a tuning seed), without follower policy, values, reward or temperature."""
    game = se.game("toy3-v0", R=R)
    x = np.zeros(6)
    x[3] = np.log(start / (1 - start))
    solution = solvers.solve(game, "inverse_planning", budget=10, seed=1000, start=x, reports=10)
    assert solution.leader_return > 0.95 * {1.0: 34.9926, 2.0: 39.94}[R]
    assert solution.cost.commitments == 10
    assert solution.cost.queries == solution.cost.model_calls == 0


def test_inverse_planning_declines() -> None:
    with pytest.raises(solvers.Declined, match="a follower with a temperature where the leader sets rewards"):
        solvers.solve(se.game("four_rooms-v0"), "inverse_planning", follower=se.Hard(), access=se.Access.INCENTIVE)
    with pytest.raises(solvers.Declined, match="this one does neither"):
        solvers.solve(se.game("random_markov_game-v0", leader_actions=1), "inverse_planning", access=se.Access.INCENTIVE)
    for wrong in ({"planning_steps": -1}, {"largest": -1.0}, {"explore": float("nan")}, {"episodes": 0}):
        with pytest.raises(ValueError, match=r"inverse_planning needs positive lr|explore is a number, got nan"):
            solvers.build("inverse_planning", **wrong)
    with pytest.raises(solvers.Declined, match="grant it access INCENTIVE"):
        solvers.solve(se.game("four_rooms-v0", preset="bchg"), "inverse_planning")


class NoisyRounds(RepeatedGame):
    """Every reward of the leader comes with noise of standard deviation .5."""

    def play(self, *arguments: Any, **options: Any) -> Outcome:
        seen = super().play(*arguments, **options)
        noise = 0.5 * self._rng.normal(size=seen.leader_rewards.shape)
        return replace(seen, leader_rewards=np.where(seen.alive.any(axis=1), seen.leader_rewards + noise, 0.0))


def played(rounds: RepeatedGame, x: np.ndarray, commitments: int, **hyperparameters: object) -> list[np.ndarray]:
    """The incumbents of a run in a house of its own."""
    solver = solvers.build("inverse_planning", **hyperparameters)
    oracle, rng = rounds.oracle(solver.access), np.random.default_rng(rounds.seed)
    state, incumbents = solver.init(oracle, x), []
    for _ in range(commitments):
        state = solver.step(oracle, state, rng)
        incumbents.append(state.x)
    return incumbents


@pytest.mark.parametrize("seed", [1000, 1001])
def test_noisy_own_rewards(seed: int) -> None:
    """A tuning instance whose rewards lie in (0, 1), noise .5: means over pooled visits still find nine tenths of what is to be gained."""
    instance = next(one for one in instances.candidates("tuning") if one.seed == 1003)
    game = se.game("random_markov_game-v0", seed=1003)
    incumbent = played(NoisyRounds(game, seed=seed), np.zeros(15), 60, episodes=9)[-1]
    value = float(se.evaluate(game, incumbent).leader_return)
    assert (value - instance.uniform) / (instance.best - instance.uniform) > 0.9


def test_a_fit_goes_on_until_it_has_converged() -> None:
    """A commitment that has just earned nothing is not believed in: on toy3 (R = 2) the fit needs more than nine steps now and then."""
    game = se.game("toy3-v0", R=2)
    for seed in (1008, 1009):
        values = [float(se.evaluate(game, x).leader_return) for x in played(RepeatedGame(game, seed=seed), np.zeros(6), 10)]
        assert min(values) > 0.9 * 39.94, "the start is optimal, and no incumbent is far below it"
