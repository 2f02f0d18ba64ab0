"""Steps of one follower in a world with tables, fast: what a step needs is looked up once per commitment.

`stackelberg_envs.views.episode.Episode` defines what a step does.  `TabularSteps` does the same, to the bit and with the same noise, for
the common case: one follower, tables, and a follower that sees the leader's action or only its policy.  All views of such games use it.
Whoever asks a view for its episode or its generator makes `TabularSteps` write back what has happened.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
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
NO_ACTION = -1
"""Stands for the leader's action where it has none to choose, or has not acted yet."""


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
        noise: what the episode draws from; its generator is ahead of what has been used.
        lookups: how leader and follower see the process; None if nobody looks.

    Attributes:
        advance: takes a legal action of the follower's (see `Episode.step_followers`) and returns (state, lead, time, follower's reward,
            leader's reward, follower's return, leader's return, whether the episode is over).
        take_lead: takes the leader's legal action of this step, where it acts itself; see `Episode.step_leader`.
        now: returns (state, lead, follower's last action).
        choices: how many actions the follower has.
        end: the state after the end.
        leader_view: gives the leader's observation, of the state and the follower's last action.
        follower_view: gives the follower's observation, of the state and the leader's action.
        leader_rows: the leader's index observations by state and action; None for vectors.
        follower_rows: the follower's.
    """

    __slots__ = (
        "_episode",
        "_follower",
        "_values",
        "advance",
        "choices",
        "end",
        "follower_rows",
        "follower_view",
        "leader_rows",
        "leader_view",
        "noise",
        "now",
        "take_lead",
    )

    def __init__(self, episode: Episode, noise: UniformBlocks, lookups: Sequence[IndexLookup | VectorLookup] = ()) -> None:
        self._episode, self.noise = episode, noise
        self._follower = episode.followers[0]
        self.end, _, self.choices = episode.steppers[0].process.sizes
        if lookups:
            leader, follower = lookups
            self.leader_view, self.follower_view = leader.observe, follower.observe
            self.leader_rows, self.follower_rows = leader.rows, follower.rows
        self.advance, self.take_lead, self.now, self._values = _compile(episode, noise)

    def leader_observation(self) -> np.ndarray | np.int64:
        """What the leader sees now."""
        state, _, action = self.now()
        return self.leader_view(state, NO_ACTION if action is None else action)

    def follower_observation(self) -> np.ndarray | np.int64:
        """What the follower sees now."""
        state, lead, _ = self.now()
        return self.follower_view(state, lead)

    def info(self, agent: str) -> dict[str, Any]:
        """See `Episode.info`."""
        count, _, returns = self._values()
        return {"time": float(count), "discounted_return": returns[agent == self._follower]}

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

    def write_back(self) -> None:
        """Bring the episode to where it would be without this class; the noise is given back by whoever has made it."""
        episode, agents = self._episode, self._episode.agents
        state, lead, action = self.now()
        count, rewards, returns = self._values()
        seen = None if lead < 0 else lead  # the action itself: `applies` has left out noisy signals
        episode.states, episode.leader_actions, episode.signals, episode.follower_actions = [state], [seen], [seen], [action]
        episode.rewards, episode.returns = dict(zip(agents, rewards, strict=True)), dict(zip(agents, returns, strict=True))
        episode.time, episode.terminated = count, state == self.end
        episode.truncated = not episode.terminated and count >= episode.max_cycles


def _compile(episode: Episode, noise: UniformBlocks) -> tuple[Callable[..., Any], ...]:
    """The functions of `TabularSteps`, which share their variables: all that a step needs is one, and none is looked up in an object."""
    stepper = episode.steppers[0]
    assert isinstance(stepper, TabularStepper)
    process, limit, record = stepper.process, episode.max_cycles, episode.paths[0].append
    nodes, write_node, write_move, end = stepper.nodes, stepper.node, stepper.move, process.sizes[0]
    variates, refill, times = noise.left, noise.refill, step_times(limit)
    follower_powers, leader_powers = (powers(float(one), limit) for one in (process.follower_discount, process.leader_discount))
    draws = episode.view == "commitment" and stepper.leads
    state, count, action = episode.states[0], episode.time, episode.follower_actions[0]
    lead = NO_ACTION if episode.leader_actions[0] is None else episode.leader_actions[0]
    leader_reward, follower_reward = (episode.rewards[agent] for agent in episode.agents)
    leader_return, follower_return = (episode.returns[agent] for agent in episode.agents)
    moves, _ = nodes[state] or write_node(state)
    choices = moves[lead]  # where the leader has one action, this is the last too

    def advance(chosen: int) -> tuple[int, int, float, float, float, float, float, bool]:
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
            return state, NO_ACTION, times[count], follower_reward, leader_reward, follower_return, leader_return, True
        record(state)
        moves, policy = nodes[state] or write_node(state)
        if draws:
            if not variates:
                refill()
            lead = bisect_right(policy, variates.pop())
        else:
            lead = NO_ACTION
        choices = moves[lead]
        return state, lead, times[count], follower_reward, leader_reward, follower_return, leader_return, count >= limit

    def take_lead(chosen: int) -> None:
        nonlocal choices, follower_reward, lead, leader_reward
        lead, choices = chosen, moves[chosen]
        follower_reward = leader_reward = 0.0

    def now() -> tuple[int, int, int | None]:
        return state, lead, action

    def values() -> tuple[int, tuple[float, float], tuple[float, float]]:
        return count, (leader_reward, follower_reward), (leader_return, follower_return)

    return advance, take_lead, now, values


class EpisodeHolder:
    """A mixin for views that hold one `Episode`, and play it fast until somebody asks for it.

    A class that has fast steps says so by ``has_fast_steps``.  Its subclasses do not inherit that: they may override any part of a step.
    """

    _episode: Episode
    _np_random: Any
    _steps: TabularSteps | None = None
    _noise: UniformBlocks | None = None
    """Where fast steps draw from; nothing is left of it when the generator is used otherwise."""
    _lent = False
    """Whether somebody else may have the generator: then nothing is drawn ahead from one episode to the next."""
    _lookups: dict[int, tuple[TabularStepper, Sequence[Any]]]

    @property
    def episode(self) -> Episode:
        """The episode, which may be looked at and changed; it stands still when the environment steps on, so ask again after a step."""
        self._write_back()
        return self._episode

    @episode.setter
    def episode(self, episode: Episode) -> None:
        self._write_back()
        self._episode = episode

    def __getstate__(self) -> dict[str, Any]:
        """The episode says all; fast steps are begun anew, here and in the copy."""
        playing = self._steps is not None
        self._write_back()
        state = {key: value for key, value in self.__dict__.items() if key not in ("_noise", "_lookups")}
        if playing:
            self._prepare()
        return {**state, "_steps": playing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _steps=None, _lookups={})
        if state["_steps"]:
            self._prepare()

    def _write_back(self) -> None:
        """End fast steps, if there are any: episode and generator are up to date again."""
        if self._steps is not None:
            self._steps.write_back()
            self._steps = None
        if self._noise is not None:
            self._noise.give_back()

    def _end(self) -> None:
        """The episode is over: `_write_back`, but the next one goes on with the noise that has been drawn."""
        assert self._steps is not None
        self._steps.write_back()
        self._steps = None
        if self._lent and self._noise is not None:
            self._noise.give_back()

    def _reseed(self, generator: np.random.Generator, *, lent: bool) -> None:
        """Draw from another generator."""
        self._np_random, self._noise, self._lent = generator, None, lent

    @property
    def _uniforms(self) -> Any:
        """What an episode begins with: the noise of fast steps or, where there are none, the generator."""
        return self._np_random if self._noise is None else self._noise

    def _prepare(self) -> None:
        """Begin fast steps where there are any; the episode has a commitment.  Where there are none, the generator is up to date."""
        if vars(type(self)).get("has_fast_steps", False) and TabularSteps.applies(self._episode):
            if self._noise is None:
                self._noise = UniformBlocks(self._np_random)
            self._steps = TabularSteps(self._episode, self._noise, self._find_lookups())
        elif self._noise is not None:
            self._noise.give_back()

    def _find_lookups(self) -> Sequence[Any]:
        """How leader and follower see the process that is played, for fast steps."""
        episode, (stepper,) = self._episode, self._episode.steppers
        kept = self._lookups.get(episode.context)
        if kept is None or kept[0] is not stepper:
            lookup = IndexLookup if episode.observations == "index" else VectorLookup
            kept = self._lookups[episode.context] = stepper, [lookup(episode, agent) for agent in episode.agents]
        return kept[1]
