"""Playing a world without tables: a batch of episodes (`play_sampled`), or single steps (`SampledStepper`), by the same functions.

What `stackelberg_envs.play.rollouts` is for tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete

from ..processes.arrays import Array, array_namespace
from ..processes.sampled import Actor, Noise, SampledDynamics
from .trajectories import Trajectories

NOTHING = np.zeros((1, 0))
"""The leader's action of a single step in a design game."""


def play_sampled(
    process: SampledDynamics,
    policy: Actor,
    states: Array,
    noise: np.random.Generator | Callable[[int], Array],
    horizon: int | Array,
    *,
    actions: Array | None = None,
    leader_only: bool = False,
) -> Trajectories:
    """Play N episodes at once; like `stackelberg_envs.play.rollouts.simulate`, without tables.

    Args:
        process: under one commitment (n,) for all; or under B of them, (B, n) or (B, 1, n), with states (B, N, d).
        policy: the follower's.
        states: first states, (..., N, d).
        noise: ``noise(t)`` gives the uniforms (..., N, K) of step t, K = ``noise.lead`` + ``policy.noise`` + ``noise.step`` in this order;
            a generator gives them as they come.
        horizon: steps after which an episode is cut; an integer, or integers (..., N).
        actions: first actions of the follower; the policy's if not given.
        leader_only: leave out what the follower earns (zeros), which a leader that watches may not even learn to be infinite.

    Returns:
        Trajectories (..., N, T, ...): states (..., N, T + 1, d) stay where an episode ended, and then nobody acts or earns.

    Raises:
        FloatingPointError: if a state or reward is not finite.
    """
    xp = array_namespace(states)
    lead, follow = process.noise.lead, process.noise.lead + policy.noise
    batch = states.shape[:-1]
    if isinstance(noise, np.random.Generator):
        generator, width = noise, follow + process.noise.step
        noise = lambda t: xp.asarray(generator.random((*batch, width)), dtype=states.dtype, device=states.device)  # noqa: E731
    alive = xp.zeros(batch, dtype=xp.int64, device=states.device) + horizon > 0
    path, steps = [states], []
    while bool(xp.any(alive)):
        t, s = len(steps), path[-1]
        u = noise(t)
        a = process.lead(s, u[..., :lead])
        b = policy.act(s, a, u[..., lead:follow]) if actions is None or t > 0 else actions
        with np.errstate(over="ignore", invalid="ignore"):  # said below
            arrived, ended = process.step(s, a, b, u[..., follow:])
            earned, paid = process.rewards(s, a, b, arrived)
        earned = xp.zeros_like(earned) if leader_only else earned
        arrived = xp.where(alive[..., None], arrived, s)
        earned, paid = (xp.where(alive, reward, xp.zeros_like(reward)) for reward in (earned, paid))
        if not bool(xp.all(xp.isfinite(arrived)) & xp.all(xp.isfinite(earned)) & xp.all(xp.isfinite(paid))):
            raise FloatingPointError(f"a state or reward left the reals at step {t}: the closed loop is unstable under this commitment")
        steps.append((a, b, paid, earned, alive))
        path.append(arrived)
        alive = alive & ~ended & (horizon > t + 1)
    if not steps:
        return _no_steps(process, states)
    axis = len(batch)
    leads, follows, paid, earned, lived = (xp.stack(list(column), axis=axis) for column in zip(*steps, strict=True))
    return Trajectories(xp.stack(path, axis=axis), leads, follows, paid, earned, lived)


def _no_steps(process: SampledDynamics, states: Array) -> Trajectories:
    """Episodes of no steps, (..., N, 0)."""
    xp, batch = array_namespace(states), states.shape[:-1]

    def empty(*shape: int, dtype: Any = None) -> Array:
        return xp.zeros((*batch, 0, *shape), dtype=states.dtype if dtype is None else dtype, device=states.device)

    chosen = empty(dtype=xp.int64) if isinstance(process.follower_action, Discrete) else empty(*process.follower_action.shape)
    return Trajectories(states[..., None, :], empty(process.leads), chosen, empty(), empty(), empty(dtype=xp.bool))


@dataclass(frozen=True)
class SampledStepper:
    """Single steps of one process, as `stackelberg_envs.play.steps.TabularStepper` takes them; the state after the end is None."""

    process: SampledDynamics

    @property
    def leads(self) -> bool:
        """Whether the leader acts in a step."""
        return self._leads

    @cached_property
    def _leads(self) -> bool:
        return self.process.leads > 0

    @cached_property
    def _noise(self) -> Noise:
        return self.process.noise

    def available(self, player: int, s: Any, a: Any) -> None:
        """Actions are always there."""
        del player, s, a

    def is_end(self, s: Any) -> bool:
        """Whether a state is the end."""
        return s is None

    def initial(self, rng: np.random.Generator) -> np.ndarray:
        """First state, (d,)."""
        return self.process.start(rng.random((1, self._noise.start)))[0]

    def leader_action(self, s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The leader's action by its own policy, (k,)."""
        return self.process.lead(s[None], rng.random((1, self._noise.lead)))[0]

    def step(
        self, s: np.ndarray, a: np.ndarray | None, actions: Sequence[Any], rng: np.random.Generator
    ) -> tuple[np.ndarray | None, tuple[float, ...], float]:
        """(next state, or None at the end; rewards of the followers; leader reward)."""
        states, leads, chosen = s[None], NOTHING if a is None else a[None], np.asarray(actions[0])[None]
        arrived, ended = self.process.step(states, leads, chosen, rng.random((1, self._noise.step)))
        rewards = self.process.rewards(states, leads, chosen, arrived)
        earned, paid = float(rewards[0][0]), float(rewards[1][0])
        if not (math.isfinite(earned) and math.isfinite(paid) and all(map(math.isfinite, arrived[0].tolist()))):
            raise FloatingPointError("a state or reward left the reals: the world is unstable under this commitment and these actions")
        return None if ended[0] else arrived[0], (earned,), paid


@dataclass(frozen=True)
class SampledPolicyStepper:
    """A follower's policy in a world without tables."""

    policy: Actor

    def act(self, s: np.ndarray, a: np.ndarray | None, rng: np.random.Generator) -> Any:
        """An action for one state (d,) and the leader's action (k,), or None where it has none."""
        leads = NOTHING if a is None else a[None]
        return self.policy.act(s[None], leads, rng.random((1, self.policy.noise)))[0]
