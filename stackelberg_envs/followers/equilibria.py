"""Followers who interact respond with an equilibrium; which equilibrium is always an argument.

`Saddle` is for two followers with opposite interests, where the entropy-regularised equilibrium is unique.  `Nash` is for any
interests: there may be many equilibria, pure or mixed, and selection among them is the many-player form of the tie rule of
`stackelberg_envs.followers.exact.Hard`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..arguments import CheckedArguments, real
from ..planning.backward_induction import reverse_topological_order
from ..planning.hard_policy_iteration import TIE_TOLERANCE
from ..planning.linear_systems import PlanningError
from ..planning.normal_form import action_worths, losses_of_deviating, mixed_equilibria, pure_equilibria, regrets
from ..planning.saddle_point import saddle_point
from ..planning.soft_nash import soft_nash
from ..processes.arrays import Array, array_namespace
from ..processes.availability import available_to
from ..processes.markov_game import MarkovGame
from ..processes.mdp import at_nodes, broadcast_over_leader_actions, decision_problem
from ..processes.transitions import map_numbers, numbers_of
from ..response import Answer, Response

if TYPE_CHECKING:
    from ..game import StackelbergGame

LARGEST_KERNEL = 10**8
"""Numbers in a dense kernel for `Nash`: 800 MB."""


class Equilibrium(CheckedArguments, abc.ABC):
    """Followers of one Markov game who respond together: subclasses implement `answers`."""

    temperature: float

    @abc.abstractmethod
    def answers(self, game: MarkovGame, memory: Any) -> tuple[Answer, ...]:
        """One answer a follower; ``memory`` is that of the first one's previous answer, or None."""

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
        """See `stackelberg_envs.game.Follower.respond`.

        Raises:
            PlanningError: if the game's followers do not interact.
        """
        del budget, rng
        process = game.problems(x, context)[0].markov_game_for(self)
        answers = self.answers(process, state)
        policies = tuple(answer.policy for answer in answers)
        planned = [process.facing(i, policies, self.temperature) for i in range(len(answers))]
        answers = tuple(replace(answer, planned_in=mdp) for answer, mdp in zip(answers, planned, strict=True))
        return Response(answers, state=answers[0].memory)


@dataclass(frozen=True)
class Saddle(Equilibrium):
    """The unique saddle point of a zero-sum Markov game with both entropies at ``temperature``; see `planning.saddle_point`.

    The certificate is the last Newton step; `stackelberg_envs.evaluation.Evaluation.duality_gap` measures the gap independently.
    """

    temperature: float

    def __post_init__(self) -> None:
        real("the temperature of Saddle", self.temperature, 0, open_low=True)

    def answers(self, game: MarkovGame, memory: Any) -> tuple[Answer, ...]:
        found = saddle_point(game, self.temperature, warm=memory)
        both = zip(found.policies, (found.values, -found.values), strict=True)
        return tuple(Answer(policy, values, found.step, found.evaluations, memory=found.warm_start) for policy, values in both)


@dataclass(frozen=True)
class SoftNash(Equilibrium):
    """The entropy-regularised Markov-perfect equilibrium, each follower's entropy at ``temperature``; see `planning.soft_nash`.

    It is for any interests that are not declared opposite, and for episodes without end.  Where there are several equilibria, the one on
    the principal branch is played, which is followed from high temperatures; in a symmetric game it is symmetric.  The certificate bounds
    what anybody could gain by deviating alone, in any state.

    Args:
        temperature: tau > 0.

    Raises:
        PlanningError: when asked, where the discount is 1, or the branch cannot be followed down to the temperature.
    """

    temperature: float

    def __post_init__(self) -> None:
        real("the temperature of SoftNash", self.temperature, 0, open_low=True)

    def answers(self, game: MarkovGame, memory: Any) -> tuple[Answer, ...]:
        del memory
        return answers_of_each(game, self._solve)

    def _solve(self, game: MarkovGame) -> tuple[Any, Any, float, int]:
        plan = soft_nash(game, self.temperature)
        policies = [broadcast_over_leader_actions(policy, game.joint) for policy in plan.policies]
        return policies, np.asarray(plan.values), plan.certificate, plan.evaluations


