"""The tables of a Markov decision process, with the leader's action axis kept.

Symbols, used throughout the suite::

    S, A, B        number of states, leader actions, follower actions
    pi(a|s)        the leader's policy             g(b|s,a)   the follower's policy
    P(s'|s,a,b)    transition                      r_F, r_L   rewards of follower and leader
    rho(s)         initial distribution            gamma      a discount

A design game, where the leader sets rewards or layouts and then stands still, has A = 1.  All functions are written in array-API
code: leading axes (written ``...``) are batch axes, NumPy in gives NumPy out, and a CUDA tensor in gives a CUDA tensor with gradients
out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from .arrays import Array, array_namespace
from .availability import available_to, check_some_action, mask_rewards
from .tables import ProcessTables
from .transitions import as_transition, stack_transitions


@dataclass(frozen=True)
class MDP(ProcessTables):
    """The decision process of one follower, as tables; the docstring of `stackelberg_envs.worlds.mdp.InducedMDP` has the arguments."""

    leader_policy: Array
    transition: Any
    follower_reward: Array
    leader_reward: Array
    initial: Array
    follower_discount: float
    leader_discount: float
    follower_sees: Literal["action", "policy", "signal"] = "action"
    available: Array | None = None

    tables: ClassVar[tuple[str, ...]] = ("leader_policy", "transition", "follower_reward", "leader_reward", "initial")
    """The array fields."""
    visibilities: ClassVar[tuple[str, ...]] = ("action", "policy")
    """What ``follower_sees`` may be."""

    def __post_init__(self) -> None:
        if self.follower_sees not in self.visibilities:
            known = " or ".join(map(repr, self.visibilities))
            raise ValueError(f"follower_sees is {known}, got {self.follower_sees!r}; signals are those of InducedSignalMDP")
        self._check_discounts()
        self._unwrap_transition()
        available, follower, leader = mask_rewards(self.available, self.follower_reward, self.leader_reward)
        if available is not None:
            check_some_action(available, together=self.follower_sees == "policy")
            self._set(available=available, follower_reward=follower, leader_reward=leader)

    @property
    def follower_rewards(self) -> Array:
        """r_F with an axis for the one follower, (..., 1, S, A, B)."""
        return self.follower_reward[..., None, :, :, :]

    @property
    def actions(self) -> tuple[int, ...]:
        """Number of actions of each follower in this process: (B,)."""
        return (self.sizes[2],)


def stack(mdps: Sequence[MDP]) -> Any:
    """Processes of equal sizes, discounts and visibility as one batch, along a new leading axis; of the type of the first.

    Raises:
        ValueError: if they differ in any of these, or in the layout of their transitions.
    """
    first = mdps[0]
    kinds = {(mdp.sizes, mdp.follower_discount, mdp.leader_discount, mdp.follower_sees) for mdp in mdps}
    if len(kinds) > 1:
        raise ValueError(f"processes differ in sizes, discounts or visibility and cannot be one batch: {kinds}")
    transition = stack_transitions([mdp.kernel for mdp in mdps])
    masks = [mdp.available for mdp in mdps if mdp.available is not None]
    names = [name for name in first.tables if name != "transition"]
    if masks:
        mdps = [mdp if mdp.available is not None else replace(mdp, available=mdp.follower_reward == mdp.follower_reward) for mdp in mdps]
        names.append("available")
    if len(mdps) == 1:
        return first._with(**{name: getattr(first, name)[None, ...] for name in names}, transition=transition)
    xp = array_namespace(first.leader_policy)
    return first._with(**{name: xp.stack([getattr(mdp, name) for mdp in mdps]) for name in names}, transition=transition)


@dataclass(frozen=True)
class DecisionProblem:
    """The same process seen from the nodes at which the follower decides: (s, a) if it sees the action, (s,) if only the policy.

    N is the number of nodes in a state: A or 1.

    Args:
        weight: probability of each node given the state, shape (..., S, N).
        reward: shape (..., S, N, B).
        transition: shape (..., S, N, B, S), an array or a `stackelberg_envs.processes.transitions.Transition`, which it is made.
        available: which actions there are, booleans (..., S, N, B); all if None.
        initial: where episodes begin, (..., S): where the discount is 1, states that are never reached may never end.  None if any may be.
    """

    weight: Array
    reward: Array
    transition: Any
    available: Array | None = None
    initial: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "transition", as_transition(self.transition))

    def map(self, f: Callable[[Array], Array]) -> DecisionProblem:
        """The same problem with ``f`` applied to each table."""
        available = None if self.available is None else f(self.available) != 0
        initial = None if self.initial is None else f(self.initial)
        return DecisionProblem(f(self.weight), f(self.reward), self.transition.map(f), available, initial)

    def mean_over_nodes(self, node_values: Array) -> Array:
        """``sum_n weight(n|s) node_values(s,n)``, (..., S, N) to (..., S)."""
        weighted = self.weight * node_values
        return weighted[..., 0] if weighted.shape[-1] == 1 else array_namespace(weighted).sum(weighted, axis=-1)

    def allow(self, allowed: Array) -> DecisionProblem:
        """The problem of a follower that has only ``allowed`` actions, booleans (..., S, N, B), of those that are available."""
        return replace(self, available=allowed if self.available is None else self.available & allowed)

    def uniform_policy(self) -> Array:
        """The policy that is uniform over available actions, (..., S, N, B)."""
        xp = array_namespace(self.reward)
        even = xp.ones_like(self.reward)
        if self.available is not None:
            even = xp.where(self.available, even, 0.0)
        return even / xp.sum(even, axis=-1, keepdims=True)

    def action_values(self, values: Array, discount: float) -> Array:
        """``Q = r + gamma P V``, (..., S, N, B), and -inf where an action is not available."""
        return self.mask(self.reward + discount * self.transition.expect(values))

    def mask(self, action_values: Array) -> Array:
        """``action_values`` (..., S, N, B), and -inf where an action is not available."""
        if self.available is None:
            return action_values
        return array_namespace(action_values).where(self.available, action_values, -float("inf"))


def _is_seen(mdp: MDP) -> bool:
    """Whether the follower decides for each action of the leader apart."""
    if mdp.follower_sees == "signal":
        raise TypeError("a follower that sees signals decides in another process: that of world.tables_for(follower)")
    return mdp.follower_sees == "action" or mdp.leader_policy.shape[-1] == 1


def at_nodes(mdp: MDP, table: Array) -> Array:
    """A table (..., S, A, B) where the follower decides, (..., S, N, B): its mean over the leader's action if that is unseen."""
    pi = mdp.leader_policy
    if _is_seen(mdp):
        return table
    xp = array_namespace(pi)
    return xp.sum(pi[..., None] * table, axis=-2)[..., None, :]


