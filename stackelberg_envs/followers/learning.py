"""Followers that learn: tabular soft Q-learning from samples, and the natural policy gradient.

They respond through the interface of every follower (`stackelberg_envs.game.Follower`), and their state is the learner itself: picklable,
one per context.  If the commitment is the same as before, they continue from their last state; for a new one they start as ``start``
says.

Both say ``learns``, so that an oracle lets solvers with the TRAINING permission train them, and name a ``judge``: the exact follower by
whom commitments are scored in a run (`solvers.solve`), because a score is a property of the commitment, and not of how far a learner got.
`stackelberg_envs.evaluate` scores whoever it is given: with ``follower=SoftQLearning(...)``, one that learns from nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ..arguments import CheckedArguments, real, whole
from ..planning.linear_systems import PlanningError
from ..planning.policy_iteration import regret
from ..planning.value_iteration import softmax_backup
from ..play import rollouts
from ..play.q_learning import soft_q_learning
from ..processes.arrays import Array
from ..processes.inverse_cdf import cumulative
from ..processes.mdp import MDP, available_at_nodes, broadcast_over_leader_actions, decision_problem
from ..response import Answer, Response
from .exact import Soft
from .mirror_descent import MirrorDescent

if TYPE_CHECKING:
    from ..game import StackelbergGame


@dataclass(frozen=True)
class QLearningState:
    """The state of a soft Q-learner during its run in one process."""

    commitment: np.ndarray
    """What it was trained under last."""
    table: np.ndarray
    """Q at the follower's nodes, (S * N * B,); -inf where an action is not available."""
    visits: np.ndarray
    """How often each pair has been updated, (S * N * B,)."""
    stream: np.ndarray
    """State in which its stream stands, S before a start; and the steps since, (2,)."""
    steps: int = 0
    """Samples that it has learned from."""


