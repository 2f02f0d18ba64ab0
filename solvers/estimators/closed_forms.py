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
from .reaction import gradient_in_x, naive_estimate


def closed_form_hypergradient(
    oracle: Oracle, leaf: torch.Tensor, worlds: list[tuple[float, tuple[Any, ...]]], *, reaction: bool
) -> Estimate:
    """`solvers.estimators.implicit.exact_gradient` of processes with a ``soft_response`` and a ``leader_return``.

    Raises:
        PlanningError: where a commitment leaves the follower's costs, or the leader's moments, without bound.
    """
    total: Any = 0.0
    played: list[torch.Tensor] = []
    for probability, problems in worlds:
        answers = [process.soft_response(oracle.temperature)[0] for process in problems]
        played += [tensor for answer in answers for tensor in _tensors(answer).values() if tensor.requires_grad]
        total = total + probability * oracle.objective(problems, answers if reaction else [_detach_policy(answer) for answer in answers])
    value = float(total.detach())
    if not reaction:
        return naive_estimate(gradient_in_x(total, leaf), value=value)
    response = _response_part(total, played, leaf) if oracle.measured else None
    gradient = gradient_in_x(total, leaf)
    return Estimate(gradient, value=value, direct=None if response is None else gradient - response, response=response)


def _response_part(total: Any, played: list[torch.Tensor], leaf: torch.Tensor) -> torch.Tensor:
    """dF/dg dg/dx, (n,), g the tensors of the followers' policies, none of which is computed from another."""
    if not played:
        return torch.zeros_like(leaf)
    slopes = torch.autograd.grad(total, played, retain_graph=True, allow_unused=True, materialize_grads=True)
    (response,) = torch.autograd.grad(played, leaf, slopes, retain_graph=True, allow_unused=True, materialize_grads=True)
    return response


def _tensors(policy: Any) -> dict[str, torch.Tensor]:
    """What a policy consists of, by name."""
    return {field.name: value for field in fields(policy) if isinstance(value := getattr(policy, field.name), torch.Tensor)}


def _detach_policy(policy: Any) -> Any:
    """The same policy without its derivative in x."""
    return replace(policy, **{name: tensor.detach() for name, tensor in _tensors(policy).items()})
