"""Followers that learn by themselves: soft actor-critic in worlds without tables.

Haarnoja, Zhou, Abbeel, Levine, "Soft Actor-Critic", ICML 2018 (arXiv 1801.01290) and arXiv 1812.05905, by stable-baselines3 (Raffin et al.,
JMLR 2021), on the follower's own environment (`stackelberg_envs.views.gym.FollowerEnv`), at a fixed temperature tau::

    y = r + gamma (min_i Q_i'(s', b') - tau log g(b'|s')),  b' ~ g      Q_i by (Q_i(s, b) - y)^2
    g by E[tau log g(b|s) - min_i Q_i(s, b)],  b = squashed Gaussian    Q_i' follows Q_i

so that what it learns is an approximation of the soft response at tau, **without a certificate** (NaN).  States are what the follower
observes: its state, the leader's action, and the commitment; one network can so answer many commitments, and keep what it learnt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from stackelberg_envs.arguments import CheckedArguments, real, whole
from stackelberg_envs.game import StackelbergGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.processes.arrays import Array, array_namespace
from stackelberg_envs.processes.gaussian import rows
from stackelberg_envs.processes.sampled import normal
from stackelberg_envs.response import Answer, Response
from stackelberg_envs.views.episode import Episode
from stackelberg_envs.views.gym import FollowerEnv
from stackelberg_envs.views.slots import encode, slot

from .leader_ppo import private_generators

LOG_STD = (-20.0, 2.0)
"""The library's bounds of log standard deviations."""


@dataclass(frozen=True)
class SquashedNet:
    """The library's actor as an `Actor`: b = centre + half tanh(mu(o) + sd(o) z), o = (context, s, 1, a, 1, x).

    Plain arrays in double precision, so that batches of episodes run in NumPy or torch, and pickles need no library.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Weight and bias of each layer with a rectifier behind it."""
    mu: tuple[np.ndarray, np.ndarray]
    log_std: tuple[np.ndarray, np.ndarray]
    before: np.ndarray
    """What is observed before the state."""
    commitment: np.ndarray
    low: np.ndarray
    high: np.ndarray
    deterministic: bool = False

    @property
    def noise(self) -> int:
        """A variate a component, or none."""
        return 0 if self.deterministic else len(self.low)

    def act(self, states: Array, leads: Array, u: Array) -> Array:
        """See `stackelberg_envs.processes.sampled.Actor.act`."""
        xp = array_namespace(states)

        def like(table: np.ndarray) -> Array:
            return xp.asarray(table, dtype=states.dtype, device=states.device)

        one, seen = xp.ones_like(states[..., :1]), [states]
        seen += [one, leads, one] if leads.shape[-1] else [one]
        seen = [one * like(self.before), *seen, one * like(self.commitment)]
        hidden = xp.concat(seen, axis=-1)
        for weight, bias in self.layers:
            hidden = xp.clip(rows(hidden, like(weight)) + like(bias), 0.0, None)
        mean = rows(hidden, like(self.mu[0])) + like(self.mu[1])
        if not self.deterministic:
            log_std = xp.clip(rows(hidden, like(self.log_std[0])) + like(self.log_std[1]), *LOG_STD)
            mean = mean + xp.exp(log_std) * normal(u)
        low, high = like(self.low), like(self.high)
        return low + 0.5 * (high - low) * (xp.tanh(mean) + 1)


@dataclass(frozen=True)
class SACState:
    """What a `SAC` follower carries from answer to answer; tensors and arrays, which pickle under every version of the library."""

    weights: dict[str, Any]
    """Of actor, critics and their targets."""
    optimisers: tuple[dict[str, Any], dict[str, Any]]
    memory: dict[str, np.ndarray]
    """The replayed steps; empty where they are not kept."""
    trained: int
    """Environment steps so far."""
    commitment: np.ndarray
    """What it was trained under last."""


