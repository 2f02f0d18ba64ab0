"""Security: guard targets by chance; an attacker picks one.

The attacker knows how likely each target is to be covered.

The leader (the defender) commits to a mixture of assignments of m guards to t targets.  A target is worth more to it covered than not,
and to the attacker less; so much as the attacker may see of the mixture, how likely each target is to be covered, is all that matters.

Source: Kiekintveld et al., "Computing optimal randomized resource allocations for massive security games", AAMAS 2009; with types of
attacker, Paruchuri et al., "Playing games for security", AAMAS 2008; with guards who can protect some targets only, Korzhyk, Conitzer and
Parr, "Complexity of computing optimal Stackelberg strategies in security resource allocation games", AAAI 2010.  Payoffs: see
`stackelberg_envs.games.security_presets`.  Exact values: `stackelberg_envs.planning.security`; assignments that have the marginals, to be
sent out: `stackelberg_envs.planning.assignments`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from ..arguments import nearest, real_array, whole
from ..commitments import Saturation, subset_marginals
from ..followers.exact import Hard, Soft
from ..game import StackelbergGame
from ..planning.matrix_programmes import type_weights
from ..planning.security import TargetPayoffs, coverage_limits, strong_coverage
from ..planning.security_bound import soft_coverage_bound
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.mdp import InducedMDP
from .security_presets import PRESETS, random_targets

Payoffs = Sequence[float] | Sequence[Sequence[float]] | np.ndarray
BOUND = 40.0
"""Of the leader's box: an e^-40 share, nothing in double precision, of guards who stay in though there is a target for them."""
MOST_SETS = 20_000
"""Sets of targets that guards who differ can protect at once; their probabilities are computed one by one."""


class Security(StackelbergGame):
    """One attack on one of t targets, by an attacker of one of T types, which the defender does not know.

    * One state, no discount, and the episode ends with the attack.  It pays what is expected of it over who is where.
    * Commitment: one number a target.  The set S of targets that are covered, one a guard, has probability proportional to
      ``exp(sum_{i in S} x_i)``, over all sets that the guards can protect; some may stay in.  For one guard that is a softmax.
    * Why so: the marginals are then those of a mixture of real assignments, whatever x is; they are smooth in x; and each set of marginals
      inside what is feasible belongs to exactly one x (the mean parameters of an exponential family), those at the border to limits.  The
      chance that two independent guards cover a target is no marginal of assignments that never waste a guard, and capped softmaxes do not
      reach all of them.  That guards may stay in is not idle: where types differ, to cover more can send an attacker elsewhere.
    * m guards who can protect anything take t steps of m numbers; guards who differ are a sum over all sets they can protect.

    Args:
        preset: ``"random"`` (if no payoffs are given), ``"zero_sum"``, ``"two_targets"``, ``"types"`` or ``"districts"``.
        defender_covered: what an attack pays the defender where the target is covered, (t,), or (T, t) by type.
        defender_uncovered: the same where it is not; no more.
        attacker_covered: what an attack pays the attacker where the target is covered, likewise.
        attacker_uncovered: the same where it is not; more.
        guards: m, 1 to t; 3 if not given, and fewer of fewer targets.
        protects: of each guard, the targets that it can protect; it replaces ``guards``.
        type_probabilities: of the types, (T,); even if not given.
        targets: t, of ``"random"`` and ``"zero_sum"``; 8 if not given.
        types: T, of ``"random"``; 1 if not given.
        seed: which instance of ``"random"`` or ``"zero_sum"``; 0 if not given.
    """

    name = "security"

    def __init__(
        self,
        *,
        preset: str | None = None,
        defender_covered: Payoffs | None = None,
        defender_uncovered: Payoffs | None = None,
        attacker_covered: Payoffs | None = None,
        attacker_uncovered: Payoffs | None = None,
        guards: int | None = None,
        protects: Sequence[Sequence[int]] | None = None,
        type_probabilities: Sequence[float] | None = None,
        targets: int | None = None,
        types: int | None = None,
        seed: int | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "defender_covered": defender_covered,
            "defender_uncovered": defender_uncovered,
            "attacker_covered": attacker_covered,
            "attacker_uncovered": attacker_uncovered,
        }
        own = {"guards": guards, "protects": protects, "type_probabilities": type_probabilities}
        chosen = _arguments(preset, given, own, {"targets": targets, "types": types, "seed": seed})
        self.payoffs = TargetPayoffs(**{name: real_array(name, chosen[name]) for name in given})
        """What attacks pay, for `stackelberg_envs.planning.security`."""
        count, t = self.payoffs.sizes
        self.protects = _protects(chosen["guards"], chosen["protects"], t)
        """Which targets each guard can protect, (m, t), booleans."""
        alike = bool(self.protects.all())
        if count > 1:
            self.contexts = tuple(f"type_{k}" for k in range(count))
        shares = chosen["type_probabilities"]
        self.context_probabilities = type_weights(shares if shares is None else real_array("type_probabilities", shares), count)
        self.max_cycles = 1
        self.leader_space = Box(-BOUND, BOUND, (t,), np.float64)
        self.saturation = Saturation(np.zeros(t, dtype=np.int64), *np.ones((2, t), dtype=bool))
        self.default_follower = Soft(0.1)
        sets = np.zeros((1, t)) if alike else _sets(self.protects)
        self.limits = (
            (np.ones((1, t)), np.array([float(len(self.protects))]))
            if alike
            else coverage_limits(lambda asked: (asked @ sets.T).max(axis=1), t)
        )
        """What the guards can do, for `stackelberg_envs.planning.security`: (rows, bounds) with rows @ coverage <= bounds."""
        self._guards = len(self.protects) if alike else 0
        self._constants = Constants(
            leader_policy=np.ones((1, 1)),
            transition=np.zeros((1, 1, t, 1)),
            initial=np.ones(1),
            sets=sets,
            defender=self.payoffs.defender_covered[:, None, None],
            saved=(self.payoffs.defender_covered - self.payoffs.defender_uncovered)[:, None, None],
            attacker=self.payoffs.attacker_uncovered[:, None, None],
            lost=(self.payoffs.attacker_covered - self.payoffs.attacker_uncovered)[:, None, None],
        )

    def coverage(self, x: Array) -> Array:
        """How likely each target is to be covered, (..., t)."""
        if self._guards:
            return subset_marginals(x, self._guards)
        xp, sets = array_namespace(x), self._constants.like(x).sets
        weights = xp.matmul(x, sets.T)
        weights = xp.exp(weights - xp.max(weights, axis=-1, keepdims=True))
        return xp.matmul(weights / xp.sum(weights, axis=-1, keepdims=True), sets)

    def incentive(self, x: Array, context: int | str = 0) -> Array:
        """What coverage changes for the attacker, (..., 1, 1, t)."""
        return self._incentive(self.coverage(x), self.context_index(context))

    def leader_cost(self, x: Array, context: int | str = 0) -> Array:
        """What the defender loses by targets that are not covered, (..., 1, 1, t)."""
        return self._cost(self.coverage(x), self.context_index(context))

    def _incentive(self, coverage: Array, context: int) -> Array:
        return coverage[..., None, None, :] * self._constants.like(coverage).lost[context]

    def _cost(self, coverage: Array, context: int) -> Array:
        return (1 - coverage[..., None, None, :]) * self._constants.like(coverage).saved[context]

    def upper_bound_against(self, follower: Any) -> float | None:
        """The strong equilibrium, whatever a `Hard` attacker does with ties; of a `Soft` one a bound that is nearly attained."""
        if isinstance(follower, Soft) and follower.temperature > 0:
            return soft_coverage_bound(self.payoffs, *self.limits, self.context_probabilities, follower.temperature)
        if isinstance(follower, Hard):
            best = strong_coverage(self.payoffs, *self.limits, self.context_probabilities)
            return None if best is None else best.value
        return None

    def instruments(self, x: Array) -> dict[str, Array]:
        """Coverage, (..., t)."""
        return {"coverage": self.coverage(x)}

    def induced(self, x: Array, context: int) -> InducedMDP:
        c, coverage = self._constants.like(x), self.coverage(x)
        return InducedMDP(
            leader_policy=c.leader_policy,
            transition=c.transition,
            follower_reward=c.attacker[context] + self._incentive(coverage, context),
            leader_reward=c.defender[context] - self._cost(coverage, context),
            initial=c.initial,
            follower_discount=1.0,
            leader_discount=1.0,
        )


