"""What no policy that a leader announces can beat, where every action leads nearly anywhere: `stackelberg_envs.planning.mixing`."""

from __future__ import annotations

import numpy as np

from .bounds import BoundError
from .game import Follower, StackelbergGame, follower_of
from .planning.mixing import Mixing
from .policy_bound import announced_process

PRICES = (0.0, 0.04)
"""Of tilts, if actions are visible, in units of the range of the leader's rewards over the square of the temperature."""


def mixing_bound(game: StackelbergGame, follower: Follower | None = None, *, strict: bool = False) -> float | None:
    """An upper bound on F over all policies pi(a|s) that the leader could announce, softmax policies among them.

    It holds for any process, and is worth its time for many states whose successors are nearly all states.  It needs what
    `stackelberg_envs.policy_bound` needs, and a follower with a temperature above 0.

    Args:
        game: the game.
        follower: `Soft`; None for the game's own.
        strict: raise an error that says why there is no bound, where there is none.

    Raises:
        BoundError: if ``strict`` and there is no such bound.
    """
    try:
        mdp, (temperature, _) = announced_process(game, follower_of(game, follower))
        if temperature == 0:
            raise BoundError(f"{game.name} has no mixing bound: its follower's values have no entropy")
    except BoundError:
        if strict:
            raise
        return None
    relaxation = Mixing(mdp, temperature)
    unit = float(np.ptp(relaxation.leader_reward)) / temperature**2
    return min(relaxation.bound(price * unit) for price in (PRICES if relaxation.visible else PRICES[:1]))
