"""A Stackelberg Markov game is one pure function: ``commit(x, context)`` -> what the followers face.

PettingZoo and Gymnasium views, exact scores, hypergradients and batched play all use this function.  A game has no ``step``, no
``reset`` and no seed.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from gymnasium.spaces import Box

from .arguments import ArgumentError, CheckedArguments, nearest, whole
from .commitments import CommitmentError, Saturation, check_commitment
from .optional import OptionalPieces
from .processes.arrays import Array, array_namespace
from .response import Response
from .worlds.base import Spaces, World, WorldError
from .worlds.invalid_tables import distribution_errors

Induced = World | tuple[World, ...]


@dataclass(frozen=True)
class Layout:
    """The positions of the states: lines of text with ``#`` for walls, and the (row, col) of each state."""

    map: tuple[str, ...]
    cells: tuple[tuple[int, int], ...]
    """(row, col) of each state or, where followers share one, of each place that the leader shades."""
    places: tuple[tuple[tuple[int, int], ...], ...] | None = None
    """Where followers share a state: (row, col) of each of them in each state."""

    def place(self, follower: int, state: int) -> tuple[int, int]:
        """(row, col) of a follower in a state."""
        return self.cells[state] if self.places is None else self.places[follower][state]


class Follower(Protocol):
    """An object that responds to a commitment.

    It may have a ``judge``, the exact follower by whom commitments are scored in its place (see `judge_of`), and say that it ``learns``:
    that it heeds ``budget``, and goes on from ``state`` when it is asked again about the same commitment.
    """

    @property
    def temperature(self) -> float:
        """Entropy weight tau of the objective by which its gap is measured; 0 for plain reward."""
        ...

    def respond(
        self,
        game: StackelbergGame,
        x: Array,
        context: int | str = 0,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
        state: Any = None,
    ) -> Response:
        """Respond to commitment ``x`` in ``context``.

        Args:
            game: the game that is played.
            x: the commitment.
            context: index or name.
            budget: training steps a learning follower may take; exact ones ignore it.
            rng: randomness of a learning follower.
            state: what the previous response returned, for warm starts and persistent learners.
        """
        ...


def judge_of(follower: Follower) -> Follower:
    """The follower that scores commitments: the exact follower that a learner names, or ``follower`` itself."""
    return getattr(follower, "judge", follower)


def learns(follower: Follower) -> bool:
    """Whether ``follower`` can be trained: it uses a budget and continues from its last state."""
    return bool(getattr(follower, "learns", False))


def follower_of(game: StackelbergGame, follower: Follower | None) -> Follower:
    """The follower that was named, checked, or the default one of ``game`` for None.

    Raises:
        ArgumentError: if it is none, e.g. a class in place of an object, or ``game`` is no game.
    """
    check_game(game)
    if follower is None:
        return game.default_follower
    check_follower(follower)
    return follower


def check_game(game: Any) -> None:
    """Refuse what is no game, such as its name.

    Raises:
        ArgumentError: if it is none.
    """
    if not isinstance(game, StackelbergGame):
        raise ArgumentError(f"a game is wanted, such as stackelberg_envs.game('toy3-v0'); got {game!r}")


def check_follower(follower: Any) -> None:
    """Refuse what does not answer.

    Raises:
        ArgumentError: for a class, and for an object without `Follower.respond`.
    """
    if isinstance(follower, type) or not hasattr(follower, "respond"):
        raise ArgumentError(f"follower is one that answers, such as Soft(0.1) or Hard(), got {follower!r}")


