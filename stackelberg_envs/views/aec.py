"""Leader first, one agent at a time: the canonical PettingZoo view."""

from __future__ import annotations

from typing import Any

import numpy as np
from pettingzoo import AECEnv

from ..game import StackelbergGame
from .base import EpisodeEnv
from .episode import FOLLOWER, LEADER, Observations, View
from .fast_steps import FastSteps
from .tabular_steps import CUT, ENDED


class StackelbergAEC(EpisodeEnv, AECEnv):
    """A Stackelberg Markov game as an AEC environment.

    In the commitment view ``leader_0`` acts once, with a vector of ``game.leader_space``, and stays alive to be paid; then the
    followers act in turn, and the environment moves when the last one has acted.  In the play view leader and follower alternate, and
    the announced commitment comes by ``reset(options={"commitment": x})``.  All agents end together with the same flag.

    The usual PettingZoo wrappers are not needed: order and range of actions are checked here, before anything changes.

    Args:
        game: what is played.
        view: ``"commitment"`` or ``"play"``.
        observations: ``"vector"`` or ``"index"``.
        max_cycles: steps until truncation; None for the game's own.  A plain attribute, free to be assigned.
        render_mode: ``"human"`` (text in the terminal after each step), ``"ansi"``, ``"rgb_array"`` or None.
    """

    has_fast_steps = True

    def __init__(
        self,
        game: StackelbergGame,
        *,
        view: View = "commitment",
        observations: Observations = "vector",
        max_cycles: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._set_up(game, view, observations, max_cycles, render_mode)
        self._pending: list[int] = []
        self._alternates = view == "play"

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode.

        Args:
            seed: seeds the environment's own generator; without it the generator goes on.
            options: ``"context"`` fixes the context (index or name); in the play view ``"commitment"`` announces the leader's policy.
        """
        self._begin(seed, options)
        self._pending = []
        self.agent_selection = LEADER
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self._publish(rewarded=False)
        self._draw()

    def step(self, action: Any) -> None:
        """Act for ``agent_selection``.

        Raises:
            ActionError, CommitmentError: if the action is not legal; nothing has changed then.
            RuntimeError: before ``reset`` and after the end.
        """
        steps = self._steps
        if steps is not None:
            self._step_fast(steps, action)
            return
        if self._np_random is None:
            raise RuntimeError("call reset() before step()")
        if not self.agents:
            raise RuntimeError("the episode is over; call reset() to start another")
        agent, episode, rng = self.agent_selection, self._episode, self._np_random
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        moved = False
        if agent != LEADER:
            pending = [*self._pending, episode.legal_action(agent, action)]
            moved = len(pending) == len(episode.followers)
            self._pending = [] if moved else pending
            if moved:
                episode.step_followers(pending, rng)
        elif episode.view == "commitment":
            self._commit(action)
        else:
            episode.step_leader(episode.legal_action(agent, action), rng)
        self._cumulative_rewards[agent] = 0.0
        self._publish(rewarded=moved)
        self._accumulate_rewards()
        self.agent_selection = self._next_agent(moved)
        if moved or agent == LEADER:
            self._draw()

    def observe(self, agent: str) -> np.ndarray | np.int64:
        """A fresh observation."""
        steps = self._steps
        if steps is None:
            return self._episode.observe(agent)
        if agent == FOLLOWER:
            return steps.follower_observation()
        return steps.leader_observation() if agent == LEADER else self._episode.observe(agent)

    def _step_fast(self, steps: FastSteps, action: Any) -> None:
        """`step`, where there are fast steps, and everybody is alive."""
        cumulative = self._cumulative_rewards
        if self.agent_selection == LEADER:
            steps.take_lead(self._episode.legal_action(LEADER, action))
            cumulative[LEADER] = 0.0
            self.agent_selection = FOLLOWER
            self.rewards = dict.fromkeys(self.agents, 0.0)
            self.infos = {agent: steps.info(agent) for agent in self.agents}
            return
        if action.__class__ is not int or not 0 <= action < steps.choices:
            action = steps.legal(action)
        advance = steps.advance  # named before it is called: Python is slower to call a slot of an object
        _, _, time, follower_reward, leader_reward, follower_return, leader_return, progress = advance(action)
        cumulative[LEADER] += leader_reward
        cumulative[FOLLOWER] = 0.0 + follower_reward
        self.rewards = {LEADER: leader_reward, FOLLOWER: follower_reward}
        self.infos = {
            LEADER: {"time": time, "discounted_return": leader_return},
            FOLLOWER: {"time": time, "discounted_return": follower_return},
        }
        if self._alternates:
            self.agent_selection = LEADER
        if progress:
            ended, cut = progress == ENDED, progress == CUT
            self.terminations, self.truncations = {LEADER: ended, FOLLOWER: ended}, {LEADER: cut, FOLLOWER: cut}
            self.agent_selection = LEADER
            self._end()

    def _next_agent(self, moved: bool) -> str:
        if self._episode.is_over:
            return self.agents[0]
        if moved:
            return LEADER if self._episode.view == "play" else self._episode.followers[0]
        return self._episode.followers[len(self._pending)]

    def _publish(self, *, rewarded: bool) -> None:
        self.rewards = {agent: self._episode.rewards[agent] if rewarded else 0.0 for agent in self.agents}
        self.terminations = dict.fromkeys(self.agents, self._episode.terminated)
        self.truncations = dict.fromkeys(self.agents, self._episode.truncated)
        self.infos = {agent: self._episode.info(agent) for agent in self.agents}