@dataclass(frozen=True)
class Nash(Equilibrium):
    """A subgame-perfect equilibrium, by backward induction, for episodes in which no state is visited twice, or that end after one move.

    In each state, from the last to the first, the followers' action values make a game in normal form, for each action of the leader that
    they see, or in the mean over its policy.  Of the equilibria of that game (`stackelberg_envs.planning.normal_form`) one is played:

    * ``"best"``, ``"worst"``: best or worst for the leader, by its own action values there (state by state: a better equilibrium of the
      whole game may begin with a worse one);
    * ``"payoff"``: with the largest sum of the followers' values, their welfare;
    * ``"risk"``: with the largest product of what each would lose by deviating alone to the best of its other actions; for 2 x 2 games
      with two strict equilibria, risk dominance (Harsanyi and Selten, 1988).  Where somebody mixes the product is 0;
    * ``"first"``: the first, pure ones in row-major order, mixed ones by the size of their supports.

    The first is taken where that leaves several.  The choice is among pure equilibria where there are any, unless ``mixed``; two
    followers mix where there is none.  The certificate bounds what anybody could gain by deviating; it is rounding.

    Args:
        selection: which equilibrium.
        mixed: whether two followers choose among mixed equilibria, too, where there are pure ones.

    Raises:
        PlanningError: when asked, where a state can be reached again; where more than two followers have no pure equilibrium, naming the
            least regret of any profile; or where supports are too many to enumerate.
    """

    selection: Literal["best", "worst", "payoff", "risk", "first"]
    mixed: bool = False
    temperature: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mixed", bool(self.mixed))  # NumPy's are written otherwise

    def __repr__(self) -> str:
        return f"Nash(selection={self.selection!r}, {'mixed=True, ' if self.mixed else ''}temperature={self.temperature})"  # old runs too

    def answers(self, game: MarkovGame, memory: Any) -> tuple[Answer, ...]:
        del memory
        s, a, b = game.sizes
        if (numbers := s * a * b * s) > LARGEST_KERNEL:
            raise PlanningError(f"Nash solves stage games of dense rows, backwards, and there would be {numbers:.1e} numbers: too many")
        if self.mixed and len(game.actions) > 2:
            raise PlanningError(f"Nash(mixed=True) is for two followers, and here {len(game.actions)} interact: leave mixed out")
        return answers_of_each(replace(game, transition=game.kernel.dense()), self._backward_induction)

    def alternatives(self, q: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """The equilibria among which ``selection`` chooses where pure ones are not enough, of stage payoffs (n, B_0, ..., B_{n-1}).

        Raises:
            PlanningError: if there are more than two followers.
        """
        if len(q) == 2:
            return list(mixed_equilibria(q))
        least = regrets(q).max(axis=0).min()
        raise PlanningError(
            f"{len(q)} followers have no pure equilibrium here: in each profile one of them gains at least {least:.6g} by deviating; "
            "mixed ones are found for two followers"
        )

    def _backward_induction(self, game: MarkovGame) -> tuple[list[np.ndarray], np.ndarray, float, int]:
        """Policies (S, A, B_i), values (n, S), a bound of what anybody could gain, and 1, of one game in NumPy."""
        joint, (s_count, a_count, _), players = game.joint, game.sizes, range(len(game.actions))
        facing = decision_problem(joint, joint.leader_reward)
        rewards = np.stack([at_nodes(joint, reward) for reward in game.follower_rewards])
        there = np.ones(facing.reward.shape, dtype=bool) if facing.available is None else facing.available
        kept = [available_to(there, game.actions, i) for i in players]
        rows = np.asarray(facing.transition.dense())
        values, worth, bound = np.zeros((len(players), s_count)), np.zeros(s_count), np.zeros(s_count)
        policies = [np.zeros((*facing.weight.shape, b)) for b in game.actions]
        for s in reverse_topological_order(game.transition):
            for n, weight in enumerate(facing.weight[s]):
                arrives = rows[s, n]
                own = np.ix_(*(each[s, n] for each in kept))
                q = (rewards[:, s, n] + game.follower_discount * values @ arrives.T).reshape(-1, *game.actions)[:, *own]
                leader_q = (facing.reward[s, n] + game.leader_discount * arrives @ worth).reshape(game.actions)[own]
                mixtures = self._select(q, leader_q)
                each_worth = [action_worths(q[i], mixtures, i) for i in players]
                gained = max(float(each.max() - own @ each) for own, each in zip(mixtures, each_worth, strict=True))
                bound[s] += weight * (gained + game.follower_discount * (arrives @ bound).max())
                values[:, s] += weight * np.array([own @ each for own, each in zip(mixtures, each_worth, strict=True)])
                worth[s] += weight * float(mixtures[0] @ action_worths(leader_q, mixtures, 0))
                for policy, own, each in zip(policies, mixtures, kept, strict=True):
                    policy[s, n, each[s, n]] = own
        return [np.broadcast_to(policy, (s_count, a_count, policy.shape[-1])) for policy in policies], values, float(bound.max()), 1

    def _select(self, q: np.ndarray, leader_q: np.ndarray) -> tuple[np.ndarray, ...]:
        """The mixtures, one a follower, that are played in a stage game with payoffs (n, B_0, ..., B_{n-1})."""
        scores: dict[str, Any] = {
            "best": lambda: leader_q,
            "worst": lambda: -leader_q,
            "payoff": lambda: q.sum(axis=0),
            "risk": lambda: np.prod([losses_of_deviating(table, i) for i, table in enumerate(q)], axis=0),
            "first": lambda: np.zeros(leader_q.shape),
        }
        table, pure = scores[self.selection](), pure_equilibria(q)
        if pure.any() and not self.mixed:
            profile = np.argwhere(pure)[_first_of_the_largest(table[pure])]
            return tuple(np.eye(count)[b] for count, b in zip(pure.shape, profile, strict=True))
        found = self.alternatives(q)
        risky = self.selection == "risk"
        each = [0.0 if risky and min(u.max() for u in one) < 1 else float(one[0] @ action_worths(table, one, 0)) for one in found]
        return found[_first_of_the_largest(np.array(each))]


def _first_of_the_largest(scores: np.ndarray) -> int:
    best = scores.max()
    return int(np.flatnonzero(scores >= best - TIE_TOLERANCE * (1 + abs(best)))[0])


_AXES = {"leader_policy": 2, "transition": 4, "follower_rewards": 4, "leader_reward": 3, "initial": 1, "available": 3}


def answers_of_each(game: MarkovGame, solve: Callable[[MarkovGame], tuple[Any, Any, float, int]]) -> tuple[Answer, ...]:
    """The answers of all followers in each game of a batch, in the arrays of ``game``, by ``solve`` in NumPy without batch axes.

    Args:
        game: with batch axes or without.
        solve: gives policies (S, A, B_i) of each follower, their values (n, S), a certificate, and how many evaluations it took.
    """
    numbers = numbers_of(game.transition)
    xp = array_namespace(numbers)
    plain = game.map(lambda table: np.asarray(table.detach().cpu() if hasattr(table, "detach") else table))
    axes = {name: count for name, count in _AXES.items() if getattr(plain, name) is not None}
    batch = np.broadcast_shapes(*(getattr(plain, name).shape[:-count] for name, count in axes.items()))
    each = replace(plain, **{name: _broadcast(getattr(plain, name), batch, count) for name, count in axes.items()})
    solved = [solve(each.map(lambda table, at=at: table[at])) for at in np.ndindex(*batch)]
    answers = []
    for i in range(len(game.actions)):
        policy, v = np.stack([one[0][i] for one in solved]), np.stack([one[1][i] for one in solved])
        policy, v = (table.reshape(*batch, *table.shape[1:]) for table in (policy, v))
        moved = (xp.asarray(table, dtype=numbers.dtype, device=numbers.device) for table in (policy, v))
        answers.append(Answer(*moved, certificate=max(one[2] for one in solved), evaluations=max(one[3] for one in solved)))
    return tuple(answers)


def _broadcast(table: Any, batch: tuple[int, ...], axes: int) -> Any:
    return map_numbers(lambda numbers: np.broadcast_to(numbers, (*batch, *numbers.shape[-axes:])), table)
