"""The optimal coverage of a security game, by linear programmes (see `stackelberg_envs.planning.security`).

1. read the game off the model: what an attack pays where its target is covered and where it is not, and how many targets of each set
   guards can cover at once
2. solve it: the strong Stackelberg equilibrium
3. the best coverage that is a little inside of what guards can do, for commitments reach no more; and the commitment that has it
4. ask the game what an attack pays then; if that is something else, it was not this game
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stackelberg_envs.followers.exact import Hard
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.planning.matrix_games import JOINT_RESPONSES
from stackelberg_envs.planning.security import TargetPayoffs, coverage_limits, marginal_logits, strong_coverage

from .base import Declined, Solver, State

AGREEMENT = 1e-9
"""Between what attacks were to pay and what they pay, as a share of 1 and the largest."""
ALL_SETS = 10
"""With so many targets or fewer all sets of them are asked for; of more, guards are taken to be able to protect any."""


@dataclass(frozen=True)
class SecurityLP(Solver):
    """The exact optimum of `security` against ``Hard(ties="strong")`` (MODEL); the first iteration is all there is to do.

    The history's ``value`` is the optimum, and ``search_return`` what the commitment attains, which is less by about ``interior``: the
    optimum is mostly at the border of what guards can do, and commitments reach the inside.

    Args:
        interior: distance from the border, in probability.
    """

    access = Access.MODEL
    interior: float = 1e-9

    def __post_init__(self) -> None:
        if not 1e-9 <= self.interior < 0.5:
            raise ValueError(f"interior is a probability from 1e-9 to below 0.5, got {self.interior}")

    def declines(self, oracle: Oracle) -> str | None:
        if not isinstance(oracle.follower, Hard) or oracle.follower.ties != "strong":
            return f"security_lp plays against Hard(ties='strong'), not {oracle.follower!r}"
        if oracle.followers > 1 or not oracle.additive or not oracle.tabular or oracle.sizes[0][:2] != (1, 1) or oracle.max_cycles != 1:
            return "security_lp needs one attack of one attacker: one state, one move an episode, and a leader that does not move"
        if oracle.incentive is None or oracle.leader_cost is None or oracle.commitment_shape != (oracle.sizes[0][2],):
            return "security_lp needs a commitment to how likely each target is to be covered, as in security"
        if any(mask is not None for masks in oracle.available for mask in masks):
            return "security_lp needs attackers who can attack every target"
        if len(oracle.contexts) > 1 and (joint := oracle.dimension ** len(oracle.contexts)) > JOINT_RESPONSES:
            return f"security_lp tries joint responses of all types, and here are {joint}, over {JOINT_RESPONSES}"
        return None

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        return State(x)

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        if state.iteration > 0:
            return State(state.x, state.iteration + 1, row=state.row)
        payoffs, limits = _payoffs(oracle), _limits(oracle)  # 1
        p = oracle.context_probabilities
        best = strong_coverage(payoffs, *limits, p)  # 2
        inside = strong_coverage(payoffs, *limits, p, interior=self.interior)  # 3
        if best is None or inside is None:
            raise Declined(f"security_lp: no coverage is {self.interior} inside of what these guards can do")
        x = marginal_logits(lambda x: _coverage(oracle, x), inside.marginals, _bound(oracle))
        if x is None:
            raise Declined("security_lp: the guards cannot do what guards do who cover as many of each set of targets")
        expected = payoffs.attacker(inside.marginals), payoffs.defender(inside.marginals)
        if not np.allclose(_rewards(oracle, x), expected, rtol=0, atol=AGREEMENT * (1 + np.abs(expected).max())):  # 4
            raise Declined("security_lp: the game pays otherwise than a security game")
        return State(x, 1, row={"value": best.value, "search_return": oracle.returns(x)})


def _bound(oracle: Oracle) -> float:
    return float(oracle.leader_space.high.min())


def _rewards(oracle: Oracle, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What attacks pay attacker and defender in each context, (T, t) each."""
    worlds = [oracle.commit(x, context)[0] for context in range(len(oracle.contexts))]
    return np.stack([mdp.follower_reward[0, 0] for mdp in worlds]), np.stack([mdp.leader_reward[0, 0] for mdp in worlds])


def _loss_where_covered(oracle: Oracle, context: int) -> np.ndarray:
    """What it changes for the attacker that a target is covered for certain, (t,): only it is high."""
    only = _bound(oracle) * (2 * np.eye(oracle.dimension) - 1)
    return np.diagonal(oracle.incentive(only, context)[:, 0, 0, :])


def _payoffs(oracle: Oracle) -> TargetPayoffs:
    """Nothing is covered where x is low."""
    low, contexts = np.full(oracle.dimension, -_bound(oracle)), range(len(oracle.contexts))
    attacker, defender = _rewards(oracle, low)
    cost = np.stack([oracle.leader_cost(low, context)[0, 0] for context in contexts])
    loss = np.stack([_loss_where_covered(oracle, context) for context in contexts])
    try:
        return TargetPayoffs(defender + cost, defender, attacker + loss, attacker)
    except ValueError as error:
        raise Declined(f"security_lp: {error}") from error


def _coverage(oracle: Oracle, x: np.ndarray) -> np.ndarray:
    """How likely each target is to be covered, (..., t): its share of what covering it for certain changes for the attacker."""
    return oracle.incentive(x)[..., 0, 0, :] / _loss_where_covered(oracle, 0)


def _limits(oracle: Oracle) -> tuple[np.ndarray, np.ndarray]:
    """What guards can do, as rows and bounds of `strong_coverage`."""

    def rank(sets: np.ndarray) -> np.ndarray:
        return np.rint((_coverage(oracle, _bound(oracle) * (2.0 * sets - 1)) * sets).sum(axis=-1))

    t = oracle.dimension
    return coverage_limits(rank, t) if t <= ALL_SETS else (np.ones((1, t)), rank(np.ones((1, t))))
