"""Arrays of any library: as Python numbers, without history, in NumPy's memory."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

Array = Any
"""An array of any library that follows the array-API standard (NumPy, torch, ...)."""
MANY_COLUMNS = 16
"""Columns from which on NumPy reduces an axis as fast as it compares columns."""


def as_float(scalar: Array) -> float:
    """A scalar array as a Python float, without its history."""
    return float(detach(scalar))


def detach(array: Array) -> Array:
    """The same array without the history that torch keeps for derivatives."""
    return array.detach() if hasattr(array, "detach") else array


def as_numpy(array: Array) -> np.ndarray:
    """The same numbers in NumPy, copied from a device if they are on one, without history."""
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)


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