@dataclass(frozen=True)
class SoftQLearning(CheckedArguments):
    """Tabular soft Q-learning (Haarnoja et al. 2017, in tables) from sampled transitions, which responds with softmax(Q / tau).

    With n the node at which the follower decides (s, or (s, a) if it sees the leader's action), ``w(n'|s')`` its probability, which the
    follower knows because the leader's policy is announced, and k the number of earlier updates of the pair (n, b)::

        Q(n,b) <- Q(n,b) + (r + gamma sum_n' w(n'|s') tau log sum_b' exp(Q(n',b') / tau) - Q(n,b)) / (1 + rate k)

    With ``rate`` = 1 - gamma the error falls as 1/sqrt(updates) (Wainwright, "Stochastic approximation with cone-contractive operators",
    2019, arXiv 1905.06265, for plain Q-learning; the soft backup contracts alike), where 1/k would be slower: k^-(1 - gamma).

    The certificate of an answer is its exact exploitability, max_s V*(s) - V^g(s), from a few linear solves in the world that the learner
    only samples; nothing that it learns comes from there.

    Args:
        temperature: tau, above 0.
        steps: samples an answer; the ``budget`` of `respond` goes before it.
        samples: ``"stream"``, what a follower can do that lives in the world: it plays, greedily up to its temperature, and starts again
            where an episode ends, or after the game's ``max_cycles``, which cuts its stream and no value.  Or ``"uniform"``, a generative
            model: the node and action of each sample are drawn evenly, so that no pair waits.
        exploration: share of even actions in a stream.
        rate: how fast step sizes fall; None for 1 - gamma.
        start: what a new commitment finds: the last table (``"carry"``) or an untrained one (``"reset"``).
        memory: visits of a pair that still count when a carried table meets a new commitment; the fewer, the faster it forgets.
    """

    temperature: float
    steps: int
    samples: Literal["stream", "uniform"] = "stream"
    exploration: float = 0.1
    rate: float | None = None
    start: Literal["carry", "reset"] = "carry"
    memory: int = 20

    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        real("temperature of SoftQLearning", self.temperature, 0, open_low=True)
        whole("steps of SoftQLearning", self.steps, 0)
        whole("memory of SoftQLearning", self.memory, 0)
        real("exploration of SoftQLearning", self.exploration, 0, 1)
        if self.rate is not None:
            real("rate of SoftQLearning", self.rate, 0, open_low=True)

    @property
    def judge(self) -> Soft:
        """The exact follower to which it converges."""
        return Soft(self.temperature)

    def respond(
        self,
        game: StackelbergGame,
        x: Array,
        context: int | str = 0,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
        state: tuple[QLearningState, ...] | None = None,
    ) -> Response:
        """Train for ``budget`` (or ``steps``) samples, and respond; see `stackelberg_envs.game.Follower.respond`.

        Without ``rng``, the noise is that of seed 0, so that an answer from nothing is always the same.

        Raises:
            PlanningError: for batches of commitments, other arrays than NumPy's, followers who interact, and discount 1 without ``rate``.
        """
        steps = self.steps if budget is None else whole("budget", budget, 0)
        if not isinstance(x, np.ndarray) or x.ndim != 1:
            raise PlanningError(f"{self!r} learns one commitment at a time, a NumPy array of one axis; got {type(x).__name__} of {x.shape}")
        noise = np.random.default_rng(0) if rng is None else rng
        problems = [world.tables_for(self) for world in game.problems(x, context)]
        before = (None,) * len(problems) if state is None else state
        learned = tuple(
            self._train(mdp, self._initial_state(mdp, x, old), steps, game.max_cycles, noise)
            for mdp, old in zip(problems, before, strict=True)
        )
        answers = tuple(self._response(mdp, learner, steps) for mdp, learner in zip(problems, learned, strict=True))
        return Response(answers, state=learned)

    def _initial_state(self, mdp: MDP, x: np.ndarray, old: QLearningState | None) -> QLearningState:
        """The state in which training under commitment ``x`` begins."""
        if old is not None and np.array_equal(old.commitment, x):
            return old
        if old is not None and self.start == "carry":
            return QLearningState(x.copy(), _mask_table(mdp, old.table), np.minimum(old.visits, self.memory), _start(mdp), old.steps)
        size = decision_problem(mdp, mdp.follower_reward).reward.size
        return QLearningState(x.copy(), _mask_table(mdp, np.zeros(size)), np.zeros(size, dtype=np.int64), _start(mdp))

    def _train(self, mdp: MDP, learner: QLearningState, steps: int, limit: int, rng: np.random.Generator) -> QLearningState:
        """The state after ``steps`` more samples; the same in one call or in several."""
        gamma = mdp.follower_discount
        rate = 1 - gamma if self.rate is None else self.rate
        if not rate > 0:
            raise PlanningError("soft Q-learning with discount 1 needs a rate of its own, such as rate=0.1: its default, 1 - gamma, is 0")
        problem = decision_problem(mdp, mdp.follower_reward)
        table, visits, stream = learner.table.copy(), learner.visits.copy(), learner.stream.copy()
        successors, kernel = _rows_by_action(mdp)
        _fastest_loop()(
            table,
            visits,
            stream,
            np.ascontiguousarray(problem.weight),
            (mdp.sizes[1], mdp.sizes[2], limit, steps, mdp.kernel.stage_size),
            cumulative(mdp.initial),
            cumulative(mdp.leader_policy),
            kernel,
            successors,
            np.ravel(mdp.follower_reward),
            (gamma, self.temperature, rate, self.exploration),
            self.samples == "uniform",
            rng,
        )
        return QLearningState(learner.commitment, table, visits, stream, learner.steps + steps)

    def _response(self, mdp: MDP, learner: QLearningState, steps: int) -> Answer:
        problem = decision_problem(mdp, mdp.follower_reward)
        node_values, policy = softmax_backup(learner.table.reshape(problem.reward.shape), self.temperature)
        policy = broadcast_over_leader_actions(policy, mdp)
        gap = float(regret(mdp, policy, self.temperature).max())
        values = (problem.weight * node_values).sum(-1)
        return Answer(policy, values, gap, evaluations=0, planned_in=mdp, training_steps=steps, critic_updates=steps)


