"""Checks of tables that people hand in; messages say what is wrong and where, by the indices of the table as it was given."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from ..processes.inverse_cdf import DEFICIT_TOLERANCE

Label = Callable[..., str]
"""What an entry or a row is called, by its indices."""
NORMALISABLE = 1e-3
"""How far the sum of a row may be from 1 that is normalised on request."""


def entry_label(name: str) -> Label:
    """How entries of the array ``name`` are called: ``name[3, 0]``."""
    return lambda *indices: f"{name}[{', '.join(map(str, indices))}]"


def check_loaded(name: str, given: Any) -> None:
    """Refuse a file that is not read yet, and one of several arrays of which none is chosen, as ``numpy.load`` gives for .npz.

    Raises:
        ValueError: saying how to read it.
    """
    if isinstance(given, (str, os.PathLike)):
        raise ValueError(f"{name} is a table of numbers, got the path {str(given)!r}; read the file first: {_reading(str(given))}")
    if isinstance(given, Mapping):
        keys = ", ".join(map(repr, given))
        raise ValueError(
            f"{name} is a table of numbers, got several by name ({keys}); take one: numpy.load(path)[{next(iter(given), 'P')!r}]"
        )


def _reading(path: str) -> str:
    """The call of NumPy that reads a file of this name."""
    call = {".npz": "numpy.load(path)['P']", ".npy": "numpy.load(path)"}
    return call.get(PurePath(path).suffix, "numpy.loadtxt(path, delimiter=',')").replace("path", repr(path))


def check_real_dtype(name: str, dtype: Any) -> None:
    """Refuse what is neither whole nor real numbers, nor booleans.

    Raises:
        ValueError: if ``dtype`` is another.
    """
    if np.dtype(dtype).kind not in "biuf":
        raise ValueError(f"{name} is a table of real numbers, got dtype {dtype}")


def finite_array(name: str, given: Any) -> tuple[np.ndarray, float]:
    """``given`` as a new float64 array of finite numbers, and how far sums of its rows may be from 1 by rounding.

    Raises:
        ValueError: if it is no array of real numbers, or one of them is not finite.
    """
    try:
        table = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is no table of numbers: {error}") from error
    check_real_dtype(name, table.dtype)
    if table.size == 0:
        raise ValueError(f"{name} is empty, its shape is {table.shape}")
    rounding = tolerance(table.dtype)
    table = table.astype(np.float64)
    check_finite(table, entry_label(name))
    return table, rounding


def tolerance(dtype: Any) -> float:
    """How far the sum of a row of such numbers may be from 1 by rounding."""
    return max(DEFICIT_TOLERANCE, 16 * float(np.finfo(dtype).eps)) if np.dtype(dtype).kind == "f" else DEFICIT_TOLERANCE


def check_finite(table: np.ndarray, label: Label) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: naming the first of them.
    """
    if (place := first_index(~np.isfinite(table))) is not None:
        raise ValueError(f"{label(*place)} is {table[place]}: every entry must be a finite number")


def check_probabilities(table: np.ndarray, label: Label) -> None:
    """Refuse negative probabilities.

    Raises:
        ValueError: naming the first of them.
    """
    if (place := first_index(table < 0)) is not None:
        raise ValueError(f"{label(*place)} is {table[place]}: probabilities are not negative")


def divisors(sums: np.ndarray, rounding: float, label: Label, *, normalise: bool = False) -> np.ndarray:
    """What to divide rows with these sums by: the sum where it is 1 up to rounding or, to ``normalise``, `NORMALISABLE`, else 1.

    Raises:
        ValueError: naming the first row whose sum is above 1.
    """
    limit = max(rounding, NORMALISABLE) if normalise else rounding
    if (place := first_index(sums > 1 + limit)) is not None:
        raise ValueError(
            f"{label(*place)} sums to {sums[place]:.10g}: a row of transition probabilities sums to 1, or to less where the episode may end"
            + normalise_hint(sums[place], normalise)
        )
    off = np.abs(sums - 1)
    warn_of_normalised_rows(off[(off > rounding) & (off <= limit)])
    return np.where(off <= limit, sums, 1.0)


