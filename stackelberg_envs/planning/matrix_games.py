r"""What commitment is worth in a matrix game: exact values by linear programming, with the commitment that attains each.

The leader plays a mixture x over m rows, the follower of type t (probability p_t) answers with a column j; they are paid x.L_t[:, j] and
x.B_t[:, j].  Column j is a best response where x.(B[:, j] - B[:, k]) >= 0 for all k: a polytope, on which x.L[:, j] is linear.

* strong (ties for the leader): one LP a column, the best of n (Conitzer and Sandholm, "Computing the optimal strategy to commit to",
  EC 2006, multiple LPs); with types, one for each joint response, or one mixed-integer programme (DOBSS: Paruchuri et al., "Playing games
  for security", AAMAS 2008).
* weak (ties against it): the supremum over x, which need not be attained.  Columns with the same payoffs to the follower can never be told
  apart; call them a class.  A class counts where it can be made strictly better than every other column, and is worth ::

      max_x min_{j in class} x.L[:, j]   s.t.  x.(B[:, class] - B[:, k]) >= 0,  k not in class

  because near any x there are commitments with one class of best responses only (von Stengel and Zamir, "Leadership games with convex
  strategy sets", GEB 2010).  This is not the weak value *at the strong commitment* (`value_of`), which can be far lower: Maintain's
  strong value is 27.5, its weak one too, and the strong commitment played against a weak follower gets 7.5.
* margin: the same with ``>= margin`` in place of ``>= 0``: what is left when the follower's answer must be better by so much.

All payoffs are arrays (m, n), or (T, m, n) with one matrix a type.  scipy's HiGHS solves the programmes, on payoffs scaled to [0, 1];
the range of the follower's payoffs is that of columns that can be an answer at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from .hard_policy_iteration import TIE_TOLERANCE
from .matrix_programmes import ScaledGame, best_mixture, interior_point, mixed_integer_response, scale_payoffs

JOINT_RESPONSES = 1000
"""Joint responses of all types for which LPs are enumerated (a few milliseconds each); beyond, `strong_commitment` uses `dobss`."""
STRICT = 1e-8
"""A class of columns can be strictly best if by more than this share of the range of the follower's payoffs."""


@dataclass(frozen=True)
class Commitment:
    """A mixture and what it is worth."""

    value: float
    """The leader's payoff; for `weak_commitment`, the supremum."""
    mixture: np.ndarray
    """(m,): where the value is attained, or approached."""
    columns: tuple[tuple[int, ...], ...]
    """The class of columns with which each type answers; one column each, unless payoffs to the follower coincide."""
    inside: np.ndarray | None = None
    """(m,): where these columns are better than the others by the largest margin, ``slack``; None if not asked for."""
    slack: float = 0.0
    """See ``inside``; a share of the range of the follower's payoffs."""

    def towards_interior(self, slack: float) -> np.ndarray:
        """The mixture, moved just so far that the columns are better by a share ``slack`` of the range of the follower's payoffs."""
        if self.inside is None or self.slack <= 0:
            return self.mixture
        step = min(1.0, slack / self.slack)
        return (1 - step) * self.mixture + step * self.inside


def strong_commitment(leader: Any, follower: Any, probabilities: Any = None) -> Commitment:
    """The best mixture if ties are broken for the leader: the strong Stackelberg equilibrium.

    Args:
        leader: payoffs, (m, n) or (T, m, n).
        follower: payoffs, (m, n) or (T, m, n).
        probabilities: of the follower's types, (T,); even if not given.

    Raises:
        ValueError: if payoffs or probabilities do not fit one another.
    """
    game = scale_payoffs(leader, follower, probabilities)
    if game.columns**game.types > JOINT_RESPONSES:
        return dobss(leader, follower, probabilities)
    single = [[(j,) for j in range(game.columns)]] * game.types
    return _best([_commitment_for(game, answers, 0.0) for answers in product(*single)])


def weak_commitment(leader: Any, follower: Any, probabilities: Any = None) -> Commitment:
    """The supremum over mixtures if ties are broken against the leader; arguments as of `strong_commitment`.

    Raises:
        ValueError: likewise, or if there are more than `JOINT_RESPONSES` joint responses.
    """
    game = scale_payoffs(leader, follower, probabilities)
    found = []
    for answers in _joint_classes(game):
        inside, slack = interior_point(game, answers)
        if slack > STRICT and (best := _commitment_for(game, answers, 0.0)) is not None:
            found.append(Commitment(best.value, best.mixture, best.columns, inside, slack))
    return _best(found)