@dataclass(frozen=True)
class SAC(CheckedArguments):
    """A follower that trains by soft actor-critic for ``steps`` environment steps before each answer.

    For one follower in a world without tables whose action is a vector.  Needs the extra ``rl``.  A generator determines the answer, bit
    for bit on a CPU; without one (a referee has none) it is generator 0.

    Args:
        steps: environment steps of an answer, if ``budget`` does not say.
        temperature: tau, in units of reward, of the log density of actions scaled to [-1, 1].
        start: what a new commitment finds: the networks of the last answer (``"carry"``), or untrained ones (``"reset"``).
        keep_memory: whether replayed steps are carried too; they were earned under earlier commitments, which the network sees.
        deterministic: answer with the squashed mean, and not with the whole policy.
        hidden: widths of the layers.
        learning_rate: of Adam, for all networks.
        batch_size: replayed steps a gradient step.
        memory: how many steps are replayed from.
        learning_starts: random steps at the very beginning.
        train_freq: environment steps between gradient steps.
        gradient_steps: that many then.
        follow: the rate at which target networks follow.
        progress: called with (steps so far, steps), every hundred.
    """

    steps: int = 20_000
    temperature: float = 0.02
    start: Literal["carry", "reset"] = "carry"
    keep_memory: bool = True
    deterministic: bool = False
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    batch_size: int = 128
    memory: int = 100_000
    learning_starts: int = 500
    train_freq: int = 1
    gradient_steps: int = 1
    follow: float = 0.005
    progress: Callable[[int, int], None] | None = field(default=None, repr=False, compare=False)

    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(whole("hidden", width, 1) for width in self.hidden))
        for name in ("steps", "memory", "train_freq", "gradient_steps"):
            whole(name, getattr(self, name), 1)
        whole("batch_size", self.batch_size, 2)
        whole("learning_starts", self.learning_starts, 0)
        real("temperature", self.temperature, 0.0)
        real("learning_rate", self.learning_rate, 0.0, open_low=True)
        real("follow", self.follow, 0.0, 1.0, open_low=True)

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
        """See `stackelberg_envs.game.Follower.respond`; ``budget`` counts environment steps.

        Raises:
            PlanningError: in a world with tables, of several followers, or of discrete actions; for batches of commitments.
            ImportError: if stable-baselines3 is missing.
        """
        sac, _ = _library()
        index, committed = game.context_index(context), _to_numpy(x)
        if game.tabular or game.followers > 1 or not isinstance(game.spaces[0].action, Box):
            raise PlanningError(f"{self!r} answers for one follower whose states and actions are vectors, and in {game.name} they are not")
        if committed.ndim != 1:
            raise PlanningError(f"SAC learns one commitment at a time, got shape {committed.shape}")
        steps = self.steps if budget is None else whole("budget", budget, 1)
        rng = np.random.default_rng(0) if rng is None else rng
        with private_generators(rng):
            env = _CommittedFollowerEnv(game, committed, index, int(rng.integers(2**31)))
            model = self._model(sac, env, game.problems(committed, index)[0].follower_discount)
            env.action_space.seed(int(rng.integers(2**31)))
            model.action_space.seed(int(rng.integers(2**31)))
            known = 0
            if isinstance(state, SACState) and (self.start == "carry" or np.array_equal(state.commitment, committed)):
                known = state.trained
                _restore(model, state)
            _learn(model, steps, self.progress)
        actor = SquashedNet(**_layers(model), **_observation_parts(game, index, committed), deterministic=self.deterministic)
        memory = _memory(model.replay_buffer) if self.keep_memory else {}
        optimisers = (model.actor.optimizer.state_dict(), model.critic.optimizer.state_dict())
        carried = SACState(model.policy.state_dict(), optimisers, memory, known + steps, committed.copy())
        return Response(
            (
                Answer(
                    actor,
                    math.nan,
                    math.nan,
                    evaluations=0,
                    training_steps=steps,
                    actor_updates=model._n_updates,  # of this call: the model is new
                    critic_updates=model._n_updates,
                ),
            ),
            state=carried,
        )

    def _model(self, sac: Any, env: Any, discount: float) -> Any:
        """A fresh model of the library."""
        return sac(
            "MlpPolicy",
            env,
            learning_rate=self.learning_rate,
            buffer_size=self.memory,
            learning_starts=self.learning_starts,
            batch_size=self.batch_size,
            tau=self.follow,
            gamma=discount,
            train_freq=self.train_freq,
            gradient_steps=self.gradient_steps,
            ent_coef=self.temperature,
            policy_kwargs={"net_arch": list(self.hidden)},
            device="cpu",
        )


