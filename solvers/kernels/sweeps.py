"""Soft Bellman sweeps in the layouts that machines like: `stackelberg_envs.planning.value_iteration.soft_value_iteration`, fused.

Value iteration on many processes at once is limited by the order of its reads.  With the batch fastest, V as (S, M), the values of a
successor are M numbers in a row, and ``torch.compile`` fuses several sweeps of all actions into one pass (some ten times faster than eager
gathers of (M, S), on CPU).  On a GPU and up to 1,024 states, `solvers.kernels.triton_sweeps` goes further and keeps V on the chip for as
many sweeps as it takes.  One function chooses: that kernel where it fits, else the compiled chunk if asked for, else array by array.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch

from stackelberg_envs.planning.value_iteration import (
    CertifiedValues,
    convergence_error,
    largest_deficit,
    soft_value_iteration,
    value_interval,
)
from stackelberg_envs.processes.mdp import DecisionProblem
from stackelberg_envs.processes.successor_lists import SuccessorLists

FULL = 1e-12
"""Deficits that the Triton kernel, which has no place for them, may stop as if there were none; the bound counts them."""
CHUNK = 8
"""Sweeps that are compiled together, between two looks at the residual."""


class StackedProblems(NamedTuple):
    """A batch of M processes with common successors, states fastest: what `solvers.kernels.triton_sweeps.sweep_many` takes."""

    reward: torch.Tensor
    """(M, N, B, S)."""
    next_states: torch.Tensor
    """(N or 1, B or 1, K, S), int32."""
    probability: torch.Tensor
    """(M or 1, N, B, K, S)."""
    weight: torch.Tensor
    """(M or 1, N, S)."""
    values: torch.Tensor
    """(M, S)."""


def stack_problems(problem: DecisionProblem, values: torch.Tensor | None, dtype: torch.dtype) -> StackedProblems:
    """``problem``, with one batch axis or none and a transition that is lists, in the layout of the kernels."""
    lists: SuccessorLists = problem.transition
    reward, p, weight = problem.reward, lists.probabilities, problem.weight
    m = max(reward.shape[0] if reward.ndim == 4 else 1, p.shape[0] if p.ndim == 5 else 1, weight.shape[0] if weight.ndim == 3 else 1)
    s, n, b, k = p.shape[-4:]
    reward, p, weight = reward.reshape(-1, s, n, b), p.reshape(-1, s, n, b, k), weight.reshape(-1, s, n)
    table = lists.successors.like(p).reshape(lists.successors.table.shape)
    start = torch.zeros((m, s), dtype=dtype, device=p.device) if values is None else values.reshape(-1, s).to(dtype).expand(m, s)
    return StackedProblems(
        reward.permute(0, 2, 3, 1).to(dtype).expand(m, n, b, s).contiguous(),
        table.permute(1, 2, 3, 0).to(torch.int32).contiguous(),
        p.permute(0, 2, 3, 4, 1).to(dtype).contiguous(),
        weight.permute(0, 2, 1).to(dtype).contiguous(),
        start.contiguous(),
    )


def sweep_problems(
    problem: DecisionProblem,
    discount: float,
    temperature: float,
    *,
    values: torch.Tensor | None = None,
    tolerance: float = 1e-6,
    max_sweeps: int = 100_000,
    dtype: torch.dtype | None = None,
    compile: bool = False,
) -> CertifiedValues:
    """`stackelberg_envs.planning.value_iteration.soft_value_iteration` in torch, fused where it can be.

    Args:
        problem: with one batch axis or none, its transition lists of successors (`stackelberg_envs.SuccessorLists`).
        discount: gamma, below 1.
        temperature: tau > 0.
        values: a warm start.
        tolerance: largest bound that is wanted; not below what rounding in ``dtype`` leaves.
        max_sweeps: give up after so many.
        dtype: in which it sweeps, and the values are; that of the tables if not given.
        compile: on this first use with such sizes, take ten seconds to compile a chunk of sweeps with torch.compile.

    Raises:
        PlanningError: if ``max_sweeps`` are not enough, or the tables are not finite.
    """
    dtype = problem.reward.dtype if dtype is None else dtype
    assert dtype is not None
    s, n, b, k = problem.transition.probabilities.shape[-4:]
    kernel = _triton(problem.reward.device, n, b, k, s)
    if (kernel is None and not compile) or problem.available is not None:  # the kernels have no place for a mask
        still = problem.map(lambda numbers: numbers.to(dtype))
        start = None if values is None else values.to(dtype)
        return soft_value_iteration(still, discount, temperature, values=start, tolerance=tolerance, max_sweeps=max_sweeps)
    tables, deficit = stack_problems(problem, values, dtype), largest_deficit(problem)
    largest = float(tables.reward.abs().max() + temperature * max(1.0, torch.tensor(float(b)).log().item()))
    wanted = max(tolerance, torch.finfo(dtype).eps * discount * largest / (1 - discount) ** 2)
    if kernel is not None:
        options: dict[str, Any] = {"discount": discount, "temperature": temperature, "tolerance": wanted, "max_sweeps": max_sweeps}
        swept, counts, low, high = kernel(*tables, **options, full=deficit <= FULL)
        sweeps = int(counts.max())
    else:
        swept, sweeps, low, high = batch_fastest(tables, discount, temperature, wanted, max_sweeps, deficit)
    middle, bound = value_interval(swept, low, high, discount, deficit)
    if not float(bound.max()) <= 1.001 * wanted:  # the kernel's own comparison is rounded otherwise
        raise convergence_error(max_sweeps, float(bound.max()), wanted)
    shape = np.broadcast_shapes(problem.reward.shape[:-3], problem.weight.shape[:-2], problem.transition.probabilities.shape[:-4])
    return CertifiedValues(middle.reshape(*shape, s), sweeps, bound.reshape(shape))


def batch_fastest(
    tables: StackedProblems, discount: float, temperature: float, tolerance: float, max_sweeps: int, deficit: float
) -> tuple[torch.Tensor, int, torch.Tensor, torch.Tensor]:
    """Compiled sweeps of V (S, M): the last T V (M, S), how many, and the smallest and largest entry of its change, (M,) each."""
    reward, successors, p, weight, v = tables
    step, m = chunk(*p.shape[1:4], *successors.shape[:2]), len(reward)
    r, p, w = (
        reward.permute(1, 2, 3, 0).contiguous(),
        discount * p.permute(1, 2, 3, 4, 0).contiguous(),
        weight.permute(1, 2, 0).contiguous(),
    )
    v, at, tau = v.mT.contiguous(), successors.long(), torch.tensor(temperature, dtype=v.dtype, device=v.device)
    low = high = v.new_full((m,), float("nan"))
    for sweeps in range(CHUNK, max_sweeps + CHUNK, CHUNK):
        v, low, high = step(v, r, at, p, w, tau)
        _, bound = value_interval(v.mT, low, high, discount, deficit)
        if not bool((bound > tolerance).any()):  # NaN ends it too
            return v.mT, sweeps, low, high
    return v.mT, max_sweeps, low, high


@cache
def chunk(n: int, b: int, k: int, next_nodes: int, next_actions: int) -> Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """`CHUNK` sweeps of N nodes, B actions and K successors, unrolled and compiled."""

    def backup(v: torch.Tensor, r: torch.Tensor, at: torch.Tensor, p: torch.Tensor, w: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(v)
        for i in range(n):
            q = []
            for j in range(b):
                rows = at[i if next_nodes > 1 else 0, j if next_actions > 1 else 0]
                value = r[i, j]
                for successor in range(k):
                    value = value + p[i, j, successor] * v[rows[successor]]
                q.append(value)
            top = q[0]
            for value in q[1:]:
                top = torch.maximum(top, value)
            mass = torch.exp((q[0] - top) / tau)
            for value in q[1:]:
                mass = mass + torch.exp((value - top) / tau)
            node = top + tau * torch.log(mass)
            total = node if n == 1 else total + w[i] * node
        return total

    def sweeps(
        v: torch.Tensor, r: torch.Tensor, at: torch.Tensor, p: torch.Tensor, w: torch.Tensor, tau: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        before = v
        for _ in range(CHUNK):
            before, v = v, backup(v, r, at, p, w, tau)
        change = v - before
        return v, change.amin(0), change.amax(0)

    return torch.compile(sweeps, dynamic=False)


def _triton(device: torch.device, n: int, b: int, k: int, s: int) -> Any:
    """The kernel that keeps V on the chip, or None where it does not run."""
    if device.type != "cuda" or find_spec("triton") is None:
        return None
    from . import triton_sweeps

    return triton_sweeps.sweep_many if triton_sweeps.available(device) and triton_sweeps.is_supported(n, b, k, s) else None
