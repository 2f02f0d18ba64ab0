"""Constant tables of a game, moved to wherever a commitment is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from .arrays import Array, array_namespace
from .transitions import map_numbers, numbers_of


class Constants:
    """A game's constant tables, transitions in any layout, written in NumPy and moved to a commitment's library, dtype and device once.

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
            moved = {}
            for name, table in self._tables.items():
                dtype = x.dtype if numbers_of(table).dtype.kind == "f" else None
                moved[name] = map_numbers(lambda numbers, dtype=dtype: xp.asarray(numbers.copy(), dtype=dtype, device=x.device), table)
            self._moved[key] = SimpleNamespace(**moved)
        return self._moved[key]

    def __getstate__(self) -> dict[str, Any]:
        return self._tables

    def __setstate__(self, tables: dict[str, Any]) -> None:
        self._tables, self._moved = tables, {}
