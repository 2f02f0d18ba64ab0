"""All agents present in every step: the two-phase and the simultaneous PettingZoo views."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box, Space
from gymnasium.utils import seeding
from pettingzoo import ParallelEnv

from ..game import StackelbergGame
from .episode import LEADER, RENDER_MODES, ActionError, Episode, Observations, RoundTransition, checked_render_mode


class StackelbergParallel(ParallelEnv):
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
        self.game = game
        self.view = view
        self.episode = Episode(
            game, view="play" if view == "simultaneous" else view, observations=observations, max_cycles=max_cycles
        )
        if view == "simultaneous" and game.problems(np.zeros(game.dimension))[0].follower_sees == "action":
            raise ValueError(f"in {game.name} the follower sees the leader's action before it moves; use view='play'")
        self.render_mode = checked_render_mode(render_mode)
        self.metadata = {"name": f"{game.name}_v0", "render_modes": list(RENDER_MODES), "render_fps": 4}
        self.possible_agents = list(self.episode.agents)
        self.agents = []
        self.max_cycles = self.episode.max_cycles
        self.np_random: np.random.Generator | None = None
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
        """Start an episode; see `StackelbergAEC.reset`."""
        options = options or {}
        if self.view == "commitment" and "commitment" in options:
            raise ValueError("in the commitment view the leader commits by its first action; options['commitment'] is for play views")
        rng = self.np_random if seed is None and self.np_random is not None else seeding.np_random(seed)[0]
        self.episode.max_cycles = self.max_cycles
        self.episode.begin(rng, context=options.get("context"), commitment=options.get("commitment"))
        self.np_random = rng
        self._leader_moves = True
        self.agents = list(self.possible_agents)
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
        missing = [agent for agent in acting if agent not in actions]
        if missing:
            raise ActionError(f"no action for {', '.join(missing)}; this step takes the actions of {', '.join(acting)}")
        commits = self.view == "commitment" and self._leader_moves
        legal = {agent: episode.legal_commitment(actions[agent]) if commits else episode.legal_action(agent, actions[agent]) for agent in acting}
        moved = LEADER not in acting or self.view == "simultaneous"
        if commits:
            episode.commit(np.asarray(legal[LEADER]), self.np_random)
        elif LEADER in acting:
            episode.lead(int(legal[LEADER]))
        if moved:
            episode.follow([int(legal[agent]) for agent in episode.followers], self.np_random)
        self._leader_moves = self.view == "simultaneous" or (moved and self.view == "play")
        rewards = {agent: episode.rewards[agent] if moved else 0.0 for agent in self.agents}
        terminations = dict.fromkeys(self.agents, episode.terminated)
        truncations = dict.fromkeys(self.agents, episode.truncated)
        result = self._observations(), rewards, terminations, truncations, self._infos()
        if episode.over:
            self.agents = []
        return result

    def state(self) -> np.ndarray:
        """The whole state, including what a decentralized leader must not see: for centralised critics only."""
        return self.episode.state()

    @property
    def state_space(self) -> Box:
        """The space of `state`."""
        return self.episode.state_space

    def observation_space(self, agent: str) -> Space[Any]:
        return self.episode.observation_spaces[agent]

    def action_space(self, agent: str) -> Space[Any]:
        return self.episode.action_spaces[agent]

    def round_transition(self) -> RoundTransition:
        """The leader's round as one transition, for leader learners."""
        return self.episode.round_transition()

    def render(self) -> str | np.ndarray | None:
        return self.episode.render(self.render_mode)

    def close(self) -> None:
        """Nothing to release."""

    def __str__(self) -> str:
        return self.metadata["name"]

    def _observations(self) -> dict[str, Any]:
        return {agent: self.episode.observe(agent) for agent in self.agents}

    def _infos(self) -> dict[str, dict[str, float]]:
        return {agent: self.episode.info(agent) for agent in self.agents}
