"""Histories of runs as event files, the curves that TensorBoard shows: ``tensorboard --logdir tensorboard``."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np


def write(table: dict[str, np.ndarray], folder: Path) -> int:
    """Write a folder a run, ``GAME/LABEL/seed-SEED-ID``, with a curve for each number of its reports against ``commitments``.

    The wall time of a point is the run's seconds, so that TensorBoard's relative time is the time of the solver.  Event files that are
    there of the same runs are replaced; nothing else is.

    Args:
        table: a row a report, of `baselines.bench.results_table.read_results` with ``history``.
        folder: where to.

    Returns:
        The number of runs.

    Raises:
        ImportError: without the package tensorboard.
    """
    writer_class = _library()
    runs: dict[tuple[str, str], list[int]] = {}
    for row, run in enumerate(zip(table["file"].tolist(), table["id"].tolist(), strict=True)):
        runs.setdefault(run, []).append(row)
    constant = {"seed", "budget", "start_scale", "score_horizon", "score_discount"}
    curves = [name for name, column in table.items() if column.dtype != object and name not in constant | {"seconds", "commitments"}]
    for (_, name), rows in runs.items():
        first = rows[0]
        parts = [_file_name(table[column][first]) for column in ("game", "label")]
        place = folder.joinpath(*parts, f"seed-{int(table['seed'][first])}-{name}")
        for old in place.glob("events.out.tfevents.*"):
            old.unlink()
        with writer_class(log_dir=str(place)) as writer:
            for row in rows:
                for curve in curves:
                    if math.isfinite(value := float(table[curve][row])):
                        step, seconds = int(table["commitments"][row]), float(table["seconds"][row])
                        writer.add_scalar(curve, value, global_step=step, walltime=seconds, new_style=True, double_precision=True)
    return len(runs)


def _library() -> Any:
    """The class that writes event files."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("event files need tensorboard: pip install 'stackelberg-envs[tensorboard]'") from error
    return SummaryWriter


def _file_name(text: Any) -> str:
    """Letters, digits and dashes."""
    return re.sub(r"[^\w.]+", "-", str(text)).strip("-") or "run"
