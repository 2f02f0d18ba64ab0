"""Arrays of any library: as Python numbers, without history, in NumPy's memory."""

from __future__ import annotations

import os
import sys
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
    return array.clip(low, high)


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
