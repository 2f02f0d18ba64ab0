"""Batched play of worlds without tables against single episodes of the same functions; run by ``make speed``."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.timing import ratio

import stackelberg_envs as se
from stackelberg_envs.play.sampled_rollouts import play_sampled
from stackelberg_envs.views.gym import LeaderEnv

pytestmark = pytest.mark.speed
BATCH, STEPS, SINGLES = 4096, 50, 4


@pytest.mark.parametrize("id", ["lq_gain-v0", "building-v0", "guided_cartpole-v0"])
def test_batch_against_single_episodes(id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Followers that play rounds of `LeaderEnv`, one after the other, and 4,096 episodes at once: seconds a step."""
    game = se.game(id)
    x = np.zeros(game.dimension)
    (process,), policy = game.problems(x), game.default_follower.respond(game, x).policy
    rng, env = np.random.default_rng(0), LeaderEnv(game, max_cycles=STEPS, episodes=SINGLES)

    def single() -> None:
        env.reset()
        env.step(x)

    def batch() -> None:
        played = play_sampled(process, policy, process.start(rng.random((BATCH, process.noise.start))), rng, STEPS)
        assert played.alive.all(), "as many steps in both"

    env.reset(seed=0)
    env.step(x)
    assert len(env.episode.paths[0]) == STEPS + 1
    times, slow, fast = ratio(single, batch, rounds=5, repeat=1)
    gained = times * BATCH / SINGLES
    with capsys.disabled():
        print(f"\n{id}: {SINGLES * STEPS / slow:,.0f} steps/s one by one, {BATCH * STEPS / fast:,.0f} at batch {BATCH} ({gained:.0f} x)")
    assert gained >= 50
