"""A follower's side, many environments in one: array operations over all of them, and each with the noise of its single view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from ..arguments import CheckedArguments, check_memory, check_options, check_seed, nearest, whole
from ..game import StackelbergGame
from ..play.batches import StackedTables, batch_of
from .episode import ActionError, Observations
from .fast_steps import LONGEST
from .gym import FollowerEnv
from .lookups import IndexLookup, VectorLookup


def number_of_environments(count: Any) -> int:
    """A checked number of environments.

    Raises:
        ValueError: if it is not a whole number from 1, or so many that they cannot be held.
    """
    checked = whole("num_envs", count, 1)
    check_memory("num_envs environments", 1000 * checked)
    return checked


def autoreset(mode: AutoresetMode | str) -> AutoresetMode:
    """One of Gymnasium's modes.

    Raises:
        ValueError: if it is none; the message suggests the nearest.
    """
    modes = [one.value for one in AutoresetMode]
    if not isinstance(mode, AutoresetMode) and mode not in modes:
        raise ValueError(f"there is no autoreset_mode {mode!r}; {nearest(str(mode), modes)}")
    return AutoresetMode(mode)


class FollowerBatchEnv(CheckedArguments, VectorEnv):
    """`stackelberg_envs.views.gym.FollowerEnv`, ``num_envs`` times: worlds with tables, one follower, no missing actions.

    Environment i is to the bit the single one that is seeded with ``seed + i``.  `applies` says for which games there is such a batch.

    Args:
        game: a game, its id, or a reference to it, as in `stackelberg_envs.game`.
        num_envs: how many.
        commitment: what the leader has committed to, (n,), or (num_envs, n) for one each; zeros if not given.
            ``reset(options={"commitment": x})`` changes it.
        observations: ``"vector"`` or ``"index"``.
        max_cycles: steps of an episode; None for the game's own.
        autoreset_mode: when a finished environment starts again.
        **kwargs: arguments of the game, if an id or a reference was given.

    Raises:
        ValueError: if there is no batch of this game.
    """

    def __init__(
        self,
        game: StackelbergGame | str,
        num_envs: int = 1,
        *,
        commitment: Any = None,
        observations: Observations = "vector",
        max_cycles: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        self._single = FollowerEnv(game, observations=observations, max_cycles=max_cycles, **kwargs)
        self.game = self._single.game
        self._limit = self._single.episode.max_cycles
        if not self.applies(self.game, self._limit):
            raise ValueError(
                f"{self.game.name} is not played in batches: that takes tables, one follower who has all actions always, "
                f"and at most {LONGEST:,} steps"
            )
        self.num_envs, self.autoreset_mode = number_of_environments(num_envs), autoreset(autoreset_mode)
        self.metadata = {**self._single.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = self._single.observation_space, self._single.action_space
        self.observation_space, self.action_space = (
            batch_space(space, self.num_envs) for space in (self.single_observation_space, self.single_action_space)
        )
        self._commitments = self._legal(np.zeros(self.game.dimension) if commitment is None else commitment)
        self._contexts = np.asarray(self._single.episode.context_thresholds)
        self._ready = False
        self._known = b""
        self._nobody, self._everybody = np.zeros(self.num_envs, dtype=bool), np.ones(self.num_envs, dtype=bool)
        self._over = np.ones(self.num_envs, dtype=bool)

    @staticmethod
    def applies(game: StackelbergGame, max_cycles: int | None = None) -> bool:
        """Whether there is a batch of this game, for episodes of so many steps; None for the game's own number."""
        short = (game.max_cycles if max_cycles is None else max_cycles) <= LONGEST
        return short and game.tabular and game.followers == 1 and not game.masked and game.visibility[0] in ("action", "policy")

    def reset(self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: environment i is seeded with ``seed + i``, or with the i-th of a list; without it its generator goes on.
            options: ``"commitment"``, (n,) or (num_envs, n); ``"context"``, of all episodes that start now; ``"reset_mask"``, booleans
                (num_envs,), which environments start.
        """
        options = check_options(options, ("commitment", "context", "reset_mask"))
        mask = self._mask(options.get("reset_mask"))
        commitments = self._legal(options["commitment"]) if "commitment" in options else self._commitments
        context = options.get("context")
        if context is not None:
            context = self.game.context_index(context)
        seeds = self._seeds(seed)
        commitments = np.where(mask[:, None], commitments, self._commitments)
        first = not self._ready
        fresh = {i: seeding.np_random(one)[0] for i, one in enumerate(seeds) if first or (one is not None and mask[i])}
        self._stack(commitments, [fresh[i] for i in range(self.num_envs)] if first else None)
        self._commitments, self._ready = commitments, True
        if not first:
            self._batch.replace(fresh)
        self._batch.start(np.flatnonzero(mask), context)
        self._over = self._over & ~mask
        return self._observations(), self._infos(mask)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One move of every environment.

        Raises:
            ActionError: if an action is not legal; nothing has changed then.
            RuntimeError: before ``reset``, and without autoreset if an environment is over.
        """
        if not self._ready:
            raise RuntimeError("call reset() before step()")
        actions = self._legal_actions(actions)
        if self.autoreset_mode is AutoresetMode.DISABLED and self._over.any():
            raise RuntimeError(f"environments {np.flatnonzero(self._over)} are over: reset them by options={{'reset_mask': ...}}")
        rewards, terminated, truncated = self._batch.advance(actions, self._over)
        self._over = terminated | truncated
        infos: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._over.any():
            self._finish(infos)
        infos.update(self._infos(None))
        return self._observations(), rewards, terminated, truncated, infos

    # -- inside ------------------------------------------------------------------------------------------------------------------

    def _finish(self, infos: dict[str, Any]) -> None:
        """Autoreset within the step: what ended is told, and new episodes begin."""
        over, batch = self._over, self._batch
        chosen = np.flatnonzero(over)
        final = np.full(self.num_envs, None, dtype=object)
        for i, seen in zip(chosen, self._lookup.observe_all(batch.table[chosen], batch.state[chosen], batch.lead[chosen]), strict=True):
            final[i] = seen
        infos.update(final_obs=final, _final_obs=over, final_info=self._infos(over), _final_info=over.copy())
        batch.start(chosen)
        self._over = self._nobody

    def _observations(self) -> np.ndarray:
        return self._lookup.observe_all(self._batch.table, self._batch.state, self._batch.lead)

    def _infos(self, mask: np.ndarray | None) -> dict[str, Any]:
        """Infos as Gymnasium batches them, of all or of those in ``mask``."""
        time, earned = self._batch.count.astype(np.float64), self._batch.follower_return.copy()
        if mask is None:
            mask = self._everybody.copy()
        else:
            time *= mask
            earned = np.where(mask, earned, 0.0)
        return {"time": time, "_time": mask, "discounted_return": earned, "_discounted_return": mask.copy()}

    def _stack(self, commitments: np.ndarray, generators: list[np.random.Generator] | None) -> None:
        """Tables of all contexts under all commitments; nothing is built twice.  ``generators`` are those of a first batch."""
        different, which = np.unique(commitments, axis=0, return_inverse=True)
        key = different.tobytes()
        if key != self._known:
            tables, lookup, discount = self._tables(different)
            if generators is not None:
                self._batch = batch_of(generators, self._contexts, self._limit)
            self._lookup, self._discount, self._stacked = lookup, discount, tables
        self._known = key
        self._batch.play_in(self._stacked, self._discount, which.reshape(-1))

    def _tables(self, commitments: np.ndarray) -> tuple[StackedTables, Any, float]:
        """Tables and observations of every commitment (M, n) in every context, and the follower's discount."""
        episode, steppers, bases = self._single.episode, [], []
        lookup = IndexLookup if episode.observations == "index" else VectorLookup
        unused = np.random.default_rng(0)
        for x in commitments:
            for context in range(len(self.game.contexts)):
                episode.begin(unused, context=context)
                episode.commit(x, unused)
                steppers.append(episode.steppers[0])
                bases.append(lookup(episode, self._single.agent))
        discounts = {float(one.process.follower_discount) for one in steppers}
        if len(discounts) > 1:
            raise ValueError(f"{self.game.name} is not played in batches: its discounts differ between commitments or contexts")
        return StackedTables(steppers), lookup.stack(bases), discounts.pop()

    def _legal(self, commitment: Any) -> np.ndarray:
        """Commitments (num_envs, n)."""
        try:
            several = np.ndim(commitment) == 2
        except ValueError:  # rows of several lengths: no commitment, as the episode says
            several = False
        if several and len(commitment) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments take as many commitments, got {len(commitment)}")
        legal = [self._single.episode.legal_commitment(x) for x in (commitment if several else [commitment])]
        return np.broadcast_to(np.stack(legal), (self.num_envs, self.game.dimension))

    def _legal_actions(self, actions: Any) -> np.ndarray:
        given, count = np.asarray(actions), self._batch.tables.choices
        if given.shape != (self.num_envs,) or given.dtype.kind not in "iu":
            raise ActionError(f"actions are {self.num_envs} integers, got {given.dtype} of shape {given.shape}")
        chosen = np.ascontiguousarray(given, dtype=np.int64)
        if chosen.view(np.uint64).max() >= count:  # where negative numbers are large
            i = int(np.argmax((given < 0) | (given >= count)))
            raise ActionError(f"environment {i}: action {given[i]} is outside its space, 0 to {count - 1}")
        return chosen

    def _seeds(self, seed: Any) -> list[int | None]:
        """One per environment; None goes on."""
        if seed is None or isinstance(seed, (int, np.integer)):
            first = check_seed(seed)
            return [None if first is None else first + i for i in range(self.num_envs)]
        if not isinstance(seed, (Sequence, np.ndarray)) or isinstance(seed, str) or len(seed) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments take one seed, a sequence of as many, or None; got {seed!r}")
        return [check_seed(one) for one in seed]

    def _mask(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, dtype=bool)
        given = np.asarray(mask)
        if given.shape != (self.num_envs,) or given.dtype != bool or not given.any() or not self._ready:
            raise ValueError(f"options['reset_mask'] says by {self.num_envs} booleans which environments start again, after a first reset")
        return given.copy()
