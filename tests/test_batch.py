"""Batches of a follower's side: each environment is the single one with its seed, to the bit, in every mode of Gymnasium's."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from small_games import SMALLER

import stackelberg_envs as se
from stackelberg_envs.commitments import CommitmentError
from stackelberg_envs.play import rollouts
from stackelberg_envs.play.batches import CompiledBatch, EpisodeBatch
from stackelberg_envs.play.streams import Streams
from stackelberg_envs.registry import gymnasium_id
from stackelberg_envs.views.batch import FollowerBatchEnv
from stackelberg_envs.views.episode import ActionError
from stackelberg_envs.views.vector import FollowerVectorEnv

GAMES = [(id, SMALLER.get(id, {})) for id in se.games() if FollowerBatchEnv.applies(se.game(id, **SMALLER.get(id, {})))]
GAMES += [("toy3-v0", {"variant": "4_1a", "follower_sees": "policy"}), ("random_markov_game-v0", {"follower_sees": "action"})]
MODES = [mode.value for mode in AutoresetMode]
STEPS = 45


def commitment(game: se.StackelbergGame, rng: np.random.Generator) -> np.ndarray:
    """A random commitment in the game's space."""
    return np.clip(rng.normal(size=game.dimension), game.leader_space.low, game.leader_space.high)


def plain(result: tuple[Any, ...]) -> list[Any]:
    """A step or reset, with arrays of objects as lists, which can be compared."""
    *rest, infos = result
    return [*rest, {key: list(value) if key == "final_obs" else value for key, value in infos.items()}]


@pytest.mark.parametrize("observations", ["vector", "index"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("id", "arguments"), GAMES, ids=str)
def test_a_batch_is_its_single_environments(id: str, arguments: dict[str, Any], mode: str, observations: Any) -> None:
    view: dict[str, Any] = {"observations": observations, "max_cycles": 9}
    batch = FollowerBatchEnv(id, 4, autoreset_mode=mode, **view, **arguments)
    copies = FollowerVectorEnv(4, mode, game=id, **view, **arguments)
    rng = np.random.default_rng(0)
    resets: list[dict[str, Any]] = [{"seed": 3}, {"options": {"commitment": commitment(batch.game, rng), "context": 0}}, {"seed": 8}]
    for t in range(STEPS):
        if t % 15 == 0:
            chosen = resets[t // 15]
            np.testing.assert_equal(plain(batch.reset(**chosen)), plain(copies.reset(**chosen)))
        actions = rng.integers(batch.single_action_space.n, size=4)  # type: ignore[attr-defined]
        ours, theirs = batch.step(actions), copies.step(actions)
        np.testing.assert_equal(plain(ours), plain(theirs))
        assert ours[0].dtype == theirs[0].dtype
        over = ours[2] | ours[3]
        if mode == AutoresetMode.DISABLED.value and over.any():
            masked: dict[str, Any] = {"options": {"reset_mask": over}}
            np.testing.assert_equal(plain(batch.reset(**masked)), plain(copies.reset(options={"reset_mask": over})))


def test_each_environment_may_have_a_commitment_of_its_own() -> None:
    rng = np.random.default_rng(1)
    game = se.game("toy3-v0")
    x = rng.normal(size=(3, 6))
    batch = FollowerBatchEnv(game, 3, commitment=x)
    observations, _ = batch.reset(seed=5)
    singles = [gymnasium.make("Stackelberg/Toy3-Follower-v0", commitment=row) for row in x]
    for i, single in enumerate(singles):
        np.testing.assert_array_equal(observations[i], single.reset(seed=5 + i)[0])
    for action in (0, 2, 1, 1, 0, 2, 2):
        observations, rewards, *_ = batch.step(np.full(3, action))
        for i, single in enumerate(singles):
            observation, reward, *_ = single.step(action)
            np.testing.assert_array_equal(observations[i], observation)
            assert rewards[i] == reward


def test_gymnasium_gives_batches_where_there_are_any() -> None:
    assert isinstance(gymnasium.make_vec(gymnasium_id("four_rooms-v0", "Follower"), num_envs=2).unwrapped, FollowerBatchEnv)
    others: Any = (("building-v0", {}), ("toy3-v0", {"render_mode": "ansi"}), ("four_rooms-v0", {"walkers": 2}))
    for id, arguments in others:
        assert isinstance(gymnasium.make_vec(gymnasium_id(id, "Follower"), num_envs=2, **arguments).unwrapped, FollowerVectorEnv)
    assert isinstance(gymnasium.make_vec(gymnasium_id("toy3-v0", "Follower"), num_envs=2, agent="follower_0").unwrapped, FollowerBatchEnv)
    with pytest.raises(ValueError, match="building is not played in batches"):
        FollowerBatchEnv("building-v0")


def test_a_refused_step_changes_nothing() -> None:
    env: Any = FollowerBatchEnv("toy3-v0", 3)
    twin: Any = FollowerBatchEnv("toy3-v0", 3)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros(3, dtype=int))
    env.reset(seed=0)
    twin.reset(seed=0)
    for wrong, message in (
        (np.array([0, 3, 0]), "environment 1: action 3 is outside its space, 0 to 2"),
        (np.zeros(2, dtype=int), "actions are 3 integers"),
        (np.zeros(3), "actions are 3 integers"),
    ):
        with pytest.raises(ActionError, match=message):
            env.step(wrong)
    with pytest.raises(CommitmentError):
        env.reset(options={"commitment": "abc"})
    mask = np.array([True, False, False])
    infos = env.reset(options={"reset_mask": mask})[1]
    infos["_time"][:] = False
    assert mask[0], "what is told is not the caller's array"
    twin.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match=r"reset has no options\['comitment'\]; did you mean 'commitment'"):
        env.reset(options={"comitment": np.zeros(6)})
    with pytest.raises(ValueError, match="3 environments take as many commitments, got 2"):
        env.reset(options={"commitment": np.zeros((2, 6))})
    np.testing.assert_equal(env.step(np.ones(3, dtype=np.uint64)), twin.step(np.ones(3, dtype=int)))
    assert FollowerBatchEnv("toy3-v0", np.int8(100)).num_envs == 100


