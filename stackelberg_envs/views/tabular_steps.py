"""Steps of one follower in a world with tables: what a step needs is looked up once per commitment; see `views.fast_steps`."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..play.steps import powers
from .episode import Episode

LARGEST_BLOCK = 512
"""Variates that are drawn at once."""
NO_ACTION = -1
"""Stands for the leader's action where it has none to choose, or has not acted yet."""
GOES_ON, ENDED, CUT = 0, 1, 2
"""What a step has made of an episode."""


class Advance(Protocol):
    """Takes a legal action of the follower's; see `stackelberg_envs.views.episode.Episode.step_followers`."""

    def __call__(self, chosen: Any) -> tuple[Any, Any, float, float, float, float, float, int]:
        """(state, lead, time, follower's reward, leader's reward, follower's return, leader's return, one of GOES_ON, ENDED, CUT)."""
        ...


class Account(NamedTuple):
    """Where an episode is, as `stackelberg_envs.views.episode.Episode` has it; rewards and returns are those of leader and follower."""

    state: Any
    lead: Any
    action: Any
    time: int
    rewards: tuple[float, float]
    returns: tuple[float, float]
    progress: int


class StepFunctions(NamedTuple):
    """What plays an episode; the functions share their variables."""

    advance: Advance
    take_lead: Any
    """Takes the leader's legal action of this step, where it acts itself; see `stackelberg_envs.views.episode.Episode.step_leader`."""
    now: Any
    """Returns (state, lead, follower's last action), as lookups take them."""
    account: Any
    """Returns an `Account`."""


@lru_cache(maxsize=8)
def step_times(limit: int) -> list[float]:
    """0.0 to ``limit``, as infos say the time."""
    return [float(t) for t in range(limit + 1)]


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

    def random(self, size: Any = None) -> Any:
        """The next variate, or an array of them."""
        if size is not None:
            self.give_back()
            return self.generator.random(size)
        if not self.left:
            self.refill()
        return self.left.pop()

    def __getattr__(self, name: str) -> Any:
        """What else the generator can draw; nothing is ahead then."""
        self.give_back()
        return getattr(self.generator, name)

    def give_back(self) -> None:
        """Set the generator to where single calls would have left it."""
        if self.left:
            self.generator.bit_generator.state = self._before
            self.generator.random(self._drawn - len(self.left))
            self.left.clear()


def tabular_steps(episode: Episode, noise: UniformBlocks) -> StepFunctions:
    """Functions that play an episode in a world with tables: all that a step needs is a variable, and none is looked up in an object."""
    stepper: Any = episode.steppers[0]
    process, limit, record = stepper.process, episode.max_cycles, episode.paths[0].append
    nodes, write_node, write_move, end = stepper.nodes, stepper.node, stepper.move, process.sizes[0]
    variates, refill, times = noise.left, noise.refill, step_times(limit)
    follower_powers, leader_powers = (powers(float(one), limit) for one in (process.follower_discount, process.leader_discount))
    draws = episode.view == "commitment" and stepper.leads
    state, count = episode.states[0], episode.time
    lead, action = (NO_ACTION if one is None else one for one in (episode.leader_actions[0], episode.follower_actions[0]))
    leader_reward, follower_reward = (episode.rewards[agent] for agent in episode.agents)
    leader_return, follower_return = (episode.returns[agent] for agent in episode.agents)
    moves, _ = nodes[state] or write_node(state)
    choices = moves[lead]  # where the leader has one action, this is the last too

    def advance(chosen: int) -> tuple[int, int, float, float, float, float, float, int]:
        nonlocal action, choices, count, follower_return, follower_reward, lead, leader_return, leader_reward, moves, state
        thresholds, reached, follower_reward, leader_reward = choices[chosen] or write_move(state, max(lead, 0), chosen)
        if not variates:
            refill()
        state = reached[bisect_right(thresholds, variates.pop())]
        follower_return += follower_powers[count] * follower_reward
        leader_return += leader_powers[count] * leader_reward
        count += 1
        action = chosen
        if state == end:
            lead = NO_ACTION
            return state, NO_ACTION, times[count], follower_reward, leader_reward, follower_return, leader_return, ENDED
        record(state)
        moves, policy = nodes[state] or write_node(state)
        if draws:
            if not variates:
                refill()
            lead = bisect_right(policy, variates.pop())
        else:
            lead = NO_ACTION
        choices = moves[lead]
        progress = GOES_ON if count < limit else CUT
        return state, lead, times[count], follower_reward, leader_reward, follower_return, leader_return, progress

    def take_lead(chosen: int) -> None:
        nonlocal choices, follower_reward, lead, leader_reward
        lead, choices = chosen, moves[chosen]
        follower_reward = leader_reward = 0.0

    def now() -> tuple[int, int, int]:
        return state, lead, action

    def account() -> Account:
        led, followed = (None if one == NO_ACTION else one for one in (lead, action))
        progress = ENDED if state == end else GOES_ON if count < limit else CUT
        return Account(state, led, followed, count, (leader_reward, follower_reward), (leader_return, follower_return), progress)

    return StepFunctions(advance, take_lead, now, account)
