"""The statements of a file for ``pomdp-solve``, as https://pomdp.org/code/pomdp-file-grammar.html has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .text import TextFile, Words
from .validation import NORMALISABLE, distribution

KINDS = {"states": "a state", "actions": "an action", "observations": "an observation"}
COLUMNS = {"T": "states", "O": "observations"}
"""What the columns of a table are; its rows are pairs of action and state."""
WORD = r"#[^\n]*|(?P<word>:|[^\s:#]+)"


@dataclass(frozen=True)
class RewardStatement:
    """Rewards for some actions and states; ``after`` and ``seen`` are a next state and an observation, or None for all."""

    actions: list[int]
    states: list[int]
    after: int | None
    seen: int | None
    numbers: np.ndarray
    """(1 or S, 1 or O): they do not depend on what has length 1."""


class Statements:
    """What a file says; a later statement goes before an earlier one.

    Args:
        path: the file.
        normalise: whether ``start`` may sum to 1 up to `NORMALISABLE`.

    Raises:
        ValueError: for what is none of the format's statements, naming the line.
    """

    def __init__(self, path: str | os.PathLike[str], normalise: bool) -> None:
        self.file = TextFile(path)
        self.words, self.normalise = Words(self.file, WORD), normalise
        self.names: dict[str, dict[str, int]] = {}
        """The numbers of states, actions and observations, by name."""
        self.discount: float | None = None
        self.sign: float | None = None
        """-1 where values are costs."""
        self.start: np.ndarray | None = None
        self.rows: dict[str, dict[int, dict[int, float]]] = {"T": {}, "O": {}}
        """Of T and O, at action * S + state: the probabilities by column."""
        self.lines: dict[tuple[str, int], int] = {}
        """Where a row was last written."""
        self.rewards: list[RewardStatement] = []
        while self.words.peek():
            self._statement()
        self._check_preamble(self.words.line)

    def _statement(self) -> None:
        words, line = self.words, self.words.line
        head = words.take("a statement")
        if head in ("discount", "values", *KINDS):
            if self.lines or self.rewards:
                raise self.file.error(line, f"expected '{head}:' before all T, O and R")
            words.take(f"':' after {head!r}", ":")
            self._preamble(head)
        elif head == "start":
            self._start()
        elif head in ("T", "O", "R"):
            self._check_preamble(line)
            if head == "O" and "observations" not in self.names:
                raise self.file.error(line, "expected 'observations:' before this")
            words.take(f"':' after {head!r}", ":")
            actions = self._indices("actions")
            if head == "R":
                self._rewards(actions)
            else:
                self._probabilities(head, line, actions)
        else:
            raise self.file.error(line, f"expected discount, values, {', '.join(KINDS)}, start, T, O or R, got {head!r}")

    def _check_preamble(self, line: int) -> None:
        found = {"discount": self.discount, "values": self.sign, "states": self.names.get("states"), "actions": self.names.get("actions")}
        for name, value in found.items():
            if value is None:
                raise self.file.error(line, f"expected '{name}:' before this")

    def _preamble(self, head: str) -> None:
        words = self.words
        if head == "discount":
            self.discount = words.real("a discount from 0 to 1", 0.0, 1.0)
        elif head == "values":
            self.sign = {"reward": 1.0, "cost": -1.0}[words.take("'reward' or 'cost'", "reward", "cost")]
        elif words.peek().isdigit():
            self.names[head] = {str(i): i for i in range(words.whole(f"how many {head} there are", 1))}
        else:
            names: dict[str, int] = {}
            while words.peek() and words.peek(1) not in (":", "include", "exclude"):
                if words.peek() in names:
                    raise words.error(f"names of {head}, each once")
                names[words.take(f"the names of {head}")] = len(names)
            if not names:
                raise words.error(f"the names of {head}, or how many there are")
            self.names[head] = names

    def _start(self) -> None:
        words, line = self.words, self.words.line
        if "states" not in self.names:
            raise self.file.error(line, "expected 'states:' before the start")
        names = self.names["states"]
        if (how := words.peek()) in ("include", "exclude"):
            words.take(how)
            words.take(f"':' after 'start {how}'", ":")
            chosen = np.zeros(len(names), dtype=bool)
            while words.peek() and words.peek(1) != ":":
                chosen[words.index("a state", names)] = True
            weights = (chosen if how == "include" else ~chosen).astype(np.float64)
            if not weights.any():
                raise self.file.error(line, "expected some state to start in")
            self.start = weights / weights.sum()
            return
        words.take("':' after 'start'", ":")
        one_word = words.peek(1) in ("", "start") or words.peek(2) == ":"
        if words.peek() == "uniform":
            words.take("uniform")
            self.start = np.full(len(names), 1 / len(names))
        elif words.peek() in names or (one_word and len(names) > 1):
            self.start = np.eye(len(names))[words.index("a state", names)]
        else:
            numbers = [words.real(f"{len(names)} probabilities of states") for _ in names]
            self.start = distribution(f"{self.file.place(line)}: start", numbers, len(names), "states", normalise=self.normalise)

    def _more(self) -> bool:
        """Whether another index follows."""
        if self.words.peek() != ":":
            return False
        self.words.take(":")
        return True

    def _indices(self, kind: str) -> list[int]:
        names = self.names.get(kind, {"*": 0})
        if self.words.peek() == "*":
            self.words.take("*")
            return list(range(len(names)))
        return [self.words.index(KINDS[kind], names)]

    def _probabilities(self, head: str, line: int, actions: list[int]) -> None:
        s, columns = len(self.names["states"]), self.names[COLUMNS[head]]
        states = self._indices("states") if self._more() else None
        single = self._indices(COLUMNS[head]) if states is not None and self._more() else None
        if single is not None:
            change = dict.fromkeys(single, self._probability())
            found = dict.fromkeys(states or (), change)
        elif states is None:
            found = self._matrix(s, columns)
        else:
            found = dict.fromkeys(states, self._row(columns))
        for action in actions:
            for state, row in found.items():
                at = action * s + state
                self.rows[head][at] = row if single is None else {**self.rows[head].get(at, {}), **row}
                self.lines[head, at] = line

    def _matrix(self, s: int, columns: Mapping[str, int]) -> dict[int, dict[int, float]]:
        if self.words.peek() == "identity" and len(columns) == s:
            self.words.take("identity")
            return {state: {state: 1.0} for state in range(s)}
        if self.words.peek() in ("uniform", "reset"):
            return dict.fromkeys(range(s), self._row(columns))
        return {state: self._row(columns) for state in range(s)}

    def _row(self, columns: Mapping[str, int]) -> dict[int, float]:
        if self.words.peek() == "uniform":
            self.words.take("uniform")
            return dict.fromkeys(range(len(columns)), 1 / len(columns))
        if self.words.peek() == "reset" and self.start is not None and len(columns) == len(self.start):
            self.words.take("reset")
            return dict(enumerate(self.start.tolist()))
        return {column: self._probability() for column in range(len(columns))}

    def _probability(self) -> float:
        return self.words.real("a probability from 0 to 1", 0.0, 1 + NORMALISABLE)

    def _rewards(self, actions: list[int]) -> None:
        s, o = len(self.names["states"]), len(self.names.get("observations", "*"))
        self.words.take("':' and a state", ":")
        states = self._indices("states")
        after = self._indices("states") if self._more() else None
        seen = self._indices("observations") if after is not None and self._more() else None
        shape = s if after is None else 1, o if seen is None else 1
        numbers = [[self.words.real("a reward") for _ in range(shape[1])] for _ in range(shape[0])]
        self.rewards.append(RewardStatement(actions, states, _single(after), _single(seen), np.array(numbers)))


def _single(indices: list[int] | None) -> int | None:
    """The one index of a list, or None, also for a list of all."""
    return indices[0] if indices is not None and len(indices) == 1 else None
