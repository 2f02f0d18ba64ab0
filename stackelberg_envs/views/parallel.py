"""All agents present in every step: the two-phase and the simultaneous PettingZoo views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pettingzoo import ParallelEnv

from ..game import StackelbergGame
from .base import EpisodeEnv
from .episode import FOLLOWER, LEADER, ActionError, Observations
from .tabular_steps import CUT, ENDED

Stepped = tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]
"""Observations, rewards, terminations, truncations and infos, by agent."""


class StackelbergParallel(EpisodeEnv, ParallelEnv):
    """A Stackelberg Markov game as a parallel environment.

    Two-phase views (``"commitment"``, ``"play"``) take the leader's and the followers' moves in alternate steps, exactly as the AEC
    does; the actions of those who wait are ignored, and may be left out, but agents that do not exist are refused.  ``"simultaneous"``
    takes both at once, for Markov games in which the follower knows the leader's policy but not its action; announce the policy by
    ``reset(options={"commitment": x})``.

    Args:
        game: what is played.
        view: ``"commitment"``, ``"play"`` or ``"simultaneous"``.
        observations: ``"vector"`` or ``"index"``.
        max_cycles: moves of the world until truncation (a two-phase episode has more steps than that); None for the game's own.
        render_mode: ``"human"`` (text in the terminal after each step), ``"ansi"``, ``"rgb_array"`` or None.
    """

    has_fast_steps = True

    def __init__(
        self,
        game: StackelbergGame,
        *,
        view: Literal["commitment", "play", "simultaneous"] = "commitment",
        observations: Observations = "vector",
        max_cycles: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if view == "simultaneous" and game.visibility[0] != "policy":
            raise ValueError(
                f"in {game.name} the follower sees the leader's action before it moves, or a signal of it; use view='play' or 'commitment'"
            )
        self.view = view
        self._set_up(game, "play" if view == "simultaneous" else view, observations, max_cycles, render_mode)
        self._leader_moves = True

    @property
    def acting(self) -> tuple[str, ...]:
        """Whose actions the next step will take."""
        if not self.agents:
            return ()
        if self.view == "simultaneous":
            return tuple(self.agents)
        return (LEADER,) if self._leader_moves else tuple(self._episode.followers)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; see `stackelberg_envs.views.aec.StackelbergAEC.reset`."""
        self._begin(seed, options)
        self._leader_moves = True
        self._draw()
        return self._observations(), self._infos()

    def step(self, actions: dict[str, Any]) -> Stepped:
        """Act for everybody in `acting`.

        Raises:
            ActionError, CommitmentError: if an action is missing or not legal; nothing has changed then.
            RuntimeError: before ``reset``, and if there are actions after the end (an empty step then returns empty dicts, as
                PettingZoo asks).
        """
        steps = self._steps
        if (
            steps is not None
            and actions.__class__ is dict
            and FOLLOWER in actions
            and ((len(actions) == 1 and not self._leader_moves) or (len(actions) == 2 and LEADER in actions))
        ):
            action = actions[FOLLOWER]
            if action.__class__ is not int or not 0 <= action < steps.choices:
                action = steps.legal(action)
            if self._leader_moves:
                steps.take_lead(self._episode.legal_action(LEADER, actions[LEADER]))
            advance, rows = steps.advance, steps.leader_rows  # named before they are called: Python is slower to call a slot of an object
            state, lead, time, follower_reward, leader_reward, follower_return, leader_return, progress = advance(action)
            if rows is not None:
                leader_view, follower_view = rows[state][action], steps.follower_rows[state][lead]
            else:
                view_of_leader, view_of_follower = steps.leader_view, steps.follower_view
                leader_view, follower_view = view_of_leader(state, action), view_of_follower(state, lead)
            terminated = truncated = False
            if progress:
                terminated, truncated = progress == ENDED, progress == CUT
                self.agents = []
                self._end()
            return (
                {LEADER: leader_view, FOLLOWER: follower_view},
                {LEADER: leader_reward, FOLLOWER: follower_reward},
                {LEADER: terminated, FOLLOWER: terminated},
                {LEADER: truncated, FOLLOWER: truncated},
                {
                    LEADER: {"time": time, "discounted_return": leader_return},
                    FOLLOWER: {"time": time, "discounted_return": follower_return},
                },
            )
        return self._step_generally(actions)

    def _step_generally(self, actions: Any) -> Stepped:
        """`step` in any world, and at the beginning and after the end of an episode."""
        if self._np_random is None:
            raise RuntimeError("call reset() before step()")
        if not self.agents:
            if actions:
                raise RuntimeError("the episode is over; call reset() to start another")
            return {}, {}, {}, {}, {}
        acting, episode = self.acting, self._episode
        if not isinstance(actions, Mapping):
            raise ActionError(f"actions are a mapping of agents to what they do, of {', '.join(acting)} in this step; got {actions!r}")
        if unknown := [agent for agent in actions if agent not in self.agents]:
            raise ActionError(f"there is no agent {', '.join(map(repr, unknown))}; the agents are {', '.join(self.agents)}")
        if missing := [agent for agent in acting if agent not in actions]:
            raise ActionError(f"no action for {', '.join(missing)}; this step takes the actions of {', '.join(acting)}")
        moved = LEADER not in acting or self.view == "simultaneous"
        if self.view == "commitment" and self._leader_moves:
            self._commit(actions[LEADER])
        else:
            self._write_back()
            legal = {agent: episode.legal_action(agent, actions[agent]) for agent in acting}
            if LEADER in acting:
                episode.step_leader(legal[LEADER], self._np_random)
            if moved:
                episode.step_followers([legal[agent] for agent in episode.followers], self._np_random)
        self._leader_moves = self.view == "simultaneous" or (moved and self.view == "play")
        rewards = {agent: episode.rewards[agent] if moved else 0.0 for agent in self.agents}
        terminations = dict.fromkeys(self.agents, episode.terminated)
        truncations = dict.fromkeys(self.agents, episode.truncated)
        result = self._observations(), rewards, terminations, truncations, self._infos()
        if episode.is_over:
            self.agents = []
        self._draw()
        return result

    def _prepare(self) -> None:
        if self.view != "play":
            super()._prepare()

    def _observations(self) -> dict[str, Any]:
        if self._steps is not None:
            return {LEADER: self._steps.leader_observation(), FOLLOWER: self._steps.follower_observation()}
        return {agent: self._episode.observe(agent) for agent in self.agents}

    def _infos(self) -> dict[str, dict[str, Any]]:
        return {agent: self._episode.info(agent) for agent in self.agents}
