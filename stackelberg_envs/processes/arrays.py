"""Arrays of any library: as Python numbers, without history, in NumPy's memory."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import is_numpy_array

Array = Any
"""An array of any library that follows the array-API standard (NumPy, torch, ...)."""
COMPILED = find_spec("numba") is not None and os.environ.get("STACKELBERG_COMPILED", "1") != "0"
"""Whether loops run compiled where they can: if numba is installed, and STACKELBERG_COMPILED=0 is not set."""
MANY_COLUMNS = 16
"""Columns from which on NumPy reduces an axis as fast as it compares columns."""


_NAMESPACES: dict[type, Any] = {}


def array_namespace(*arrays: Array) -> Any:
    """array_api_compat's, which is looked up once for each type: in worlds of a few states its checks took a fifth of the time."""
    kind = type(arrays[0])
    for another in arrays[1:]:
        if type(another) is not kind:
            return array_api_compat.array_namespace(*arrays)
    found = _NAMESPACES.get(kind)
    if found is None:
        found = _NAMESPACES[kind] = array_api_compat.array_namespace(*arrays)
    return found


def as_float(scalar: Array) -> float:
    """A scalar array as a Python float, without its history."""
    return float(detach(scalar))


def sup_norm(array: Array) -> float:
    """The largest absolute entry, as a Python float, by methods: they take half the time of a namespace's functions."""
    return as_float(abs(array).max())


def detach(array: Array) -> Array:
    """The same array without the history that torch keeps for derivatives."""
    return array.detach() if hasattr(array, "detach") else array


def as_numpy(array: Array) -> np.ndarray:
    """The same numbers in NumPy, copied from a device if they are on one, without history."""
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)


def clip(array: Array, low: float | None, high: float | None) -> Array:
    """``array`` between bounds, by its own method: on a few numbers it takes a tenth of the time of array_api_compat's function."""
    if type(array) is np.float64:  # a single number: Python compares it in a tenth of the time again
        return min(max(array, -math.inf if low is None else low), math.inf if high is None else high)
    return array.clip(low, high)


def components(vectors: Array) -> list[Array]:
    """The components of vectors (..., d), (...) each, for elementwise work; see `columns`.

    Those of a single vector of NumPy's, (1, d), are NumPy's numbers, with which it calculates to the same bits in a fifth of the time; but
    write z * z, for their powers are not those of arrays.
    """
    if type(vectors) is np.ndarray and vectors.ndim == 2 and len(vectors) == 1:
        return list(vectors[0])
    return [vectors[..., i] for i in range(vectors.shape[-1])]


def columns(parts: Sequence[Array]) -> Array:
    """Components (...) as the last axis of one array; of a few numbers NumPy's own function takes five times as long."""
    if type(parts[0]) is np.float64:
        return np.array([parts])
    if type(parts[0]) is not np.ndarray:
        return array_namespace(parts[0]).stack(list(parts), axis=-1)
    together = np.empty((*parts[0].shape, len(parts)), dtype=parts[0].dtype)
    for i, part in enumerate(parts):
        together[..., i] = part
    return together


def ones_like(array: Array) -> Array:
    """Ones; of a few numbers NumPy's own function takes four times as long."""
    if type(array) is not np.ndarray:
        return array_namespace(array).ones_like(array)
    ones = np.empty(array.shape, dtype=array.dtype)
    ones.fill(1.0)
    return ones


def nowhere(array: Array) -> Array:
    """False for each number, booleans of its shape."""
    return array < -math.inf


def max_over_actions(table: Array) -> Array:
    """The largest entry along the last axis, (..., B) to (...).

    NumPy reduces a short last axis ten times as slowly as it compares whole columns.
    """
    if not is_numpy_array(table) or table.shape[-1] > MANY_COLUMNS:
        return array_namespace(table).max(table, axis=-1)
    largest = table[..., 0]
    for column in range(1, table.shape[-1]):
        largest = np.maximum(largest, table[..., column])
    return largest


def numpy_view(array: Array) -> np.ndarray | None:
    """``array`` as a NumPy array without a copy, if it is in the CPU's memory and nobody differentiates it; else None."""
    if is_numpy_array(array):
        return array
    if getattr(array, "requires_grad", False) or str(getattr(array, "device", "")) != "cpu":
        return None
    torch = sys.modules.get("torch")
    if torch is not None and getattr(torch.autograd.forward_ad, "_current_level", -1) >= 0:
        return None  # forward-mode derivatives ride on tensors that do not require gradients
    return np.asarray(array)
