"""Interquartile means and bootstrap intervals over seeds (Agarwal et al., NeurIPS 2021), from scipy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest, bootstrap, trim_mean


class Interval(NamedTuple):
    """A location over seeds with its 95 % interval."""

    centre: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.centre:.3f}" if self.seeds == 1 else f"{self.centre:.3f} [{self.low:.3f}, {self.high:.3f}]"


def iqm(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean of the middle half."""
    return trim_mean(values, 0.25, axis=axis)


def summary(values: list[float]) -> Interval:
    """Interquartile mean with a 95 % percentile bootstrap interval over seeds; no interval from a single seed."""
    return _bootstrap(values, iqm, 2000)


def mean_interval(values: list[float]) -> Interval:
    """Mean with a 95 % percentile bootstrap interval over seeds, for comparison with published means; none from a single seed."""
    return _bootstrap(values, np.mean, 10000)


def _bootstrap(values: list[float], location: Callable[..., Any], resamples: int) -> Interval:
    data = np.asarray(values, dtype=np.float64)
    centre = float(location(data))
    if len(data) < 2:
        return Interval(centre, centre, centre, len(data))
    drawn = bootstrap((data,), location, n_resamples=resamples, method="percentile", rng=np.random.default_rng(0), vectorized=True)
    return Interval(centre, float(drawn.confidence_interval.low), float(drawn.confidence_interval.high), len(data))


class Share(NamedTuple):
    """A fraction of seeds, with its 95 % interval (Wilson)."""

    successes: int
    seeds: int
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.successes} of {self.seeds} [{self.low:.2f}, {self.high:.2f}]"


def share(successes: int, seeds: int) -> Share:
    """How many of the seeds, and the interval of their probability."""
    interval = binomtest(successes, seeds).proportion_ci(method="wilson")
    return Share(successes, seeds, float(interval.low), float(interval.high))


def step_function(x: np.ndarray, y: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A history on a grid: the value of the last report until then, and NaN before the first, where nothing is known.

    Args:
        x: when the reports were, ascending, (k,).
        y: what they said, (k,).
        grid: where to read, any shape.

    Returns:
        Values, the shape of ``grid``.
    """
    last = np.searchsorted(x, grid, side="right") - 1
    return np.where(last < 0, np.nan, np.asarray(y, dtype=np.float64)[last])


def curve(
    xs: list[np.ndarray], ys: list[np.ndarray], grid: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Seeds' histories on one grid (120 equal steps if not given): (grid, iqm, low, high), the band by bootstrap over seeds.

    A history is a `step_function`.  All three are NaN where a seed has not reported yet: the others alone are another sample.
    """
    grid = np.linspace(0, max(float(x[-1]) for x in xs), 120) if grid is None else grid
    table = np.stack([step_function(x, y, grid) for x, y in zip(xs, ys, strict=True)])
    known = ~np.isnan(table).any(axis=0)  # trimming would take a NaN for the highest value, and slowly
    rng = np.random.default_rng(0)
    drawn = iqm(table[rng.integers(len(table), size=(500, len(table)))][..., known], axis=1)
    lines = np.full((3, len(grid)), np.nan)
    lines[:, known] = iqm(table[:, known]), np.quantile(drawn, 0.025, axis=0), np.quantile(drawn, 0.975, axis=0)
    return grid, lines[0], lines[1], lines[2]
