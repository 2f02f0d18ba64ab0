"""A Stackelberg Markov game is one pure function: ``commit(x, context)`` -> what the followers face.

Everything else is read off it: PettingZoo and Gymnasium views, exact scores, hypergradients, batched play.  A game has no ``step``, no
``reset`` and no seed.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj
from gymnasium.spaces import Box, Discrete, Space

from .arguments import nearest
from .planning.policy_iteration import policy_value
from .play.monte_carlo import expected_return
from .processes.markov_game import Process
from .processes.mdp import Array, InducedMDP, stored, transformed
from .processes.sampled import SampledProcess

if TYPE_CHECKING:
    from .drawing import Layout
    from .followers.exact import Follower

Induced = Process | tuple[InducedMDP, ...] | SampledProcess


class Spaces(NamedTuple):
    """Where a follower and the leader who faces it are and act: indices (Discrete) in tables, vectors (Box) without."""

    state: Space[Any]
    lead: Space[Any] | None
    """The leader's action of a step; None where it has none to choose."""
    action: Space[Any]


class CommitmentError(ValueError):
    """A commitment of the wrong shape, not finite, or outside the leader's space."""


class Constants:
    """A game's constant tables, transitions in any layout, written in NumPy and moved to a commitment's library, dtype and device once."""

    def __init__(self, **tables: Any) -> None:
        self._tables = tables
        self._moved: dict[Any, SimpleNamespace] = {}

    def like(self, x: Array) -> SimpleNamespace:
        """The tables as arrays like ``x``: floating-point ones in its dtype, the others as they are."""
        xp = array_namespace(x)
        key = (xp.__name__, str(x.dtype), str(x.device))
        if key not in self._moved:
            moved = {}
            for name, table in self._tables.items():
                dtype = x.dtype if stored(table).dtype.kind == "f" else None
                moved[name] = transformed(lambda numbers, dtype=dtype: xp.asarray(numbers.copy(), dtype=dtype, device=x.device), table)
            self._moved[key] = SimpleNamespace(**moved)
        return self._moved[key]

    def __getstate__(self) -> dict[str, Any]:
        return self._tables

    def __setstate__(self, tables: dict[str, Any]) -> None:
        self._tables, self._moved = tables, {}


