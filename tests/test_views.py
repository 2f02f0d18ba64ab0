"""PettingZoo's, Gymnasium's and our own tests, for every game and view; and what a refused step leaves behind."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import pickle
import re
import warnings
from collections.abc import Iterator
from typing import Any, cast

import gymnasium
import numpy as np
import pettingzoo
import pettingzoo.test as pzt
import pytest
from broken import BROKEN
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from pettingzoo.test.render_test import render_test
from pettingzoo.test.state_test import state_test
from small_games import SMALLER

import solvers
import stackelberg_envs as se
from stackelberg_envs.arguments import ArgumentError
from stackelberg_envs.play.rollouts import simulate
from stackelberg_envs.processes.inverse_cdf import cumulative, inverse_cdf
from stackelberg_envs.registry import gymnasium_id
from stackelberg_envs.testing import ConformanceError, check_env
from stackelberg_envs.views.episode import ActionError
from stackelberg_envs.views.gym import FollowerEnv, LeaderEnv
from stackelberg_envs.views.masks import NextAvailable, NextAvailableParallel
from stackelberg_envs.views.registration import register_all

MARKOV = (
    "toy3-v0",
    "patrol-v0",
    "bimatrix-v0",
    "random_markov_game-v0",
    "lq_gain-v0",
    "continuous_toy-v0",
    "guided_cartpole-v0",
    "guided_pendulum-v0",
)
TWO_PHASE = [(id, "commitment", SMALLER.get(id, {})) for id in se.games()] + [(id, "play", {}) for id in MARKOV]
TWO_PHASE += [("four_rooms-v0", "commitment", {"walkers": 3}), ("random_markov_game-v0", "play", {"follower_sees": "action"})]
ITERATED = {"preset": "chicken", "rounds": 5}
TYPES = {"preset": "random", "rows": 2, "types": 2}
TWO_PHASE += [("bimatrix-v0", view, arguments) for view in ("commitment", "play") for arguments in (ITERATED, TYPES)]
SIMULTANEOUS = [(id, "simultaneous", {}) for id in ("bimatrix-v0", "random_markov_game-v0")]
SIMULTANEOUS += [("bimatrix-v0", "simultaneous", arguments) for arguments in (ITERATED, TYPES)]
SIMULTANEOUS += [("toy3-v0", "simultaneous", {"variant": "4_1a", "follower_sees": "policy"})]
OBSERVATIONS = ("vector", "index")
VECTORS = tuple(id for id in se.games() if not se.game(id, **SMALLER.get(id, {})).tabular)
"""Games whose states are vectors, which no index can be."""


def both(views: list[tuple[str, str, dict[str, Any]]]) -> list[tuple[str, str, dict[str, Any], str]]:
    """Every view with every kind of observation that it has."""
    return [(*view, observations) for view in views for observations in OBSERVATIONS if observations == "vector" or view[0] not in VECTORS]


@pytest.mark.parametrize("id", VECTORS)
def test_vectors_have_no_index(id: str) -> None:
    with pytest.raises(ValueError, match="its states are vectors, no indices"):
        se.make(id, observations="index", **SMALLER.get(id, {}))


@pytest.mark.parametrize(("id", "view", "arguments", "observations"), both(TWO_PHASE), ids=str)
def test_pettingzoo_aec(id: str, view: str, arguments: dict[str, Any], observations: str) -> None:
    def build() -> Any:
        return se.make(id, view=view, observations=observations, **arguments)

    pzt.api_test(build(), num_cycles=100)
    pzt.seed_test(build, num_cycles=100)
    parallel = se.make_parallel(id, view=view, observations=observations, **arguments)
    if not parallel.game.tabular or all(cast("Any", world).available is None for world in parallel.game.null_worlds):
        state_test(build(), parallel)
    else:  # its own walk knows no masks
        module = importlib.import_module("pettingzoo.test.state_test")
        module.test_state_space(build())
        module.test_parallel_env(NextAvailableParallel(parallel))


@pytest.mark.parametrize(("id", "view", "arguments", "observations"), both(TWO_PHASE + SIMULTANEOUS), ids=str)
def test_pettingzoo_parallel(id: str, view: str, arguments: dict[str, Any], observations: str) -> None:
    def build() -> Any:
        return se.make_parallel(id, view=view, observations=observations, **arguments)

    pzt.parallel_api_test(NextAvailableParallel(build()), num_cycles=200)  # PettingZoo's parallel tests know no masks
    pzt.parallel_seed_test(lambda: NextAvailableParallel(build()), num_cycles=200)
    check_env(build(), kernel_steps=1500)


@pytest.mark.parametrize(("id", "view", "arguments"), TWO_PHASE, ids=str)
def test_our_own_check(id: str, view: str, arguments: dict[str, Any]) -> None:
    """Which includes: the two-phase parallel view plays the same game, step by step."""
    report = check_env(se.make(id, view=view, **arguments), kernel_steps=4000)
    assert "the parallel form plays the same game" in report.passed
    assert "steps follow the model's kernel" in report.passed


@pytest.mark.parametrize("name", BROKEN)
def test_the_kit_finds_what_is_broken(name: str) -> None:
    build, check = BROKEN[name]
    with pytest.raises(ConformanceError, match=re.escape(check)):
        check_env(build(), kernel_steps=10_000 if "kernel" in name else 200)


@pytest.mark.parametrize("mode", ["round", "move"])
@pytest.mark.parametrize("id", se.games())
def test_gymnasium_leader(id: str, mode: str) -> None:
    if mode == "move" and id not in MARKOV:
        with pytest.raises(ValueError, match="no play view"):
            gymnasium.make(gymnasium_id(id, "Leader"), mode=mode)
        return
    _clean_gymnasium(gymnasium.make(gymnasium_id(id, "Leader"), mode=mode, render_mode="ansi", **SMALLER.get(id, {})))


@pytest.mark.parametrize(("id", "observations"), [(id, kind) for id, _, _, kind in both([(id, "commitment", {}) for id in se.games()])])
def test_gymnasium_follower(id: str, observations: str) -> None:
    _clean_gymnasium(
        gymnasium.make(gymnasium_id(id, "Follower"), observations=observations, render_mode="rgb_array", **SMALLER.get(id, {}))
    )


def _clean_gymnasium(env: gymnasium.Env) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*normalized.*")  # logits are not between -1 and 1
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version.*")  # gymnasium's checks know no masks
        gymnasium_check_env(NextAvailable(env.unwrapped))
        check_env(env)
    env.close()


@pytest.mark.parametrize("mode", [mode.value for mode in gymnasium.vector.AutoresetMode])
def test_gymnasium_vector(mode: str) -> None:
    """A vector of three is three single environments, seed by seed."""
    vector = gymnasium.make_vec("Stackelberg/RandomMarkovGame-Follower-v0", num_envs=3, autoreset_mode=mode)
    singles = [gymnasium.make("Stackelberg/RandomMarkovGame-Follower-v0") for _ in range(3)]
    observations, _ = vector.reset(seed=5)
    for i, single in enumerate(singles):
        np.testing.assert_array_equal(observations[i], single.reset(seed=5 + i)[0])
    for action in range(3):
        observations, rewards, *_ = vector.step(np.full(3, action))
        for i, single in enumerate(singles):
            observation, reward, *_ = single.step(action)
            np.testing.assert_array_equal(observations[i], observation)
            assert rewards[i] == reward
    ended = 0
    for _ in range(60):  # beyond the 50 steps of an episode
        *_, terminations, truncations, _ = vector.step(np.zeros(3, dtype=int))
        ended += int((terminations | truncations).sum())
        if mode == gymnasium.vector.AutoresetMode.DISABLED.value and (terminations | truncations).any():
            vector.reset(options={"reset_mask": terminations | truncations})
    assert ended == 3
    leaders = gymnasium.make_vec("Stackelberg/Toy3-Leader-v0", num_envs=2, mode="move")
    leaders.unwrapped.commit(np.ones(6))
    np.testing.assert_array_equal(leaders.unwrapped.envs[1].unwrapped.commitment, np.ones(6))  # type: ignore[attr-defined]


class Remembering:
    """Answers as a saddle point's players do, counts what it has answered, and keeps what it was given to start from."""

    temperature = 0.1

    def __init__(self) -> None:
        self.given: list[Any] = []

    def respond(self, game: se.StackelbergGame, x: Any, context: int = 0, *, rng: Any = None, state: Any = None) -> Any:
        self.given.append(state)
        return dataclasses.replace(game.default_follower.respond(game, x, context), state=(state or 0) + 1)


