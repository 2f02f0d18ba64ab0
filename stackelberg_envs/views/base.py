"""What the AEC and the parallel view share: spaces, state, seeding and rendering, as far as they do not depend on who acts when."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space
from gymnasium.utils import seeding

from ..arguments import CheckedArguments, check_options, check_seed, cycles
from ..game import StackelbergGame
from .episode import TERMINAL_RENDER_MODES, Episode, Observations, RoundTransition, View, check_render_mode
from .fast_steps import EpisodeHolder


class EpisodeEnv(EpisodeHolder, CheckedArguments):
    """A mixin over one `Episode`: spaces, state, rendering, seeding, and what a conformance kit wants to know."""

    possible_agents: list[str]
    agents: list[str]

    def _set_up(
        self, game: StackelbergGame, view: View, observations: Observations, max_cycles: int | None, render_mode: str | None
    ) -> None:
        self.game = game
        self._episode = Episode(game, view=view, observations=observations, max_cycles=max_cycles)
        self._np_random, self._lookups = None, {}
        self.render_mode = check_render_mode(render_mode, TERMINAL_RENDER_MODES)
        # aec_to_parallel would let the follower act before it sees the commitment, and no test would notice
        self.metadata: dict[str, Any] = {
            "name": f"{game.name}_v0",
            "render_modes": list(TERMINAL_RENDER_MODES),
            "is_parallelizable": False,
            "render_fps": 4,
        }
        self.possible_agents = list(self._episode.agents)
        self.agents = []
        # PettingZoo's convention beside the two functions; some consumers read the dictionaries
        self.observation_spaces = self._episode.observation_spaces
        self.action_spaces = self._episode.action_spaces
        self.max_cycles = self._episode.max_cycles

    @property
    def np_random(self) -> np.random.Generator | None:
        """What the environment draws from; None before the first reset."""
        self._write_back()
        self._lent = True
        return self._np_random

    @np_random.setter
    def np_random(self, generator: np.random.Generator | None) -> None:
        self._write_back()
        self._reseed(generator, lent=True)

    def _commit(self, action: Any) -> None:
        """Take the leader's commitment, and prepare fast steps where there are any."""
        self._episode.commit(self._episode.legal_commitment(action), self._uniforms)
        self._prepare()

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        """Start an episode; nothing changes if the options are not legal."""
        options, seed = check_options(options, ("context", "commitment")), check_seed(seed)
        if self._episode.view == "commitment" and "commitment" in options:
            raise ValueError("in the commitment view the leader commits by its first action; options['commitment'] is for the play view")
        fresh = None if seed is None and self._np_random is not None else seeding.np_random(seed)[0]
        limit = cycles(self.max_cycles)
        self._episode.legal_start(options.get("context"), options.get("commitment"))
        if self._steps is not None:
            self._end()
        if fresh is not None:
            self._reseed(fresh, lent=False)
        self._episode.max_cycles = limit
        self._episode.begin(self._uniforms, context=options.get("context"), commitment=options.get("commitment"))
        self.agents = list(self.possible_agents)
        if self._episode.commitment is not None:
            self._prepare()

    def observation_space(self, agent: str) -> Space[Any]:
        """Space of `agent`'s observations, always the same object."""
        return self._episode.observation_spaces[agent]

    def action_space(self, agent: str) -> Space[Any]:
        """Space of `agent`'s actions, always the same object."""
        return self._episode.action_spaces[agent]

    def state(self) -> np.ndarray:
        """The whole state, including what a decentralized leader must not see: for centralised critics only."""
        return self.episode.state()

    @property
    def state_space(self) -> Box:
        """The space of `state`."""
        return self._episode.state_space

    def round_transition(self) -> RoundTransition:
        """The leader's round as one transition, for leader learners."""
        return self.episode.round_transition()

    def render(self) -> str | np.ndarray | None:
        """Draw in the render mode; None without one, and in ``"human"``, in which ``reset`` and ``step`` draw of their own accord."""
        return None if self.render_mode == "human" else self.episode.render(self.render_mode)

    def _prepare(self) -> None:
        if self.render_mode != "human":  # each step is drawn
            super()._prepare()

    def _draw(self) -> None:
        """Write the episode to the terminal, in the render mode ``"human"``."""
        if self.render_mode == "human":
            self._episode.render("human")

    def close(self) -> None:
        """Nothing to release."""

    @property
    def context(self) -> int:
        """Index of the context that holds, whether or not the leader sees it."""
        return self._episode.context

    @property
    def commitment(self) -> np.ndarray | None:
        """What the leader has committed to, (n,); None before."""
        return self._episode.commitment

    @property
    def states(self) -> tuple[Any, ...]:
        """State of each follower's process; S before the start and after the end, or None where states are vectors."""
        return tuple(self.episode.states)

    @property
    def leader_actions(self) -> tuple[Any, ...]:
        """The leader's action that the next move of the world will take, in each follower's process."""
        return tuple(self.episode.leading(i) for i in range(self.game.followers))

    def replace_game(self, game: StackelbergGame) -> None:
        """Play another game with the same spaces from the next reset on; for conformance tests, which modify games."""
        self.episode.replace_game(game)
        self.game = game

    def __str__(self) -> str:
        return self.metadata["name"]
