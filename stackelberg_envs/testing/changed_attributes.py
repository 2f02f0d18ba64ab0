"""Episodes in which attributes have other values, also while a reset draws them, and what first observations tell of attributes."""

from __future__ import annotations

import copy
import inspect
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from .actions import equal
from .driver import Snapshot
from .report import NotChecked, Violation, advise, require
from .subject import Changes, Subject, change_attributes, other_number

RESETS = 100
"""Resets of which attributes are compared with what the leader is shown."""
RARE = 10
"""Resets in which an attribute must differ from its most frequent value; a chance run of fewer looks like a dependence."""


class Attributes:
    """Attributes of ``env.unwrapped`` that somebody must not know, with the values that they had in some resets.

    Args:
        subject: the environment.
        changes: which attributes, and what to change them to.  Where that is not said it is a value that another reset drew, or for
            what is the same in all resets `other_number`.
    """

    def __init__(self, subject: Subject, changes: Changes) -> None:
        names = [changes] if isinstance(changes, str) else list(changes)
        self.subject, self.values, self.shown = subject, {name: [] for name in names}, {"observation": [], "info": []}
        env, leader = subject.fresh(), subject.roles.leader
        for i in range(RESETS):
            moment = subject.driver(env, env_seed=subject.seed + i).snapshot()
            for name in names:
                self.values[name].append(copy.deepcopy(getattr(env.unwrapped, name, None)))
            self.shown["observation"].append(_numbers(moment.observations.get(leader)))
            self.shown["info"].append(_numbers(moment.infos.get(leader)))
        given = changes if isinstance(changes, Mapping) else {}
        self.changes: dict[str, Any] = {name: given.get(name, _another_of(self.values[name])) for name in names}

    def __str__(self) -> str:
        return ", ".join(self.changes)

    def play_changed(self) -> list[Snapshot]:
        """An episode in which they are changed before the reset, whenever the reset assigns them, and after it where that was missed."""
        env = self.subject.fresh()
        there = {name: change for name, change in self.changes.items() if hasattr(env.unwrapped, name)}
        change_attributes(env, there)
        kept = {name: copy.deepcopy(getattr(env.unwrapped, name)) for name in there}
        plain = type(env.unwrapped)
        assigned = _change_assignments(env.unwrapped, self.changes)

        def after_reset(env: Any) -> None:
            env.unwrapped.__class__ = plain
            inner = env.unwrapped
            drawn = (name for name in self.changes if name not in kept or not equal(getattr(inner, name), kept[name]))
            change_attributes(env, {name: self.changes[name] for name in drawn if name not in assigned})

        try:
            return self.subject.play(env, prepare=after_reset)
        except Violation:
            raise
        except Exception as error:
            said = f"with other {self} the episode raises {type(error).__name__}: {error}"
            raise NotChecked(f"{said}; say what to change them to, as in {{'name': value}}") from error

    def require_untold(self) -> None:
        """Raise `Violation` if what the leader is first shown determines one of them, and `Advice` if it goes with one.

        A reset may show what it drew without reading it from the attribute, and then a changed attribute changes nothing.  Each component
        of what is shown is compared with each component of an attribute over many resets, by Chatterjee's rank correlation (Chatterjee
        2021), which any function of one variable raises: its mean and deviation under independence are those of random orders.
        """
        rng, found = np.random.default_rng(self.subject.seed), dict[str, bool]()
        for name, values in self.values.items():
            hidden = [column for column in _columns([_numbers(value) for value in values]) if _rare(column) >= RARE][:50]
            for what, rows in self.shown.items():
                for column in _columns(rows) if hidden else ():
                    for told in (_determines(column, one, rng) for one in hidden):
                        if told is not None:
                            said = f"{self.subject.roles.leader}, at the reset: the {what} {{}} {name}"
                            found[said] = found.get(said, False) or told
        for said, determines in found.items():
            require(not determines, said.format("tells") + f", in {RESETS} resets")
        for said in found:
            advise(False, said.format("goes with") + f" in {RESETS} resets; if both follow from what the leader may know, that is no leak")


def _another_of(values: Sequence[Any]) -> Callable[[Any], Any]:
    """A function to another of some values."""
    differ = any(not equal(values[0], value) for value in values)

    def another(value: Any) -> Any:
        if not differ:
            return other_number(value)
        return copy.deepcopy(next(one for one in values if not equal(one, value)))

    return another


def _change_assignments(inner: Any, changes: Mapping[str, Any]) -> set[str]:
    """Have what is assigned to attributes changed, by a class of its own; the set gets the names of those that were."""
    assigned, cls = set[str](), type(inner)

    def attribute(name: str, change: Any) -> property:
        def get(self: Any) -> Any:
            if name not in vars(self):
                raise AttributeError(name)
            return vars(self)[name]

        def put(self: Any, value: Any) -> None:
            assigned.discard(name)
            try:
                value = change(value) if callable(change) else copy.deepcopy(change)
                assigned.add(name)
            except Exception:  # a placeholder, such as None, which the draw replaces
                pass
            vars(self)[name] = value

        return property(get, put, lambda self: vars(self).pop(name))

    plain = [name for name in changes if not inspect.isdatadescriptor(inspect.getattr_static(cls, name, None))]
    with suppress(TypeError):  # of a class with slots, or that cannot be derived from: there they are changed before and after the reset
        inner.__class__ = type(cls.__name__, (cls,), {name: attribute(name, changes[name]) for name in plain})
    return assigned


def _numbers(value: Any) -> list[float]:
    """All numbers in an observation, info or attribute; for text and objects a code."""
    if isinstance(value, dict):
        return [number for key in sorted(value, key=str) for number in _numbers(value[key])]
    if isinstance(value, (list, tuple)):
        return [number for one in value for number in _numbers(one)]
    array = np.asarray(value)
    return array.ravel().astype(float).tolist() if array.dtype.kind in "biuf" else [float(zlib.crc32(repr(value).encode()))]


def _columns(rows: Sequence[Sequence[float]]) -> list[np.ndarray]:
    """The components that differ between rows; where rows differ in length, also their length."""
    table = np.array([[len(row), *row[: min(map(len, rows))]] for row in rows])
    return [column for column in table.T if (column != column[0]).any()]


def _rare(column: np.ndarray) -> int:
    """How many rows differ from the most frequent value."""
    return len(column) - int(np.unique(column, return_counts=True)[1].max())


def _determines(shown: np.ndarray, hidden: np.ndarray, rng: np.random.Generator) -> bool | None:
    """Whether ``hidden`` is a function of ``shown``, which it at least depends on; None if it does not, as far as can be seen."""
    ranks = np.unique(hidden, return_inverse=True)[1].astype(float)
    counts = np.cumsum(np.bincount(ranks.astype(int)))
    ranks = counts[ranks.astype(int)]

    def variation(order: np.ndarray) -> float:
        return float(np.abs(np.diff(ranks[order])).sum())

    own = variation(np.lexsort((rng.random(len(shown)), shown)))  # equal values in a random order
    chance = [variation(rng.permutation(len(shown))) for _ in range(200)]
    mean = float(np.mean(chance))
    if mean - own < 6 * float(np.std(chance)):
        return None
    values, group = np.unique(shown, return_inverse=True)
    single = all(len(set(hidden[group == i])) == 1 for i in range(len(values)))
    return (mean - own) / (mean - float(np.ptp(ranks))) > 0.9 or (single and 2 * len(values) <= len(shown))
