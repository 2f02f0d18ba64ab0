"""What is computed from a constant table, such as the lists from which steps are drawn: once, and kept as long as the table is.

A commitment makes a new world of the same constant tables.  Tables are told by identity, so that contexts alternate without loss, and only
those that nobody writes to are trusted to stay what they are: `stackelberg_envs.processes.constants.Constants` declares its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from .arrays import Array

T = TypeVar("T")
_DERIVED: dict[int, tuple[weakref.ref[Any], dict[Hashable, Any]]] = {}


def declare_constant(table: Array) -> None:
    """Say that nobody will write to ``table`` again."""
    key = id(table)
    _DERIVED[key] = weakref.ref(table, lambda _, kept=_DERIVED: kept.pop(key, None)), {}


def derive(table: Array, name: Hashable, compute: Callable[[], T]) -> T:
    """What ``compute`` makes of ``table``, kept under ``name`` if the table was declared constant; not to be written to."""
    declared, kept = _DERIVED.get(id(table), (None, {}))
    if declared is None or declared() is not table:
        return compute()
    if name not in kept:
        kept[name] = compute()
    return kept[name]


def derive_jointly(tables: Sequence[Array], name: str, compute: Callable[[], T]) -> T:
    """What ``compute`` makes of several tables, kept if all of them were declared constant; not to be written to."""
    if not all(map(_is_constant, tables)):
        return compute()
    first, *others = tables  # held, so that nothing else gets their ids while what was computed is kept
    return derive(first, (name, *map(id, others)), lambda: (others, compute()))[1]


def _is_constant(table: Array) -> bool:
    declared, _ = _DERIVED.get(id(table), (None, None))
    return declared is not None and declared() is table
