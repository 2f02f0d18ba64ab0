"""Actions that followers do not have, in play: no view shows or takes one, no batch plays one, and the kit looks."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pettingzoo.test as pzt
import pytest
from broken import BROKEN_MASKS
from pettingzoo.utils.wrappers import TerminateIllegalWrapper
from small_games import Bonuses, Masked, Umpired

import stackelberg_envs as se
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play import rollouts
from stackelberg_envs.testing import ConformanceError, check_env, check_game
from stackelberg_envs.views.aec import StackelbergAEC
from stackelberg_envs.views.episode import ActionError
from stackelberg_envs.views.gym import FollowerEnv, LeaderEnv
from stackelberg_envs.views.masks import NextAvailable, NextAvailableParallel, TerminateIllegal, next_available
from stackelberg_envs.views.parallel import StackelbergParallel
from stackelberg_envs.views.vector import FollowerVectorEnv

SMALL: dict[str, Any] = {"states": 4, "leader_actions": 2, "follower_actions": 3, "branching": 2, "max_cycles": 12}
GAMES: dict[str, Callable[[], Masked]] = {
    "action": lambda: Masked(se.game("random_markov_game-v0", follower_sees="action", **SMALL), by_action=True),
    "policy": lambda: Masked(se.game("random_markov_game-v0", **SMALL)),
    "hidden actions": lambda: Masked(se.game("contract_tree-v0", depth=3)),
    "two apart": lambda: Masked(se.game("four_rooms-v0", walkers=2, max_cycles=12)),
    "opponents": lambda: Masked(Umpired(follower_sees="action", contexts=2), by_action=True),
    "signals": lambda: Masked(se.game("bimatrix-v0", noise=0.1)),
}
VIEWS = [("action", "commitment"), ("policy", "play"), ("hidden actions", "commitment"), ("opponents", "commitment"), ("signals", "play")]


@pytest.mark.parametrize(("name", "view"), VIEWS)
def test_pettingzoo_and_our_own_kit(name: str, view: Any) -> None:
    """PettingZoo's AEC tests sample by the masks in infos; its parallel ones know none, and play behind `NextAvailableParallel`."""
    game = GAMES[name]()
    report = check_env(StackelbergAEC(game, view=view), kernel_steps=200)
    assert "action masks say which actions there are" in report.passed
    check_env(StackelbergParallel(game, view=view), kernel_steps=200)
    pzt.api_test(StackelbergAEC(game, view=view), num_cycles=30)
    pzt.seed_test(lambda: StackelbergAEC(game, view=view), num_cycles=30)
    pzt.parallel_api_test(NextAvailableParallel(StackelbergParallel(game, view=view)), num_cycles=30)
    pzt.parallel_seed_test(lambda: NextAvailableParallel(StackelbergParallel(game, view=view)), num_cycles=30)


@pytest.mark.filterwarnings("ignore:.*For Box action spaces")
@pytest.mark.parametrize("name", GAMES)
def test_games_with_masks_pass_the_kit(name: str) -> None:
    game = GAMES[name]()
    assert "followers keep to the actions that they have" in check_game(game).passed
    for env in (FollowerEnv(game), LeaderEnv(game)):
        check_env(env)


def test_masks_are_there_from_reset_to_the_end_and_only_where_actions_are_missing() -> None:
    game, rng = GAMES["policy"](), np.random.default_rng(0)
    plain = StackelbergParallel(se.game("random_markov_game-v0", **SMALL), view="simultaneous")
    assert all(set(info) == {"time", "discounted_return"} for info in plain.reset(seed=0)[1].values())
    env = StackelbergParallel(game, view="simultaneous")
    _, infos = env.reset(seed=0)
    missing = 0
    while env.agents:
        there = game.masks[0][env.states[0], 0]
        np.testing.assert_array_equal(infos["follower_0"]["action_mask"], there)
        np.testing.assert_array_equal(infos["leader_0"]["action_mask"], np.ones(2, dtype=np.int8))
        missing += int((~there).sum())
        actions = {agent: env.action_space(agent).sample(infos[agent]["action_mask"]) for agent in env.agents}
        if not there.all():
            illegal = {**actions, "follower_0": int(rng.choice(np.flatnonzero(~there)))}
            allowed, before = ", ".join(map(str, np.flatnonzero(there))), pickle.dumps(env)
            with pytest.raises(ActionError, match=f"is not available in state {env.states[0]}; available are {allowed} "):
                env.step(illegal)
            assert pickle.dumps(env) == before
        _, _, _, _, infos = env.step(actions)
    assert missing
    assert all(info["action_mask"].all() for info in infos.values())


def test_an_action_that_depends_on_what_is_seen_says_so() -> None:
    env = StackelbergAEC(GAMES["action"](), view="play")
    for seed in range(50):
        env.reset(seed=seed)
        env.step(0)
        if not (mask := env.infos["follower_0"]["action_mask"]).all():
            with pytest.raises(ActionError, match=r"in state \d where it sees the leader's action 0; available are"):
                env.step(int(np.argmin(mask)))
            return
    raise AssertionError("no mask")