def test_seeds_start_the_others_of_a_follower_anew() -> None:
    others: Any = Remembering()
    env = FollowerEnv("zero_sum_incentive-v0", others=others)
    x = np.ones(env.game.dimension)
    env.reset(seed=3)
    env.reset()
    assert others.given == [None], "the same commitment is answered once"
    env.reset(options={"commitment": x})
    assert others.given == [None, 1], "and what they learnt is carried to the next"
    env.reset(seed=3)
    assert others.given == [None, 1, None]
    with pytest.raises(ValueError, match="interact with follower_0, and in toy3 nobody does"):
        FollowerEnv("toy3-v0", others=se.Hard())


def test_leader_rounds_ask_each_follower_once_and_seeds_start_anew() -> None:
    """A stateful follower answers a commitment once a context; a seed makes it forget; a fixed context holds for the whole round."""
    env = gymnasium.make("Stackelberg/FourRooms-Leader-v0", follower=se.Truncated(0.003, 1), episodes=8).unwrapped
    x, rewards = np.zeros(105), []
    for _ in range(2):
        env.reset(seed=3)
        rewards.append(env.step(x)[1])
    assert rewards[0] == rewards[1]
    env.reset(seed=3, options={"context": "G2"})
    env.step(x)
    assert set(env._followers._answers) == {1}  # type: ignore[attr-defined]
    before = pickle.dumps(env)
    with pytest.raises(KeyError, match="no context 'G9'"):
        env.reset(seed=5, options={"context": "G9"})
    assert pickle.dumps(env) == before
    with pytest.raises(TypeError, match="built already, got RR"):
        LeaderEnv(se.game("toy3-v0"), RR=2)


