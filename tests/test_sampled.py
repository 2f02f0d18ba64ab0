"""Worlds without tables: a peer's implementation, one definition for single and batched play, densities, and what must not go wrong."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from test_oracle import Nosy

import stackelberg_envs as se
from baselines.bench import results_file
from solvers import Declined, solve
from solvers.base import run
from stackelberg_envs.followers.feedback import LIMIT
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.play.monte_carlo import monte_carlo
from stackelberg_envs.play.sampled_rollouts import SampledStepper, play_sampled
from stackelberg_envs.processes.sampled import normal
from stackelberg_envs.testing.modified_games import GameWithOtherFollowerRewards
from stackelberg_envs.views.episode import ActionError
from stackelberg_envs.views.gym import LeaderEnv

GAMES = [
    ("lq_gain-v0", {"width": 0.1}),
    ("building-v0", {}),
    ("continuous_toy-v0", {}),
    ("continuous_toy-v0", {"leader_sd": 0.5, "variant": "1_2e"}),
    ("guided_cartpole-v0", {}),
    ("guided_cartpole-v0", {"target": "v1", "hidden": 3, "leader_sd": 0.5}),
    ("guided_pendulum-v0", {}),
    ("guided_pendulum-v0", {"hidden": 3}),
]
ACTING = [(id, arguments) for id, arguments in GAMES if se.game(id, **arguments).log_leader_density is not None]
every_game = pytest.mark.parametrize(("id", "arguments"), GAMES, ids=str)


def started(id: str, arguments: dict[str, Any], *, scale: float = 1.0) -> tuple[se.StackelbergGame, np.ndarray, Any, Any]:
    """A game, a commitment, what it induces, and the default follower's policy."""
    game = se.game(id, **arguments)
    x = scale * np.random.default_rng(0).normal(size=game.dimension)
    return game, x, game.problems(x)[0], game.default_follower.respond(game, x).policy


# -- peers ------------------------------------------------------------------------------------------------------------------------


def test_cartpole_is_gymnasiums_without_wind() -> None:
    peer = gymnasium.make("CartPole-v1").unwrapped
    process = se.game("guided_cartpole-v0").problems(np.zeros(5))[0]
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (300, 4)) * [2.5, 3, 0.25, 3]
    pushed = rng.integers(2, size=300)
    arrived, ended = process.step(states, np.zeros((300, 1)), 2.0 * pushed[:, None] - 1, np.zeros((300, 0)))
    for i in range(300):
        peer.reset(seed=0)
        peer.state = tuple(states[i])  # type: ignore[attr-defined]
        _, _, over, *_ = peer.step(int(pushed[i]))
        np.testing.assert_allclose(arrived[i], peer.state, rtol=0, atol=1e-12)  # type: ignore[attr-defined]
        assert bool(ended[i]) == over
    assert 0.2 < ended.mean() < 0.8, "both happen"
    blown, _ = process.step(states, np.full((300, 1), 0.7), 2.0 * pushed[:, None] - 1, np.zeros((300, 0)))
    np.testing.assert_allclose(blown[:, :3], arrived[:, :3], atol=1e-12)
    np.testing.assert_allclose(blown[:, 3] - arrived[:, 3], 0.02 * 20 * 0.7 * np.cos(states[:, 2]) ** 2, atol=1e-12)


def test_pendulum_is_gymnasiums_without_wind() -> None:
    peer = gymnasium.make("Pendulum-v1").unwrapped
    process = se.game("guided_pendulum-v0").problems(np.zeros(4))[0]
    rng = np.random.default_rng(0)
    angles, speeds, torques = rng.uniform(-np.pi, np.pi, 200), rng.uniform(-8, 8, 200), rng.uniform(-3, 3, 200)
    states = np.stack([np.cos(angles), np.sin(angles), speeds], -1)
    arrived, ended = process.step(states, np.zeros((200, 1)), torques[:, None], np.zeros((200, 0)))
    earned, paid = process.rewards(states, np.zeros((200, 1)), torques[:, None], arrived)
    assert not ended.any()
    for i in range(200):
        peer.reset(seed=0)
        peer.state = np.array([angles[i], speeds[i]])  # type: ignore[attr-defined]
        _, reward, *_ = peer.step(np.array([torques[i]]))
        angle, speed = peer.state  # type: ignore[attr-defined]
        np.testing.assert_allclose(arrived[i], [np.cos(angle), np.sin(angle), speed], rtol=0, atol=1e-12)
        assert earned[i] == pytest.approx(float(reward), abs=1e-12)
    np.testing.assert_array_equal(paid, np.minimum(-states[:, 1], 0))
    blown, _ = process.step(states, np.ones((200, 1)), torques[:, None], np.zeros((200, 0)))
    free = (np.abs(blown[:, 2]) < 8) & (np.abs(arrived[:, 2]) < 8)
    np.testing.assert_allclose((blown - arrived)[free, 2], 0.05 * 2 * np.cos(angles[free]) ** 2, atol=1e-12)


