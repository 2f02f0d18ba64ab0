"""PyTorch for the checks that compare a game's tables and slopes in it, where it is installed; nothing is imported before it is needed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from .report import NotChecked, require


def import_torch() -> Any:
    """PyTorch; raises `NotChecked` where there is none, or one that cannot be imported."""
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError) as error:
        raise NotChecked(
            f"torch is missing ({error}), so that nothing is known of slopes; pip install 'stackelberg-envs[solvers]'"
        ) from error


def require_slope(name: str, values: Any, weights: np.ndarray, leaf: Any, direction: np.ndarray, difference: float, scale: float) -> float:
    """Require that a weighted sum has the slope along ``direction`` that a central difference gives, within 1e-6 of ``scale``.

    Args:
        name: of the values.
        values: a tensor that was computed from ``leaf``.
        weights: of its entries.
        leaf: the commitment, a tensor (n,).
        direction: (n,).
        difference: the central difference of the weighted sum.
        scale: of what is compared.

    Returns:
        The slope; 0 where the values do not depend on the commitment.
    """
    torch, slope = import_torch(), 0.0
    if values.requires_grad:
        (gradient,) = torch.autograd.grad((values * torch.tensor(weights)).sum(), leaf, retain_graph=True)
        slope = float(gradient @ torch.tensor(direction))
    require(abs(slope - difference) < 1e-6 * scale, f"d {name} is {slope:.9g}, central difference {difference:.9g}")
    return slope
