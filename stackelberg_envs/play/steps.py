"""Single steps of a process with tables."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np

from ..processes.inverse_cdf import cumulative
from ..processes.markov_game import MarkovGame
from ..processes.mdp import MDP

K = TypeVar("K")
V = TypeVar("V")
Move = tuple[tuple[float, ...], tuple[int, ...], float, float]
"""Cumulative probabilities, next states, follower reward, leader reward."""
Node = tuple[tuple[list[Move | None], ...], tuple[float, ...]]
"""Moves by the leader's and the follower's action; the leader's cumulative probabilities, empty at the end."""


class Uniform(Protocol):
    """A source of uniform variates: a NumPy generator, or one that draws ahead."""

    def random(self) -> float:
        """The next variate, in [0, 1)."""
        ...


@lru_cache(maxsize=8)
def powers(discount: float, steps: int) -> list[float]:
    """Powers of a discount, from the 0th on."""
    return [discount**t for t in range(steps + 1)]


class Memo(dict[K, V]):
    """What a function gives, by its argument, computed when it is first asked for."""

    def __init__(self, function: Callable[[K], V]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: K) -> V:
        value = self[key] = self._function(key)
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._function,)


@dataclass(frozen=True)
class TabularStepper:
    """Cumulative tables of one process, computed once a commitment; single steps take and return Python integers.

    The state after the end is S.  In worlds without tables `stackelberg_envs.play.sampled_rollouts.SampledStepper` has the same methods.
    """

    process: MDP | MarkovGame

    @cached_property
    def _initial(self) -> np.ndarray:
        return cumulative(np.asarray(self.process.initial))

    @cached_property
    def _leader(self) -> np.ndarray:
        return cumulative(np.asarray(self.process.leader_policy))

    @cached_property
    def _transition(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.process.kernel.cumulative_successors()

    @property
    def leads(self) -> bool:
        """Whether the leader acts in a step."""
        return self.process.sizes[1] > 1

    def is_end(self, s: int) -> bool:
        """Whether a state is the end."""
        return s == self.process.sizes[0]

    def initial(self, rng: Uniform) -> int:
        """First state."""
        return int(self._initial.searchsorted(rng.random(), side="right"))

    def leader_action(self, s: int, rng: Uniform) -> int:
        """The leader's action by its own policy."""
        return bisect_right(self.leader_policy[s], rng.random())

    def available(self, player: int, s: int, a: int | None) -> np.ndarray | None:
        """Which actions a follower has, booleans (B_i,); None where all followers of this world have all of theirs always.

        Args:
            player: which of the followers in this process.
            s: the state; at the end all actions are there.
            a: the leader's action, or signal of it, that the follower sees; None where it has not come: what may be available then.
        """
        if self.process.available is None:  # before anything is kept: a refused step leaves an environment as it was, to the byte
            return None
        there = self._available[player]
        if self.is_end(s):
            return np.ones(there.shape[-1], dtype=bool)
        if there.shape[1] == 1:
            return there[s, 0]
        return there[s].any(axis=0) if a is None else there[s, a]

    @cached_property
    def _available(self) -> list[np.ndarray]:
        return [self.process.available_actions(player) for player in range(len(self.process.actions))]  # type: ignore[union-attr]

    @cached_property
    def nodes(self) -> list[Node | None]:
        """What may happen in each state, for single steps of one follower; None where `node` has not been asked."""
        return [None] * (self.process.sizes[0] + 1)

    def node(self, s: int) -> Node:
        """What may happen in a state, which `nodes` has from then on; its moves are None until `move` has been asked."""
        _, a_count, b_count = self.process.sizes
        policy = () if self.is_end(s) else tuple(self._leader[s].tolist())
        node = self.nodes[s] = tuple([None] * b_count for _ in range(a_count)), policy
        return node

    def move(self, s: int, a: int, b: int) -> Move:
        """The move of a single follower at (s, a, b), which the node of s has from then on."""
        row = self._row(s, a, b)
        successors, cumulated, _ = self._transition
        reached = self.process.kernel.arrivals(np.asarray(s), successors[row]).tolist()
        moves, _ = self.nodes[s] or self.node(s)
        move = moves[a][b] = (
            _shared(self._thresholds, tuple(cumulated[row].tolist())),
            _shared(self._successors, tuple(reached)),
            float(self.process.follower_rewards[0, s, a, b]),
            0.0 + float(self.process.leader_reward[s, a, b]),
        )
        return move

    @cached_property
    def _thresholds(self) -> dict[tuple[float, ...], tuple[float, ...]]:
        return {}

    @cached_property
    def _successors(self) -> dict[tuple[int, ...], tuple[int, ...]]:
        return {}

    @cached_property
    def leader_policy(self) -> Memo[int, list[float]]:
        """The leader's cumulative probabilities by state, as Python lists."""
        return Memo(self._policy_row)

    def _policy_row(self, s: int) -> list[float]:
        return self._leader[s].tolist()

    def _row(self, s: Any, a: Any, b: Any) -> Any:
        """Where the kernel's lists have what (s, a, b) leads to."""
        successors, _, row_of = self._transition
        s_count, a_count, _ = self.process.sizes
        stage = self.process.kernel.stage_size or s_count
        return (s % stage * a_count + a) * (len(successors) // (stage * a_count)) + row_of[b]

    @property
    def longest(self) -> int:
        """Thresholds of a move: one less than the successors that it can have."""
        return self._transition[1].shape[-1]

    @property
    def initial_cumulated(self) -> np.ndarray:
        """Cumulative probabilities of first states, (S,)."""
        return self._initial

    @property
    def leader_cumulated(self) -> np.ndarray:
        """The leader's cumulative probabilities, (S + 1, A): action 0 at the end."""
        return np.concatenate([self._leader, np.ones((1, self.process.sizes[1]))])

    def all_moves(self, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All moves of a single follower, rows (s A + a) B + b, the end included, which leads to itself and pays nothing.

        Args:
            width: thresholds of a row; at least `longest`.

        Returns:
            Cumulative probabilities (rows, width), next states (rows, width + 1), follower rewards (rows,).
        """
        s_count, a_count, b_count = sizes = self.process.sizes
        successors, cumulated, _ = self._transition
        s, a, b = (index.reshape(-1) for index in np.indices(sizes))
        row = self._row(s, a, b)
        reached = self.process.kernel.arrivals(s[:, None], successors[row])
        own, end = width - cumulated.shape[-1], a_count * b_count
        thresholds = np.pad(cumulated[row], ((0, end), (0, own)), constant_values=np.inf)
        targets = np.pad(reached, ((0, end), (0, own)), constant_values=s_count)
        paid = np.broadcast_to(self.process.follower_rewards[0], sizes).reshape(-1)
        return thresholds, targets, np.append(np.asarray(paid, dtype=np.float64), np.zeros(end))

    def step(self, s: int, a: int, actions: Sequence[int], rng: Uniform) -> tuple[int, tuple[float, ...], float]:
        """(next state, rewards of the followers in this process, leader reward), given one action of each of them."""
        u = rng.random()
        b = 0
        for action, count in zip(actions, self.process.actions, strict=True):
            b = b * count + action
        successors, cumulated, _ = self._transition
        row, kernel = self._row(s, a, b), self.process.kernel
        successor = int(kernel.arrivals(np.asarray(s), successors[row, cumulated[row].searchsorted(u, side="right")]))
        paid = tuple(float(reward) for reward in self.process.follower_rewards[:, s, a, b])
        return successor, paid, float(self.process.leader_reward[s, a, b])


@dataclass(frozen=True)
class TabularPolicyStepper:
    """A follower's policy, as cumulative probabilities (S, A, B)."""

    cumulated: np.ndarray

    def act(self, s: int, a: int, rng: Uniform) -> int:
        """An action; 0 at the end, where nothing comes of it.  ``a`` below 0 stands for action 0, where the leader has no other."""
        return 0 if s == self.cumulated.shape[0] else bisect_right(self._rows[s, max(a, 0)], rng.random())

    @cached_property
    def _rows(self) -> Memo[tuple[int, int], list[float]]:
        return Memo(self._row)

    def _row(self, node: tuple[int, int]) -> list[float]:
        return self.cumulated[node].tolist()


def _shared(kept: dict[V, V], value: V) -> V:
    """``value``, or an equal one that is kept: moves that share their parts stay in the processor's cache."""
    return kept.setdefault(value, value)
