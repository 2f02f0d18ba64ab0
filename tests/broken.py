"""Environments with one thing wrong each: what the conformance kit must find."""

from __future__ import annotations

from typing import Any

import numpy as np
from pettingzoo.utils import BaseWrapper
from small_games import Masked

import stackelberg_envs as se
from stackelberg_envs.views.aec import StackelbergAEC
from stackelberg_envs.views.masks import next_available

GLOBAL = np.random.RandomState(0)


def game() -> Any:
    return se.game("toy3-v0", max_cycles=20)


class OutOfSpace(BaseWrapper):
    """The leader's observation leaves its box."""

    def observe(self, agent: str) -> Any:
        observation = super().observe(agent)
        return observation * 2 if agent == "leader_0" else observation


class NumpyFlag(StackelbergAEC):
    """Flags are numpy booleans."""

    def _publish(self, *, rewarded: bool) -> None:
        super()._publish(rewarded=rewarded)
        self.truncations = {agent: np.bool_(flag) for agent, flag in self.truncations.items()}  # type: ignore[misc]


class MixedEnd(StackelbergAEC):
    """The leader is truncated and the follower terminated."""

    def _publish(self, *, rewarded: bool) -> None:
        super()._publish(rewarded=rewarded)
        if self.episode.is_over:
            self.terminations["follower_0"], self.truncations["follower_0"] = True, False


class LateNoise(StackelbergAEC):
    """Deterministic at reset and in the first step; from the second on it draws from a generator of its own."""

    def _publish(self, *, rewarded: bool) -> None:
        super()._publish(rewarded=rewarded)
        if self.episode.time >= 1:
            self.rewards["follower_0"] += float(GLOBAL.normal())


class Leak(StackelbergAEC):
    """The leader's info tells the follower's reward."""

    def _publish(self, *, rewarded: bool) -> None:
        super()._publish(rewarded=rewarded)
        self.infos["leader_0"]["discounted_return"] += self.rewards["follower_0"]


class LeakByObservation(BaseWrapper):
    """The leader observes the follower's reward, squeezed into its box."""

    def observe(self, agent: str) -> Any:
        observation = super().observe(agent)
        if agent == "leader_0":
            observation[0] = 1 / (1 + np.exp(-self.env.unwrapped.episode.returns["follower_0"]))
        return observation


class OtherParallel(StackelbergAEC):
    """The leader is paid double, so that the parallel form plays another game."""

    def _publish(self, *, rewarded: bool) -> None:
        super()._publish(rewarded=rewarded)
        self.rewards["leader_0"] *= 2


class FalselyParallelizable(StackelbergAEC):
    """Flagged so that ``aec_to_parallel`` accepts it, which makes the follower act before it sees the leader's action."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(game(), view="play", **kwargs)
        self.metadata["is_parallelizable"] = True


class OtherKernel(StackelbergAEC):
    """Every tenth move the world does something else than the follower asked for: the published slip bug in small."""

    def step(self, action: Any) -> None:
        if self.agents and self.agent_selection == "follower_0" and action is not None and self.np_random is not None:
            sound = not (self.terminations["follower_0"] or self.truncations["follower_0"]) and 0 <= int(action) < 4
            if sound and self.np_random.random() < 0.1:
                action = int(self.np_random.integers(self.action_space("follower_0").n))  # type: ignore[attr-defined]
        super().step(action)


class LateLeak(StackelbergAEC):
    """The leader's info tells a follower's reward, but only late in an episode."""

    def _publish(self, *, rewarded: bool) -> None:
        super()._publish(rewarded=rewarded)
        if self.episode.time > 70:
            self.infos["leader_0"]["discounted_return"] += self.rewards["follower_0"]


class Unpaid(StackelbergAEC):
    """The leader's cumulative reward stays zero."""

    def step(self, action: Any) -> None:
        super().step(action)
        if "leader_0" in self._cumulative_rewards:
            self._cumulative_rewards["leader_0"] = 0.0


class SeedsEverybody(StackelbergAEC):
    """Seeds NumPy's global generator."""

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        super().reset(seed, options)
        np.random.seed(0)  # noqa: NPY002 - the defect


