"""The layout of a transition in which actions share rows gives what the dense one gives, everywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from stackelberg_envs.commitments import sigmoid
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.hard_policy_iteration import hard_policy_iteration
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play.rollouts import simulate
from stackelberg_envs.play.steps import TabularStepper
from stackelberg_envs.processes.mdp import decision_problem, joint_policy, stack
from stackelberg_envs.processes.transitions import map_numbers
from stackelberg_envs.testing import check_env, check_game, random_games
from stackelberg_envs.testing.modified_games import GameWithIneffectiveFollowers, GameWithOtherFollowerRewards
from stackelberg_envs.views.parallel import StackelbergParallel


class Retailed(se.StackelbergGame):
    """A random Markov game in which the follower has several editions of each action, which differ only in what they pay.

    The first component of the commitment also moves the kernel: it is the chance to go on, from .7 to 1.
    """

    name = "retailed"

    def __init__(self, game: Any, *, shared: bool, editions: int = 3, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.wholesale, self.shared, self.max_cycles = game, shared, game.max_cycles
        self.leader_space, self.default_follower = game.leader_space, se.Soft(0.3)
        self.log_leader_policy = game.log_leader_policy
        (s, a, b), *_ = game.sizes
        self.index = rng.permutation(np.concatenate([np.arange(b), rng.integers(b, size=b * (editions - 1))]))
        self.margins = rng.uniform(size=(2, s, a, len(self.index)))

    def induced(self, x: Any, context: int) -> se.InducedMDP:
        xp, mdp = array_namespace(x), self.wholesale.induced(x, context)
        rows = mdp.transition * (0.7 + 0.3 * sigmoid(x[..., 0]))[..., None, None, None, None]
        transition = se.SharedRows(rows, self.index)
        own, leader = xp.asarray(self.margins, dtype=x.dtype)
        at = xp.asarray(self.index)
        return replace(
            mdp,
            transition=transition if self.shared else transition.dense(),
            follower_reward=xp.take(mdp.follower_reward, at, axis=-1) + own,
            leader_reward=xp.take(mdp.leader_reward, at, axis=-1) + leader,
        )

    def log_kernel(self, x: Any, context: int | str = 0) -> Any:
        """The logarithm of the transition, which the commitment moves, in its layout."""
        del context

        def log(p: Any) -> Any:
            xp = array_namespace(p)
            return xp.where(p > 0, xp.log(xp.where(p > 0, p, 1.0)), -xp.inf)

        return map_numbers(log, self.induced(x, 0).transition)


def pair(game: se.StackelbergGame, seed: int) -> tuple[Retailed, Retailed]:
    return Retailed(game, shared=True, seed=seed), Retailed(game, shared=False, seed=seed)


pairs = st.tuples(random_games(), st.integers(0, 99))


@given(pairs)
@settings(deadline=None, max_examples=25)
def test_plans_scores_and_gradients(drawn: tuple[se.StackelbergGame, int]) -> None:
    shared, plain = pair(*drawn)
    x = np.random.default_rng(drawn[1]).normal(size=(2, shared.dimension))
    one, other = shared.problems(x)[0].joint, plain.problems(x)[0].joint
    assert isinstance(one.transition, se.SharedRows)
    assert one.sizes == other.sizes
    assert one.transition.shape == other.transition.shape
    np.testing.assert_array_equal(one.transition.dense(), other.transition)
    soft, same = soft_policy_iteration(one, 0.2), soft_policy_iteration(other, 0.2)
    np.testing.assert_allclose(soft.values, same.values, atol=1e-10)
    np.testing.assert_allclose(soft.policy, same.policy, atol=1e-9)
    hard = [hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount) for mdp in (one, other)]
    np.testing.assert_allclose(hard[0].action_values, hard[1].action_values, atol=1e-10)
    weights, (s, a, b) = joint_policy(other, same.policy), one.sizes
    blend = np.random.default_rng(0).dirichlet(np.ones(b), (s, a, 2))
    for f in (
        lambda p: p.expect(same.values),
        lambda p: p.markov_chain(weights).dense(),
        lambda p: p.push_forward(weights),
        lambda p: p.mixture(blend).dense(),
        lambda p: p.average_actions().dense(),
        lambda p: p.join_actions().dense(),
    ):
        np.testing.assert_allclose(f(one.kernel), f(other.kernel), atol=1e-12)
    for follower in (se.Soft(0.2), se.Hard(), se.Truncated(0.2, 3), se.MirrorDescent(0.2, 3, 1.0)):
        scores = [se.evaluate(game, x, follower=follower) for game in (shared, plain)]
        np.testing.assert_allclose(scores[0].leader_return, scores[1].leader_return, atol=1e-8)
        np.testing.assert_allclose(scores[0].follower_gap, scores[1].follower_gap, atol=1e-8)
    exact = [
        exact_gradient(RepeatedGame(game).oracle(se.Access.MODEL), torch.tensor(x[0]), None, reaction=reaction).gradient.numpy()
        for reaction in (True, False)
        for game in (shared, plain)
    ]
    np.testing.assert_allclose(exact[0], exact[1], atol=1e-9)
    np.testing.assert_allclose(exact[2], exact[3], atol=1e-9)
    assert se.cooperative_value(shared) is None, "the kernel moves with the commitment"


@given(pairs)
@settings(deadline=None, max_examples=15)
def test_the_same_noise_is_the_same_episode(drawn: tuple[se.StackelbergGame, int]) -> None:
    """Batched, compiled or not, with noise from a generator or as data; and step by step."""
    games, seed = pair(*drawn), drawn[1]
    x = np.random.default_rng(seed).normal(size=games[0].dimension)
    one, other = (game.problems(x)[0].joint for game in games)
    policy, first = soft_policy_iteration(other, 0.3).policy, np.zeros(20, dtype=np.int64)
    for noise in (lambda: np.random.default_rng(seed), lambda: lambda t, rows: np.random.default_rng(seed + t).random((20, 3))[rows]):
        played, same = (simulate(mdp, policy, first, noise(), 30) for mdp in (one, other))
        for field in vars(same):
            np.testing.assert_array_equal(getattr(played, field), getattr(same, field))
    torched = one.map(torch.tensor)
    data = lambda t, rows: torch.tensor(np.random.default_rng(seed + t).random((20, 3)))[rows]  # noqa: E731
    in_torch = simulate(torched, torch.tensor(policy), torch.tensor(first), data, 30)
    np.testing.assert_array_equal(in_torch.states.numpy(), same.states)
    samplers, rng = (TabularStepper(one), TabularStepper(other)), np.random.default_rng(seed)
    s, a, b = one.sizes
    for noise in range(50):
        at = int(rng.integers(s)), int(rng.integers(a)), (int(rng.integers(b)),)
        same = (sampler.step(*at, np.random.default_rng(noise)) for sampler in samplers)
        assert next(same) == next(same)


def test_it_passes_the_contracts_and_every_exact_solver_takes_it() -> None:
    shared, plain = pair(se.game("random_markov_game-v0", states=3, follower_actions=2, follower_sees="policy"), 0)
    check_game(shared)
    check_env(StackelbergParallel(shared), kernel_steps=1500)
    x = np.linspace(-1, 1, shared.dimension)
    for changed in (lambda game: game, GameWithIneffectiveFollowers, GameWithOtherFollowerRewards):
        for follower in (se.Soft(0.2), se.EpsilonOptimal(0.1)):
            scores = [se.evaluate(changed(game), x, follower=follower).leader_return for game in (shared, plain)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    found: dict[str, list[np.ndarray]] = {}
    for game in (shared, plain):
        for name in ("implicit", "naive", "msobirl", "penalty", "two_stage", "zeroth_order"):
            found.setdefault(name, []).append(solvers.solve(game, name, budget=8, seed=1).x)
    for name, (one, other) in found.items():
        np.testing.assert_allclose(one, other, atol=1e-8, err_msg=name)


def test_layouts_that_do_not_fit_are_refused() -> None:
    rows = np.full((2, 1, 3, 2), 0.5)
    kernel = se.SharedRows(rows, np.array([0, 1, 2, 1]))
    np.testing.assert_array_equal(kernel[1, 0, 3], rows[1, 0, 1])
    for index in (np.array([0, 3]), np.array([-1, 0]), np.array([0.0]), np.array([[0]]), np.zeros(0, dtype=int), [0, 1]):
        with pytest.raises(ValueError, match="a NumPy index"):
            se.SharedRows(rows, index)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rows"):
        se.SharedRows(rows[0], np.array([0]))
    with pytest.raises(TypeError, match="no array"):
        np.asarray(kernel)
    table = np.ones((2, 1, 4))
    mdp = se.InducedMDP(np.ones((2, 1)), kernel, table, table, np.array([1.0, 0.0]), 0.9, 0.9)
    with pytest.raises(ValueError, match="laid out differently"):
        stack([mdp, replace(mdp, transition=kernel.dense())])