@pytest.mark.parametrize("variant", ["4", "1_1a", "1_2f", "4_1a"])
def test_continuous_toy_is_the_table(variant: str) -> None:
    """The same answer, to rounding, and the same returns, within four standard errors, as Toy3 with an announced policy."""
    game, table = se.game("continuous_toy-v0", variant=variant), se.game("toy3-v0", variant=variant, follower_sees="policy")
    x = np.array([0.3, -0.8, 0.5])
    logits = np.stack([0 * x, x], -1).ravel()
    policy = game.default_follower.respond(game, x).policy
    announced = (1 / (1 + np.exp(-x)))[:, None]
    np.testing.assert_allclose(policy.probabilities(np.eye(3), announced), se.Soft(0.05).respond(table, logits).policy[:, 0], atol=1e-10)
    played, exact = se.evaluate(game, x), se.evaluate(table, logits, horizon=game.max_cycles)
    assert abs(float(played.leader_return) - float(exact.leader_return)) < 4 * float(played.standard_error)
    own, _ = monte_carlo(game.problems(x)[0], policy, game.max_cycles)
    earned = own.follower_rewards @ 0.99 ** np.arange(game.max_cycles)
    error = max(float(earned.std()) / len(earned) ** 0.5, 1e-9)
    assert abs(float(earned.mean()) - float(exact.follower_returns[0])) < 4 * error


def test_the_answer_to_an_exploring_leader_solves_its_soft_bellman_equation() -> None:
    """Q = r + gamma E V(s', a'), a' by the leader's noise: sampled, not by the quadrature that found it."""
    _, _, process, _ = started("continuous_toy-v0", {"leader_sd": 0.5, "variant": "1_2e"})
    _, value, _ = process.soft_response(0.05)
    n, rng = 40_000, np.random.default_rng(1)
    values, errors = np.zeros(3), np.zeros(3)
    for s in range(3):
        states = np.broadcast_to(np.eye(3)[s], (n, 3))
        drawn = value(states, process.lead(states, rng.random((n, 1))))
        values[s], errors[s] = drawn.mean(), drawn.std() / n**0.5
    backed = process.follower_reward + 0.99 * process.transition @ values
    assert (np.abs(value.action_values - backed) < 4 * errors.max() + 1e-9).all()
    assert errors.max() > 0


# -- one definition ---------------------------------------------------------------------------------------------------------------


