"""How fast environments step: beside the dictionaries that a step must build, beside copies, and beside NumPy alone."""

from __future__ import annotations

import importlib
import statistics
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from benchmarks.timing import ratio

import stackelberg_envs as se
from stackelberg_envs.views.batch import FollowerBatchEnv
from stackelberg_envs.views.episode import FOLLOWER, LEADER
from stackelberg_envs.views.fast_steps import FastSteps
from stackelberg_envs.views.gym import FollowerEnv
from stackelberg_envs.views.vector import FollowerVectorEnv

pytestmark = pytest.mark.speed

ACTIONS = [{FOLLOWER: i % 4} for i in range(64)]
STEPS = 4000


def dictionaries() -> None:
    """Five dictionaries for two agents, and infos of two entries: what no parallel environment can do without."""
    for i in range(STEPS):
        ACTIONS[i & 63][FOLLOWER]
        _ = (
            {LEADER: 1, FOLLOWER: 2},
            {LEADER: 1.0, FOLLOWER: 2.0},
            {LEADER: False, FOLLOWER: False},
            {LEADER: False, FOLLOWER: False},
            {LEADER: {"time": 1.0, "discounted_return": 2.0}, FOLLOWER: {"time": 1.0, "discounted_return": 3.0}},
        )


def parallel(observations: Any) -> Callable[[], None]:
    """Steps of Four Rooms, with the resets and commitments in between."""
    env = se.make_parallel("four_rooms-v0", observations=observations)
    x = {LEADER: np.zeros(105)}
    env.reset(seed=0)
    env.step(x)

    def play() -> None:
        for i in range(STEPS):
            env.step(ACTIONS[i & 63])
            if not env.agents:
                env.reset()
                env.step(x)

    return play


@pytest.mark.parametrize(("observations", "least"), [("index", 0.2), ("vector", 0.15)])
def test_a_parallel_step_beside_its_dictionaries(observations: str, least: float, capsys: pytest.CaptureFixture[str]) -> None:
    share, _, ours = ratio(dictionaries, parallel(observations), repeat=1)
    with capsys.disabled():
        print(f"\nparallel step, {observations}: {1e-3 * STEPS / ours:.0f} k/s, {share:.2f} of its dictionaries alone")
    assert share > least


def test_fast_steps_beside_the_general_ones(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fast = parallel("vector")
    with monkeypatch.context() as patch:
        patch.setattr(FastSteps, "applies", staticmethod(lambda episode: False))
        general = parallel("vector")
        times = [ratio(general, lambda: None, repeat=1)[1] for _ in range(3)]
    faster = statistics.median(times) / statistics.median(ratio(fast, lambda: None, repeat=1)[1] for _ in range(3))
    with capsys.disabled():
        print(f"\nparallel step, vector: {faster:.1f} times the general path")
    assert faster > 6


def rounds_of_rps(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Steps of PettingZoo's rock, paper, scissors; nothing is drawn, so pygame, which it imports, may be missing."""
    if find_spec("pygame") is None:
        monkeypatch.setitem(sys.modules, "pygame", SimpleNamespace(Surface=lambda size: None))
    env = importlib.import_module("pettingzoo.classic.rps.rps").env(max_cycles=200)
    env.reset(seed=0)

    def play() -> None:
        for i in range(STEPS // 8):
            env.step(i % 3)
            if not env.agents or env.truncations[env.agent_selection]:
                env.reset()

    return play


def turns(id: str, observations: Any) -> Callable[[], None]:
    """Steps of the AEC view, with the resets and commitments in between."""
    env = se.make(id, observations=observations)
    x, count = np.zeros(env.game.dimension), env.action_space(FOLLOWER).n  # type: ignore[attr-defined]
    env.reset(seed=0)
    env.step(x)

    def play() -> None:
        for i in range(STEPS):
            env.step(i % count)
            if env.terminations[LEADER] or env.truncations[LEADER]:
                env.reset()
                env.step(x)

    return play


@pytest.mark.parametrize("observations", ["index", "vector"])
@pytest.mark.parametrize("id", ["four_rooms-v0", "random_markov_game-v0"])
def test_an_aec_step_beside_rock_paper_scissors(
    id: str, observations: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faster, _, ours = ratio(rounds_of_rps(monkeypatch), turns(id, observations), repeat=1)
    with capsys.disabled():
        print(f"\n{id}, AEC, {observations}: {1e-3 * STEPS / ours:.0f} k/s, {8 * faster:.1f} times PettingZoo's rps")
    assert 8 * faster > 4


@pytest.mark.parametrize(("id", "least"), [("building-v0", 0.15), ("lq_gain-v0", 0.12), ("guided_cartpole-v0", 0.1)])
def test_a_step_without_tables_beside_cart_pole(id: str, least: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Gymnasium's cart-pole is a dozen operations on Python's numbers, and leaves out the leader."""
    steps, theirs, ours = STEPS // 8, gymnasium.make("CartPole-v1"), FollowerEnv(id)

    def play(env: gymnasium.Env[Any, Any], actions: list[Any]) -> Callable[[], None]:
        env.reset(seed=0)

        def steps_and_resets() -> None:
            for i in range(steps):
                _, _, terminated, truncated, _ = env.step(actions[i % 2])
                if terminated or truncated:
                    env.reset()

        return steps_and_resets

    still = np.zeros(ours.action_space.shape or ())
    share, _, time = ratio(play(theirs, [0, 1]), play(ours, [still, still]), repeat=1)
    with capsys.disabled():
        print(f"\n{id}: {1e-3 * steps / time:.1f} k/s, {share:.2f} of Gymnasium's cart-pole")
    assert share > least


@pytest.mark.parametrize(("observations", "least"), [("index", 150), ("vector", 80)])
def test_a_batch_beside_copies(observations: Any, least: float, capsys: pytest.CaptureFixture[str]) -> None:
    count = 1024
    batch = FollowerBatchEnv("four_rooms-v0", count, observations=observations)
    copies = FollowerVectorEnv(count, game="four_rooms-v0", observations=observations)
    batch.reset(seed=0)
    copies.reset(seed=0)
    actions = np.random.default_rng(0).integers(4, size=count)
    faster, _, fast = ratio(lambda: copies.step(actions), lambda: batch.step(actions), repeat=40)
    with capsys.disabled():
        print(f"\n{count} followers, {observations}: {1e-6 * count / fast:.1f} M/s, {faster:.0f} times copies")
    assert faster > least
