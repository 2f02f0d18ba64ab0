"""One played episode: who may act, what they see, what they are paid.  The views only translate it into their interfaces.

In the *commitment* view the leader commits once and the episode then plays its policy; in the *play* view the leader acts in each
step itself.  Observations are flat: a slot for each thing that is seen (see `stackelberg_envs.views.slots`), then the commitment.
"""

from __future__ import annotations

import copy
import math
import operator
import sys
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from ..arguments import CheckedArguments, cycles
from ..commitments import CommitmentError
from ..drawing import Frame, ansi, rgb_array
from ..game import StackelbergGame
from ..processes.inverse_cdf import cumulative
from ..worlds.base import Stepper, World
from .slots import Slot, action_slot, encode, index_of, slot

LEADER = "leader_0"
FOLLOWER = "follower_0"
"""The follower, where there is one."""
View = Literal["commitment", "play"]
Observations = Literal["vector", "index"]
RENDER_MODES = ("ansi", "rgb_array")
TERMINAL_RENDER_MODES = ("human", *RENDER_MODES)
"""Those of PettingZoo's views: ``"human"`` is the text, written to the terminal.  Gymnasium has a window for its own."""


class ActionError(ValueError):
    """An action outside its space, or one that is not available; the environment is as it was before the step."""


class RoundTransition(NamedTuple):
    """What a leader learner needs of a whole round; its next observation right after its own move has not changed yet."""

    observation: Any
    """What the leader saw when it committed."""
    commitment: np.ndarray
    """What it committed to, shape (n,)."""
    leader_return: float
    """Its discounted return of the episode."""
    next_observation: Any
    """What it sees now."""
    over: bool
    """Whether the episode has ended (or was cut)."""


