"""Toy3: three states in which a naive leader collapses.

The best commitment is a mixed one.

Variant "4", the default.  From S the follower goes to A or to B, either for a reward of 1, and the leader is paid 1 whenever it picks A.
In A the leader may send it straight back to S (its action 1), at a cost of 1 to the follower, or let it walk to B for a reward of R (its
action 0).  Sending it back often is good for the leader's frequency of visits, until the follower prefers S -> B -> S and never comes
again.  The rest of the family ("1_1a" to "4_1a", chosen by the argument ``variant``) moves the leader's choice to S, makes its bait dearer
or its temptation larger.

Source: the DiscreteToy environments of Kudo, Tanabe, Wachi, Akimoto, ICAPS 2026, arXiv 2603.14867, specified from their public code.
Only variant 4 has published results.  (Their flag ``optimal_action`` is wrong for it, and their follower takes the leader's expectation
inside the log-sum-exp: `stackelberg_envs.followers.replication.SoftInside`; here it is outside.)
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from gymnasium.spaces import Box

from ..arguments import cycles, nearest, real
from ..commitments import Saturation, softmax_policy
from ..followers.exact import Soft
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.mdp import InducedMDP

STATES, LEADER, FOLLOWER = "SAB", "01", "sab"
"""The names of states, leader actions and follower actions, in the order of their indices."""
DISCOUNT = 0.99


class Variant(NamedTuple):
    """Tables by entry: "S0a" is (state S, leader action 0, follower action a), and ``*`` stands for any; a later entry overrules."""

    moves: dict[str, str]
    """The successor; an entry that is not listed stays where it is."""
    follower_reward: dict[str, float]
    """0 where not listed, like ``leader_reward``."""
    leader_reward: dict[str, float]
    steps: int = 150
    """How long a published episode is."""


_CROSS = {"S0a": "A", "S1a": "B", "S0b": "B", "S1b": "A", "A*s": "S", "B*s": "S"}
_LINE = {"S*a": "A", "A*s": "S", "A*b": "B", "B*s": "S"}
_FORK = {**_LINE, "S*b": "B"}
_TRAP = {"S*a": "A", "S*b": "B", "A0s": "S", "A0b": "B", "A1*": "S", "B*s": "S"}
_LURE = {"A*s": 3.0, "A*b": 8.0, "B*s": -3.0}
_BAIT = {"S*b": 2.0, **_LURE}
_EVEN = 2.3858910707072356
"""(8(1+g^4) - 3(g^2+g^5) - 3(g+g^3+g^5)) / (.5(1+g^2+g^4) - .5(1+g^3)), g = .99.  It was meant to make a hard follower indifferent at
P(leader plays 1 in S) = .5, but the first 8 should read 8g: the follower switches at .4655."""
_TOLL = {"***": -1.0, "S*b": -3.0, "A*s": 2.0, "A*b": 2.0, "B*s": 0.0}
VARIANTS = {
    "1_1a": Variant(_CROSS, {"A*s": 1.0, "B*s": -1.0}, {"S*a": -1.0, "S*b": 1.0}, 100),
    "1_1b": Variant(_CROSS, {"A*s": 1.0, "B*s": -1.0}, {"S*b": 1.0}, 100),
    "1_2a": Variant({**_CROSS, "A*b": "B"}, _BAIT, {"A*s": 1.0, "A*b": -1.0}),
    "1_2b": Variant({**_CROSS, "A*b": "B"}, _BAIT, {"A*s": 1.0}),
    "1_2c": Variant(_LINE, {"S1a": 2.0, "A*s": 3.0, "B*s": 5.0}, {"A*s": 1.0, "A*b": -1.0}),
    "1_2d": Variant(_LINE, {"S1a": 2.0, "A*s": 3.0, "A*b": 2.0, "B*s": 3.0}, {"A*s": 1.0, "A*b": -1.0}),
    "1_2e": Variant(_FORK, {"S1a": 2.0, **_LURE}, {"A*s": 1.0, "A*b": -1.0}),
    "1_2f": Variant(_FORK, {"S1a": _EVEN, **_LURE}, {"A*s": 1.0, "A*b": -1.0}),
    "1_2g": Variant(_FORK, {"S1a": _EVEN, **_LURE}, {"A*s": 2.0, "A*b": 1.0}),
    "2_1": Variant({**_CROSS, "A*b": "B"}, {"A*s": 1.0, "B*s": -1.0, "A*b": 4.0}, {"S*a": -1.0, "S*b": 1.0}),
    "2_2": Variant({"S*a": "A", "A0s": "S", "A1s": "B", "A0b": "B", "A1b": "S", "B*s": "S"}, {"S*a": -1.0, "B*s": 4.0}, {"A*s": 1.0}),
    "3_1a": Variant({**_CROSS, "A*b": "B"}, _TOLL, {"A*b": 1.0, "A*s": -1.0}),
    "3_1b": Variant({**_CROSS, "A*b": "B"}, _TOLL, {"A*b": 1.0}),
    "3_2": Variant({"S*a": "A", "A*s": "S", "A0b": "B", "B*s": "S"}, {"S*a": 1.0, "B*s": 29.0}, {"A*s": 1.0}),
    "4": Variant(_TRAP, {"S*a": 1.0, "S*b": 1.0, "A0b": 1.0, "A1*": -1.0}, {"S*a": 1.0}),
    "4_1a": Variant(_TRAP, {"S*a": 1.0, "S*b": 1.0, "A0b": 1.0, "A1*": -1.0}, {"S*a": 1.0, "S*b": -1.0}),
}
"""The family, by the names of the source; ``A0b`` of the last two is R."""


class Toy3(StackelbergGame):
    """The smallest real Markov games of the suite; only P(leader plays 1) in one state matters, A or S (see the tables).

    * Commitment: 6 logits, (state S, A, B) x (action 0, 1) row-major, softmax over the action.
    * The follower sees the leader's action, then picks one of three: stay, to A, to B.

    Args:
        variant: which of `VARIANTS`.
        R: follower's reward for going from A to B when the leader lets it; 1 and 2 are published.  Only variants 4 and 4_1a have it,
            None is their 1.
        follower_sees: ``"action"``, or ``"policy"``: the source's ContinuousToy, whose leader announces P(it plays 1) in each state and
            has the action drawn after the follower's (there are 1_1a, 1_2c to 1_2g, 4_1a, and 4 as 4_1b).
        max_cycles: steps after which a played episode is cut; None for the source's.
    """

    name = "toy3"

    def __init__(
        self,
        *,
        variant: str = "4",
        R: float | None = None,  # noqa: N803 - the paper's symbol
        follower_sees: Literal["action", "policy"] = "action",
        max_cycles: int | None = None,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"toy3 has no variant {variant!r}; {nearest(str(variant), tuple(VARIANTS))}")
        chosen = VARIANTS[variant]
        if R is not None and chosen.moves is not _TRAP:
            raise ValueError(f"only variants 4 and 4_1a have an R, not {variant}; leave it out")
        self.follower_sees: Literal["action", "policy"] = follower_sees
        self.max_cycles = chosen.steps if max_cycles is None else cycles(max_cycles)
        self.leader_space = Box(-20.0, 20.0, (6,), np.float64)
        self.saturation = Saturation.softmax(2, 2, 2)
        self.default_follower = Soft(0.05)
        transition = np.zeros((3, 2, 3, 3))
        follower_reward, leader_reward = np.zeros((3, 2, 3)), np.zeros((3, 2, 3))
        for s in range(3):
            transition[s, :, :, s] = 1.0  # whatever is not listed stays
        for entry, successor in chosen.moves.items():
            transition[_indices(entry)] = np.eye(3)[STATES.index(successor)]
        for entry, reward in {**chosen.follower_reward, **({} if R is None else {"A0b": real("R", R, -np.inf)})}.items():
            follower_reward[_indices(entry)] = reward
        for entry, reward in chosen.leader_reward.items():
            leader_reward[_indices(entry)] = reward
        self._constants = Constants(
            transition=transition, follower_reward=follower_reward, leader_reward=leader_reward, initial=np.eye(3)[STATES.index("S")]
        )

    def log_leader_policy(self, x: Array) -> Array:
        """log pi(a|s), (..., 3, 2)."""
        return softmax_policy(x, 3, 2)

    def induced(self, x: Array, context: int) -> InducedMDP:
        c = self._constants.like(x)
        return InducedMDP(
            leader_policy=array_namespace(x).exp(self.log_leader_policy(x)),
            transition=c.transition,
            follower_reward=c.follower_reward,
            leader_reward=c.leader_reward,
            initial=c.initial,
            follower_discount=DISCOUNT,
            leader_discount=DISCOUNT,
            follower_sees=self.follower_sees,
        )


def _indices(entry: str) -> tuple[slice | int, ...]:
    """``"S*a"`` as an index into a (3, 2, 3) table."""
    names = zip(entry, (STATES, LEADER, FOLLOWER), strict=True)
    return tuple(slice(None) if letter == "*" else known.index(letter) for letter, known in names)
