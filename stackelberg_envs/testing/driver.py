"""Playing any PettingZoo environment with seeded actions, AEC and parallel alike.

A *move* is one step of a parallel environment, or one agent's turn of an AEC.  In the AECs of this suite, and where the driver is told to
group, it is one decision of the leader, or one of all followers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pettingzoo import AECEnv

from .actions import copy_arrays, equal, sample
from .report import short
from .roles import Roles, roles_of

MODEL = ("game", "context", "states", "leader_actions", "replace_game")
"""What the views of this suite have, and nobody else is asked for."""
SAME = object()
"""As the seed of an environment: that of the actions."""


def has_model(env: Any) -> bool:
    """Whether an environment is a view of a game of this suite."""
    return all(hasattr(env.unwrapped, name) for name in MODEL)


@dataclass
class Snapshot:
    """What there is to see between two moves, copied."""

    moves: int
    observations: dict[str, Any]
    rewards: dict[str, Any]
    terminations: dict[str, Any]
    truncations: dict[str, Any]
    infos: dict[str, Any]

    def difference(self, other: Snapshot) -> str | None:
        """What differs from another moment, or None."""
        for what in ("observations", "rewards", "terminations", "truncations", "infos"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if set(mine) != set(theirs):
                return f"{what} for {sorted(mine)} against {sorted(theirs)}"
            for agent in mine:
                if not equal(mine[agent], theirs[agent]):
                    return f"{what} of {agent}: {short(mine[agent], 60)} against {short(theirs[agent], 60)}"
        return None


class Driver:
    """One episode of an environment.

    Args:
        env: AEC or parallel.
        seed: of the actions and, unless ``env_seed`` is given, of the environment.
        roles: who leads and who follows; None to guess.
        env_seed: of the environment; None to reset it without.
        calm: scale of actions in a Box, as a fraction of its space.
        adopt: take over in mid-episode from this driver, whose environment was copied.
        grouped: whether a move of an AEC is one of all followers; None for those of this suite.
        prepare: called with the environment after it is reset.
    """

    def __init__(
        self,
        env: Any,
        seed: int,
        roles: Roles | None = None,
        *,
        env_seed: Any = SAME,
        calm: float = 1.0,
        adopt: Driver | None = None,
        grouped: bool | None = None,
        prepare: Callable[[Any], None] | None = None,
    ) -> None:
        self.env, self.calm = env, calm
        self.aec = isinstance(env, AECEnv)
        self.roles = roles or (adopt.roles if adopt is not None else roles_of(env))
        self.grouped = has_model(env) if grouped is None else grouped
        self.led, self.followed, self.moved, self.shown = np.int64(0), {}, False, {}
        if adopt is not None:
            self.rng = np.random.default_rng()
            self.rng.bit_generator.state = adopt.rng.bit_generator.state
            self.moves, self._latest, self.led = adopt.moves, adopt._latest, adopt.led
            return
        self.rng = np.random.default_rng([seed, 7])
        self.moves = 0
        reset = env.reset() if env_seed is None else env.reset(seed=seed if env_seed is SAME else env_seed)
        if prepare is not None:
            prepare(env)
        if self.aec:
            self._look()
        else:
            agents = list(env.agents)
            none = dict.fromkeys(agents, False)
            self._record(reset[0], dict.fromkeys(agents, 0.0), none, dict(none), reset[1])

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended for everybody."""
        ended = self._latest.terminations, self._latest.truncations
        return not self.env.agents or all(any(flags.get(agent, False) for flags in ended) for agent in self.env.agents)

    def acting(self) -> list[str]:
        """Who makes the next move."""
        if self.aec:
            mover, followers = self.env.agent_selection, self.roles.followers
            together = self.grouped and mover in followers
            return [agent for agent in self.env.agents if agent in followers] if together else [mover]
        acting = getattr(self.env.unwrapped, "acting", None)
        return list(self.env.agents) if acting is None else list(acting)

    def choose(self) -> dict[str, Any]:
        """Random legal actions for the movers, available ones where there is a mask; None for who has left."""
        latest = self._latest
        gone = [agent for agent in self.acting() if latest.terminations.get(agent) or latest.truncations.get(agent)]
        return {
            agent: None if agent in gone else sample(self.env.action_space(agent), self.rng, self.calm, self.mask(agent))
            for agent in self.acting()
        }

    def mask(self, agent: str) -> Any:
        """Which actions an agent is told that it has, by its info or by an observation that is a dictionary; None if it is not."""
        seen, info = self._latest.observations.get(agent), self._latest.infos.get(agent, {})
        told = seen if isinstance(seen, dict) and "action_mask" in seen else info
        return told.get("action_mask") if isinstance(told, dict) else None

    def advance(self, actions: dict[str, Any] | None = None, *, before: Callable[[str, dict[str, Any]], None] | None = None) -> Snapshot:
        """Make one move, and look; ``before(agent, actions)`` is called ahead of each mover's turn."""
        actions = self.choose() if actions is None else actions
        acting = self.acting()
        for agent in acting:
            if before is not None:
                before(agent, actions)
            if self.aec:
                if self.env.agent_selection != agent:
                    raise RuntimeError(f"it is {self.env.agent_selection}'s turn, not {agent}'s")
                self.env.step(actions[agent])
        stepped = None if self.aec else self.env.step(actions)
        self.moved = any(agent in self.roles.followers for agent in acting)
        for agent in acting:
            if agent == self.roles.leader:
                self.led = actions[agent]
            else:
                self.followed[agent] = actions[agent]
        self.moves += 1
        if stepped is None:
            self._look()
        else:
            self._record(*stepped)
        return self.snapshot()

    def snapshot(self) -> Snapshot:
        """The latest observations, rewards, flags and infos."""
        return self._latest

    def _look(self) -> None:
        env = self.env
        agents = list(env.agents)
        seen = {agent: env.observe(agent) for agent in agents}
        rewards, ended, cut, infos = (
            {agent: table[agent] for agent in agents if agent in table}
            for table in (env.rewards, env.terminations, env.truncations, env.infos)
        )
        selected = env.agent_selection
        if selected in agents:  # what `last` says of the mover must be what its dictionaries say
            seen[selected], _, ended[selected], cut[selected], infos[selected] = env.last()
        self._record(seen, rewards, ended, cut, infos)

    def _record(self, observations: Any, rewards: Any, terminations: Any, truncations: Any, infos: Any) -> None:
        self.shown = dict(observations)
        self._latest = Snapshot(
            self.moves, copy_arrays(self.shown), copy_arrays(dict(rewards)), dict(terminations), dict(truncations), copy_arrays(dict(infos))
        )


def drive(env: Any, seed: int, moves: int, roles: Roles | None = None, **options: Any) -> Iterator[Snapshot]:
    """An episode's moments, from the reset to its end or for ``moves`` moves; options are those of `Driver`."""
    driver = Driver(env, seed, roles, **options)
    yield driver.snapshot()
    for _ in range(moves):
        if driver.is_over:
            return
        yield driver.advance()