def _rows_by_action(mdp: MDP) -> tuple[np.ndarray, np.ndarray]:
    """Next states and cumulative probabilities with a row for each (s, a, b), s of one stage, also where actions share rows."""
    successors, cumulated, row_of = mdp.kernel.cumulative_successors()
    s, a, _ = mdp.sizes
    nodes = (mdp.kernel.stage_size or s) * a
    rows = (np.arange(nodes)[:, None] * (len(successors) // nodes) + row_of).ravel()
    return (successors, cumulated) if len(rows) == len(successors) else (successors[rows], cumulated[rows])


def _mask_table(mdp: MDP, table: np.ndarray) -> np.ndarray:
    """Q (S * N * B,), and -inf where an action is not available; 0 where it has become so."""
    there = available_at_nodes(mdp)
    known = np.where(table > -np.inf, table, 0.0)
    return known if there is None else np.where(np.ravel(there), known, -np.inf)


def _start(mdp: MDP) -> np.ndarray:
    """Before the start of an episode."""
    return np.array([mdp.sizes[0], 0])


def _fastest_loop() -> Callable[..., None]:
    """`soft_q_learning`, compiled if numba is there, to the same bits."""
    if not rollouts.COMPILED:
        return soft_q_learning
    from ..play import compiled

    return compiled.soft_q_learning


@dataclass(frozen=True)
class NaturalPolicyGradient(CheckedArguments):
    """The entropy-regularised natural policy gradient on softmax tables, with Q^g evaluated exactly at each step.

    Cen, Cheng, Chen, Wei, Chi, "Fast global convergence of natural policy gradient methods with entropy regularization", Operations
    Research 2022::

        g(b|n) <- g(b|n)^(1 - eta tau / (1 - gamma)) exp(eta Q^g(n,b) / (1 - gamma)), normalised

    for 0 < eta <= (1 - gamma) / tau; the errors of Q and of log g shrink by 1 - eta tau a step, and at the largest eta a step is one of
    soft policy iteration.  It is `MirrorDescent` with ``rate`` = eta / (1 - gamma - eta tau), which does the work.

    Args:
        temperature: tau, above 0.
        iterations: steps an answer; the ``budget`` of `respond` goes before it.
        eta: step size; None for the largest.
        start: from the last policy (``"carry"``) or from the uniform one (``"reset"``).
    """

    temperature: float
    iterations: int = 1
    eta: float | None = None
    start: Literal["carry", "reset"] = "carry"

    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        real("temperature of NaturalPolicyGradient", self.temperature, 0, open_low=True)
        whole("iterations of NaturalPolicyGradient", self.iterations, 1)
        if self.eta is not None:
            real("eta of NaturalPolicyGradient", self.eta, 0, open_low=True)

    @property
    def judge(self) -> Soft:
        """The exact follower to which it converges."""
        return Soft(self.temperature)

    def respond(
        self,
        game: StackelbergGame,
        x: Array,
        context: int | str = 0,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
        state: PolicyGradientState | None = None,
    ) -> Response:
        """Take ``budget`` (or ``iterations``) steps, and respond; see `stackelberg_envs.game.Follower.respond`.

        The certificate is a bound, that of `MirrorDescent`.

        Raises:
            PlanningError: for an ``eta`` above (1 - gamma) / tau, or followers who interact.
        """
        del rng
        steps = self.iterations if budget is None else whole("budget", budget, 1)
        problems = [world.tables_for(self) for world in game.problems(x, context)]
        continued = state is not None and (self.start == "carry" or _equal_arrays(state.commitment, x))
        before = state.log_policies if state is not None and continued else (None,) * len(problems)
        answers = tuple(
            replace(
                MirrorDescent(self.temperature, steps, self._mirror_descent_rate(mdp)).answer(mdp, old), planned_in=mdp, actor_updates=steps
            )
            for mdp, old in zip(problems, before, strict=True)
        )
        return Response(answers, state=PolicyGradientState(x, tuple(answer.memory for answer in answers)))

    def _mirror_descent_rate(self, mdp: MDP) -> float:
        """The equivalent rate of mirror descent: 1 / (1 + rate tau) = 1 - eta tau / (1 - gamma)."""
        left = 1 - mdp.follower_discount
        if self.eta is None:
            return float("inf")
        spare = left - self.eta * self.temperature
        if spare < -1e-12:
            raise PlanningError(
                f"the natural policy gradient converges for eta up to (1 - gamma) / tau, here {left / self.temperature:.6g}"
            )
        return self.eta / spare if spare > 1e-12 * left else float("inf")


@dataclass(frozen=True)
class PolicyGradientState:
    """The state of a natural policy gradient method."""

    commitment: Array
    """Under which they were taken."""
    log_policies: tuple[Array, ...]
    """At the nodes of each follower, (..., S, N, B)."""


def _equal_arrays(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool((one == other).all())
