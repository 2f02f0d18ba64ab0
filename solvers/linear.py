"""Linear solves in torch, one signature: dense LU with the factors kept.

`LU` is a `stackelberg_envs.planning.Factorised`: it factorises once, and every further solve (value, occupancy, adjoint) is two
triangular ones.
"""

from __future__ import annotations

import torch


class LU:
    """M = P L U, batched.

    Args:
        matrix: (..., S, S).
    """

    def __init__(self, matrix: torch.Tensor) -> None:
        self._factors, self._pivots = torch.linalg.lu_factor(matrix)
        self.solves = 0
        """How often it has been solved with, for the ledger."""

    def solve(self, rhs: torch.Tensor) -> torch.Tensor:
        """M^{-1} rhs for rhs (..., S)."""
        self.solves += 1
        return torch.linalg.lu_solve(self._factors, self._pivots, rhs[..., None])[..., 0]

    def solve_transposed(self, rhs: torch.Tensor) -> torch.Tensor:
        """M^{-T} rhs for rhs (..., S)."""
        self.solves += 1
        return torch.linalg.lu_solve(self._factors, self._pivots, rhs[..., None], adjoint=True)[..., 0]
