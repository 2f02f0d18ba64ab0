"""Commitments: vectors of R^n, the usual maps from them to prices, policies and random sets, and where these maps saturate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj, is_numpy_array

from .processes.arrays import Array, array_namespace, detach, numpy_view

LOG_ZERO = -1e30
"""Beside a logarithm, that of nothing; finite, for derivatives of -inf are no numbers."""


class CommitmentError(ValueError):
    """A commitment of the wrong shape, not finite, or outside the leader's space."""


def check_commitment(commitment: Any, dimension: int, name: str) -> Array:
    """``commitment`` as a finite floating-point array (..., n): of NumPy in double precision, of other libraries in its own.

    Args:
        commitment: an array of any library, or what NumPy makes one of.
        dimension: n.
        name: of the game, for messages.

    Raises:
        CommitmentError: if it has the wrong shape or type, or is not finite.
    """
    x: Array = commitment
    if not is_array_api_obj(commitment):
        try:
            x = np.asarray(commitment, dtype=np.float64)
        except (OverflowError, TypeError, ValueError) as error:
            raise CommitmentError(f"{name}: a commitment is an array of {dimension} numbers, got {commitment!r}") from error
    xp = array_namespace(x)
    if is_numpy_array(x) and x.dtype.kind == "f":
        x = x.astype(np.float64, copy=False)  # what is computed from fewer digits would be another game's score
    if not xp.isdtype(x.dtype, "real floating"):
        if not xp.isdtype(x.dtype, "integral"):
            raise CommitmentError(f"{name}: a commitment is an array of real numbers, got dtype {x.dtype}")
        x = xp.astype(x, xp.float64)
    if x.ndim == 0 or x.shape[-1] != dimension:
        raise CommitmentError(f"{name}: a commitment has {dimension} components in its last axis, got shape {tuple(x.shape)}")
    near = numpy_view(detach(x))
    if near is not None and np.isfinite(near).all():  # NumPy looks at a few numbers in a third of another library's time
        return x
    finite = xp.isfinite(x)
    if not bool(xp.all(finite)):
        bad = int(xp.argmin(xp.astype(xp.reshape(finite, (-1,)), xp.int8))) % dimension
        raise CommitmentError(f"{name}: the commitment is not finite (first at component {bad}); every component must be a number")
    return x


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), with finite gradients for all finite x."""
    xp = array_namespace(x)
    return 0.5 + 0.5 * xp.tanh(0.5 * x)


def softmax_policy(x: Array, s: int, a: int) -> Array:
    """log pi(a|s), (..., S, A), of a policy commitment: logits flattened row-major, softmax over A."""
    xp = array_namespace(x)
    logits = xp.reshape(x, (*x.shape[:-1], s, a))
    logits = logits - xp.max(logits, axis=-1, keepdims=True)
    return logits - xp.log(xp.sum(xp.exp(logits), axis=-1, keepdims=True))


def subset_marginals(x: Array, most: int) -> Array:
    """P(i in S), (..., n), of a random set S of at most ``most`` of n items with P(S) proportional to exp(sum_{i in S} x_i).

    For one item that is a softmax over the items and none.  With m = ``most``, e_j the elementary symmetric polynomials of exp(x) and
    E_j = e_0 + ... + e_j, it is exp(x_i) E_{m-1}(others) / E_m(all), and E_{m-1}(others) = sum_j e_j(before i) E_{m-1-j}(after i).
    """
    xp, n = array_namespace(x), x.shape[-1]
    absent = xp.full_like(x[..., :1], LOG_ZERO)

    def and_one_more(polynomials: Array, i: int) -> Array:
        return xp.logaddexp(polynomials, xp.concat([absent, polynomials[..., :-1] + x[..., i : i + 1]], axis=-1))

    nothing = xp.concat([xp.zeros_like(absent), *[absent] * most], axis=-1)
    before, after = [nothing], [xp.zeros_like(nothing)]
    for i in range(n):
        before.append(and_one_more(before[-1], i))
        after.append(and_one_more(after[-1], n - 1 - i))
    pairs = xp.stack([before[i][..., :-1] + xp.flip(after[n - 1 - i][..., :-1], axis=-1) for i in range(n)], axis=-2)  # (..., n, m)
    top = xp.max(pairs, axis=-1)
    others = top + xp.log(xp.sum(xp.exp(pairs - top[..., None]), axis=-1))
    return xp.exp(x + others - after[n][..., -1:])


@dataclass(frozen=True, eq=False)
class Saturation:
    """Where components of a commitment lose their derivative: the softmaxes, sigmoids and softplus that they go through.

    `softmax`, `sigmoid` and `softplus` make one, and ``+`` puts one behind another, as their components follow each other.

    Args:
        group: the softmax of each component, integers (n,) from 0; -1 for none.
        low: which components lose it far below 0, booleans (n,).
        high: which lose it far above 0, booleans (n,).
    """

    group: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def softmax(cls, *sizes: int) -> Saturation:
        """Logits of softmaxes with so many options each, one after the other."""
        return cls(np.repeat(np.arange(len(sizes)), sizes), *np.zeros((2, sum(sizes)), dtype=bool))

    @classmethod
    def sigmoid(cls, count: int) -> Saturation:
        """``count`` components, each of a sigmoid."""
        return cls(np.full(count, -1), *np.ones((2, count), dtype=bool))

    @classmethod
    def softplus(cls, count: int) -> Saturation:
        """``count`` components, each of log(1 + exp(x)), which is as good as 0 far below 0."""
        return cls(np.full(count, -1), np.ones(count, dtype=bool), np.zeros(count, dtype=bool))

    def __add__(self, other: Saturation) -> Saturation:
        moved = np.where(other.group < 0, -1, other.group + self.group.max(initial=-1) + 1)
        pairs = ((self.group, moved), (self.low, other.low), (self.high, other.high))
        return Saturation(*(np.concatenate(pair) for pair in pairs))

    def lift(self, x: np.ndarray, depth: float) -> np.ndarray:
        """The nearest commitment (..., n) whose logits are at most ``depth`` below the largest of their softmax.

        Components of sigmoids are moved to at most ``depth`` from 0 likewise, and of softplus to at least ``-depth``.  Then derivatives are
        not lost: e^-12 of a weight is 6e-6, small enough to be worth nothing, and large enough to be improved from.
        """
        lifted = np.where(self.high, np.minimum(x, depth), x)
        lifted = np.where(self.low, np.maximum(lifted, -depth), lifted)
        tops = np.full((*x.shape[:-1], self.group.max(initial=-1) + 2), -np.inf)  # of each softmax; the last is of components in none
        np.maximum.at(tops, (..., self.group), lifted)  # type: ignore[arg-type]
        tops[..., -1] = -np.inf
        return np.maximum(lifted, tops[..., self.group] - depth)
