"""The repeated game behind a solver's run: rounds of commit, respond, outcome and ledger.

One round is: commit (frozen until the next commitment), respond (the follower, out of the leader's sight), outcome (at the leader's
level, see `stackelberg_envs.leader.access`), ledger.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arguments import whole
from ..commitments import CommitmentError
from ..game import Follower, StackelbergGame, follower_of, group_by_world, learns
from ..optional import PIECES
from ..play.outcomes import Outcome, concatenate_episodes
from ..play.trajectories import Trajectories
from ..processes.arrays import Array
from ..processes.inverse_cdf import DEFICIT_TOLERANCE, draw
from ..response import Response
from ..worlds.base import World
from .access import GRANTS, OF_LEARNERS, Access, AccessError, Cost, Oracle, Permission, Snapshot, missing_access


@dataclass
class RepeatedGame:
    """One run: the game, the follower, the noise and the ledger, out of the solver's reach.  Picklable, so that runs can be resumed.

    Args:
        game: the world that produces outcomes.
        follower: who answers; the game's default follower if None.
        seed: of the outcomes' noise, and of that of followers who learn, each a stream of its own.
        cost: the ledger so far.
        believed: (game, follower) that the leader takes for this one; None for the truth.  What an oracle says about the world and the
            follower (discounts of followers, temperature, incentives, costs, the model) is of these, and what is played, read or returned
            is of the true ones.  A follower of None is the believed game's default.
        measured: whether telemetry is wanted: methods may then compute the parts of their gradients too, and nothing else changes.

    Raises:
        ValueError: if the believed game has other spaces, contexts or commitments.
    """

    game: StackelbergGame
    follower: Follower | None = None
    seed: int = 0
    cost: Cost = field(default_factory=Cost)
    believed: tuple[StackelbergGame, Follower | None] | None = None
    measured: bool = False

    def __post_init__(self) -> None:
        self.follower = follower_of(self.game, self.follower)
        self.model, self._model_follower = self.game, self.follower
        if self.believed is not None:
            self.model, given = self.believed
            self._model_follower = follower_of(self.model, given)
            facts = [(g.spaces, g.contexts, g.visibility, g.commitment_shape, g.groups) for g in (self.game, self.model)]
            if facts[0] != facts[1]:
                raise ValueError(
                    f"a leader in {self.game.name} cannot take it for {self.model.name} with {self._model_follower!r}: spaces, contexts, "
                    "what followers see, and commitments must be the same"
                )
        self._rng = np.random.default_rng([self.seed, 0x0AC1E])
        self._training_rng = np.random.default_rng([self.seed, 0x7EAC4])
        self._commitment: np.ndarray | None = None
        self._committed_worlds: dict[int, tuple[World, ...]] = {}
        self._responses: dict[int, Response] = {}
        self._training: dict[int, Any] = {}
        self._snapshots: list[dict[int, Any]] = []
        self._pace = float(self.game.max_cycles)
        """Steps of an episode, on average, when last seen: how many to play to fill a stream."""

    def oracle(self, access: Access, permissions: Permission = Permission.NONE) -> Oracle:
        """The solver's handle at a level; closures only, so that it does not contain the rest."""
        game, model, follower = self.game, self.model, self._model_follower
        problems, believed = game.null_worlds, model.null_worlds
        probabilities = np.array(game.context_probabilities)
        probabilities.flags.writeable = False
        granted: dict[str, Any] = {
            "dimension": game.dimension,
            "commitment_shape": game.commitment_shape,
            "leader_space": copy.deepcopy(game.leader_space),
            "contexts": game.contexts,
            "context_probabilities": probabilities,
            "context_visibility": game.context_visibility,
            "followers": game.followers,
            "tabular": game.tabular,
            "sizes": game.sizes if game.tabular else (),
            "spaces": copy.deepcopy(game.spaces),
            "closed_forms": game.closed_forms,
            "crowd": game.crowd,
            "max_cycles": game.max_cycles,
            "groups": game.groups,
            "leader_discount": problems[0].leader_discount,
            "follower_discounts": tuple(process.follower_discount for process in believed for _ in process.actions),
            "follower_sees": game.visibility,
            "available": self._available(),
            "follower_actions_public": game.follower_actions_public,
            "additive": game.additive,
            "smooth": game.smooth,
            "saturation": game.saturation,
            "measured": self.measured,
            "charge": _closure(self._charge),
        }
        facts: dict[str, Callable[[], Any]] = {
            "temperature": lambda: getattr(follower, "temperature"),  # noqa: B009 - set in __post_init__
            "follower": lambda: follower,
            "learns": lambda: self.follower is not None and learns(self.follower),
        }
        for name in GRANTS:
            if not missing_access(name, access, permissions):
                granted[name] = facts[name]() if name in facts else _closure(getattr(model if name in PIECES else self, name))
        return Oracle(granted, access, permissions)

    def _available(self) -> tuple[tuple[np.ndarray | None, ...], ...]:
        """Which actions each follower has, context by context, under the null commitment."""
        game, zero = self.game, np.zeros(self.game.dimension)
        if not game.masked:
            return ((None,) * game.followers,) * len(game.contexts)
        worlds = [game.problems(zero, context) for context in range(len(game.contexts))]
        masks = [[world.available_actions(i) for world in each for i in range(len(world.actions))] for each in worlds]
        return tuple(tuple(None if mask is None else _copy(mask) for mask in each) for each in masks)

    def returns(self, x: Array, *, episodes: int | None = None) -> float:
        """The leader's return: expected over everything (``episodes=None``), or the mean over sampled episodes of `play`.

        In worlds without tables or closed forms the expectation is the mean over 2,000 episodes of the run's own, which nobody watches and
        which are not charged; the referee plays others.

        Raises:
            ValueError: for sampled episodes of a game whose objective is not additive: their steps do not show it.
        """
        if episodes is not None:
            if not self.game.additive:
                raise ValueError(
                    f"{self.game.name}: its objective is no sum over steps, and played episodes do not show it; leave episodes out"
                )
            return float(self.play(x, episodes=episodes).leader_returns(self._leader_discount).mean())
        self._commit(x)
        self.cost.queries += 1
        return float(sum(p * self._expected_return(context) for context, p in enumerate(self.game.context_probabilities)))

    def returns_in_one_context(self, xs: Sequence[Array]) -> np.ndarray:
        """The leader's expected returns (K,) from several commitments in one context, which nature draws and the leader does not see."""
        points = [self._check_commitment(x) for x in xs]
        if not points:
            raise ValueError("returns_in_one_context compares commitments, and got none")
        (context,) = self._contexts(1, one_context=True)
        returns = []
        for x in points:
            self._commit(x)
            self.cost.queries += 1
            returns.append(self._expected_return(int(context)))
        return np.array(returns)

    def _expected_return(self, context: int) -> float:
        assert self._commitment is not None
        # Episodes with another seed than the referee's: who learns from returns must not fit the referee's luck.
        return float(self.game.objective(self._worlds(context), self._respond(context).policies, seed=self.seed + 1))

    def play(self, x: Array, *, episodes: int = 1, horizon: int | np.ndarray | None = None, one_context: bool = False) -> Outcome:
        """Commit to ``x`` and watch ``episodes`` for ``horizon`` steps: one number (the game's ``max_cycles``) or integers (N,).

        Each episode has a context of its own or, with ``one_context``, nature draws one for all.
        """
        whole("episodes", episodes, 1)
        limits = self._limits(horizon, episodes)
        self._commit(x)
        contexts = self._contexts(episodes, one_context)
        return self._charge_and_censor(self._outcome(contexts, self._play(contexts, limits)))

    def play_streams(self, x: Array, *, streams: int, steps: int, one_context: bool = False) -> Outcome:
        """Commit to ``x`` and watch ``streams`` of ``steps`` steps: a new episode begins where one ends, and the last one is cut."""
        self._require_tables("streams of steps")
        whole("streams", streams, 1)
        whole("steps", steps, 1)
        whole("max_cycles of the game", self.game.max_cycles, 1)
        self._commit(x)
        contexts, pieces, played = np.zeros(0, dtype=np.int64), [], 0
        while True:
            count = 1 + int(1.1 * max(streams * steps - played, steps // 8) / self._pace)
            more = np.full(count, contexts[0]) if one_context and len(contexts) else self._contexts(count, one_context)
            pieces += self._play(more, self._limits(None, count), offset=len(contexts))
            contexts = np.concatenate([contexts, more])
            outcome = self._outcome(contexts, pieces)
            played, self._pace = outcome.steps, outcome.steps / len(contexts)
            streamed = concatenate_episodes(outcome, streams, steps, self._end_states)
            if streamed is not None:
                return self._charge_and_censor(streamed)

    def play_from(
        self, x: Array, context: int, states: np.ndarray, *, actions: np.ndarray | None = None, horizon: int | np.ndarray | None = None
    ) -> Outcome:
        """`play` in one context, with followers starting in chosen ``states``, perhaps with chosen first ``actions``, integers (N, n).

        A follower that starts in state S (the end) takes no step; those who interact share their state.
        """
        index = self.game.context_index(context)
        self._require_tables("chosen first states")
        sizes = np.array(self.game.sizes)
        states = _indices("states", states, sizes[:, 0] + 1)
        chosen = None if actions is None else _indices("actions", actions, sizes[:, 2])
        if chosen is not None and chosen.shape != states.shape:
            raise ValueError(f"states and actions have one shape, got {states.shape} and {chosen.shape}")
        if any((states[:, group] != states[:, group[:1]]).any() for group in self.game.groups):
            raise ValueError("followers who interact share their state; their columns of states must agree")
        limits = self._limits(horizon, len(states))
        self._commit(x)
        contexts = np.full(len(states), index)
        return self._charge_and_censor(self._outcome(contexts, self._play(contexts, limits, states=states, actions=chosen)))

    def play_as(
        self, x: Array, policies: Sequence[Array], context: int | str = 0, *, episodes: int = 1, horizon: int | None = None
    ) -> tuple[Outcome, np.ndarray]:
        """`play` in one context with followers who act by ``policies``, g(b|s,a) (S, A, B) each, as whoever trains them may let them.

        A trainer sees the actions that it steers, also in games that hide what followers do of their own accord; never-visible contexts
        stay hidden.  The steps are charged as ``training_steps``, and not as ``outcome_steps``.

        Returns:
            The outcome, and the followers' own rewards (N, n, T), without entropy bonus.

        Raises:
            ValueError: if these are no policies (probabilities of the right shapes) that the followers could have.
        """
        index = self.game.context_index(context)
        self._require_tables("given policies")
        whole("episodes", episodes, 1)
        limits, given = self._limits(horizon, episodes), self._check_policies(policies)
        self._commit(x)
        contexts = np.full(episodes, index)
        pieces = self._play(contexts, limits, policies=given)
        outcome = self._outcome(contexts, pieces)
        earned = np.zeros(outcome.alive.shape)
        for rows, i, played in pieces:
            earned[rows, i, : played.follower_rewards.shape[1]] = played.follower_rewards
        self.cost.training_steps += outcome.steps
        return self._without_context(outcome), earned

    def _check_policies(self, policies: Sequence[Array]) -> list[np.ndarray]:
        """Policies as arrays of the followers' sizes; one that only sees the leader's policy does not depend on its action."""
        given = [np.asarray(policy.detach().cpu() if hasattr(policy, "detach") else policy, dtype=np.float64) for policy in policies]
        shapes = [(s, signals or a, b) for (s, a, b), signals in zip(self.game.sizes, self.game.signals, strict=True)]
        if [policy.shape for policy in given] != shapes:
            seen = "(S, K, B)" if any(self.game.signals) else "(S, A, B)"
            raise ValueError(f"policies have shapes {seen} = {shapes}, got {[policy.shape for policy in given]}")
        if not all((policy >= 0).all() and (np.abs(policy.sum(-1) - 1) <= DEFICIT_TOLERANCE).all() for policy in given):
            raise ValueError("policies have rows of non-negative numbers that sum to 1")
        for policy, sees in zip(given, self.game.visibility, strict=True):
            if sees == "policy" and np.ptp(policy, axis=1).max() > 0:
                raise ValueError("a follower that sees the leader's policy, and not its action, cannot act by it")
        return given

    def policies(self, x: Array, context: int | str = 0) -> tuple[Array, ...]:
        """g(b|s,a) of each follower under ``x`` in ``context``: tables or, without, a `stackelberg_envs.processes.sampled.Actor`."""
        index = self.game.context_index(context)
        self._commit(x)
        self.cost.queries += 1
        return tuple(_copy(policy) for policy in self._respond(index).policies)

    def values(self, x: Array, context: int | str = 0) -> tuple[Array, ...]:
        """The values (S,) that each follower planned with, under ``x`` in ``context``; without tables, functions of (states, leads)."""
        index = self.game.context_index(context)
        self._commit(x)
        self.cost.queries += 1
        return tuple(_copy(answer.values) for answer in self._respond(index).answers)

    def action_values(self, x: Array, context: int | str = 0) -> tuple[Array, ...]:
        """r_F(s,a,b) + gamma E V(s'), (S, A, B), of each follower, as it planned under ``x``; not averaged over the leader's action."""
        self._require_tables("action values")
        index = self.game.context_index(context)
        self._commit(x)
        self.cost.queries += 1
        return tuple(answer.action_values for answer in self._respond(index).answers)

    def commit(self, x: Array, context: int | str = 0) -> tuple[Any, ...]:
        """What the followers face, one entry a process (see `StackelbergGame.problems`); differentiable in ``x``."""
        index = self.game.context_index(context)
        self._commit(x)
        self.cost.model_calls += 1
        return self.model.problems(self.model.for_context(x, index), index)

    def objective(self, problems: Sequence[World], policies: Sequence[Array]) -> Array:
        """The leader's exact F in one context, for what `commit` returned and any policies (S, A, B), one a follower; differentiable."""
        self.cost.queries += 1
        return self.model.objective(problems, policies)

    def train(self, x: Array, context: int | str, steps: int) -> None:
        """Commit to ``x``, and let followers who learn train for ``steps`` more in ``context``.

        Until the next commitment, or more training, they act by what they have learned so far.  A step is the follower's own: a sample of
        `stackelberg_envs.SoftQLearning`.  What they have learned is not returned: read it at POLICY, or watch it at OUTCOME.

        Raises:
            ValueError: if the followers do not learn (``learns`` is False), or ``steps`` is no whole number from 1.
        """
        assert self.follower is not None
        index = self.game.context_index(context)
        if not learns(self.follower):
            raise ValueError(f"{self.follower!r} does not learn, so there is nothing to train; SoftQLearning(...) does")
        whole("steps", steps, 1)
        self._commit(x)
        self._query_follower(index, steps)

    def snapshot(self) -> Snapshot:
        """Keep the followers' training state of this moment, for as long as the run lasts; what is handed out only names it."""
        self._snapshots.append(copy.deepcopy(self._training))
        return Snapshot(len(self._snapshots) - 1)

    def restore(self, snapshot: Snapshot) -> None:
        """Put a `snapshot` of this run back; the followers answer anew from it.

        Raises:
            ValueError: if this run has taken no such snapshot.
        """
        if not isinstance(snapshot, Snapshot) or snapshot.number not in range(len(self._snapshots)):
            raise ValueError(f"restore takes what snapshot() returned in this run, got {snapshot!r}")
        self._training = copy.deepcopy(self._snapshots[snapshot.number])
        self._responses = {}

    @property
    def _leader_discount(self) -> float:
        return self.game.null_worlds[0].leader_discount

    def _charge(self, **work: float) -> None:
        """Add a solver's own work to the ledger, in the units of `Cost`."""
        own = ("newton_evaluations", "factorisations", "linear_solves", "gradient_steps")
        if not set(work) <= set(own) or any(amount < 0 for amount in work.values()):
            raise AccessError(f"a solver charges only its own work ({', '.join(own)}), and nothing negative; got {work}")
        self.cost = replace(self.cost, **{name: getattr(self.cost, name) + amount for name, amount in work.items()})

    def _commit(self, x: Array) -> None:
        """Freeze ``x`` until another commitment comes; the same one again costs nothing."""
        committed = self._check_commitment(x)
        if self._commitment is None or not np.array_equal(committed, self._commitment):
            self._commitment, self._responses, self._committed_worlds = committed, {}, {}
            self.cost.commitments += 1

    def _check_commitment(self, x: Array) -> np.ndarray:
        detached = x.detach().cpu() if hasattr(x, "detach") else x
        committed = np.array(self.game.check_commitment(np.asarray(detached)), dtype=np.float64)
        if committed.shape != self.game.commitment_shape:
            raise CommitmentError(f"{self.game.name}: one commitment has shape {self.game.commitment_shape}, got {committed.shape}")
        return committed

    def _worlds(self, context: int) -> tuple[World, ...]:
        """The worlds that the frozen commitment induces, computed once."""
        if context not in self._committed_worlds:
            assert self._commitment is not None
            self._committed_worlds[context] = self.game.problems(self.game.for_context(self._commitment, context), context)
        return self._committed_worlds[context]

    def _respond(self, context: int) -> Response:
        if context not in self._responses:
            self._query_follower(context, None)
        return self._responses[context]

    def _query_follower(self, context: int, budget: int | None) -> None:
        """Let the follower respond, with ``budget`` training steps (None: its default), and charge its work."""
        assert self._commitment is not None
        assert self.follower is not None
        x, before = self.game.for_context(self._commitment, context), self._training.get(context)
        response = self.follower.respond(self.game, x, context, budget=budget, rng=self._training_rng, state=before)
        self._training[context], self._responses[context] = response.state, response
        self.cost.follower_evaluations += sum(answer.evaluations for answer in response.answers)
        for entry in ("training_steps", *OF_LEARNERS):
            spent = sum(getattr(answer, entry) for answer in response.answers)
            setattr(self.cost, entry, getattr(self.cost, entry) + spent)

    @property
    def last_responses(self) -> tuple[np.ndarray | None, dict[int, Response]]:
        """The frozen commitment (None before the first), and what followers have answered to it, by context."""
        return self._commitment, dict(self._responses)

    @property
    def learned_gap(self) -> float | None:
        """The largest certificate of what followers who learn have answered last; None for others, and before the first answer."""
        assert self.follower is not None
        gaps = [response.certificate for response in self._responses.values()]
        return max(gaps) if gaps and learns(self.follower) else None

    def _limits(self, horizon: int | np.ndarray | None, episodes: int) -> np.ndarray:
        limits = np.asarray(self.game.max_cycles if horizon is None else horizon)
        if limits.shape not in ((), (episodes,)) or limits.dtype.kind not in "iu" or (limits < 0).any():
            raise ValueError(f"horizon is a number of steps or one for each of {episodes} episodes, got {horizon!r}")
        return np.broadcast_to(limits, episodes)

    def _contexts(self, episodes: int, one_context: bool) -> np.ndarray:
        u = np.full(episodes, self._rng.random()) if one_context else self._rng.random(episodes)
        return draw(np.broadcast_to(self.game.context_probabilities, (episodes, len(self.game.contexts))), u)

    def _charge_and_censor(self, outcome: Outcome) -> Outcome:
        """Charge the outcome's steps, and hide what is not public."""
        self.cost.outcome_steps += outcome.steps
        if not self.game.follower_actions_public:
            outcome = replace(outcome, follower_actions=np.full_like(outcome.follower_actions, -1))
        return self._without_context(outcome)

    def _without_context(self, outcome: Outcome) -> Outcome:
        """The outcome as it is, or without the contexts if the leader never sees them."""
        return outcome if self.game.context_visibility != "never" else replace(outcome, contexts=np.full_like(outcome.contexts, -1))

    @property
    def _end_states(self) -> list[int]:
        return [size[0] for size in self.game.sizes] if self.game.tabular else []

    def _outcome(self, contexts: np.ndarray, pieces: list[tuple[np.ndarray, int, Trajectories]]) -> Outcome:
        return self.game.null_worlds[0].outcome(contexts, self._end_states, pieces)

    def _require_tables(self, what: str) -> None:
        """Refuse what only tables have."""
        if not self.game.tabular:
            raise ValueError(f"{self.game.name} has no tables, and {what} are for worlds that have; play whole episodes")

    def _play(
        self,
        contexts: np.ndarray,
        limits: np.ndarray,
        *,
        states: np.ndarray | None = None,
        actions: np.ndarray | None = None,
        offset: int = 0,
        policies: Sequence[np.ndarray] | None = None,
    ) -> list[tuple[np.ndarray, int, Trajectories]]:
        """Episodes in given contexts, as `World.outcome` takes them, numbered from ``offset``; followers act by ``policies``, if given."""
        assert self._commitment is not None
        rng, pieces = self._rng, []
        for context in np.unique(contexts):
            rows = np.flatnonzero(contexts == context)
            acting = self._respond(int(context)).policies if policies is None else policies
            worlds = self._worlds(int(context))
            for group, world, own in zip(self.game.groups, worlds, group_by_world(worlds, acting), strict=True):
                first = None if states is None else states[rows, group[0]]
                chosen = None if actions is None else actions[rows][:, group]
                trajectories = world.play(own, limits[rows], rng, states=first, actions=chosen)
                pieces += [(offset + rows, i, part) for i, part in zip(group, trajectories, strict=True)]
        return pieces


def _indices(what: str, given: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Integers (N, n), each column below its follower's size."""
    indices = np.asarray(given)
    wrong = indices.dtype.kind not in "iu" or indices.ndim != 2 or indices.shape[1] != len(sizes)
    if wrong or len(indices) == 0 or (indices < 0).any() or (indices >= sizes).any():
        raise ValueError(f"{what} are integers (N, {len(sizes)}) below {sizes.tolist()}, got {given!r}")
    return indices


def _copy(table: Any) -> Any:
    """A copy that does not lead to the original: of an array, or of a policy or value that is an object."""
    return np.array(table) if isinstance(table, np.ndarray) else copy.deepcopy(table)


def _closure(method: Any) -> Any:
    """A function that calls ``method`` and does not lead to the object behind it; None stays None."""
    if method is None:
        return None

    def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    call.__doc__ = method.__doc__
    return call
