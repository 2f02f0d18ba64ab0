"""The exact hypergradient in worlds without tables, where response and return have closed forms: by automatic differentiation.

In a linear-quadratic world the follower's soft response is Gaussian, its gains come from a Riccati equation, and the leader's return from
moments that propagate (`stackelberg_envs.worlds.linear_quadratic`).  All of it is array algebra, and dF/dx goes through it in one backward
pass::

    dF/dx = d_x F(x, g(x))          naive:  the same with g held fixed
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch

from stackelberg_envs.leader.access import Oracle

from ..ascent import Estimate
from .reaction import gradient_in_x


def closed_form_hypergradient(
    oracle: Oracle, leaf: torch.Tensor, worlds: list[tuple[float, tuple[Any, ...]]], *, reaction: bool
) -> Estimate:
    """`solvers.estimators.implicit.exact_gradient` of processes with a ``soft_response`` and a ``leader_return``.

    Raises:
        PlanningError: where a commitment leaves the follower's costs, or the leader's moments, without bound.
    """
    total: Any = 0.0
    for probability, problems in worlds:
        answers = [process.soft_response(oracle.temperature)[0] for process in problems]
        total = total + probability * oracle.objective(problems, answers if reaction else [_detach_policy(answer) for answer in answers])
    return Estimate(gradient_in_x(total, leaf), None, float(total.detach()))


def _detach_policy(policy: Any) -> Any:
    """The same policy without its derivative in x."""
    tensors = {field.name: value.detach() for field in fields(policy) if isinstance(value := getattr(policy, field.name), torch.Tensor)}
    return replace(policy, **tensors)