@pytest.mark.skipif(not hasattr(pettingzoo, "make"), reason="PettingZoo has a registry from 1.27 on")
def test_registered_with_pettingzoo_and_silently_again() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register_all()
    for id in se.games():
        name, small = f"stackelberg/{id}", SMALLER.get(id, {})
        assert str(pettingzoo.make("aec", name, **small)) == id.replace("-", "_")
        assert str(pettingzoo.make("parallel", name, max_cycles=7, **small)) == id.replace("-", "_")
        assert pettingzoo.make("aec", name, max_cycles=7, **small).max_cycles == 7  # type: ignore[attr-defined]


class Noise:
    """A generator that hands out given uniforms in order."""

    def __init__(self, uniforms: Iterator[float]) -> None:
        self.uniforms = uniforms

    def random(self) -> float:
        return float(next(self.uniforms))


@pytest.mark.parametrize(("id", "context"), [("four_rooms-v0", 1), ("toy3-v0", 0), ("random_markov_game-v0", 0), ("bimatrix-v0", 0)])
def test_same_uniforms_same_episode(id: str, context: int) -> None:
    """Eight AEC environments and one batched rollout fed the same variates are equal, not close."""
    episodes, horizon = 8, 40
    game = se.game(id)
    rng = np.random.default_rng(3)
    x = rng.normal(size=game.dimension)
    mdp = game.problems(x, context)[0]
    policy = game.default_follower.respond(game, x, context).policy
    first, noise = rng.random(episodes), rng.random((episodes, horizon, 3))
    batch = simulate(mdp, policy, inverse_cdf(cumulative(mdp.initial), first), lambda t, rows: noise[rows, t], horizon)
    for i in range(episodes):
        env = se.make(id, max_cycles=horizon)
        env.reset(seed=0, options={"context": context})
        used = [
            first[i],
            *(u for t in range(horizon) for u in ((noise[i, t, 0], noise[i, t, 2]) if mdp.sizes[1] > 1 else (noise[i, t, 2],))),
        ]
        env.np_random = Noise(iter([*used, 0.5]))  # type: ignore[assignment]
        env.step(x)
        for t in range(horizon):
            if t < batch.states.shape[1]:
                assert env.states[0] == batch.states[i, t]
            if env.terminations["leader_0"] or env.truncations["leader_0"]:
                assert not batch.alive[i, t:].any()
                break
            env.step(int(batch.follower_actions[i, t]))
            assert env.rewards["leader_0"] == batch.leader_rewards[i, t]
            assert env.rewards["follower_0"] == batch.follower_rewards[i, t]


@pytest.mark.parametrize("id", ["bimatrix-v0", "random_markov_game-v0"])
def test_state_of_simultaneous_views(id: str) -> None:
    state_test(se.make(id, view="play"), se.make_parallel(id, view="simultaneous"))


