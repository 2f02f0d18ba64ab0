r"""What the best walk leaves a poacher who knows it and sees nothing, and what rangers can have of such a poacher.

The poacher picks a target m and a time t in advance, t = 0 to T - 1, or stays away.  What a walk of any memory does to a strike is linear
in its flow on the time-expanded graph, f_h(p, a) for moves h = 0 to T + D - 2: with c_k the probability that the ranger comes to m for
the first time after the k-th move since t,

    poacher  gamma^t (gamma^(d-1) v_m (1 - sum_k c_k) - f sum_k gamma^(k-1) c_k)     rangers  likewise, with -loss, and the gain by a catch

    c_1 = what comes to m or stays there,  c_2 = what comes from elsewhere,  c_k <= what comes from elsewhere for k > 2,  sum c <= 1

What comes for the third time or later may have been there before, so for d > 2 the programmes have a larger feasible set than there are
walks, and their values are bounds; for d <= 2 they are exact.

* `blind_value`: the least, over flows, of the most that the poacher can have.
* `blind_commitment`: the most that the rangers can have, a programme for each (m, t) that is to be a best response (Conitzer and Sandholm,
  EC 2006), so ties go to the rangers.  Those that cannot beat the best so far are left out: a poacher who is left U is missed at (m, t) so
  often that it has U.

A walk whose moves depend on the node alone is one of these, so no patrol does better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .patrols import Strikes, Walks, lowest


def blind_value(walks: Walks, strikes: Strikes, horizon: int) -> float:
    """The least that any walk leaves a poacher who picks target and time in advance: a lower bound, exact for durations up to 2.

    Args:
        walks: of the ranger.
        strikes: at M targets.
        horizon: T, after so many steps a poacher goes home.
    """
    from scipy import sparse

    programme = _Programme.of(walks, strikes, horizon)
    payoffs, constants = programme.payoffs(strikes, strikes.values, strikes.penalty)
    level = sparse.csr_array(np.ones((len(constants), 1)))
    cost = np.append(np.zeros(programme.size), 1.0)
    found = lowest(
        cost,
        sparse.block_array([[payoffs, -level], [programme.rows, None]]),
        np.concatenate([-constants, programme.bounds]),
        sparse.hstack([programme.equal, sparse.csr_array((len(programme.equals), 1))]),
        programme.equals,
    )
    assert found is not None
    return max(0.0, float(cost @ found))


def blind_commitment(walks: Walks, strikes: Strikes, horizon: int, losses: np.ndarray, catch: float) -> float:
    """The most that any walk earns the rangers if ties go to them: an upper bound, exact for durations up to 2.

    Args:
        walks: of the ranger.
        strikes: at M targets.
        horizon: T.
        losses: of the rangers by a strike that is not caught, (M,).
        catch: what they gain by one that is.
    """
    from scipy import sparse

    programme = _Programme.of(walks, strikes, horizon)
    payoffs, constants = programme.payoffs(strikes, strikes.values, strikes.penalty)
    earned, lost = programme.payoffs(strikes, -losses, -catch)
    least = blind_value(walks, strikes, horizon)
    if least <= 1e-9:
        return max(0.0, float(catch))
    hopes = _hopes(strikes, horizon, losses, catch, least)
    best = -np.inf
    for at in np.argsort(-hopes):
        if hopes[at] <= best:
            break
        chosen = payoffs[[at]]
        others = payoffs - sparse.csr_array(np.ones((len(constants), 1))) @ chosen
        rows = sparse.vstack([others, -chosen, programme.rows])
        bounds = np.concatenate([constants[at] - constants, [constants[at]], programme.bounds])
        found = lowest(-earned[[at]].toarray()[0], rows, bounds, programme.equal, programme.equals)
        if found is not None:
            best = max(best, float((earned[[at]] @ found)[0] + lost[at]))
    return float(best)


def _hopes(strikes: Strikes, horizon: int, losses: np.ndarray, catch: float, least: float) -> np.ndarray:
    """What the rangers have at most of a strike that leaves the poacher ``least`` or more, (T M,); -inf where none does.

    What either has of a strike is a mix of one outcome, missed, with others, caught after k moves.  So the rangers' best is a mix of two,
    in which the poacher has just enough.
    """
    found = np.full((horizon, len(losses)), -np.inf)
    for m, (value, loss, duration) in enumerate(zip(strikes.values, losses, strikes.durations, strict=True)):
        free, late = strikes.discount ** np.arange(horizon), strikes.discount ** (duration - 1)
        missed = free * late * value
        for k in range(duration):
            drop = free * strikes.discount**k * strikes.penalty + missed
            caught = np.clip((missed - least) / np.where(drop > 0, drop, 1.0), 0.0, 1.0)
            worth = -free * late * loss * (1 - caught) + free * strikes.discount**k * catch * caught
            found[:, m] = np.where(missed >= least - 1e-12, np.maximum(found[:, m], worth), found[:, m])
    return found.ravel() + 1e-9


@dataclass(frozen=True, eq=False)
class _Programme:
    """Flows of a walk and probabilities of first visits, z >= 0 with rows z <= bounds and equal z = equals."""

    size: int
    first: list[list[list[int]]]
    """The number of c_k of each target and time."""
    rows: Any
    bounds: np.ndarray
    equal: Any
    equals: np.ndarray

    @classmethod
    def of(cls, walks: Walks, strikes: Strikes, horizon: int) -> _Programme:
        position, move = np.nonzero(walks.possible)
        after, moves = walks.moves[position, move], len(position)
        steps, count = horizon + int(strikes.durations.max()) - 1, len(walks.node)
        size = steps * moves
        first: list[list[list[int]]] = []
        less, same = [], []  # of (row, column, number)
        limits: list[float] = []
        equals = np.zeros(steps * count).tolist()
        equals[walks.start] = 1.0
        for h in range(steps):
            same += [(h * count + p, h * moves + e, 1.0) for e, p in enumerate(position.tolist())]
            if h + 1 < steps:
                same += [((h + 1) * count + p, h * moves + e, -1.0) for e, p in enumerate(after.tolist())]
        for node, duration in zip(strikes.nodes.tolist(), strikes.durations.tolist(), strict=True):
            comes = walks.node[after] == node
            arrivals = [np.flatnonzero(comes).tolist(), np.flatnonzero(comes & (walks.node[position] != node)).tolist()]
            first.append([])
            for t in range(horizon):
                own = list(range(size, size + duration))
                size += duration
                first[-1].append(own)
                for k, column in enumerate(own):
                    entries = [(column, 1.0)] + [((t + k) * moves + e, -1.0) for e in arrivals[min(k, 1)]]
                    table, right = (same, equals) if k < 2 else (less, limits)
                    table += [(len(right), at, number) for at, number in entries]
                    right.append(0.0)
                if duration > 2:
                    less += [(len(limits), column, 1.0) for column in own]
                    limits.append(1.0)
        return cls(size, first, _table(less, len(limits), size), np.array(limits), _table(same, len(equals), size), np.array(equals))

    def payoffs(self, strikes: Strikes, values: np.ndarray, penalty: float) -> tuple[Any, np.ndarray]:
        """What each strike pays, as rows over unknowns and constants, times by targets, (T M, size) and (T M,)."""
        entries, constants = [], []
        horizon = len(self.first[0])
        for t in range(horizon):
            for m, (value, duration) in enumerate(zip(values.tolist(), strikes.durations.tolist(), strict=True)):
                free, missed = strikes.discount**t, strikes.discount ** (duration - 1) * value
                entries += [(len(constants), at, -free * (missed + strikes.discount**k * penalty)) for k, at in enumerate(self.first[m][t])]
                constants.append(free * missed)
        return _table(entries, len(constants), self.size), np.array(constants)


def _table(entries: list[tuple[int, int, float]], rows: int, columns: int) -> Any:
    from scipy import sparse

    row, column, numbers = zip(*entries, strict=True) if entries else ((), (), ())
    return sparse.csr_array(
        (np.array(numbers, dtype=np.float64), (np.array(row, dtype=np.int64), np.array(column, dtype=np.int64))), shape=(rows, columns)
    )
