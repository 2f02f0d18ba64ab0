"""Two followers who interact and learn, each from its own reward alone: what they come to is no equilibrium that anybody chose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ..arguments import CheckedArguments, real, whole
from ..planning.hard_policy_iteration import hard_policy_iteration
from ..planning.linear_systems import PlanningError
from ..planning.policy_evaluation import policy_value
from ..play import rollouts
from ..play.independent_q_learning import independent_q_learning
from ..processes.inverse_cdf import cumulative
from ..processes.markov_game import MarkovGame
from ..processes.mdp import MDP, decision_problem
from ..response import Answer, Response
from .equilibria import SoftNash

if TYPE_CHECKING:
    from ..game import StackelbergGame


JUDGE = SoftNash(0.01)
"""By whom commitments are scored, unless another is named."""


@dataclass(frozen=True)
class IndependentLearners:
    """Two Q-learners under one commitment."""

    commitment: np.ndarray
    """Under which they learn."""
    tables: tuple[np.ndarray, np.ndarray]
    """Q of each, (S, B_i)."""
    visits: np.ndarray
    """How often each joint action was played in each state since the last answer, integers (S, B)."""
    stream: np.ndarray
    """The state in which they stand, S before a start; periods under this commitment; and periods since a greedy action changed, (3,)."""

    @property
    def periods(self) -> int:
        """How long they have learned under this commitment."""
        return int(self.stream[1])


@dataclass(frozen=True)
class IndependentQLearning(CheckedArguments):
    """Two tabular Q-learners with decaying exploration, who learn at once and do not know of each other.

    Calvano, Calzolari, Denicolo and Pastorello, "Artificial intelligence, algorithmic pricing, and collusion", AER 2020, whose constants
    are the defaults.  In period t each of them takes an even action with probability exp(-decay t), else the first of those with the
    largest Q, and then::

        Q_i(s,b_i) <- (1 - rate) Q_i(s,b_i) + rate (r_i(s,b) + gamma max_b' Q_i(s',b'))

    They begin with the discounted reward against an even opponent in each state, and stop when the greedy actions of both have been the
    same in all states for ``patience`` periods.  The stream of periods is endless: it starts again only where an episode ends.  They
    respond with their greedy actions, which depend on the noise: report them as a distribution over seeds.

    The certificate of an answer is its exact exploitability: the most that one of them could gain in any state by a best response to the
    greedy actions of the other.

    Args:
        rate: alpha, above 0 and at most 1.
        decay: beta, of exploration, at least 0.
        steps: periods an answer, at most; the ``budget`` of `respond` goes before it.
        patience: periods without a change after which they have converged.
        start: what a new commitment finds: untrained tables (``"reset"``), or the last ones (``"carry"``), with exploration begun anew.
        judge: the equilibrium by which commitments are scored in a run.
    """

    rate: float = 0.15
    decay: float = 4e-6
    steps: int = 10_000_000
    patience: int = 100_000
    start: Literal["reset", "carry"] = "reset"
    judge: SoftNash = JUDGE
    temperature: float = field(default=0.0, init=False)

    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        real("rate of IndependentQLearning", self.rate, 0, 1, open_low=True)
        real("decay of IndependentQLearning", self.decay, 0)
        whole("steps of IndependentQLearning", self.steps, 0)
        whole("patience of IndependentQLearning", self.patience, 1)

    def respond(
        self,
        game: StackelbergGame,
        x: np.ndarray,
        context: int | str = 0,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
        state: IndependentLearners | None = None,
    ) -> Response:
        """Learn for ``budget`` (or ``steps``) periods at most, and respond; see `stackelberg_envs.game.Follower.respond`.

        Without ``rng``, the noise is that of seed 0.

        Raises:
            PlanningError: if there are not two who interact, the leader acts in a step, actions are masked, or commitments are a batch.
        """
        before = 0 if state is None or not np.array_equal(state.commitment, x) else state.periods
        process, after = self._learn(game, x, context, self.steps if budget is None else whole("budget", budget, 0), rng, state)
        policies = [np.eye(table.shape[1])[table.argmax(-1)][:, None, :] for table in after.tables]
        faced = [process.facing(i, policies) for i in range(2)]
        answers = tuple(
            Answer(
                policy,
                table.max(-1),
                _exploitability(mdp, policy),
                evaluations=0,
                planned_in=mdp,
                training_steps=after.periods - before,
                critic_updates=after.periods - before,
            )
            for policy, table, mdp in zip(policies, after.tables, faced, strict=True)
        )
        return Response(answers, state=after)

    def learn(
        self,
        game: StackelbergGame,
        x: np.ndarray,
        context: int | str = 0,
        *,
        periods: int,
        rng: np.random.Generator,
        state: IndependentLearners | None = None,
    ) -> IndependentLearners:
        """The learners after ``periods`` more, or fewer if they converge: what `respond` does, without an answer and its certificate."""
        return self._learn(game, x, context, whole("periods", periods, 0), rng, state)[1]

    def _learn(
        self,
        game: StackelbergGame,
        x: np.ndarray,
        context: int | str,
        periods: int,
        rng: np.random.Generator | None,
        state: IndependentLearners | None,
    ) -> tuple[MarkovGame, IndependentLearners]:
        """(the Markov game, the learners after so many periods)."""
        if not isinstance(x, np.ndarray) or x.ndim != 1:
            raise PlanningError(f"{self!r} learns one commitment at a time, a NumPy array of one axis; got {type(x).__name__} of {x.shape}")
        process = game.problems(x, context)[0].markov_game_for(self)
        if len(process.actions) != 2 or process.sizes[1] > 1 or process.available is not None:
            raise PlanningError(
                f"IndependentQLearning is for two followers who have all their actions, and a leader that does not act in a step; here "
                f"{len(process.actions)} interact, the leader has {process.sizes[1]} actions, and "
                f"{'all' if process.available is None else 'not all'} actions are available"
            )
        noise = np.random.default_rng(0) if rng is None else rng
        return process, self._train(process, self._initial_state(process, x, state), periods, noise)

    def _initial_state(self, process: MarkovGame, x: np.ndarray, old: IndependentLearners | None) -> IndependentLearners:
        """The state in which learning under commitment ``x`` begins, or goes on."""
        if old is not None and np.array_equal(old.commitment, x):
            return old
        s, _, b = process.sizes
        gamma = process.follower_discount
        if old is not None and self.start == "carry":
            tables = old.tables
        elif gamma < 1:
            rewards = process.follower_rewards.reshape(2, s, *process.actions)
            tables = rewards[0].mean(-1) / (1 - gamma), rewards[1].mean(-2) / (1 - gamma)
        else:
            raise PlanningError("IndependentQLearning begins with discounted rewards, and the discount of this game is 1")
        return IndependentLearners(x.copy(), tables, np.zeros((s, b), dtype=np.int64), np.array([s, 0, 0]))

    def _train(self, process: MarkovGame, learners: IndependentLearners, periods: int, rng: np.random.Generator) -> IndependentLearners:
        """The state after ``periods`` more, or fewer if they converge; the same in one call or in several."""
        successors, kernel, row_of = process.kernel.cumulative_successors()
        s, _, b = process.sizes
        rows = (np.arange(s)[:, None] * (len(successors) // s) + row_of).ravel()
        first, second = (np.array(table) for table in learners.tables)
        visits, stream = np.zeros(s * b, dtype=np.int64), learners.stream.copy()
        _fastest_loop()(
            (first, second),
            visits,
            stream,
            periods,
            cumulative(process.initial),
            kernel[rows],
            successors[rows],
            np.ascontiguousarray(process.follower_rewards).reshape(2, -1),
            (self.rate, self.decay, process.follower_discount),
            self.patience,
            rng,
        )
        return IndependentLearners(learners.commitment, (first, second), visits.reshape(s, b), stream)


def _exploitability(mdp: MDP, policy: np.ndarray) -> float:
    """The most that a better policy would gain in any state of what one follower faces."""
    best = hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount).values
    return max(0.0, float((best - policy_value(mdp, policy, mdp.follower_reward, mdp.follower_discount)).max()))


def _fastest_loop() -> Callable[..., int]:
    """`independent_q_learning`, compiled if numba is there, to the same bits."""
    if not rollouts.COMPILED:
        return independent_q_learning
    from ..play import compiled

    return compiled.independent_q_learning
