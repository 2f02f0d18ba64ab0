"""What no policy that a leader announces can beat, by branch and bound over the follower's values.

Two numbers bound what a commitment earns: what the leader would have if it chose the follower's actions too, and what it has if the
follower does what it likes.  `stackelberg_envs.planning.value_boxes` bounds the second by how well the follower's values are known.  Here
the box of all values is cut into smaller ones until their bounds are near what somebody has found.

If values were known exactly, states would come apart, and the leader's problem would be a Markov decision process in which each state has
its own set of mixtures.  That is why the boxes are of values, one number a state, and not of policies, A - 1 numbers a state.
Stackelberg equilibria in stochastic games are hard to compute in general (Letchford, MacDermed, Conitzer, Parr, Isbell, "Computing
optimal strategies to commit to in stochastic games", AAAI 2012, who bound by what history-dependent commitments could earn); the
relaxation and its branching are ours.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arguments import real, whole
from .bounds import BoundError, probe_commitments, same_tables
from .game import Follower, StackelbergGame, follower_of
from .planning.value_boxes import ValueBoxes
from .processes.mdp import MDP

BATCH = 64
"""Boxes that are cut at a time."""
DEPTHS = (0.4, 0.15, 0.06, 0.03)
"""Cells of the simplex are halved once more for each of these that the mean width of boxes is below."""
WEIGHT = 0.8
"""Of the width of e for each state, where a box is cut, because e moves h in all of them; seen on three random games to save boxes."""
NARROWINGS, NARROWER = 8, 0.95
"""A box that has become narrower than this share of what it was is bounded again, so many times at most."""
MOST_NUMBERS = 4_000_000
"""Entries of a transition at the vertices of a grid; larger processes have coarser grids."""


@dataclass(frozen=True)
class PolicyBound:
    """What a search proved."""

    value: float
    """No policy earns more."""
    boxes: int
    """That were bounded."""
    left: int
    """That could not be excluded: their best bound is `value`."""


def policy_bound(
    game: StackelbergGame,
    follower: Follower | None = None,
    *,
    found: float = -np.inf,
    gap: float = 0.05,
    boxes: int = 1000,
    strict: bool = False,
) -> PolicyBound | None:
    """An upper bound on F over all policies pi(a|s) that the leader could announce, softmax policies among them.

    It needs a leader whose commitment moves its policy and nothing else, one context, one follower who answers exactly, and episodes that
    never end.  That nothing else moves is probed at a few commitments, and not proved.  The bound holds whenever the search stops.

    Args:
        game: the game.
        follower: `Hard`, `Soft` or `Quantal`; None for the game's own.
        found: a return that is attained; boxes that cannot beat it by ``gap`` are left.
        gap: share of the bound at which the search ends.
        boxes: how many it may look at, at least 1; time grows in proportion.
        strict: raise an error that says why there is no bound, where there is none.

    Raises:
        BoundError: if ``strict`` and there is no such bound.
    """
    gap, boxes = real("gap", gap, 0, 1, open_high=True), whole("boxes", boxes, 1)
    try:
        mdp, temperatures = announced_process(game, follower_of(game, follower))
    except BoundError:
        if strict:
            raise
        return None
    return _search(ValueBoxes(mdp, *temperatures), np.asarray(mdp.initial), found, gap, boxes)


def _search(relaxation: ValueBoxes, initial: np.ndarray, found: float, gap: float, limit: int) -> PolicyBound:
    ceiling, box, _ = _bound(relaxation, relaxation.root()[None], relaxation.ceiling()[None], 0, 0.0)
    left = [(-float(initial @ ceiling[0]), 0, box[0], ceiling[0])]
    seen, passed_over = 1, -np.inf
    finest, margin = _finest(relaxation), 0.3 * (1 - relaxation.discounts[1])
    while left and seen < limit and (top := -left[0][0]) - found > gap * abs(top):
        taken = [heapq.heappop(left) for _ in range(min(BATCH, len(left)))]
        parts = _halves(np.array([entry[2] for entry in taken]))
        depth = min(finest, sum(float(np.median(np.ptp(parts[:, :-1], axis=-1).mean(axis=1))) < width for width in DEPTHS))
        ceilings = np.repeat(np.array([entry[3] for entry in taken]), 2, axis=0)
        bounds, narrow, possible = _bound(relaxation, parts, ceilings, depth, margin * min(top - found, abs(top)))
        for i in np.flatnonzero(possible):
            value = float(initial @ bounds[i])
            if value - found > gap * abs(value):
                heapq.heappush(left, (-value, seen + int(i), narrow[i], bounds[i]))
            else:
                passed_over = max(passed_over, value)
        seen += len(parts)
    return PolicyBound(max(-left[0][0] if left else -np.inf, passed_over, found), seen, len(left))


def _bound(
    relaxation: ValueBoxes, boxes: np.ndarray, ceilings: np.ndarray, depth: int, margin: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`ValueBoxes.bound`, again for boxes that have become narrower."""
    ceilings, narrow, possible = relaxation.bound(boxes, ceilings, depth, margin)
    ceilings, narrow, before = ceilings.copy(), narrow.copy(), boxes
    for _ in range(NARROWINGS):
        widths, earlier = (np.ptp(some, axis=-1).mean(axis=1) for some in (narrow, before))
        again = np.flatnonzero(possible & (widths < NARROWER * earlier))
        if not len(again):
            break
        before = narrow.copy()
        ceilings[again], narrow[again], possible[again] = relaxation.bound(narrow[again], ceilings[again], depth, margin)
    return ceilings, narrow, possible


