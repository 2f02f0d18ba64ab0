r"""A relaxation for processes in which every action leads nearly anywhere: the follower's values hardly move its answers.

Let w be the follower's values under the leader's policy pi, and v = w - gamma_F mean(w).  With D = P(.|s,a,b) - 1/S and V_tau the softened
maximum over b ::

    v(s) = V_tau over b of  sum_a pi(a|s) [ r_F(s,a,b) + gamma_F D(s,a,b) v ]                                                (1)

because rows of D sum to 0.  So v lies in a box, the fixed point of the extremes of (1).  With its centre c and v = c + d, the follower's
answer is the softmax of q(s,b) + t(s,b), where q = r_F + gamma_F D c and the *tilt* is t = gamma_F D d.  Alone, each state may tilt as far
as the box allows.  Together they may not, for d is one vector.  Let C be D less its mean over b, let the forms N(s) be at least
f(s,a) gamma_F^2 sum_b C' C for each a, with shares f of the price, and let k be so large that k mean(N) >= sum_s' P(s'|s,a,b) N(s') for all
(s,a,b).  Then under every policy, with discounted visits y(s,a) and initial distribution rho, ::

    sum y f osc_b(t)^2 / 2  <=  sum y f |gamma_F C d|^2  <=  d' [ sum rho(s) N(s) + gamma_L k / (1 - gamma_L) mean(N) ] d  <=  Q     (2)

The second step is induction: K(s) = N(s) + gamma_L k / (1 - gamma_L) mean(N) is at least f gamma_F^2 sum_b C' C + gamma_L sum_s' P K(s').
So for every price kappa >= 0 the leader has at most kappa Q more than in the decision process in which each state tilts as it likes and
pays kappa f osc^2 / 2 for it.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..processes.mdp import MDP
from .interval_answers import best_ratio, soft_answer, soft_maximum, weight_ranges

SETTLED = 1e-4
"""Of the box of v."""
LEAST, MOST, LEVELS = 0.1, 4.0, 250
"""Half oscillations of tilts that are priced, in units of the temperature; each is charged what the next smaller one costs."""
SHARES = (0.75, 0.5, 0.25, 0.1, 0.0)
"""Of the price, that actions may pay for which it makes no difference."""
ROUNDS, CONVERGED = 30, 1e-5
"""Of improving the leader's values if actions are visible, for the best is found exactly; they end when values move by less."""
TOLERANCES = (0.1, 0.05, 0.03, *(0.02,) * 5, *(0.01,) * 10)
"""In each round if they are not, of a state's best mixture, in units of the range of rewards."""
MOST_CELLS = 60_000
"""Of the simplex, over all states of a round."""
ANSWERS = 200
"""That are tried for the least value that a mixture leaves."""


