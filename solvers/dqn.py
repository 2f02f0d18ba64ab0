"""A follower that learns by a regularised deep Q-network, with an independent head for each part of its action.

The follower of the tax experiment of Thoma, Pasztor, Krause, Ramponi, Hu, "Contextual Bilevel Reinforcement Learning for Incentive
Alignment", NeurIPS 2024, arXiv 2406.01575, specified from their public code.  One network d-64-64 (ReLU) ends in heads h, one for each
part b_h of the action (hours and three spendings), and with tau the temperature and ``-`` the target network::

    g(b|s) = prod_h softmax(Q_h(s, .) / tau)(b_h)
    Q_h(s, b_h)  regresses on  r + gamma (1 - done) tau log sum exp(Q_h-(s', .) / tau)          for every h

Each head learns as if the others were part of the world: independent learners, and not the joint softmax of the theory, whose follower is
``correlated=True``, one head over all actions.  As published, the cut of an episode counts as its end (``done``).

In each step ``environments`` copies of the world move (1.), by the policy or, with a probability that falls from 1 to 0.1 over the first
third of the steps, evenly, one coin for all (2.); what happened goes into a replay memory (3.); once that is full, or holds as much as it
ever will, one batch from it makes one step of Adam (4.); and the target network is copied every ``copy_every`` steps (5.).
"""

from __future__ import annotations

import copy
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium.spaces import Discrete

from stackelberg_envs.arguments import CheckedArguments, real, whole
from stackelberg_envs.followers.exact import Soft
from stackelberg_envs.game import StackelbergGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.processes.inverse_cdf import cumulative, inverse_cdf
from stackelberg_envs.response import Answer, Response
from stackelberg_envs.worlds.sampled import SampledProcess

from .base import deferred_interrupts

PUBLISHED_STEPS = 300_000
FIRST_EXPLORATION, LAST_EXPLORATION = 1.0, 0.1


class TrainingStopped(KeyboardInterrupt):
    """Ctrl-C between two training steps; ``state`` is where training stood: give it to `DQN.respond` to go on."""

    def __init__(self, state: DQNState) -> None:
        super().__init__(f"training was stopped after {state.steps} steps; respond(..., state=error.state) goes on from there")
        self.state = state


@dataclass
class DQNState:
    """A deep Q-network in the middle of its training in one world; picklable."""

    commitment: np.ndarray
    """What it was trained under last."""
    net: torch.nn.Sequential
    target: torch.nn.Sequential
    optimiser: torch.optim.Optimizer
    states: np.ndarray
    """Where the worlds stand, (E, d)."""
    clock: np.ndarray
    """Steps since their episodes began, (E,)."""
    memory: tuple[torch.Tensor, ...] = ()
    """States (M, d), actions (M, H), rewards (M,), next states (M, d) and ends (M,)."""
    filled: int = 0
    """Transitions that have been written to the memory."""
    steps: int = 0
    """Training steps so far."""


