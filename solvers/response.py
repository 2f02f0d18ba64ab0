"""The follower's soft response in torch, by Newton's method alone or by fused sweeps first.

On a CPU Newton's method needs no help: 4 to 8 factorisations, 2 or 3 from a warm start.  Where batches are large and factorisations slow (a
GPU), float32 sweeps (`solvers.kernels.sweeps`) come near the solution, and a Newton step or two in float64 settle the digits that float32
does not have: either way the result is `stackelberg_envs.planning.policy_iteration.soft_policy_iteration`'s, with its bound.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Literal

import torch

from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.policy_iteration import Plan, soft_policy_iteration
from stackelberg_envs.processes.mdp import MDP, decision_problem
from stackelberg_envs.processes.successor_lists import SuccessorLists

from .kernels.sweeps import sweep_problems
from .linear import factors

INNER = ("newton", "sweeps")
NEAR = 1e-3
"""How near, in units of the temperature, sweeps come before Newton's method takes over."""


def soft_response(
    mdp: MDP,
    temperature: float,
    *,
    values: torch.Tensor | None = None,
    inner: Literal["newton", "sweeps"] = "newton",
    compile: bool = False,
) -> Plan:
    """The unique soft-optimal response, without history.

    Args:
        mdp: what the follower faces, torch tables with one batch axis or none.
        temperature: tau > 0.
        values: a warm start (..., S).
        inner: ``"newton"``, or ``"sweeps"`` to sweep in float32 first (not where the discount is 1, or where there is a deadline).
        compile: compile the sweeps; see `solvers.kernels.sweeps.sweep_problems`.

    Raises:
        PlanningError: if it does not converge.
    """
    with torch.no_grad():
        if inner == "sweeps" and mdp.follower_discount < 1 and mdp.kernel.stages is None:
            problem = decision_problem(replace(mdp, transition=SuccessorLists.of(mdp.kernel)), mdp.follower_reward)
            near = {"tolerance": NEAR * temperature, "dtype": torch.float32, "compile": compile}
            with suppress(PlanningError):  # Newton's method needs no warm start
                swept = sweep_problems(problem, mdp.follower_discount, temperature, values=values, **near)
                values = swept.values.to(mdp.follower_reward.dtype)
        return soft_policy_iteration(mdp, temperature, values=values, factorise=factors)
