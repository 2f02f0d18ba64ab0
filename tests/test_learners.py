"""Followers that learn: soft actor-critic, by what it learns, in both views, and by what it carries."""

from __future__ import annotations

import dataclasses
import math
import pickle
import sys
from typing import Any

import numpy as np
import pytest
import torch

import stackelberg_envs as se
from solvers import solve
from solvers.learners import SAC, _CommittedFollowerEnv
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.play.monte_carlo import discounted_return, monte_carlo
from stackelberg_envs.play.sampled_rollouts import play_sampled
from stackelberg_envs.views.gym import FollowerEnv

stable_baselines3 = pytest.importorskip("stable_baselines3", reason="the extra 'rl' is not installed")
X = np.array([0.5, 0.0, -0.5, 0.0, 0.1])
QUICK = SAC(600, learning_starts=100, hidden=(32, 32), batch_size=64)


@pytest.fixture(scope="module")
def game() -> se.StackelbergGame:
    return se.game("guided_cartpole-v0", wind=0.2)


@pytest.fixture(scope="module")
def trained(game: se.StackelbergGame) -> Any:
    """An answer after 2,000 steps."""
    return SAC(2000).respond(game, X, rng=np.random.default_rng(1))


def test_sac_learns(game: se.StackelbergGame, trained: Any) -> None:
    """After 2,000 steps the pole stands more than twice as long as under random pushes, which stand about 20 steps."""
    assert math.isnan(trained.certificate)
    assert trained.answers[0].training_steps == trained.state.trained == 2000
    (process,) = game.problems(X)
    stood = monte_carlo(process, trained.policy, game.max_cycles)[0].alive.sum(-1).mean()
    rng = np.random.default_rng(0)
    random = [process.start(rng.random((500, 4)))]
    alive, steps = np.ones(500, dtype=bool), np.zeros(500)
    while alive.any():
        s = random[-1]
        steps += alive
        arrived, ended = process.step(s, process.lead(s, rng.random((500, 1))), rng.uniform(-1, 1, (500, 1)), rng.random((500, 0)))
        random.append(arrived)
        alive &= ~ended & (steps < game.max_cycles)
    assert stood > 2 * steps.mean()


def test_both_views_pay_the_same(game: se.StackelbergGame, trained: Any) -> None:
    """Means over the PettingZoo view and over the batched simulator agree within four standard errors, for both players."""
    (process,) = game.problems(X)
    played, _ = monte_carlo(process, trained.policy, game.max_cycles)
    env, rng, returns = se.make("guided_cartpole-v0", wind=0.2), np.random.default_rng(4), []
    env.reset(seed=3)
    for _ in range(60):
        env.step(X)
        while env.agents and not (env.terminations["follower_0"] or env.truncations["follower_0"]):
            s, a = env.states[0], env.leader_actions[0]
            env.step(trained.policy.act(s[None], a[None], rng.random((1, trained.policy.noise)))[0])
        returns.append([env.infos[agent]["discounted_return"] for agent in ("follower_0", "leader_0")])
        env.reset()
    for i, (rewards, discount) in enumerate(
        ((played.follower_rewards, process.follower_discount), (played.leader_rewards, process.leader_discount))
    ):
        single, batch = np.array(returns)[:, i], discounted_return(rewards, discount)
        error = math.hypot(single.std(ddof=1) / len(single) ** 0.5, batch.std(ddof=1) / len(batch) ** 0.5)
        assert abs(single.mean() - batch.mean()) < 4 * error


