"""Random Markov game: a Garnet for two, with a dial for their conflict.

Leader and follower both act in it.

Sources: Garnets after Archibald, McKinnon, Thomas, "On the generation of Markov decision processes", JORS 1995, with a second player;
``preset="penalty"`` is the random Stackelberg Markov game of Shen, Yang, Chen, "Principled penalty-based methods for bilevel
reinforcement learning and RLHF", ICML 2024, arXiv 2402.06886, as recalled without the paper at hand (see `PRESETS`).
Whether the follower sees the leader's action decides how hard they are: with independent rewards and visible actions a naive leader
is already near the optimum, with commitment to a policy only and conflicting rewards it is not (so that is the default).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, real, whole
from ..commitments import Saturation, softmax_policy
from ..followers.exact import Soft
from ..game import StackelbergGame
from ..processes.arrays import Array, array_namespace
from ..processes.chains import DIRECT
from ..processes.constants import Constants
from ..processes.garnets import garnet
from ..processes.successor_lists import SuccessorLists
from ..processes.successors import Successors
from ..worlds.mdp import InducedMDP

_DIRICHLET = {"branching": 3, "weights": "dirichlet", "conflict": 0.5, "reward_threshold": 0.0}
_UNIFORM = {"branching": None, "weights": "uniform", "conflict": 0.0, "reward_threshold": 0.7}
PRESETS: dict[str, dict[str, Any]] = {
    "default": {"states": 5, "leader_actions": 3, "follower_actions": 3, **_DIRICHLET, "temperature": 0.05},
    "penalty": {"states": 100, "leader_actions": 5, "follower_actions": 5, **_UNIFORM, "temperature": 0.001},
}
"""What arguments that are not given are; ``branching`` None is every state.  Every number of ``"penalty"`` is recalled, not read: 100
states, 5 x 5 actions, U(0, 1) weights of all states, normalised, rewards U(0, 1) with those below 0.7 set to 0, uniform start,
temperature 0.001, and a follower that knows the leader's policy and not its action.  Its discount is not even recalled; 0.9 is ours."""


