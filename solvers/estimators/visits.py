"""Sums over visits: what the sampled estimators of incentive design share.

A visit is one step of one episode; visits of the same pair (s, b) are averaged.  The two passes over a batch, backward for returns and
forward for influences, are compiled if numba is there (`solvers.kernels.visits`), to the same bits; where the commitment is on a GPU they
are scans by torch (`solvers.kernels.scans`), and `visit_sums` is where that is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from stackelberg_envs.game import as_tuple
from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.play.rollouts import COMPILED

from ..ascent import Estimate

LOOPED = ("cpu", "mps")
"""Kinds of devices for which passes loop over time, on the CPU; the latter because it has no float64."""


class Tables(NamedTuple):
    """Multipliers of one follower in the gradient of an incentive."""

    reaction: np.ndarray
    """Multiplier of d_x r(s,b), (S, B)."""
    paid: np.ndarray
    """Multiplier of -d_x cost(s,b), (S, B): expected discounted visits of an episode."""


def incentive_gradient(oracle: Oracle, x: torch.Tensor, context: int, tables: list[Tables]) -> torch.Tensor:
    """sum reaction d_x r - sum paid d_x cost over all followers: one vector-Jacobian product, (n,)."""
    leaf = x.detach().clone().requires_grad_()
    incentives = as_tuple(oracle.incentive(leaf, context))
    costs = (None,) * oracle.followers if oracle.leader_cost is None else as_tuple(oracle.leader_cost(leaf, context))
    surrogate: Any = 0.0
    for (reaction, paid), incentive, cost in zip(tables, incentives, costs, strict=True):
        surrogate = surrogate + (_to_tensor(reaction, x) * incentive).sum()
        if cost is not None:
            surrogate = surrogate - (_to_tensor(paid, x) * cost).sum()
    (gradient,) = torch.autograd.grad(surrogate, leaf)
    return gradient


def direct_part(oracle: Oracle, x: torch.Tensor, context: int, tables: list[Tables]) -> torch.Tensor:
    """-sum paid d_x cost over all followers, (n,): the part of `incentive_gradient` with the followers' policies held fixed."""
    if oracle.leader_cost is None:
        return torch.zeros_like(x)
    leaf = x.detach().clone().requires_grad_()
    spent: Any = 0.0
    for (_, paid), cost in zip(tables, as_tuple(oracle.leader_cost(leaf, context)), strict=True):
        spent = spent + (_to_tensor(paid, x) * cost).sum()
    (gradient,) = torch.autograd.grad(-spent, leaf, allow_unused=True, materialize_grads=True)
    return gradient


def incentive_estimate(oracle: Oracle, x: torch.Tensor, context: int, tables: list[Tables], memory: Any = None) -> Estimate:
    """`incentive_gradient` with its two parts, for one vector-Jacobian product of the leader's cost more."""
    gradient, direct = incentive_gradient(oracle, x, context, tables), direct_part(oracle, x, context, tables)
    return Estimate(gradient, memory, direct=direct, response=gradient - direct)


def incentive_parts(oracle: Oracle, x: torch.Tensor, context: int, tables: list[Tables]) -> tuple[torch.Tensor, torch.Tensor]:
    """The two sums of `incentive_gradient`, (n,) each: what the leader pays, and how followers respond."""
    paid = [table._replace(reaction=np.zeros_like(table.reaction)) for table in tables]
    reaction = [table._replace(paid=np.zeros_like(table.paid)) for table in tables]
    return incentive_gradient(oracle, x, context, paid), incentive_gradient(oracle, x, context, reaction)


def powers(discount: float, like: np.ndarray) -> np.ndarray:
    """discount^t along the steps of episodes, (N, T)."""
    return np.broadcast_to(discount ** np.arange(like.shape[1]), like.shape)


def discounted_sums(x: np.ndarray, discount: float, *, ahead: bool = False) -> np.ndarray:
    """y_t = x_t + discount y_{t-1} along the last axis, or, looking ``ahead``, x_t + discount y_{t+1}: a recursive filter of scipy's."""
    from scipy.signal import lfilter

    back = x[..., ::-1] if ahead else x
    summed = np.asarray(lfilter([1.0], [1.0, -discount], back, axis=-1))
    return summed[..., ::-1] if ahead else summed


