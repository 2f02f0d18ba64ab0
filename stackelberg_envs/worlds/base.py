"""The operations of every kind of world: scores, single steps, batched play, and the responses of followers.

A commitment induces one world for each independent follower, or one for followers who interact.  Games, views, followers, the referee and
the leader's rounds use only the methods of `World`, so a new kind of world is one new file.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from gymnasium.spaces import Space

from ..planning.linear_systems import PlanningError
from ..play.outcomes import Outcome
from ..play.trajectories import Trajectories
from ..processes.arrays import Array
from ..processes.markov_game import MarkovGame
from ..processes.mdp import MDP
from ..response import Answer
from .invalid_tables import discount_errors


class WorldError(ValueError):
    """A world whose tables hold no probabilities, or numbers that are none; the message names the table and its first bad row."""


class Spaces(NamedTuple):
    """Where a follower and the leader who faces it are and act: indices (Discrete) in tables, vectors (Box) without."""

    state: Space[Any]
    lead: Space[Any] | None
    """The leader's action of a step; None where it has none to choose."""
    action: Space[Any]


class FollowerScore(NamedTuple):
    """The scores of a policy for the follower who plays it, from the initial distribution, each (...)."""

    plain_return: Array
    """Discounted rewards without entropy bonus, over the scored horizon."""
    objective: Array
    """The follower's own objective, entropy bonus included, over infinitely many steps."""
    gap: Array
    """The difference between the optimum and the objective while the others keep their policies; NaN where the optimum is not known."""


class EstimatedScores(NamedTuple):
    """Scores of one commitment that are means over the referee's episodes."""

    leader_return: float
    standard_error: float
    """Of ``leader_return``."""
    follower: FollowerScore


class Stepper(Protocol):
    """A world under one commitment, step by step; see `stackelberg_envs.play.steps.TabularStepper`."""

    @property
    def process(self) -> Any:
        """The world."""
        ...

    @property
    def leads(self) -> bool:
        """Whether the leader acts in a step."""
        ...

    def is_end(self, s: Any) -> bool:
        """Whether a state is the end."""
        ...

    def available(self, player: int, s: Any, a: Any) -> np.ndarray | None:
        """Which actions a follower has in state ``s``, where it sees ``a`` of the leader's action; None where it always has all.

        The views do without it: then all actions are always there.
        """
        ...

    def initial(self, rng: np.random.Generator) -> Any:
        """First state."""
        ...

    def leader_action(self, s: Any, rng: np.random.Generator) -> Any:
        """The leader's action by its own policy."""
        ...

    def step(self, s: Any, a: Any, actions: Sequence[Any], rng: np.random.Generator) -> tuple[Any, tuple[float, ...], float]:
        """(next state, rewards of the followers in this world, leader reward), given one action of each of them."""
        ...


class PolicyStepper(Protocol):
    """A follower's policy, step by step; see `stackelberg_envs.play.steps.TabularPolicyStepper`."""

    def act(self, s: Any, a: Any, rng: np.random.Generator) -> Any:
        """An action in state ``s``, where the leader does ``a``."""
        ...


