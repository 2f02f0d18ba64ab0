"""The passes of `solvers.estimators.visits` by torch on any device, in log2 T steps instead of a loop over time.

A discounted scan doubles its reach in each step: after k steps every entry holds the part of its sum from the last 2^k entries, and::

    y_t = x_t + gamma y_{t-1} = sum_{j<T} gamma^j x_{t-j};     y <- y_t + gamma^(2^k) y_{t-2^k},   k = 0, 1, ..., ceil(log2 T) - 1

Powers of gamma only multiply, so that none is too small: where one underflows to 0, so does what it stands for.

**Order of summation.**  On the CPU `index_add` adds visits in their order, and one seed gives the same bits.  On CUDA it adds them
atomically, in any order, and the last bits of a table differ from run to run, unless ``torch.use_deterministic_algorithms(True)`` has it
sort them first (on the CPU a sort takes longer than a pass).
"""

from __future__ import annotations

import numpy as np
import torch


def discounted_scan(x: torch.Tensor, discount: float, *, reverse: bool = False) -> torch.Tensor:
    """y_t = x_t + discount y_{t-1} along the last axis, from y_{-1} = 0; differentiable in ``x``.

    Args:
        x: floating, (..., T).
        discount: in [0, 1].
        reverse: y_t = x_t + discount y_{t+1} instead.
    """
    y, step = x.clone(), 1
    while step < x.shape[-1]:
        if reverse:
            y[..., :-step] += discount**step * y[..., step:]  # the right-hand side is a tensor of its own before it is added
        else:
            y[..., step:] += discount**step * y[..., :-step]
        step *= 2
    return y


def returns_by_pair(
    pairs: torch.Tensor, alive: torch.Tensor, rewards: torch.Tensor, discounts: np.ndarray | torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`solvers.estimators.visits.returns_by_pair`; tensors on one device, ``discounts`` from NumPy as well."""
    horizon = pairs.shape[1]
    togo = discounted_scan(rewards, float(discounts[1]), reverse=True) if horizon > 1 else rewards
    weights = torch.as_tensor(discounts[:horizon], dtype=rewards.dtype, device=rewards.device).expand_as(rewards)
    bins = _bins(pairs, alive, size)
    return _sums(torch.ones_like(rewards), bins, size), _sums(togo, bins, size), _sums(weights, bins, size)


def influences_by_pair(pairs: torch.Tensor, alive: torch.Tensor, weight: np.ndarray | torch.Tensor, discount: float) -> torch.Tensor:
    """`solvers.estimators.visits.influences_by_pair`; tensors on one device, ``weight`` from NumPy as well."""
    weight = torch.as_tensor(weight, device=pairs.device)
    bins = _bins(pairs, alive, len(weight))
    of_visits = torch.cat([weight, weight.new_zeros(1)]).index_select(0, bins).reshape(pairs.shape)
    return _sums(discounted_scan(of_visits, discount), bins, len(weight))


def _bins(pairs: torch.Tensor, alive: torch.Tensor, size: int) -> torch.Tensor:
    """The bin of every step, (N * T,); what was not played has one of its own behind all others, cheaper than leaving it out."""
    return torch.where(alive, pairs, size).reshape(-1)


def _sums(values: torch.Tensor, bins: torch.Tensor, size: int) -> torch.Tensor:
    """Sums of ``values`` (N, T) by pair, (size,)."""
    return values.new_zeros(size + 1).index_add(0, bins, values.reshape(-1))[:size]
