"""Policies that are feedback of a vector state: a leader's squashed Gaussian, and followers who act by a written rule.

The leader acts between -1 and 1, phi(s) in R^f its features, the last of them 1::

    a = tanh(m + sd z),   m = 4 tanh(net(s) / 4),   z ~ N(0, 1)
    net(s) = w . phi(s)                          x = w in R^f                        (hidden = 0)
    net(s) = v . (tanh(W phi(s)), 1)             x = (W, v) in R^(h f + h + 1)       (hidden = h)
    log pi(a|s) = log N(artanh a; m, sd^2) - log(1 - a^2)

The mean before squashing stays within 4, where tanh is 0.9993: so actions can be told apart in double precision, and densities and scores
are right, for every commitment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import CheckedArguments
from ..planning.linear_systems import PlanningError
from ..processes.arrays import Array, array_namespace, clip
from ..processes.gaussian import rows
from ..processes.sampled import Actor, normal
from ..response import Answer, Response

if TYPE_CHECKING:
    from ..game import StackelbergGame

LIMIT = 4.0
LARGEST_SD = 1.0
"""Of the noise: beyond, actions crowd at the ends of [-1, 1] until double precision cannot tell them apart."""


def weight_count(features: int, hidden: int) -> int:
    """n, the number of weights."""
    return features if hidden == 0 else hidden * features + hidden + 1


def pre_squash_mean(x: Array, phi: Array, hidden: int) -> Array:
    """m, (..., N, 1), of weights x (..., n) and features phi (..., N, f)."""
    xp, f = array_namespace(x, phi), phi.shape[-1]
    if hidden == 0:
        net = rows(phi, x[..., None, :])
    else:
        inner = xp.tanh(rows(phi, xp.reshape(x[..., : hidden * f], (*x.shape[:-1], hidden, f))))
        net = rows(inner, x[..., None, hidden * f : -1]) + rows(phi[..., -1:], x[..., None, -1:])
    return LIMIT * xp.tanh(net / LIMIT)


def squashed_gaussian_action(x: Array, phi: Array, u: Array, hidden: int, sd: float) -> Array:
    """Actions (..., N, 1) from variates u (..., N, 1)."""
    return array_namespace(x, phi).tanh(pre_squash_mean(x, phi, hidden) + sd * normal(u))


def squashed_gaussian_log_density(x: Array, phi: Array, leads: Array, hidden: int, sd: float) -> Array:
    """log pi(a|s), (..., N), of actions (..., N, 1) between -1 and 1."""
    xp = array_namespace(x, phi)
    edge = 1 - float(xp.finfo(leads.dtype).eps)
    a = clip(leads, -edge, edge)
    z = (xp.atanh(a) - pre_squash_mean(x, phi, hidden)) / sd
    return (-0.5 * z**2 - xp.log1p(-(a**2)))[..., 0] - math.log(sd * math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class Feedback(CheckedArguments):
    """A follower that acts by a rule, whatever the commitment: **not a best response**, and its certificate says so (NaN).

    It needs neither training nor an optimiser, so that every view of a game without closed forms has a follower.

    Args:
        rule: the follower's policy.
    """

    rule: Actor
    temperature: float = field(default=0.0, init=False)

    def __repr__(self) -> str:
        """Without the rule's numbers, which are many, and follow from the game."""
        return f"{type(self).__name__}({type(self.rule).__name__})"

    def respond(
        self,
        game: StackelbergGame,
        x: Array,
        context: int | str = 0,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
        state: Any = None,
    ) -> Response:
        """See `stackelberg_envs.game.Follower.respond`.

        Raises:
            PlanningError: where the rule cannot act: it was written for another game.
        """
        del budget, rng, state
        process = game.problems(x, context)[0].vector_dynamics_for(self)
        d, wanted = process.state_space.shape[0], process.follower_action.shape or ()
        try:
            acted = self.rule.act(np.zeros((1, d)), np.zeros((1, process.leads)), np.full((1, self.rule.noise), 0.5)).shape
        except (IndexError, ValueError) as error:
            raise PlanningError(
                f"{self!r} is no rule for {game.name}, with {d} numbers a state and {process.leads} a leader's action: {error}"
            ) from error
        if acted != (1, *wanted):
            raise PlanningError(f"{self!r} is a rule for other actions than {game.name}'s: of shape {acted[1:]}, and not {wanted}")
        return Response((Answer(self.rule, math.nan, math.nan, evaluations=0),))
