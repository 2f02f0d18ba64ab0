"""Relaxations of a follower's answers: what a leader can earn whose follower's values lie in a box.

The leader announces pi(.|s), any probabilities.  Every episode goes on for ever, and the follower's values are w.  Write w = c + h with
sum_s h(s) = 0 and e = (1 - gamma_F) c.  Then with V_tau the maximum (softened by tau log sum exp( . / tau))::

    h(s) + e = V_tau over b of q(s,b),   q(s,b) = sum_a pi(a|s) [ r_F(s,a,b) + gamma_F P(.|s,a,b) h ]      (1)
    g(b|s)   = softmax over b of q(s,b) / tau                                                               (2)

A box bounds h and e.  In it q is between two numbers for each (s, b) and each small cell of the simplex of pi(.|s).  Cells in which (1)
cannot hold are left out.  In the others g(b|s) is e(b) / sum e with each e(b) between two numbers, and with an upper bound U of the
leader's values a state is worth at most::

    max over cells, over vertices pi of the cell, over e  of   sum_b g(b) sum_a pi(a) [ r_L(s,a,b) + gamma_L P(.|s,a,b) U ]     (3)

because for a fixed g the sum is linear in pi, so that its maximum over a cell is at a vertex.  The fixed point of U = (3) is at least the
leader's value under every policy whose follower's values lie in the box.  With T(W) for (3) at any W, that fixed point is at most
T(W) + gamma_L / (1 - gamma_L) max(0, max_s T(W) - W), so that it need not be found exactly.

The maximum over e is a fractional programme: its optimum takes the upper number where the bracket exceeds the value of the whole, else the
lower one (Dinkelbach, "On nonlinear fractional programming", Management Science, 1967).

A follower who sees the leader's action answers each a by itself, and (1) holds on average: h(s) + e = sum_a pi(a|s) V_tau q(s,a,b), V_tau
over b.  The cells are then the actions, and (3) is the best mixture of them whose average can be h(s) + e (`best_mixture`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ..processes.mdp import MDP
from .interval_answers import SLACK, best_mixture, best_ratio, soft_answer, soft_maximum, weight_ranges
from .simplex_grid import SimplexGrid, simplex_grid

MOST_SHIFTS = 8
"""Processes with more states have one shift a row."""
SETTLED = 1e-4
"""Values of the leader that move by less are not improved further; the bound holds at any of them."""


@dataclass
class _Cells:
    """Cells of the simplex in the states of several boxes; all arrays have one row each."""

    owner: np.ndarray
    """box times S plus state."""
    number: np.ndarray
    """Within its level."""
    level: np.ndarray
    vertices: np.ndarray
    """(n, A) into the grid."""
    values: np.ndarray
    """Between which numbers the follower's h(s) + e is there, (n, 2)."""
    weights: np.ndarray
    """Between which numbers e(b) is, (n, 2, B), up to a factor."""

    def take(self, rows: np.ndarray) -> _Cells:
        return _Cells(*(getattr(self, field.name)[rows] for field in fields(self)))

    def join(self, other: _Cells) -> _Cells:
        both = _Cells(*(np.concatenate([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self)))
        return both.take(np.argsort(both.owner, kind="stable"))


class ValueBoxes:
    """The relaxation for one process.

    Args:
        mdp: the process under any leader policy; rows of its transition sum to 1, and discounts are below 1.
        temperature: tau of the follower's values; 0 for one without entropy, whatever its ties.
        answer_temperature: tau of its answers (2); None for the same.
    """

    def __init__(self, mdp: MDP, temperature: float, answer_temperature: float | None = None) -> None:
        s, a, b = mdp.sizes
        self.sizes = s, a, b
        self.temperature = temperature
        self.answer_temperature = temperature if answer_temperature is None else answer_temperature
        self.discounts = mdp.follower_discount, mdp.leader_discount
        self.visible = mdp.follower_sees == "action"
        self.transition = np.stack([np.asarray(mdp.kernel.expect(row)) for row in np.eye(s)], axis=-1).reshape(s, a, b, s)
        self.follower_reward, self.leader_reward = (np.broadcast_to(r, (s, a, b)) for r in (mdp.follower_reward, mdp.leader_reward))
        self._grids: dict[int, _Grid] = {}

    def root(self) -> np.ndarray:
        """A box (S + 1, 2) in which the values of every answer are: bounds of h, and of e in the last row."""
        s, _, b = self.sizes
        low, high = self.follower_reward.min(), self.follower_reward.max() + self.temperature * np.log(b)
        reach = (high - low) / (1 - self.discounts[0])
        return np.array([(-reach, reach)] * s + [(low, high)])

    def ceiling(self) -> np.ndarray:
        """The leader's values (S,) if it chose the follower's actions too."""
        discount = self.discounts[1]
        values = np.full(self.sizes[0], self.leader_reward.max() / (1 - discount))
        for _ in range(int(np.ceil(np.log(1e-9) / np.log(max(discount, 1e-9))))):
            values = np.minimum(values, (self.leader_reward + discount * self.transition @ values).max(axis=(1, 2)))
        return values

    def bound(self, boxes: np.ndarray, ceilings: np.ndarray, depth: int, margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bounds of the leader's values in several boxes.

        Args:
            boxes: (N, S + 1, 2).
            ceilings: upper bounds that are known, (N, S).
            depth: how often cells are halved where the maximum is.
            margin: cells this far below the maximum are halved too.

        Returns:
            Better upper bounds (N, S); the boxes, narrowed by what (1) leaves; and whether any answer can be in them, (N,).
        """
        n, (s, _, _), grid = len(boxes), self.sizes, self._grid(0 if self.visible else depth)
        tables = grid.ranges(self, boxes)
        first = len(grid.simplex.cells[0])
        cells = grid.cells(self, tables, np.repeat(np.arange(n * s), first), np.tile(np.arange(first), n * s), 0)
        ceilings, values = ceilings.copy(), ceilings.copy()
        open_ = np.ones(n, dtype=bool)
        for level in range(len(grid.simplex.cells)):
            open_ &= np.bincount(cells.owner, minlength=n * s).reshape(n, s).all(axis=1)
            cells = cells.take(open_[cells.owner // s])
            if not open_.any():
                return ceilings, boxes, open_
            worth = self._improve(grid, cells, tables.targets, values, ceilings, np.flatnonzero(open_))
            if level == len(grid.simplex.children):
                break
            starts, best = _by_owner(cells.owner, worth, np.maximum)
            split = (cells.level == level) & (worth >= np.repeat(best, np.diff(np.r_[starts, len(worth)])) - margin)
            parts = grid.simplex.children[level][cells.number[split]]
            owners = np.repeat(cells.owner[split], parts.shape[1])
            cells = cells.take(~split).join(grid.cells(self, tables, owners, parts.ravel(), level + 1))
        return ceilings, *_narrow(boxes, cells, open_)

    def _improve(
        self, grid: _Grid, cells: _Cells, targets: np.ndarray, values: np.ndarray, ceilings: np.ndarray, which: np.ndarray
    ) -> np.ndarray:
        """Policy iteration for the fixed point of (3), in place, of the boxes ``which``; what each cell is worth at last."""
        (s, _, _), discount = self.sizes, self.discounts[1]
        states, rows = cells.owner % s, np.arange(len(cells.owner))
        worth = np.zeros(len(rows))
        for _ in range(4):
            brackets = grid.leader_brackets(self, values)[cells.owner[:, None], cells.vertices]
            at_vertices = best_ratio(brackets, cells.weights)
            vertex = at_vertices.argmax(axis=1)
            worth = at_vertices[rows, vertex]
            best, top, share = self._choose(cells, worth, targets)
            backup = best.reshape(-1, s)
            excess = np.maximum((backup - values[which]).max(axis=1), 0)
            ceilings[which] = np.minimum(ceilings[which], backup + discount / (1 - discount) * excess[:, None])
            if np.abs(backup - values[which]).max() < SETTLED:
                break
            at = brackets[top, vertex[top]]
            answer = np.where(at >= worth[top, None], cells.weights[top, 1], cells.weights[top, 0])
            answer *= share[:, None] / answer.sum(axis=1, keepdims=True)
            where, owner = (states[top], cells.vertices[top, vertex[top]]), cells.owner[top]
            reward = _by_owner(owner, np.einsum("nb,nb->n", answer, grid.leader_reward[where]), np.add)[1].reshape(-1, s)
            move = _by_owner(owner, np.einsum("nb,nbt->nt", answer, grid.transition[where]), np.add)[1].reshape(-1, s, s)
            values[which] = np.linalg.solve(np.eye(s) - discount * move, reward[..., None])[..., 0]
        return worth

    def _choose(self, cells: _Cells, worth: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The most that each owner can have, the cells that it is had in, and their shares."""
        if self.visible:
            a, owner = self.sizes[1], cells.owner[:: self.sizes[1]]
            best, share = best_mixture(worth.reshape(-1, a), cells.values.reshape(-1, a, 2), targets[owner])
            return best, np.arange(len(worth)), share.ravel()
        starts, best = _by_owner(cells.owner, worth, np.maximum)
        top = np.flatnonzero(worth >= np.repeat(best, np.diff(np.r_[starts, len(worth)])))
        top = top[np.unique(cells.owner[top], return_index=True)[1]]
        return best, top, np.ones(len(top))

    def _grid(self, depth: int) -> _Grid:
        if depth not in self._grids:
            self._grids[depth] = _Grid(self, depth)
        return self._grids[depth]


@dataclass(frozen=True)
class _Ranges:
    """What is known at the vertices of a grid, (N S, V, ...)."""

    lowest: np.ndarray
    """q where h is worst for the follower, (N S, V, B)."""
    highest_value: np.ndarray
    """V_tau of q where h is best, (N S, V)."""
    relative: np.ndarray
    """Between which numbers q less its mean over b is, (2, N S, V, B)."""
    targets: np.ndarray
    """Between which numbers h(s) + e is, (N S, 2)."""


class _Grid:
    """The process at the vertices of a grid of the simplex."""

    def __init__(self, of: ValueBoxes, depth: int) -> None:
        s, a, _ = of.sizes
        corners = SimplexGrid(np.eye(a), (np.arange(a)[:, None],), ())
        self.simplex = corners if of.visible else simplex_grid(a, depth)
        v = self.simplex.vertices
        self.transition = np.einsum("va,sabt->svbt", v, of.transition)
        self.follower_reward = np.einsum("va,sab->svb", v, of.follower_reward)
        self.leader_reward = np.einsum("va,sab->svb", v, of.leader_reward)
        self._moves = self.transition.reshape(-1, s).T.copy()
        self._absolute = _shifts(self.transition.reshape(-1, s))
        self._relative = _shifts((self.transition - self.transition.mean(axis=2, keepdims=True)).reshape(-1, s))

    def leader_brackets(self, of: ValueBoxes, values: np.ndarray) -> np.ndarray:
        """The bracket of (3) at each vertex, (N S, V, B)."""
        n = len(values)
        table = self.leader_reward + of.discounts[1] * (values @ self._moves).reshape(n, *self.leader_reward.shape)
        return table.reshape(-1, *table.shape[2:])

    def ranges(self, of: ValueBoxes, boxes: np.ndarray) -> _Ranges:
        (n, s, gamma), shape = (len(boxes), of.sizes[0], of.discounts[0]), self.follower_reward.shape
        h, reward = boxes[:, :s], np.tile(self.follower_reward, (n, 1, 1))
        low, high = (gamma * end.reshape(n * s, *shape[1:]) for end in _expectations(self._absolute, h))
        apart = np.stack([gamma * end.reshape(n * s, *shape[1:]) for end in _expectations(self._relative, h)])
        targets = (h + boxes[:, s:]).reshape(-1, 2) + np.array([-SLACK, SLACK])
        relative = reward - reward.mean(axis=-1, keepdims=True) + apart
        return _Ranges(reward + low, soft_maximum(reward + high, of.temperature), relative, targets)

    def cells(self, of: ValueBoxes, tables: _Ranges, owner: np.ndarray, number: np.ndarray, level: int) -> _Cells:
        """These cells of a level, without those in which (1) cannot hold."""
        vertices = self.simplex.cells[level][number]
        at = owner[:, None], vertices
        # The follower's value is convex in pi, so it is highest at a vertex, and above every tangent.
        high = tables.highest_value[at].max(axis=1)
        q = tables.lowest[at]
        middle = q.mean(axis=1)
        answer = soft_answer(middle, of.temperature)
        entropy = soft_maximum(middle, of.temperature) - (answer * middle).sum(axis=1)
        low = np.einsum("nb,nvb->nv", answer, q).min(axis=1) + entropy
        target = tables.targets[owner]
        # Under visible actions values are mixed over a, so that no single a has to meet the target (`best_mixture` sees to it).
        keep = (high >= target[:, 0]) & (low <= target[:, 1]) | of.visible
        owner, number, vertices = owner[keep], number[keep], vertices[keep]
        at = owner[:, None], vertices
        least, most = tables.relative[0][at].min(axis=1), tables.relative[1][at].max(axis=1)
        weights = weight_ranges(least, most, of.answer_temperature)
        return _Cells(owner, number, np.full(len(owner), level), vertices, np.stack([low[keep], high[keep]], axis=1), weights)


def _shifts(rows: np.ndarray) -> list[np.ndarray]:
    """P - t for a few t each, whose product with h is that of P, because sum h = 0: of R rows (R, S), each (S, R)."""
    ordered = np.sort(rows, axis=1)
    kept = range(rows.shape[1]) if rows.shape[1] <= MOST_SHIFTS else [rows.shape[1] // 2]
    return [(rows - ordered[:, k, None]).T.copy() for k in kept]


def _expectations(shifts: list[np.ndarray], h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between which numbers P h is over a box of h (N, S, 2) with sum h = 0, each (N, R).

    With all t = P(s'), that is exact, by the duality of linear programmes; with fewer it is wider.
    """
    centre, radius = h.mean(axis=-1), (h[..., 1] - h[..., 0]) / 2
    middles, offs = zip(*((centre @ table, radius @ np.abs(table)) for table in shifts), strict=True)
    return np.max([m - off for m, off in zip(middles, offs, strict=True)], axis=0), np.min(
        [m + off for m, off in zip(middles, offs, strict=True)], axis=0
    )


def _by_owner(owner: np.ndarray, values: np.ndarray, reduce: np.ufunc) -> tuple[np.ndarray, np.ndarray]:
    """Where each owner's rows start, and what ``reduce`` makes of its values; owners are sorted."""
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    return starts, reduce.reduceat(values, starts)


def _narrow(boxes: np.ndarray, cells: _Cells, open_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The boxes that are ``open_`` without what (1) and sum h = 0 rule out, and which are still open."""
    narrow, s = boxes.copy(), boxes.shape[1] - 1
    box = narrow[open_]
    h, e = box[:, :s].copy(), box[:, s].copy()
    low = _by_owner(cells.owner, cells.values[:, 0], np.minimum)[1].reshape(-1, s)
    high = _by_owner(cells.owner, cells.values[:, 1], np.maximum)[1].reshape(-1, s)
    h[..., 0], h[..., 1] = np.maximum(h[..., 0], low - e[:, 1:]), np.minimum(h[..., 1], high - e[:, :1])
    e[:, 0], e[:, 1] = np.maximum(e[:, 0], (low - h[..., 1]).max(axis=1)), np.minimum(e[:, 1], (high - h[..., 0]).min(axis=1))
    sums = h.sum(axis=1, keepdims=True)
    others = sums[..., ::-1] - h[..., ::-1]  # the most, then the least, that all other components add up to
    h[..., 0], h[..., 1] = np.maximum(h[..., 0], -others[..., 0]), np.minimum(h[..., 1], -others[..., 1])
    narrow[open_] = np.concatenate([h, e[:, None]], axis=1)
    still = open_.copy()
    still[open_] = (narrow[open_][..., 0] <= narrow[open_][..., 1] + SLACK).all(axis=1)
    return narrow, still
