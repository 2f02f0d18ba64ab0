"""What is measured of a run beside its score: how good its gradients were, and how far its followers were from their best response.

With g the gradient that the last step followed, x where it was estimated, and dF/dx the exact hypergradient there, against the exact
follower (the `stackelberg_envs.game.judge_of` of the run's)::

    cosine         = <g, dF/dx> / (|g| |dF/dx|)
    gradient_error = |g - dF/dx| / |dF/dx|

and with mu the policy by which a follower who learns answered last, V the values by which it planned, T the soft Bellman operator, and
mu* its best response to the same commitment::

    online_return        = F under mu            best_response_return = F under mu*
    follower_kl          = E_mu[sum_t gamma^t KL(mu(.|s_t,a_t) | mu*(.|s_t,a_t))] / E_mu[sum_t gamma^t]
    bellman_residual     = max_s |(T V)(s) - V(s)|

What is lost by mu is ``follower_kl`` times the temperature and the discounted number of steps (Mei, Xiao, Szepesvari, Schuurmans, "On the
global convergence rates of softmax policy gradient methods", ICML 2020, lemma 26).

No solver sees any of this, and none of it is in the ledger.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stackelberg_envs.game import Follower, StackelbergGame, judge_of, learns
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.planning.value_iteration import soft_backup
from stackelberg_envs.processes.mdp import MDP, decision_problem
from stackelberg_envs.response import Answer, Response

from .base import State, StepGradient
from .estimators.implicit import exact_gradient
from .needs import needs_smooth_followers


def telemetry_row(rounds: RepeatedGame, state: State) -> dict[str, float]:
    """All that can be measured after a step of a run; what cannot is left out."""
    return {**gradient_row(rounds, state.gradient), **follower_row(rounds)}


def gradient_row(rounds: RepeatedGame, step: StepGradient | None) -> dict[str, float]:
    """How the gradient of a step compares with the exact one; norms alone where there is no exact one."""
    if step is None:
        return {}
    parts = {"direct_norm": step.direct, "response_norm": step.response}
    row = {name: float(np.linalg.norm(part)) for name, part in parts.items() if part is not None}
    exact = exact_parts(rounds, step.x)
    if exact is None:
        return row
    direct, response = exact
    whole, norm = direct + response, float(np.linalg.norm(direct + response))
    row |= {"exact_norm": norm, "exact_direct_norm": float(np.linalg.norm(direct)), "exact_response_norm": float(np.linalg.norm(response))}
    length = float(np.linalg.norm(step.gradient))
    if norm > 0:
        row["gradient_error"] = float(np.linalg.norm(step.gradient - whole)) / norm
        if length > 0:
            row["cosine"] = float(step.gradient @ whole) / (length * norm)
    return row


def exact_parts(rounds: RepeatedGame, x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The exact dF/dx at ``x``, (n,), with the response held fixed, and the rest of it; None where nothing here computes it."""
    assert rounds.follower is not None
    oracle = RepeatedGame(rounds.game, judge_of(rounds.follower), measured=True).oracle(Access.MODEL)
    if needs_smooth_followers("the exact hypergradient", oracle) is not None:
        return None
    try:
        found = exact_gradient(oracle, torch.tensor(x, dtype=torch.float64), None, reaction=True)
    except PlanningError:
        return None
    assert found.direct is not None
    assert found.response is not None
    return found.direct.numpy(), found.response.numpy()


def follower_row(rounds: RepeatedGame) -> dict[str, float]:
    """How followers who learn did under the last commitment, in the contexts in which they answered; empty for others.

    Returns are means over these contexts; divergence and residual are the largest over contexts and followers.  In worlds without tables
    returns are those of `stackelberg_envs.evaluate`, exact where there are closed forms, and else by the referee's episodes; where no exact
    follower is known, the learner's alone is there.
    """
    assert rounds.follower is not None
    x, responses = rounds.last_responses
    if x is None or not responses or not learns(rounds.follower):
        return {}
    judge, found, divergences, residuals = judge_of(rounds.follower), [], [], []
    for context, response in responses.items():
        committed = rounds.game.for_context(x, context)
        worlds = rounds.game.problems(committed, context)
        best = _exact_response(judge, rounds.game, committed, context)
        found.append([float(rounds.game.objective(worlds, each.policies)) for each in (response, best) if each is not None])
        for answer, exact in zip(response.answers, best.answers if best is not None and rounds.game.tabular else (), strict=False):
            if answer.planned_in is not None:
                divergences.append(divergence(answer.planned_in, answer.policy, exact.policy))
                residuals.append(bellman_residual(answer, judge.temperature))
    returns = np.average(found, axis=0, weights=np.asarray(rounds.game.context_probabilities)[list(responses)])
    row = dict(zip(("online_return", "best_response_return"), map(float, returns), strict=False))
    return row | ({"follower_kl": max(divergences), "bellman_residual": max(residuals)} if divergences else {})


def _exact_response(judge: Follower, game: StackelbergGame, x: np.ndarray, context: int) -> Response | None:
    """The judge's answer, or None where that learns itself, or cannot answer."""
    if learns(judge):
        return None
    try:
        return judge.respond(game, x, context)
    except PlanningError:
        return None


def divergence(mdp: MDP, policy: Any, best: Any) -> float:
    """``KL(policy | best)`` from state to state, policies (S, A, B), averaged over the follower's discounted steps under ``policy``."""
    with np.errstate(divide="ignore"):
        logs = np.where(policy > 0, np.log(np.where(policy > 0, policy, 1.0)) - np.log(best), 0.0)
    costs = np.broadcast_to((policy * logs).sum(-1)[..., None], policy.shape)
    spent, steps = (mdp.initial @ policy_value(mdp, policy, paid, mdp.follower_discount) for paid in (costs, np.ones_like(costs)))
    return max(0.0, float(spent / steps))  # what is left below 0 is rounding


def bellman_residual(answer: Answer, temperature: float) -> float:
    """``max_s |(T V)(s) - V(s)|`` of the values by which a follower planned."""
    assert answer.planned_in is not None
    mdp = answer.planned_in
    backed_up, _ = soft_backup(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount, temperature, answer.values)
    return float(np.abs(backed_up - answer.values).max())
