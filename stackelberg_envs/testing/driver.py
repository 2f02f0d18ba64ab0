"""Playing any PettingZoo environment with seeded actions, AEC and parallel alike.

A *move* is one decision of the leader, or one of all followers: one parallel step, or as many AEC steps as there are movers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import AECEnv


@dataclass
class Snapshot:
    """What there is to see between two moves."""

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
                    return f"{what} of {agent}: {_text(mine[agent])} against {_text(theirs[agent])}"
        return None


class Driver:
    """One episode of an environment.

    Args:
        env: AEC or parallel.
        seed: of the actions and, unless ``env_seed`` is given, of the environment.
        env_seed: of the environment.
        calm: scale of leader commitments, as a fraction of its space.
        adopt: take over in mid-episode from this driver, whose environment was copied.
    """

    def __init__(self, env: Any, seed: int, *, env_seed: int | None = None, calm: float = 1.0, adopt: Driver | None = None) -> None:
        self.env, self.calm = env, calm
        self.aec = isinstance(env, AECEnv)
        self.led, self.followed, self.moved = np.int64(0), {}, False
        if adopt is not None:
            self.rng = np.random.default_rng()
            self.rng.bit_generator.state = adopt.rng.bit_generator.state
            self.moves, self._latest, self.led = adopt.moves, adopt._latest, adopt.led
            return
        self.rng = np.random.default_rng([seed, 7])
        self.moves = 0
        reset = env.reset(seed=seed if env_seed is None else env_seed)
        observations, infos = ({}, {}) if self.aec else reset
        agents = list(env.agents)
        none = dict.fromkeys(agents, False)
        self._latest = Snapshot(0, dict(observations), dict.fromkeys(agents, 0.0), none, dict(none), dict(infos))
        self._take_snapshot()

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended for somebody."""
        return any(self._latest.terminations.values()) or any(self._latest.truncations.values()) or not self.env.agents

    def acting(self) -> list[str]:
        """Who makes the next move."""
        if self.aec:
            mover = self.env.agent_selection
            return [mover] if mover.startswith("leader") else [agent for agent in self.env.agents if agent.startswith("follower")]
        acting = getattr(self.env.unwrapped, "acting", None)
        return list(self.env.agents) if acting is None else list(acting)

    def choose(self) -> dict[str, Any]:
        """Random legal actions for the movers, available ones where there is a mask."""
        return {agent: sample(self.env.action_space(agent), self.rng, self.calm, self.mask(agent)) for agent in self.acting()}

    def mask(self, agent: str) -> np.ndarray | None:
        """Which discrete actions an agent is told that it has, by its info or by an observation that is a dictionary; None if it is not."""
        seen, info = self._latest.observations.get(agent), self._latest.infos.get(agent, {})
        told = seen if isinstance(seen, dict) and "action_mask" in seen else info
        return told.get("action_mask")

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
        if not self.aec:
            self._keep_snapshot(self.env.step(actions))
        self.moved = any(agent.startswith("follower") for agent in acting)
        for agent in acting:
            if agent.startswith("leader"):
                self.led = actions[agent]
            else:
                self.followed[agent] = actions[agent]
        self.moves += 1
        self._take_snapshot()
        return self.snapshot()

    def snapshot(self) -> Snapshot:
        """The latest observations, rewards, flags and infos."""
        return self._latest

    def _take_snapshot(self) -> None:
        if self.aec:
            env = self.env
            agents = list(env.agents)
            self._latest = Snapshot(
                self.moves,
                {agent: env.observe(agent) for agent in agents},
                dict(env.rewards),
                dict(env.terminations),
                dict(env.truncations),
                {agent: dict(env.infos[agent]) for agent in agents},
            )
            selected = env.agent_selection
            if selected in agents:  # what `last` says of the mover must be what its dictionaries say
                observation, _, termination, truncation, info = env.last()
                self._latest.observations[selected] = observation
                self._latest.terminations[selected], self._latest.truncations[selected] = termination, truncation
                self._latest.infos[selected] = dict(info)

    def _keep_snapshot(self, stepped: tuple[Any, ...]) -> None:
        observations, rewards, terminations, truncations, infos = stepped
        self._latest = Snapshot(
            self.moves + 1,
            dict(observations),
            dict(rewards),
            dict(terminations),
            dict(truncations),
            {agent: dict(info) for agent, info in infos.items()},
        )


def drive(env: Any, seed: int, moves: int, *, env_seed: int | None = None) -> Iterator[Snapshot]:
    """An episode's moments, from the reset to its end or for ``moves`` moves."""
    driver = Driver(env, seed, env_seed=env_seed)
    yield driver.snapshot()
    for _ in range(moves):
        if driver.is_over:
            return
        yield driver.advance()


def sample(space: Any, rng: np.random.Generator, calm: float = 1.0, mask: np.ndarray | None = None) -> Any:
    """A legal action from ``rng``, so that the space's own generator is left alone; of a discrete space, one that ``mask`` allows."""
    if isinstance(space, Discrete) and mask is not None and np.any(mask):
        return int(space.start + rng.choice(np.flatnonzero(mask)))
    if isinstance(space, Discrete):
        return int(space.start + rng.integers(space.n))
    if isinstance(space, Box):
        centre = np.clip(0.0, space.low, space.high)
        return (centre + calm * (rng.uniform(space.low, space.high) - centre)).astype(space.dtype)
    raise TypeError(f"leaders and followers act in Discrete or Box spaces, got {space}")


def equal(one: Any, other: Any) -> bool:
    """Whether two observations, numbers or infos are the same, arrays in them included."""
    if not isinstance(one, dict):
        return np.array_equal(one, other)
    return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)


def _text(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
