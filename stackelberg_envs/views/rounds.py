"""A leader's side, many rounds at once: commitments in one array, their answers and exact returns too."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from ..arguments import CheckedArguments, check_options, check_seed
from ..game import Follower, StackelbergGame, learns
from .batch import autoreset, number_of_environments
from .episode import LEADER, Observations
from .gym import LeaderEnv


class LeaderBatchEnv(CheckedArguments, VectorEnv):
    """`stackelberg_envs.views.gym.LeaderEnv` with ``mode="round"`` and exact rewards, ``num_envs`` times.

    Every step is a round and ends an episode; the final observation is the one that the round began with.  Contexts of all rounds come
    from one generator.

    Args:
        game: a game, its id, or a reference to it, as in `stackelberg_envs.game`.
        num_envs: how many.
        follower: who answers, without learning; the game's default follower if not given.
        commitment: what the action 0 stands for with ``leader_scale``; zeros if not given.
        leader_scale: as in `LeaderEnv`.
        rewards: ``"exact"`` or ``"ex-ante"``, as in `LeaderEnv`.
        observations: ``"vector"`` or ``"index"``.
        max_cycles: steps over which a round is paid; None for the game's own.
        autoreset_mode: when a new round begins; ``"SameStep"`` if not given, by which every step is a round.
        **kwargs: arguments of the game, if an id or a reference was given.

    Raises:
        ValueError: if the follower learns.
    """

    def __init__(
        self,
        game: StackelbergGame | str,
        num_envs: int = 1,
        *,
        follower: Follower | None = None,
        commitment: Any = None,
        leader_scale: float | None = None,
        rewards: Literal["exact", "ex-ante"] = "exact",
        observations: Observations = "vector",
        max_cycles: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        **kwargs: Any,
    ) -> None:
        self._single = LeaderEnv(
            game,
            follower=follower,
            commitment=commitment,
            leader_scale=leader_scale,
            rewards=rewards,
            observations=observations,
            max_cycles=max_cycles,
            **kwargs,
        )
        self.game, self.follower = self._single.game, self._single.follower
        if learns(self.follower):
            raise ValueError(f"{self.follower!r} learns from one round to the next, so rounds are not played side by side: use LeaderEnv")
        self.num_envs, self.autoreset_mode = number_of_environments(num_envs), autoreset(autoreset_mode)
        self.metadata = {**self._single.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = self._single.observation_space, self._single.action_space
        self.observation_space, self.action_space = (
            batch_space(space, self.num_envs) for space in (self.single_observation_space, self.single_action_space)
        )
        self._openings = np.stack([self._opening(context) for context in range(len(self.game.contexts))])
        self._context = np.zeros(self.num_envs, dtype=np.int64)
        self._over = np.ones(self.num_envs, dtype=bool)
        self._ready = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start rounds: ``options`` may hold ``"context"``, of all rounds that start now, and ``"reset_mask"``, booleans (num_envs,)."""
        options, seed = check_options(options, ("context", "reset_mask")), check_seed(seed)
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, dtype=bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise ValueError(f"options['reset_mask'] says by {self.num_envs} booleans which rounds start again")
        context = options.get("context")
        if context is not None:
            context = self.game.context_index(context)
        if seed is not None or not self._ready:
            self._np_random, self._np_random_seed = seeding.np_random(seed)
        self._ready = True
        self._start(mask, context)
        return self._openings[self._context], {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One round of every environment that is not over.

        Raises:
            ActionError: if an action is not legal; nothing has changed then.
            RuntimeError: before ``reset``, and without autoreset if an environment is over.
        """
        if not self._ready:
            raise RuntimeError("call reset() before step()")
        if len(actions) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments take as many commitments, got {len(actions)}")
        playing = ~self._over
        if self.autoreset_mode is AutoresetMode.DISABLED and self._over.any():
            raise RuntimeError(f"environments {np.flatnonzero(self._over)} are over: reset them by options={{'reset_mask': ...}}")
        commitments = np.stack([self._single.commitment_of(action) for action in actions])
        rewards, infos, final = np.zeros(self.num_envs), {}, self._openings[self._context]
        for context, chance in enumerate(self.game.context_probabilities):
            ex_ante = self._single.rewards == "ex-ante"
            here = playing if ex_ante else playing & (self._context == context)
            if here.any():
                rewards[here] += (chance if ex_ante else 1.0) * self._returns(commitments[here], context)
        starting = playing if self.autoreset_mode is AutoresetMode.SAME_STEP else self._over
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos = {"final_obs": _objects(final), "_final_obs": playing.copy()}
        self._over = playing.copy()
        self._start(starting, None)
        return self._openings[self._context], rewards, playing, np.zeros(self.num_envs, dtype=bool), infos

    def _start(self, mask: np.ndarray, context: int | None) -> None:
        """Begin rounds in some environments; their contexts are drawn."""
        drawn = np.searchsorted(self._single.episode.context_thresholds, self.np_random.random(int(mask.sum())), side="right")
        self._context[mask] = drawn if context is None else context
        self._over[mask] = False

    def _returns(self, commitments: np.ndarray, context: int) -> np.ndarray:
        """The leader's exact returns (M,) of the answers to M commitments in a context."""
        game = self.game
        response = self.follower.respond(game, commitments, context, rng=self.np_random)
        horizon = self._single.episode.max_cycles if game.additive else None
        returns = game.objective(game.problems(commitments, context), response.policies, horizon=horizon)
        return np.broadcast_to(np.asarray(returns, dtype=np.float64), len(commitments))

    def _opening(self, context: int) -> Any:
        self._single.episode.begin(np.random.default_rng(0), context=context)
        return self._single.episode.observe(LEADER)


def _objects(rows: np.ndarray) -> np.ndarray:
    """Rows as an array of objects, as Gymnasium tells final observations."""
    objects = np.full(len(rows), None, dtype=object)
    for i, row in enumerate(rows):
        objects[i] = row
    return objects
