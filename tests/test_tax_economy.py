"""The economy with continuous assets, against its grid and against distributions; and the DQN follower that lives in it."""

from __future__ import annotations

import os
import pickle
import signal
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import truncnorm

import solvers
import stackelberg_envs as se
from solvers.dqn import DQN, HeadsPolicy, TrainingStopped
from stackelberg_envs.games.tax_economy import InterpolatedPolicy, TaxEconomy, TaxProcess
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.play.sampled_rollouts import play_sampled

SMALL: dict[str, Any] = {"grid": 21, "hours": 3, "spendings": 2}
QUICK: dict[str, Any] = {"replay": 1000, "batch": 100, "learning_rate": 1e-3, "copy_every": 50}


def economy(**arguments: Any) -> TaxEconomy:
    game = se.game("tax_economy-v0", **arguments)
    assert isinstance(game, TaxEconomy)
    return game


def process_of(game: TaxEconomy, x: Any, context: int = 0) -> TaxProcess:
    (process,) = game.problems(x, context)
    assert isinstance(process, TaxProcess)
    return process


@pytest.mark.parametrize(("temperature", "contexts"), [(0.1, (28.22, 29.33)), (0.3, None)])
def test_continuous_assets_agree_with_the_grid(temperature: float, contexts: tuple[float, float] | None) -> None:
    """The golden values of the grid (shared notes: 28.22 and 29.33, 35.21 in all for .3), by play, within four standard errors."""
    game = economy(preset="legacy", temperature=temperature)
    scored = se.evaluate(game, game.at_rates(0.3, (0.3, 0.3, 0.3)))
    assert 0.01 < scored.standard_error < 0.15
    if contexts is None:
        assert scored.leader_return == pytest.approx(35.21, abs=4 * scored.standard_error)
    else:
        np.testing.assert_allclose(scored.per_context, contexts, atol=4 * 2**0.5 * float(scored.standard_error))
    assert all(response.certificate < 1e-8 for response in scored.responses)


def test_the_follower_loses_little_between_the_points_of_its_grid() -> None:
    """Exact on a grid of four times as many points: the policy of 81 points, interpolated, against the best answer there."""
    game, fine = economy(grid=81, hours=5, spendings=3), economy(grid=321, hours=5, spendings=3)
    x = game.at_rates(0.3, (0.1, 0.3, 0.5))
    policy = se.Soft(0.1).respond(game, x).policy
    gap = float(process_of(fine, x).follower_score(policy, 0.1, 200)[2])
    every = InterpolatedPolicy(policy.table[::4])  # without the backup between points
    assert 0 < gap < 1e-3
    assert float(process_of(fine, x).follower_score(every, 0.1, 200)[2]) > 10 * gap
    assert process_of(game, x).follower_score(policy, 0.1, 200)[2] < 1e-9, "at its own points it is the best"


@pytest.mark.parametrize("preset", ["clean", "legacy"])
def test_rewards_are_those_of_the_grid(preset: str) -> None:
    game = economy(preset=preset, **SMALL)
    x = np.array([0.3, -1.0, 0.4, 2.0])
    for context in range(2):
        process, (mdp,) = process_of(game, x, context), game.on_grid.problems(x, context)
        states = np.broadcast_to(game.on_grid.assets[:, None, None], (21, 24, 1))
        earned, paid = process.rewards(states, np.zeros((21, 24, 0)), np.broadcast_to(np.arange(24), (21, 24)), states)
        np.testing.assert_allclose(earned, mdp.follower_reward[:, 0], atol=1e-12)
        np.testing.assert_allclose(paid, mdp.leader_reward[:, 0], atol=1e-12)
        worth = game.incentive_at(x, context, states, np.arange(24))
        np.testing.assert_allclose(worth, game.on_grid.incentive(x, context)[0, 0], atol=1e-12)  # type: ignore[index]