@pytest.mark.parametrize(
    ("view", "wrapper"), [("play", TerminateIllegalWrapper), ("play", TerminateIllegal), ("commitment", TerminateIllegal)]
)
def test_terminate_illegal(view: Any, wrapper: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The first unavailable action ends the episode, and who played it is paid; episodes without one end as they do."""
    env = wrapper(StackelbergAEC(GAMES["policy"](), view=view), illegal_reward=-7)
    for mischief in (False, True):
        env.reset(seed=3)
        ended: dict[str, tuple[float, bool, bool]] = {}
        for agent in env.agent_iter():
            _, reward, terminated, truncated, info = env.last()
            if terminated or truncated:
                ended[agent] = reward, terminated, truncated
                env.step(None)
                continue
            mask = info.get("action_mask")
            illegal = mischief and agent == "follower_0" and not mask.all()
            env.step(int(np.argmin(mask)) if illegal else env.action_space(agent).sample(mask))
        assert set(ended) == {"leader_0", "follower_0"}
        assert {flags[1] for flags in ended.values()} == {mischief}
        assert (ended["follower_0"][0] == -7) == mischief


def test_libraries_that_know_no_masks_play_behind_a_wrapper() -> None:
    assert [next_available(b, np.array([0, 1, 0, 1])) for b in range(4)] == [1, 1, 3, 3]
    game = GAMES["two apart"]()
    env: Any = NextAvailable(FollowerEnv(game, agent="follower_1"))
    env.reset(seed=0)
    for _ in range(10):
        observed = env.step(int(env.action_space.sample()))
        assert env.observation_space.contains(observed[0])
    many = FollowerVectorEnv(num_envs=3, game=game)
    _, infos = many.reset(seed=0)
    assert infos["action_mask"].shape == (3, 4)
    for _ in range(20):
        actions = [int(np.flatnonzero(mask)[0]) for mask in infos["action_mask"]]
        _, _, _, _, infos = many.step(np.array(actions))
    assert isinstance(env.unwrapped, gymnasium.Env)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", ["action", "policy", "opponents"])
def test_batches_never_play_what_is_not_there(name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In ten thousand steps, of followers that would find every action likely."""
    monkeypatch.setattr(rollouts, "COMPILED", compiled and rollouts.COMPILED)
    game = GAMES[name]()
    follower: Any = se.Saddle(100.0) if name == "opponents" else se.Soft(100.0)
    oracle = RepeatedGame(game, follower).oracle(Access.OUTCOME)
    seen = oracle.play(np.zeros(game.dimension), episodes=1000, horizon=10)
    alive = seen.alive[:, 0]
    at = seen.states[:, 0, :-1][alive], seen.leader_actions[:, 0][alive]
    joint = np.ravel_multi_index([seen.follower_actions[:, i][alive] for i in range(game.followers)], game.null_worlds[0].actions)
    assert game.masks[0][(*at, joint)].all()
    played = np.zeros(game.masks[0].shape, dtype=bool)
    played[(*at, joint)] = True
    assert (played == game.masks[0]).all()  # and all that is there


class Uniform(se.Hard):
    """Plays every action, whether it has it or not."""

    def answer(self, mdp: Any, values: Any) -> Any:
        answer = super().answer(mdp, values)
        return replace(answer, policy=np.full_like(answer.policy, 1 / answer.policy.shape[-1]))


class Numbers(Bonuses):
    """Its mask is 0 and 1, and no booleans."""

    def induced(self, x: Any, context: int) -> Any:
        return replace(super().induced(x, context), available=np.array([1, 0, 1]))


class LateMask(Bonuses):
    """Actions are missing only once the leader has done something."""

    def induced(self, x: Any, context: int) -> Any:
        world = super().induced(x, context)
        return world if not x.any() else replace(world, available=np.array([True, False, True]))


@pytest.mark.parametrize("name", BROKEN_MASKS)
def test_the_kit_finds_broken_masks_of_environments(name: str) -> None:
    build, said = BROKEN_MASKS[name]
    with pytest.raises(ConformanceError, match=said):
        check_env(build(), kernel_steps=100)


def _uniform() -> Masked:
    game = GAMES["policy"]()
    game.default_follower = Uniform()
    return game


BROKEN_GAMES: dict[str, tuple[Callable[[], Any], str]] = {
    "a follower that plays what it lacks": (_uniform, "followers keep to the actions that they have: follower 0 plays action"),
    "a mask of numbers": (lambda: Numbers(discount=0.5), "available is booleans of shape (4, 1, 3), and here it is int64"),
    "a mask that comes late": (lambda: LateMask(discount=0.5), "none under the null commitment"),
}


@pytest.mark.parametrize("name", BROKEN_GAMES)
def test_the_kit_finds_broken_masks(name: str) -> None:
    build, said = BROKEN_GAMES[name]
    with pytest.raises(ConformanceError, match=re.escape(said)):
        check_game(build())


def test_a_mask_over_joint_actions_is_a_product() -> None:
    game = Umpired(follower_sees="policy")
    world: Any = game.commit(np.zeros(9))
    mask = np.ones((3, 2, 6), dtype=bool)
    mask[1, 0, 4] = False
    with pytest.raises(ValueError, match="in state 1, where the leader does 0, the joint action 4 is not available"):
        replace(world, available=mask)
    object.__setattr__(world, "available", mask)
    assert any("the joint action 4" in said for said in world.violations())
