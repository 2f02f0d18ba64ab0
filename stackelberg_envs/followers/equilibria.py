"""How followers answer who interact: an equilibrium among them, and which one is always an argument.

`Saddle` is for two followers with opposite interests, where the entropy-regularised equilibrium is unique.  `Nash` is for any
interests: there may be many equilibria, and selection among them is the many-player form of the tie rule of
`stackelberg_envs.followers.exact.Hard`.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from array_api_compat import array_namespace

from ..arguments import nearest, real
from ..planning.linear_systems import PlanningError
from ..planning.policy_iteration import TIE_TOLERANCE
from ..planning.saddle_point import saddle_point
from ..processes.arrays import Array
from ..processes.markov_game import MarkovGame
from ..response import Answer, Response

if TYPE_CHECKING:
    from ..game import StackelbergGame

LARGEST_KERNEL = 10**8
"""Numbers in a dense kernel for `Nash`: 800 MB."""
SELECTIONS = ("best", "worst", "payoff", "risk")


class Equilibrium(abc.ABC):
    """Followers of one Markov game who answer together: subclasses implement `answers`."""

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

    The certificate is the last Newton step; `stackelberg_envs.evaluation.Evaluation.duality_gap` measures the gap from outside.
    """

    temperature: float

    def __post_init__(self) -> None:
        real("the temperature of Saddle", self.temperature, 0, open_low=True)

    def answers(self, game: MarkovGame, memory: Any) -> tuple[Answer, ...]:
        found = saddle_point(game, self.temperature, warm=memory)
        both = zip(found.policies, (found.values, -found.values), strict=True)
        return tuple(Answer(policy, values, found.step, found.evaluations, memory=found.warm_start) for policy, values in both)