def _sets(protects: np.ndarray) -> np.ndarray:
    """All sets of targets that guards can protect at once, one a guard, 0/1, (N, t)."""
    found = {frozenset[int]()}
    for row in protects:
        found |= {s | {int(i)} for s in found for i in np.flatnonzero(row)}
        if len(found) > MOST_SETS:
            raise ValueError(f"guards who differ can protect over {MOST_SETS} sets of these targets; take fewer targets or guards")
    table = np.zeros((len(found), protects.shape[1]))
    for number, s in enumerate(sorted(map(sorted, found))):
        table[number, s] = 1
    return table


def _protects(guards: int | None, protects: Any, t: int) -> np.ndarray:
    """Which targets each guard can protect, (m, t)."""
    if protects is None:
        return np.ones((whole("guards", min(3, t) if guards is None else guards, 1, t), t), dtype=bool)
    if guards is not None:
        raise ValueError(f"give either guards, how many there are, or what each protects; got {guards=} and protects={protects}")
    table = np.zeros((len(protects), t), dtype=bool)
    for g, own in enumerate(protects):
        for i in own:
            table[g, whole(f"a target of guard {g}", i, 0, t - 1)] = True
    if not table.size or not table.any(axis=0).all() or not table.any(axis=1).all():
        raise ValueError(f"every guard protects some target and every target has some guard; got protects={protects} of {t} targets")
    return table


def _arguments(preset: str | None, payoffs: dict[str, Any], own: dict[str, Any], random: dict[str, Any]) -> dict[str, Any]:
    """All arguments by name, those of the preset where there is one."""
    random = {name: value for name, value in random.items() if value is not None}
    absent = [name for name, value in payoffs.items() if value is None]
    if preset is None and not absent:
        if random:
            raise ValueError(f"{', '.join(random)} belong to preset='random' and 'zero_sum', not to payoffs that are given")
        return payoffs | own
    if len(absent) < len(payoffs):
        raise ValueError(f"give either all four payoffs or a preset; got {preset=}, and without {', '.join(absent) or 'none'}")
    if preset in (None, "random", "zero_sum"):
        return random_targets(**random, zero_sum=preset == "zero_sum") | own
    if preset not in PRESETS:
        raise ValueError(f"security has no preset {preset!r}; {nearest(str(preset), ('random', 'zero_sum', *PRESETS))}")
    if random:
        raise ValueError(f"{', '.join(random)} belong to preset='random' and 'zero_sum', got preset={preset!r}")
    return own | PRESETS[preset] | {name: value for name, value in own.items() if value is not None}
