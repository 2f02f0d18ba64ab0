"""All that is proved about what a commitment can earn against one follower."""

from __future__ import annotations

import numpy as np

from .bounds import cooperative_value
from .game import Follower, StackelbergGame, follower_of
from .mixing_bound import mixing_bound
from .policy_bound import policy_bound
from .transfer_bound import transfer_bound


def upper_bounds(game: StackelbergGame, follower: Follower | None = None, *, found: float = -np.inf, boxes: int = 0) -> dict[str, float]:
    """Upper bounds on F by where they come from; the smallest holds.

    * ``"cooperative"``: `cooperative_value`, if the leader chose the followers' actions too.
    * ``"game"``, ``"game against follower"``: what the game itself proves, its pieces ``upper_bound`` and ``upper_bound_against``.
    * ``"transfers"``: `transfer_bound`, of leaders who pay.
    * ``"policies"``: `policy_bound`, of leaders who announce a policy.
    * ``"mixing"``: of leaders who announce a policy, for processes in which every action leads nearly anywhere.

    Args:
        game: the game.
        follower: None for the game's own.
        found: a return that is attained, at which the search of `policy_bound` may stop.
        boxes: of that search; 0 leaves it and ``"mixing"`` out.

    Returns:
        Those that there are; perhaps none.
    """
    answers = follower_of(game, follower)
    bounds = {
        "cooperative": cooperative_value(game),
        "game": None if game.upper_bound is None else game.upper_bound(),
        "game against follower": None if game.upper_bound_against is None else game.upper_bound_against(answers),
        "transfers": transfer_bound(game, answers),
    }
    searched = policy_bound(game, answers, found=found, boxes=boxes) if boxes else None
    bounds["policies"] = None if searched is None else searched.value
    bounds["mixing"] = mixing_bound(game, answers) if boxes else None
    return {name: float(bound) for name, bound in bounds.items() if bound is not None}