@dataclass(frozen=True)
class Nash(Equilibrium):
    """A subgame-perfect equilibrium in pure policies, by backward induction; for episodes that never come back to a state.

    In each state, from the last to the first, the followers' action values make a game in normal form.  Of its pure equilibria, found by
    enumeration, one is played:

    * ``"best"``, ``"worst"``: best or worst for the leader, by its own action values there (state by state: a better equilibrium of the
      whole game may begin with a worse one);
    * ``"payoff"``: with the largest sum of the followers' values;
    * ``"risk"``: with the largest product of what each would lose by deviating alone to the best of its other actions; for 2 x 2 games
      with two strict equilibria, risk dominance (Harsanyi and Selten, 1988).

    The first in row-major order is taken where that leaves several.  Where a state has no pure equilibrium, the profile with the
    smallest regret is played, and the certificate is the largest regret.
    """

    selection: Literal["best", "worst", "payoff", "risk"]
    temperature: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.selection not in SELECTIONS:
            raise ValueError(f"Nash has no selection {self.selection!r}; {nearest(str(self.selection), SELECTIONS)}")

    def answers(self, game: MarkovGame, memory: Any) -> tuple[Answer, ...]:
        del memory
        s, a, b = game.sizes
        if (numbers := s * a * b * s) > LARGEST_KERNEL:
            raise PlanningError(f"Nash solves stage games of dense rows, backwards, and there would be {numbers:.1e} numbers: too many")
        game = replace(game, transition=game.kernel.dense())
        xp = array_namespace(game.transition)
        if game.sizes[1] > 1 and game.follower_sees == "policy":
            raise PlanningError("Nash handles leaders who set rewards, or whose action the followers see")
        plain = game.map(lambda table: np.asarray(table.detach().cpu() if hasattr(table, "detach") else table))
        batch = np.broadcast_shapes(*(getattr(plain, name).shape[:-axes] for name, axes in _AXES.items()))
        each = replace(plain, **{name: _broadcast(getattr(plain, name), batch, axes) for name, axes in _AXES.items()})
        solved = [self._backward_induction(each.map(lambda table, at=at: table[at])) for at in np.ndindex(*batch)]
        answers = []
        for i in range(len(game.actions)):
            policy, v = np.stack([one[0][i] for one in solved]), np.stack([one[1][i] for one in solved])
            policy, v = (table.reshape(*batch, *table.shape[1:]) for table in (policy, v))
            moved = (xp.asarray(table, dtype=game.transition.dtype, device=game.transition.device) for table in (policy, v))
            answers.append(Answer(*moved, certificate=max(one[2] for one in solved)))
        return tuple(answers)

    def _backward_induction(self, game: MarkovGame) -> tuple[list[np.ndarray], np.ndarray, float]:
        """Policies (S, A, B_i), values (n, S) and the largest regret, of one game in NumPy."""
        s_count, a_count, _ = game.sizes
        values, worth, regret = np.zeros((len(game.actions), s_count)), np.zeros(s_count), 0.0
        policies = [np.zeros((s_count, a_count, b)) for b in game.actions]
        for s in _reverse_topological_order(game.transition):
            for a in range(a_count):
                arrives, shape = game.transition[s, a], (-1, *game.actions)
                q = (game.follower_rewards[:, s, a] + game.follower_discount * values @ arrives.T).reshape(shape)
                leader_q = (game.leader_reward[s, a] + game.leader_discount * arrives @ worth).reshape(game.actions)
                profile, lost = self._select(q, leader_q)
                regret = max(regret, lost)
                values[:, s] += game.leader_policy[s, a] * q[(slice(None), *profile)]
                worth[s] += game.leader_policy[s, a] * leader_q[profile]
                for policy, b in zip(policies, profile, strict=True):
                    policy[s, a, b] = 1.0
        return policies, values, regret

    def _select(self, q: np.ndarray, leader_q: np.ndarray) -> tuple[tuple[int, ...], float]:
        """The profile that is played in a stage game with payoffs (n, B_0, ..., B_{n-1}), and its regret."""
        players = range(len(q))
        regrets = np.stack([q[i].max(axis=i, keepdims=True) - q[i] for i in players]).max(axis=0)
        tolerance = TIE_TOLERANCE * (1 + np.abs(q).max())
        if regrets.min() > tolerance:
            profile = np.unravel_index(int(regrets.argmin()), regrets.shape)
            return tuple(map(int, profile)), float(regrets.min())
        scores: dict[str, Any] = {
            "best": lambda: leader_q,
            "worst": lambda: -leader_q,
            "payoff": lambda: q.sum(axis=0),
            "risk": lambda: np.prod([_loss_of_deviating(q[i], i) for i in players], axis=0),
        }
        score = np.where(regrets <= tolerance, scores[self.selection](), -np.inf)
        first = np.flatnonzero(score.ravel() >= score.max() - TIE_TOLERANCE * (1 + abs(score.max())))[0]
        return tuple(map(int, np.unravel_index(int(first), regrets.shape))), float(regrets.ravel()[first])


_AXES = {"leader_policy": 2, "transition": 4, "follower_rewards": 4, "leader_reward": 3, "initial": 1}


def _broadcast(table: np.ndarray, batch: tuple[int, ...], axes: int) -> np.ndarray:
    return np.broadcast_to(table, (*batch, *table.shape[-axes:]))


def _loss_of_deviating(q: np.ndarray, player: int) -> np.ndarray:
    """What a player loses by the best of its other actions, in each profile; 0 where it gains, or has no other."""
    if q.shape[player] == 1:
        return np.zeros_like(q)
    others = np.stack([np.delete(q, b, axis=player).max(axis=player) for b in range(q.shape[player])], axis=player)
    return np.maximum(q - others, 0.0)


def _reverse_topological_order(transition: np.ndarray) -> list[int]:
    """The states in an order in which each comes after all that may follow it.

    Raises:
        PlanningError: if a state can be reached again.
    """
    follows = np.any(transition > 0, axis=(1, 2))
    remaining, order = np.ones(transition.shape[0], dtype=bool), []
    while remaining.any():
        last = remaining & ~(follows & remaining).any(axis=1)
        if not last.any():
            raise PlanningError("Nash goes backwards from the end of an episode, and in this game a state can be reached again")
        order += np.flatnonzero(last).tolist()
        remaining &= ~last
    return order