def test_the_next_asset_is_a_truncated_normal_variate() -> None:
    """scipy's quantiles of the same distribution, at the limits and between; its density integrates to the same for every mean."""
    game, x = economy(), np.array([0.4, -1.0, -1.0, -1.0])
    process, u = process_of(game, x), np.linspace(0.001, 0.999, 41)[:, None]
    for assets in (-100.0, -97.0, 0.0, 95.0, 100.0):
        for action in (0, 624, 1249):
            states, actions = np.full((41, 1), assets), np.full(41, action)
            mean = float(process.mean(states, actions)[0])
            expected = truncnorm.ppf(u[:, 0], (-100 - mean) / 5, (100 - mean) / 5, mean, 5)
            arrived, ended = process.step(states, np.zeros((41, 0)), actions, u)
            np.testing.assert_allclose(arrived[:, 0], expected, atol=1e-7)
            assert not ended.any()
            to = np.linspace(-100, 100, 4001)[:, None]
            density = np.exp(game.log_kernel_density(x, states[:1], np.zeros((1, 0)), actions[:1], to))
            assert np.trapezoid(density, dx=0.05) == pytest.approx(5 * (2 * np.pi) ** 0.5, rel=1e-3)


def test_the_score_of_the_income_tax_is_a_derivative() -> None:
    """Automatic differentiation of the log density, limits included, against central differences."""
    game, rng = economy(preset="legacy"), np.random.default_rng(0)
    x, states = np.array([1.5, -1.0, 0.0, 1.0]), rng.uniform(-100, 100, (200, 1))
    actions, leads = rng.integers(1250, size=200), np.zeros((200, 0))
    arrived, _ = process_of(game, x).step(states, leads, actions, rng.random((200, 1)))
    arguments = (states, leads, actions, arrived)
    leaf = torch.tensor(x, requires_grad=True)
    total = game.log_kernel_density(leaf, *map(torch.tensor, arguments)).sum()
    (slope,) = torch.autograd.grad(total, leaf)
    step = np.array([1e-5, 0, 0, 0])
    up, down = (game.log_kernel_density(x + sign * step, *arguments).sum() for sign in (1, -1))
    np.testing.assert_allclose(slope.numpy(), [(up - down) / 2e-5, 0, 0, 0], rtol=1e-6)


def test_one_definition_serves_single_steps_batches_and_torch() -> None:
    """One step: alone, in a batch of commitments, and in torch, to 1e-12; played actions too."""
    game, rng = economy(**SMALL), np.random.default_rng(1)
    xs, states, actions = rng.normal(size=(3, 1, 4)), rng.normal(scale=40, size=(3, 50, 1)), rng.integers(24, size=(3, 50))
    leads, u = np.zeros((3, 50, 0)), rng.random((3, 50, 1))
    together = process_of(game, xs, 1)
    arrived, _ = together.step(states, leads, actions, u)
    earned, paid = together.rewards(states, leads, actions, arrived)
    policy, noise = together.soft_response(0.2)[0], rng.random((3, 50, 2))
    chosen = policy.act(states, leads, noise)
    as_torch = process_of(game, torch.tensor(xs), 1)
    tensors = tuple(torch.tensor(value) for value in (states, leads, actions))
    moved, _ = as_torch.step(tensors[0], tensors[1], tensors[2], torch.tensor(u))
    np.testing.assert_allclose(moved.numpy(), arrived, atol=1e-10)
    assert (as_torch.soft_response(0.2)[0].act(tensors[0], tensors[1], torch.tensor(noise)).numpy() == chosen).all()
    for i in range(3):
        alone = process_of(game, xs[i, 0], 1)
        mine = alone.soft_response(0.2)[0]
        for j in range(0, 50, 7):
            one = (states[i, j : j + 1], leads[i, j : j + 1], actions[i, j : j + 1])
            next_one, _ = alone.step(*one, u[i, j : j + 1])
            np.testing.assert_allclose(next_one[0], arrived[i, j], atol=1e-12)
            np.testing.assert_allclose(np.ravel(alone.rewards(*one, next_one)), [earned[i, j], paid[i, j]], atol=1e-12)
            assert mine.act(*one[:2], noise[i, j : j + 1])[0] == chosen[i, j]


