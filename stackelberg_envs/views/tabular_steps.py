"""Steps of one follower in a world with tables, fast: what a step needs is looked up once per commitment.

`stackelberg_envs.views.episode.Episode` defines what a step does.  `TabularSteps` does the same, to the bit and with the same noise, for
the common case: one follower, tables, and a follower that sees the leader's action or only its policy.  All views of such games use it.
Whoever asks a view for its episode or its generator makes `TabularSteps` write back what has happened.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np

from ..play.steps import TabularStepper, powers
from .episode import Episode
from .lookups import IndexLookup, VectorLookup

LARGEST_BLOCK = 512
"""Variates that are drawn at once."""
INTEGERS = frozenset({int, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64})
LONGEST = 100_000
"""Steps of an episode up to which the powers of the discount are kept."""


class UniformBlocks:
    """Uniform variates of a generator, drawn in blocks: the same numbers in the same order as single calls of ``random()``.

    Attributes:
        generator: where they come from; it is ahead of what has been used.
        left: what is left of the block, the next one last.
    """

    __slots__ = ("_before", "_drawn", "generator", "left")

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.left: list[float] = []
        self._before: Any = None
        self._drawn = 4

    def refill(self) -> None:
        """Draw a block; blocks grow, since episodes may be short."""
        self._before = self.generator.bit_generator.state
        self._drawn = min(4 * self._drawn, LARGEST_BLOCK)
        self.left.extend(self.generator.random(self._drawn)[::-1].tolist())

    def random(self) -> float:
        """The next variate."""
        if not self.left:
            self.refill()
        return self.left.pop()

    def give_back(self) -> None:
        """Set the generator to where single calls would have left it."""
        if self.left:
            self.generator.bit_generator.state = self._before
            self.generator.random(self._drawn - len(self.left))
            self.left.clear()


class TabularSteps:
    """An episode that has a commitment, until it ends or somebody asks for it.

    Args:
        episode: an episode for which `applies` holds.
        generator: what the episode draws from.

    Attributes:
        state: where the follower is; S at the end.
        lead: the leader's action that the next step takes; None where it has none to choose, or has not acted yet.
        action: the follower's last action; None before its first.
        count: steps so far.
        choices: how many actions the follower has.
        noise: what the episode draws from; its generator is ahead of what has been used.
        leader_view: gives the leader's observation, of the state and the follower's last action.
        follower_view: gives the follower's observation, of the state and the leader's action.
        leader_reward: of the last step.
        follower_reward: of the last step.
        leader_return: discounted, so far.
        follower_return: discounted, so far.
        terminated: whether the follower has reached the end.
        truncated: whether the episode was cut.
    """

    __slots__ = (
        "_draws",
        "_end",
        "_episode",
        "_follower",
        "_follower_powers",
        "_leader",
        "_leader_powers",
        "_leads",
        "_left",
        "_limit",
        "_moves",
        "_path",
        "_policy",
        "_stepper",
        "action",
        "choices",
        "count",
        "follower_return",
        "follower_reward",
        "follower_view",
        "lead",
        "leader_return",
        "leader_reward",
        "leader_view",
        "noise",
        "state",
        "terminated",
        "truncated",
    )

    def __init__(self, episode: Episode, generator: np.random.Generator) -> None:
        stepper = episode.steppers[0]
        assert isinstance(stepper, TabularStepper)
        self._episode, self._stepper, self.noise = episode, stepper, UniformBlocks(generator)
        self._left, self._moves, self._policy = self.noise.left, stepper.moves, stepper.leader_policy
        self._end, self._leads, self.choices = stepper.process.sizes
        self._draws = episode.view == "commitment" and stepper.leads
        self._limit = episode.max_cycles
        self._follower_powers = powers(float(stepper.process.follower_discount), self._limit)
        self._leader_powers = powers(float(stepper.process.leader_discount), self._limit)
        self._path, self.count = episode.paths[0], episode.time
        self.state: int = episode.states[0]
        self.lead: int | None = episode.leader_actions[0]
        self.action: int | None = episode.follower_actions[0]
        self._leader, self._follower = episode.agents
        self.leader_reward, self.follower_reward = (episode.rewards[agent] for agent in episode.agents)
        self.leader_return, self.follower_return = (episode.returns[agent] for agent in episode.agents)
        self.terminated, self.truncated = episode.terminated, episode.truncated
        lookup = IndexLookup if episode.observations == "index" else VectorLookup
        self.leader_view, self.follower_view = (lookup(episode, agent).observe for agent in episode.agents)

    @staticmethod
    def applies(episode: Episode) -> bool:
        """Whether an episode that has a commitment can be played so."""
        return (
            episode.game.followers == 1
            and isinstance(episode.steppers[0], TabularStepper)
            and not episode.game.masked
            and episode.game.visibility[0] in ("action", "policy")
            and episode.max_cycles <= LONGEST
        )

    def legal(self, action: Any) -> int:
        """An action of the follower's as an index; raises ActionError."""
        if action.__class__ in INTEGERS and 0 <= action < self.choices:
            return int(action)
        index = self._episode.legal_action(self._follower, action)
        assert isinstance(index, int)
        return index

    def take_lead(self, action: int) -> None:
        """Take the leader's legal action of this step, where it acts itself; see `Episode.step_leader`."""
        self.lead = action
        self.leader_reward = self.follower_reward = 0.0

    def advance(self, action: int) -> None:
        """Take a legal action of the follower's; see `Episode.step_followers`."""
        left = self._left
        if not left:
            self.noise.refill()
        cumulated, successors, follower_reward, leader_reward = self._moves[
            (self.state * self._leads + (self.lead or 0)) * self.choices + action
        ]
        self.state = state = successors[bisect_right(cumulated, left.pop())]
        steps = self.count
        self.follower_reward, self.leader_reward = follower_reward, leader_reward
        self.follower_return += self._follower_powers[steps] * follower_reward
        self.leader_return += self._leader_powers[steps] * leader_reward
        self.count = steps = steps + 1
        self.action = action
        if state == self._end:
            self.terminated, self.lead = True, None
            return
        self._path.append(state)
        if self._draws:
            self.lead = bisect_right(self._policy[state], self.noise.random())
        else:
            self.lead = None
        if steps >= self._limit:
            self.truncated = True

    def write_back(self) -> None:
        """Bring the episode and its generator to where they would be without this class."""
        episode = self._episode
        episode.states, episode.leader_actions, episode.follower_actions = [self.state], [self.lead], [self.action]
        episode.signals = [self.lead]  # the action itself: `applies` has left out noisy signals
        episode.rewards = {self._leader: self.leader_reward, self._follower: self.follower_reward}
        episode.returns = {self._leader: self.leader_return, self._follower: self.follower_return}
        episode.time, episode.terminated, episode.truncated = self.count, self.terminated, self.truncated
        self.noise.give_back()


class EpisodeHolder:
    """A mixin for views that hold one `Episode`, and play it fast until somebody asks for it.

    A class that has fast steps says so by ``has_fast_steps``.  Its subclasses do not inherit that: they may override any part of a step.
    """

    _episode: Episode
    _np_random: Any
    _steps: TabularSteps | None = None

    @property
    def episode(self) -> Episode:
        """The episode, which may be looked at and changed; it stands still when the environment steps on, so ask again after a step."""
        self._write_back()
        return self._episode

    @episode.setter
    def episode(self, episode: Episode) -> None:
        self._episode, self._steps = episode, None

    def _write_back(self) -> None:
        """End fast steps, if there are any: episode and generator are up to date again."""
        if self._steps is not None:
            self._steps.write_back()
            self._steps = None

    def _prepare(self) -> None:
        """Begin fast steps where there are any; the episode has a commitment."""
        if vars(type(self)).get("has_fast_steps", False) and TabularSteps.applies(self._episode):
            assert self._np_random is not None
            self._steps = TabularSteps(self._episode, self._np_random)