def available_at_nodes(mdp: MDP) -> Array | None:
    """Which actions there are where the follower decides, booleans (..., S, N, B), or None.

    A follower that does not see the leader's action can take what is available whatever the leader does.
    """
    if mdp.available is None or mdp.follower_sees == "action":
        return mdp.available
    return array_namespace(mdp.available).all(mdp.available, axis=-2, keepdims=True)


def available_actions(process: Any, player: int = 0) -> Array | None:
    """Which of its own actions one follower has where it decides, booleans (..., S, N, B_i), or None; of an `MDP` or a Markov game."""
    there = available_at_nodes(process)
    return None if there is None else available_to(there, process.actions, player)


def mask_action_values(mdp: MDP, action_values: Array) -> Array:
    """A table (..., S, A, B), and -inf where the follower does not have the action."""
    there = available_at_nodes(mdp)
    return action_values if there is None else array_namespace(action_values).where(there, action_values, -float("inf"))


def decision_problem(mdp: MDP, reward: Array) -> DecisionProblem:
    """Nodes at which the follower decides, with ``reward`` (..., S, A, B) as its payoff (its own or, to break ties, the leader's)."""
    pi, available = mdp.leader_policy, available_at_nodes(mdp)
    if _is_seen(mdp):
        return DecisionProblem(pi, reward, mdp.kernel, available, mdp.initial)
    xp = array_namespace(pi)
    unseen = mdp.kernel.mean_over_leader(pi)
    return DecisionProblem(xp.ones_like(pi[..., :1]), at_nodes(mdp, reward), unseen, available, mdp.initial)


def broadcast_over_leader_actions(policy: Array, mdp: MDP) -> Array:
    """A policy over decision nodes (..., S, N, B) as g(b|s,a) (..., S, A, B): where N = 1 it does not depend on a."""
    a = mdp.leader_policy.shape[-1]
    if policy.shape[-2] == a:
        return policy
    xp = array_namespace(policy)
    return xp.broadcast_to(policy, (*policy.shape[:-2], a, policy.shape[-1]))


def joint_policy(mdp: MDP, policy: Array) -> Array:
    """pi(a|s) g(b|s,a), shape (..., S, A, B)."""
    return mdp.leader_policy[..., None] * policy


def entropy(policy: Array) -> Array:
    """-sum_b g log g, shape (..., S, A); 0 log 0 = 0."""
    xp = array_namespace(policy)
    return -xp.sum(policy * xp.log(xp.where(policy > 0, policy, 1.0)), axis=-1)
