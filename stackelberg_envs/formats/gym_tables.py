"""Worlds from Gymnasium's tables, ``P[s][a] = [(probability, next state, reward, terminated), ...]`` (FrozenLake, Taxi, CliffWalking)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..game import StackelbergGame
from .arrays import from_arrays
from .kernels import KernelWithEnd
from .validation import stochastic_rows
from .world_tables import kernel_of_entries


def from_gymnasium(env: Any, leader_reward: Any, *, initial: Any = None, **arguments: Any) -> StackelbergGame:
    """A game in which the follower acts in a Gymnasium environment that has a table, and a leader sets rewards beside it.

    A step with ``terminated`` ends the episode; next states that are listed twice are one; the follower's reward is the table's, expected.

    Args:
        env: an environment with ``env.unwrapped.P``, or such a table: for each state and each action, steps of the form (probability,
            next state, reward, terminated).  The probabilities of an action sum to 1; actions that a state does not list are not available.
        leader_reward: a number, or a table (S,), (S, B), or (S, B, S) of next states, those of steps that end the episode included.
        initial: distribution (S,) of the first state, or the state that is certain; None for what the environment says.
        **arguments: of `stackelberg_envs.formats.arrays.from_arrays`.  The environment's own time limit is ``max_cycles`` if that is not
            given, and its id is the name.

    Raises:
        ValueError: if there is no such table, or something in it is none of these; the message says where.
    """
    world = getattr(env, "unwrapped", env)
    steps, follower_reward = read_table(getattr(world, "P", world), normalise=bool(arguments.get("normalise")))
    start = getattr(world, "initial_state_distrib", None) if initial is None else initial
    if start is None:
        raise ValueError("initial is missing: this table does not say in which state episodes begin")
    spec = getattr(env, "spec", None)
    known = {} if spec is None else {"name": spec.id.rpartition("-v")[0] or spec.id, "max_cycles": spec.max_episode_steps}
    arguments = {**{name: value for name, value in known.items() if value is not None}, **arguments}
    return from_arrays(steps, follower_reward, leader_reward, initial=start, **arguments)


def read_table(table: Any, *, normalise: bool = False) -> tuple[KernelWithEnd, np.ndarray]:
    """A table of Gymnasium's as a kernel, dense or, of many states, lists, and its expected rewards (S, B).

    Where a state does not list an action, its reward is -inf.

    Raises:
        ValueError: if it is none; the message says where.
    """
    s = _length("P", table)
    numbers = [_numbers(f"P[{state}]", _entry("P", table, state)) for state in range(s)]
    b = max((max(own, default=-1) for own in numbers), default=-1) + 1
    available = np.zeros((s, b), dtype=bool)
    for state, own in enumerate(numbers):
        available[state, own] = True
    if (never := ~available.any(axis=0)).any() or b == 0:
        raise ValueError(f"no state of P has an action {int(never.argmax()) if b else 0}: actions are numbered from 0")
    at, probability, arrived, paid, ends = np.array(list(_steps(table, numbers, b))).reshape(-1, 5).T
    rows, columns = at.astype(np.int64), arrived.astype(np.int64)
    probability = stochastic_rows(rows, probability, available.ravel(), lambda row: f"P[{row // b}][{row % b}]", normalise=normalise)
    arrivals, going_on = (kernel_of_entries("P", rows, columns, p, (s, b)) for p in (probability, np.where(ends > 0, 0.0, probability)))
    rewards = np.bincount(rows, probability * paid, s * b).reshape(s, b)
    return KernelWithEnd(arrivals, going_on), np.where(available, rewards, -np.inf)


def _numbers(name: str, actions: Any) -> list[int]:
    """The numbers of a state's actions: the keys of a dictionary, or those of a list."""
    given = list(actions) if isinstance(actions, Mapping) else list(range(_length(name, actions)))
    if not all(isinstance(number, (int, np.integer)) and number >= 0 for number in given):
        raise ValueError(f"{name} has the actions {given}: they are whole numbers from 0")
    return [int(number) for number in given]


def _steps(table: Any, numbers: list[list[int]], b: int) -> Iterator[tuple[int, float, int, float, bool]]:
    """Each step as (row s*B + a, probability, next state, reward, terminated), checked."""
    s = len(numbers)
    for state, own in enumerate(numbers):
        for action in own:
            for i, step in enumerate(table[state][action]):
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