def test_the_leader_is_paid_as_followers_move_and_learns_by_rounds() -> None:
    env = se.make("toy3-v0", max_cycles=5)
    env.reset(seed=0)
    opening = env.observe("leader_0")
    x = np.full(6, 0.5)
    env.step(x)
    paid = 0.0
    while env.agents and not env.truncations["leader_0"]:
        env.step(1 if env.states[0] == 0 else 0)
        paid += env.rewards["leader_0"]
    assert env.agent_selection == "leader_0"
    assert env.last()[1] == paid, "the leader's cumulative reward is the episode's"
    round_ = env.round_transition()
    np.testing.assert_array_equal(round_.observation, opening)
    np.testing.assert_array_equal(round_.commitment, x)
    assert round_.over
    assert round_.leader_return == env.infos["leader_0"]["discounted_return"]
    assert not np.array_equal(round_.next_observation, opening)


def test_the_leader_sees_the_context_only_when_it_may() -> None:
    for visibility, before, after in (("before", True, True), ("after", False, True), ("never", False, False)):
        env = se.make("four_rooms-v0")
        env.game.context_visibility = visibility  # type: ignore[assignment]
        shown = []
        for context in (0, 1):
            env.reset(seed=0, options={"context": context})
            first = env.observe("leader_0")
            env.step(np.zeros(105))
            shown.append((first, env.observe("leader_0")))
        assert (not np.array_equal(shown[0][0], shown[1][0])) == before
        assert (not np.array_equal(shown[0][1], shown[1][1])) == after


def test_play_views_announce_the_policy() -> None:
    env = se.make("random_markov_game-v0", view="play")
    x = np.linspace(-1, 1, 15)
    env.reset(seed=0, options={"commitment": x})
    np.testing.assert_allclose(env.observe("follower_0")[-15:], x, rtol=1e-6)  # type: ignore[index]
    with pytest.raises(ValueError, match="for the play view"):
        se.make("random_markov_game-v0").reset(options={"commitment": x})


def test_the_follower_sees_the_action_only_where_it_may() -> None:
    for sees, blocks in (("action", 6 + 4 + 15), ("policy", 6 + 15)):
        env = se.make("random_markov_game-v0", follower_sees=sees)
        assert env.observation_space("follower_0").shape == (blocks,)
    with pytest.raises(ValueError, match="sees the leader's action before it moves"):
        se.make_parallel("toy3-v0", view="simultaneous")


REFUSED_AEC = [
    (lambda env: env.step(np.full(105, np.nan)), "the commitment is not finite"),
    (lambda env: env.step(np.zeros(3)), r"105 components in its last axis, got shape \(3,\)"),
    (lambda env: env.step(np.zeros((1, 105))), r"one vector of 105 numbers, got shape \(1, 105\)"),
    (lambda env: env.step(np.append(np.zeros(104), 22.5)), r"leader_0: component 104 of the commitment is 22.5, outside \[-20, 20\]"),
    (lambda env: env.step(None), "an array of 105 numbers|not finite|105 components"),
]
REFUSED_MOVES = [
    (4, "action 4 is outside its space, 0 to 3"),
    (-1, "action -1 is outside"),
    (1.5, "an integer from 0 to 3, got 1.5"),
    (True, "got True"),
]


@pytest.mark.parametrize(("step", "message"), REFUSED_AEC)
def test_refused_commitments_change_nothing(step: Any, message: str) -> None:
    env = se.make("four_rooms-v0")
    env.reset(seed=1)
    before = pickle.dumps(env)
    with pytest.raises((se.CommitmentError, ActionError), match=message):
        step(env)
    assert pickle.dumps(env) == before


@pytest.mark.parametrize(("action", "message"), REFUSED_MOVES)
def test_refused_moves_change_nothing(action: Any, message: str) -> None:
    env, parallel = se.make("four_rooms-v0", walkers=2), se.make_parallel("four_rooms-v0", walkers=2)
    env.reset(seed=1)
    env.step(np.zeros(105))
    env.step(2)
    parallel.reset(seed=1)
    parallel.step({"leader_0": np.zeros(105)})
    before, parallel_before = pickle.dumps(env), pickle.dumps(parallel)
    with pytest.raises(ActionError, match=f"follower_1: .*{message}"):
        env.step(action)
    with pytest.raises(ActionError, match=f"follower_1: .*{message}"):
        parallel.step({"follower_0": 2, "follower_1": action})
    with pytest.raises(ActionError, match="no action for follower_1; this step takes the actions of follower_0, follower_1"):
        parallel.step({"follower_0": 2})
    assert pickle.dumps(env) == before
    assert pickle.dumps(parallel) == parallel_before