class _UnboundedCommitmentEpisode(Episode):
    """Leaders of solvers commit to anything in R^n, as `stackelberg_envs.game.StackelbergGame.commit` takes it; views check the range."""

    def legal_commitment(self, action: Any) -> np.ndarray:
        return np.array(self.game.check_commitment(action), dtype=np.float64)


class _CommittedFollowerEnv(FollowerEnv):
    """The follower's environment under any one commitment in one context; the first reset is seeded, whoever calls it."""

    def __init__(self, game: StackelbergGame, x: np.ndarray, context: int, seed: int) -> None:
        super().__init__(game)
        self.episode = _UnboundedCommitmentEpisode(game, view="commitment", observations="vector", max_cycles=None)
        self.commitment = self.episode.legal_commitment(x)
        self._context, self._seed = context, seed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        seed, self._seed = (self._seed if seed is None else seed), None
        return super().reset(seed=seed, options={**(options or {}), "context": self._context})


def _library() -> tuple[Any, Any]:
    """(SAC, BaseCallback) of stable-baselines3."""
    try:
        from stable_baselines3 import SAC as Library  # noqa: N811 - ours has the same name
        from stable_baselines3.common.callbacks import BaseCallback
    except ImportError as error:
        raise ImportError("SAC needs stable-baselines3: pip install 'stackelberg-envs[rl]'") from error
    return Library, BaseCallback


def _learn(model: Any, steps: int, progress: Callable[[int, int], None] | None) -> None:
    _, base = _library()

    class Reporting(base):
        def _on_step(self) -> bool:
            if progress is not None and (self.n_calls % 100 == 0 or self.n_calls == steps):
                progress(self.n_calls, steps)
            return True

    if model.replay_buffer.size() > 0:
        model.learning_starts = 0
    model.learn(steps, callback=Reporting(), log_interval=None)


def _restore(model: Any, state: SACState) -> None:
    model.policy.load_state_dict(state.weights)
    for optimiser, carried in zip((model.actor.optimizer, model.critic.optimizer), state.optimisers, strict=True):
        optimiser.load_state_dict(carried)
    if state.memory:
        buffer = model.replay_buffer
        kept = min(len(state.memory["rewards"]), buffer.buffer_size)
        for name, table in state.memory.items():
            getattr(buffer, name)[:kept] = table[-kept:]
        buffer.pos, buffer.full = kept % buffer.buffer_size, kept == buffer.buffer_size


def _memory(buffer: Any) -> dict[str, np.ndarray]:
    """The replayed steps, oldest first."""
    order = np.roll(np.arange(buffer.buffer_size), -buffer.pos) if buffer.full else np.arange(buffer.pos)
    names = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
    return {name: getattr(buffer, name)[order] for name in names}


def _layers(model: Any) -> dict[str, Any]:
    """The actor's weights."""
    actor = model.policy.actor

    def linear(layer: Any) -> tuple[np.ndarray, np.ndarray]:
        return layer.weight.detach().double().numpy().copy(), layer.bias.detach().double().numpy().copy()

    hidden = tuple(linear(layer) for layer in actor.latent_pi if isinstance(layer, torch.nn.Linear))
    return {"layers": hidden, "mu": linear(actor.mu), "log_std": linear(actor.log_std)}


def _observation_parts(game: StackelbergGame, context: int, x: np.ndarray) -> dict[str, Any]:
    """What the follower observes beside its state and the leader's action, and the bounds of its own."""
    before = np.zeros(0)
    if len(game.contexts) > 1:
        before = encode([slot(Discrete(len(game.contexts)))], [context]).astype(np.float64)
    action = game.spaces[0].action
    assert isinstance(action, Box)
    return {"before": before, "commitment": x, "low": action.low, "high": action.high}


def _to_numpy(x: Array) -> np.ndarray:
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, dtype=np.float64)
