"""Leader PPO: the leader as an ordinary reinforcement learner, to whom the follower is part of the environment.

Schulman, Wolski, Dhariwal, Radford, Klimov, "Proximal Policy Optimization Algorithms", arXiv 1707.06347, by stable-baselines3 (Raffin et
al., JMLR 2021), on the leader's own actions and rewards alone::

    max  E[ min(ratio A, clip(ratio, 1 - eps, 1 + eps) A) ],   ratio = pi(a|s) / pi_k(a|s),   A by GAE(lambda)

The advantage knows the follower's present answer and not that it will change: what is missing is the hypergradient's whole reaction
term.  The follower answers anew after every update.  As in any PPO, states are not weighted by gamma_L^t.

1. commit to the net: x = log pi(.|s) for all S one-hot states, clipped to the leader's space
2. play whole episodes under x
3. advantages and returns by the library's GAE; a cut episode's last reward gets gamma_L V(s') added, an ended one's nothing
4. ``PPO.train``: ``n_epochs`` passes in minibatches

The net starts at the run's starting point: its last layer solves net(s) = log pi_x(.|s), exactly up to float32 if the layer is as
wide as there are states.

The library draws from the global generators of torch and NumPy; inside `private_generators` they are the solver's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.play.outcomes import Outcome

from .base import Solver, State
from .needs import needs_acting_leader


@dataclass(frozen=True)
class LeaderPPO(Solver):
    """PPO on the leader's own transitions, the follower part of the environment (OUTCOME); one iteration is one update.

    For games in which the leader acts, with one follower and one context.  Needs the extra ``rl``.  Names of hyperparameters are those
    of stable-baselines3.

    Args:
        episodes: how many are played under each commitment.
        hidden: widths of the layers of actor and critic, tanh; empty for tables.
        learning_rate: of Adam.
        n_epochs: passes over a batch.
        batch_size: steps of a minibatch.
        clip_range: eps.
        ent_coef: weight of the entropy bonus.
        vf_coef: weight of the critic's loss.
        gae_lambda: lambda of the advantages.
        max_grad_norm: gradients are clipped to this norm.
    """

    access = Access.OUTCOME
    episodes: int = 9
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    n_epochs: int = 10
    batch_size: int = 150
    clip_range: float = 0.2
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    gae_lambda: float = 0.95
    max_grad_norm: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        positive = (self.episodes, *self.hidden, self.learning_rate, self.n_epochs, self.clip_range, self.max_grad_norm)
        weights = (self.ent_coef, self.vf_coef)
        if not (min(positive) > 0 and min(weights) >= 0 and 0 <= self.gae_lambda <= 1 and self.batch_size > 1):
            raise ValueError(
                "leader_ppo needs positive sizes, rates and clips, ent_coef and vf_coef from 0, gae_lambda in [0, 1] and a batch_size "
                f"from 2, got {self!r}"
            )

    def declines(self, oracle: Oracle) -> str | None:
        return needs_acting_leader("leader_ppo", oracle)

    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        library()  # if it is missing, say so before anything is played
        return State(x)

    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        with private_generators(rng):
            model = self._model(oracle)
            if state.carried is None:
                _start_at(model.policy, np.asarray(oracle.log_leader_policy(state.x)))
            else:
                model.policy.load_state_dict(state.carried["policy"])
                model.policy.optimizer.load_state_dict(state.carried["optimiser"])
            seen = oracle.play(_commitment(model.policy, oracle), episodes=self.episodes)  # 1, 2
            model.rollout_buffer = _fill_rollout_buffer(model, seen, oracle.sizes[0][0])  # 3
            model.train()  # 4
        oracle.charge(gradient_steps=1)
        carried = {"policy": model.policy.state_dict(), "optimiser": model.policy.optimizer.state_dict()}
        row = {
            "played_return": float(seen.leader_returns(oracle.leader_discount).mean()),
            "approx_kl": float(model.logger.name_to_value["train/approx_kl"]),
        }
        return State(_commitment(model.policy, oracle), state.iteration + 1, carried, row)

    def _model(self, oracle: Oracle) -> Any:
        """A fresh model of the library; what it has learned is carried as tensors, which pickle under every version of it."""
        ppo, logger = library()
        s, a, _ = oracle.sizes[0]
        model = ppo(
            "MlpPolicy",
            OneHotSpaces(s, a),
            learning_rate=self.learning_rate,
            n_steps=self.batch_size,  # of a buffer that is replaced
            batch_size=self.batch_size,
            n_epochs=self.n_epochs,
            gamma=oracle.leader_discount,
            gae_lambda=self.gae_lambda,
            clip_range=self.clip_range,
            ent_coef=self.ent_coef,
            vf_coef=self.vf_coef,
            max_grad_norm=self.max_grad_norm,
            policy_kwargs={"net_arch": list(self.hidden)},
            device="cpu",
        )
        model.set_logger(logger(None, []))
        return model


@contextmanager
def private_generators(rng: np.random.Generator) -> Iterator[None]:
    """Inside, the global generators of torch and NumPy are seeded by ``rng``; afterwards they are as they were."""
    before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - whoever uses them gets them back
    torch.set_rng_state(torch.Generator().manual_seed(int(rng.integers(2**32))).get_state())
    np.random.set_state(np.random.RandomState(int(rng.integers(2**32))).get_state())  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        torch.set_rng_state(before[1])


class OneHotSpaces(gymnasium.Env[np.ndarray, np.int64]):
    """What the library asks of an environment that is never stepped: one-hot states, and a player's actions."""

    def __init__(self, states: int, actions: int) -> None:
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (states,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(actions)


def library() -> tuple[Any, Any]:
    """(PPO, Logger) of stable-baselines3."""
    try:
        from stable_baselines3 import PPO
        from stable_baselines3.common.logger import Logger
    except ImportError as error:
        raise ImportError("PPO needs stable-baselines3: pip install 'stackelberg-envs[rl]'") from error
    return PPO, Logger


def log_policy(policy: Any) -> torch.Tensor:
    """log pi(a|s) of the net at every one-hot state, (S, A), float64."""
    with torch.no_grad():
        logits = policy.get_distribution(torch.eye(policy.observation_space.shape[0])).distribution.logits
    return torch.log_softmax(logits.double(), -1)


def _commitment(policy: Any, oracle: Oracle) -> np.ndarray:
    """The net as a commitment, (S * A,)."""
    return np.clip(log_policy(policy).numpy().ravel(), oracle.leader_space.low, oracle.leader_space.high)


def _start_at(policy: Any, logits: np.ndarray) -> None:
    """Set the last layer so that the net's logits are ``logits`` (S, A), in the sense of least squares."""
    with torch.no_grad():
        latent = policy.mlp_extractor.forward_actor(torch.eye(len(logits))).double()
        solved = torch.linalg.lstsq(latent, torch.tensor(logits)).solution
        policy.action_net.weight.copy_(solved.T)
        policy.action_net.bias.zero_()


def _fill_rollout_buffer(model: Any, seen: Outcome, states: int) -> Any:
    """The library's rollout buffer with the episodes laid end to end, advantages and returns computed."""
    alive = seen.alive[:, 0]
    at, after = seen.states[:, 0, :-1][alive], seen.states[:, 0, 1:][alive]
    with torch.no_grad():
        worth = np.append(model.policy.predict_values(torch.eye(states)).numpy(), 0.0)  # of the end: nothing
    rewards = seen.leader_rewards[alive] + model.gamma * worth[after] * last_steps(alive)
    return rollout_buffer(model, at, seen.leader_actions[:, 0][alive], rewards, alive)


def last_steps(alive: np.ndarray) -> np.ndarray:
    """Which of the played steps, of episodes (N, T) laid end to end, are the last of their episode, (M,)."""
    return (np.arange(alive.shape[1]) == alive.sum(axis=1)[:, None] - 1)[alive]


def rollout_buffer(model: Any, at: np.ndarray, actions: np.ndarray, rewards: np.ndarray, alive: np.ndarray) -> Any:
    """The library's rollout buffer of steps at one-hot observations ``at`` (M,), episodes (N, T) laid end to end, with advantages.

    What is worth more beyond the last step of an episode is part of its ``rewards``.
    """
    starts = (np.arange(alive.shape[1]) == 0) & alive
    observations = torch.eye(model.observation_space.shape[0])[torch.as_tensor(at)]
    chosen = torch.as_tensor(actions)
    with torch.no_grad():
        values, log_probs, _ = model.policy.evaluate_actions(observations, chosen)
    buffer = type(model.rollout_buffer)(
        len(at), model.observation_space, model.action_space, device="cpu", gae_lambda=model.gae_lambda, gamma=model.gamma
    )
    for table, entries in (
        (buffer.observations, observations.numpy()),
        (buffer.actions, chosen.numpy()[:, None]),
        (buffer.rewards, rewards),
        (buffer.episode_starts, starts[alive]),
        (buffer.values, values.numpy()[:, 0]),
        (buffer.log_probs, log_probs.numpy()),
    ):
        table[:, 0] = entries
    buffer.pos, buffer.full = len(at), True
    buffer.compute_returns_and_advantage(torch.zeros(1), np.ones(1, dtype=bool))
    return buffer