def margin_commitment(leader: Any, follower: Any, margin: float, probabilities: Any = None) -> Commitment | None:
    """The best mixture at which every type's answer beats its other columns by ``margin`` > 0, in the follower's payoff; None if none does.

    Arguments and errors otherwise as of `weak_commitment`, whose value is the limit of margin 0.
    """
    if not margin > 0:
        raise ValueError(f"margin is positive, got {margin}; its limit 0 is weak_commitment")
    game = scale_payoffs(leader, follower, probabilities)
    found = [best for answers in _joint_classes(game) if (best := _commitment_for(game, answers, margin)) is not None]
    return _best(found) if found else None


def pure_commitment(leader: Any, follower: Any, probabilities: Any = None, *, ties: Literal["strong", "weak"] = "strong") -> Commitment:
    """The best single row, by enumeration; arguments as of `strong_commitment`, ``ties`` as of `stackelberg_envs.Hard`."""
    rows = np.eye(scale_payoffs(leader, follower, probabilities).rows)
    return _best([value_of(leader, follower, row, probabilities, ties=ties) for row in rows])


def value_of(
    leader: Any, follower: Any, mixture: Any, probabilities: Any = None, *, ties: Literal["strong", "weak"] = "strong"
) -> Commitment:
    """What ``mixture`` (m,) is worth; arguments otherwise as of `pure_commitment`.  What is a tie: `TIE_TOLERANCE`."""
    game, x = scale_payoffs(leader, follower, probabilities), np.asarray(mixture, dtype=np.float64)
    if x.shape != (game.rows,) or ties not in ("strong", "weak"):
        raise ValueError(f"a mixture has shape ({game.rows},) and ties are 'strong' or 'weak'; got {x.shape} and {ties!r}")
    if not ((x >= -1e-9).all() and abs(x.sum() - 1) < 1e-6):
        raise ValueError(f"a mixture has non-negative entries that sum to 1, got {mixture}")
    own, other = x @ game.original_leader, x @ game.original_follower  # (T, n)
    top = other.max(axis=1, keepdims=True)
    best = other >= top - TIE_TOLERANCE * (1 + np.abs(top))
    sign = 1.0 if ties == "strong" else -1.0
    chosen = np.where(best, sign * own, -np.inf).argmax(axis=1)
    value = float(game.probabilities @ own[np.arange(game.types), chosen])
    return Commitment(value, x, tuple((int(j),) for j in chosen))


def dobss(leader: Any, follower: Any, probabilities: Any = None) -> Commitment:
    """`strong_commitment` by one mixed-integer programme, which grows with the number of types instead of their joint responses."""
    game = scale_payoffs(leader, follower, probabilities)
    best = _commitment_for(game, mixed_integer_response(game))
    if best is None:
        raise RuntimeError(
            "the mixed-integer programme's responses are best nowhere: its tolerance of 1e-6 is too coarse for these payoffs"
        )
    return best  # the LP of its responses is exact, the programme itself to 1e-6


def logits(mixture: Any) -> np.ndarray:
    """The mixture as a commitment of `stackelberg_envs.games.bimatrix`, within [-20, 20]: rows never played keep a share of e^-40."""
    with np.errstate(divide="ignore"):
        log = np.log(np.asarray(mixture, dtype=np.float64))
    return 20.0 + np.maximum(log - log.max(), -40.0)


def _joint_classes(game: ScaledGame) -> list[tuple[tuple[int, ...], ...]]:
    """All joint responses of the types, in classes of columns between which a follower is indifferent whatever the leader does."""
    each = []
    for payoff in game.follower:
        classes: list[list[int]] = []
        for j in range(game.columns):
            same = [c for c in classes if np.abs(payoff[:, j] - payoff[:, c[0]]).max() <= STRICT]
            same[0].append(j) if same else classes.append([j])
        each.append([tuple(c) for c in classes])
    if (count := int(np.prod([len(classes) for classes in each], dtype=float))) > JOINT_RESPONSES:
        raise ValueError(f"{count} joint responses of {game.types} types are over {JOINT_RESPONSES}; only the strong value goes beyond")
    return list(product(*each))


def _commitment_for(game: ScaledGame, answers: Sequence[tuple[int, ...]], margin: float = 0.0) -> Commitment | None:
    """The best mixture to which these are the answers, by ``margin``; None if there is none."""
    x = best_mixture(game, answers, margin)
    if x is None:
        return None
    each = [min(x @ game.original_leader[t][:, j] for j in answer) for t, answer in enumerate(answers)]
    return Commitment(float(game.probabilities @ each), x, tuple(tuple(answer) for answer in answers))


def _best(found: Sequence[Commitment | None]) -> Commitment:
    solved = [commitment for commitment in found if commitment is not None]
    if not solved:
        raise RuntimeError(f"no answer is best by more than {STRICT} of the range of the follower's payoffs: too close to a tie")
    return max(solved, key=lambda commitment: commitment.value)
