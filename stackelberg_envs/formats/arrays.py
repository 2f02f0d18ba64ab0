"""A game from tables that a person already has: transitions, two rewards, and what the leader may set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import cycles, nearest, real
from ..deadlines import with_deadline
from ..followers.exact import Soft
from ..game import Follower, Layout, StackelbergGame, check_follower
from ..optional import PIECES
from ..processes.arrays import Array, array_namespace
from ..processes.constants import Constants
from ..worlds.mdp import InducedMDP
from .controls import Controls
from .instruments import Instrument, MixedActions
from .kernels import endless, reachable
from .tables import ContextTables, context_tables
from .validation import distribution


class ArrayGame(StackelbergGame):
    """A game of one follower, from checked tables; `from_arrays` builds it.

    What is not an argument is an attribute, set by `from_arrays`.

    Args:
        tables: the world in each context, by its name, all of the same sizes.
        controls: what the leader sets in them.
        follower_discount: in [0, 1].
        leader_discount: in [0, 1].
        follower_sees: see `stackelberg_envs.worlds.mdp.InducedMDP`.
    """

    name = "my_world"
    max_cycles = 100
    default_follower = Soft(0.1)

    def __init__(
        self,
        tables: Mapping[str, ContextTables],
        controls: Controls,
        *,
        follower_discount: float,
        leader_discount: float,
        follower_sees: Literal["action", "policy"],
    ) -> None:
        self.contexts = tuple(tables)
        self.leader_space = Box(-20.0, 20.0, (controls.dimension,), np.float64)
        self.saturation = controls.saturation
        self.follower_discount, self.leader_discount = follower_discount, leader_discount
        self.follower_sees: Literal["action", "policy"] = follower_sees
        self._controls = controls
        for piece in PIECES:
            setattr(self, piece, getattr(controls, piece))
        if controls.refusal is not None:
            self.incentive, self.leader_cost, self.log_kernel = self._moved_incentive, self._moved_cost, self._moved_log_kernel
        each = tuple(tables.values())
        kernels = {id(world.transition): f"transition_{i}" for i, world in enumerate(each)}  # contexts may share one
        self._kernels = tuple(kernels[id(world.transition)] for world in each)
        self._constants = Constants(
            idle=np.ones((each[0].transition.shape[0], 1)),
            instead=np.zeros(0) if controls.instead is None else np.eye(each[0].transition.shape[2])[controls.instead][:, None],
            **{name: world.transition for name, world in zip(self._kernels, each, strict=True)},
            **{
                f"{name}_{i}": getattr(world, name)
                for i, world in enumerate(each)
                for name in ("follower_reward", "leader_reward", "initial", "available")
                if getattr(world, name) is not None
            },
        )

    def induced(self, x: Array, context: int) -> InducedMDP:
        c, acts = self._constants.like(x), self.log_leader_policy
        follower, leader = self._rewards(x, context)
        return InducedMDP(
            leader_policy=c.idle if acts is None else array_namespace(x).exp(acts(x)),
            transition=self._transition(x, context),
            follower_reward=follower,
            leader_reward=leader,
            initial=getattr(c, f"initial_{context}"),
            follower_discount=self.follower_discount,
            leader_discount=self.leader_discount,
            follower_sees=self.follower_sees,
            available=getattr(c, f"available_{context}", None),
        )

    def _rewards(self, x: Array, context: int) -> tuple[Array, Array]:
        """Rewards of follower and leader, (..., S, A, B), with what is paid and what is refused."""
        c, controls = self._constants.like(x), self._controls
        follower, leader = getattr(c, f"follower_reward_{context}"), getattr(c, f"leader_reward_{context}")
        follower = follower if controls.incentive is None else follower + controls.incentive(x, context)
        leader = leader if controls.leader_cost is None else leader - controls.leader_cost(x, context)
        if controls.refusal is None:
            return follower, leader
        xp, refusal = array_namespace(x), controls.refusal(x)
        instead_follower, instead_leader = (xp.sum(c.instead * table, axis=-1, keepdims=True) for table in (follower, leader))
        return follower + refusal * (instead_follower - follower), leader + refusal * (instead_leader - leader)

    def _transition(self, x: Array, context: int) -> Any:
        """P(s'|s,a,b), with what is refused."""
        c, controls = self._constants.like(x), self._controls
        transition = getattr(c, self._kernels[context])
        if controls.refusal is None:
            return transition
        refusal = controls.refusal(x)[..., None]
        return (1 - refusal) * transition + refusal * array_namespace(x).sum(c.instead[..., None] * transition, axis=-2, keepdims=True)

    def _moved_incentive(self, x: Array, context: int | str = 0) -> Array:
        """What the leader does to the follower's reward, (..., S, 1, B): payments, and the difference that a refusal makes."""
        index = self.context_index(context)
        return self._rewards(x, index)[0] - getattr(self._constants.like(x), f"follower_reward_{index}")

    def _moved_cost(self, x: Array, context: int | str = 0) -> Array:
        """What the leader loses to its instruments, likewise."""
        index = self.context_index(context)
        return getattr(self._constants.like(x), f"leader_reward_{index}") - self._rewards(x, index)[1]

    def _moved_log_kernel(self, x: Array, context: int | str = 0) -> Array:
        """log P(s'|s,b), (..., S, 1, B, S), -inf where it is 0."""
        xp, transition = array_namespace(x), self._transition(x, self.context_index(context))
        there = transition > 0
        return xp.where(there, xp.log(xp.where(there, transition, 1.0)), -float("inf"))


def from_arrays(
    transition: Any,
    follower_reward: Any,
    leader_reward: Any,
    *,
    follower_discount: float,
    leader_discount: float | None = None,
    instrument: Instrument | None = None,
    initial: Any = None,
    terminal: Any = (),
    available: Any = None,
    contexts: Mapping[str, Mapping[str, Any]] | None = None,
    context_probabilities: Sequence[float] | None = None,
    context_visibility: Literal["before", "after", "never"] = "after",
    follower_sees: Literal["action", "policy"] = "action",
    follower: Follower = ArrayGame.default_follower,
    max_cycles: int = ArrayGame.max_cycles,
    name: str = ArrayGame.name,
    layout: Layout | None = None,
    normalise: bool = False,
    deadline: int | None = None,
    stochastic: bool = False,
) -> StackelbergGame:
    """A game from tables: S states, B follower actions, and A leader actions, 1 where the leader only sets rewards.

    Rows of ``transition`` sum to at most 1, and the deficit is the probability that the episode ends.  An absorbing state is no end:
    followers with a temperature earn entropy there for ever.  Leave its rows 0, or name it in ``terminal``.

    Args:
        transition: ``P(s'|s,b)``, an array (S, B, S), or ``P(s'|s,a,b)``, (S, A, B, S).  Or, kept as `SuccessorLists` and never made
            dense, B sparse matrices (S, S) of scipy's in a list, or one (S*B, S), row s*B + b: their longest row says how long all lists
            are.  Or `SuccessorLists` or `SharedRows`.
        follower_reward: a number, or a table (S,), (S, B), (S, A, B), or of next states (S, B, S) or, where the leader acts, (S, A, B, S),
            of which the expectation is taken; sparse matrices like those of ``transition`` are read as (S, B, S).  In (S, B) or
            (S, A, B), -inf says that the action is not available.
        leader_reward: likewise, all finite.
        follower_discount: in [0, 1]; 1 only where every state that episodes reach can lead to the end.
        leader_discount: likewise; None for that of the follower.
        instrument: what the leader sets: `Subsidies`, `Penalties`, `Quotas`, a sum of these, or `MixedActions`, which is what None is
            where A > 1.
        initial: distribution (S,) of the first state, or the state that is certain; None for uniform over all that are not terminal.
        terminal: states, as a list or a boolean mask (S,), whose entering ends the episode.  What next states pay is still paid on
            entering them, and nothing afterwards: their own rewards must be 0.
        available: which actions the follower has, booleans (S, B) or (S, A, B); None for all, up to rewards of -inf.  Rows of actions
            that are not available say nothing.  All actions of terminal states are available: nobody takes them.
        contexts: by the name of each context, which of ``transition``, ``follower_reward``, ``leader_reward``, ``initial``, ``terminal``
            and ``available`` are others in it, all of one S, A and B.
        context_probabilities: of each context; None for equal ones.
        context_visibility: whether the leader sees the context before it commits, after, or never.
        follower_sees: the leader's ``"action"`` before it moves, or only its ``"policy"``.
        follower: who answers where nobody else is named; a temperature is in units of its reward.
        max_cycles: steps after which a played episode is cut.
        name: of the game.
        layout: where states lie on a map, if there is one.
        normalise: whether rows of ``transition`` and ``initial`` whose sums are from 1 by up to 0.001, as by rounding in print, are divided
            by these sums, which a warning says.  Else a sum above 1 is an error, and one below is the probability that the episode ends.
        deadline: steps after which every episode ends, and the follower knows it; None for none.  See `stackelberg_envs.with_deadline`;
            the game is then what that returns, and a discount of 1 needs no other end.
        stochastic: whether rows of ``transition`` must sum to 1, so that only ``terminal`` states and the deadline end an episode.

    Raises:
        ValueError: for what is none of these; the message says what and where.
    """
    tables = context_tables(
        {
            "transition": transition,
            "follower_reward": follower_reward,
            "leader_reward": leader_reward,
            "initial": initial,
            "terminal": terminal,
            "available": available,
        },
        {"only": {}} if contexts is None else contexts,
        sees_policy=follower_sees == "policy",
        normalise=normalise,
        stochastic=stochastic,
    )
    s, a, b = (int(size) for size in next(iter(tables.values())).transition.shape[:3])
    if instrument is None and a == 1:
        raise ValueError("instrument says what the leader sets: Subsidies(...) or Penalties(...)")
    chosen = MixedActions() if instrument is None else instrument
    _has("instrument", chosen, "controls", "Subsidies(...), Penalties(...) or MixedActions()")
    check_follower(follower)
    _one_of("follower_sees", follower_sees, ("action", "policy"))
    _one_of("context_visibility", context_visibility, ("before", "after", "never"))
    if not isinstance(name, str) or not name:
        raise ValueError(f"name is a word, got {name!r}")
    if layout is not None and (cells := len(getattr(layout, "cells", ()))) != s:
        raise ValueError(f"layout has {cells} cells, and there are {s} states")
    controls = chosen.controls((s, a, b), _actions_taken(tables))
    if controls.refusal is not None and not all(isinstance(world.transition, np.ndarray) for world in tables.values()):
        raise ValueError("quotas change where actions lead, and need dense transitions, (S, B, S); these are lists or shared rows")
    must_end = tables if deadline is None else {}  # a deadline ends every episode
    game = ArrayGame(
        tables,
        controls,
        follower_discount=_discount("follower_discount", follower_discount, must_end),
        leader_discount=_discount("leader_discount", follower_discount if leader_discount is None else leader_discount, must_end),
        follower_sees=follower_sees,
    )
    game.name, game.layout, game.max_cycles = name, layout, cycles(max_cycles)
    game.default_follower, game.context_visibility = follower, context_visibility
    chances = np.full(len(tables), 1 / len(tables)) if context_probabilities is None else context_probabilities
    game.context_probabilities = distribution("context_probabilities", chances, len(tables), "contexts")
    return game if deadline is None else with_deadline(game, deadline)


def _actions_taken(tables: Mapping[str, ContextTables]) -> np.ndarray | None:
    """The actions that a follower can take in some context, booleans (S, A, B); None where no mask says so."""
    masks = [(world.available, ~world.terminal) for world in tables.values()]
    if any(mask is None for mask, _ in masks):
        return None
    return np.any([mask & acts[:, None, None] for mask, acts in masks], axis=0)


def _discount(name: str, given: Any, tables: Mapping[str, ContextTables]) -> float:
    """A discount in [0, 1]; 1 only where every state that episodes reach can lead to the end."""
    discount = real(name, given, 0.0, 1.0)
    for context, world in tables.items():
        if discount < 1 or not (never := endless(world.transition, world.available)).any():
            continue
        if (never := never & reachable(world.transition, world.initial, world.available)).any():
            where = f" in context {context!r}" if len(tables) > 1 else ""
            raise ValueError(
                f"{name} is 1, and from state {int(never.argmax())}{where} no actions ever lead to the end: an infinite sum of rewards may "
                "have no value.  Say in terminal= which states end the episode, or take a discount below 1"
            )
    return discount


def _has(name: str, given: Any, method: str, examples: str) -> None:
    if isinstance(given, type) or not hasattr(given, method):
        raise ValueError(f"{name} is {examples}, got {given!r}")


def _one_of(name: str, given: Any, known: tuple[str, ...]) -> None:
    if given not in known:
        raise ValueError(f"{name} is not {given!r}; {nearest(str(given), known)}")