@dataclass(frozen=True)
class HeadsPolicy:
    """The product of the heads' softmax policies, an `stackelberg_envs.processes.sampled.Actor`."""

    weights: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Of each layer, (out, in) and (out,)."""
    parts: tuple[int, ...]
    temperature: float

    @property
    def noise(self) -> int:
        """One variate a head."""
        return len(self.parts)

    def heads(self, states: np.ndarray) -> list[np.ndarray]:
        """softmax(Q_h / tau) of each head, (..., parts[h])."""
        z = np.asarray(states, dtype=np.float64)
        for i, (weight, bias) in enumerate(self.weights):
            z = (np.maximum(z, 0.0) if i else z) @ weight.T + bias
        split = np.split(z / self.temperature, np.cumsum(self.parts)[:-1], axis=-1)
        powers = [np.exp(q - q.max(axis=-1, keepdims=True)) for q in split]
        return [power / power.sum(axis=-1, keepdims=True) for power in powers]

    def act(self, states: np.ndarray, leads: np.ndarray, u: np.ndarray) -> np.ndarray:
        """See `stackelberg_envs.processes.sampled.Actor.act`; actions are row-major in the parts."""
        del leads
        chosen = [np.minimum(inverse_cdf(cumulative(head), u[..., h]), self.parts[h] - 1) for h, head in enumerate(self.heads(states))]
        return np.asarray(np.ravel_multi_index(tuple(chosen), self.parts))

    def log_density(self, states: np.ndarray, leads: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """log g(b|s), (...)."""
        del leads
        chosen = np.unravel_index(actions, self.parts)
        picked = [np.take_along_axis(head, b[..., None], axis=-1)[..., 0] for head, b in zip(self.heads(states), chosen, strict=True)]
        return np.sum(np.log(picked), axis=0)

    def probabilities(self, states: np.ndarray) -> np.ndarray:
        """g(b|s), (N, B), of states (N, d)."""
        joint = np.ones((len(states), 1))
        for head in self.heads(states):
            joint = (joint[:, :, None] * head[:, None, :]).reshape(len(states), -1)
        return joint


@dataclass(frozen=True)
class DQN(CheckedArguments):
    """The published follower; see the module's docstring.

    The certificate of an answer is its exact exploitability where the world has exact scores (``follower_score``): in the tax economy, how
    much the consumer who lives on the grid would gain from the best answer there; else NaN.  Nothing that it learns comes from there.

    Args:
        temperature: tau, above 0.
        steps: training steps an answer, published: 300,000; the ``budget`` of `respond` goes before it.  Exploration falls over the first
            third of ``steps``, whatever the budget, so that a training with fewer steps is the published one, shortened.
        correlated: one head over the joint action.
        start: what a new commitment finds: an untrained network (``"reset"``, as published) or the last one with an empty memory
            (``"carry"``).
        environments: worlds that move in each step.
        learning_rate: of Adam.
        clip: largest global norm of a gradient.
        replay: size of the memory, in transitions; learning starts when it has been filled once.
        batch: transitions of a learning step.
        copy_every: steps between two copies of the target network.
        hidden: width of the two hidden layers.
        progress: called with (steps taken, steps asked) after every hundred, and at the end; `baselines.studies.dqn_tax` makes a bar of it,
        with an
            estimate of the time that is left.
    """

    temperature: float
    steps: int = PUBLISHED_STEPS
    correlated: bool = False
    start: Literal["carry", "reset"] = "reset"
    environments: int = 10
    learning_rate: float = 5e-5
    clip: float = 1.0
    replay: int = 10_000
    batch: int = 1_000
    copy_every: int = 500
    hidden: int = 64
    progress: Callable[[int, int], None] | None = field(default=None, repr=False, compare=False)

    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        real("temperature of DQN", self.temperature, 0, open_low=True)
        real("learning_rate of DQN", self.learning_rate, 0, open_low=True)
        real("clip of DQN", self.clip, 0, open_low=True)
        for name in ("steps", "environments", "replay", "batch", "copy_every", "hidden"):
            whole(f"{name} of DQN", getattr(self, name), 1)

    @property
    def judge(self) -> Soft:
        """The exact follower of the theory."""
        return Soft(self.temperature)

    @property
    def fraction(self) -> float:
        """``steps``, as a share of the published ones."""
        return self.steps / PUBLISHED_STEPS

    def respond(
        self,
        game: StackelbergGame,
        x: Any,
        context: int | str = 0,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
        state: DQNState | None = None,
    ) -> Response:
        """Train for ``budget`` (or ``steps``) steps, and answer; see `stackelberg_envs.game.Follower.respond`.

        Without ``rng``, the noise is that of seed 0.  ``state`` itself is left as it is.

        Raises:
            PlanningError: for batches of commitments, other arrays than NumPy's, several followers, and worlds that have tables, no
                discrete actions, or a leader who acts in each step.
            TrainingStopped: at Ctrl-C, with the state to go on from.  Inside `solvers.solve` Ctrl-C waits for the solver's step instead.
        """
        count = self.steps if budget is None else whole("budget", budget, 0)
        if not isinstance(x, np.ndarray) or x.ndim != 1:
            raise PlanningError(f"{self!r} learns one commitment at a time, a NumPy array of one axis; got {type(x).__name__}")
        process, *others = game.problems(x, context)
        if others or not isinstance(process, SampledProcess) or not isinstance(process.follower_action, Discrete):
            raise PlanningError(f"{self!r} is for one follower with discrete actions in a world without tables, and {game.name} is another")
        if process.leads > 0:
            raise PlanningError(f"DQN is for design games: its network does not see the leader's actions, and in {game.name} it acts")
        noise = np.random.default_rng(0) if rng is None else rng
        learner = self._initial_state(process, x, state, noise)
        updates = 0
        with _interrupts() as interrupted:
            for i in range(count):
                updates += self._step(process, learner, game.max_cycles, noise)
                if self.progress is not None and ((i + 1) % 100 == 0 or i + 1 == count):
                    self.progress(i + 1, count)
                if interrupted():
                    raise TrainingStopped(learner)
        policy = self._policy(process, learner)
        exact = process.follower_score is not None
        gap = float(process.follower_score(policy, self.temperature, game.max_cycles)[2]) if exact else float("nan")
        world: Any = process
        answer = Answer(policy, None, gap, 0, planned_in=world, training_steps=count * self.environments, critic_updates=updates)
        return Response((answer,), state=learner)

    def _head_sizes(self, process: SampledProcess) -> tuple[int, ...]:
        assert isinstance(process.follower_action, Discrete)
        together = self.correlated or not process.action_parts
        return (int(process.follower_action.n),) if together else process.action_parts

    def _initial_state(self, process: SampledProcess, x: np.ndarray, old: DQNState | None, rng: np.random.Generator) -> DQNState:
        """The state in which training under commitment ``x`` begins."""
        if old is not None and np.array_equal(old.commitment, x):
            return copy.deepcopy(old)
        begun = process.start(rng.random((self.environments, process.noise.start)))
        parts, d, clock = self._head_sizes(process), begun.shape[-1], np.zeros(self.environments, dtype=np.int64)
        memory = tuple(
            torch.zeros(shape, dtype=torch.int64 if i == 1 else torch.float32)
            for i, shape in enumerate([(self.replay, d), (self.replay, len(parts)), (self.replay,), (self.replay, d), (self.replay,)])
        )
        if old is not None and self.start == "carry":
            kept = copy.deepcopy(old)
            return DQNState(x.copy(), kept.net, kept.target, kept.optimiser, begun, clock, memory, 0, old.steps)
        net = _network((d, self.hidden, self.hidden), parts, int(rng.integers(2**63)))
        optimiser = torch.optim.Adam(net.parameters(), lr=self.learning_rate, fused=True)
        return DQNState(x.copy(), net, copy.deepcopy(net).requires_grad_(False), optimiser, begun, clock, memory)

    def _policy(self, process: SampledProcess, learner: DQNState) -> HeadsPolicy:
        layers = [layer for layer in learner.net if isinstance(layer, torch.nn.Linear)]
        weights = tuple(tuple(w.detach().double().numpy() for w in (layer.weight, layer.bias)) for layer in layers)
        return HeadsPolicy(weights, self._head_sizes(process), self.temperature)  # type: ignore[arg-type]

    def _step(self, process: SampledProcess, learner: DQNState, limit: int, rng: np.random.Generator) -> bool:
        """One step of training; whether the network learned."""
        parts, n = self._head_sizes(process), self.environments
        explored = min(1.0, learner.steps / max(1, self.steps // 3))
        leads = process.lead(learner.states, rng.random((n, process.noise.lead)))
        evenly = rng.random() < FIRST_EXPLORATION + explored * (LAST_EXPLORATION - FIRST_EXPLORATION)
        u = rng.random((n, len(parts)))
        if evenly:
            chosen = np.floor(u * parts).astype(np.int64)  # 2.
        else:
            with torch.no_grad():
                q = learner.net(torch.from_numpy(learner.states.astype(np.float32))) / self.temperature
            reached = [torch.softmax(head, -1).double().cumsum(-1).numpy() for head in q.split(parts, dim=-1)]
            chosen = np.stack(
                [np.minimum(inverse_cdf(head / head[:, -1:], u[:, h]), parts[h] - 1) for h, head in enumerate(reached)], axis=-1
            )
        actions = np.ravel_multi_index(tuple(chosen.T), parts)
        arrived, ended = process.step(learner.states, leads, actions, rng.random((n, process.noise.step)))  # 1.
        earned, _ = process.rewards(learner.states, leads, actions, arrived)
        learner.clock += 1
        done = ended | (learner.clock >= limit)
        at = torch.from_numpy((learner.filled + np.arange(n)) % self.replay)
        for column, values in zip(learner.memory, (learner.states, chosen, earned, arrived, done), strict=True):  # 3.
            column[at] = torch.from_numpy(np.asarray(values)).to(column.dtype)
        learner.filled += n
        if done.any():
            begun = process.start(rng.random((n, process.noise.start)))
            arrived = np.where(done[:, None], begun, arrived)
            learner.clock[done] = 0
        learner.states = arrived
        learned = learner.filled > self.replay
        if learned:
            self._learn(process.follower_discount, parts, learner, rng)  # 4.
        learner.steps += 1
        if learner.steps % self.copy_every == 0:  # 5.
            learner.target.load_state_dict(learner.net.state_dict())
        return learned

    def _learn(self, gamma: float, parts: tuple[int, ...], learner: DQNState, rng: np.random.Generator) -> None:
        """One step of Adam on the mean squared error over batch and heads."""
        rows = torch.from_numpy(rng.integers(self.replay, size=self.batch))
        states, chosen, earned, arrived, done = (column[rows] for column in learner.memory)
        with torch.no_grad():
            q = (learner.target(arrived) / self.temperature).T.contiguous()  # sums along the first axis take a third of the time
            ahead = self.temperature * torch.stack([torch.logsumexp(head, 0) for head in q.split(parts)])
            goal = earned + gamma * (1 - done) * ahead  # (H, batch)
        offsets = torch.tensor([0, *np.cumsum(parts)[:-1]])
        taken = learner.net(states).gather(-1, chosen + offsets)  # (batch, H)
        loss = (taken - goal.T).square().mean()
        learner.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.net.parameters(), self.clip)
        learner.optimiser.step()


def _network(widths: tuple[int, ...], parts: tuple[int, ...], seed: int) -> torch.nn.Sequential:
    """Orthogonal layers of gain sqrt 2 and, in one last layer, orthogonal heads of gain 0.1; biases 0."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for wide, narrow in pairwise(widths):
        layer: Any = torch.nn.utils.skip_init(torch.nn.Linear, wide, narrow)
        torch.nn.init.orthogonal_(layer.weight, 2**0.5, generator=generator)
        layers += [layer, torch.nn.ReLU()]
    heads: Any = torch.nn.utils.skip_init(torch.nn.Linear, widths[-1], sum(parts))
    with torch.no_grad():
        for head in heads.weight.split(parts):
            torch.nn.init.orthogonal_(head, 0.1, generator=generator)
    net = torch.nn.Sequential(*layers, heads)
    for layer in net:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.zeros_(layer.bias)
    return net


def _interrupts() -> Any:
    """Ctrl-C between steps, unless somebody else handles it already, as `solvers.solve` does."""
    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return deferred_interrupts() if mine else nullcontext(lambda: False)