def test_streams_are_their_generators() -> None:
    """Whatever is drawn by whom, each stream gives what its generator gives, in order."""
    streams, generators = Streams([np.random.default_rng(i) for i in range(4)]), [np.random.default_rng(i) for i in range(4)]
    rng = np.random.default_rng(9)
    for _ in range(2000):
        wanted = np.flatnonzero(rng.random(4) < 0.6)
        assert streams.draw_from(wanted).tolist() == [generators[i].random() for i in wanted]


@pytest.mark.parametrize("mode", MODES[:2])
@pytest.mark.parametrize(("id", "arguments"), [("four_rooms-v0", {}), ("random_markov_game-v0", {}), ("contract_tree-v0", {})])
def test_compiled_batches_are_the_same(id: str, arguments: dict[str, Any], mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """numba's loop and NumPy's operations give the same bits."""
    pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    fast = FollowerBatchEnv(id, 5, max_cycles=12, autoreset_mode=mode, **arguments)
    fast.reset(seed=2)
    monkeypatch.setattr(rollouts, "COMPILED", False)
    plain_numpy = FollowerBatchEnv(id, 5, max_cycles=12, autoreset_mode=mode, **arguments)
    plain_numpy.reset(seed=2)
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(fast.single_action_space.n, size=5)  # type: ignore[attr-defined]
        np.testing.assert_equal(plain(fast.step(actions)), plain(plain_numpy.step(actions)))
    assert [type(env._batch) for env in (fast, plain_numpy)] == [CompiledBatch, EpisodeBatch]


def test_a_batch_visits_states_as_often_as_the_model_says() -> None:
    """Law of large numbers: mean returns of many episodes are the exact value of the uniform policy, within 4 standard errors."""
    env = FollowerBatchEnv("random_markov_game-v0", 2000, autoreset_mode="Disabled", max_cycles=400)
    (mdp,) = env.game.problems(np.zeros(env.game.dimension))
    uniform = np.full(mdp.sizes, 1.0 / mdp.sizes[2])
    leads = np.asarray(mdp.leader_policy)[:, :, None]
    dense = np.einsum("sab,sabt->st", leads * uniform, np.asarray(mdp.kernel.dense()))
    paid = (leads * uniform * np.asarray(mdp.follower_reward)).sum((1, 2))
    exact = float(np.asarray(mdp.initial) @ np.linalg.solve(np.eye(len(paid)) - mdp.follower_discount * dense, paid))
    env.reset(seed=0)
    rng = np.random.default_rng(1)
    infos: dict[str, Any] = {}
    for _ in range(400):
        *_, infos = env.step(rng.integers(mdp.sizes[2], size=2000))
        if (infos["time"] == 400).all():
            break
    returns = infos["discounted_return"]
    assert abs(returns.mean() - exact) < 4 * returns.std() / np.sqrt(2000) + mdp.follower_discount**400
