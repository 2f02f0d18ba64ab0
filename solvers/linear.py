"""Linear solves in torch, one signature: dense LU with the factors kept, and BiCGSTAB for chains that are lists.

`LU` is a `stackelberg_envs.planning.linear_systems.Factorisation`: it factorises once, and every further solve (value, occupancy,
adjoint) is two triangular ones.
"""

from __future__ import annotations

from typing import Any

import torch

from stackelberg_envs.planning.linear_systems import System

GRADIENT = 1e-10
"""Residual to which iterative solves for gradients go, in relation to the right side."""


class LU:
    """M = P L U, batched.

    Args:
        matrix: (..., S, S).
    """

    def __init__(self, matrix: torch.Tensor) -> None:
        self._factors, self._pivots = torch.linalg.lu_factor(matrix)
        self.solves = 0
        """How often it has been solved with, for the ledger."""

    def solve(self, rhs: torch.Tensor, tolerance: float | None = None) -> torch.Tensor:
        """M^{-1} rhs for rhs (..., S)."""
        self.solves += 1
        return torch.linalg.lu_solve(self._factors, self._pivots, rhs[..., None])[..., 0]

    def solve_transposed(self, rhs: torch.Tensor, tolerance: float | None = None) -> torch.Tensor:
        """M^{-T} rhs for rhs (..., S)."""
        self.solves += 1
        return torch.linalg.lu_solve(self._factors, self._pivots, rhs[..., None], adjoint=True)[..., 0]


def factors(matrix: torch.Tensor | System) -> Any:
    """A `stackelberg_envs.planning.linear_systems.system`, made ready to be solved with often, by its type."""
    return matrix.factorise(GRADIENT) if isinstance(matrix, System) else LU(matrix)
