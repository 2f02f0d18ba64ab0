"""How followers answer a commitment.

A follower is an argument, never a part of the game: the same game is played by soft, hard, bounded or mistaken ones, and the referee's
follower may differ from the one that a leader trained against.  A `TabularFollower` answers one `InducedMDP` at a time; several
independent followers of a game answer separately.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from array_api_compat import array_namespace

from ..planning.linear_systems import number
from ..planning.policy_iteration import PlanningError, hard_policy_iteration, soft_policy_iteration, widen
from ..planning.value_iteration import soft_backup, softmax_backup
from ..processes.mdp import Array, InducedMDP, decision_problem, expect
from ..processes.sampled import SampledProcess

if TYPE_CHECKING:
    from ..game import StackelbergGame

TIE_TOLERANCE = 1e-9
"""Actions whose value is within this (relative to the largest value) of the best are ties."""


@dataclass(frozen=True)
class Answer:
    """One follower's response to one process."""

    policy: Array
    """g(b|s,a), shape (..., S, A, B)."""
    values: Array
    """The values the follower planned with, (..., S); the warm start of its next answer."""
    certificate: float
    """How far from its own optimum the answer may be: certified bound, last Newton step, residual or LP gap, in units of value; of a closed
    form, the relative residual of the equation that it solves."""
    evaluations: int = 1
    """Policy evaluations, sweeps or LPs that were used."""
    planned_in: InducedMDP | None = field(default=None, repr=False)
    """What the follower took its world for; set by `TabularFollower.respond`."""
    carried: Any = field(default=None, repr=False)
    """The warm start of its next answer, where that is not ``values``."""
    training_steps: int = 0
    """Samples of the world from which the follower learned for this answer."""

    @property
    def action_values(self) -> Array:
        """r_F(s,a,b) + gamma E V(s') as the follower planned, (..., S, A, B); not averaged over the leader's action."""
        mdp = self.planned_in
        if mdp is None:
            raise ValueError("this follower does not say what it planned with")
        return mdp.follower_reward + mdp.follower_discount * expect(mdp.transition, self.values)


@dataclass(frozen=True)
class Response:
    """All followers' answers to one commitment in one context."""

    answers: tuple[Answer, ...]
    state: Any = None
    """What the follower carries to its next answer; picklable."""

    @property
    def policies(self) -> tuple[Array, ...]:
        """g(b|s,a) of each follower."""
        return tuple(answer.policy for answer in self.answers)

    @property
    def policy(self) -> Array:
        """g(b|s,a) of the only follower.

        Raises:
            ValueError: if there are several; use ``policies``.
        """
        (policy,) = self.policies
        return policy

    @property
    def certificate(self) -> float:
        """The largest of the answers' certificates."""
        return max(answer.certificate for answer in self.answers)


