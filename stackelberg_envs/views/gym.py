"""One side of the game as a Gymnasium environment, with the other side inside."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Space

from .. import registry
from ..arguments import CheckedArguments, check_options, check_seed, whole
from ..game import Follower, StackelbergGame, follower_of, group_by_world
from ..worlds.base import PolicyStepper
from .commitment_actions import CommitmentActions, Queries
from .episode import LEADER, RENDER_MODES, Episode, Observations, check_render_mode
from .fast_steps import KINDS, EpisodeHolder, FastSteps
from .tabular_steps import CUT, ENDED


class SimulatedFollowers:
    """Followers who act inside an environment: they answer its commitment, and then play what they answered."""

    def __init__(self, episode: Episode, follower: Follower) -> None:
        self.episode, self.follower = episode, follower
        self._training: dict[int, Any] = {}
        self._answered = b""
        self._answers: dict[int, list[PolicyStepper]] = {}
        self._policies: dict[int, Any] = {}
        self._objectives: dict[int, float] = {}

    def respond(self, rng: np.random.Generator, context: int | None = None) -> None:
        """Let the followers answer the current commitment in a context (the current one if not given), once, out of the leader's sight."""
        x = self.episode.commitment
        context = self.episode.context if context is None else context
        assert x is not None
        if x.tobytes() != self._answered:
            self._answered, self._answers, self._policies, self._objectives = x.tobytes(), {}, {}, {}
        if context not in self._answers:
            response = self.follower.respond(self.episode.game, x, context, rng=rng, state=self._training.get(context))
            self._training[context] = response.state
            worlds = self.episode.worlds
            self._answers[context] = [
                world.policy_stepper(policy)
                for world, policies in zip(worlds, group_by_world(worlds, response.policies), strict=True)
                for policy in policies
            ]
            self._policies[context] = response.policies

    def objective(self, context: int) -> float:
        """The leader's exact return of the answer in a context: over the steps of an episode, or all where it is no sum."""
        game = self.episode.game
        if context not in self._objectives:
            horizon = self.episode.max_cycles if game.additive else None
            worlds = self.episode.worlds if context == self.episode.context else game.problems(self.episode.commitment, context)
            self._objectives[context] = float(game.objective(worlds, self._policies[context], horizon=horizon))
        return self._objectives[context]

    def ex_ante(self, rng: np.random.Generator) -> float:
        """The expectation of `objective` over contexts."""
        probabilities = self.episode.game.context_probabilities
        for context in range(len(probabilities)):
            self.respond(rng, context)
        return sum(float(p) * self.objective(context) for context, p in enumerate(probabilities))

    def play_out(self, rng: np.random.Generator) -> None:
        """Play the episode to its end."""
        episode = self.episode
        if FastSteps.applies(episode):
            (policy,), (_, draws, _) = self._answers[episode.context], KINDS[type(episode.steppers[0])]
            noise = draws(rng)
            steps = FastSteps(episode, noise)
            over, (state, lead, _) = episode.is_over, steps.now()
            while not over:
                state, lead, *_, over = steps.advance(policy.act(state, lead, noise))
            steps.write_back()
            noise.give_back()
        while not episode.is_over:
            episode.step_followers(self.actions(rng), rng)

    def actions(self, rng: np.random.Generator) -> list[Any]:
        """What each follower does now."""
        episode = self.episode
        answers = self._answers[episode.context]
        return [policy.act(episode.states[i], episode.signal(i), rng) for i, policy in enumerate(answers)]


