"""Adjoint mirror descent: the gradient through a follower who takes a number of mirror-descent steps.

Corecco, Yardim, Thoma, Shen, He, "Scalable Neural Incentive Design with Parameterized Mean-Field Approximation", NeurIPS 2025, arXiv
2510.21442 (AMID), by the recursion that our notes state; the paper has finite horizons and auctions.  With z the log-policy at the
follower's nodes, q(x, z) the action values of softmax(z) with entropy bonus, a = eta tau / (1 + eta tau) and T steps from the uniform
policy::

    forward     z_{t+1} = (1 - a) z_t + (a / tau) q(x, z_t), normalised                    `MirrorDescent`
    adjoint     lambda_T = dF/dz_T,    lambda_t = (1 - a) lambda_{t+1} + (a / tau) lambda_{t+1} d_z q(x, z_t)
    dF/dx     = d_x F + (a / tau) sum_t lambda_{t+1} d_x q(x, z_t)

It is exact for `MirrorDescent` with ``start="reset"`` and these steps, whether or not they come near a best response; against `Soft` the
error falls as (1 - a)^T.  Where a crowd responds to itself, q(x, z) are action values at the loads of the crowd that plays softmax(z).

1. forward without a graph, every ceil(sqrt(T))-th z kept
2. F at z_T, with its derivatives in x and z_T
3. backwards, piece by piece: forward again from what is kept, and one vector-Jacobian product

so that no more than about 2 sqrt(T) steps are in memory at a time, for one more forward pass.

Assumptions: tables that can be differentiated; followers with an entropy bonus at a known temperature who do not interact, or a crowd; a
return that is a sum over steps; and T steps that come near the follower's answer, or are its answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from stackelberg_envs.followers.mirror_descent import MirrorDescent
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.processes.mdp import at_nodes, available_at_nodes, broadcast_over_leader_actions

from .ascent import Estimate, Estimator
from .copies import induced_processes, mask_logits
from .needs import needs_a_regularised_follower, needs_derivatives, needs_paid_steps
from .penalties import expected_return, visits


@dataclass(frozen=True)
class AdjointMirror(Estimator):
    """dF/dx through mirror-descent steps of the follower (MODEL).

    Args:
        steps: T.
        rate: eta, above 0; infinite for soft policy iteration, which a crowd's loads may make go back and forth.
    """

    access: ClassVar[Access] = Access.MODEL
    crowds: ClassVar[bool] = True
    steps: int = 20
    rate: float = float("inf")

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.rate > 0:
            raise ValueError(f"adjoint_mirror needs steps from 1 and a positive rate, got {self!r}")

    def declines(self, oracle: Oracle) -> str | None:
        if any(len(group) > 1 for group in oracle.groups):
            return "adjoint_mirror handles followers who do not interact, and crowds"
        reason = needs_derivatives("adjoint_mirror", oracle) or needs_paid_steps("adjoint_mirror", oracle)
        return reason or needs_a_regularised_follower("adjoint_mirror", oracle)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        leaf, value = x.detach().clone().requires_grad_(), 0.0
        gradient = direct = torch.zeros_like(x)
        follower, solves = MirrorDescent(oracle.temperature, 1, self.rate), 0
        for weights, world in self._worlds(oracle, leaf):
            start, mdp_at = _start(world), _processes(world)

            def improve(z: torch.Tensor, mdp_at: Any = mdp_at) -> torch.Tensor:
                return follower.answer(mdp_at(z), z).memory

            def earn(z: torch.Tensor, mdp_at: Any = mdp_at, weights: torch.Tensor = weights) -> torch.Tensor:
                mdp = mdp_at(z)
                policy = broadcast_over_leader_actions(_policy(z, mdp), mdp)
                return (weights * expected_return(mdp, policy, mdp.leader_reward, visits(mdp, policy, mdp.leader_discount))).sum()

            earned, moved, held = gradient_through(improve, earn, start, leaf, self.steps)
            gradient, direct, value = gradient + moved, direct + held, value + earned
            solves += len(weights) * (2 * self.steps + 1) * (2 if oracle.crowd else 1)
        oracle.charge(factorisations=solves, linear_solves=2 * solves)
        return Estimate(gradient, value=value, direct=direct, response=gradient - direct)

    @staticmethod
    def _worlds(oracle: Oracle, leaf: torch.Tensor) -> list[tuple[torch.Tensor, Any]]:
        """Weights (K,) with processes in batches, or with crowds one by one."""
        if not oracle.crowd:
            return induced_processes(oracle, leaf)
        probabilities = torch.as_tensor(np.array(oracle.context_probabilities), dtype=leaf.dtype)
        return [(p[None], crowd) for c, p in enumerate(probabilities) for crowd in oracle.commit(leaf, c)]


def gradient_through(
    improve: Callable[..., Any], earn: Callable[..., Any], start: torch.Tensor, x: torch.Tensor, steps: int
) -> tuple[float, torch.Tensor, torch.Tensor]:
    """F, dF/dx and d_x F (z_T held fixed) of F(z_T), z_{t+1} = improve(z_t), both functions of ``x`` too, whose graph is kept.

    Args:
        improve: one step.
        earn: F, a scalar.
        start: z_0.
        x: a leaf.
        steps: T.
    """
    length = math.ceil(math.sqrt(steps))
    kept = [start]
    with torch.no_grad():  # 1
        z = start
        for t in range(1, steps + 1):
            z = improve(z)
            if t % length == 0 and t < steps:
                kept.append(z)
    last = z.detach().requires_grad_()
    earned = earn(last)  # 2
    direct, adjoint = torch.autograd.grad(earned, [x, last], retain_graph=True, allow_unused=True, materialize_grads=True)
    gradient = direct
    for i, checkpoint in reversed(list(enumerate(kept))):  # 3
        first = z = checkpoint.detach().requires_grad_()
        for _ in range(min(length, steps - i * length)):
            z = improve(z)
        moved, adjoint = torch.autograd.grad(z, [x, first], adjoint, retain_graph=True, allow_unused=True, materialize_grads=True)
        gradient = gradient + moved
    return float(earned.detach()), gradient, direct


def _start(world: Any) -> torch.Tensor:
    """The uniform policy's logarithm at the follower's nodes; 0 where an action is not available."""
    mdp = world.unloaded() if world.crowd else world
    return torch.zeros_like(at_nodes(mdp, mdp.follower_reward)).detach() - math.log(mdp.sizes[2])


def _policy(z: torch.Tensor, mdp: Any) -> torch.Tensor:
    """The policy at the follower's nodes; 0 where an action is not available."""
    return torch.softmax(mask_logits(z, available_at_nodes(mdp)), -1)


def _processes(world: Any) -> Callable[[torch.Tensor], Any]:
    """What one follower faces while all play exp(z): a process as it is, or a crowd's at its loads."""
    if not world.crowd:
        return lambda z: world

    free = world.unloaded()  # transitions do not depend on the crowd
    used = world.resource >= 0
    resource, where = torch.as_tensor(world.resource[used]), torch.as_tensor(used)

    def at_loads(z: torch.Tensor) -> Any:
        policy = _policy(z, free)
        visited = (visits(free, policy, world.follower_discount)[:, None, None] * policy)[:, 0]
        return world.at(world.mass * torch.zeros(world.resources, dtype=z.dtype).index_add(0, resource, visited[where]))

    return at_loads