class StackelbergGame(CheckedArguments, OptionalPieces, abc.ABC):
    """The declarations of a game and its one function, `induced`.

    Subclasses set the attributes below in ``__init__`` and implement `induced`; nothing else needs to be written, and concrete methods
    are not overridden, with `objective` the one documented exception.  What a game may also say is in `stackelberg_envs.optional`.
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
    """Exogenous circumstances, drawn again for each episode: F(x) = sum_c probability(c) F_c(x)."""
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
    saturation: Saturation | None = None
    """Where components of a commitment lose their derivative, such as logits of a softmax; None if they do not, or nobody said.  Solvers
    that ascend gradients can then lift commitments out of there."""
    layout: Layout | None = None
    """The positions of states on a map, if there is one; see `stackelberg_envs.drawing`."""

    @abc.abstractmethod
    def induced(self, x: Array, context: int) -> Induced:
        """The process that a commitment induces, in array-API code.

        One `InducedMDP`, a tuple of them for several independent followers, one `stackelberg_envs.worlds.markov_game.InducedMarkovGame`
        for several who interact, or, without tables, one `stackelberg_envs.worlds.sampled.SampledProcess`.

        Args:
            x: a checked commitment, floating point, shape (..., n).
            context: index into ``contexts``.
        """

    def commit(self, x: Array, context: int | str = 0) -> Induced:
        """What the followers face under commitment ``x`` (..., n) in ``context`` (index or name).

        Raises:
            CommitmentError: if ``x`` has the wrong shape or is not finite.
            KeyError: if there is no such context.
            WorldError: if what the null commitment induces there is no world: probabilities that are none, a discount outside [0, 1],
                rewards that are not finite.  It is looked at once.
        """
        checked, index = self.check_commitment(x), self.context_index(context)
        induced = self.induced(checked, index)
        if index not in self._checked_contexts:
            xp = array_namespace(checked)
            null = xp.zeros(self.dimension, dtype=checked.dtype, device=checked.device)
            same = checked.ndim == 1 and bool(xp.all(checked == null))
            self._check_worlds(as_tuple(induced if same else self.induced(null, index)), self.contexts[index])
            self._checked_contexts.add(index)
        return induced

    def problems(self, x: Array, context: int | str = 0) -> tuple[Any, ...]:
        """`commit` as a tuple: one process for each independent follower, or the one that interacting followers share."""
        last_x, last_context, worlds = vars(self).get("_worlds", (None, None, ()))
        return worlds if last_x is x and last_context == context and worlds else as_tuple(self.commit(x, context))

    def objective(
        self,
        problems: Sequence[World],
        policies: Sequence[Any],
        *,
        horizon: int | None = None,
        discount: float | None = None,
        seed: int = 0,
    ) -> Array:
        """The leader's expected return in one context, shape (...): the sum of the returns in each world.

        With tables that is occupancy times leader reward, exact.  Worlds without tables are scored over finitely many steps: exactly where
        they have closed forms, else by episodes.

        Args:
            problems: what the followers face; see `problems`.
            policies: g(b|s,a) of each follower, (..., S, A, B), or a `stackelberg_envs.processes.sampled.Actor`.
            horizon: number of steps; None for infinitely many or, without tables, ``max_cycles``.
            discount: None for the game's own.
            seed: of the episodes, where the score takes some; the referee's is 0.
        """
        total: Any = 0.0
        for world, own in zip(problems, group_by_world(problems, policies), strict=True):
            total = total + world.expected_return(own, horizon=horizon, max_cycles=self.max_cycles, discount=discount, seed=seed)
        return total

    @cached_property
    def _checked_contexts(self) -> set[int]:
        """Contexts in which the null commitment induces a world."""
        return set()

    def _check_worlds(self, worlds: tuple[World, ...], context: str) -> None:
        wrong = [*_context_errors(self), *(said for world in worlds for said in world.invalid_numbers())]
        if wrong:
            where = f" in context {context!r}" if len(self.contexts) > 1 else ""
            raise WorldError(f"{self.name}{where}: {'; '.join(wrong)}")

    @property
    def dimension(self) -> int:
        """n, the number of components of a commitment."""
        return int(self.leader_space.shape[0])

    @cached_property
    def null_worlds(self) -> tuple[World, ...]:
        """The worlds that the followers face under the null commitment."""
        return self.problems(np.zeros(self.dimension))

    @cached_property
    def tabular(self) -> bool:
        """Whether worlds are tables; without them states are vectors."""
        return all(world.tabular for world in self.null_worlds)

    @cached_property
    def crowd(self) -> bool:
        """Whether a follower stands for a crowd that responds to itself."""
        return any(world.crowd for world in self.null_worlds)

    @cached_property
    def closed_forms(self) -> bool:
        """Whether worlds have no tables but closed forms for soft responses and what they earn."""
        return all(world.closed_forms for world in self.null_worlds)

    @cached_property
    def sizes(self) -> tuple[tuple[int, int, int], ...]:
        """(S, A, B) of each follower, B the number of its own actions.

        Raises:
            TypeError: if there are no tables.
        """
        if not self.tabular:
            raise TypeError(f"{self.name} has no tables: its states are vectors; ask for its spaces")
        lengths = (1 if spaces.lead is None else int(spaces.lead.n) for spaces in self.spaces)  # type: ignore[attr-defined]
        return tuple(
            (int(spaces.state.n), length, int(spaces.action.n))  # type: ignore[attr-defined]
            for spaces, length in zip(self.spaces, lengths, strict=True)
        )

    @cached_property
    def spaces(self) -> tuple[Spaces, ...]:
        """The spaces of each follower."""
        return tuple(spaces for world in self.null_worlds for spaces in world.spaces)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Which followers share a process: ((0,), (1,)) for two independent ones, ((0, 1),) for two who interact."""
        numbered = iter(range(sum(len(process.actions) for process in self.null_worlds)))
        return tuple(tuple(next(numbered) for _ in process.actions) for process in self.null_worlds)

    @cached_property
    def visibility(self) -> tuple[str, ...]:
        """What each follower sees of the leader in a step: its ``"action"``, a ``"signal"`` of it, or its ``"policy"``.

        It is ``"policy"``, too, where the leader has no action to choose.
        """
        leads = [spaces.lead is not None for spaces in self.spaces]
        sees = [process.follower_sees for process in self.null_worlds for _ in process.actions]
        return tuple(seen if acts else "policy" for acts, seen in zip(leads, sees, strict=True))

    @cached_property
    def masked(self) -> bool:
        """Whether followers lack some action somewhere, under the null commitment: views then show action masks."""
        if not self.tabular:
            return False
        worlds = [self.null_worlds, *(self.problems(np.zeros(self.dimension), context) for context in range(1, len(self.contexts)))]
        return any(world.available is not None for group in worlds for world in group)

    @cached_property
    def signals(self) -> tuple[int, ...]:
        """How many signals of the leader's action each follower may see; 0 for who sees the action itself, or only the policy."""
        return tuple(process.signals for process in self.null_worlds for _ in process.actions)

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

    def check_commitment(self, commitment: Any) -> Array:
        """``commitment`` as a finite floating-point array (..., n); see `commit`."""
        return check_commitment(commitment, self.dimension, self.name)

    def context_index(self, context: int | str) -> int:
        """Index of a context given by index or name."""
        if isinstance(context, str):
            if context not in self.contexts:
                raise KeyError(f"{self.name} has no context {context!r}; {nearest(context, self.contexts)}")
            return self.contexts.index(context)
        try:
            return whole("context", context, 0, len(self.contexts) - 1)
        except ValueError as error:
            names = ", ".join(map(repr, self.contexts[:10]))
            raise KeyError(f"{self.name}: {error}; or it is a name, {names}{', ...' if len(self.contexts) > 10 else ''}") from error

    def __repr__(self) -> str:
        shown = f"sizes={self.sizes}" if self.tabular else f"spaces={tuple(map(tuple, self.spaces))}"
        return f"<{type(self).__name__}: n={self.dimension}, contexts={self.contexts}, {shown}>"


