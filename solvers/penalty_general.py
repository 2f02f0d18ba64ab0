"""The gradients of `solvers.penalty` context by context: for followers who interact, and objectives that are no sums over steps.

Two opponents in a zero-sum game keep four policies: their copies y_0 and y_1, and a best response to each copy that mirror descent
tracks, g_0 to y_1 and g_1 to y_0: two single-agent problems, decoupled.  The penalty is the Nikaido-Isoda function,
`solvers.penalties.nikaido_isoda`.
"""

from __future__ import annotations

from typing import Any

import torch

from stackelberg_envs.followers.mirror_descent import MirrorDescent
from stackelberg_envs.game import group_by_world
from stackelberg_envs.leader.access import Oracle

from .copies import Copies, copy_policy
from .penalties import PENALTIES, nikaido_isoda, value_penalty
from .penalty_settings import PenaltySettings


def general_gradients(
    settings: PenaltySettings, oracle: Oracle, copies: Copies, weight: float, *, x: torch.Tensor
) -> tuple[list[torch.Tensor], dict[str, float]]:
    """Gradients of ``(F - lambda p) / max(lambda, 1)`` in x and in each of `Copies.logits`, and a history row."""
    objective = paid = torch.zeros((), dtype=x.dtype)
    claimed, slack = 0.0, 0.0
    tracked = iter(copies.memory or [None] * len(copies.logits))
    logits, copies.memory = iter(copies.logits), []
    for c, probability in enumerate(map(float, oracle.context_probabilities)):
        problems = oracle.commit(x, c)
        policies = [copy_policy(next(logits), process, i) for process in problems for i in range(len(process.actions))]
        earned = oracle.objective(problems, policies)
        for process, own in zip(problems, group_by_world(problems, policies), strict=True):
            best = []
            for i in range(len(own)):
                with torch.no_grad():  # an opponent's entropy is a part of what is faced
                    facing = process.map(torch.Tensor.detach).facing(i, [policy.detach() for policy in own], oracle.temperature)
                    answer = MirrorDescent(oracle.temperature, settings.sweeps, settings.rate).answer(facing, next(tracked))
                best.append(answer.policy)
                copies.memory.append(answer.memory)
            lost, missed = _penalties(settings, process, own, best, oracle.temperature)
            objective = objective - probability * weight * lost / max(weight, 1.0)
            slack += probability * missed
            oracle.charge(
                newton_evaluations=settings.sweeps * len(own),
                factorisations=(settings.sweeps + 2) * len(own),
                linear_solves=4 * len(own),
            )
        objective = objective + probability * earned / max(weight, 1.0)
        paid = paid + probability * earned / max(weight, 1.0)
        claimed += probability * float(earned.detach())
    return copies.differentiate(oracle, objective, paid, x), {"penalty": slack, "claimed_return": claimed}


def _penalties(
    settings: PenaltySettings, process: Any, copy: tuple[torch.Tensor, ...], best: list[torch.Tensor], temperature: float
) -> tuple[torch.Tensor, float]:
    """lambda's factor, and p_V (or the Nikaido-Isoda function) for the history."""
    first, *others = copy
    if others:
        lost = nikaido_isoda(process, copy, best, temperature)
        return lost, float(lost.detach())
    if settings.penalty == "value":
        lost = value_penalty(process, first, best[0], temperature)
        return lost, float(lost.detach())
    with torch.no_grad():
        missed = float(value_penalty(process, first, best[0], temperature))
    return PENALTIES[settings.penalty](process, first, best[0], temperature) / (1 - process.follower_discount), missed
