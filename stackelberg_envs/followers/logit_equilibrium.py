"""Two followers who interact and make logit errors: a smooth equilibrium for any interests, with or without an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..arguments import real
from ..planning.logit_equilibrium import logit_equilibrium
from ..processes.markov_game import MarkovGame
from ..processes.mdp import broadcast_over_leader_actions
from ..response import Answer
from .equilibria import Equilibrium, answers_of_each


@dataclass(frozen=True)
class LogitEquilibrium(Equilibrium):
    """The regularised equilibrium of two followers at ``temperature``, on the principal branch; see `planning.logit_equilibrium`.

    Each plays softmax of its action values over the temperature, given what the other plays: quantal response equilibrium (McKelvey and
    Palfrey, GEB 1995), in a Markov game with values that include the entropy.  There may be several; the one is taken to which even play
    leads as errors get rarer.  It moves smoothly with the commitment except where that path turns back.  It is Markov perfect: what is
    played depends on the state alone, and no state is left to a threat that would not be carried out.

    The certificate is the last Newton step; `stackelberg_envs.evaluation.Evaluation.follower_gap` measures the gap independently.

    Args:
        temperature: tau of both, above 0, in units of reward.
    """

    temperature: float

    def __post_init__(self) -> None:
        real("the temperature of LogitEquilibrium", self.temperature, 0, open_low=True)

    def answers(self, game: MarkovGame, memory: Any) -> tuple[Answer, ...]:
        del memory  # what is played must not depend on what was asked before
        return answers_of_each(game, self._solve)

    def _solve(self, game: MarkovGame) -> tuple[Any, Any, float, int]:
        found = logit_equilibrium(game, self.temperature)
        policies = [broadcast_over_leader_actions(policy, game.joint) for policy in found.policies]
        return policies, found.values, found.step, found.evaluations