def test_policies_act_as_they_say() -> None:
    """Frequencies of 40,000 evenly spread variates, and the last variate below 1 stays among the actions."""
    table = np.random.default_rng(0).dirichlet(np.ones(6), size=5)
    policy, states = InterpolatedPolicy(table), np.full((40_000, 1), -100 + 50 * 1.3)
    near, act = np.meshgrid((np.arange(200) + 0.5) / 200, (np.arange(200) + 0.5) / 200)
    drawn = policy.act(states, states[:, :0], np.stack([near.ravel(), act.ravel()], axis=-1))
    np.testing.assert_allclose(np.bincount(drawn, minlength=6) / 40_000, 0.7 * table[1] + 0.3 * table[2], atol=0.011)
    np.testing.assert_allclose(policy.probabilities(states[:1])[0], 0.7 * table[1] + 0.3 * table[2], atol=1e-12)
    last = np.full((3, 2), np.nextafter(1.0, 0.0))
    assert (policy.act(np.array([[-100.0], [3.0], [100.0]]), np.zeros((3, 0)), last) == 5).all()


@pytest.mark.parametrize("x0", [-10.0, 0.0, 10.0])
def test_nothing_leaves_the_reals(x0: float) -> None:
    """At both limits, with every action, the extreme variates, no taxes and income tax of 200 %; and in 200 steps of play."""
    game = economy(preset="legacy", **SMALL)
    x = np.array([x0, 10.0, -10.0, 0.0])
    process = process_of(game, x)
    states, actions, u = np.meshgrid([-100.0, 0.0, 100.0], np.arange(24), [0.0, 0.5, np.nextafter(1.0, 0.0)], indexing="ij")
    actions, leads = actions.astype(int), np.zeros((*u.shape, 0))
    arrived, _ = process.step(states[..., None], leads, actions, u[..., None])
    assert (np.abs(arrived) <= 100).all()
    for rewards in process.rewards(states[..., None], leads, actions, arrived):
        assert np.isfinite(rewards).all()
    played = play_sampled(process, process.soft_response(0.1)[0], np.full((20, 1), -100.0), np.random.default_rng(0), 200)
    assert np.isfinite(played.leader_rewards).all()


# -- the DQN follower ----------------------------------------------------------------------------------------------------------------


def test_training_lowers_exploitability() -> None:
    """Exact gap to the best answer, untrained and after 1,000 steps; and it is the gap of the product policy on the grid."""
    game = economy(**SMALL)
    x = game.at_rates(0.3, (0.3, 0.3, 0.3))
    follower = DQN(0.3, 1000, **QUICK)
    untrained, trained = (follower.respond(game, x, budget=budget) for budget in (0, None))
    assert trained.certificate < 0.1 * untrained.certificate
    assert trained.answers[0].training_steps == 10_000
    (mdp,) = game.on_grid.problems(x)
    table = trained.policy.probabilities(game.on_grid.assets[:, None])[:, None, :]
    assert trained.certificate == pytest.approx(_gap(mdp, table, 0.3), abs=1e-9)


def _gap(mdp: Any, table: np.ndarray, temperature: float) -> float:
    """max - attained of the follower's own objective from the start, by linear algebra on dense tables."""
    reward = (table[:, 0] * (mdp.follower_reward[:, 0] - temperature * np.log(np.maximum(table[:, 0], 1e-300)))).sum(-1)
    chain = np.einsum("sb,sbt->st", table[:, 0], mdp.transition.dense()[:, 0])
    attained = np.linalg.solve(np.eye(len(reward)) - 0.9 * chain, reward)
    return float(mdp.initial @ (mdp.soft_answer(temperature, None).values - attained))


