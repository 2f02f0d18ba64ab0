"""Decision processes as Cassandra's ``pomdp-solve`` reads them (``.MDP``, ``.POMDP``): of a POMDP the part that is fully observed.

A preamble (``discount``, ``values``, ``states``, ``actions``, ``observations``, ``start``), and then what is known of transitions (T),
observations (O) and rewards (R), where ``*`` stands for all: https://pomdp.org/code/pomdp-file-spec.html.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .cassandra_grammar import Statements
from .validation import stochastic_rows
from .world_tables import WorldTables, kernel_of_entries, state_mask


def read_cassandra(path: str | os.PathLike[str], *, terminal: Any = (), normalise: bool = False) -> WorldTables:
    """The world of a follower who sees the state: states, actions, T, R, the discount and where episodes start.

    Rewards that depend on observations are expected over these.  Without ``start`` episodes begin in any state that is not terminal.

    Args:
        path: the file.
        terminal: where episodes end, names or numbers of states, or a mask (S,); what a state pays there is left out.  An absorbing state
            is no end where followers have a temperature.
        normalise: whether probabilities that sum to 1 up to 0.001, as printed with few digits, are divided by their sums.

    Raises:
        ValueError: for what is no such file, naming the line.
    """
    given = Statements(path, normalise)
    states, actions = tuple(given.names["states"]), tuple(given.names["actions"])
    s, b = len(states), len(actions)
    rows, columns, probability = _entries(given, "T")
    reward = np.bincount(rows, probability * _expected_rewards(given, rows, columns), b * s).reshape(b, s).T
    ends = state_mask(states, terminal)
    return WorldTables(
        kernel_of_entries(given.file.path.name, rows % s * b + rows // s, columns, probability, (s, b)),
        np.where(ends[:, None], 0.0, (given.sign or 0.0) * reward),
        states,
        (actions,) * s,
        initial=given.start,
        terminal=ends,
        arguments={"name": given.file.path.stem, "follower_discount": given.discount},
    )


def _entries(given: Statements, table: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (action * S + state, ascending), columns and probabilities that are not 0; each row sums to 1."""
    states, actions = list(given.names["states"]), list(given.names["actions"])
    count = len(states) * len(actions)
    listed = [(at, column, p) for at in range(count) for column, p in sorted(given.rows[table].get(at, {}).items()) if p]
    rows, columns, probability = np.array(listed).reshape(-1, 3).T
    at = rows.astype(np.int64)

    def label(row: int) -> str:
        place = given.file.place(given.lines.get((table, row), given.file.last_line))
        return f"{place}: {table} of action {actions[row // len(states)]!r} in state {states[row % len(states)]!r}"

    sums = stochastic_rows(at, probability, np.ones(count, dtype=bool), label, normalise=given.normalise)
    return at, columns.astype(np.int64), sums


def _expected_rewards(given: Statements, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The reward of each step, expected over what is observed after it."""
    s, b, o = (len(given.names.get(kind, "*")) for kind in ("states", "actions", "observations"))
    first = np.searchsorted(rows, np.arange(s * b + 1))
    unseen = all(statement.seen is None and statement.numbers.shape[1] == 1 for statement in given.rewards)
    paid = np.zeros((len(rows), 1 if unseen else o))
    for statement in given.rewards:
        numbers, every = statement.numbers, len(statement.states) == s
        for action in statement.actions:
            start, stop = (
                (action * s, (action + 1) * s) if every else (action * s + statement.states[0], action * s + statement.states[0] + 1)
            )
            steps = np.arange(first[start], first[stop])
            if statement.after is not None:
                steps = steps[columns[steps] == statement.after]
            values = numbers[columns[steps]] if len(numbers) > 1 else np.repeat(numbers, len(steps), axis=0)
            where = slice(None) if statement.seen is None else slice(statement.seen, statement.seen + 1)
            paid[steps, where] = values
    if unseen:
        return paid[:, 0]
    at, seen, probability = _entries(given, "O")
    chances = np.zeros((s * b, o))
    chances[at, seen] = probability
    return (paid * chances[rows // s * s + columns]).sum(axis=1)
