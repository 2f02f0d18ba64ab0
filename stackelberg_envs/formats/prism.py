"""Markov decision processes that PRISM has exported: ``prism model.prism -exportmodel model.all``, for what Storm and others read as well.

Transitions are in a file ``.tra``: first the numbers of states, choices and transitions, then a line a transition, with its state, choice,
next state, probability and perhaps the name of its action.  Files beside it have names and rewards, as
https://www.prismmodelchecker.org/manual/Appendices/ExplicitModelFiles describes.
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from .text import TextFile
from .validation import stochastic_rows
from .world_tables import WorldTables, kernel_of_entries, state_mask

FilePath = str | os.PathLike[str]


def read_prism(
    tra: FilePath,
    *,
    srew: FilePath | None = None,
    trew: FilePath | None = None,
    sta: FilePath | None = None,
    lab: FilePath | None = None,
    terminal: Any = (),
    costs: bool = False,
    normalise: bool = False,
) -> WorldTables:
    """The world of a follower that makes the choices of an explicit PRISM model; B is the largest number of choices of a state.

    Args:
        tra: the file of transitions.
        srew: the file of state rewards, which are earned on leaving a state by any choice; None for none.
        trew: the file of transition rewards, in addition; None for none.
        sta: the file of states: they are then named by their variables, as ``"x=1,y=0"``, and else by their numbers.
        lab: the file of labels.  Episodes begin in its states ``init``, each as likely as the others, or without it in state 0.
        terminal: where episodes end, a label, names or numbers of states, or a mask (S,); what a state pays there is left out, as in
            PRISM's reachability rewards.  An absorbing state is no end where followers have a temperature.
        costs: whether the rewards are costs, which the follower minimises.
        normalise: whether probabilities that sum to 1 up to 0.001, as printed with few digits, are divided by their sums.

    Raises:
        ValueError: for what is no such model, naming the file and the line.
    """
    file = TextFile(tra)
    (s, _, _), (places, (state, choice, after, probability), names) = _table(
        file, "states choices transitions", "state choice next_state probability [action]", (int, int, int, float)
    )
    _check_below(file, places, s, state=state, next_state=after)
    file.check(places, choice < 0, "expected a choice from 0", choice)
    file.check(places, (probability < 0) | (probability > 1), "expected a probability", probability)
    if not len(choice):
        raise file.error(file.last_line, "expected transitions, and there are none")
    b = int(choice.max()) + 1
    rows = state * b + choice
    available = np.bincount(rows, minlength=s * b) > 0
    first = np.full(s * b, file.last_line)
    np.minimum.at(first, rows, places)
    probability = stochastic_rows(
        rows,
        probability,
        available,
        lambda row: f"{file.place(int(first[row]))}: choice {row % b} of state {row // b}",
        normalise=normalise,
    )
    reward = np.zeros(s * b) if trew is None else _transition_rewards(TextFile(trew), s, b, rows * s + after, probability)
    reward = reward.reshape(s, b) + (np.zeros(s) if srew is None else _state_rewards(TextFile(srew), s))[:, None]
    states = tuple(map(str, range(s))) if sta is None else _state_names(TextFile(sta), s)
    labels = {} if lab is None else _labels(TextFile(lab), s)
    ends = state_mask(states, terminal, labels)
    begin = labels["init"] if "init" in labels else np.arange(s) == 0
    mask = available.reshape(s, b)
    actions = [[""] * b for _ in range(s)]
    for row, name in zip(rows.tolist(), names, strict=True):
        actions[row // b][row % b] = name or str(row % b)
    return WorldTables(
        kernel_of_entries(file.path.name, rows, after, probability, (s, b)),
        np.where(mask & ~ends[:, None], -reward if costs else reward, 0.0),
        states,
        actions,
        initial=begin / begin.sum() if begin.any() else None,
        available=None if mask.all() else mask,
        terminal=ends,
        labels=labels,
        arguments={"name": file.path.stem},
    )


def _table(
    file: TextFile, header: str, form: str, kinds: tuple[type, ...]
) -> tuple[list[int], tuple[np.ndarray, list[np.ndarray], list[str]]]:
    """The numbers of the first line, the last of which is how many lines follow, and these."""
    lines = file.lines("#")
    place, text = next(lines, (file.last_line, ""))
    sizes = text.split()
    if len(sizes) != len(header.split()) or not all(size.isdigit() for size in sizes):
        chain = ": that is a Markov chain, where nobody chooses" if file.path.suffix == ".tra" and len(sizes) == 2 else ""
        raise file.error(place, f"expected {header!r}, got {text!r}{chain}")
    counts = [int(size) for size in sizes]
    table = file.numbers(lines, form, kinds)
    if len(table[0]) != counts[-1]:
        raise file.error(file.last_line, f"expected {counts[-1]} lines {form!r}, as line {place} says, and the file has {len(table[0])}")
    return counts, table


def _check_below(file: TextFile, places: np.ndarray, count: int, **columns: np.ndarray) -> None:
    for name, column in columns.items():
        file.check(places, (column < 0) | (column >= count), f"expected a {name.replace('_', ' ')} of 0 to {count - 1}", column)


def _state_rewards(file: TextFile, s: int) -> np.ndarray:
    _, (places, (state, reward), _) = _table(file, "states rewards", "state reward", (int, float))
    _check_below(file, places, s, state=state)
    return np.bincount(state, reward, s)


def _transition_rewards(file: TextFile, s: int, b: int, steps: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Expected rewards (S*B,), of steps numbered (i*B + k)*S + j."""
    _, (places, (state, choice, after, reward), _) = _table(
        file, "states choices rewards", "state choice next_state reward", (int, int, int, float)
    )
    _check_below(file, places, s, state=state, next_state=after)
    _check_below(file, places, b, choice=choice)
    known, inverse = np.unique(steps, return_inverse=True)
    step = (state * b + choice) * s + after
    at = np.minimum(np.searchsorted(known, step), len(known) - 1)
    file.check(places, known[at] != step, "expected a transition of the model", after)
    return np.bincount(step // s, np.bincount(inverse, probability)[at] * reward, s * b)


def _state_names(file: TextFile, s: int) -> tuple[str, ...]:
    """Names such as ``x=1,y=0``."""
    lines = list(file.lines("#"))
    place, text = lines[0] if lines else (file.last_line, "")
    if not re.fullmatch(r"\(.*\)", text):
        raise file.error(place, f"expected the names of variables, '(x,y)', got {text!r}")
    variables = text[1:-1].split(",")
    names = []
    for number, (place, text) in enumerate(lines[1:]):
        found = re.fullmatch(r"(\d+)\s*:\s*\((.*)\)", text)
        values = found[2].split(",") if found else []
        if not found or int(found[1]) != number or len(values) != len(variables):
            raise file.error(place, f"expected state {number} and {len(variables)} values, '{number}:(...)', got {text!r}")
        names.append(",".join(f"{name.strip()}={value.strip()}" for name, value in zip(variables, values, strict=True)))
    if len(names) != s:
        raise file.error(file.last_line, f"expected {s} states, as the transitions have, and the file has {len(names)}")
    return tuple(names)


def _labels(file: TextFile, s: int) -> dict[str, np.ndarray]:
    """Masks of states by label."""
    lines = file.lines("#")
    place, text = next(lines, (file.last_line, ""))
    found = re.findall(r'(\d+)\s*=\s*"([^"]*)"', text)
    if not found:
        raise file.error(place, f'expected labels, \'0="init" 1="deadlock"\', got {text!r}')
    labels = {int(number): (name, np.zeros(s, dtype=bool)) for number, name in found}
    for place, text in lines:
        state, colon, own = text.partition(":")
        words = [state.strip(), *own.split()]
        if (
            not colon
            or not all(word.isdigit() for word in words)
            or int(words[0]) >= s
            or any(int(word) not in labels for word in words[1:])
        ):
            raise file.error(place, f"expected a state of 0 to {s - 1} and numbers of labels, '0: 0 2', got {text!r}")
        for word in words[1:]:
            labels[int(word)][1][int(words[0])] = True
    return dict(labels.values())
