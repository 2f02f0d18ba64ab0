"""All agents present in every step: the two-phase and the simultaneous PettingZoo views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pettingzoo import ParallelEnv

from ..game import StackelbergGame
from .base import EpisodeEnv
from .episode import LEADER, ActionError, Observations


class StackelbergParallel(EpisodeEnv, ParallelEnv):
    """A Stackelberg Markov game as a parallel environment.

    Two-phase views (``"commitment"``, ``"play"``) take the leader's and the followers' moves in alternate steps, exactly as the AEC
    does; the actions of those who wait are ignored, and may be left out.  ``"simultaneous"`` takes both at once, for Markov games in
    which the follower knows the leader's policy but not its action; announce the policy by ``reset(options={"commitment": x})``.

    Args:
        game: what is played.
        view: ``"commitment"``, ``"play"`` or ``"simultaneous"``.
        observations: ``"vector"`` or ``"index"``.
        max_cycles: moves of the world until truncation (a two-phase episode has more steps than that); None for the game's own.
        render_mode: ``"ansi"``, ``"rgb_array"`` or None.
    """

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
        self._set_up(game, "play" if view == "simultaneous" else view, observations, max_cycles, render_mode)
        self.view = view
        self._leader_moves = True

    @property
    def acting(self) -> tuple[str, ...]:
        """Whose actions the next step will take."""
        if not self.agents:
            return ()
        if self.view == "simultaneous":
            return tuple(self.agents)
        return (LEADER,) if self._leader_moves else tuple(self.episode.followers)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; see `stackelberg_envs.views.aec.StackelbergAEC.reset`."""
        self._begin(seed, options)
        self._leader_moves = True
        return self._observations(), self._infos()

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Act for everybody in `acting`.

        Raises:
            ActionError, CommitmentError: if an action is missing or not legal; nothing has changed then.
            RuntimeError: before ``reset``, and if there are actions after the end (an empty step then returns empty dicts, as
                PettingZoo asks).
        """
        if self.np_random is None:
            raise RuntimeError("call reset() before step()")
        if not self.agents:
            if actions:
                raise RuntimeError("the episode is over; call reset() to start another")
            return {}, {}, {}, {}, {}
        acting, episode = self.acting, self.episode
        if not isinstance(actions, Mapping):
            raise ActionError(f"actions are a mapping of agents to what they do, of {', '.join(acting)} in this step; got {actions!r}")
        missing = [agent for agent in acting if agent not in actions]
        if missing:
            raise ActionError(f"no action for {', '.join(missing)}; this step takes the actions of {', '.join(acting)}")
        moved = LEADER not in acting or self.view == "simultaneous"
        if self.view == "commitment" and self._leader_moves:
            episode.commit(episode.legal_commitment(actions[LEADER]), self.np_random)
        else:
            legal = {agent: episode.legal_action(agent, actions[agent]) for agent in acting}
            if LEADER in acting:
                episode.step_leader(legal[LEADER], self.np_random)
            if moved:
                episode.step_followers([legal[agent] for agent in episode.followers], self.np_random)
        self._leader_moves = self.view == "simultaneous" or (moved and self.view == "play")
        rewards = {agent: episode.rewards[agent] if moved else 0.0 for agent in self.agents}
        terminations = dict.fromkeys(self.agents, episode.terminated)
        truncations = dict.fromkeys(self.agents, episode.truncated)
        result = self._observations(), rewards, terminations, truncations, self._infos()
        if episode.is_over:
            self.agents = []
        return result

    def _observations(self) -> dict[str, Any]:
        return {agent: self.episode.observe(agent) for agent in self.agents}

    def _infos(self) -> dict[str, dict[str, Any]]:
        return {agent: self.episode.info(agent) for agent in self.agents}
