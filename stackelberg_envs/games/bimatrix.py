"""Bimatrix: commit to a mixed row; the follower picks a column.

Both are paid once.  Iterated, they meet again and again, and the leader's mixture depends on what both did last; with several follower
types, the leader commits before it is drawn whom it meets.

Source: the default payoffs are the example of Conitzer and Sandholm, "Computing the optimal strategy to commit to", EC 2006, where
commitment to a mixture is worth 2.5, to a pure row 2, and the only Nash equilibrium 1.  Those of the other presets: see
`stackelberg_envs.games.bimatrix_presets`.  Exact values: `stackelberg_envs.planning.matrix_games`.  Types as in Paruchuri et al., "Playing
games for security", AAMAS 2008; memory one as in Gerstgrasser and Parkes, "Oracles & Followers", ICML 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, nearest, real, real_array
from ..commitments import Saturation, softmax_policy
from ..followers.exact import Soft
from ..game import StackelbergGame
from ..planning.matrix_programmes import payoff_tables, type_weights
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.mdp import InducedMDP
from ..worlds.signal import InducedSignalMDP
from .bimatrix_presets import PRESETS, random_payoffs

Matrix = Sequence[Sequence[float]] | np.ndarray
CONITZER_LEADER, CONITZER_FOLLOWER = PRESETS["conitzer"]
EPISODES_CUT = 10
"""Iterated episodes are cut after this many times their mean length, which at most one in 22,000 (e^-10) reaches."""


class Bimatrix(StackelbergGame):
    """A matrix game, once or iterated, against one follower or one of several types.

    * One-shot: one state, no discount, and the episode ends after one move.  Commitment: m logits, softmax over the rows.
    * Iterated: 1 + m n states, the start and then the last joint action (a, b) as 1 + a n + b.  Commitment: (1 + m n) m logits,
      row-major, softmax over the rows.  After each move the episode ends with probability 1 / rounds, so that returns are plain sums
      (discount 1) over ``rounds`` moves on average, and a stationary follower knows no last move from which to reason backwards.
    * The follower knows the mixture, not the row that is drawn; with ``noise`` it also sees a signal of the row.

    Args:
        preset: ``"conitzer"`` (if no payoffs are given), ``"bagwell"``, ``"escape"``, ``"maintain"``, ``"random"``, or one of the twelve
            ordinal games, such as ``"prisoners_dilemma"``, ``"stag_hunt"``, ``"chicken"``, ``"battle"``.
        leader_payoff: (m, n) matrix of the leader, or one against each type, (T, m, n).
        follower_payoff: (m, n) matrix of the follower, or one a type, (T, m, n); types are the game's contexts.
        type_probabilities: of the types, (T,); even if not given.
        visibility: whether the leader learns of the type ``"after"`` the round, or ``"never"``; it commits before in any case.
        rounds: 1 for one-shot, or the mean number of moves of an iterated game.
        noise: probability that the follower, before it moves, sees another row than the one drawn, any of them alike; None where it sees
            none.  At 0 it sees the row, at 1 - 1/m nothing.
        rows: m, of ``"random"``; 3 if not given.
        columns: n, of ``"random"``; 3 if not given.
        types: T, of ``"random"``; 1 if not given.
        correlation: of ``"random"``, in [-1, 1]: -1 zero-sum, 0 independent, 1 a team; 0 if not given.
        seed: which instance of ``"random"``; 0 if not given.
    """

    name = "bimatrix"

    def __init__(
        self,
        *,
        preset: str | None = None,
        leader_payoff: Matrix | None = None,
        follower_payoff: Matrix | Sequence[Matrix] | None = None,
        type_probabilities: Sequence[float] | None = None,
        visibility: Literal["after", "never"] = "never",
        rounds: float = 1,
        noise: float | None = None,
        rows: int | None = None,
        columns: int | None = None,
        types: int | None = None,
        correlation: float | None = None,
        seed: int | None = None,
    ) -> None:
        random = {"rows": rows, "columns": columns, "types": types, "correlation": correlation, "seed": seed}
        leader, follower = _payoffs(preset, leader_payoff, follower_payoff, {k: v for k, v in random.items() if v is not None})
        count, m, n = follower.shape
        shares = type_probabilities
        probabilities = type_weights(shares if shares is None else real_array("type_probabilities", shares), count)
        rounds = real("rounds", rounds, 1)
        check_memory("moves of leader and follower", (1 if rounds == 1 else (1 + m * n) ** 2) * m * n)
        if count > 1:
            self.contexts = tuple(f"type_{t}" for t in range(count))
            self.context_probabilities, self.context_visibility = probabilities, visibility
        self.noise = noise if noise is None else real("noise", noise, 0, 1)
        self.states = 1 if rounds == 1 else 1 + m * n
        self.max_cycles = 1 if rounds == 1 else int(np.ceil(EPISODES_CUT * rounds))
        self.leader_space = Box(-20.0, 20.0, (self.states * m,), np.float64)
        self.saturation = Saturation.softmax(*[m] * self.states)
        self.default_follower = Soft(0.1)
        transition = np.zeros((self.states, m, n, self.states))
        if rounds > 1:
            transition[:, :, :, 1:] = (1 - 1 / rounds) * np.eye(m * n).reshape(m, n, m * n)
        everywhere = (count, self.states, m, n)
        noise = self.noise or 0.0
        self._constants = Constants(
            transition=transition,
            follower_reward=np.broadcast_to(follower[:, None], everywhere).copy(),
            leader_reward=np.broadcast_to(leader[:, None], everywhere).copy(),
            initial=np.eye(self.states)[0],
            signal=np.tile(np.where(np.eye(m), 1 - noise, noise / max(1, m - 1)) if m > 1 else np.ones((1, 1)), (self.states, 1, 1)),
        )

    def log_leader_policy(self, x: Array) -> Array:
        """log pi(row|s), (..., S, m)."""
        return softmax_policy(x, self.states, self.dimension // self.states)

    def induced(self, x: Array, context: int) -> InducedMDP:
        c = self._constants.like(x)
        tables: dict[str, Any] = {
            "leader_policy": array_namespace(x).exp(self.log_leader_policy(x)),
            "transition": c.transition,
            "follower_reward": c.follower_reward[context],
            "leader_reward": c.leader_reward[context],
            "initial": c.initial,
            "follower_discount": 1.0,
            "leader_discount": 1.0,
        }
        return InducedMDP(**tables, follower_sees="policy") if self.noise is None else InducedSignalMDP(**tables, signal=c.signal)


def _payoffs(preset: str | None, leader: Any, follower: Any, random: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(leader's, follower's) payoffs as checked tables (T, m, n)."""
    if random and preset != "random":
        raise ValueError(f"{', '.join(random)} belong to preset='random', got preset={preset!r}")
    if preset is not None:
        if leader is not None or follower is not None:
            raise ValueError(f"give either payoffs or a preset, not both; got preset={preset!r}")
        if preset not in (known := (*PRESETS, "random")):
            raise ValueError(f"bimatrix has no preset {preset!r}; {nearest(str(preset), known)}")
        leader, follower = random_payoffs(**random) if preset == "random" else PRESETS[preset]
    if (leader is None) != (follower is None):
        raise ValueError("give the payoffs of both players, leader_payoff and follower_payoff, or of neither")
    leader, follower = CONITZER_LEADER if leader is None else leader, CONITZER_FOLLOWER if follower is None else follower
    return payoff_tables(real_array("leader_payoff", leader), real_array("follower_payoff", follower))