def test_unknown_agents_are_refused() -> None:
    """In steps that look tables up and in those that do not; an ignored name would be a misspelt one."""
    for actions in ({"nobody": 1}, {"leader_0": np.zeros(105), "nobody": 1}, {"follower_0": 1, "leader_0": np.zeros(105), "nobody": 1}):
        env = se.make_parallel("four_rooms-v0")
        env.reset(seed=1)
        for _ in range(2):
            before = pickle.dumps(env)
            with pytest.raises(ActionError, match="no agent 'nobody'; the agents are leader_0, follower_0"):
                env.step(actions)
            with pytest.raises(ActionError, match="no agent 'nobody'"):
                env.step({"follower_0": 1, "nobody": 1})
            assert pickle.dumps(env) == before
            env.step({"leader_0": np.zeros(105)} if env.acting == ("leader_0",) else {"follower_0": 1})


def test_objects_where_names_are_asked_for_and_classes_where_objects_are() -> None:
    game, kind = se.game("toy3-v0"), cast(Any, se.Soft)
    made: Any
    for made, view in ((se.make, "StackelbergAEC"), (se.make_parallel, "StackelbergParallel")):
        with pytest.raises(ArgumentError, match=rf"takes an id or a reference, got <Toy3.*, make {view}\(game\)"):
            made(game)
    with pytest.raises(TypeError, match=r"and not for str; a game by its id is stackelberg_envs.game\('toy3-v0'\)"):
        se.with_deadline("toy3-v0", 10)
    for use in (
        lambda: se.evaluate(game, np.zeros(6), follower=kind),
        lambda: solvers.solve(game, "zeroth_order", follower=kind),
        lambda: se.Believes(game, kind),
        lambda: gymnasium.make("Stackelberg/Toy3-Leader-v0", follower=0.1),
    ):
        with pytest.raises(ArgumentError, match=r"follower is one that answers, such as Soft\(0.1\)"):
            use()


def test_steps_before_reset_and_after_the_end() -> None:
    for env, step in ((se.make("bimatrix-v0"), np.zeros(2)), (se.make_parallel("bimatrix-v0"), {"leader_0": np.zeros(2)})):
        with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
            env.step(step)
    env = se.make("bimatrix-v0")
    env.reset(seed=0)
    env.step(np.zeros(2))
    env.step(0)
    with pytest.raises(ValueError, match="the only valid action is None"):
        env.step(np.zeros(2))
    env.step(None)
    env.step(None)
    with pytest.raises(RuntimeError, match="the episode is over"):
        env.step(None)
    parallel = se.make_parallel("bimatrix-v0")
    parallel.reset(seed=0)
    parallel.step({"leader_0": np.zeros(2)})
    parallel.step({"follower_0": 0})
    assert parallel.step({}) == ({}, {}, {}, {}, {})
    with pytest.raises(RuntimeError, match="the episode is over"):
        parallel.step({"follower_0": 0})
    for side, action in (("Leader", np.zeros(2)), ("Follower", 0)):
        gym = gymnasium.make(f"Stackelberg/Bimatrix-{side}-v0").unwrapped
        with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
            gym.step(action)
        gym.reset(seed=0)
        with pytest.raises(ValueError, match=r"outside|integer|finite"):
            gym.step(np.full(2, 99.0) if side == "Leader" else 99)
        gym.step(action)
        with pytest.raises(RuntimeError, match="again after the end"):
            gym.step(action)


def test_refused_resets_change_nothing() -> None:
    env = se.make("four_rooms-v0")
    env.reset(seed=1)
    env.step(np.zeros(105))
    before = pickle.dumps(env)
    with pytest.raises(KeyError, match="no context 'G9'"):
        env.reset(options={"context": "G9"})
    assert pickle.dumps(env) == before


def test_bounds_that_float32_cannot_express() -> None:
    """A float32 action on the bound of the leader's space is legal, and lands in it."""
    env = se.make("toy3-v0")
    env.game.leader_space = gymnasium.spaces.Box(-0.1, 0.1, (6,), np.float64)
    env.reset(seed=0)
    env.step(np.full(6, 0.1, dtype=np.float32))
    assert env.commitment in env.game.leader_space


def test_copies_are_independent() -> None:
    env = se.make("four_rooms-v0")
    env.reset(seed=2)
    env.step(np.zeros(105))
    twin = copy.deepcopy(env)
    path = []
    for _ in range(20):
        env.step(1)
        path.append(env.states)
    assert twin.states != env.states or len(set(path)) == 1
    for step in range(20):
        twin.step(1)
        assert twin.states == path[step]