@every_game
def test_single_steps_are_the_batched_ones(id: str, arguments: dict[str, Any]) -> None:
    _, _, process, policy = started(id, arguments)
    played, episodes = monte_carlo(process, policy, 12)
    single, rng = SampledStepper(process), np.random.default_rng(5)
    states, leads, actions = (values[:40, -1] for values in (played.states[:, :-1], played.leader_actions, played.follower_actions))
    noise = rng.random((40, process.noise.step))
    arrived, ended = process.step(states, leads, actions, noise)
    earned, paid = process.rewards(states, leads, actions, arrived)
    for i in range(40):
        after, (own,), leader = single.step(states[i], leads[i], [actions[i]], Given(noise[i]))  # type: ignore[arg-type]
        assert (after is None) == bool(ended[i])
        if after is not None:
            np.testing.assert_allclose(after, arrived[i], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose([own, leader], [earned[i], paid[i]], rtol=1e-12, atol=1e-12)
    assert episodes > 40


class Given:
    """A generator that hands out given uniforms."""

    def __init__(self, uniforms: np.ndarray) -> None:
        self.uniforms = uniforms

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.uniforms.reshape(shape)


@every_game
def test_a_leaders_round_is_the_batch_of_one(id: str, arguments: dict[str, Any]) -> None:
    """The same generator, drawn from in the same order: every state, action and payment of the round is equal, not close."""
    game, x, process, policy = started(id, arguments, scale=0.3)
    env = LeaderEnv(game, max_cycles=50)
    for seed in range(3):
        env.reset(seed=seed)
        _, paid, *_ = env.step(x)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        rng.random()  # the context
        first = process.start(rng.random((1, process.noise.start)))
        batch = play_sampled(process, policy, first, rng, 50)
        path = np.array(env.episode.paths[0])
        np.testing.assert_array_equal(path, batch.states[0, : len(path)])
        lived = int(batch.alive.sum())
        assert len(path) == lived + (0 if env.episode.terminated else 1)
        assert paid == pytest.approx(float(batch.leader_rewards[0] @ process.leader_discount ** np.arange(lived)), rel=1e-12, abs=1e-12)


@every_game
def test_batches_of_commitments_play_as_alone(id: str, arguments: dict[str, Any]) -> None:
    """B commitments, (B, n) or (B, 1, n), against states (B, N, d) with the same noise for all."""
    game, _, process, _ = started(id, arguments)
    xs = 0.3 * np.random.default_rng(1).normal(size=(3, game.dimension))
    shape = (7, process.noise.lead + game.default_follower.respond(game, xs[0]).policy.noise + process.noise.step)
    noise = np.random.default_rng(2).random((20, *shape))
    first = process.start(np.random.default_rng(3).random((7, process.noise.start)))
    alone = [play_sampled(game.problems(x)[0], game.default_follower.respond(game, x).policy, first, lambda t: noise[t], 20) for x in xs]
    for batch in (xs, xs[:, None]):
        policy, faced = game.default_follower.respond(game, batch).policy, game.problems(batch)[0]
        together = play_sampled(faced, policy, np.stack([first] * 3), lambda t: np.stack([noise[t]] * 3), 20)
        for i, one in enumerate(alone):
            steps = one.alive.shape[-1]
            np.testing.assert_array_equal(together.alive[i, :, :steps], one.alive)
            assert not together.alive[i, :, steps:].any()
            np.testing.assert_allclose(together.states[i, :, : steps + 1], one.states, rtol=1e-8, atol=1e-8)
            np.testing.assert_allclose(together.leader_rewards[i, :, :steps], one.leader_rewards, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("id", "arguments"), [("building-v0", {}), ("guided_pendulum-v0", {"hidden": 3}), ("lq_gain-v0", {"width": 0.5})], ids=str
)
def test_whole_episodes_differentiate_in_the_commitment(id: str, arguments: dict[str, Any]) -> None:
    """Pathwise gradients of what the leader earns on fixed noise, in torch, against central differences in NumPy."""
    game, x, process, policy = started(id, arguments, scale=0.2)
    noise = np.random.default_rng(2).random((15, 8, process.noise.lead + policy.noise + process.noise.step))
    first = np.random.default_rng(3).random((8, process.noise.start))

    def earned(at: Any, xp: Any) -> Any:
        world = game.problems(at)[0]
        return play_sampled(world, policy_of(at), world.start(xp(first)), lambda t: xp(noise[t]), 15).leader_rewards.sum()

    def policy_of(at: Any) -> Any:
        return game.default_follower.respond(game, at).policy

    leaf = torch.tensor(x, requires_grad=True)
    (gradient,) = torch.autograd.grad(earned(leaf, torch.tensor), leaf)
    for direction in np.random.default_rng(4).normal(size=(3, game.dimension)):
        step = 1e-5 * direction
        difference = (earned(x + step, np.asarray) - earned(x - step, np.asarray)) / 2e-5
        assert float(gradient @ torch.tensor(direction)) == pytest.approx(float(difference), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("id", "arguments"), [("lq_gain-v0", {"width": 0.1}), ("building-v0", {})], ids=str)
def test_closed_forms_are_what_episodes_earn(id: str, arguments: dict[str, Any]) -> None:
    game, x, process, policy = started(id, arguments, scale=0.5)
    played, episodes = monte_carlo(process, policy, 30)
    exact = se.evaluate(game, x, horizon=30)
    for rewards, discount, value in (
        (played.leader_rewards, process.leader_discount, exact.leader_return),
        (played.follower_rewards, process.follower_discount, exact.follower_returns[0]),
    ):
        returns = rewards @ discount ** np.arange(30)
        assert abs(float(returns.mean()) - float(value)) < 4 * float(returns.std()) / episodes**0.5 + 1e-9


# -- densities --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id", "arguments"), ACTING, ids=str)
def test_leader_densities_integrate_to_one_and_their_scores_to_zero(id: str, arguments: dict[str, Any]) -> None:
    for scale in (0.5, 10.0):  # where tanh and sigmoid are soft, and where they saturate
        game, x, process, policy = started(id, arguments, scale=scale)
        state = monte_carlo(process, policy, 3)[0].states[0, 1]
        states = np.broadcast_to(state, (20_000, len(state)))
        leads = process.lead(states, np.random.default_rng(6).random((20_000, 1)))
        low, high = float(leads.min()), float(leads.max())
        if id.startswith("lq") or scale < 1:
            grid = np.linspace(low, high, 20_001)[:, None]
            density = np.exp(game.log_leader_density(x, states[:1], grid))
            assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1, abs=5e-3), "all but the tails beyond 20,000 draws"
        leaf = torch.tensor(np.broadcast_to(x, (20_000, len(x))).copy(), requires_grad=True)
        log = torch.stack([game.log_leader_density(leaf[i], torch.tensor(state), torch.tensor(leads[i])) for i in range(300)])
        (scores,) = torch.autograd.grad(log.sum(), leaf)
        step = 1e-6 * np.random.default_rng(7).normal(size=len(x))
        up, down = (game.log_leader_density(x + sign * step, states, leads) for sign in (1, -1))
        slopes = (up - down) / 2
        np.testing.assert_allclose(scores[:300].numpy() @ step, slopes[:300], rtol=1e-4, atol=1e-4 * np.abs(slopes).max() + 1e-15)
        assert np.isfinite(slopes).all()
        assert abs(slopes.mean()) < 4 * slopes.std() / len(slopes) ** 0.5 + 1e-15