def test_the_answer_is_the_librarys_network(game: se.StackelbergGame) -> None:
    """What is played in NumPy and torch is what the library would do with the follower's own observations, mean and spread."""
    env = FollowerEnv(game, commitment=X)
    model = QUICK._model(stable_baselines3.SAC, _CommittedFollowerEnv(game, X, 0, 0), 0.99)
    quick = QUICK.respond(game, X, rng=np.random.default_rng(2))
    model.policy.load_state_dict(quick.state.weights)
    mean = dataclasses.replace(quick.policy, deterministic=True)
    observation, _ = env.reset(seed=0)
    for _ in range(10):
        s, a = env.episode.states[0][None], env.episode.leader_actions[0][None]
        own = mean.act(s, a, np.zeros((1, 0)))
        np.testing.assert_allclose(own[0], model.predict(observation, deterministic=True)[0], atol=1e-5)
        np.testing.assert_allclose(mean.act(torch.tensor(s), torch.tensor(a), torch.zeros((1, 0))).numpy(), own, atol=1e-12)
        observation, *_ = env.step(own[0])
    many = np.repeat(s, 20_000, axis=0), np.repeat(a, 20_000, axis=0)
    drawn = np.arctanh(quick.policy.act(*many, np.random.default_rng(0).random((20_000, 1))))
    seen = np.concatenate([s[0], [1], a[0], [1], X]).astype(np.float32)
    with torch.no_grad():
        mu, log_std, _ = model.policy.actor.get_action_dist_params(torch.tensor(seen)[None])
    assert abs(drawn.mean() - float(mu)) < 4 * float(log_std.exp()) / 20_000**0.5 + 1e-4
    assert drawn.std() == pytest.approx(float(log_std.exp()), rel=0.02)