class World(abc.ABC):
    """The decision problem under a commitment, of one follower or of several who interact."""

    kind: ClassVar[str]
    """``"tables"``, ``"vectors"``, or another word: which checks of the conformance kit a world of this kind owes."""
    tables: ClassVar[tuple[str, ...]]
    """The array fields."""
    follower_discount: float
    leader_discount: float
    follower_sees: Any
    """What it sees of the leader in a step: its ``"action"``, a ``"signal"`` of it, or only its ``"policy"``."""
    actions: Any
    """One entry for each follower in this world: its number of actions, or its action space."""
    crowd: ClassVar[bool] = False
    """Whether its follower stands for a crowd that responds to itself, so that a policy is scored where everybody plays it."""
    signals: int = 0
    """K, how many signals of the leader's action its followers may see; 0 where they see the action itself, or only the policy."""

    @property
    @abc.abstractmethod
    def spaces(self) -> tuple[Spaces, ...]:
        """The spaces of each follower."""

    @property
    def tabular(self) -> bool:
        """Whether states and actions are indices of tables; without, states are vectors."""
        return self.kind == "tables"

    @property
    def closed_forms(self) -> bool:
        """Whether a world without tables has closed forms for soft responses and the leader's return."""
        return False

    def available_actions(self, player: int) -> Any:
        """Which of its actions a follower has where it decides, booleans (..., S, N, B_i), or None where it has all of them always.

        N: what it sees of the leader, its actions or signals; 1 where it sees none.
        """
        del player

    # -- how it is scored

    @abc.abstractmethod
    def expected_return(
        self, policies: Sequence[Any], *, horizon: int | None, max_cycles: int, discount: float | None, seed: int = 0
    ) -> Array:
        """The leader's expected return (...).

        Args:
            policies: one for each follower.
            horizon: number of steps; None for infinitely many or, where that cannot be scored, ``max_cycles``.
            max_cycles: the game's.
            discount: None for the world's own.
            seed: of the episodes, where they are played for the score.  The referee's is 0; who learns from returns is given others.
        """

    @abc.abstractmethod
    def score_follower(
        self, player: int, policies: Sequence[Any], temperature: float, *, horizon: int | None, max_cycles: int
    ) -> FollowerScore:
        """The score of ``policies`` for one follower, whose entropy bonus has weight ``temperature``.

        Raises:
            ValueError: if the policy beats the best response: it is none that a follower of this world could have.
        """

    def uses_monte_carlo(self, policies: Sequence[Any]) -> bool:
        """Whether scores of these policies are means over the referee's episodes, and not exact."""
        del policies
        return False

    def monte_carlo_scores(
        self, policies: Sequence[Any], temperature: float, *, horizon: int | None, max_cycles: int, discount: float | None
    ) -> EstimatedScores:
        """Scores of one commitment over the referee's episodes; for worlds that are `uses_monte_carlo`."""
        raise PlanningError(f"{type(self).__name__} is scored exactly, and has no estimated scores")

    # -- how it is stepped and played

    @abc.abstractmethod
    def stepper(self) -> Stepper:
        """Single steps, from NumPy tables or functions."""

    @abc.abstractmethod
    def policy_stepper(self, policy: Any) -> PolicyStepper:
        """A follower's policy, sampled step by step; picklable."""

    @abc.abstractmethod
    def play(
        self,
        policies: Sequence[Any],
        limits: np.ndarray,
        rng: np.random.Generator,
        *,
        states: np.ndarray | None = None,
        actions: np.ndarray | None = None,
    ) -> tuple[Trajectories, ...]:
        """N episodes, for each follower; the leader is paid once, with the first.

        Args:
            policies: one for each follower.
            limits: steps after which each episode is cut, integers (N,).
            rng: the noise.
            states: first states, integers (N,), where the world has tables; drawn if not given.
            actions: first actions of the followers, integers (N, n), likewise.
        """

    @staticmethod
    @abc.abstractmethod
    def outcome(contexts: np.ndarray, ends: Sequence[int], pieces: Sequence[tuple[np.ndarray, int, Trajectories]]) -> Outcome:
        """What the leader sees of trajectories (rows, follower): see `stackelberg_envs.play.outcomes`."""

    def draw_signal(self, s: Any, a: Any, rng: np.random.Generator) -> Any:
        """What its followers see of the leader's action ``a`` in state ``s``: the action itself, unless there are signals."""
        del s, rng
        return a

    # -- how it is answered

    def soft_answer(self, temperature: float, values: Any) -> Answer:
        """The entropy-regularised best response at ``temperature``; ``values`` is a warm start or None.

        Raises:
            PlanningError: if this kind of world has none, or it is not found.
        """
        del values
        raise PlanningError(f"{type(self).__name__} has no soft response at temperature {temperature}: take a follower that learns")

    def tables_for(self, follower: Any) -> MDP:
        """The tables of its decision process, for a follower that plans alone.

        Raises:
            PlanningError: if there are none; the message names ``follower`` and says what to take instead.
        """
        raise PlanningError(f"{follower!r} plans with tables, and {type(self).__name__} has none: take one that learns")

    def hard_answer(self, follower: Any, memory: Any) -> Answer:
        """The answer of ``follower``, which has no entropy; ``memory`` is what its previous answer left, or None.

        Raises:
            PlanningError: if this kind of world has none, or it is not found.
        """
        mdp = self.tables_for(follower)
        return replace(follower.answer(mdp, memory), planned_in=mdp)

    def unloaded(self) -> World:
        """The world in which rewards move only by what the leader sets: of a crowd's, that at no loads; else the world itself."""
        return self

    def with_crowd(self, policies: Sequence[Any]) -> World:
        """The world with the rewards while its followers play ``policies``: of a crowd's, that at its loads; else the world itself."""
        del policies
        return self

    def markov_game_for(self, follower: Any) -> MarkovGame:
        """The tables of the Markov game among its followers, for an equilibrium.

        Raises:
            PlanningError: if they do not interact.
        """
        raise PlanningError(f"{follower!r} is an equilibrium of followers who interact, and here they do not: take Soft or Hard")

    def vector_dynamics_for(self, follower: Any) -> Any:
        """The world itself, for a follower that acts on vector states.

        Raises:
            PlanningError: if states are no vectors.
        """
        raise PlanningError(f"{follower!r} acts on a vector state for one follower, and there is none in {type(self).__name__}")

    # -- how it looks with other rewards

    @abc.abstractmethod
    def with_rewards(self, factor: float, constant: float) -> World:
        """The same world with every follower's reward r as ``factor r + constant``; in a zero-sum game the constant is left out.

        In a crowd, too, and its temperature is multiplied as well: it does what it did.
        """

    # -- how it is told apart, and what may be wrong with it

    def invalid_numbers(self) -> list[str]:
        """What in a world without batch axes is no probability, no discount or no number, in words: nothing that it is scored by is true.

        `stackelberg_envs.game.StackelbergGame.commit` asks once in each context, and refuses such a game.
        """
        return discount_errors(follower_discount=self.follower_discount, leader_discount=self.leader_discount)

    def violations(self) -> list[str]:
        """What is wrong with a world of NumPy numbers, in words; for conformance kits."""
        return self.invalid_numbers()

    @abc.abstractmethod
    def fingerprint(self) -> list[np.ndarray]:
        """Arrays that differ where two worlds of the same sizes and discounts do; NumPy worlds only."""

    def same_as(self, other: World) -> bool:
        """Whether two worlds of one game are the same."""
        mine, theirs = self.fingerprint(), other.fingerprint()
        return len(mine) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