class LeaderEnv(CheckedArguments, gymnasium.Env):
    """The leader's side, against a chosen follower.

    ``mode="round"``: one step is one round.  The action is a commitment, the follower answers it, ``episodes`` are played, and the
    reward is the leader's mean discounted return; every round is an episode of one step.

    ``mode="query"``: one step is a part of a commitment, and the last one is paid what the round earns; the others are paid 0.  Where
    the commitment is a policy, each state in turn is observed and the action is the policy's row there; of other commitments each
    component is asked for in turn.  It is a Stackelberg POMDP (Brero et al. 2022) in which followers query the leader's policy before
    they answer (Gerstgrasser and Parkes 2023).  Learn it without discount.

    ``mode="move"``: one step is one move of the leader in the play view, the reward is that step's, and the follower answers the
    announced commitment (see `commit`), not the moves.  What a learner finds here is the best play against a follower that answers
    something else: it does not learn to commit.

    Where the leader's objective is no sum over steps (``game.additive`` is False), steps pay it nothing: a round then pays the exact
    objective of the answer in each episode's context, and there is no ``"move"`` mode.

    Args:
        game: a game, its id, or a reference to it, as in `stackelberg_envs.game`.
        mode: ``"round"``, ``"query"`` or ``"move"``.
        follower: who answers; the game's default follower if not given.
        episodes: episodes a round.
        commitment: what the action 0 stands for with ``leader_scale``, and what is announced at first in ``"move"`` mode; zeros if not
            given.
        leader_scale: with it, actions are in the box from -1 to 1, and the commitment is ``commitment + leader_scale * action``, moved to
            the leader's bounds; without it actions are commitments.
        rewards: ``"sampled"`` for returns of played episodes, ``"exact"`` for the expected return of the answer over ``max_cycles``
            steps in the episode's context, ``"ex-ante"`` for its expectation over contexts, too, where the leader commits before it sees
            one.  With the last two no episode is played.
        observations: ``"vector"`` or ``"index"``.
        max_cycles: steps of a played episode; None for the game's own.
        render_mode: ``"ansi"``, ``"rgb_array"`` or None.
        **kwargs: arguments of the game, if an id or a reference was given.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 4}

    def __init__(
        self,
        game: StackelbergGame | str,
        *,
        mode: Literal["round", "query", "move"] = "round",
        follower: Follower | None = None,
        episodes: int = 1,
        commitment: Any = None,
        leader_scale: float | None = None,
        rewards: Literal["sampled", "exact", "ex-ante"] = "sampled",
        observations: Observations = "vector",
        max_cycles: int | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        whole("episodes, in a round,", episodes, 1)
        self.game = build_game(game, kwargs)
        if mode == "move" and not self.game.additive:
            raise ValueError(f"{self.game.name}: its objective is no sum over steps, so no move is paid; use mode='round'")
        if mode == "move" and (leader_scale is not None or rewards != "sampled"):
            raise ValueError("leader_scale and exact rewards are for commitments: use mode='round' or mode='query'")
        if rewards == "ex-ante" and self.game.context_visibility == "before":
            raise ValueError(f"{self.game.name}: its leader sees the context before it commits; use rewards='exact'")
        self.mode, self.episodes = mode, episodes
        self.rewards = "exact" if rewards == "sampled" and not self.game.additive else rewards
        self.follower = follower_of(self.game, follower)
        self.episode = Episode(self.game, view="play" if mode == "move" else "commitment", observations=observations, max_cycles=max_cycles)
        self.render_mode = check_render_mode(render_mode)
        self.commit(np.zeros(self.game.dimension) if commitment is None else commitment)
        self._actions = CommitmentActions(self.game, leader_scale, self.commitment)
        self._queries = Queries(self.game, self._actions, observations) if mode == "query" else None
        asked = self._queries
        self.observation_space: Space[Any] = asked.observation_space if asked else self.episode.observation_spaces[LEADER]
        if asked:
            self.action_space: Space[Any] = asked.action_space
        else:
            self.action_space = self._actions.space if leader_scale is not None else self.episode.action_spaces[LEADER]
        self._followers = SimulatedFollowers(self.episode, self.follower)
        self._fixed_context: int | str | None = None
        self._ready = False

    def commit(self, x: Any) -> None:
        """Announce the leader's policy; in ``"move"`` mode followers answer it from the next reset on."""
        self.commitment = self.episode.legal_commitment(x)

    def commitment_of(self, action: Any) -> np.ndarray:
        """The commitment (n,) that a whole action (n,) stands for; rows of ``"query"`` mode make a whole one in their order.

        Raises:
            ActionError: if the action is not legal.
        """
        return self.episode.legal_commitment(self._actions.commitment(action))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a round or an episode; ``options`` may hold ``"context"`` and, in ``"move"`` mode, ``"commitment"``.

        A seed also makes a learning follower start anew.
        """
        options, seed = check_options(options, ("context", "commitment") if self.mode == "move" else ("context",)), check_seed(seed)
        announced = options.get("commitment", self.commitment)
        x = self.episode.legal_commitment(announced)
        context = options.get("context")
        if context is not None:
            context = self.game.context_index(context)
        super().reset(seed=seed)
        if seed is not None:
            self._followers = SimulatedFollowers(self.episode, self.follower)
        self.commitment, self._fixed_context = x, context
        self.episode.begin(self.np_random, context=context, commitment=x if self.mode == "move" else None)
        if self.mode == "move":
            self._followers.respond(self.np_random)
        if self._queries:
            self._queries.start(self.episode.context if self.game.context_visibility == "before" else None)
        self._ready = True
        return self._observe(), self.episode.info(LEADER)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """A round, a row or a move; raises ActionError or CommitmentError, with nothing changed, if the action is not legal."""
        if not self._ready:
            raise RuntimeError("call reset() before step(), and again after the end of an episode")
        if self.mode == "move":
            return self._move(action)
        if self._queries:
            self._queries.take(action)
            action = self._queries.action
            if action is None:
                return self._observe(), 0.0, False, False, self.episode.info(LEADER)
        return self._round(self.commitment_of(action))

    def render(self) -> Any:
        return self.episode.render(self.render_mode)

    def _observe(self) -> Any:
        return self._queries.observe() if self._queries else self.episode.observe(LEADER)

    def _round(self, x: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        total = 0.0
        for played in range(self.episodes):
            if played:
                same = self.episode.context if self.game.context_visibility == "before" else None
                self.episode.begin(self.np_random, context=same if self._fixed_context is None else self._fixed_context)
            self.episode.commit(x, self.np_random)
            self._followers.respond(self.np_random)
            if self.rewards == "sampled" or not self.game.additive:
                self._followers.play_out(self.np_random)
            if self.rewards == "exact":
                self.episode.returns[LEADER] = self._followers.objective(self.episode.context)
            if self.rewards == "ex-ante":
                self.episode.returns[LEADER] = self._followers.ex_ante(self.np_random)
            total += self.episode.returns[LEADER]
        self._ready = False
        return self._observe(), total / self.episodes, True, False, self.episode.info(LEADER)

    def _move(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        episode = self.episode
        episode.step_leader(episode.legal_action(LEADER, action), self.np_random)
        episode.step_followers(self._followers.actions(self.np_random), self.np_random)
        self._ready = not episode.is_over
        return episode.observe(LEADER), episode.rewards[LEADER], episode.terminated, episode.truncated, episode.info(LEADER)


class FollowerEnv(EpisodeHolder, CheckedArguments, gymnasium.Env):
    """A follower's side: the leader's commitment is fixed and observed, and the task is to best-respond.

    Args:
        game: a game, its id, or a reference to it, as in `stackelberg_envs.game`.
        commitment: what the leader has committed to; zeros if not given.  ``reset(options={"commitment": x})`` changes it.
        agent: which follower; others who are independent of it do not concern it.
        others: how those answer who interact with it, if there are any; the game's default follower if not given.
        observations: ``"vector"`` or ``"index"``.
        max_cycles: steps of an episode; None for the game's own.
        render_mode: ``"ansi"``, ``"rgb_array"`` or None.
        **kwargs: arguments of the game, if an id or a reference was given.
    """

    has_fast_steps = True
    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 4}

    def __init__(
        self,
        game: StackelbergGame | str,
        *,
        commitment: Any = None,
        agent: str = "follower_0",
        others: Follower | None = None,
        observations: Observations = "vector",
        max_cycles: int | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.game = build_game(game, kwargs)
        self._episode = Episode(self.game, view="commitment", observations=observations, max_cycles=max_cycles)
        if agent not in self._episode.followers:
            raise ValueError(f"agent is one of {', '.join(self._episode.followers)}, got {agent!r}")
        self.agent, self.index = agent, self._episode.followers.index(agent)
        independent = (self.index,) in self.game.groups
        if independent and others is not None:
            raise ValueError(f"others answer who interact with {agent}, and in {self.game.name} nobody does; leave others out")
        self.others = None if independent else others or self.game.default_follower
        self._followers = self._new_followers()
        self.render_mode = check_render_mode(render_mode)
        self.commitment = self._episode.legal_commitment(np.zeros(self.game.dimension) if commitment is None else commitment)
        self.observation_space: Space[Any] = self._episode.observation_spaces[agent]
        self.action_space: Space[Any] = self._episode.action_spaces[agent]
        self._ready, self._lookups = False, {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; ``options`` may hold ``"commitment"`` and ``"context"``.  A seed also makes others who learn start anew."""
        options, seed = check_options(options, ("context", "commitment")), check_seed(seed)
        x = self._episode.legal_commitment(options.get("commitment", self.commitment))
        context = options.get("context")
        if context is not None:
            context = self.game.context_index(context)
        if self._steps is not None:
            self._end()
        if seed is not None or self._np_random is None:
            super().reset(seed=seed)
            self._reseed(super().np_random, lent=False)
        if seed is not None:
            self._followers = self._new_followers()
        self.commitment = x
        self._episode.begin(self._uniforms, context=context)
        self._episode.commit(self.commitment, self._uniforms)
        if self._followers is not None:
            self._followers.respond(self.np_random)
        else:
            self._prepare()
        self._ready = True
        observation = self._episode.observe(self.agent) if self._steps is None else self._steps.follower_observation()
        return observation, self._episode.info(self.agent)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One move; raises ActionError, with nothing changed, if it is not legal."""
        if not self._ready:
            raise RuntimeError("call reset() before step(), and again after the end of an episode")
        steps = self._steps
        if steps is not None:
            return self._step_fast(steps, action)
        episode = self._episode
        own = episode.legal_action(self.agent, action)
        if self._followers is None:  # others are independent, and what they do is nothing to this one
            actions = [episode.available_action(i) for i in range(self.game.followers)]
        else:
            actions = self._followers.actions(self.np_random)
        actions[self.index] = own
        episode.step_followers(actions, self.np_random)
        stepper = next(stepper for group, stepper in zip(self.game.groups, episode.steppers, strict=True) if self.index in group)
        arrived = stepper.is_end(episode.states[self.index])
        cut = not arrived and episode.truncated
        self._ready = not (arrived or cut)
        return episode.observe(self.agent), episode.rewards[self.agent], arrived, cut, episode.info(self.agent)

    def render(self) -> Any:
        return self._episode.render(self.render_mode)

    @property
    def np_random(self) -> np.random.Generator:
        """What the environment draws from."""
        self._write_back()
        self._lent = True
        return super().np_random

    @np_random.setter
    def np_random(self, value: np.random.Generator) -> None:
        self._write_back()
        self._reseed(value, lent=True)
        self._np_random_seed = -1

    def _step_fast(self, steps: FastSteps, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """`step`, where the world has tables and one follower."""
        if action.__class__ is not int or not 0 <= action < steps.choices:
            action = steps.legal(action)
        advance, view = steps.advance, steps.follower_view
        state, lead, time, reward, _, earned, _, progress = advance(action)
        if progress:
            self._ready = False
            self._end()
        return view(state, lead), reward, progress == ENDED, progress == CUT, {"time": time, "discounted_return": earned}

    def _new_followers(self) -> SimulatedFollowers | None:
        return None if self.others is None else SimulatedFollowers(self._episode, self.others)


def build_game(game: StackelbergGame | str, arguments: dict[str, Any]) -> StackelbergGame:
    """A game, or the one that an id or reference and arguments say."""
    if isinstance(game, str):
        return registry.game(game, **arguments)
    if arguments:
        raise TypeError(f"arguments of the game go with an id; {game.name} is built already, got {', '.join(arguments)}")
    return game
