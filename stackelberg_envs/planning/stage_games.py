"""The saddle points of many regularised matrix games at once: the stage games of `stackelberg_envs.planning.saddle_point`.

With payoffs q (B_0, B_1) to the first player and both entropies at temperature tau a matrix game is strictly convex-concave and has one
equilibrium, the quantal response equilibrium of McKelvey and Palfrey (Games and Economic Behavior 1995)::

    max_u min_w  u' q w + tau H(u) - tau H(w)          u = softmax(q w / tau),  w = softmax(-q' u / tau)

u is eliminated, and ``f(w) = tau LSE(q w / tau) - tau H(w)`` is convex.  Newton's direction is taken in dw / w and followed in w, or in
log w where a probability vanishes (it may have to become e^-1000), and halved until f falls (Armijo).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..processes.arrays import Array, array_namespace, as_float
from ..processes.mdp import entropy
from .linear_systems import PlanningError
from .value_iteration import softmax_backup

MAX_STAGE_STEPS = 300
STAGE_TOLERANCE = 500
"""A stage game is solved when its duality gap is below so many roundings of its payoffs (1e-13 of them in float64), and below what rounded
payoffs make of the policies: some roundings of payoffs squared over the temperature."""


class Stage(NamedTuple):
    """Solved stage games; ``...`` are states, nodes and batch axes."""

    values: Array
    """(...)."""
    first: Array
    """u, (..., B_0)."""
    second: Array
    """w, (..., B_1)."""
    logits: Array
    """log w, (..., B_1), the warm start of the next call."""


def stage_saddle(q: Array, temperature: float, logits: Array | None = None, *, available: tuple[Array, Array] | None = None) -> Stage:
    """The regularised saddle points of many matrix games at once.

    Args:
        q: payoffs to the first player, (..., B_0, B_1).
        temperature: tau > 0, of both.
        logits: a warm start (..., B_1) for log w.
        available: which actions each player has, booleans (..., B_0) and (..., B_1), each at least one; all if not given.

    Raises:
        PlanningError: if a duality gap stays above `STAGE_TOLERANCE` (payoffs not finite, or a temperature too small for the dtype).
    """
    xp = array_namespace(q)
    tau = temperature
    size = xp.abs(q)
    if logits is None and tau < as_float(1 + xp.max(size) + tau) / 100:  # cold games are reached through warmer ones
        logits = stage_saddle(q, 4 * tau, available=available).logits
    rows, columns = (None, None) if available is None else available
    start = xp.zeros_like(q[..., 0, :]) if logits is None else logits
    log_w = _log_normalise(start if columns is None else _forbid(xp.where(xp.isfinite(start), start, 0.0), columns))
    best, kept, tolerance = xp.full_like(q[..., 0, 0], float("inf")), log_w, xp.zeros_like(q[..., 0, 0])
    f, u = _loss(q, log_w, tau, rows)
    for _ in range(MAX_STAGE_STEPS):
        scale = 1 + xp.sum(u * _matvec(size, xp.exp(log_w)), axis=-1) + tau  # of payoffs that are met: one that forbids an action is not
        rounded = float(xp.finfo(q.dtype).eps) * scale
        tolerance = rounded * (STAGE_TOLERANCE + 8 * scale / tau)
        noise = 64 * rounded  # of f: near the end a step is whole, because f cannot tell
        low, _ = softmax_backup(_forbid(-_matvec(xp.matrix_transpose(q), u), columns), tau)
        gap = f - (tau * entropy(u) - low)
        better = gap < best
        best, kept = xp.where(better, gap, best), xp.where(better[..., None], log_w, kept)
        if bool(xp.all(best <= tolerance)):
            break
        d, slope = _newton(q, log_w, u, tau)
        t = xp.ones_like(f)
        for _ in range(40):
            ahead = _step_weights(log_w, t[..., None] * d)
            reached = _loss(q, ahead, tau, rows)
            worse = reached[0] > f + 1e-4 * t * slope + noise
            if not bool(xp.any(worse)):
                break
            t = xp.where(worse, t / 2, t)
        else:
            ahead = _step_weights(log_w, t[..., None] * d)
            reached = _loss(q, ahead, tau, rows)
        log_w, (f, u) = ahead, reached
    else:
        if not bool(xp.all(best <= 1e3 * tolerance)):
            raise PlanningError(
                f"a stage game was not solved in {MAX_STAGE_STEPS} steps of {q.dtype}: its duality gap is {as_float(xp.max(best)):.3g}; "
                "are the payoffs finite, and is the temperature within reach of the dtype?"
            )
    # The gap is of second order in the policies: one more step, whole, because f cannot tell any more.
    kept = _step_weights(kept, _newton(q, kept, _loss(q, kept, tau, rows)[1], tau)[0])
    f, u = _loss(q, kept, tau, rows)
    return Stage(f, u, xp.exp(kept), kept)


def _forbid(worths: Array, available: Array | None) -> Array:
    """Logits or what actions are worth, (..., B), and -inf where a player does not have them."""
    return worths if available is None else array_namespace(worths).where(available, worths, -float("inf"))


def _loss(q: Array, log_w: Array, tau: float, rows: Array | None) -> tuple[Array, Array]:
    """f(w), (...), and the first player's answer u, (..., B_0), of the ``rows`` that it has."""
    xp = array_namespace(q)
    w = xp.exp(log_w)
    best, u = softmax_backup(_forbid(_matvec(q, w), rows), tau)
    return best + tau * xp.sum(w * xp.where(w > 0, log_w, 0.0), axis=-1), u


def _newton(q: Array, log_w: Array, u: Array, tau: float) -> tuple[Array, Array]:
    """Newton's direction d = dw / w, (..., B_1), and the slope of f along it, (...).

    (tau I + q' C q W / tau) d = nu - (q' u + tau log w), with w.d = 0, W = diag(w) and C = diag(u) - u u'.
    """
    xp = array_namespace(q)
    w = xp.exp(log_w)
    gradient = _matvec(xp.matrix_transpose(q), u) + tau * xp.where(xp.isfinite(log_w), log_w, 0.0)  # -inf: the column is not there
    centred = u[..., None] * (q - xp.sum(u[..., None] * q, axis=-2, keepdims=True))
    identity = xp.eye(q.shape[-1], dtype=q.dtype, device=q.device)
    matrix = tau * identity + xp.matmul(xp.matrix_transpose(q), centred) * w[..., None, :] / tau
    both = xp.linalg.solve(matrix, xp.stack([gradient, xp.ones_like(gradient)], axis=-1))
    nu = xp.sum(w * both[..., 0], axis=-1) / xp.sum(w * both[..., 1], axis=-1)
    d = nu[..., None] * both[..., 1] - both[..., 0]
    return d, xp.sum(w * gradient * d, axis=-1)


def _step_weights(log_w: Array, d: Array) -> Array:
    """log of w (1 + d), normalised; a straight line in w, save where it would lose more than nine tenths: from there on linear in log w."""
    xp = array_namespace(d)
    straight = d > -0.9
    return _log_normalise(log_w + xp.where(straight, xp.log1p(xp.where(straight, d, 0.0)), d + 0.9 + math.log(0.1)))


def _log_normalise(logits: Array) -> Array:
    """Log-probabilities."""
    total, _ = softmax_backup(logits, 1.0)
    return logits - total[..., None]


def _matvec(matrix: Array, vector: Array) -> Array:
    """(..., m, n) times (..., n)."""
    return array_namespace(matrix).matmul(matrix, vector[..., None])[..., 0]
