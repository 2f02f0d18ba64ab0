"""Sparse matrices that hold the rows of a table over next states: one (S, S) for each follower action, or one (S*B, S) for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .validation import Label, check_finite, check_real_dtype, entry_label, tolerance


@dataclass(frozen=True)
class SparseRows:
    """The rows (s, b) of a table over next states."""

    matrix: Any
    """A `scipy.sparse.csr_array` (S*B, S), row s*B + b, its columns ascending, each once, none of them 0."""
    actions: int
    """B."""
    label: Label
    """What an entry or a row of ``matrix`` is called, by the indices of what was given."""
    rounding: float
    """How far sums of rows may be from 1 by rounding."""

    @property
    def entries(self) -> tuple[np.ndarray, Label]:
        """The stored numbers, and their names by their number."""
        rows, columns = self.matrix.nonzero()
        return self.matrix.data, lambda i: self.label(int(rows[i]), int(columns[i]))


def is_sparse(given: Any) -> bool:
    """Whether ``given`` is a sparse matrix of scipy's, told without importing it."""
    return hasattr(given, "tocsr")


def are_sparse(given: Any) -> bool:
    """Whether ``given`` is a sequence with sparse matrices in it."""
    return isinstance(given, (list, tuple)) and any(is_sparse(one) for one in given)


def rows_of_stack(name: str, given: Any) -> SparseRows:
    """The rows of one sparse matrix (S*B, S), row s*B + b.

    Raises:
        ValueError: if its shape is another, or an entry is not a finite real number.
    """
    rows, columns = given.shape
    if columns == 0 or rows == 0 or rows % columns:
        raise ValueError(f"{name} has shape {given.shape}: one sparse matrix has the shape (S*B, S), row s*B + b")
    return SparseRows(_csr(name, given), rows // columns, entry_label(name), tolerance(given.dtype))


def rows_by_action(name: str, given: Any) -> SparseRows:
    """The rows of B sparse matrices (S, S), one for each follower action.

    Raises:
        ValueError: if their shapes are others, or an entry is not a finite real number.
    """
    from scipy.sparse import csr_array, vstack

    b, s = len(given), given[0].shape[-1] if is_sparse(given[0]) else 0
    for action, one in enumerate(given):
        if not is_sparse(one) or one.shape != (s, s) or s == 0:
            what = f"a sparse matrix of shape {one.shape}" if is_sparse(one) else f"a {type(one).__name__}"
            raise ValueError(f"{name}[{action}] is {what}: a list has one sparse matrix (S, S) for each follower action, all of one S")
    each = [_csr(f"{name}[{action}]", one) for action, one in enumerate(given)]
    rows = csr_array(vstack(each))[np.arange(b * s).reshape(b, s).T.ravel()]

    def label(row: int, *column: int) -> str:
        return entry_label(f"{name}[{row % b}]")(row // b, *column)

    return SparseRows(rows, b, label, max(tolerance(one.dtype) for one in given))


def _csr(name: str, given: Any) -> Any:
    """A new matrix of finite float64 numbers."""
    from scipy.sparse import csr_array

    check_real_dtype(name, given.dtype)
    matrix: Any = csr_array(given, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    rows, columns = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices
    check_finite(matrix.data, lambda i: entry_label(name)(int(rows[i]), int(columns[i])))
    matrix.eliminate_zeros()
    return matrix
