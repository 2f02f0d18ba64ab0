"""PyTorch for the checks that compare a game's tables and slopes in it, where it is installed; nothing is imported before it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from .report import NotChecked


def import_torch() -> Any:
    """PyTorch; raises `NotChecked` where there is none, or one that cannot be imported."""
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError) as error:
        raise NotChecked(
            f"torch is missing ({error}), so that nothing is known of slopes; pip install 'stackelberg-envs[solvers]'"
        ) from error
