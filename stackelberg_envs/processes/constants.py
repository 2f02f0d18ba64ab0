"""Constant tables of a game, moved to wherever a commitment is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from array_api_compat import is_numpy_array

from .arrays import Array, array_namespace
from .derived import declare_constant
from .transitions import map_numbers, numbers_of


class Constants:
    """A game's constant tables, transitions in any layout, written in NumPy and moved to a commitment's library, dtype and device once.

    Nobody writes to them afterwards: what is computed from them is kept, see `stackelberg_envs.processes.derived`.

    Raises:
        ValueError: for a table of less than double precision, whose rounding would stay in the worlds of commitments in double precision.
    """

    def __init__(self, **tables: Any) -> None:
        for name, table in tables.items():
            dtype = np.dtype(numbers_of(table).dtype)
            if dtype.kind == "f" and dtype.itemsize < 8:
                raise ValueError(f"{name} is {dtype}, and its rounding would stay when it becomes float64: make {name} in float64")
        self._tables = tables
        self._moved: dict[Any, SimpleNamespace] = {}

    def like(self, x: Array) -> SimpleNamespace:
        """The tables as arrays like ``x``: floating-point ones in its dtype, the others as they are."""
        key = (type(x), x.dtype, x.device)
        if key not in self._moved:
            xp = array_namespace(x)

            def move(numbers: Array) -> Array:
                floating = numbers.dtype.kind == "f"
                if is_numpy_array(x) and not (floating and numbers.dtype != x.dtype):
                    moved = np.asarray(numbers, order="C")[...]  # a copy of a large table takes longer than the rest of a commitment
                else:
                    moved = xp.asarray(numbers.copy(), dtype=x.dtype if floating else None, device=x.device)  # torch wants its own
                declare_constant(moved)
                return moved

            self._moved[key] = SimpleNamespace(**{name: map_numbers(move, table) for name, table in self._tables.items()})
        return self._moved[key]

    def __getstate__(self) -> dict[str, Any]:
        return self._tables

    def __setstate__(self, tables: dict[str, Any]) -> None:
        self._tables, self._moved = tables, {}