def returns_by_pair(
    pairs: np.ndarray, alive: np.ndarray, rewards: np.ndarray, discounts: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Over the visits of each pair, (size,): their number, the sum of returns-to-go U_t, and the sum of gamma_L^t.

    Args:
        pairs: s * B + b of each step, (N, T).
        alive: which steps were played, (N, T).
        rewards: the leader's, (N, T), 0 where nothing was played.
        discounts: gamma_L^t, (T,) or longer.
        size: S * B.
    """
    togo = discounted_sums(rewards, discounts[1] if len(discounts) > 1 else 0.0, ahead=True)
    weights = np.broadcast_to(discounts[: alive.shape[1]], alive.shape)
    visited = pairs[alive]
    counts = np.bincount(visited, minlength=size).astype(np.float64)
    return counts, np.bincount(visited, togo[alive], size), np.bincount(visited, weights[alive], size)


def influences_by_pair(pairs: np.ndarray, alive: np.ndarray, weight: np.ndarray, discount: float) -> np.ndarray:
    """Sum over the visits of each pair of W_t = weight + discount W_{t-1}, (S * B,); arguments as in `returns_by_pair`."""
    scanned = discounted_sums(np.where(alive, weight[pairs], 0.0), discount)
    return np.bincount(pairs[alive], scanned[alive], len(weight))


def sarsa_pass(
    table: np.ndarray, pairs: np.ndarray, after: np.ndarray, rewards: np.ndarray, policy: np.ndarray, rate: float, discount: float
) -> None:
    """Update ``table`` (S * B + B,) in place, step by step, towards r + discount sum_b g(b|s') Q(s',b); the last B entries are the end."""
    b_count = policy.shape[1]
    for pair, state, reward in zip(pairs, after, rewards, strict=True):
        ahead = 0.0
        for b in range(b_count):
            ahead += policy[state, b] * table[state * b_count + b]
        table[pair] += rate * (reward + discount * ahead - table[pair])


def fastest_loop(name: str) -> Any:
    """The function of this module with that name, compiled if numba is installed."""
    if not COMPILED:
        return globals()[name]
    from ..kernels import visits

    return getattr(visits, name)


class VisitSums(NamedTuple):
    """Sums over the visits of a batch, on one device.  Arrays (N, T) are moved there once; tables (S * B,) are NumPy's."""

    place: Callable[..., Any]
    """Moves arrays to the device."""
    returns_by_pair: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]
    influences_by_pair: Callable[..., np.ndarray]


def visit_sums(device: torch.device | str) -> VisitSums:
    """`returns_by_pair` and `influences_by_pair` for ``device``: loops over time on the CPU, scans by torch anywhere else."""
    if torch.device(device).type in LOOPED:
        return VisitSums(lambda *arrays: arrays, fastest_loop("returns_by_pair"), fastest_loop("influences_by_pair"))
    from ..kernels import scans

    # Only visits are many.  Tables have S * B numbers: what is done to them between the passes is nothing to a GPU, and stays as it is.
    return VisitSums(
        lambda *arrays: tuple(torch.as_tensor(array, device=device) for array in arrays),
        lambda *batch: _to_numpy(*scans.returns_by_pair(*batch)),
        lambda *batch: _to_numpy(scans.influences_by_pair(*batch))[0],
    )


def centred_means(total: np.ndarray, counts: np.ndarray, b_count: int, *, unvisited_as_zero: bool = False) -> np.ndarray:
    """total(s,b)/n(s,b) - sum_b total/n(s), and 0 for pairs without a visit; all (S * B,).

    With ``unvisited_as_zero`` the mean of such a pair is taken to be 0, and the result there is ``-sum_b total/n(s)``.
    """
    totals, visits = total.reshape(-1, b_count), counts.reshape(-1, b_count)
    states = visits.sum(-1, keepdims=True)
    means = totals / np.maximum(visits, 1) - totals.sum(-1, keepdims=True) / np.maximum(states, 1)
    return (means if unvisited_as_zero else np.where(visits > 0, means, 0.0)).ravel()


def _to_numpy(*tables: torch.Tensor) -> Any:
    """Tensors as NumPy arrays."""
    return tuple(table.cpu().numpy() for table in tables)


def _to_tensor(table: np.ndarray, x: torch.Tensor) -> torch.Tensor:
    """A table (S, B) as a tensor (S, 1, B), of the dtype and on the device of ``x``."""
    return torch.as_tensor(table, dtype=x.dtype, device=x.device)[:, None]