def test_a_generator_determines_everything(game: se.StackelbergGame) -> None:
    """Bit for bit, and nobody else's generator moves."""
    marks = np.random.get_state()[1].copy(), torch.get_rng_state().clone()  # noqa: NPY002
    first, second, other = (QUICK.respond(game, X, budget=200, rng=np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(np.random.get_state()[1], marks[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), marks[1])
    for (one, _), (same, _), (another, _) in zip(first.policy.layers, second.policy.layers, other.policy.layers, strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, another)


def test_training_goes_on_from_what_was_carried(game: se.StackelbergGame) -> None:
    """A pickled state goes on like the state itself; ``"reset"`` forgets it; without memory only weights are carried."""
    state = QUICK.respond(game, X, rng=np.random.default_rng(5)).state
    going = [
        QUICK.respond(game, -X, budget=200, rng=np.random.default_rng(7), state=kept) for kept in (state, pickle.loads(pickle.dumps(state)))
    ]
    for (one, _), (same, _) in zip(going[0].policy.layers, going[1].policy.layers, strict=True):
        np.testing.assert_array_equal(one, same)
    carried = going[0].state
    assert carried.trained == 800
    assert len(carried.memory["rewards"]) == 800
    np.testing.assert_array_equal(carried.memory["observations"][:600], state.memory["observations"])
    np.testing.assert_allclose(carried.memory["observations"][:600, 0, -5:], np.broadcast_to(X, (600, 5)).astype(np.float32))
    assert (carried.memory["observations"][600:, 0, -5:] == -X.astype(np.float32)).all(), "replayed steps say under which commitment"
    forgetful = dataclasses.replace(QUICK, start="reset", keep_memory=False)
    anew = forgetful.respond(game, -X, budget=200, rng=np.random.default_rng(7), state=state).state
    assert anew.trained == 200
    assert anew.memory == {}
    again = forgetful.respond(game, X, budget=200, rng=np.random.default_rng(7), state=state).state
    assert again.trained == 800, "the same commitment again is more training, whatever new ones find"
    small = dataclasses.replace(QUICK, memory=150).respond(game, X, budget=200, rng=np.random.default_rng(7)).state
    assert len(small.memory["rewards"]) == 150


def test_leaders_face_it_like_any_other_follower(game: se.StackelbergGame) -> None:
    """In a run: it trains at each commitment, goes on from the last, and the ledger counts its steps; progress is told."""
    told: list[tuple[int, int]] = []
    follower = SAC(150, learning_starts=50, hidden=(8,), batch_size=16, progress=lambda done, steps: told.append((done, steps)))
    short = se.game("guided_cartpole-v0", wind=0.2, max_cycles=30)
    solution = solve(short, "zeroth_order", follower=follower, referee=(short, None), budget=2, seed=0)
    assert solution.cost.training_steps == 150 * solution.cost.commitments
    assert solution.cost.follower_evaluations == 0
    assert "learned_gap" not in solution.history[-1], "it has no certificate"
    with pytest.raises(PlanningError, match=r"one commitment at a time, got shape \(2, 5\)"):
        follower.respond(short, np.zeros((2, 5)))
    assert told[:3] == [(1, 1), (100, 150), (150, 150)], "the first step asks whether it can answer at all"


def test_the_house_trains_it_and_the_referee_asks_it() -> None:
    """Training in pieces is training; without an exact judge, the referee scores what it learns by itself, from nothing."""
    game, follower = se.game("guided_cartpole-v0", max_cycles=5), SAC(20, learning_starts=10, hidden=(8,), batch_size=8)
    rounds = RepeatedGame(game, follower)
    for steps in (15, 25):
        rounds.train(X, 0, steps)
    assert rounds.cost.training_steps == 40
    assert rounds.snapshot().number == 0
    solution = solve(game, "zeroth_order", follower=follower, budget=2)
    alone = se.evaluate(game, solution.x, responses=(follower.respond(game, solution.x),), follower=follower)
    assert solution.leader_return == float(alone.leader_return)


def test_it_answers_commitments_that_no_view_would_take(game: se.StackelbergGame) -> None:
    """Solvers try any x in R^n: in and out of the box the world is the same function of x."""
    short, follower = se.game("guided_cartpole-v0", max_cycles=5), SAC(20, learning_starts=10, hidden=(8,), batch_size=8)
    assert solve(short, "zeroth_order", follower=follower, budget=4, start=np.full(5, 10.0)).leader_return >= 0
    far = follower.respond(short, np.full(5, 50.0)).state
    assert (far.memory["observations"][:, 0, -5:] == 50.0).all()
    view, own = FollowerEnv(game, commitment=X), _CommittedFollowerEnv(game, X, 0, 3)
    np.testing.assert_array_equal(view.reset(seed=3)[0], own.reset()[0])
    for _ in range(5):
        np.testing.assert_array_equal(view.step(np.zeros(1))[0], own.step(np.zeros(1))[0])


@pytest.mark.parametrize("id", ["toy3-v0", "continuous_toy-v0", "four_rooms-v0"])
def test_worlds_that_it_cannot_answer_in(id: str) -> None:
    game = se.game(id)
    with pytest.raises(PlanningError, match="states and actions are vectors"):
        QUICK.respond(game, np.zeros(game.dimension))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps is a whole number from 1"),
        ({"start": "again"}, "SAC has no start 'again'; Known: carry, reset"),
        ({"temperature": -1.0}, "temperature is a finite number"),
        ({"batch_size": 1}, "batch_size is a whole number from 2"),
    ],
)
def test_senseless_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SAC(**arguments)


def test_what_to_install_is_said(game: se.StackelbergGame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ImportError, match=r"pip install 'stackelberg-envs\[rl\]'"):
        QUICK.respond(game, X)


def test_it_answers_where_actions_have_other_bounds() -> None:
    """Torques within [-2, 2], and a batch of episodes in torch equals NumPy's."""
    game = se.game("guided_pendulum-v0", max_cycles=40)
    answer = SAC(150, learning_starts=50, hidden=(8,), batch_size=16).respond(game, np.zeros(4)).policy
    (process,) = game.problems(np.zeros(4))
    (there,) = game.problems(torch.zeros(4, dtype=torch.float64))
    noise = np.random.default_rng(0).random((40, 9, 2))
    first = np.random.default_rng(1).random((9, 2))
    here = play_sampled(process, answer, process.start(first), lambda t: noise[t], 40)
    other = play_sampled(there, answer, there.start(torch.tensor(first)), lambda t: torch.tensor(noise[t]), 40)
    assert (np.abs(here.follower_actions) <= 2).all()
    np.testing.assert_allclose(other.states.numpy(), here.states, atol=1e-9)