class SharedBuffer(BaseWrapper):
    """Observations are one buffer."""

    def observe(self, agent: str) -> Any:
        if not hasattr(self, "buffers"):
            self.buffers: dict[str, Any] = {}
        fresh = super().observe(agent)
        buffer = self.buffers.setdefault(agent, np.copy(fresh))
        if buffer.mean() < fresh.mean() + 0.5:
            buffer[...] = fresh
        return buffer


class LenientActions(StackelbergAEC):
    """Illegal actions are silently replaced by the first."""

    def step(self, action: Any) -> None:
        if action is not None and self.agents:
            action = (
                action if self.action_space(self.agent_selection).contains(action) else self.action_space(self.agent_selection).sample() * 0
            )
        super().step(action)


class LeakHiddenAction(BaseWrapper):
    """The leader's observation tells what the follower did, in a game that hides it."""

    def observe(self, agent: str) -> Any:
        observation = super().observe(agent)
        if agent == "leader_0" and self.unwrapped.episode.follower_actions[0] == 1:  # type: ignore[attr-defined]
            observation[0] = 1.0
        return observation


class LyingMask(StackelbergAEC):
    """Followers are told that they have every action."""

    def _publish(self, *, rewarded: bool) -> None:
        super()._publish(rewarded=rewarded)
        for info in self.infos.values():
            if "action_mask" in info:
                info["action_mask"][:] = 1


class NoMask(StackelbergAEC):
    """Followers lack actions, and nobody tells them."""

    def _publish(self, *, rewarded: bool) -> None:
        super()._publish(rewarded=rewarded)
        for info in self.infos.values():
            info.pop("action_mask", None)


class LenientMask(StackelbergAEC):
    """Unavailable actions are silently replaced by available ones."""

    def step(self, action: Any) -> None:
        mask = self.infos[self.agent_selection].get("action_mask") if self.agents else None
        if mask is not None and action is not None and 0 <= action < len(mask):
            action = next_available(action, mask)
        super().step(action)


def masked() -> Any:
    return Masked(se.game("random_markov_game-v0", states=4, follower_actions=3, max_cycles=20))


BROKEN = {
    "out-of-space observation": (lambda: OutOfSpace(se.make("toy3-v0", max_cycles=20)), "observations lie in their spaces"),
    "non-bool flag": (lambda: NumpyFlag(game()), "flags are bool"),
    "different flags at the end": (lambda: MixedEnd(game()), "the end is the same for all"),
    "nondeterminism from step 2": (lambda: LateNoise(game()), "a seed determines every step"),
    "leak by info": (lambda: Leak(game()), "the leader sees nothing of the followers' insides"),
    "leak by observation": (
        lambda: LeakByObservation(se.make("toy3-v0", max_cycles=20)),
        "the leader sees nothing of the followers' insides",
    ),
    "AEC whose parallel form differs": (lambda: OtherParallel(game()), "the parallel form plays the same game"),
    "falsely parallelizable": (FalselyParallelizable, "it is parallelizable if it says so"),
    "kernel that differs from its steps": (lambda: OtherKernel(se.game("four_rooms-v0")), "steps follow the model's kernel"),
    "late leak": (lambda: LateLeak(se.game("toy3-v0")), "the leader sees nothing of the followers' insides"),
    "leak of a hidden action": (
        lambda: LeakHiddenAction(se.make("contract_tree-v0", depth=4)),
        "the leader sees nothing of hidden actions",
    ),
    "unpaid leader": (lambda: Unpaid(game()), "last() pays what was earned"),
    "seeds the global generator": (lambda: SeedsEverybody(game()), "a seed determines every step"),
    "shared buffer": (lambda: SharedBuffer(se.make("toy3-v0", max_cycles=20)), "observations are fresh arrays"),
    "lenient about actions": (lambda: LenientActions(game()), "illegal actions are refused and change nothing"),
}
"""Name to (environment, the check that must fail)."""
BROKEN_MASKS = {
    "mask that lists everything": (lambda: LyingMask(masked()), "the mask is "),
    "missing mask": (lambda: NoMask(masked()), "it lacks actions, and its info has no action_mask"),
    "lenient about masks": (lambda: LenientMask(masked()), "which its mask excludes, was accepted"),
}
"""Name to (environment, what is said of its masks)."""