class Follower(Protocol):
    """Anything that answers a commitment.

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
        """Answer commitment ``x`` in ``context``.

        Args:
            game: the game that is played.
            x: the commitment.
            context: index or name.
            budget: training steps a learning follower may take; exact ones ignore it.
            rng: randomness of a learning follower.
            state: what the previous response returned, for warm starts and persistent learners.
        """
        ...


class TabularFollower(abc.ABC):
    """A follower that answers each `InducedMDP` by itself: subclasses implement `answer`."""

    temperature: float

    @abc.abstractmethod
    def answer(self, mdp: InducedMDP, values: Array | None) -> Answer:
        """Answer one process; ``values`` (..., S) are those of its previous answer, or what that `Answer.carried`, if there was one."""

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
        """See `Follower.respond`."""
        del budget, rng
        problems = [alone(process, self, closed_forms=isinstance(self, Soft)) for process in game.problems(x, context)]
        carried = (None,) * len(problems) if state is None else state
        answers = tuple(replace(self.answer(mdp, values), planned_in=mdp) for mdp, values in zip(problems, carried, strict=True))
        return Response(answers, state=tuple(answer.values if answer.carried is None else answer.carried for answer in answers))


def alone(process: Any, follower: Any, *, closed_forms: bool = False) -> Any:
    """``process``, of one follower; with ``closed_forms`` it may have those instead of tables.

    Raises:
        PlanningError: if several interact in it, whom a follower that optimises alone cannot answer for; or if it has no tables.
    """
    if isinstance(process, SampledProcess):
        if closed_forms and process.soft_response is not None:
            return process
        raise PlanningError(
            f"{follower!r} plans with tables, and this world has none"
            + (": take Soft(temperature), which has a closed form here" if process.soft_response is not None else ": take one that learns")
        )
    if isinstance(process, InducedMDP):
        return process
    known = "Saddle(temperature)" if process.zero_sum else "Nash(selection)"
    raise PlanningError(f"{follower!r} answers for one follower, and here {len(process.actions)} interact: take an equilibrium, {known}")


def judge_of(follower: Follower) -> Follower:
    """Who scores commitments that ``follower`` answers: the exact follower that a learner names, or else itself."""
    return getattr(follower, "judge", follower)


def learns(follower: Follower) -> bool:
    """Whether ``follower`` can be trained: it heeds a budget, and goes on from where it stood."""
    return bool(getattr(follower, "learns", False))


@dataclass(frozen=True)
class Soft(TabularFollower):
    """The entropy-regularised best response, unique and differentiable: g = softmax(Q / temperature)."""

    temperature: float

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"Soft needs a temperature above 0, and finite, got {self.temperature}; for the limit use Hard(ties=...)")

    def answer(self, mdp: InducedMDP, values: Array | None) -> Answer:
        if isinstance(mdp, SampledProcess):
            return Answer(*mdp.soft_response(self.temperature))
        plan = soft_policy_iteration(mdp, self.temperature, values=values)
        certificate = plan.bound if plan.bound < float("inf") else plan.step
        return Answer(plan.policy, plan.values, certificate, plan.evaluations)


@dataclass(frozen=True)
class Hard(TabularFollower):
    """A best response without entropy; ties are broken for the leader (``"strong"``), against it (``"weak"``), or evenly."""

    ties: Literal["strong", "weak", "uniform"] = "strong"
    temperature: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.ties not in ("strong", "weak", "uniform"):
            raise ValueError(f"Hard(ties=...) is 'strong', 'weak' or 'uniform', got {self.ties!r}")

    def answer(self, mdp: InducedMDP, values: Array | None) -> Answer:
        del values
        own = decision_problem(mdp, mdp.follower_reward)
        v, q = hard_policy_iteration(own, mdp.follower_discount)
        xp = array_namespace(q)
        tolerance = max(TIE_TOLERANCE, 1000 * float(xp.finfo(q.dtype).eps))
        slack = tolerance * (1 + xp.max(xp.abs(q), axis=(-3, -2, -1), keepdims=True))  # of each commitment of a batch
        best = q >= xp.max(q, axis=-1, keepdims=True) - slack
        if self.ties == "uniform":
            chosen = xp.astype(best, q.dtype)
        else:
            sign = 1.0 if self.ties == "strong" else -1.0
            leader = decision_problem(mdp, sign * mdp.leader_reward)
            _, preference = hard_policy_iteration(leader, mdp.leader_discount, allowed=best)
            preference = xp.where(best, preference, -xp.inf)
            arms = xp.arange(q.shape[-1], device=q.device)
            chosen = xp.astype(arms == xp.argmax(preference, axis=-1, keepdims=True), q.dtype)
        policy = chosen / xp.sum(chosen, axis=-1, keepdims=True)
        return Answer(widen(policy, mdp), v, number(xp.max(slack)))


@dataclass(frozen=True)
class Quantal(TabularFollower):
    """Plans without error and acts with logit error: softmax of the hard-optimal action values over ``error``, in units of reward."""

    error: float
    temperature: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not self.error > 0:
            raise ValueError(f"Quantal needs an error above 0, got {self.error}; for the limit use Hard(ties=...)")

    def answer(self, mdp: InducedMDP, values: Array | None) -> Answer:
        del values
        v, q = hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount)
        _, policy = softmax_backup(q, self.error)
        return Answer(widen(policy, mdp), v, 0.0)


@dataclass(frozen=True)
class Truncated(TabularFollower):
    """Stops soft value iteration after ``sweeps``; starts from its last values (``"carry"``) or from zero (``"reset"``)."""

    temperature: float
    sweeps: int
    start: Literal["carry", "reset"] = "carry"

    def __post_init__(self) -> None:
        if not self.temperature > 0 or self.sweeps < 1 or self.start not in ("carry", "reset"):
            raise ValueError(f"Truncated needs temperature > 0, sweeps >= 1 and start 'carry' or 'reset', got {self!r}")

    def answer(self, mdp: InducedMDP, values: Array | None) -> Answer:
        problem = decision_problem(mdp, mdp.follower_reward)
        xp = array_namespace(problem.reward)
        v = xp.zeros_like(problem.reward[..., 0, 0]) if values is None or self.start == "reset" else values
        step = float("inf")
        for _ in range(self.sweeps):
            swept, _ = soft_backup(problem, mdp.follower_discount, self.temperature, v)
            step, v = number(xp.max(xp.abs(swept - v))), swept
        _, policy = soft_backup(problem, mdp.follower_discount, self.temperature, v)
        return Answer(widen(policy, mdp), v, step, self.sweeps)


@dataclass(frozen=True)
class Believes:
    """Answers to another world: plans as ``follower`` would in ``game``, whatever game it is really in."""

    game: StackelbergGame
    follower: Follower

    @property
    def temperature(self) -> float:
        return self.follower.temperature

    @property
    def judge(self) -> Follower:
        """The judge of the follower that believes, with the same belief."""
        return replace(self, follower=judge_of(self.follower))

    @property
    def learns(self) -> bool:
        """Whether the follower that believes does."""
        return learns(self.follower)

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
        """See `Follower.respond`; ``game`` must have the spaces of the game it believes in."""
        if game.spaces != self.game.spaces or game.visibility != self.game.visibility:
            raise ValueError(
                f"a follower that believes in {self.game!r} and sees the {self.game.visibility} cannot act in {game!r} and see the "
                f"{game.visibility}; spaces must agree"
            )
        name = game.contexts[game.context_index(context)]
        if name not in self.game.contexts:
            raise ValueError(f"a follower that believes in {self.game.name} with contexts {self.game.contexts} knows none called {name!r}")
        return self.follower.respond(self.game, x, name, budget=budget, rng=rng, state=state)
