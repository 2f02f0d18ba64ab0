"""Fast steps are the general ones, to the bit: what is seen, paid and drawn, also after copies and refusals."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from hypothesis import given
from hypothesis import strategies as st
from small_games import SMALLER

import stackelberg_envs as se
from stackelberg_envs.views.aec import StackelbergAEC
from stackelberg_envs.views.episode import FOLLOWER, LEADER, ActionError
from stackelberg_envs.views.fast_steps import FastSteps
from stackelberg_envs.views.gym import FollowerEnv, LeaderEnv
from stackelberg_envs.views.masks import MASK, next_available
from stackelberg_envs.views.tabular_steps import UniformBlocks

GAMES = [(id, SMALLER.get(id, {})) for id in se.games()]
GAMES += [
    ("bimatrix-v0", {"preset": "chicken", "rounds": 5}),
    ("bimatrix-v0", {"preset": "random", "rows": 2, "types": 2}),
    ("toy3-v0", {"variant": "4_1a", "follower_sees": "policy"}),
    ("random_markov_game-v0", {"follower_sees": "action"}),
    ("four_rooms-v0", {"walkers": 2}),
]
EPISODES = 6


def choose(space: Any, rng: np.random.Generator, info: dict[str, Any]) -> Any:
    """An action of a space, where ``info`` masks some an available one."""
    if isinstance(space, Discrete):
        return int(next_available(rng.integers(space.n), info.get(MASK)))
    return np.clip(rng.normal(size=space.shape), space.low, space.high)


def commitment(game: se.StackelbergGame, rng: np.random.Generator) -> np.ndarray:
    """A random commitment in the game's space."""
    return np.clip(rng.normal(size=game.dimension), game.leader_space.low, game.leader_space.high)


def parallel(id: str, arguments: dict[str, Any], view: Any, observations: Any) -> Iterator[Any]:
    """All that a parallel environment says over some episodes, with a copy in the middle of each third."""
    env: Any = se.make_parallel(id, view=view, observations=observations, max_cycles=25, **arguments)
    rng = np.random.default_rng(1)
    for episode in range(EPISODES):
        x = commitment(env.game, rng)
        began = env.reset(seed=3 if episode == 0 else None, options=None if view == "commitment" else {"commitment": x})
        yield began
        infos = began[1]
        while env.agents:
            if episode % 3 == 2 and rng.random() < 0.1:
                env = pickle.loads(pickle.dumps(env)) if episode % 2 else copy.deepcopy(env)
            actions = {
                agent: choose(env.action_space(agent), rng, infos[agent]) for agent in env.acting if agent != LEADER or view != "commitment"
            }
            if view == "commitment" and LEADER in env.acting:
                actions = {LEADER: x}
            stepped = env.step(actions)
            yield stepped
            infos = stepped[-1]
        yield env.state(), env.episode.paths, env.round_transition()
    yield env.np_random.bit_generator.state


def aec(id: str, arguments: dict[str, Any], view: Any, observations: Any) -> Iterator[Any]:
    """All that an AEC environment says over some episodes, dead steps included."""
    env: Any = se.make(id, view=view, observations=observations, max_cycles=25, **arguments)
    rng = np.random.default_rng(1)
    for episode in range(EPISODES):
        x = commitment(env.game, rng)
        env.reset(seed=3 if episode == 0 else None, options=None if view == "commitment" else {"commitment": x})
        for agent in env.agent_iter():
            yield (
                agent,
                env.last(),
                dict(env.rewards),
                dict(env.infos),
                dict(env._cumulative_rewards),
                [env.observe(one) for one in env.agents],
            )
            over = env.terminations[agent] or env.truncations[agent]
            first = agent == LEADER and view == "commitment"
            env.step(None if over else x if first else choose(env.action_space(agent), rng, env.infos[agent]))
        yield env.state(), env.episode.paths
    yield env.np_random.bit_generator.state


