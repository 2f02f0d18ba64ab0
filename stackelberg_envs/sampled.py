"""What a follower faces in a world without tables: continuous states, and functions where `stackelberg_envs.mdp` has arrays.

Symbols are those of `stackelberg_envs.mdp`; in addition::

    s in R^d    state      a in R^k    the leader's action of a step (k = 0 in design games)      b    the follower's action
    u           uniform variates in [0, 1): noise is data, and `normal` makes them Gaussian

One definition serves single steps of the views and batched play: every function takes leading batch axes ``...``, and a batch of
commitments (..., n), or (..., 1, n), plays states (..., N, d).
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from array_api_compat import array_namespace, is_torch_array
from gymnasium.spaces import Box, Discrete

from .mdp import Array
from .play import Trajectories

NO_TEMPERATURE = 1e-12
"""At which the response is taken that optimises plain rewards."""
REFEREE_EPISODES = 2000
"""Episodes by which a world without closed forms is scored, always with the same noise."""
GAP_STEPS = 250_000
"""About how many steps are played for an estimate of a gap, which takes long episodes."""


class Noise(NamedTuple):
    """How many uniform variates each random choice takes."""

    start: int
    lead: int
    step: int


class Actor(Protocol):
    """A follower's policy in a world without tables."""

    @property
    def noise(self) -> int:
        """Uniform variates an action takes."""
        ...

    def act(self, states: Array, leads: Array, u: Array) -> Array:
        """Actions for states (..., d), the leader's actions (..., k) and variates (..., ``noise``): (..., m), or integers (...)."""
        ...