def test_one_joint_head_learns_the_softmax_of_the_rewards() -> None:
    """Episodes of one step: Q(s,b) = r(s,b), so the joint head's policy is softmax(r / tau), which no product of heads is."""
    game = economy(max_cycles=1, **SMALL)
    x, states = game.at_rates(0.3, (0.3, 0.3, 0.3)), np.array([[-1.0], [0.0], [1.0]])
    actions = np.broadcast_to(np.arange(24), (3, 24))
    earned, _ = process_of(game, x).rewards(states[:, None, :], np.zeros((3, 1, 0)), actions, states)
    exact = softmax(earned / 0.5, axis=-1)
    off = {}
    for correlated in (False, True):
        policy = DQN(0.5, 1000, correlated=correlated, **{**QUICK, "learning_rate": 1e-2}).respond(game, x).policy
        off[correlated] = 0.5 * np.abs(policy.probabilities(states) - exact).sum(-1).max()
    assert off[True] < 0.05
    assert off[False] > 2 * off[True]


def test_the_network_is_the_published_one() -> None:
    """1-64-64 and heads of 10, 5, 5, 5: orthogonal with gains of sqrt 2 and .1; the policy is the product of the heads' softmax."""
    response = DQN(0.1).respond(economy(), np.zeros(4), budget=0)
    policy: Any = response.policy
    assert isinstance(policy, HeadsPolicy)
    assert policy.parts == (10, 5, 5, 5)
    (w1, b1), (w2, b2), (w3, b3) = policy.weights
    assert (w1.shape, w2.shape, w3.shape) == ((64, 1), (64, 64), (25, 64))
    assert not np.concatenate([b1, b2, b3]).any()
    np.testing.assert_allclose(w1.T @ w1, [[2.0]], rtol=1e-5)
    np.testing.assert_allclose(w2 @ w2.T, 2 * np.eye(64), atol=1e-5)
    for head in np.split(w3, (10, 15, 20)):
        np.testing.assert_allclose(head @ head.T, 0.01 * np.eye(len(head)), atol=1e-6)
    states = np.array([[-40.0], [3.0], [80.0]])
    q = torch.from_numpy(states.astype(np.float32))
    with torch.no_grad():
        q = response.state.net(q).double().numpy()
    heads = [softmax(part / 0.1, axis=-1) for part in np.split(q, (10, 15, 20), axis=-1)]
    product = np.einsum("na,nb,nc,nd->nabcd", *heads).reshape(3, -1)
    np.testing.assert_allclose(policy.probabilities(states), product, rtol=1e-3)
    rng = np.random.default_rng(0)
    drawn = policy.act(np.full((20_000, 1), 3.0), np.zeros((20_000, 0)), rng.random((20_000, 4)))
    spent = np.bincount(drawn % 5, minlength=5) / 20_000
    np.testing.assert_allclose(spent, heads[3][1], atol=4 * 0.5 / 20_000**0.5)
    joint = DQN(0.1, correlated=True).respond(economy(), np.zeros(4), budget=0).policy
    assert joint.parts == (1250,)


def test_training_in_pieces_copies_and_seeds() -> None:
    """Bitwise: the same seed, in one piece or three, with a pickle between; a state that was handed in stays as it was."""
    game, x = economy(**SMALL), np.zeros(4)
    follower = DQN(0.2, 300, **QUICK)
    whole = follower.respond(game, x, rng=np.random.default_rng(3)).policy
    rng, state, kept = np.random.default_rng(3), None, None
    for budget in (120, 50, 130):
        response = follower.respond(game, x, budget=budget, rng=rng, state=state)
        if state is not None:
            assert pickle.dumps(state) == kept
        kept = pickle.dumps(response.state)
        state = pickle.loads(kept)
        kept = pickle.dumps(state)
    for (one, two), (three, four) in zip(whole.weights, response.policy.weights, strict=True):
        assert (one == three).all()
        assert (two == four).all()
    assert (follower.respond(game, x, rng=np.random.default_rng(4)).policy.weights[0][0] != whole.weights[0][0]).any()
    carried = DQN(0.2, 300, start="carry", **QUICK).respond(game, x + 1, budget=0, state=state).policy
    assert (carried.weights[1][0] == whole.weights[1][0]).all()
    fresh = follower.respond(game, x + 1, budget=0, state=state)
    assert (fresh.policy.weights[1][0] != whole.weights[1][0]).any()
    assert fresh.state.steps == 0