class StackelbergGame(abc.ABC):
    """The declarations of a game and its one function, `induced`.

    Subclasses set the attributes below in ``__init__`` and implement `induced`; nothing else needs to be written, and concrete methods
    are not overridden, with `objective` the one documented exception.
    """

    name: str
    """Registry name without version, e.g. ``"four_rooms"``."""
    leader_space: Box
    """Finite float64 box that contains 0; `commit` accepts all of R^n, only the views check the range."""
    default_follower: Follower
    max_cycles: int
    """How many steps an episode is played; followers plan for the infinite horizon unless a game says otherwise."""
    followers: int = 1
    contexts: tuple[str, ...] = ("only",)
    """Exogenous circumstances, drawn anew for each episode: F(x) = sum_c probability(c) F_c(x)."""
    context_probabilities: np.ndarray = np.ones(1)
    context_visibility: Literal["before", "after", "never"] = "after"
    """Whether the leader sees the context before it commits (then x is (..., contexts, n)), after, or never."""
    additive: bool = True
    """Whether the leader's objective is occupancy times ``leader_reward``, which estimators with a leader Q-function require."""
    smooth: bool = True
    """Whether `commit` is differentiable; False where it is piecewise constant in x (its derivative is 0 wherever there is one), and
    methods that differentiate decline."""
    follower_actions_public: bool = True
    """Whether the leader sees what followers do, or (hidden action) only which states come of it; then ``leader_reward`` may not depend
    on the follower's action, and whatever a leader sees leaves the actions out.  TRAINING shows a
    leader the actions that it steers itself, and no others."""
    layout: Layout | None = None
    """Where states lie on a map, if there is one; see `stackelberg_envs.drawing`."""

    # Optional methods; a game that has none leaves None.  (Typed Any, because a method may not override a variable.)
    incentive: Any = None
    """``incentive(x, context)``: the part of the follower's reward that the leader sets, broadcastable to (..., S, A, B); a tuple of them
    for several followers."""
    leader_cost: Any = None
    """``leader_cost(x, context)``: what the leader pays for its instrument, a part of -``leader_reward``, broadcastable to (..., S, A, B);
    like `induced`, a tuple of them for several independent followers."""
    log_kernel: Any = None
    """``log_kernel(x, context)``: ``log P(s'|s,a,b)``, laid out as ``transition``, where the leader sets rewards and moves the dynamics;
    methods that only know how rewards are steered decline such games.  A tuple of them for several independent followers."""
    log_leader_policy: Any = None
    """``log_leader_policy(x)``: log pi(a|s), (..., S, A), where the leader acts in the game (A > 1)."""
    log_leader_density: Any = None
    """``log_leader_density(x, states, leads)``: the same in a world without tables, (...) for states (..., d) and actions (..., k)."""
    log_kernel_density: Any = None
    """``log_kernel_density(x, states, leads, actions, arrived)``: ``log P(s'|s,a,b)`` up to a constant, (...), where the leader moves the
    dynamics of a world without tables."""
    incentive_at: Any = None
    """``incentive_at(x, context, states, actions)``: the incentive of single steps in a world without tables, (...) for states (..., d)."""
    marks: Any = None
    """``marks(context)``: what to print on the map, by (row, col)."""
    instruments: Any = None
    """``instruments(x)``: what the commitment comes to, by name and in units of its own (rates, insulation), for people."""
    shading: Any = None
    """``shading(x)``: what the commitment does to each state, (..., S), for the heat map."""

    @abc.abstractmethod
    def induced(self, x: Array, context: int) -> Induced:
        """What the followers face, in array-API code.

        One `InducedMDP`, a tuple of them for several independent followers, one `stackelberg_envs.processes.markov_game.InducedMarkovGame`
        for several who interact, or, without tables, one `stackelberg_envs.processes.sampled.SampledProcess`.

        Args:
            x: a checked commitment, floating point, shape (..., n).
            context: index into ``contexts``.
        """

    def commit(self, x: Array, context: int | str = 0) -> Induced:
        """What the followers face under commitment ``x`` (..., n) in ``context`` (index or name).

        Raises:
            CommitmentError: if ``x`` has the wrong shape or is not finite.
            KeyError: if there is no such context.
        """
        return self.induced(self.checked(x), self.context_index(context))

    def problems(self, x: Array, context: int | str = 0) -> tuple[Any, ...]:
        """`commit` as a tuple: one process for each independent follower, or the one that interacting followers share."""
        return as_tuple(self.commit(x, context))

    def objective(
        self,
        problems: Sequence[Process],
        policies: Sequence[Array],
        *,
        horizon: int | None = None,
        discount: float | None = None,
    ) -> Array:
        """The leader's exact expected return in one context, shape (...): the sum over processes of occupancy times leader reward.

        Worlds without tables are scored over finitely many steps: exactly where they have closed forms, else by the referee's episodes.

        Args:
            problems: what the followers face; see `problems`.
            policies: g(b|s,a) of each follower, (..., S, A, B), or a `stackelberg_envs.processes.sampled.Actor`.
            horizon: number of steps; None for infinitely many or, without tables, ``max_cycles``.
            discount: None for the game's own.
        """
        total: Any = 0.0
        for process, together in zip(problems, grouped(problems, policies), strict=True):
            if isinstance(process, SampledProcess):
                gamma = process.leader_discount if discount is None else discount
                (policy,) = together
                total = total + expected_return(process, policy, self.max_cycles if horizon is None else horizon, gamma)
                continue
            mdp = process.joint
            gamma = mdp.leader_discount if discount is None else discount
            values = policy_value(mdp, process.product(together), mdp.leader_reward, gamma, horizon=horizon)
            total = total + array_namespace(values).sum(mdp.initial * values, axis=-1)
        return total

    @property
    def dimension(self) -> int:
        """n, the number of components of a commitment."""
        return int(self.leader_space.shape[0])

    @cached_property
    def _null(self) -> tuple[Any, ...]:
        """What followers face under the null commitment."""
        return self.problems(np.zeros(self.dimension))

    @cached_property
    def tabular(self) -> bool:
        """Whether worlds are tables; without them states are vectors."""
        return not any(isinstance(process, SampledProcess) for process in self._null)

    @cached_property
    def closed_forms(self) -> bool:
        """Whether worlds have no tables but closed forms for soft responses and what they earn."""
        return all(isinstance(process, SampledProcess) and process.leader_return is not None for process in self._null)

    @cached_property
    def sizes(self) -> tuple[tuple[int, int, int], ...]:
        """(S, A, B) of each follower, B the number of its own actions.

        Raises:
            TypeError: if there are no tables.
        """
        if not self.tabular:
            raise TypeError(f"{self.name} has no tables: its states are vectors; ask for its spaces")
        return tuple((*process.sizes[:2], b) for process in self._null for b in process.actions)

    @cached_property
    def spaces(self) -> tuple[Spaces, ...]:
        """The spaces of each follower."""
        if self.tabular:
            return tuple(Spaces(Discrete(s), Discrete(a) if a > 1 else None, Discrete(b)) for s, a, b in self.sizes)
        return tuple(Spaces(process.state_space, process.leader_actions, process.follower_action) for process in self._null)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Which followers share a process: ((0,), (1,)) for two independent ones, ((0, 1),) for two who interact."""
        numbered = iter(range(sum(len(process.actions) for process in self._null)))
        return tuple(tuple(next(numbered) for _ in process.actions) for process in self._null)

    @cached_property
    def visibility(self) -> tuple[str, ...]:
        """What each follower sees of the leader in a step: ``"action"`` or ``"policy"`` (the same where it has none to choose)."""
        leads = [spaces.lead is not None for spaces in self.spaces]
        sees = [process.follower_sees for process in self._null for _ in process.actions]
        return tuple(seen if acts else "policy" for acts, seen in zip(leads, sees, strict=True))

    @property
    def commitment_shape(self) -> tuple[int, ...]:
        """(n,), or (C, n) for a leader that sees the context first."""
        return (len(self.contexts), self.dimension) if self.context_visibility == "before" else (self.dimension,)

    def for_context(self, x: Array, context: int) -> Array:
        """The commitment that holds in ``context``: a row of x where the leader sees the context first, else x itself."""
        if self.context_visibility != "before":
            return x
        if x.ndim < 2 or x.shape[-2] != len(self.contexts):
            raise CommitmentError(
                f"{self.name}: the leader sees the context first, so a commitment has shape (..., {len(self.contexts)}, "
                f"{self.dimension}), one row a context; got {tuple(x.shape)}"
            )
        return x[..., context, :]

    def checked(self, commitment: Any) -> Array:
        """``commitment`` as a finite floating-point array (..., n); see `commit`."""
        x: Array = commitment
        if not is_array_api_obj(commitment):
            try:
                x = np.asarray(commitment, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise CommitmentError(f"{self.name}: a commitment is an array of {self.dimension} numbers, got {commitment!r}") from error
        xp = array_namespace(x)
        if not xp.isdtype(x.dtype, "real floating"):
            if not xp.isdtype(x.dtype, "integral"):
                raise CommitmentError(f"{self.name}: a commitment is an array of real numbers, got dtype {x.dtype}")
            x = xp.astype(x, xp.float64)
        if x.ndim == 0 or x.shape[-1] != self.dimension:
            raise CommitmentError(f"{self.name}: a commitment has {self.dimension} components in its last axis, got shape {tuple(x.shape)}")
        finite = xp.isfinite(x)
        if not bool(xp.all(finite)):
            bad = int(xp.argmin(xp.astype(xp.reshape(finite, (-1,)), xp.int8))) % self.dimension
            raise CommitmentError(f"{self.name}: the commitment is not finite (first at component {bad}); every component must be a number")
        return x

    def context_index(self, context: int | str) -> int:
        """Index of a context given by index or name."""
        if isinstance(context, str):
            if context not in self.contexts:
                raise KeyError(f"{self.name} has no context {context!r}; {nearest(context, self.contexts)}")
            return self.contexts.index(context)
        if not 0 <= context < len(self.contexts):
            raise KeyError(f"{self.name} has contexts 0 to {len(self.contexts) - 1}, got {context}")
        return int(context)

    def __repr__(self) -> str:
        shown = f"sizes={self.sizes}" if self.tabular else f"spaces={tuple(map(tuple, self.spaces))}"
        return f"<{type(self).__name__}: n={self.dimension}, contexts={self.contexts}, {shown}>"


def as_tuple(induced: Any) -> tuple[Any, ...]:
    """One entry per follower, of what is either one thing or a tuple with one for each."""
    return induced if isinstance(induced, tuple) else (induced,)


def grouped(problems: Sequence[Process], each: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What there is one of per follower, by process.

    Raises:
        ValueError: if there is not one for each follower.
    """
    if len(each) != sum(len(process.actions) for process in problems):
        raise ValueError(f"one for each of {sum(len(process.actions) for process in problems)} followers, got {len(each)}")
    rest = iter(each)
    return [tuple(next(rest) for _ in process.actions) for process in problems]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), with finite gradients for all finite x."""
    xp = array_namespace(x)
    return 0.5 + 0.5 * xp.tanh(0.5 * x)


def softmax_policy(x: Array, s: int, a: int) -> Array:
    """log pi(a|s), (..., S, A), of a policy commitment: logits flattened row-major, softmax over A."""
    xp = array_namespace(x)
    logits = xp.reshape(x, (*x.shape[:-1], s, a))
    logits = logits - xp.max(logits, axis=-1, keepdims=True)
    return logits - xp.log(xp.sum(xp.exp(logits), axis=-1, keepdims=True))
