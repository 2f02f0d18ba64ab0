"""A layout of transitions for worlds with a deadline: the product of a world with time, of which only the world is kept.

Such a world has T S states, numbered t S + s, and each step leads from stage t to stage t + 1; from the last stage it leads to the end::

    P(t' S + s' | t S + s, a, b) = P(s'|s,a,b) [t' = t + 1],   t < T - 1

Memory is that of the base transition, and of tables over T S states.  What is done with a transition is done stage by stage.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .arrays import Array, array_namespace
from .chains import MarkovChain
from .transitions import DenseTransition, Transition


@dataclass(frozen=True, eq=False)
class LeaderMean(Transition):
    """The mean of a transition over the leader's action, taken after each operation, so that no table is made.

    Args:
        base: ``P(s'|s,a,b)``, (..., S, A, B, S).
        leader_policy: pi(a|s), (..., S, A).
    """

    base: Transition
    leader_policy: Array

    @property
    def numbers(self) -> Array:
        return self.base.numbers

    @property
    def requires_grad(self) -> bool:
        return self.base.requires_grad or bool(getattr(self.leader_policy, "requires_grad", False))

    @property
    def shape(self) -> tuple[int, ...]:
        *batch, s, _, b, _ = self.base.shape
        return (*np.broadcast_shapes(tuple(batch), tuple(self.leader_policy.shape[:-2])), s, 1, b, s)

    def map(self, f: Callable[[Array], Array]) -> LeaderMean:
        return LeaderMean(self.base.map(f), f(self.leader_policy))

    def dense(self) -> Array:
        return self.base.mean_over_leader(self.leader_policy).dense()

    def expect(self, values: Array) -> Array:
        xp = array_namespace(values)
        return xp.sum(self.leader_policy[..., None] * self.base.expect(values), axis=-2, keepdims=True)

    def push_forward(self, weights: Array) -> Array:
        return self.base.push_forward(self.leader_policy[..., None] * weights)


@dataclass(frozen=True, eq=False)
class StagedTransition(Transition):
    """The transition of a world with a deadline, (..., T S, A, B, T S).

    Args:
        base: ``P(s'|s,a,b)`` of a step before the last, (..., S, A, B, S), in any other layout.
        horizon: T, the number of steps until the deadline, at least 1.
        leader_policy: pi(a|s) of each stage, (..., T S, A), for a follower that sees no more of the leader; A is then 1.

    Raises:
        ValueError: if ``base`` has a deadline itself, or T is no whole number from 1.
    """

    base: Transition
    horizon: int
    leader_policy: Any = None

    def __post_init__(self) -> None:
        if self.base.stages is not None:
            raise ValueError(f"this world has a deadline already, after {self.base.stages} steps")
        if isinstance(self.horizon, bool) or not isinstance(self.horizon, (int, np.integer)) or self.horizon < 1:
            raise ValueError(f"a deadline is a whole number of steps, at least 1, got {self.horizon!r}")

    @property
    def stages(self) -> int:
        return self.horizon

    @property
    def stage_size(self) -> int:
        return self.base.shape[-1]

    @property
    def numbers(self) -> Array:
        return self.base.numbers

    @property
    def requires_grad(self) -> bool:
        return self.at(0).requires_grad

    @property
    def layout(self) -> Hashable:
        return type(self).__name__, self.horizon, self.base.layout

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the dense product, (..., T S, A, B, T S)."""
        *batch, s, a, b, _ = self.at(0).shape
        return (*batch, self.horizon * s, a, b, self.horizon * s)

    def map(self, f: Callable[[Array], Array]) -> StagedTransition:
        """The same transition with ``f`` applied to the base's numbers."""
        return replace(self, base=self.base.map(f), leader_policy=None if self.leader_policy is None else f(self.leader_policy))

    def structure(self) -> list[np.ndarray]:
        return [np.array([self.horizon]), *self.base.structure()]

    def check(self) -> str | None:
        return self.base.check()

    def at(self, t: int) -> Transition:
        """How a step of stage t leads to states of the next, (..., S, A, B, S); of the last stage nothing is left of it."""
        return self.base if self.leader_policy is None else LeaderMean(self.base, self.stage(self.leader_policy, t, 1))

    def stage(self, table: Array, t: int, axes: int = 0) -> Array:
        """The part of stage t of a table whose states, (..., T S, ...), are followed by so many ``axes``."""
        states = slice(t * self.stage_size, (t + 1) * self.stage_size)
        return table[(..., states, *(slice(None),) * axes)]

    def __getitem__(self, node: tuple[int, int, int]) -> Array:
        """P(.|s,a,b), (T S,), of a transition without batch axes."""
        s, a, b = node
        t, here = divmod(int(s), self.stage_size)
        row = self.at(t)[here, a, b]
        none = array_namespace(row).zeros_like(row)
        return array_namespace(row).concat([row if u == t + 1 else none for u in range(self.horizon)])

    def dense(self) -> Array:
        """The product written out as an array (..., T S, A, B, T S): T^2 times as large as the base."""
        xp, numbers = array_namespace(self.numbers), self.numbers
        next_stage = xp.eye(self.horizon, k=1, dtype=numbers.dtype, device=numbers.device)
        tables = xp.stack([self.at(t).dense() for t in range(self.horizon)], axis=-5)
        product = tables[..., None, :] * next_stage[:, None, None, None, :, None]
        return xp.reshape(product, self.shape)

    def expect(self, values: Array) -> Array:
        xp, last = array_namespace(values), self.horizon - 1
        ahead = [self.at(t).expect(self.stage(values, t + 1)) for t in range(last)]
        batch = np.broadcast_shapes(tuple(values.shape[:-1]), self.shape[:-4])
        ends = xp.zeros((*batch, *self.at(last).shape[-4:-1]), dtype=values.dtype, device=values.device)
        return xp.concat([*ahead, ends], axis=-3)

    def push_forward(self, weights: Array) -> Array:
        xp, last = array_namespace(weights), self.horizon - 1
        arriving = [self.at(t).push_forward(self.stage(weights, t, 2)) for t in range(last)]
        batch = np.broadcast_shapes(tuple(weights.shape[:-3]), self.shape[:-4])
        return xp.concat([xp.zeros((*batch, self.stage_size), dtype=weights.dtype, device=weights.device), *arriving], axis=-1)

    def markov_chain(self, joint: Array) -> StagedChain:
        return StagedChain(self, joint)

    def mean_over_leader(self, leader_policy: Array) -> StagedTransition:
        own = leader_policy if self.leader_policy is None else self.leader_policy * leader_policy
        return replace(self, leader_policy=own)

    def average_actions(self) -> StagedTransition:
        return replace(self, base=self.base.average_actions())

    def join_actions(self) -> StagedTransition:
        return self if self.shape[-3] == 1 else replace(self, base=self.base.join_actions())

    def sum_by_row(self, weights: Array) -> Array:
        return self.base.sum_by_row(weights)

    def cumulative_successors(self) -> tuple[Array, Array, np.ndarray]:
        """Those of the base, for all stages: see `arrivals`."""
        return self.base.cumulative_successors()

    def arrivals(self, states: Array, successors: Array) -> Array:
        xp, size = array_namespace(states), self.stage_size
        later = states - states % size + size  # the first state of the next stage
        return xp.where((successors < size) & (later < self.horizon * size), later + successors, self.horizon * size)


@dataclass(frozen=True, eq=False)
class StagedChain(MarkovChain):
    """The chain of a world with a deadline under a policy, kept as the base transition and the policy.

    A policy that depends on time has as many chains as stages, and none of them is written out.

    Args:
        transition: the world's.
        joint: the probabilities of actions in each state, (..., T S, A, B), which sum to 1 over actions.
    """

    transition: StagedTransition
    joint: Array

    @property
    def stages(self) -> int:
        return self.transition.horizon

    @property
    def numbers(self) -> Array:
        """Those of the base transition: the chain's own are not kept."""
        return self.transition.numbers

    @property
    def states(self) -> int:
        return self.joint.shape[-3]

    @property
    def batch(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.transition.shape[:-4], tuple(self.joint.shape[:-3]))

    def map(self, f: Callable[[Array], Array]) -> StagedChain:
        return StagedChain(self.transition.map(f), f(self.joint))

    def dense(self) -> Array:
        return DenseTransition(self.transition.dense()).markov_chain(self.joint).matrix

    def expect(self, values: Array) -> Array:
        return array_namespace(values).sum(self.joint * self.transition.expect(values), axis=(-2, -1))

    def push_forward(self, weights: Array) -> Array:
        return self.transition.push_forward(weights[..., None, None] * self.joint)

    def select(self, states: Array) -> StagedChain:
        return replace(self, joint=array_namespace(self.joint).where(states[..., None, None], self.joint, 0.0))

    def reaches_end(self) -> bool:
        """Always: that is what a deadline is."""
        return True

    def solve(self, rhs: Array, discount: float) -> Array:
        """(I - gamma P)^{-1} rhs, (..., T S): from the last stage, where P is 0, back to the first."""
        xp, rhs = array_namespace(rhs), self._broadcast(rhs)
        solved = [self.transition.stage(rhs, self.stages - 1)]
        for t in reversed(range(self.stages - 1)):
            ahead = self._joint(t) * self.transition.at(t).expect(solved[-1])
            solved.append(self.transition.stage(rhs, t) + discount * xp.sum(ahead, axis=(-2, -1)))
        return xp.concat(solved[::-1], axis=-1)

    def solve_transposed(self, rhs: Array, discount: float) -> Array:
        """(I - gamma P)^{-T} rhs, (..., T S): from the first stage, which no step leads to, on to the last."""
        xp, rhs = array_namespace(rhs), self._broadcast(rhs)
        solved = [self.transition.stage(rhs, 0)]
        for t in range(self.stages - 1):
            arriving = self.transition.at(t).push_forward(solved[-1][..., None, None] * self._joint(t))
            solved.append(self.transition.stage(rhs, t + 1) + discount * arriving)
        return xp.concat(solved, axis=-1)

    def _joint(self, t: int) -> Array:
        return self.transition.stage(self.joint, t, 2)

    def _broadcast(self, rhs: Array) -> Array:
        shape = (*np.broadcast_shapes(tuple(rhs.shape[:-1]), self.batch), self.states)
        return array_namespace(rhs).broadcast_to(rhs, shape)