def test_noise_is_normal_and_finite_at_its_ends() -> None:
    u = np.array([0.0, 0.5, 1 - 2.0**-53])
    for values in (normal(u), normal(torch.tensor(u)).numpy()):
        assert np.isfinite(values).all()
        assert values[1] == 0
    drawn = normal(np.random.default_rng(0).random(100_000))
    assert abs(drawn.mean()) < 4 / 100_000**0.5
    assert abs((drawn**2).mean() - 1) < 4 * (2 / 100_000) ** 0.5


# -- edges ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id", "arguments"), [pair for pair in GAMES if pair[0].startswith(("guided", "continuous"))], ids=str)
def test_extreme_commitments_and_actions_stay_finite(id: str, arguments: dict[str, Any]) -> None:
    game = se.game(id, **arguments)
    for x in (game.leader_space.low, game.leader_space.high, np.full(game.dimension, 1e150), np.full(game.dimension, -1e150)):
        (process,) = game.problems(x)
        policy = game.default_follower.respond(game, np.clip(x, game.leader_space.low, game.leader_space.high)).policy
        played, _ = monte_carlo(process, policy, 30)
        assert all(np.isfinite(values).all() for values in (played.states, played.leader_actions, played.leader_rewards))
        if game.log_leader_density is not None and np.abs(x).max() < 100:
            leads = np.concatenate([played.leader_actions[:, 0], process.leader_actions.low[None], process.leader_actions.high[None]])
            states = np.concatenate([played.states[:, 0], played.states[:2, 0]])
            assert np.isfinite(game.log_leader_density(x, states, leads)).all()
    if isinstance(game.spaces[0].action, gymnasium.spaces.Box):
        (process,) = game.problems(np.zeros(game.dimension))
        states = process.start(np.random.default_rng(0).random((4, process.noise.start)))
        huge, noise = np.array([[1e300], [-1e300], [np.inf], [0.0]]), np.zeros((4, 0))
        arrived, _ = process.step(states, np.zeros((4, 1)), huge, noise)
        assert np.isfinite(arrived).all(), "forces beyond the bounds are cut"
        with pytest.raises(FloatingPointError, match="left the reals at step 0"):
            play_sampled(process, policy, states, np.random.default_rng(0), 3, actions=np.full((4, 1), np.nan))