class SampledProcess(abc.ABC):
    """The decision process that a commitment induces for one follower, as functions of state, actions and noise.

    Subclasses are frozen dataclasses that hold the commitment (or what it comes to) and constants; they are picklable, and pure.
    """

    state_space: Box
    """Where states lie, (d,) float64; infinite bounds where there are none."""
    leader_actions: Box | None = None
    """The leader's action of a step, (k,); None in a design game."""
    follower_action: Box | Discrete
    """The follower's."""
    noise: Noise
    follower_discount: float
    leader_discount: float
    follower_sees: Literal["action", "policy"] = "action"
    action_parts: tuple[int, ...] = ()
    """Of a Discrete action that is several choices in one: how many options each has, row-major."""
    tables: ClassVar[tuple[str, ...]] = ()
    """The array fields."""
    rank: ClassVar[int] = 1
    """Axes that the first of them has for one commitment."""
    soft_response: Any = None
    """``soft_response(temperature)``, where there is a closed form: the policy, its values as a function of (states, leads),
    and a certificate."""
    leader_return: Any = None
    """``leader_return(policy, horizon, discount)`` (...), exact, where there is a closed form; see `solves`."""
    follower_score: Any = None
    """``follower_score(policy, temperature, horizon)``, exact, where there is a closed form: plain return over the horizon, own objective
    (infinite horizon, with entropy), and the gap to its optimum, each (...)."""

    @abc.abstractmethod
    def start(self, u: Array) -> Array:
        """First states (..., d) from variates (..., ``noise.start``)."""

    @abc.abstractmethod
    def lead(self, states: Array, u: Array) -> Array:
        """The leader's own actions (..., k) from variates (..., ``noise.lead``); k = 0 in design games."""

    @abc.abstractmethod
    def step(self, states: Array, leads: Array, actions: Array, u: Array) -> tuple[Array, Array]:
        """Next states (..., d), and whether the episode has ended with them, booleans (...)."""

    @abc.abstractmethod
    def rewards(self, states: Array, leads: Array, actions: Array, arrived: Array) -> tuple[Array, Array]:
        """What follower and leader are paid for a step, (...) each."""

    def solves(self, policy: Any) -> bool:
        """Whether `leader_return` and `follower_score` have closed forms for a policy; others are scored by playing."""
        del policy
        return False

    # What it has in common with `stackelberg_envs.mdp.InducedMDP`, so that views and rounds are written once for both.

    @property
    def actions(self) -> tuple[Box | Discrete, ...]:
        """The action space of each follower in this process: one."""
        return (self.follower_action,)

    @property
    def joint(self) -> SampledProcess:
        """The process with all followers' actions as one."""
        return self

    def product(self, policies: Sequence[Actor]) -> Actor:
        """The policy of the only follower."""
        (policy,) = policies
        return policy

    @property
    def leads(self) -> int:
        """k."""
        return 0 if self.leader_actions is None else int(self.leader_actions.shape[0])

    def uniforms(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Variates from NumPy's generator, in the commitment's library, dtype and device."""
        u = rng.random(shape)
        if not self.tables:
            return u
        like = getattr(self, self.tables[0])
        return array_namespace(like).asarray(u, dtype=like.dtype, device=like.device)


def normal(u: Array) -> Array:
    """Standard normal variates from uniform ones, by the inverse distribution function; finite for u = 0 too."""
    xp = array_namespace(u)
    tiny = float(xp.finfo(u.dtype).eps) / 4
    inside = xp.clip(u, tiny, 1 - 2 * tiny)
    if is_torch_array(u):
        return xp.special.ndtri(inside)
    from scipy.special import ndtri

    return ndtri(inside)


def normal_cdf(z: Array) -> Array:
    """P(Z <= z) of a standard normal variate, the other way round from `normal`; by erfc, whose lower tail is exact in torch too."""
    if is_torch_array(z):
        return 0.5 * array_namespace(z).special.erfc(-(0.5**0.5) * z)
    from scipy.special import erfc

    return 0.5 * erfc(-(0.5**0.5) * z)


def play_sampled(
    process: SampledProcess,
    policy: Actor,
    states: Array,
    noise: np.random.Generator | Callable[[int], Array],
    horizon: int | Array,
    *,
    actions: Array | None = None,
    leader_only: bool = False,
) -> Trajectories:
    """Play N episodes at once; like `stackelberg_envs.play.simulate`, without tables.

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
        return _nothing(process, states)
    axis = len(batch)
    leads, follows, paid, earned, lived = (xp.stack(list(column), axis=axis) for column in zip(*steps, strict=True))
    return Trajectories(xp.stack(path, axis=axis), leads, follows, paid, earned, lived)


def _nothing(process: SampledProcess, states: Array) -> Trajectories:
    """Episodes of no steps, (..., N, 0)."""
    xp, batch = array_namespace(states), states.shape[:-1]

    def empty(*shape: int, dtype: Any = None) -> Array:
        return xp.zeros((*batch, 0, *shape), dtype=states.dtype if dtype is None else dtype, device=states.device)

    chosen = empty(dtype=xp.int64) if isinstance(process.follower_action, Discrete) else empty(*process.follower_action.shape)
    return Trajectories(states[..., None, :], empty(process.leads), chosen, empty(), empty(), empty(dtype=xp.bool))


def monte_carlo(
    process: SampledProcess, policy: Actor, horizon: int, *, episodes: int = REFEREE_EPISODES, seed: int = 0
) -> tuple[Trajectories, int]:
    """Episodes by which a policy is scored, (N, T), and N; the same noise for every commitment (common random numbers).

    Raises:
        ValueError: for a batch of commitments.
    """
    if process.tables and getattr(process, process.tables[0]).ndim > process.rank:
        raise ValueError(f"{type(process).__name__} is scored by playing: one commitment at a time")
    rng = np.random.default_rng([seed, 0x5A3D1E])
    return play_sampled(process, policy, process.start(process.uniforms(rng, (episodes, process.noise.start))), rng, horizon), episodes


def discounted(rewards: Array, discount: float) -> Array:
    """Sums of rewards (..., T), the later ones discounted: (...)."""
    xp = array_namespace(rewards)
    return xp.sum(rewards * discount ** xp.arange(rewards.shape[-1], dtype=rewards.dtype, device=rewards.device), axis=-1)


def expected_return(process: SampledProcess, policy: Actor, horizon: int, discount: float, *, seed: int = 0) -> Array:
    """The leader's expected return: exact where there is a closed form, (...), else the mean over played episodes.

    The referee's have seed 0; who learns from returns is given others, so that it does not fit the referee's luck.
    """
    if process.solves(policy):
        return process.leader_return(policy, horizon, discount)
    played, _ = monte_carlo(process, policy, horizon, seed=seed)
    return array_namespace(played.leader_rewards).mean(discounted(played.leader_rewards, discount), axis=-1)


def by_playing(
    process: SampledProcess, policy: Actor, temperature: float, horizon: int, discount: float | None
) -> tuple[float, float, float, float, float]:
    """Scores of one commitment over the referee's episodes.

    Returns:
        Leader return, its standard error, the follower's plain return, its objective and its gap (NaN where the optimum is not known).
    """
    played, episodes = monte_carlo(process, policy, horizon)
    returns = discounted(played.leader_rewards, process.leader_discount if discount is None else discount)
    own = discounted(played.follower_rewards, process.follower_discount)
    spread = float(array_namespace(returns).std(returns, correction=1))
    return float(returns.mean()), spread / episodes**0.5, float(own.mean()), *_estimated_gap(process, policy, temperature)


def _estimated_gap(process: SampledProcess, policy: Actor, temperature: float) -> tuple[float, float]:
    """The follower's own objective over (as good as) infinitely many steps, and what it lacks of the optimum, by the referee's episodes.

    The mean of V(s_0,a_0) - (what was earned), V the value of the best answer, which takes the luck of the start out.  The entropy bonus
    takes the policy's density; of a policy without one plain rewards are compared, with the optimum of those.
    """
    if process.soft_response is None:
        return float("nan"), float("nan")
    density = getattr(policy, "log_density", None)
    tau = 0.0 if density is None else temperature
    _, value, _ = process.soft_response(max(tau, NO_TEMPERATURE))
    steps = math.ceil(math.log(1e-4) / math.log(process.follower_discount))
    played, _ = monte_carlo(process, policy, steps, episodes=min(REFEREE_EPISODES, max(100, GAP_STEPS // steps)))
    rewards = played.follower_rewards
    if density is not None:
        rewards = rewards - tau * density(played.states[..., :-1, :], played.leader_actions, played.follower_actions)
    own = discounted(rewards, process.follower_discount)
    gap = float((value(played.states[..., 0, :], played.leader_actions[..., 0, :]) - own).mean())
    return float(own.mean()), max(gap, 0.0)


def fingerprint(process: SampledProcess, count: int = 64) -> np.ndarray:
    """What a process does in a few steps with fixed noise, whose rewards depend on all its constants: for telling worlds apart."""
    rng = np.random.default_rng(0xF16E2)
    s = process.start(rng.random((count, process.noise.start)))
    seen = [s]
    for _ in range(3):
        a = process.lead(s, rng.random((count, process.noise.lead)))
        if isinstance(process.follower_action, Discrete):
            b = rng.integers(process.follower_action.n, size=count)
        else:
            b = np.clip(rng.normal(size=(count, *process.follower_action.shape)), process.follower_action.low, process.follower_action.high)
        arrived, ended = process.step(s, a, b, rng.random((count, process.noise.step)))
        earned, paid = process.rewards(s, a, b, arrived)
        seen += [a, arrived, ended, earned, paid]
        s = arrived
    return np.concatenate([np.ravel(np.asarray(values, dtype=np.float64)) for values in seen])


@dataclass(frozen=True)
class SampledSampler:
    """Single steps of one process, as `stackelberg_envs.play.Sampler` takes them; the state after the end is None."""

    process: SampledProcess

    @property
    def leads(self) -> bool:
        """Whether the leader acts in a step."""
        return self.process.leads > 0

    def over(self, s: Any) -> bool:
        """Whether a state is the end."""
        return s is None

    def initial(self, rng: np.random.Generator) -> np.ndarray:
        """First state, (d,)."""
        return self.process.start(rng.random((1, self.process.noise.start)))[0]

    def leader_action(self, s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The leader's action by its own policy, (k,)."""
        return self.process.lead(s[None], rng.random((1, self.process.noise.lead)))[0]

    def step(
        self, s: np.ndarray, a: np.ndarray | None, actions: Sequence[Any], rng: np.random.Generator
    ) -> tuple[np.ndarray | None, tuple[float, ...], float]:
        """(next state, or None at the end; rewards of the followers; leader reward)."""
        states, leads, chosen = s[None], np.zeros((1, 0)) if a is None else a[None], np.asarray(actions[0])[None]
        arrived, ended = self.process.step(states, leads, chosen, rng.random((1, self.process.noise.step)))
        earned, paid = self.process.rewards(states, leads, chosen, arrived)
        if not (np.isfinite(arrived).all() and np.isfinite(earned).all() and np.isfinite(paid).all()):
            raise FloatingPointError("a state or reward left the reals: the world is unstable under this commitment and these actions")
        return None if bool(ended[0]) else arrived[0], (float(earned[0]),), float(paid[0])