def skip_checks(game: StackelbergGame) -> StackelbergGame:
    """A shallow copy whose worlds are not checked when they are committed to; for conformance kits, which say all that is wrong."""
    copied = copy.copy(game)
    vars(copied)["_checked_contexts"] = set(range(len(game.contexts)))
    return copied


@contextmanager
def same_worlds(game: StackelbergGame, x: Array, context: int, worlds: tuple[World, ...]) -> Iterator[None]:
    """Within it, `StackelbergGame.problems` gives ``worlds`` for this very ``x`` in ``context``, and does not make them again."""
    vars(game)["_worlds"] = x, context, worlds
    try:
        yield
    finally:
        vars(game).pop("_worlds", None)


def _context_errors(game: StackelbergGame) -> list[str]:
    probabilities = np.asarray(game.context_probabilities)
    if probabilities.shape != (len(game.contexts),):
        return [f"context_probabilities has shape {probabilities.shape}, and there are {len(game.contexts)} contexts"]
    return distribution_errors("context_probabilities", probabilities)


def as_tuple(induced: Any) -> tuple[Any, ...]:
    """A tuple as it is, and anything else as a tuple of one: what a game with one follower returns may be bare."""
    return induced if isinstance(induced, tuple) else (induced,)


def group_by_world(problems: Sequence[World], items: Sequence[Any]) -> list[tuple[Any, ...]]:
    """A list with one item for each follower, as one tuple for each world.

    Raises:
        ValueError: if there is not one for each follower.
    """
    followers = sum(len(world.actions) for world in problems)
    if len(items) != followers:
        raise ValueError(f"one for each of {followers} followers, got {len(items)}")
    rest = iter(items)
    return [tuple(next(rest) for _ in world.actions) for world in problems]