def test_unstable_loops_say_so() -> None:
    game = se.game("building-v0")
    (process,) = game.problems(np.zeros(8))
    policy = game.default_follower.respond(game, np.zeros(8)).policy
    wild = type(policy)(1e3 + 0 * policy.on_state, policy.on_lead, policy.spread)
    with pytest.raises(FloatingPointError, match="the closed loop is unstable under this commitment"), np.errstate(all="ignore"):
        monte_carlo(process, wild, 500)


@pytest.mark.parametrize("id", ["guided_cartpole-v0", "building-v0", "lq_gain-v0", "continuous_toy-v0"])
def test_bad_actions_change_nothing(id: str) -> None:
    env = se.make(id)
    env.reset(seed=1)
    env.step(np.zeros(env.game.dimension))
    space = env.action_space("follower_0")
    before = pickle.dumps(env)
    bad = (
        [3, -1, 0.5, None]
        if isinstance(space, gymnasium.spaces.Discrete)
        else [space.high + 1, np.full(space.shape, np.nan), np.zeros(7), "up", None]
    )
    for action in bad:
        with pytest.raises(ActionError, match="follower_0"):
            env.step(action)
        assert pickle.dumps(env) == before


# -- followers, scores, access ----------------------------------------------------------------------------------------------------


def test_written_followers_do_what_they_say() -> None:
    """The pole stands for all 200 steps unless the wind is full against it; the pendulum, wherever it starts, ends upright."""
    game, calm = se.game("guided_cartpole-v0"), np.zeros(5)
    response = game.default_follower.respond(game, calm)
    assert math.isnan(response.certificate)
    played, _ = monte_carlo(game.problems(calm)[0], response.policy, 200)
    assert played.alive.all()
    storm = np.array([0, 0, 0, 0, 10.0])
    assert monte_carlo(game.problems(storm)[0], response.policy, 200)[0].alive.sum(-1).max() < 100
    game = se.game("guided_pendulum-v0")
    played, _ = monte_carlo(game.problems(np.zeros(4))[0], game.default_follower.respond(game, np.zeros(4)).policy, 200)
    assert (played.states[:, -1, 0] > 0.9).mean() > 0.99


def test_the_leader_of_the_cartpole_can_do_better_than_nothing() -> None:
    """Wind against the lean of the pole moves the cart: with the band to the right, some linear feedback earns what calm does not."""
    game = se.game("guided_cartpole-v0", target="v1")
    calm = float(se.evaluate(game, np.zeros(5)).leader_return)
    breeze = max(float(se.evaluate(game, np.array([0, 0, 0, 0, w])).leader_return) for w in (-0.3, -0.1, 0.1, 0.3))
    assert breeze > calm + 1


def test_scores_by_playing_are_written_down_without_a_gap(tmp_path: Any) -> None:
    """No closed form, no gap: rows say None, with the standard error beside the score, and results files take them."""
    game = se.game("guided_cartpole-v0", max_cycles=20)
    solution = solve(game, "zeroth_order", budget=4, seed=0)
    for row in solution.history:
        assert row["follower_gap"] is None
        assert row["standard_error"] > 0
    results_file.append(tmp_path / "results.jsonl", {"id": "one", "history": list(solution.history), "x": solution.x.tolist()})
    assert json.loads((tmp_path / "results.jsonl").read_text())["history"][0]["follower_gap"] is None
    exact = solve(se.game("lq_gain-v0"), "zeroth_order", budget=4, seed=0).history[0]
    assert exact["follower_gap"] < 1e-8
    assert "standard_error" not in exact


class Looking(Nosy):
    tabular = False


@pytest.mark.parametrize("id", ["guided_cartpole-v0", "continuous_toy-v0"])
def test_leaders_learn_nothing_of_rewards_that_are_not_theirs(id: str) -> None:
    """A solver that looks at everything runs the same, bit for bit, where the follower is paid otherwise and does the same."""
    game = se.game(id, max_cycles=10)
    follower = game.default_follower
    runs = [
        run(Looking(), world, follower=who, budget=5, seed=2, reports=5)
        for world, who in ((game, follower), (GameWithOtherFollowerRewards(game), se.Believes(game, follower)))
    ]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)


