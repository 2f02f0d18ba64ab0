"""What one follower faces: a Markov decision process with the leader's action axis kept.

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
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from .shared_rows import SharedRows
from .successor_lists import SuccessorLists

Array = Any
"""An array of any library that follows the array-API standard (NumPy, torch, ...)."""

DEFICIT_TOLERANCE = 1e-9
"""A row of ``transition`` whose sum falls short of 1 by less than this (or by rounding of its dtype) cannot end the episode."""


@dataclass(frozen=True)
class InducedMDP:
    """The decision process that a commitment induces for one follower, as tables.

    ``transition`` is a dense array; or a `stackelberg_envs.processes.shared_rows.SharedRows`, which keeps rows that actions share once; or
    a `stackelberg_envs.processes.successor_lists.SuccessorLists`, for worlds too big for dense tables.  Its rows are non-negative and sum
    to at most 1; the deficit is the probability that the episode ends, and the end has value 0 and no entropy.

    Args:
        leader_policy: ``pi(a|s)``, shape (..., S, A).
        transition: ``P(s'|s,a,b)``, shape (..., S, A, B, S), in any layout.
        follower_reward: r_F(s,a,b), shape (..., S, A, B).
        leader_reward: r_L(s,a,b), shape (..., S, A, B).
        initial: rho(s), shape (..., S).
        follower_discount: in [0, 1]; 1 only where every episode ends.
        leader_discount: likewise.
        follower_sees: ``"action"``, the leader's realised action before the follower moves (V = sum_a pi tau LSE_b Q/tau), or
            ``"policy"``, only pi (V = tau LSE_b sum_a pi Q/tau).  These are different games, unless A = 1.
    """

    leader_policy: Array
    transition: Array
    follower_reward: Array
    leader_reward: Array
    initial: Array
    follower_discount: float
    leader_discount: float
    follower_sees: Literal["action", "policy"] = "action"

    tables: ClassVar[tuple[str, ...]] = ("leader_policy", "transition", "follower_reward", "leader_reward", "initial")
    """The array fields."""

    def __post_init__(self) -> None:
        if self.follower_sees not in ("action", "policy"):
            raise ValueError(f"follower_sees is 'action' or 'policy', got {self.follower_sees!r}")

    def map(self, f: Callable[[Array], Array]) -> InducedMDP:
        """The same process with ``f`` applied to each table; of a transition that is no array, to the numbers that it stores."""
        return replace(self, **{name: transformed(f, getattr(self, name)) for name in self.tables})

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(S, A, B)."""
        s, a, b = self.transition.shape[-4:-1]
        return s, a, b

    # What it has in common with `stackelberg_envs.processes.markov_game.InducedMarkovGame`, of which it is the case of one player.

    @property
    def actions(self) -> tuple[int, ...]:
        """Number of actions of each follower in this process: (B,)."""
        return (self.sizes[2],)

    @property
    def follower_rewards(self) -> Array:
        """r_F with an axis for the one follower, (..., 1, S, A, B)."""
        return self.follower_reward[..., None, :, :, :]

    @property
    def joint(self) -> InducedMDP:
        """The process with all followers' actions as one."""
        return self

    def product(self, policies: Sequence[Array]) -> Array:
        """The policy over joint actions of which each follower plays its part, (..., S, A, B)."""
        (policy,) = policies
        return policy

    def facing(self, player: int, policies: Sequence[Array], temperature: float = 0.0) -> InducedMDP:
        """What one follower faces while the others keep to ``policies``."""
        del player, policies, temperature
        return self


def stack(mdps: Sequence[InducedMDP]) -> InducedMDP:
    """Processes of equal sizes, discounts and visibility as one batch, along a new leading axis.

    Raises:
        ValueError: if they differ in any of these.
    """
    first = mdps[0]
    kinds = {(mdp.sizes, mdp.follower_discount, mdp.leader_discount, mdp.follower_sees) for mdp in mdps}
    if len(kinds) > 1:
        raise ValueError(f"processes differ in sizes, discounts or visibility and cannot be one batch: {kinds}")
    if len(mdps) == 1:  # a view: copying a kernel takes longer than solving with it
        return first.map(lambda table: table[None, ...])
    xp = array_namespace(first.leader_policy)
    if any(layout(mdp.transition) != layout(first.transition) for mdp in mdps):
        raise ValueError("processes whose transitions are laid out differently cannot be one batch")

    def together(tables: list[Array]) -> Array:
        return transformed(lambda _: xp.stack([stored(table) for table in tables]), tables[0])

    return replace(first, **{name: together([getattr(mdp, name) for mdp in mdps]) for name in first.tables})


def stored(table: Array) -> Array:
    """The array that holds a table: itself; the distinct rows (..., S, A, R, S) or the lists' probabilities (..., S, A, B, K)."""
    if isinstance(table, SharedRows):
        return table.rows
    return table.probabilities if isinstance(table, SuccessorLists) else table


def dense(transition: Array) -> Array:
    """A transition of any layout as an array (..., S, A, B, S); for methods whose own tables are no smaller."""
    return transition.dense() if isinstance(transition, (SharedRows, SuccessorLists)) else transition


def same_table(one: Array, other: Array) -> bool:
    """Whether two tables of NumPy numbers are equal, transitions also in layout."""
    return layout(one) == layout(other) and np.array_equal(stored(one), stored(other))


def transformed(f: Callable[[Array], Array], table: Array) -> Array:
    """``f`` of a table's numbers, laid out as they are."""
    return table.map(f) if isinstance(table, (SharedRows, SuccessorLists)) else f(table)


def layout(table: Array) -> tuple[Any, ...]:
    """What two tables must have in common to be one batch, or to be compared by the numbers they store; hashable."""
    if isinstance(table, SharedRows):
        return "shared rows", table.index.tobytes()
    return ("lists", table.successors) if isinstance(table, SuccessorLists) else ("dense",)


class DecisionProblem(NamedTuple):
    """The same process seen from the nodes at which the follower decides: (s, a) if it sees the action, (s,) if only the policy.

    N is the number of nodes in a state: A or 1.
    """

    weight: Array
    """Probability of each node given the state, shape (..., S, N)."""
    reward: Array
    """Shape (..., S, N, B)."""
    transition: Array
    """Shape (..., S, N, B, S), in the layout of the process."""


def at_nodes(mdp: InducedMDP, table: Array) -> Array:
    """A table (..., S, A, B) where the follower decides, (..., S, N, B): its mean over the leader's action if that is unseen."""
    pi = mdp.leader_policy
    if mdp.follower_sees == "action" or pi.shape[-1] == 1:
        return table
    xp = array_namespace(pi)
    return xp.sum(pi[..., None] * table, axis=-2)[..., None, :]


def decision_problem(mdp: InducedMDP, reward: Array) -> DecisionProblem:
    """Nodes at which the follower decides, with ``reward`` (..., S, A, B) as its payoff (its own or, to break ties, the leader's)."""
    pi = mdp.leader_policy
    if mdp.follower_sees == "action" or pi.shape[-1] == 1:
        return DecisionProblem(pi, reward, mdp.transition)
    xp = array_namespace(pi)
    if isinstance(mdp.transition, SuccessorLists):
        mean: Array = mdp.transition.unseen(pi)
    else:
        mean = transformed(lambda rows: xp.sum(pi[..., None, None] * rows, axis=-3)[..., None, :, :], mdp.transition)
    return DecisionProblem(xp.ones_like(pi[..., :1]), at_nodes(mdp, reward), mean)


def expect(transition: Array, values: Array) -> Array:
    """``sum_s' P(s'|.) V(s')``: transition (..., S, N, B, S) and values (..., S) to (..., S, N, B).

    The one place where the Bellman backup's fast path is chosen: a kernel without batch axes is one matrix product, and with them a row
    vector times the transposed kernel (the same product the other way round took torch four times as long).
    """
    if isinstance(transition, SharedRows):
        return transition.spread(expect(transition.rows, values))
    if isinstance(transition, SuccessorLists):
        return transition.expect(values)
    xp = array_namespace(transition, values)
    s, n, b, _ = transition.shape[-4:]
    rows = xp.reshape(transition, (*transition.shape[:-4], s * n * b, s))
    if transition.ndim > 4:
        backed_up = (values[..., None, :] @ rows.mT)[..., 0, :]
    elif values.ndim == 1:
        backed_up = rows @ values
    else:
        backed_up = values @ rows.T
    return xp.reshape(backed_up, (*backed_up.shape[:-1], s, n, b))


def chain(joint: Array, transition: Array) -> Array:
    """State-to-state kernel ``sum_ab joint(a,b|s) P(s'|s,a,b)``, shape (..., S, S); of lists, lists (..., S, 1, 1, M).

    Args:
        joint: probabilities (..., S, N, B) that sum to 1 over the last two axes.
        transition: (..., S, N, B, S).
    """
    if isinstance(transition, SharedRows):
        return chain(transition.pool(joint), transition.rows)
    if isinstance(transition, SuccessorLists):
        return transition.chain(joint)
    xp = array_namespace(joint, transition)
    s, n, b, _ = transition.shape[-4:]
    weights = xp.reshape(joint, (*joint.shape[:-2], 1, n * b))
    rows = xp.reshape(transition, (*transition.shape[:-4], s, n * b, s))
    return (weights @ rows)[..., 0, :]


def carry(weights: Array, transition: Array) -> Array:
    """Where weights of nodes and actions arrive, ``sum_(s,n,b) weights(s,n,b) P(s'|s,n,b)``: (..., S, N, B) to (..., S)."""
    if isinstance(transition, SharedRows):
        return carry(transition.pool(weights), transition.rows)
    if isinstance(transition, SuccessorLists):
        return transition.carry(weights)
    xp = array_namespace(weights, transition)
    flat = xp.reshape(weights, (*weights.shape[:-3], 1, -1))
    return xp.matmul(flat, xp.reshape(transition, (*transition.shape[:-4], flat.shape[-1], -1)))[..., 0, :]


def through(kernel: Array, values: Array) -> Array:
    """Values one step of a `chain` later, (..., S) to (..., S)."""
    if isinstance(kernel, SuccessorLists):
        return kernel.expect(values)[..., 0, 0]
    return array_namespace(values).matmul(kernel, values[..., None])[..., 0]


def mixed(weights: Array, transition: Array) -> Array:
    """Rows that are mixtures of an action's, weights (..., S, A, B', B): (..., S, A, B', S), dense or lists as ``transition`` is."""
    if isinstance(transition, SuccessorLists):
        return transition.mixed(weights)
    return array_namespace(weights).matmul(weights, transition)


def row_index(transition: Array) -> np.ndarray:
    """Which of the rows of `drawn_lists` at (s, a) each follower action takes, integers (B,)."""
    return transition.index if isinstance(transition, SharedRows) else np.arange(transition.shape[-2])


def joint_policy(mdp: InducedMDP, policy: Array) -> Array:
    """pi(a|s) g(b|s,a), shape (..., S, A, B)."""
    return mdp.leader_policy[..., None] * policy


def cumulative(probabilities: Array) -> Array:
    """Cumulative sums over the last axis; a total within rounding of 1 becomes exactly 1."""
    xp = array_namespace(probabilities)
    sums = xp.cumulative_sum(probabilities, axis=-1)
    total = sums[..., -1:]
    tolerance = max(DEFICIT_TOLERANCE, probabilities.shape[-1] * float(xp.finfo(sums.dtype).eps))
    return xp.where(total > 1 - tolerance, sums / xp.where(total > 0, total, 1.0), sums)


def pick(cumulated: Array, u: Array) -> Array:
    """The first index whose cumulative probability exceeds ``u``; the number of entries where none does (the episode ends)."""
    return (cumulated <= u[..., None]).sum(-1)  # the method: rollouts call this at every step, and a namespace costs as much as the sum


def drawn_lists(transition: Array) -> tuple[Array, Array]:
    """A kernel without batch axes by its few possible successors, for `pick`: K is their largest number.

    Args:
        transition: (S, A, B, S) in any layout; R below is B or, where actions share rows, how many rows there are.

    Returns:
        Next states, integers (S*A*R, K + 1), the last column S (the end); and cumulative probabilities (S*A*R, K) for `pick`, which
        chooses the successor that it would choose from the dense row.  `row_index` says which rows are an action's.
    """
    if not isinstance(transition, SuccessorLists):
        rows = stored(transition)
        transition = SuccessorLists.of(rows)
    xp = array_namespace(transition.probabilities)
    s, a, b, k = transition.probabilities.shape
    table = xp.reshape(transition.successors.like(transition.probabilities), transition.successors.table.shape)
    end = xp.full((s * a * b, 1), s, dtype=xp.int64, device=transition.probabilities.device)
    successors = xp.concat([xp.reshape(xp.broadcast_to(table, (s, a, b, k)), (-1, k)), end], axis=-1)
    return successors, cumulative(xp.reshape(transition.probabilities, (-1, k)))


def draw(probabilities: Array, u: Array) -> Array:
    """Map uniform variates to indices: noise is data.

    Args:
        probabilities: (..., K), non-negative, summing to at most 1.
        u: (...) in [0, 1).

    Returns:
        Indices (...) in 0..K; K where ``u`` falls into the deficit.
    """
    return pick(cumulative(probabilities), u)