def _halves(boxes: np.ndarray) -> np.ndarray:
    """Each box cut in two across its widest side, (2 N, S + 1, 2), halves side by side; e moves all of h."""
    widths = np.ptp(boxes, axis=-1) * np.r_[np.ones(boxes.shape[1] - 1), WEIGHT * (boxes.shape[1] - 1)]
    side, rows = widths.argmax(axis=1), np.arange(len(boxes))
    halves = np.repeat(boxes, 2, axis=0)
    middle = boxes[rows, side].mean(axis=-1)
    halves[2 * rows, side, 1] = middle
    halves[2 * rows + 1, side, 0] = middle
    return halves


def _finest(relaxation: ValueBoxes) -> int:
    """How often cells may be halved, so that tables stay small."""
    s, a, b = relaxation.sizes
    depth = 0
    while depth < len(DEPTHS) and s * b * s * 8 ** (a - 1) * 2 ** (depth * (a - 1)) <= MOST_NUMBERS:
        depth += 1
    return depth


def announced_process(game: StackelbergGame, follower: Follower) -> tuple[MDP, tuple[float, float]]:
    """The one process of a game whose leader announces a policy, and the temperatures of the follower's values and answers.

    Raises:
        BoundError: if it is not of the kind.
    """

    def require(holds: bool, otherwise: str) -> None:
        if not holds:
            raise BoundError(f"{game.name} has no policy bound: {otherwise}")

    temperatures: Any = getattr(follower, "temperatures", None)
    require(temperatures is not None, f"{follower!r} is not Hard, Soft or Quantal")
    require(game.additive and game.tabular and not game.crowd, "its objective is not a sum of rewards over steps in tables")
    alone = game.followers == 1 and len(game.contexts) == 1 and not any(game.signals)
    require(alone, "it has several contexts or followers, or signals")
    mdp, *others = (game.problems(x, 0)[0] for x in probe_commitments(game))
    require(
        all(same_tables(mdp, other, ("follower_reward", "leader_reward"), 1e-12) for other in others),
        "more than the leader's policy moves with the commitment",
    )
    require(mdp.available is None, "some actions are not always available")
    require(max(mdp.follower_discount, mdp.leader_discount) < 1, "it does not discount")
    total = np.asarray(mdp.kernel.expect(np.ones(mdp.sizes[0])))
    require(bool(np.allclose(total, 1, rtol=0, atol=1e-12)), "its episodes end")
    return mdp, temperatures