def test_outcomes_of_vectors() -> None:
    """Play stops where an episode ends: the last state stays, and nobody acts or earns."""
    game = se.game("guided_cartpole-v0")
    seen = RepeatedGame(game, seed=0).play(np.array([0, 0, 0, 0, 10.0]), episodes=20)
    assert seen.states.shape[:2] == (20, 1)
    assert seen.states.shape[-1] == 4
    ended = ~seen.alive[:, 0]
    assert ended.any()
    assert not seen.leader_rewards[ended].any()
    steps = seen.alive[:, 0].sum(-1)
    last = seen.states[np.arange(20), 0, steps]
    assert (np.abs(last[:, 2]) > 12 * 2 * np.pi / 360).all()


def test_means_before_squashing_stay_where_actions_can_be_told_apart() -> None:
    game = se.game("guided_cartpole-v0")
    leads = game.problems(np.full(5, 10.0))[0].lead(np.full((1, 4), 2.0), np.array([[0.5]]))
    assert float(np.arctanh(leads[0, 0])) == pytest.approx(LIMIT * np.tanh(10 * (2 / 2.4 + 1 + 2 / (12 * 2 * np.pi / 360) + 1 + 1) / LIMIT))


def test_an_exact_answer_that_is_scored_by_playing_has_no_gap() -> None:
    """That of continuous_toy has a value but no closed-form score: earned less expected is noise around 0, and a worse one lacks."""
    game, x = se.game("continuous_toy-v0"), np.array([0.3, -0.4, 0.2])
    exact, cold = se.evaluate(game, x), se.evaluate(game, x, follower=se.Soft(5.0))
    judged = se.evaluate(game, x, responses=cold.responses)
    assert float(exact.follower_gap) < 0.1  # of 50; 272 episodes
    assert float(judged.follower_gap) > 1.0


def test_what_played_scores_may_not_do() -> None:
    """No batches, whatever their size; no gradients; and no leader learns on the referee's own luck, or sees what a follower earns."""
    toy, x = se.game("continuous_toy-v0", max_cycles=5), np.array([0.3, -0.2, 0.5])
    batch = np.tile(x, (2000, 1))
    with pytest.raises(ValueError, match="one commitment at a time"):
        toy.objective(toy.problems(batch), toy.default_follower.respond(toy, batch).policies)
    for name in ("implicit", "naive"):
        with pytest.raises(Declined, match="means over played episodes"):
            solve(toy, name, budget=1)
    pole = se.game("guided_cartpole-v0")
    oracle = RepeatedGame(pole).oracle(se.Access.OUTCOME)
    scored = se.evaluate(pole, np.zeros(5))
    told = oracle.returns(np.zeros(5))
    assert told != float(scored.leader_return)
    assert abs(told - float(scored.leader_return)) < 6 * float(scored.standard_error)
    oracle.spaces[0].action.low[:] = 0.5
    assert pole.spaces[0].action.low[0] == se.game("guided_cartpole-v0").spaces[0].action.low[0] == -1.0
    assert float(se.evaluate(pole, np.zeros(5), horizon=0).leader_return) == 0.0
    assert oracle.play(np.zeros(5), episodes=2, horizon=0).steps == 0


def test_rules_are_for_the_game_that_they_were_written_for() -> None:
    cart, pendulum = se.game("guided_cartpole-v0"), se.game("guided_pendulum-v0")
    assert repr(cart.default_follower) == "Feedback(Balance)"
    with pytest.raises(Declined, match=r"Feedback\(Balance\) is no rule for guided_pendulum, with 3 numbers a state"):
        solve(pendulum, "zeroth_order", follower=cart.default_follower, budget=1, referee=(cart, None))
    with pytest.raises(PlanningError, match=r"no rule for building, with .* and 0 a leader's action"):
        pendulum.default_follower.respond(se.game("building-v0"), np.zeros(8))
    with pytest.raises(PlanningError, match="acts on a vector state for one follower, and there is none in InducedMDP"):
        cart.default_follower.respond(se.game("toy3-v0"), np.zeros(6))
    batch = torch.zeros((2, 5), dtype=torch.float64)
    assert cart.default_follower.respond(cart, batch).policy == cart.default_follower.rule
