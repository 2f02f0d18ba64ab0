"""Payoffs of named security games, and random ones.

The numbers of `PRESETS` are ours, small enough to solve by hand or by trying every assignment.  The ranges of the random ones are those of
Kiekintveld et al., "Computing optimal randomized resource allocations for massive security games", AAMAS 2009, with 1 for 100: a covered
attack is a reward to the defender and a penalty to the attacker, an uncovered one the other way round.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import check_memory, whole

PRESETS: dict[str, dict[str, Any]] = {
    # An attacker that is indifferent between two targets, of which the defender only minds the second: c = (1/2, 1/2), worth 0.5.
    "two_targets": {
        "defender_covered": (1.0, 0.0),
        "defender_uncovered": (0.0, -1.0),
        "attacker_covered": (-1.0, -1.0),
        "attacker_uncovered": (1.0, 1.0),
        "guards": 1,
    },
    # Each of two types attacks where the defender hardly minds it, as long as little is covered there: c = (2/11, 2/11), worth
    # -0.9/11, and the guard mostly in.  With a guard who must be out it is -5.5/13.
    "types": {
        "defender_covered": (0.0, 0.0),
        "defender_uncovered": ((-0.1, -1.0), (-1.0, -0.1)),
        "attacker_covered": ((0.0, 0.45), (0.45, 0.0)),
        "attacker_uncovered": ((0.6, 0.5), (0.5, 0.6)),
        "guards": 1,
    },
    # Six halls in a row, and three guards with the keys to some of them.
    "districts": {
        "defender_covered": (0.3, 0.2, 0.5, 0.1, 0.4, 0.2),
        "defender_uncovered": (-0.4, -0.9, -0.6, -0.7, -0.3, -1.0),
        "attacker_covered": (-0.3, -0.2, -0.5, -0.4, -0.1, -0.6),
        "attacker_uncovered": (0.5, 0.9, 0.7, 0.8, 0.4, 1.0),
        "protects": ((0, 1, 2), (2, 3), (3, 4, 5)),
    },
}
"""Name to arguments of `stackelberg_envs.games.security.Security`."""


def random_targets(*, targets: int = 8, types: int = 1, seed: int = 0, zero_sum: bool = False) -> dict[str, np.ndarray]:
    """Payoffs drawn evenly: of a covered attack in [0, 1] for the defender and [-1, 0] for attackers, of another the other way round.

    Args:
        targets: t.
        types: T; payoffs to attackers, (T, t), differ, those to the defender, (t,), do not.
        seed: which instance.
        zero_sum: an attack pays the attacker what the defender loses; of one type.
    """
    if zero_sum and types > 1:
        raise ValueError(f"a zero-sum game has one type of attacker, got types={types}")
    check_memory("targets x types", whole("targets", targets, 1) * (2 * whole("types", types, 1) + 2))
    rng = np.random.default_rng(whole("seed", seed, 0))
    covered, uncovered = rng.uniform(0, 1, targets), rng.uniform(-1, 0, targets)
    other = rng.uniform(-1, 0, (types, targets)), rng.uniform(0, 1, (types, targets))
    attacker = (-covered[None], -uncovered[None]) if zero_sum else other
    return {
        "defender_covered": covered,
        "defender_uncovered": uncovered,
        "attacker_covered": attacker[0],
        "attacker_uncovered": attacker[1],
    }