class Mixing:
    """The relaxation for one process.

    Args:
        mdp: the process under any leader policy; rows of its transition sum to 1, and discounts are below 1.
        temperature: tau of the follower, above 0.
    """

    def __init__(self, mdp: MDP, temperature: float) -> None:
        s, a, b = self.sizes = mdp.sizes
        self.temperature, self.visible = temperature, mdp.follower_sees == "action"
        self.discounts = mdp.follower_discount, mdp.leader_discount
        self.initial = np.asarray(mdp.initial)
        self.transition = np.stack([np.asarray(mdp.kernel.expect(row)) for row in np.eye(s)], axis=-1).reshape(s, a, b, s)
        self.follower_reward, self.leader_reward = (np.broadcast_to(r, (s, a, b)) for r in (mdp.follower_reward, mdp.leader_reward))
        difference = self.transition - 1 / s
        self.centred = difference - difference.mean(axis=2, keepdims=True)
        self.centre, self.radius = self._box(difference)
        q = self.follower_reward + self.discounts[0] * (difference @ self.centre)
        self.preferences = q - q.mean(axis=-1, keepdims=True)

    def bound(self, price: float = 0.0) -> float:
        """An upper bound of the leader's return over all its policies.

        Args:
            price: kappa, if actions are visible; else tilts are free.
        """
        discount, span = self.discounts[1], float(np.ptp(self.leader_reward))
        values = ahead = best = np.full(self.sizes[0], self.leader_reward.max() / (1 - discount))
        reached = np.inf
        for tolerance in (0.0,) * ROUNDS if self.visible else TOLERANCES:
            ahead = self.leader_reward + discount * (self.transition @ values)
            best = self._visible(ahead, price).max(axis=1) if self.visible else self._announced(ahead, tolerance * span)
            reached = float(self.initial @ best) + discount / (1 - discount) * max(float((best - values).max()), 0.0)
            step = best - values
            values = best + discount / (1 - discount) * float(step.mean())
            if self.visible and np.abs(step).max() < CONVERGED * span:
                break
        if not (self.visible and price):
            return reached
        shares = np.ones(self.sizes[:2])
        for share in SHARES:
            shares[self._visible(ahead, share * price) <= best[:, None]] = share
        return reached + price * self.coupling(shares)

    def coupling(self, shares: np.ndarray) -> float:
        """Q of (2), if tilts of each pair (S, A) pay this share of the price."""
        s, (gamma, leader_gamma) = self.sizes[0], self.discounts
        rows = (self.centred * np.sqrt(shares)[:, :, None, None]).reshape(s, -1, s)
        forms = gamma**2 * np.swapaxes(rows, 1, 2) @ rows
        mean = forms.mean(axis=0)
        sizes, directions = np.linalg.eigh(mean)
        there = sizes > sizes.max() * 1e-9
        if not there.any():
            return 0.0
        whiten = directions[:, there] / np.sqrt(sizes[there])
        whitened = whiten.T @ forms @ whiten
        ahead = self.transition.reshape(-1, s) @ whitened.reshape(s, -1)
        largest = max(float(np.linalg.eigvalsh(form.reshape(whitened.shape[1:]))[-1]) for form in ahead)
        total = np.einsum("s,stu->tu", self.initial, forms) + leader_gamma * largest / (1 - leader_gamma) * mean
        scaled = total * self.radius[:, None] * self.radius
        return min(float(np.linalg.eigvalsh(total)[-1]) * float(self.radius @ self.radius), s * float(np.linalg.eigvalsh(scaled)[-1]))

    def _box(self, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centre and radius of the values v that (1) leaves possible, each (S,)."""
        (s, _, b), gamma = self.sizes, self.discounts[0]
        least = float(self.follower_reward.min()) / (1 - gamma)
        most = (float(self.follower_reward.max()) + self.temperature * float(np.log(b))) / (1 - gamma)
        low, high, size = np.full(s, least - gamma * most), np.full(s, most - gamma * least), np.abs(difference)
        while True:
            middle = self.follower_reward + gamma * (difference @ (low + high) / 2)
            off = gamma * (size @ (high - low) / 2)
            below, above = low, high
            low = np.maximum(low, self._least_value(middle - off))
            high = np.minimum(high, soft_maximum(middle + off, self.temperature).max(axis=1))
            if max(float((low - below).max()), float((above - high).max())) < SETTLED:
                return (low + high) / 2, (high - low) / 2

    def _least_value(self, q: np.ndarray) -> np.ndarray:
        """A lower bound (S,) of V_tau over all mixtures of the rows of q (S, A, B): each answer g has min_a q g + tau H(g) at least."""
        if self.visible:
            return soft_maximum(q, self.temperature).min(axis=1)
        s, a, b = q.shape
        least, mixture, answer = np.full(s, -np.inf), np.zeros((s, a)), np.full((s, b), 1 / b)
        for trial in range(1, ANSWERS + 1):  # fictitious play
            worth = np.einsum("sab,sb->sa", q, answer)
            entropy = -(answer * np.log(np.maximum(answer, np.finfo(np.float64).tiny))).sum(axis=-1)
            least = np.maximum(least, worth.min(axis=1) + self.temperature * entropy)
            mixture += np.eye(a)[worth.argmin(axis=1)]
            answer = soft_answer(np.einsum("sa,sab->sb", mixture / trial, q), self.temperature)
        return least

    def _reach(self, centred: np.ndarray) -> np.ndarray:
        """How far the box alone lets tilts go."""
        return self.discounts[0] * (np.abs(centred) @ self.radius)

    def _visible(self, ahead: np.ndarray, price: float) -> np.ndarray:
        """What actions are worth at most, (S, A), if the leader's table is ``ahead`` (S, A, B)."""
        q, reach, table = self.preferences, self._reach(self.centred), ahead
        worth = self._most(q - reach, q + reach, table)
        if not price:
            return worth
        ends = self.temperature * np.geomspace(LEAST, MOST, LEVELS)
        priced = worth - 2 * price * ends[-1] ** 2
        for end, below in zip(ends, np.r_[0, ends], strict=False):
            tilt = np.minimum(reach, end)
            priced = np.maximum(priced, self._most(q - tilt, q + tilt, table) - 2 * price * below**2)
        return np.minimum(worth, priced)

    def _most(self, low: np.ndarray, high: np.ndarray, table: np.ndarray) -> np.ndarray:
        """What answers earn at most by ``table`` if preferences are between ``low`` and ``high``, all (..., B)."""
        b = self.sizes[2]
        weights = weight_ranges(low.reshape(-1, b), high.reshape(-1, b), self.temperature)
        return best_ratio(table.reshape(-1, 1, b), weights)[:, 0].reshape(table.shape[:-1])

    def _announced(self, ahead: np.ndarray, tolerance: float) -> np.ndarray:
        """What states are worth at most, (S,), by bisecting the simplex of mixtures where the best may still be."""
        s, a, _ = self.sizes
        pairs = np.array(list(combinations(range(a), 2)), dtype=int).reshape(-1, 2)
        owner, mixtures = np.arange(s), np.repeat(np.eye(a)[None], s, axis=0)
        q, table, reach = self.preferences, ahead, self._reach(self.centred)
        attained = self._most(q - reach, q + reach, table).max(axis=1)
        upper, cells = attained.copy(), 0
        while len(owner):
            cells += len(owner)
            weights = weight_ranges((q - reach).min(axis=1), (q + reach).max(axis=1), self.temperature)
            worth = best_ratio(table, weights).max(axis=1)
            split = (worth > attained[owner] + tolerance) & (cells <= MOST_CELLS) & (a > 1)
            np.maximum.at(upper, owner[~split], worth[~split])
            owner = owner[split]
            mixtures, q, table, reach = (some[split] for some in (mixtures, q, table, reach))
            if not len(owner):
                break
            i, j = pairs[np.abs(q[:, pairs[:, 0]] - q[:, pairs[:, 1]]).max(axis=-1).argmax(axis=1)].T
            rows = np.arange(len(owner))
            middle = [(some[rows, i] + some[rows, j]) / 2 for some in (mixtures, q, table)]
            middle.append(self._reach_of(middle[0], owner))
            np.maximum.at(attained, owner, self._most(middle[1] - middle[3], middle[1] + middle[3], middle[2]))
            halves = []
            for end in (i, j):
                half = [some.copy() for some in (mixtures, q, table, reach)]
                for some, new in zip(half, middle, strict=True):
                    some[rows, end] = new
                halves.append(half)
            mixtures, q, table, reach = (np.concatenate(both) for both in zip(*halves, strict=True))
            owner = np.concatenate([owner, owner])
        return upper

    def _reach_of(self, mixtures: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """`_reach` of mixtures (n, A) of states ``owner``, (n, B); in batches, for each takes S numbers an action."""
        s, a, b = self.sizes
        parts = np.array_split(np.arange(len(owner)), 1 + len(owner) // 2000)
        mixed = (np.einsum("na,nax->nx", mixtures[part], self.centred[owner[part]].reshape(-1, a, b * s)) for part in parts)
        return np.concatenate([self._reach(some.reshape(-1, b, s)) for some in mixed])