class Episode(CheckedArguments):
    """The state machine behind all single-episode views.

    Args:
        game: what is played.
        view: whether the leader commits once or acts in each step.
        observations: ``"vector"`` for flat Box observations, ``"index"`` for one integer (which leaves out the commitment).
        max_cycles: steps until the episode is cut; None for the game's own.
    """

    def __init__(self, game: StackelbergGame, *, view: View, observations: Observations, max_cycles: int | None) -> None:
        self.max_cycles = cycles(game.max_cycles if max_cycles is None else max_cycles)
        self.game, self.view, self.observations = game, view, observations
        self._spaces = game.spaces
        self._no_action = [0 if isinstance(spaces.state, Discrete) else None for spaces in self._spaces]
        """What stands for the leader's action, where it has none to choose or has not acted yet."""
        leads = self._spaces[0].lead
        if view == "play" and (leads is None or game.followers > 1):
            why = "has no action of its own in a step" if leads is None else "faces several followers"
            raise ValueError(f"{game.name} has no play view: its leader {why}; use view='commitment', or mode='round' of LeaderEnv")
        if observations == "index" and not all(isinstance(spaces.state, Discrete) for spaces in game.spaces):
            raise ValueError(f"{game.name}: its states are vectors, no indices; use observations='vector'")
        self.followers = [f"follower_{i}" for i in range(game.followers)]
        self.agents = [LEADER, *self.followers]
        acting = {
            LEADER: game.leader_space if view == "commitment" or leads is None else leads,
            **{name: spaces.action for name, spaces in zip(self.followers, self._spaces, strict=True)},
        }
        self._committed: bytes | None = None
        self._steppers: dict[int, list[Stepper]] = {}
        """What the last commitment came to, by context: contexts alternate from episode to episode."""
        self.action_spaces: dict[str, Space[Any]] = copy.deepcopy(acting)  # each has a generator that libraries seed: nobody shares it
        self.context_thresholds = self._context_thresholds()
        self._slots = {agent: self._slots_of(agent) for agent in self.agents}
        self.own_blocks = {agent: self._own_blocks(agent) for agent in self.agents}
        """Where an agent's observation shows its process: blocks of the state and, where it sees one, of an action.

        What stands before them (the context) and behind them (the commitment) holds for the whole episode.
        """
        self._opening_views: dict[tuple[str, int], Any] = {}
        """What agents see before the commitment, by context: nothing else has happened by then."""
        self.observation_spaces = {agent: self._observation_space(agent) for agent in self.agents}
        state_low, state_high = self._bounds(self._all_slots(), commitment=True)
        self.state_space = Box(state_low, state_high, dtype=np.float32)
        self.clear()

    def replace_game(self, game: StackelbergGame) -> None:
        """Play ``game`` from the next episode on; it must have the same spaces.  For conformance tests, which modify games."""
        if any(
            getattr(game, name) != getattr(self.game, name) for name in ("spaces", "leader_space", "contexts", "follower_actions_public")
        ):
            raise ValueError(f"{game!r} cannot stand in for {self.game!r}: spaces, contexts, leader space and what is hidden must agree")
        self.game, self._committed, self._steppers, self._opening_views = game, None, {}, {}
        self.context_thresholds = self._context_thresholds()  # their probabilities may differ
        self.clear()

    def clear(self) -> None:
        """Forget the episode: nothing is committed, nobody is anywhere."""
        game = self.game
        self.context = 0
        self.commitment: np.ndarray | None = None
        self.steppers: list[Stepper] = []
        self.states: list[Any] = [int(spaces.state.n) if isinstance(spaces.state, Discrete) else None for spaces in self._spaces]
        self.leader_actions: list[Any] = [None] * game.followers
        self.signals: list[Any] = [None] * game.followers
        """What each follower sees of the leader's action, where it sees anything of it."""
        self.follower_actions: list[Any] = [None] * game.followers
        self.paths: list[list[Any]] = [[] for _ in range(game.followers)]
        self.time = 0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self.returns = dict.fromkeys(self.agents, 0.0)
        self.terminated = self.truncated = False
        self._opening: Any = None

    # -- what happens ------------------------------------------------------------------------------------------------------------

    def begin(self, rng: np.random.Generator, *, context: int | str | None = None, commitment: Any = None) -> None:
        """Start an episode: draw the context; in the play view also take the announced commitment (zeros if none) and start."""
        chosen, x = self.legal_start(context, commitment)
        self.clear()
        drawn = bisect_right(self.context_thresholds, rng.random())
        self.context = drawn if chosen is None else chosen
        self._opening = self.observe(LEADER)
        if x is not None:
            self.commit(x, rng)

    def legal_start(self, context: int | str | None, commitment: Any) -> tuple[int | None, np.ndarray | None]:
        """A context as an index, and what is announced as a commitment: None where it is drawn, or comes later; raises what they raise."""
        chosen = None if context is None else self.game.context_index(context)
        if commitment is None and self.view != "play":
            return chosen, None
        return chosen, self.legal_commitment(np.zeros(self.game.dimension) if commitment is None else commitment)

    def legal_commitment(self, action: Any) -> np.ndarray:
        """``action`` as a commitment in the leader's space; raises `CommitmentError` or `ActionError`."""
        if isinstance(action, np.ndarray) and action.dtype == np.float64 and action.ndim == 1 and action.tobytes() == self._committed:
            return action.copy()  # as last time
        x = np.array(self.game.check_commitment(_one_component(action, self.game.leader_space)), dtype=np.float64)
        if x.ndim != 1:
            raise CommitmentError(f"{LEADER} commits to one vector of {self.game.dimension} numbers, got shape {x.shape}")
        return check_vector(LEADER, self.game.leader_space, x, "the commitment")

    def legal_action(self, agent: str, action: Any) -> int | np.ndarray:
        """``action`` as an index of the agent's discrete space, or a vector of its box; raises `ActionError`."""
        space = self.action_spaces[agent]
        if isinstance(space, Box):
            return check_vector(agent, space, action, "its action")
        count = int(space.n)  # type: ignore[attr-defined]
        index = _index(action)
        if index is None:
            raise ActionError(f"{agent}: an action is an integer from 0 to {count - 1}, got {action!r}")
        if not 0 <= index < count:
            raise ActionError(f"{agent}: action {index} is outside its space, 0 to {count - 1}")
        there = self.available(agent)
        if there is not None and not there[index]:
            i = self.followers.index(agent)
            blind = self.signals[i] is None or self.game.visibility[i] == "policy"
            seen = "" if blind else f" where it sees the leader's {self.game.visibility[i]} {self.signals[i]}"
            raise ActionError(
                f"{agent}: action {index} is not available in state {self.states[i]}{seen}; available are "
                f"{', '.join(map(str, np.flatnonzero(there)))} (infos[agent]['action_mask'] says so)"
            )
        return index

    def available(self, agent: str) -> np.ndarray | None:
        """Which actions a follower has now, booleans; None for the leader, before the commitment, and in worlds without masks."""
        if agent == LEADER or self.commitment is None:
            return None
        i = self.followers.index(agent)
        group, stepper = next(pair for pair in zip(self.game.groups, self.steppers, strict=True) if i in pair[0])
        ask = getattr(stepper, "available", None)  # worlds of others need not say: then all actions are always there
        return None if ask is None else ask(group.index(i), self.states[i], self.signals[i])

    def available_action(self, follower: int) -> Any:
        """Some action that a follower has now: the first."""
        there = self.available(self.followers[follower])
        return 0 if there is None else int(np.argmax(there))

    def commit(self, x: np.ndarray, rng: np.random.Generator) -> None:
        """Take a legal commitment; first states are drawn, and the leader's first action where the episode plays its policy."""
        key = x.tobytes()
        known = self._steppers if key == self._committed else {}
        if self.context not in known:
            known = {**known, self.context: [world.stepper() for world in self.game.problems(x, self.context)]}
        self._committed, self._steppers = key, known
        self.commitment, self.steppers = x, known[self.context]
        for group, stepper in zip(self.game.groups, self.steppers, strict=True):
            self._arrive(group, stepper, stepper.initial(rng), rng)

    def step_leader(self, action: Any, rng: np.random.Generator) -> None:
        """Take the leader's action of this step (play view); what a follower sees of it is drawn."""
        self.leader_actions = [action]
        self.signals = [self.steppers[0].process.draw_signal(self.states[0], action, rng)]
        self.rewards = dict.fromkeys(self.agents, 0.0)

    def step_followers(self, actions: list[Any], rng: np.random.Generator) -> None:
        """Take all followers' actions: rewards are paid, states move, and the episode may end for everybody."""
        rewards = dict.fromkeys(self.agents, 0.0)
        for group, stepper in zip(self.game.groups, self.steppers, strict=True):
            s = self.states[group[0]]
            if stepper.is_end(s):
                continue
            chosen = [actions[i] for i in group]
            successor, paid, leader_reward = stepper.step(s, self.leading(group[0]), chosen, rng)
            for i, reward in zip(group, paid, strict=True):
                name = self.followers[i]
                rewards[name] = reward
                self.returns[name] += stepper.process.follower_discount**self.time * reward
                self.follower_actions[i], self.leader_actions[i], self.signals[i] = actions[i], None, None
            rewards[LEADER] += leader_reward
            self.returns[LEADER] += stepper.process.leader_discount**self.time * leader_reward
            self._arrive(group, stepper, successor, rng)
        self.rewards = rewards
        self.time += 1
        self.terminated = all(stepper.is_end(self.states[group[0]]) for group, stepper in zip(self.game.groups, self.steppers, strict=True))
        self.truncated = not self.terminated and self.time >= self.max_cycles

    def leading(self, follower: int) -> Any:
        """The leader's action of this step in a follower's process: 0 where it has none to choose, or has not acted yet."""
        action = self.leader_actions[follower]
        return self._no_action[follower] if action is None else action

    def signal(self, follower: int) -> Any:
        """What a policy of the follower's takes for the leader's action of this step: that or, where it sees signals, the signal."""
        signal = self.signals[follower]
        return self._no_action[follower] if signal is None else signal

    def _arrive(self, group: tuple[int, ...], stepper: Stepper, state: Any, rng: np.random.Generator) -> None:
        """Everybody in a process is in ``state`` now; where the episode plays the leader's policy, its next action is drawn."""
        draws = self.view == "commitment" and not stepper.is_end(state) and stepper.leads
        action = stepper.leader_action(state, rng) if draws else None
        signal = stepper.process.draw_signal(state, action, rng) if draws else None
        for i in group:
            self.states[i] = state
            if not stepper.is_end(state):
                self.paths[i].append(state)
            if draws:
                self.leader_actions[i], self.signals[i] = action, signal

    @property
    def worlds(self) -> tuple[World, ...]:
        """What the followers face; empty before the commitment."""
        return tuple(stepper.process for stepper in self.steppers)

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended or was cut."""
        return self.terminated or self.truncated

    # -- what is seen ------------------------------------------------------------------------------------------------------------

    def observe(self, agent: str) -> np.ndarray | np.int64:
        """A fresh observation in the agent's space."""
        if self.commitment is None:
            seen = self._opening_views.get((agent, self.context))
            if seen is None:
                seen = self._opening_views[agent, self.context] = self._observe(agent)
            return seen if self.observations == "index" else seen.copy()
        return self._observe(agent)

    def _observe(self, agent: str) -> np.ndarray | np.int64:
        slots, observed = self._slots[agent], self._slot_values(agent)
        if self.observations == "index":
            return index_of(slots, observed)
        return self._vector(slots, observed, commitment=agent != LEADER)

    def state(self) -> np.ndarray:
        """Everything public and private, for centralised critics: not for decentralized leaders."""
        leads = [action for action, lead in zip(self.leader_actions, self._leads(), strict=True) if lead is not None]
        return self._vector(self._all_slots(), [self.context, *self.states, *leads, *self.follower_actions], commitment=True)

    def info(self, agent: str) -> dict[str, Any]:
        """Time and own discounted return so far; nothing about anybody else.

        In games where actions may be missing also ``action_mask``, int8 over the agent's discrete actions, 1 where it has them: all ones
        for the leader, before the commitment, and at the end.
        """
        info: dict[str, Any] = {"time": float(self.time), "discounted_return": self.returns[agent]}
        if self.game.masked and isinstance(space := self.action_spaces[agent], Discrete):
            there = None if self.is_over else self.available(agent)
            info["action_mask"] = np.ones(int(space.n), dtype=np.int8) if there is None else there.astype(np.int8)
        return info

    def round_transition(self) -> RoundTransition:
        """The leader's round so far as one transition; raises RuntimeError before the commitment."""
        if self.commitment is None:
            raise RuntimeError("there is no round yet: the leader has not committed")
        return RoundTransition(self._opening, self.commitment.copy(), self.returns[LEADER], self.observe(LEADER), self.is_over)

    def frame(self) -> Frame:
        """What there is to draw."""
        return Frame(self.game, self.commitment, self.context, tuple(tuple(path) for path in self.paths), self.time)

    def render(self, mode: str | None) -> str | np.ndarray | None:
        """Draw in ``mode``; None without one, and in ``"human"``, which writes the text to the terminal."""
        if mode is None:
            return None
        if mode == "rgb_array":
            return rgb_array(self.frame())
        text = ansi(self.frame())
        if mode == "ansi":
            return text
        sys.stdout.write(text + "\n\n")
        return None

    def _slot_values(self, agent: str) -> list[Any]:
        """The values of the agent's slots; None where there is no value yet, or no longer."""
        seen: list[Any] = []
        committed = self.commitment is not None
        if agent == LEADER:
            visible = self.game.context_visibility == "before" or (self.game.context_visibility == "after" and committed)
            if len(self.game.contexts) > 1:
                seen.append(self.context if visible else None)
            actions = self.follower_actions if self.game.follower_actions_public else ()
            return [*seen, *(self.states[group[0]] for group in self.game.groups), *actions]
        i = self.followers.index(agent)
        if len(self.game.contexts) > 1:
            seen.append(self.context if committed else None)
        seen.append(self.states[i])
        if self.game.visibility[i] != "policy":
            seen.append(self.signals[i])
        return seen

    def _slots_of(self, agent: str) -> list[Slot]:
        """The slots of an agent's observation, in the order of `_slot_values`."""
        context = [slot(Discrete(len(self.game.contexts)))] if len(self.game.contexts) > 1 else []
        if agent == LEADER:
            actions = [action_slot(spaces.action) for spaces in self._spaces] if self.game.follower_actions_public else []
            return [*context, *(slot(self._spaces[group[0]].state) for group in self.game.groups), *actions]
        i = self.followers.index(agent)
        lead = Discrete(self.game.signals[i]) if self.game.signals[i] else self._spaces[i].lead
        seen = [action_slot(lead)] if self.game.visibility[i] != "policy" and lead is not None else []
        return [*context, slot(self._spaces[i].state), *seen]

    def _context_thresholds(self) -> list[float]:
        """Cumulative probabilities of the contexts."""
        return cumulative(np.asarray(self.game.context_probabilities)).tolist()

    def own_slots(self, agent: str) -> list[Slot]:
        """The slots of `own_blocks`."""
        return self._slots[agent][len(self.game.contexts) > 1 :]

    def _own_blocks(self, agent: str) -> list[slice]:
        slots = self._slots[agent]
        ends = np.cumsum([len(one.low) for one in slots]).tolist()
        blocks = [slice(end - len(one.low), end) for one, end in zip(slots, ends, strict=True)]
        return blocks[len(self.game.contexts) > 1 :]

    def _all_slots(self) -> list[Slot]:
        """The slots of `state`."""
        actions = [*(lead for lead in self._leads() if lead is not None), *(spaces.action for spaces in self._spaces)]
        states = [Discrete(len(self.game.contexts)), *(spaces.state for spaces in self._spaces)]
        return [*(slot(space) for space in states), *(action_slot(space) for space in actions)]

    def _leads(self) -> list[Space[Any] | None]:
        """The leader's actions in `state`: where states are indices, a leader that never acts has one."""
        return [Discrete(1) if spaces.lead is None and isinstance(spaces.state, Discrete) else spaces.lead for spaces in self._spaces]

    def _bounds(self, slots: list[Slot], *, commitment: bool) -> tuple[np.ndarray, np.ndarray]:
        space = self.game.leader_space
        low = np.concatenate([*(one.low for one in slots), *([space.low] if commitment else [])])
        high = np.concatenate([*(one.high for one in slots), *([space.high] if commitment else [])])
        return low.astype(np.float32), high.astype(np.float32)

    def _observation_space(self, agent: str) -> Space[Any]:
        slots = self._slots[agent]
        if self.observations == "index":
            return Discrete(int(np.prod([len(one.low) for one in slots], dtype=object)))
        low, high = self._bounds(slots, commitment=agent != LEADER)
        return Box(low, high, dtype=np.float32)

    def _vector(self, slots: list[Slot], observed: list[Any], *, commitment: bool) -> np.ndarray:
        after = self.game.dimension if commitment else 0
        vector = encode(slots, observed, after)
        if after and self.commitment is not None:
            vector[-after:] = self.commitment
        return vector