def test_round_rewards_agree_with_the_referee() -> None:
    """The leader view's mean reward is F for the played horizon, within four standard errors (law of large numbers)."""
    env = gymnasium.make("Stackelberg/FourRooms-Leader-v0").unwrapped
    game = se.game("four_rooms-v0")
    x = np.zeros(105)
    rewards = []
    for seed in range(600):
        env.reset(seed=seed)
        rewards.append(float(env.step(x)[1]))
    exact = float(se.evaluate(game, x, horizon=game.max_cycles).leader_return)
    error = np.std(rewards) / np.sqrt(len(rewards))
    assert abs(np.mean(rewards) - exact) < 4 * error


@pytest.mark.parametrize("id", se.games())
def test_rendering(id: str) -> None:
    env = se.make(id, render_mode="ansi", **SMALLER.get(id, {}))
    assert env.reset(seed=0) is None
    assert "waiting for the leader's commitment" in env.render()  # type: ignore[operator]
    env.step(np.linspace(-1, 1, env.game.dimension))
    for _ in range(env.game.followers):
        space = env.action_space(env.agent_selection)
        env.step(np.zeros(space.shape) if isinstance(space, gymnasium.spaces.Box) else 0)
    text = env.render()
    assert isinstance(text, str)
    assert "step 1" in text
    env.render_mode = "rgb_array"
    image = env.render()
    assert isinstance(image, np.ndarray)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    env.render_mode = None
    assert env.render() is None


@pytest.mark.parametrize("id", se.games())
def test_render_modes_are_those_of_pettingzoo(id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """PettingZoo's `render_test`, and ``"human"``: each step is drawn in the terminal, once, in AEC and parallel views."""
    arguments = {**SMALLER.get(id, {}), "max_cycles": 3}
    if not se.make(id, **arguments).unwrapped.game.masked:  # its own walk knows no masks
        render_test(lambda **mode: se.make(id, **mode, **arguments))
    capsys.readouterr()
    text, human, parallel = (make(id, render_mode=mode, **arguments) for make, mode in RENDERED)
    for env in (text, human, parallel):
        env.reset(seed=0)
    drawn = [str(text.render())]
    for agent in text.agents:
        space = text.action_space(agent)
        action: Any = np.zeros(space.shape)
        if isinstance(space, gymnasium.spaces.Discrete):
            action = int(np.argmax(text.infos[agent].get("action_mask", [1])))  # the first that is available
        for env in (text, human):
            env.step(action)
        if agent == "leader_0":
            drawn.append(str(text.render()))
            parallel.step({agent: action})
    drawn.append(str(text.render()))
    assert human.render() is parallel.render() is None
    shown = capsys.readouterr().out
    assert all(shown.count(frame + "\n\n") == times for frame, times in zip(drawn, (2, 2, 1), strict=True))


@pytest.mark.parametrize("id", [id for id in se.games() if not se.game(id, **SMALLER.get(id, {})).tabular])
def test_observations_have_finite_widths(id: str) -> None:
    """Of states without bounds, too: what is beyond a million is shown as a million, and lies in the space."""
    env = se.make(id, **SMALLER.get(id, {}))
    for agent in env.possible_agents:
        space = env.observation_space(agent)
        assert np.isfinite(space.high - space.low).all()
        assert space.dtype == (space.high - space.low).dtype == np.float32
    env.reset(seed=0)
    env.step(np.zeros(env.game.dimension))
    bounds = env.game.spaces[0].state
    env.episode.states = [np.where(np.isfinite(bounds.high), bounds.high, 1e9)]
    for agent in env.possible_agents:
        assert env.observation_space(agent).contains(env.observe(agent))


RENDERED: Any = ((se.make, "ansi"), (se.make, "human"), (se.make_parallel, "human"))


def test_rendered_map_shows_penalties_path_and_marks() -> None:
    env = se.make("four_rooms-v0", render_mode="ansi")
    env.reset(seed=0, options={"context": "G1"})
    x = np.zeros(105)
    top_door = env.game.layout.cells.index((3, 6))  # type: ignore[union-attr]
    x[top_door] = 8.0
    env.step(x)
    env.step(1)
    lines = str(env.render()).splitlines()[1:]
    assert lines[3][6] == "@", "the taxed door is darkest"
    assert (lines[8][4], lines[1][9]) == ("T", "G")
    assert "0" in "".join(lines)
