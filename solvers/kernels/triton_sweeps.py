"""Many soft Bellman sweeps in one launch of a Triton kernel, the values kept on chip: one program for each of M decision problems.

With nodes n of the follower, weights w(n|s), its actions b, successors k of each, and the temperature tau, one sweep is::

    q(n,b,s) = r(n,b,s) + gamma sum_k p(n,b,k,s) V(next(n,b,k,s))
    TV(s)    = sum_n w(n|s) tau log sum_b exp(q(n,b,s) / tau)

The kernel works on V log2(e) / tau and on gamma p, so that exp and log are exp2 and log2 and the loop multiplies nothing but p and V.
The state is the last axis of every table: a thread owns a state, loads its tables once, and sums over its own registers.  All values that
a sweep needs come from one gather through shared memory, which is two barriers a sweep; a gather for each successor would be two each.
Threads beyond the last state repeat the last state, which leaves minima and maxima as they are, and the loop without masks.

Importing this module needs triton: whoever calls it imports it where it is used, after ``importlib.util.find_spec("triton")``.  Without a
GPU it runs in triton's interpreter, if ``TRITON_INTERPRET=1`` is set before the import; `solvers.kernels.inspect` counts instructions.
"""

# The kernel is in triton's language, which is not quite Python.
# pyright: reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportOperatorIssue=false

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs
from triton.language.extra.cuda import libdevice

STATES, TERMS = 1024, 64  # most states; most products N B K of a state, all unrolled and held in registers
INTERPRETED = bool(knobs.runtime.interpret)  # settled when the kernel below is decorated


