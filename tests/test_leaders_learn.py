"""Leaders that learn: scales, queries, rounds side by side, and what other libraries read of a refusal."""

from __future__ import annotations

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
from interop import libraries, table

import stackelberg_envs as se
from stackelberg_envs.views.episode import ActionError
from stackelberg_envs.views.gym import LeaderEnv
from stackelberg_envs.views.rounds import LeaderBatchEnv
from stackelberg_envs.views.vector import LeaderVectorEnv


@pytest.mark.parametrize("id", ["Toy3-Leader", "FourRooms-Follower", "LQGain-Leader"])
def test_torchrl_reads_that_there_is_no_frameskip(id: str) -> None:
    """TorchRL's GymEnv passes ``frameskip`` to every id, and looks for these words of Python's in the TypeError."""
    with pytest.raises(TypeError, match=re.escape("unexpected keyword argument 'frameskip'")):
        gymnasium.make(f"Stackelberg/{id}-v0", frameskip=1)


@pytest.mark.parametrize("id", ["toy3-v0", "lq_gain-v0"])
def test_a_scale_moves_actions_from_the_unit_box_around_a_centre(id: str) -> None:
    game = se.game(id)
    centre = np.full(game.dimension, 19.0)
    scaled = LeaderEnv(game, leader_scale=2.0, commitment=centre, rewards="exact")
    plain = LeaderEnv(game, rewards="exact")
    assert scaled.action_space == gymnasium.spaces.Box(-1.0, 1.0, (game.dimension,), np.float32)
    action = np.linspace(-1.0, 1.0, game.dimension)
    expected = np.minimum(centre + 2.0 * action, 20.0)
    np.testing.assert_array_equal(scaled.commitment_of(action), expected)
    scaled.reset(seed=0)
    plain.reset(seed=0)
    assert scaled.step(action)[1] == plain.step(expected)[1]
    scaled.reset()
    with pytest.raises(ActionError, match=r"outside \[-1, 1\]"):
        scaled.step(1.5 * action)


@pytest.mark.parametrize(("id", "rows"), [("toy3-v0", 3), ("four_rooms-v0", 105), ("bimatrix-v0", 1)])
def test_a_commitment_in_rows_earns_what_it_earns_whole(id: str, rows: int) -> None:
    """The Stackelberg POMDP: nothing is paid before the last query, and then what the whole round earns."""
    game = se.game(id)
    queries, whole = LeaderEnv(game, mode="query", leader_scale=3.0), LeaderEnv(game, leader_scale=3.0)
    action = np.random.default_rng(1).uniform(-1.0, 1.0, game.dimension)
    whole.reset(seed=4)
    seen = [queries.reset(seed=4)[0]]
    for row in action.reshape(rows, -1):
        observation, reward, over, _, _ = queries.step(row)
        assert over == (len(seen) == rows)
        assert over or reward == 0.0
        seen.append(observation)
    assert reward == whole.step(action)[1]
    assert len({one.tobytes() for one in seen}) == rows + 1
    assert all(one in queries.observation_space for one in seen)


def test_exact_rewards_are_the_referee_s_over_an_episode() -> None:
    for id, preset in (("four_rooms-v0", {}), ("toy3-v0", {}), ("building-v0", {})):
        game = se.game(id, **preset)
        x = np.random.default_rng(0).uniform(-1.0, 1.0, game.dimension)
        env = LeaderEnv(game, rewards="exact")
        paid = []
        for context in range(len(game.contexts)):
            env.reset(seed=0, options={"context": context})
            paid.append(env.step(x)[1])
        np.testing.assert_allclose(paid, se.evaluate(game, x, horizon=game.max_cycles).per_context, rtol=1e-12)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
@pytest.mark.parametrize("id", ["FourRooms", "Building"])
def test_rounds_side_by_side_are_rounds(id: str, mode: str) -> None:
    envs = gymnasium.make_vec(f"Stackelberg/{id}-Leader-v0", 5, rewards="exact", leader_scale=2.0, autoreset_mode=mode)
    assert isinstance(envs.unwrapped, LeaderBatchEnv)
    actions = np.random.default_rng(2).uniform(-1.0, 1.0, envs.action_space.shape)
    observations, _ = envs.reset(seed=3, options={"context": 0})
    assert observations in envs.observation_space
    _, rewards, over, _, infos = envs.step(actions)
    single: Any = gymnasium.make(f"Stackelberg/{id}-Leader-v0", rewards="exact", leader_scale=2.0)
    for action, reward in zip(actions, rewards, strict=True):
        single.reset(options={"context": 0})
        np.testing.assert_allclose(reward, single.step(action)[1], rtol=1e-9)
    assert over.all()
    assert ("final_obs" in infos) == (mode == "SameStep")
    if mode == "Disabled":
        with pytest.raises(RuntimeError, match="reset them"):
            envs.step(actions)
    else:
        assert (envs.step(actions)[1] != 0.0).all() == (mode == "SameStep")