def stochastic_rows(rows: np.ndarray, probability: np.ndarray, present: np.ndarray, label: Label, *, normalise: bool = False) -> np.ndarray:
    """Entries of rows that all sum to 1, divided by their sums.

    Args:
        rows: the row of each entry.
        probability: its number.
        present: whether a row must be there, booleans (R,).
        label: what a row is called.
        normalise: whether sums may be from 1 by `NORMALISABLE`, and not by rounding alone.

    Raises:
        ValueError: naming the first row whose sum is not 1.
    """
    sums = np.bincount(rows, probability, len(present))
    off = np.where(present, np.abs(sums - 1), 0.0)
    if (place := first_index(off > (NORMALISABLE if normalise else DEFICIT_TOLERANCE))) is not None:
        raise ValueError(f"{label(*place)} sums to {sums[place]:.10g}, and not to 1" + normalise_hint(sums[place], normalise))
    warn_of_normalised_rows(off[off > DEFICIT_TOLERANCE])
    return probability / np.where(sums > 0, sums, 1.0)[rows]


def normalise_hint(total: float, normalise: bool) -> str:
    """What an error about a row's sum says where `NORMALISABLE` would allow to divide by it."""
    return "; normalise=True divides rows by such sums" if not normalise and abs(total - 1) <= NORMALISABLE else ""


def warn_of_normalised_rows(off: np.ndarray) -> None:
    """Say how many rows were divided by sums that differ from 1 by ``off``."""
    if len(off):
        warnings.warn(f"{len(off)} rows whose sums differ from 1, by up to {off.max():.2g}, were normalised", stacklevel=3)


def distribution(name: str, given: Any, count: int, what: str, *, normalise: bool = False) -> np.ndarray:
    """A distribution over ``count`` things, given as such or as the one that is certain, (count,).

    Raises:
        ValueError: if it is neither.
    """
    table, rounding = finite_array(name, given)
    if table.ndim == 0:
        certain = np.zeros(count)
        certain[indices(name, [given], (count,))[0]] = 1.0
        return certain
    if table.shape != (count,):
        raise ValueError(f"{name} is one of {count} {what}, or a distribution over them, shape ({count},); got shape {table.shape}")
    check_probabilities(table, entry_label(name))
    off = abs(table.sum() - 1)
    if off > (max(rounding, NORMALISABLE) if normalise else rounding):
        raise ValueError(f"{name} sums to {table.sum():.10g}: a distribution sums to 1{normalise_hint(table.sum(), normalise)}")
    warn_of_normalised_rows(np.array([off] if off > rounding else []))
    return table / table.sum()


def indices(name: str, given: Any, sizes: tuple[int, ...]) -> np.ndarray:
    """Chosen places of a table of these sizes, integers (k, d), in the order in which they were given.

    Args:
        name: what they are called in messages.
        given: a boolean mask of shape ``sizes``, a list of k places, each d indices, or, where d = 1, a list of k indices.
        sizes: of the d axes.

    Raises:
        ValueError: for any other shape or type, an index out of range, or a place that is listed twice.
    """
    try:
        chosen = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} is a mask of shape {sizes} or a list of indices, got {given!r}") from error
    if chosen.dtype == bool and chosen.shape == sizes:
        return np.argwhere(chosen)
    if chosen.size == 0:
        return np.zeros((0, len(sizes)), dtype=np.int64)
    if len(sizes) == 1 and chosen.ndim == 1 and chosen.dtype.kind in "iu":  # others are refused with the shape that they have
        chosen = chosen[:, None]
    if chosen.dtype.kind not in "iu" or chosen.ndim != 2 or chosen.shape[1] != len(sizes):
        what = "states" if len(sizes) == 1 else "pairs (state, action)"
        raise ValueError(f"{name} is a boolean mask of shape {sizes} or a list of {what}, got dtype {chosen.dtype}, shape {chosen.shape}")
    if (place := first_index((chosen < 0) | (chosen >= np.array(sizes)))) is not None:
        row, axis = place
        raise ValueError(f"{name}[{row}] is {_format_index(chosen[row])}: indices of axis {axis} are 0 to {sizes[axis] - 1}")
    _, at, counts = np.unique(chosen, axis=0, return_index=True, return_counts=True)
    for row in at[counts > 1]:
        raise ValueError(f"{name} lists {_format_index(chosen[row])} {counts.max()} times")
    return chosen.astype(np.int64)


def first_index(bad: np.ndarray) -> tuple[int, ...] | None:
    """The indices of the first True entry, if there is one."""
    return tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape)) if bad.any() else None


def _format_index(place: np.ndarray) -> str:
    return str(tuple(place.tolist()) if len(place) > 1 else place[0])