class RandomMarkovGame(StackelbergGame):
    """A random two-player Markov game; the same arguments give the same game.

    * Commitment: S x A logits, row-major, softmax over the leader's actions.
    * P(.|s,a,b) puts random weights on ``branching`` random successors; the start is uniform.
    * u_L, u_F ~ U(0, 1) for each (s, a, b), 0 where they fall below ``reward_threshold``; then
      r_F = noise u_F + conflict (1 - u_L) and r_L = u_L - (cost of a).

    Args:
        preset: ``"default"``, or ``"penalty"``, see `PRESETS`: what the arguments are that are None.
        states: S.
        leader_actions: A.
        follower_actions: B.
        branching: successors of each (s, a, b), at most S.
        weights: of the successors, ``"dirichlet"`` for Dirichlet(1) or ``"uniform"`` for U(0, 1), normalised.
        conflict: in [0, 1]; 0 for independent rewards, 1 for a constant-sum game.
        noise: weight of the follower's own noise, at least 0; None for 1 - conflict.
        reward_threshold: in [0, 1); the share of rewards that are 0.
        influence: what the leader's action changes: ``"reward"`` (P is that of action 0), ``"dynamics"`` (u_L and u_F are) or ``"both"``.
        own_action_pays: False if u_L is that of action 0 whatever the leader plays, so that it gains by its action only through the
            follower and the dynamics.
        action_cost: what the leader pays for an action, one number for each; or a number c, for c times the action's index.
        follower_sees: ``"policy"`` (simultaneous moves) or ``"action"``.
        discount: of both players, below 1.
        seed: which instance; the arguments above change what is made of the draws, and only sizes, branching and weights the draws.
        max_cycles: steps after which a played episode is cut.
        layout: of the transition, ``"dense"`` or ``"lists"`` of successors; None for lists if
            there are `stackelberg_envs.processes.chains.DIRECT` states or more and few branches.
    """

    name = "random_markov_game"

    def __init__(
        self,
        *,
        preset: Literal["default", "penalty"] = "default",
        states: int | None = None,
        leader_actions: int | None = None,
        follower_actions: int | None = None,
        branching: int | None = None,
        weights: Literal["dirichlet", "uniform"] | None = None,
        conflict: float | None = None,
        noise: float | None = None,
        reward_threshold: float | None = None,
        influence: Literal["both", "reward", "dynamics"] = "both",
        own_action_pays: bool = True,
        action_cost: float | Sequence[float] = 0.0,
        follower_sees: Literal["policy", "action"] = "policy",
        discount: float = 0.9,
        seed: int = 0,
        max_cycles: int = 50,
        layout: Literal["dense", "lists"] | None = None,
    ) -> None:

        def preset_default(name: str, given: Any) -> Any:
            return PRESETS[preset][name] if given is None else given

        s, a, b = (
            preset_default("states", states),
            preset_default("leader_actions", leader_actions),
            preset_default("follower_actions", follower_actions),
        )
        successors, kind = preset_default("branching", branching), preset_default("weights", weights)
        successors = s if successors is None else successors
        c, threshold = preset_default("conflict", conflict), preset_default("reward_threshold", reward_threshold)
        s, a, b = whole("states", s, 1), whole("leader_actions", a, 1), whole("follower_actions", b, 1)
        successors = whole("branching, at most states,", successors, 1, s)
        c, threshold = real("conflict", c, 0, 1), real("reward_threshold", threshold, 0, 1, open_high=True)
        w = 1 - c if noise is None else real("noise", noise, 0)
        layout = ("lists" if s >= DIRECT and 8 * successors <= s else "dense") if layout is None else layout
        check_memory("states x leader_actions x follower_actions", s * a * b * ((s if layout == "dense" else 0) + 3 * successors + 6))
        cost = np.asarray(action_cost, dtype=np.float64)
        cost = cost * np.arange(a) if cost.ndim == 0 else cost
        if cost.shape != (a,) or not np.isfinite(cost).all():
            raise ValueError(f"action_cost is a number, or one for each of the {a} leader actions; got {action_cost!r}")
        self.shape = (s, a, b)
        self.follower_sees: Literal["policy", "action"] = follower_sees
        self.discount = real("discount", discount, 0, 1, open_high=True)
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-20.0, 20.0, (s * a,), np.float64)
        self.saturation = Saturation.softmax(*[a] * s)
        self.default_follower = Soft(PRESETS[preset]["temperature"])
        rng = np.random.default_rng(whole("seed", seed, 0))
        lists = garnet(rng, self.shape, successors, kind)
        u_leader, u_follower = (np.where(u < threshold, 0.0, u) for u in rng.uniform(size=(2, *self.shape)))
        # Everything is drawn; what the leader does not influence is now that of its action 0.
        if influence == "reward":
            p = np.repeat(lists.probabilities[:, :1], a, axis=1)
            lists = SuccessorLists(Successors(lists.successors.table[:, :1]), p)
        if influence == "dynamics":
            u_follower = np.repeat(u_follower[:, :1], a, axis=1)
        if influence == "dynamics" or not own_action_pays:
            u_leader = np.repeat(u_leader[:, :1], a, axis=1)
        self._constants = Constants(
            transition=lists if layout == "lists" else lists.dense(),
            follower_reward=w * u_follower + c * (1 - u_leader),
            leader_reward=u_leader - cost[:, None],
            initial=np.full(s, 1 / s),
        )

    def log_leader_policy(self, x: Array) -> Array:
        """log pi(a|s), (..., S, A)."""
        return softmax_policy(x, *self.shape[:2])

    def induced(self, x: Array, context: int) -> InducedMDP:
        c = self._constants.like(x)
        return InducedMDP(
            leader_policy=array_namespace(x).exp(self.log_leader_policy(x)),
            transition=c.transition,
            follower_reward=c.follower_reward,
            leader_reward=c.leader_reward,
            initial=c.initial,
            follower_discount=self.discount,
            leader_discount=self.discount,
            follower_sees=self.follower_sees,
        )