@triton.jit(do_not_specialize=["size", "max_sweeps", "probability_stride", "weight_stride"])
def kernel(
    reward,
    next_states,
    probability,
    weight,
    values,
    out,
    used,
    bounds,
    size: tl.int32,
    max_sweeps: tl.int32,
    probability_stride: tl.int32,  # 0 if all problems share their table
    weight_stride: tl.int32,
    discount: tl.float64,  # a float would arrive as float32
    scale: tl.float64,  # log2(e) / tau
    unscale: tl.float64,
    limit: tl.float64,  # of high - low, in scaled values
    nodes: tl.constexpr,
    actions: tl.constexpr,
    successors: tl.constexpr,
    next_nodes: tl.constexpr,  # 1 if nodes share their successors
    next_actions: tl.constexpr,  # 1 if actions do
    depth: tl.constexpr,  # 2^depth >= next_nodes next_actions successors
    block: tl.constexpr,  # 2^i >= size
    check: tl.constexpr,
    full: tl.constexpr,
    approximate: tl.constexpr,  # log2 in one instruction, with an error of 2^-22; otherwise a polynomial of 14
) -> None:
    """Up to ``max_sweeps`` of one problem; see `sweep_many`."""
    dtype: tl.constexpr = values.dtype.element_ty
    rows: tl.constexpr = next_nodes * next_actions * successors
    gamma, inward = tl.full((), discount, dtype), tl.full((), scale, dtype)  # not .to: the interpreter leaves these arguments floats
    outward, wide = tl.full((), unscale, dtype), tl.full((), limit, dtype)
    problem = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, block)
    state = tl.minimum(lane, size - 1)
    r, p, w = (), (), ()
    for n in tl.static_range(nodes):
        if nodes > 1:
            w += (tl.load(weight + problem * weight_stride + n * size + state),)
        for b in tl.static_range(actions):
            r += (tl.load(reward + (problem * nodes * actions + n * actions + b) * size + state) * inward,)
            for k in tl.static_range(successors):
                row = probability + problem * probability_stride + ((n * actions + b) * successors + k) * size
                p += (tl.load(row + state) * gamma,)
    cell = tl.arange(0, 2**depth * block)  # rows beyond the last are loaded here and never gathered: nothing reads them
    index = tl.load(next_states + tl.minimum(cell // block, rows - 1) * size + tl.minimum(cell % block, size - 1))
    v = tl.load(values + problem * size + state) * inward
    low = tl.zeros((), dtype)
    high = tl.zeros((), dtype)
    sweeps = 0
    going = sweeps < max_sweeps
    while going:
        before = v
        for _ in tl.static_range(check):
            before = v
            ahead = (tl.gather(v, index, 0),)
            for level in tl.static_range(depth):  # into its rows, by halves: no data moves, a thread has its state of every row
                halves = ()
                for i in tl.static_range(2**level):
                    halves += tl.split(tl.trans(tl.reshape(ahead[i], (2, 2 ** (depth - 1 - level) * block))))
                ahead = halves
            for n in tl.static_range(nodes):
                q = ()
                for b in tl.static_range(actions):
                    total = r[n * actions + b]
                    for k in tl.static_range(successors):  # an index that had a name would be no constant
                        found = ahead[((n if next_nodes > 1 else 0) * next_actions + (b if next_actions > 1 else 0)) * successors + k]
                        total += p[(n * actions + b) * successors + k] * found
                    q += (total,)
                top = q[0]
                for b in tl.static_range(1, actions):
                    top = tl.maximum(top, q[b])
                mass = tl.exp2(q[0] - top)
                for b in tl.static_range(1, actions):
                    mass += tl.exp2(q[b] - top)
                node = top + (libdevice.fast_log2f(mass) if approximate else tl.log2(mass))
                if nodes > 1:
                    node = w[n] * node
                v = node if n == 0 else v + node
        sweeps += check
        change = v - before
        known = change == change  # minima and maxima pass over NaN, but not over what stands for it here
        edges = tl.join(tl.where(known, change, float("inf")), tl.where(known, -change, float("inf")))
        high, low = tl.split(tl.max(edges, 0))  # one round through shared memory for both
        low = -low
        gap = high - low if full else tl.maximum(high, 0.0) - tl.minimum(low, 0.0)
        going = (gap > wide) & (gap < float("inf")) & (sweeps < max_sweeps)
    finite = high - low < float("inf")
    tl.store(out + problem * size + state, v * outward, mask=lane < size)
    tl.store(used + problem, sweeps)
    tl.store(bounds + 2 * problem, tl.where(finite, low * outward, float("nan")))
    tl.store(bounds + 2 * problem + 1, tl.where(finite, high * outward, float("nan")))


def available(device: torch.device | str) -> bool:
    """Whether the kernel runs there: on a CUDA device, or anywhere in the interpreter."""
    return INTERPRETED or torch.device(device).type == "cuda"


def is_supported(n: int, b: int, k: int, s: int) -> bool:
    """Whether the kernel takes N nodes, B actions, K successors and S states."""
    return min(n, b, k, s) >= 1 and n * b * k <= TERMS and s <= STATES


def shape_of_launch(n: int, b: int, k: int, s: int, next_nodes: int, next_actions: int) -> tuple[dict[str, int], int]:
    """The constants of `kernel` that follow from sizes, and the number of warps: up to 256 threads of a state each, then of several."""
    block = max(32, triton.next_power_of_2(s))
    depth = (next_nodes * next_actions * k - 1).bit_length()
    constants = {"nodes": n, "actions": b, "successors": k, "next_nodes": next_nodes, "next_actions": next_actions}
    return {**constants, "depth": depth, "block": block}, min(8, block // 32)


def sweep_many(
    reward: Tensor,
    next_states: Tensor,
    probability: Tensor,
    weight: Tensor,
    values: Tensor,
    *,
    discount: float,
    temperature: float,
    tolerance: float,
    max_sweeps: int,
    full: bool,
    check: int = 4,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Soft value iteration on M problems, each until its values are known to ``tolerance``.

    Every ``check`` sweeps r = TV - V of the last is looked at.  The fixed point is between TV + discount / (1 - discount) lo and
    TV + discount / (1 - discount) hi, and a problem is done when the middle of these is within ``tolerance`` of both.

    Args:
        reward: (M, N, B, S), float32 or float64, as all but the successors.
        next_states: (N or 1, B or 1, K, S), int32 in [0, S), not checked, the same in all problems.  Padding has probability 0.
        probability: (M or 1, N, B, K, S).
        weight: (M or 1, N, S), the probability of each node in a state; not read where N = 1.
        values: (M, S), where to begin.
        discount: in [0, 1).
        temperature: above 0.
        tolerance: 0 for ``max_sweeps`` or a fixed point.  In float32 one below the rounding of values may never be reached.
        max_sweeps: at least 1; rounded up to a multiple of ``check``.
        full: all rows of probabilities sum to 1, and (lo, hi) = (min r, max r); otherwise (min(min r, 0), max(max r, 0)).
        check: sweeps between two looks.

    Returns:
        TV (M, S), sweeps (M,) in int32, min r (M,) and max r (M,) of the last sweep.  Both are NaN where some r is not finite; such a
        problem ends at the next look.

    Raises:
        ValueError: if the kernel does not take these sizes, shapes, types or devices.
    """
    if reward.ndim != 4 or next_states.ndim != 4:
        raise ValueError(
            f"reward is (M, N, B, S) and next_states (N or 1, B or 1, K, S), not {(*reward.shape,)} and {(*next_states.shape,)}"
        )
    m, n, b, s = reward.shape
    k = next_states.shape[2]
    if not is_supported(n, b, k, s) or m < 1:
        raise ValueError(f"the kernel takes 1 to {STATES} states and N B K of 1 to {TERMS}, not M, N, B, K, S = {(m, n, b, k, s)}")
    for name, tensor, allowed in (
        ("next_states", next_states, [(i, j, k, s) for i in (n, 1) for j in (b, 1)]),
        ("probability", probability, [(m, n, b, k, s), (1, n, b, k, s)]),
        ("weight", weight, [(m, n, s), (1, n, s)]),
        ("values", values, [(m, s)]),
    ):
        if tuple(tensor.shape) not in allowed:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, not {' or '.join(map(str, dict.fromkeys(allowed)))}")
        if tensor.device != reward.device:
            raise ValueError(f"{name} is on {tensor.device}, reward on {reward.device}")
        if tensor.dtype != (torch.int32 if name == "next_states" else reward.dtype):
            raise ValueError(f"{name} is {tensor.dtype} where reward is {reward.dtype}; successors are int32")
    if reward.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"tables are float32 or float64, not {reward.dtype}")
    if not available(reward.device):
        raise ValueError(f"tensors are on {reward.device}, not on a CUDA device, and TRITON_INTERPRET=1 was not set at import")
    if not (0 <= discount < 1 and temperature > 0 and tolerance >= 0 and max_sweeps >= 1 and check >= 1):
        raise ValueError("0 <= discount < 1, temperature > 0, tolerance >= 0, max_sweeps >= 1 and check >= 1 do not all hold")
    scale = math.log2(math.e) / temperature
    constants, warps = shape_of_launch(n, b, k, s, next_states.shape[0], next_states.shape[1])
    out, bounds = torch.empty_like(values, memory_format=torch.contiguous_format), values.new_empty((m, 2))
    used = torch.empty(m, dtype=torch.int32, device=values.device)
    launch: Any = kernel[(m,)]
    with torch.cuda.device_of(reward):  # a launch goes to the current device
        launch(
            reward.contiguous(),
            next_states.contiguous(),
            probability.contiguous(),
            weight.contiguous(),
            values.contiguous(),
            out,
            used,
            bounds,
            s,
            max_sweeps,
            n * b * k * s if len(probability) > 1 else 0,
            n * s if len(weight) > 1 else 0,
            discount,
            scale,
            1 / scale,
            2 * tolerance * (1 - discount) / discount * scale if discount else math.inf,
            **constants,
            check=check,
            full=full,
            approximate=reward.dtype == torch.float32 and not INTERPRETED and torch.version.hip is None,
            num_warps=warps,
            enable_fp_fusion=True,  # the default is about to change
        )
    return out, used, bounds[:, 0], bounds[:, 1]