def _index(action: Any) -> int | None:
    """An integer, or an array or tensor of one integer, as an integer; None of anything else."""
    if isinstance(action, (bool, np.bool_)):
        return None
    one = action.reshape(()) if isinstance(action, np.ndarray) and action.size == 1 else action
    try:
        return operator.index(one)
    except TypeError:
        return None


def _one_component(action: Any, space: Box) -> Any:
    """``action``, and a number as the vector of one that it stands for."""
    return np.reshape(action, (1,)) if space.shape == (1,) and np.ndim(action) == 0 else action


def _is_inside(space: Box, vector: np.ndarray) -> bool:
    """Whether finite numbers are between the bounds; of a few numbers Python says so faster than NumPy."""
    numbers = zip(space.low.tolist(), vector.tolist(), space.high.tolist(), strict=True)
    return all([-math.inf < number < math.inf and low <= number <= high for low, number, high in numbers])  # noqa: C419 - a generator is slower


def check_vector(agent: str, space: Box, action: Any, what: str) -> np.ndarray:
    """``action`` as a vector of ``space``, float64; raises `ActionError`."""
    if isinstance(action, np.ndarray) and action.dtype == np.float64 and action.shape == space.low.shape and _is_inside(space, action):
        return action.copy()
    try:
        given = np.array(_one_component(action, space), dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ActionError(f"{agent}: an action is a vector of {space.shape[0]} numbers, got {action!r}") from error
    if given.shape != space.shape or not np.isfinite(given).all():
        raise ActionError(f"{agent}: an action is a vector of {space.shape[0]} finite numbers, got {action!r}")
    if not ((given < space.low).any() or (given > space.high).any()):
        return given
    single = np.float32  # a float32 action on the bound is on the bound, also where float32 cannot express it
    outside = (given < np.minimum(space.low, space.low.astype(single))) | (given > np.maximum(space.high, space.high.astype(single)))
    if outside.any():
        i = int(np.argmax(outside))
        raise ActionError(
            f"{agent}: component {i} of {what} is {given[i]:.6g}, outside [{space.low[i]:.6g}, {space.high[i]:.6g}]; "
            "clip it to the action space"
        )
    return np.clip(given, space.low, space.high)


def check_render_mode(render_mode: str | None, modes: Sequence[str] = RENDER_MODES) -> str | None:
    """``render_mode`` if it is one of ``modes``."""
    if render_mode is not None and (not isinstance(render_mode, str) or render_mode not in modes):
        raise ValueError(f"render_mode is one of {', '.join(map(repr, modes))} or None, got {render_mode!r}")
    return render_mode
