"""Worlds from Gymnasium's tables, ``P[s][a] = [(probability, next state, reward, terminated), ...]`` (FrozenLake, Taxi, CliffWalking)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..processes.arrays import Array
from ..processes.chains import DIRECT
from ..processes.inverse_cdf import DEFICIT_TOLERANCE
from .arrays import ArrayGame, from_arrays
from .kernels import KernelWithEnd, lists
from .sparse import rows_of_stack


def from_gymnasium(env: Any, leader_reward: Any, *, initial: Any = None, **arguments: Any) -> ArrayGame:
    """A game in which the follower acts in a Gymnasium environment that has a table, and a leader sets rewards beside it.

    A step with ``terminated`` ends the episode; next states that are listed twice are one; the follower's reward is the table's, expected.

    Args:
        env: an environment with ``env.unwrapped.P``, or such a table: for each state and each action, steps of the form (probability,
            next state, reward, terminated).  A state's actions are the same everywhere, and their probabilities sum to 1.
        leader_reward: a number, or a table (S,), (S, B), or (S, B, S) of next states, those of steps that end the episode included.
        initial: distribution (S,) of the first state, or the state that is certain; None for what the environment says.
        **arguments: of `stackelberg_envs.formats.arrays.from_arrays`.  The environment's own time limit is ``max_cycles`` if that is not
            given, and its id is the name.

    Raises:
        ValueError: if there is no such table, or something in it is none of these; the message says where.
    """
    world = getattr(env, "unwrapped", env)
    steps, follower_reward = read_table(getattr(world, "P", world))
    start = getattr(world, "initial_state_distrib", None) if initial is None else initial
    if start is None:
        raise ValueError("initial is missing: this table does not say in which state episodes begin")
    spec = getattr(env, "spec", None)
    known = {} if spec is None else {"name": spec.id.rpartition("-v")[0] or spec.id, "max_cycles": spec.max_episode_steps}
    arguments = {**{name: value for name, value in known.items() if value is not None}, **arguments}
    return from_arrays(steps, follower_reward, leader_reward, initial=start, **arguments)


def read_table(table: Any) -> tuple[KernelWithEnd, np.ndarray]:
    """A table of Gymnasium's as a kernel, dense or, of `DIRECT` states or more, lists, and its expected rewards (S, B).

    Raises:
        ValueError: if it is none; the message says where.
    """
    s = _length("P", table)
    b = _length("P[0]", _entry("P", table, 0))
    at, probability, arrived, paid, ends = np.array(list(_steps(table, s, b))).reshape(-1, 5).T
    rows, columns = at.astype(np.int64), arrived.astype(np.int64)
    sums = np.bincount(rows, probability, s * b)
    if (off := np.abs(sums - 1) > DEFICIT_TOLERANCE).any():
        row = int(off.argmax())
        raise ValueError(f"P[{row // b}][{row % b}] sums to {sums[row]:.10g}: the probabilities of the steps of an action sum to 1")
    places = (rows, columns), (s * b, s)
    steps = KernelWithEnd(_kernel(probability, *places), _kernel(np.where(ends > 0, 0.0, probability), *places))
    return steps, np.bincount(rows, probability * paid, s * b).reshape(s, b)


def _kernel(probability: np.ndarray, places: tuple[np.ndarray, np.ndarray], shape: tuple[int, int]) -> Array:
    from scipy.sparse import coo_array

    listed = lists(rows_of_stack("P", coo_array((probability, places), shape=shape)))
    return listed if shape[1] >= DIRECT else listed.dense()


def _steps(table: Any, s: int, b: int) -> Iterator[tuple[int, float, int, float, bool]]:
    """Each step as (row s*B + a, probability, next state, reward, terminated), checked."""
    for state in range(s):
        actions = _entry("P", table, state)
        if (count := _length(f"P[{state}]", actions)) != b:
            raise ValueError(f"P[{state}] has {count} actions, and P[0] has {b}: every state has the same ones")
        for action in range(b):
            for i, step in enumerate(_entry(f"P[{state}]", actions, action)):
                where = f"P[{state}][{action}][{i}]"
                try:
                    probability, arrived, paid, ends = step
                    known = bool(np.isfinite([probability, paid]).all()) and probability >= 0 and arrived in range(s)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{where} is {step!r}, and not (probability, next state, reward, terminated)") from error
                if not known:
                    raise ValueError(
                        f"{where} is {step!r}: a step has a probability of at least 0, a next state of 0 to {s - 1}, and a finite reward"
                    )
                yield state * b + action, float(probability), int(arrived), float(paid), bool(ends)


def _length(name: str, table: Any) -> int:
    try:
        count = len(table)
    except TypeError as error:
        raise ValueError(f"{name} is {table!r}, and no table of states and actions: this environment has none, or give its P") from error
    if count == 0:
        raise ValueError(f"{name} is empty")
    return count


def _entry(name: str, table: Any, key: int) -> Any:
    try:
        return table[key]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{name} has no entry {key}, and its {len(table)} entries are numbered from 0") from error
