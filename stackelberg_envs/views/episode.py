"""One played episode: who may act, what they see, what they are paid.  The views only translate it into their interfaces.

In the *commitment* view the leader commits once and the episode then plays its policy; in the *play* view the leader acts in each
step itself.  Observations are flat: one-hot blocks, with one more slot in each for "not yet" or "over", then the commitment.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from ..drawing import Frame, ansi, rgb_array
from ..game import CommitmentError, StackelbergGame
from ..mdp import draw
from ..play import Sampler

LEADER = "leader_0"
View = Literal["commitment", "play"]
Observations = Literal["vector", "index"]
RENDER_MODES = ("ansi", "rgb_array")


class ActionError(ValueError):
    """An action outside its space; the environment is as it was before the step."""


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


class Episode:
    """The state machine behind all single-episode views.

    Args:
        game: what is played.
        view: whether the leader commits once or acts in each step.
        observations: ``"vector"`` for flat Box observations, ``"index"`` for one integer (which leaves out the commitment).
        max_cycles: steps until the episode is cut; None for the game's own.
    """

    def __init__(self, game: StackelbergGame, *, view: View, observations: Observations, max_cycles: int | None) -> None:
        if view not in ("commitment", "play"):
            raise ValueError(f"view is 'commitment' or 'play', got {view!r}")
        if observations not in ("vector", "index"):
            raise ValueError(f"observations is 'vector' or 'index', got {observations!r}")
        max_cycles = game.max_cycles if max_cycles is None else max_cycles
        if not isinstance(max_cycles, int) or max_cycles < 1:
            raise ValueError(f"max_cycles is at least 1, and whole, got {max_cycles!r}")
        self.game, self.view, self.observations, self.max_cycles = game, view, observations, max_cycles
        leader_actions = game.sizes[0][1]
        if view == "play" and (leader_actions == 1 or game.followers > 1):
            why = "has no action of its own in a step" if leader_actions == 1 else "faces several followers"
            raise ValueError(f"{game.name} has no play view: its leader {why}; use view='commitment'")
        self.followers = [f"follower_{i}" for i in range(game.followers)]
        self.agents = [LEADER, *self.followers]
        self.action_spaces: dict[str, Space[Any]] = {
            LEADER: game.leader_space if view == "commitment" else Discrete(leader_actions),
            **{name: Discrete(sizes[2]) for name, sizes in zip(self.followers, game.sizes, strict=True)},
        }
        self._blocks = {agent: self._block_sizes(agent) for agent in self.agents}
        self.observation_spaces = {agent: self._observation_space(agent) for agent in self.agents}
        state_low, state_high = self._bounds(self._state_sizes(), commitment=True)
        self.state_space = Box(state_low, state_high, dtype=np.float32)
        self._samplers: dict[tuple[bytes, int], list[Sampler]] = {}
        self.clear()

    def replace_game(self, game: StackelbergGame) -> None:
        """Play ``game`` from the next episode on; it must have the same spaces.  For conformance tests, which disguise games."""
        if any(
            getattr(game, name) != getattr(self.game, name) for name in ("sizes", "leader_space", "contexts", "follower_actions_public")
        ):
            raise ValueError(f"{game!r} cannot stand in for {self.game!r}: sizes, contexts, leader space and what is hidden must agree")
        self.game, self._samplers = game, {}
        self.clear()

    def clear(self) -> None:
        """Forget the episode: nothing is committed, nobody is anywhere."""
        game = self.game
        self.context = 0
        self.commitment: np.ndarray | None = None
        self.samplers: list[Sampler] = []
        self.states = [sizes[0] for sizes in game.sizes]
        self.leader_actions: list[int | None] = [None] * game.followers
        self.follower_actions: list[int | None] = [None] * game.followers
        self.paths: list[list[int]] = [[] for _ in range(game.followers)]
        self.time = 0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self.returns = dict.fromkeys(self.agents, 0.0)
        self.terminated = self.truncated = False
        self._opening: Any = None

    # -- what happens ------------------------------------------------------------------------------------------------------------

    def begin(self, rng: np.random.Generator, *, context: int | str | None = None, commitment: Any = None) -> None:
        """Start an episode: draw the context; in the play view also take the announced commitment (zeros if none) and start."""
        game = self.game
        x = None
        if commitment is not None or self.view == "play":
            x = self.legal_commitment(np.zeros(game.dimension) if commitment is None else commitment)
        chosen = None if context is None else game.context_index(context)
        self.clear()
        drawn = int(draw(game.context_probabilities, np.asarray(rng.random())))
        self.context = drawn if chosen is None else chosen
        self._opening = self.observe(LEADER)
        if x is not None:
            self.commit(x, rng)

    def legal_commitment(self, action: Any) -> np.ndarray:
        """``action`` as a commitment in the leader's space; raises `CommitmentError` or `ActionError`."""
        x = np.array(self.game.checked(action), dtype=np.float64)
        space = self.game.leader_space
        if x.ndim != 1:
            raise CommitmentError(f"{LEADER} commits to one vector of {self.game.dimension} numbers, got shape {x.shape}")
        single = np.float32  # a float32 action on the bound is on the bound, also where float32 cannot express it
        outside = (x < np.minimum(space.low, space.low.astype(single))) | (x > np.maximum(space.high, space.high.astype(single)))
        x = np.where(outside, x, np.clip(x, space.low, space.high))
        if outside.any():
            i = int(np.argmax(outside))
            raise ActionError(
                f"{LEADER}: component {i} of the commitment is {x[i]:.6g}, outside [{space.low[i]:.6g}, {space.high[i]:.6g}]; "
                "clip it to the action space"
            )
        return x

    def legal_action(self, agent: str, action: Any) -> int:
        """``action`` as an index of the agent's discrete space; raises `ActionError`."""
        count = int(self.action_spaces[agent].n)  # type: ignore[attr-defined]
        integral = isinstance(action, (int, np.integer)) or (
            isinstance(action, np.ndarray) and action.size == 1 and np.issubdtype(action.dtype, np.integer)
        )
        if isinstance(action, (bool, np.bool_)) or not integral:
            raise ActionError(f"{agent}: an action is an integer from 0 to {count - 1}, got {action!r}")
        index = int(np.asarray(action).item())
        if not 0 <= index < count:
            raise ActionError(f"{agent}: action {index} is outside its space, 0 to {count - 1}")
        return index

    def commit(self, x: np.ndarray, rng: np.random.Generator) -> None:
        """Take a legal commitment; first states are drawn, and the leader's first action where the episode plays its policy."""
        key = (x.tobytes(), self.context)
        if key not in self._samplers:
            self._samplers = {key: [Sampler(process) for process in self.game.problems(x, self.context)]}
        self.commitment, self.samplers = x, self._samplers[key]
        for group, sampler in zip(self.game.groups, self.samplers, strict=True):
            self._arrive(group, sampler, sampler.initial(rng.random()), rng)

    def lead(self, action: int) -> None:
        """Take the leader's action of this step (play view)."""
        self.leader_actions = [action]
        self.rewards = dict.fromkeys(self.agents, 0.0)

    def follow(self, actions: list[int], rng: np.random.Generator) -> None:
        """Take all followers' actions: rewards are paid, states move, and the episode may end for everybody."""
        rewards = dict.fromkeys(self.agents, 0.0)
        for group, sampler in zip(self.game.groups, self.samplers, strict=True):
            s = self.states[group[0]]
            if s == sampler.process.sizes[0]:
                continue
            a, chosen = self.leader_actions[group[0]] or 0, [actions[i] for i in group]
            successor, paid, leader_reward = sampler.step(s, a, chosen, rng.random())
            for i, reward in zip(group, paid, strict=True):
                name = self.followers[i]
                rewards[name] = reward
                self.returns[name] += sampler.process.follower_discount**self.time * reward
                self.follower_actions[i], self.leader_actions[i] = actions[i], None
            rewards[LEADER] += leader_reward
            self.returns[LEADER] += sampler.process.leader_discount**self.time * leader_reward
            self._arrive(group, sampler, successor, rng)
        self.rewards = rewards
        self.time += 1
        self.terminated = all(s == sizes[0] for s, sizes in zip(self.states, self.game.sizes, strict=True))
        self.truncated = not self.terminated and self.time >= self.max_cycles

    def _arrive(self, group: tuple[int, ...], sampler: Sampler, state: int, rng: np.random.Generator) -> None:
        """Everybody in a process is in ``state`` now; where the episode plays the leader's policy, its next action is drawn."""
        size, leader_actions, _ = sampler.process.sizes
        draws = self.view == "commitment" and state < size and leader_actions > 1
        action = sampler.leader_action(state, rng.random()) if draws else None
        for i in group:
            self.states[i] = state
            if state < size:
                self.paths[i].append(state)
            if draws:
                self.leader_actions[i] = action

    @property
    def over(self) -> bool:
        """Whether the episode has ended or was cut."""
        return self.terminated or self.truncated

    # -- what is seen ------------------------------------------------------------------------------------------------------------

    def observe(self, agent: str) -> np.ndarray | np.int64:
        """A fresh observation in the agent's space."""
        return self._encode(self._blocks[agent], self._observed(agent), commitment=agent != LEADER)

    def state(self) -> np.ndarray:
        """Everything public and private, for centralised critics: not for decentralized leaders."""
        observed: list[int | None] = [self.context, *self.states, *self.leader_actions, *self.follower_actions]
        return np.asarray(self._vector(self._state_sizes(), observed, commitment=True))

    def info(self, agent: str) -> dict[str, float]:
        """Time and own discounted return so far; nothing about anybody else."""
        return {"time": float(self.time), "discounted_return": self.returns[agent]}

    def round_transition(self) -> RoundTransition:
        """The leader's round so far as one transition; raises RuntimeError before the commitment."""
        if self.commitment is None:
            raise RuntimeError("there is no round yet: the leader has not committed")
        return RoundTransition(self._opening, self.commitment.copy(), self.returns[LEADER], self.observe(LEADER), self.over)

    def frame(self) -> Frame:
        """What there is to draw."""
        return Frame(self.game, self.commitment, self.context, tuple(tuple(path) for path in self.paths), self.time)

    def render(self, mode: str | None) -> str | np.ndarray | None:
        """Draw in ``mode``; None without one."""
        if mode is None:
            return None
        return ansi(self.frame()) if mode == "ansi" else rgb_array(self.frame())

    def _observed(self, agent: str) -> list[int | None]:
        """Indices for the agent's one-hot blocks; None means the extra slot."""
        seen: list[int | None] = []
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
        if self._sees_action(i):
            seen.append(self.leader_actions[i])
        return seen

    def _block_sizes(self, agent: str) -> list[int]:
        sizes = [len(self.game.contexts) + 1] if len(self.game.contexts) > 1 else []
        if agent == LEADER:
            actions = [b + 1 for _, _, b in self.game.sizes] if self.game.follower_actions_public else []
            return [*sizes, *(self.game.sizes[group[0]][0] + 1 for group in self.game.groups), *actions]
        i = self.followers.index(agent)
        s, a, _ = self.game.sizes[i]
        return [*sizes, s + 1, *([a + 1] if self._sees_action(i) else [])]

    def _sees_action(self, i: int) -> bool:
        return self.game.visibility[i] == "action"

    def _state_sizes(self) -> list[int]:
        sizes = self.game.sizes
        return [len(self.game.contexts) + 1, *(s + 1 for s, _, _ in sizes), *(a + 1 for _, a, _ in sizes), *(b + 1 for _, _, b in sizes)]

    def _bounds(self, sizes: list[int], *, commitment: bool) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.zeros(sum(sizes)), np.ones(sum(sizes))
        if commitment:
            low = np.concatenate([low, self.game.leader_space.low])
            high = np.concatenate([high, self.game.leader_space.high])
        return low.astype(np.float32), high.astype(np.float32)

    def _observation_space(self, agent: str) -> Space[Any]:
        sizes = self._blocks[agent]
        if self.observations == "index":
            return Discrete(int(np.prod(sizes, dtype=object)))
        low, high = self._bounds(sizes, commitment=agent != LEADER)
        return Box(low, high, dtype=np.float32)

    def _encode(self, sizes: list[int], observed: list[int | None], *, commitment: bool) -> np.ndarray | np.int64:
        if self.observations == "vector":
            return self._vector(sizes, observed, commitment=commitment)
        index = 0
        for size, value in zip(sizes, observed, strict=True):
            index = index * size + (size - 1 if value is None else value)
        return np.int64(index)

    def _vector(self, sizes: list[int], observed: list[int | None], *, commitment: bool) -> np.ndarray:
        total = sum(sizes)
        vector = np.zeros(total + (self.game.dimension if commitment else 0), dtype=np.float32)
        start = 0
        for size, value in zip(sizes, observed, strict=True):
            vector[start + (size - 1 if value is None else value)] = 1.0
            start += size
        if commitment and self.commitment is not None:
            vector[total:] = self.commitment
        return vector


def checked_render_mode(render_mode: str | None) -> str | None:
    """``render_mode`` if there is such a one."""
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode is one of {', '.join(map(repr, RENDER_MODES))} or None, got {render_mode!r}")
    return render_mode