@pytest.mark.parametrize("id", ["FourRooms", "LQGain"])
def test_ex_ante_rewards_are_the_referee_s_over_all_contexts(id: str) -> None:
    """Before the leader sees the context, a round is worth its expectation: one context or another is no noise in it."""
    envs = gymnasium.make_vec(f"Stackelberg/{id}-Leader-v0", 3, rewards="ex-ante", leader_scale=0.5)
    assert isinstance(envs.unwrapped, LeaderBatchEnv)
    game, actions = envs.unwrapped.game, np.random.default_rng(5).uniform(-1.0, 1.0, envs.action_space.shape)
    expected = [se.evaluate(game, 0.5 * action, horizon=game.max_cycles).leader_return for action in actions.astype(np.float64)]
    envs.reset(seed=0)
    np.testing.assert_allclose(envs.step(actions)[1], expected, rtol=1e-9)
    assert not envs.step(actions)[1].any()  # Gymnasium's default: all rounds were over, and this step begins others
    single = LeaderEnv(game, rewards="ex-ante", leader_scale=0.5, mode="query" if id == "LQGain" else "round")
    single.reset(seed=1)
    rows = actions[0].reshape(-1, *single.action_space.shape)
    np.testing.assert_allclose([single.step(row)[1] for row in rows][-1], expected[0], rtol=1e-9)


def test_a_leader_that_sees_the_context_has_no_ex_ante_rewards() -> None:
    game = se.from_arrays(
        np.ones((1, 1, 2, 1)),
        np.zeros((1, 2)),
        np.zeros((1, 2)),
        context_visibility="before",
        follower_discount=0.9,
        instrument=se.Subsidies(),
    )
    with pytest.raises(ValueError, match="sees the context before it commits; use rewards='exact'"):
        LeaderEnv(game, rewards="ex-ante")


def test_contexts_of_rounds_side_by_side_are_drawn_by_their_probabilities() -> None:
    envs = LeaderBatchEnv("four_rooms-v0", 2000)
    envs.reset(seed=0)
    assert abs(envs._context.mean() - envs.game.context_probabilities[1]) < 4 * 0.5 / np.sqrt(2000)
    with pytest.raises(ValueError, match="learns from one round to the next"):
        LeaderBatchEnv("toy3-v0", 2, follower=se.SoftQLearning(0.05, 10))
    assert isinstance(gymnasium.make_vec("Stackelberg/Toy3-Leader-v0", 2).unwrapped, LeaderVectorEnv)


@pytest.mark.parametrize("wrong", [{"leader_scale": 1.0}, {"rewards": "exact"}])
def test_moves_have_no_scale(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"for commitments: use mode='round'"):
        LeaderEnv("toy3-v0", mode="move", **wrong)
    with pytest.raises(ValueError, match="leader_scale is a finite number above 0"):
        LeaderEnv("toy3-v0", leader_scale=0.0)


def test_a_leader_learns_in_one_file_of_ppo() -> None:
    """On bimatrix-v0, 95 % of the way from no commitment, 1.5, to the best known, 2.267."""
    torch = pytest.importorskip("torch", reason="the extra 'solvers' is not installed")
    from interop import cleanrl_ppo

    torch.set_num_threads(1)
    curve = cleanrl_ppo.train("Stackelberg/Bimatrix-Leader-v0", leader_scale=5.0, rounds=6400, seed=7)
    assert curve[-1][1] > 1.5 + 0.95 * (2.267 - 1.5)


def test_the_table_of_libraries_is_what_was_run() -> None:
    """`make interop` wrote the page's table, and every library has recipes that exist, or a reason."""
    assert table.table() in table.PAGE.read_text(encoding="utf-8")
    for library in libraries.LIBRARIES:
        assert bool(library.recipes) != bool(library.why), library.name
        assert all((table.HERE / f"{recipe}.py").exists() for recipe in library.recipes), library.name
