"""What other libraries do with the same tables: soft sweeps in JAX and in eager torch, and QuantEcon's modified policy iteration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from solvers.kernels.sweeps import StackedProblems
from stackelberg_envs.processes.mdp import DecisionProblem
from stackelberg_envs.processes.successor_lists import SuccessorLists


@contextmanager
def pinned() -> Iterator[None]:
    """On one core while this lasts, so that libraries which size their pools by what they see have one thread."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def eager_sweeps(tables: StackedProblems, discount: float, temperature: float, sweeps: int) -> Callable[[], torch.Tensor]:
    """The obvious layout: V is (M, S), gathered by (S, B, K), array by array."""
    r, p = tables.reward[:, 0].mT.contiguous(), discount * tables.probability[:, 0].permute(0, 3, 1, 2).contiguous()
    at = tables.next_states[0].permute(2, 0, 1).long().contiguous()

    def run() -> torch.Tensor:
        v = tables.values
        for _ in range(sweeps):
            v = temperature * torch.logsumexp((r + (p * v[:, at]).sum(-1)) / temperature, -1)
        return v

    return run


def jax_sweeps(tables: StackedProblems, discount: float, temperature: float, sweeps: int, *, unrolled: int = 1) -> Callable[[], Any]:
    """V is (S, M) as in `solvers.kernels.sweeps`, jitted: a loop of ``sweeps`` whose body holds ``unrolled`` of them."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    r, p = (
        jnp.asarray(np.ascontiguousarray(t.numpy())) for t in (tables.reward[:, 0].permute(1, 2, 0), discount * tables.probability[0, 0])
    )
    at, v0 = jnp.asarray(tables.next_states[0].numpy()), jnp.asarray(tables.values.T.contiguous().numpy())
    actions, successors = p.shape[:2]

    def sweep(v: Any, r: Any, at: Any, p: Any) -> Any:
        q = []
        for b in range(actions):
            rows = at[b if len(at) > 1 else 0]
            q.append(r[b] + sum(p[b, k][:, None] * v[rows[k]] for k in range(successors)))
        top = q[0]
        for value in q[1:]:
            top = jnp.maximum(top, value)
        return top + temperature * jnp.log(sum(jnp.exp((value - top) / temperature) for value in q))

    def many(v: Any, r: Any, at: Any, p: Any) -> Any:
        def body(_: int, v: Any) -> Any:
            for _ in range(unrolled):
                v = sweep(v, r, at, p)
            return v

        return jax.lax.fori_loop(0, sweeps // unrolled, body, v)

    compiled = jax.jit(many)
    return lambda: compiled(v0, r, at, p).block_until_ready()


def quantecon_problem(problem: DecisionProblem, discount: float) -> Any:
    """`DiscreteDP` of a problem of NumPy arrays with one node a state: dense as given, lists as sparse state-action pairs."""
    from quantecon.markov import DiscreteDP

    reward, transition = problem.reward[:, 0], problem.transition
    if not isinstance(transition, SuccessorLists):
        return DiscreteDP(reward, transition[:, 0], discount)
    s, b = reward.shape
    states, actions = np.divmod(np.arange(s * b), b)
    table = np.broadcast_to(transition.successors.table, (s, 1, b, transition.successors.table.shape[-1]))
    lists = SuccessorLists(table, transition.probabilities)
    matrix = lists.successors.matrix(np.asarray(transition.probabilities)).copy()
    matrix.sum_duplicates()  # in place, hence the copy
    return DiscreteDP(reward.reshape(-1), matrix, discount, states, actions)
