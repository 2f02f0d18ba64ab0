"""A follower with networks in games with tables: proximal policy optimisation, with the entropy bonus that its soft answer has.

Schulman, Wolski, Dhariwal, Radford, Klimov, "Proximal Policy Optimization Algorithms", arXiv 1707.06347, by stable-baselines3 (Raffin et
al., JMLR 2021), on the follower's own actions and rewards alone, at a fixed temperature tau::

    max  E[ min(ratio A, clip(ratio, 1 - eps, 1 + eps) A) ],   ratio = g(b|n) / g_k(b|n),   A by GAE(lambda) of r - tau log g_k(b|n)

n is the node at which the follower decides, s or (s, a), given to the networks one-hot.  The bonus is part of the rewards, and not of the
loss (``ent_coef``), so that the fixed point is the soft response, whose values count the entropy of later steps.

1. play episodes under g_k
2. advantages by the library's GAE; the last reward of an episode that was cut gets gamma V(s') added
3. ``PPO.train``: ``n_epochs`` passes in minibatches
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from stackelberg_envs.arguments import CheckedArguments, real, whole
from stackelberg_envs.followers.exact import Soft
from stackelberg_envs.game import StackelbergGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.policy_iteration import regret
from stackelberg_envs.processes.mdp import MDP, broadcast_over_leader_actions, decision_problem
from stackelberg_envs.response import Answer, Response

from .leader_ppo import OneHotSpaces, last_steps, library, log_policy, private_generators, rollout_buffer


@dataclass(frozen=True)
class PPOState:
    """What a `PPO` follower carries from answer to answer; tensors, which pickle under every version of the library."""

    weights: dict[str, Any]
    """Of actor and critic."""
    optimiser: dict[str, Any]
    updates: int
    """Updates so far."""
    commitment: np.ndarray
    """What it was trained under last."""


@dataclass(frozen=True)
class PPO(CheckedArguments):
    """A follower that makes ``updates`` updates of PPO before each answer; one follower, games with tables.

    The certificate of an answer is its exact exploitability, as that of `stackelberg_envs.SoftQLearning`; nothing that it learns comes
    from there.  Needs the extra ``rl``.  A generator determines the answer, bit for bit on a CPU; without one it is generator 0.

    Args:
        temperature: tau, above 0.
        updates: of an answer, if ``budget`` does not say.
        start: what a new commitment finds: the networks of the last answer (``"carry"``), or untrained ones (``"reset"``).
        episodes: played for an update.
        horizon: steps after which an episode is cut.
        hidden: widths of the hidden layers, of actor and critic each.
        learning_rate: of Adam; 0.003 and 0.01 were tried on toy3 and a Garnet at x = 0.
        batch_size: steps of a minibatch.
        n_epochs: passes over the steps of an update.
        gae_lambda: lambda.
        clip_range: eps.
    """

    temperature: float
    updates: int = 1
    start: Literal["carry", "reset"] = "carry"
    episodes: int = 4
    horizon: int = 25
    hidden: tuple[int, ...] = (32,)
    learning_rate: float = 1e-2
    batch_size: int = 100
    n_epochs: int = 5
    gae_lambda: float = 0.95
    clip_range: float = 0.2

    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(whole("hidden of PPO", width, 1) for width in self.hidden))
        for name in ("updates", "episodes", "horizon", "n_epochs"):
            whole(f"{name} of PPO", getattr(self, name), 1)
        whole("batch_size of PPO", self.batch_size, 2)
        for name in ("temperature", "learning_rate", "clip_range"):
            real(f"{name} of PPO", getattr(self, name), 0, open_low=True)
        real("gae_lambda of PPO", self.gae_lambda, 0, 1)

    @property
    def judge(self) -> Soft:
        """The exact follower whose answer is its fixed point."""
        return Soft(self.temperature)

    def respond(
        self,
        game: StackelbergGame,
        x: Any,
        context: int | str = 0,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
        state: PPOState | None = None,
    ) -> Response:
        """Make ``budget`` (or ``updates``) updates, and respond; see `stackelberg_envs.game.Follower.respond`.

        Raises:
            PlanningError: in worlds without tables, of several followers, or whose followers lack actions or see signals; for batches of
                commitments.
            ImportError: if stable-baselines3 is missing.
        """
        count = self.updates if budget is None else whole("budget", budget, 1)
        if not isinstance(x, np.ndarray) or x.ndim != 1:
            raise PlanningError(f"{self!r} learns one commitment at a time, a NumPy array of one axis; got {type(x).__name__}")
        if not game.tabular or game.followers > 1 or game.masked or "signal" in game.visibility:
            raise PlanningError(
                f"{self!r} answers for one follower in a world with tables, in which all actions are available and no signal is seen; "
                f"{game.name} is another"
            )
        (world,) = game.problems(x, context)
        mdp: MDP = world.tables_for(self)
        noise, played = np.random.default_rng(0) if rng is None else rng, 0
        known = state if state is not None and (self.start == "carry" or np.array_equal(state.commitment, x)) else None
        with private_generators(noise):
            model = self._model(mdp)
            if known is not None:
                model.policy.load_state_dict(known.weights)
                model.policy.optimizer.load_state_dict(known.optimiser)
            for _ in range(count):
                model.rollout_buffer = self._rollout(model, world, noise)  # 1, 2
                played += model.rollout_buffer.pos
                model.train()  # 3
        policy, values = _tables(model, mdp)
        gap = float(regret(mdp, policy, self.temperature).max())
        updates, trained = model._n_updates, (known.updates if known else 0) + count
        answer = Answer(
            *(policy, values, gap, 0),
            planned_in=mdp,
            training_steps=played,
            actor_updates=updates,  # passes over the steps of an update, each of actor and critic at once
            critic_updates=updates,
        )
        return Response((answer,), state=PPOState(model.policy.state_dict(), model.policy.optimizer.state_dict(), trained, x.copy()))

    def _rollout(self, model: Any, world: Any, rng: np.random.Generator) -> Any:
        """Steps 1 and 2: the library's buffer of played episodes."""
        mdp: MDP = world.tables_for(self)
        policy, values = _tables(model, mdp)
        (seen,) = world.play((policy,), np.full(self.episodes, self.horizon), rng)
        nodes = _nodes(mdp)
        alive, s, a, b = seen.alive, seen.states[:, :-1], seen.leader_actions, seen.follower_actions
        at = (s * nodes + (a if nodes > 1 else 0))[alive]
        bonus = -self.temperature * np.log(policy[np.minimum(s, len(policy) - 1), a, b])
        ahead = mdp.follower_discount * np.append(values, 0.0)[seen.states[:, 1:][alive]]  # after the end: nothing
        rewards = (seen.follower_rewards + bonus)[alive] + ahead * last_steps(alive)
        return rollout_buffer(model, at, b[alive], rewards, alive)

    def _model(self, mdp: MDP) -> Any:
        """A fresh model of the library."""
        ppo, logger = library()
        s, _, b = mdp.sizes
        model = ppo(
            "MlpPolicy",
            OneHotSpaces(s * _nodes(mdp), b),
            learning_rate=self.learning_rate,
            n_steps=self.batch_size,  # of a buffer that is replaced
            batch_size=self.batch_size,
            n_epochs=self.n_epochs,
            gamma=mdp.follower_discount,
            gae_lambda=self.gae_lambda,
            clip_range=self.clip_range,
            ent_coef=0.0,
            policy_kwargs={"net_arch": list(self.hidden)},
            device="cpu",
        )
        model.set_logger(logger(None, []))
        return model


def _nodes(mdp: MDP) -> int:
    """At how many nodes of a state the follower decides: one, or one for each action of the leader that it sees."""
    return mdp.sizes[1] if mdp.follower_sees == "action" else 1


def _tables(model: Any, mdp: MDP) -> tuple[np.ndarray, np.ndarray]:
    """The actor as a policy (S, A, B), and the critic's values (S,): means over the leader's actions where the follower sees them."""
    s, nodes = mdp.sizes[0], _nodes(mdp)
    policy = log_policy(model.policy).exp().numpy().reshape(s, nodes, -1)
    policy = policy / policy.sum(-1, keepdims=True)
    with torch.no_grad():
        worth = model.policy.predict_values(torch.eye(s * nodes)).double().numpy().reshape(s, nodes)
    weight = decision_problem(mdp, mdp.follower_reward).weight
    return broadcast_over_leader_actions(policy, mdp), (weight * worth).sum(-1)