def test_ctrl_c_keeps_what_was_learned() -> None:
    """Between steps: the error has the state, from which training goes on as if nothing had been."""
    game, x, rng = economy(**SMALL), np.zeros(4), np.random.default_rng(5)

    def press(done: int, asked: int) -> None:
        if done == 200:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingStopped, match="stopped after 200 steps") as stopped:
        DQN(0.2, 300, progress=press, **QUICK).respond(game, x, rng=rng)
    resumed = DQN(0.2, 300, **QUICK).respond(game, x, rng=rng, budget=100, state=stopped.value.state).policy
    straight = DQN(0.2, 300, **QUICK).respond(game, x, rng=np.random.default_rng(5)).policy
    assert (resumed.weights[2][0] == straight.weights[2][0]).all()


def test_a_leader_against_the_learner() -> None:
    """Scored by the exact follower; the history says how exploitable the learner was, and the ledger what it sampled."""
    game = economy(max_cycles=40, **SMALL)
    follower = DQN(0.2, 50, **QUICK)
    assert follower.fraction == pytest.approx(50 / 300_000)
    found = solvers.solve(game, "zeroth_order", follower=follower, budget=3)
    assert found.cost.training_steps % 500 == 0
    assert found.cost.training_steps > 0
    assert found.history[-1]["learned_gap"] > 0
    rounds = RepeatedGame(game, follower)
    assert rounds.oracle(se.Access.OUTCOME).play(np.zeros(4), episodes=3).steps == 120


def test_who_it_is_not_for() -> None:
    game = economy(**SMALL)
    with pytest.raises(PlanningError, match="discrete actions in a world without tables, and toy3 is another"):
        DQN(0.1).respond(se.game("toy3-v0"), np.zeros(se.game("toy3-v0").dimension))
    with pytest.raises(PlanningError, match="discrete actions in a world without tables, and building is another"):
        DQN(0.1).respond(se.game("building-v0"), np.zeros(8))
    with pytest.raises(PlanningError, match=r"design games: .* in continuous_toy it acts"):
        DQN(0.1).respond(se.game("continuous_toy-v0"), np.zeros(3))
    with pytest.raises(PlanningError, match="one commitment at a time"):
        DQN(0.1).respond(game, np.zeros((2, 1, 4)))
    with pytest.raises(ValueError, match="DQN has no start"):
        DQN(0.1, start="again")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch of DQN is a whole number from 1"):
        DQN(0.1, batch=0)
    with pytest.raises(PlanningError, match="by its probabilities"):
        process_of(game, np.zeros(4)).follower_score(object(), 0.1, 10)


def test_who_answers_exactly_has_no_gap() -> None:
    """Soft's own objective, entropy included, is what its value says, by the referee's episodes; another temperature's lacks some."""
    game = se.game("tax_economy-v0", preset="legacy", grid=41)
    x = game.at_rates(0.3, (0.3, 0.3, 0.3))
    exact, warmer = se.evaluate(game, x), se.evaluate(game, x, follower=se.Soft(3.0))
    judged = se.evaluate(game, x, responses=warmer.responses)
    assert float(exact.follower_gap) < 0.3, "three standard errors"
    assert float(judged.follower_gap) > 2.0