def followers(id: str, arguments: dict[str, Any], view: Any, observations: Any) -> Iterator[Any]:
    """All that a follower's environment says, and a leader's."""
    env: Any = FollowerEnv(id, observations=observations, max_cycles=25, **arguments)
    rng = np.random.default_rng(1)
    for episode in range(EPISODES):
        observation, info = env.reset(seed=3 if episode == 0 else None, options={"commitment": commitment(env.game, rng)})
        yield observation, info
        over = False
        while not over:
            observation, reward, terminated, truncated, info = env.step(choose(env.action_space, rng, info))
            yield observation, reward, terminated, truncated, info
            over = terminated or truncated
    yield env.np_random.bit_generator.state
    leader: Any = LeaderEnv(id, episodes=3, observations=observations, max_cycles=25, **arguments)
    yield leader.reset(seed=5)
    yield leader.step(commitment(leader.game, rng))
    yield leader.np_random.bit_generator.state, leader.episode.paths


VIEWS = [(aec, "commitment"), (aec, "play"), (parallel, "commitment"), (parallel, "play"), (parallel, "simultaneous"), (followers, "")]


@pytest.mark.parametrize("observations", ["vector", "index"])
@pytest.mark.parametrize(("id", "arguments"), GAMES, ids=str)
def test_fast_steps_are_the_general_ones(id: str, arguments: dict[str, Any], observations: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = set()
    for play, view in VIEWS:
        try:
            fast = list(play(id, arguments, view, observations))
        except ValueError as error:
            assert "view='" in str(error) or "observations='vector'" in str(error)  # noqa: PT017 - the game has no such view
            continue
        with monkeypatch.context() as patch:
            patch.setattr(FastSteps, "applies", staticmethod(lambda episode: False))
            general = list(play(id, arguments, view, observations))
        assert len(fast) == len(general)
        for ours, theirs in zip(fast, general, strict=True):
            np.testing.assert_equal(ours, theirs)
            assert types(ours) == types(theirs)
        compared.add((play, view))
    game = se.game(id, **arguments)
    seen = game.tabular or observations == "vector"
    assert not seen or compared >= {(aec, "commitment"), (parallel, "commitment"), (followers, "")}
    acts = seen and game.followers == 1 and game.spaces[0].lead is not None
    assert ((aec, "play") in compared) == ((parallel, "play") in compared) == acts


def types(value: Any) -> Any:
    """The types of all that a container holds."""
    if isinstance(value, dict):
        return {key: types(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [types(one) for one in value]
    return value.dtype if isinstance(value, np.ndarray) else type(value)


def test_the_fast_path_is_taken() -> None:
    """Or the test above would compare the general path with itself."""
    env = se.make_parallel("four_rooms-v0")
    env.reset(seed=0)
    env.step({LEADER: np.zeros(105)})
    before = env._steps
    env.step({FOLLOWER: 1})
    assert before is not None
    assert env._steps is before
    assert env.context in (0, 1)
    assert env._steps is before  # looking at what does not move keeps it
    with pytest.raises(ActionError, match="outside its space, 0 to 3"):
        env.step({FOLLOWER: 4})
    with pytest.raises(ActionError, match="an action is an integer"):
        env.step({FOLLOWER: True})
    with pytest.raises(ActionError, match="no action for follower_0"):
        env.step({LEADER: np.zeros(105)})
    env.step({FOLLOWER: np.int32(2)})
    assert env.episode.time == 2


def test_a_replaced_game_draws_its_own_contexts() -> None:
    """Contexts have the probabilities of the game that is played now."""
    env = se.make_parallel("four_rooms-v0")
    certain = se.game("four_rooms-v0")
    certain.context_probabilities = np.array([0.0, 1.0])
    env.replace_game(certain)
    seen = set()
    for seed in range(8):
        env.reset(seed=seed)
        seen.add(env.context)
    assert seen == {1}


def test_nothing_is_no_commitment() -> None:
    """Also before the first one, with which a commitment is compared."""
    with pytest.raises(ValueError, match="toy3"):
        FollowerEnv("toy3-v0", commitment=np.zeros(0))


def test_subclasses_may_override_any_part() -> None:
    """They take the general path."""

    class Louder(StackelbergAEC):
        def _publish(self, *, rewarded: bool) -> None:
            super()._publish(rewarded=rewarded)
            self.infos[LEADER]["loud"] = True

    env = Louder(se.game("toy3-v0"))
    env.reset(seed=0)
    env.step(np.zeros(6))
    env.step(1)
    assert env.infos[LEADER]["loud"]


@given(seed=st.integers(0, 10**6), taken=st.lists(st.integers(0, 700), max_size=5))
def test_blocks_of_variates_are_single_ones(seed: int, taken: list[int]) -> None:
    single, blocks = np.random.default_rng(seed), np.random.default_rng(seed)
    for count in taken:
        ahead = UniformBlocks(blocks)
        assert [ahead.random() for _ in range(count)] == [single.random() for _ in range(count)]
        ahead.give_back()
        assert blocks.bit_generator.state == single.bit_generator.state


def test_contexts_alternate_without_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """One commitment in two contexts is built twice, however many episodes are played."""
    env = se.make_parallel("four_rooms-v0")
    for seed in range(6):  # 0 to 5 draw both contexts
        env.reset(seed=seed)
        env.step({LEADER: np.zeros(105)})
    monkeypatch.setattr(type(env.game), "problems", None)  # nothing more is built
    seen = set()
    for seed in range(6):
        env.reset(seed=seed)
        env.step({LEADER: np.zeros(105)})
        seen.add(env.context)
    assert seen == {0, 1}


@pytest.mark.parametrize("one", [1, np.int8(1), np.array(1), np.array([1]), np.array([[1]])])
def test_one_integer_is_an_action_in_whatever_it_comes(one: Any) -> None:
    torch = pytest.importorskip("torch", reason="the extra 'solvers' is not installed")
    for action in (one, torch.tensor(one)):
        env = se.make_parallel("toy3-v0")
        env.reset(seed=0)
        env.step({LEADER: np.zeros(6)})
        assert env.step({FOLLOWER: action})[1] == {LEADER: 1.0, FOLLOWER: 1.0}
    for wrong in (True, 1.0, np.float64(1.0), np.array([1, 1]), "1", None, torch.ones(2)):
        with pytest.raises(ActionError, match="an action is an integer"):
            env.step({FOLLOWER: wrong})


def test_gymnasium_ids_are_spelled_as_the_classes() -> None:
    """And as before: LQGain and LqGain are the same environment."""
    for id in ("Stackelberg/LQGain-Leader-v0", "Stackelberg/LqGain-Leader-v0", "Stackelberg/GuidedCartPole-Follower-v0"):
        assert gymnasium.make(id).unwrapped.game.name in ("lq_gain", "guided_cartpole")  # type: ignore[attr-defined]


def test_noise_goes_on_from_one_episode_to_the_next_unless_somebody_has_the_generator() -> None:
    """Draws ahead are nobody's business: a generator that was asked for, or handed in, is where single draws leave it at each end."""
    seeded, lent = (FollowerEnv("four_rooms-v0", max_cycles=3) for _ in "ab")
    generator = np.random.default_rng(5)
    seeded.reset(seed=5)
    lent.np_random = generator
    lent.reset()
    for env in (seeded, lent):
        for _ in range(3):
            env.step(0)
    assert generator.bit_generator.state == seeded.np_random.bit_generator.state
    ahead, single = UniformBlocks(np.random.default_rng(1)), np.random.default_rng(1)
    drawn = [ahead.random(), *ahead.random((2,)), ahead.random(), ahead.integers(100), ahead.random()]
    assert drawn == [single.random(), *single.random(2), single.random(), single.integers(100), single.random()]
