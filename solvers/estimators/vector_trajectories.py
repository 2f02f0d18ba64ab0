"""Trajectories of vector states, and the hypergradient that they estimate: the arithmetic behind `solvers.estimators.neural_bchg`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.play.outcomes import Outcome

from .neural_critics import CrossFit, cross_fit_residuals

Which = Literal["leads", "kernel"]
"""The leader's own actions, or the kernel that it moves."""


class VectorTrajectories(NamedTuple):
    """Episodes as arrays (N, T, ...) of one follower, with the steps behind those that count."""

    states: np.ndarray
    leads: np.ndarray
    actions: np.ndarray
    arrived: np.ndarray
    rewards: np.ndarray
    alive: np.ndarray
    goes_on: np.ndarray
    """Whether there is a step after this one, (N, T); the last step seen is taken to go on."""
    counted: int
    """Steps that count for the score."""
    options: int = 0
    """How many actions the follower has, where they are integers."""

    def truncate(self, steps: int) -> VectorTrajectories:
        """The first steps."""
        arrays = {name: getattr(self, name)[:, :steps] for name in self._fields if name not in ("counted", "options")}
        return self._replace(**arrays, counted=min(self.counted, steps))

    def columns(self, *what: str, clock: bool = False) -> np.ndarray:
        """Some of states, leads and actions side by side, (N, T, p); with ``clock`` also the time, 0 to 1."""
        columns = [one_hot_if_discrete(getattr(self, name), self.states.ndim, self.options) for name in what]
        if clock:
            times = np.arange(self.alive.shape[1]) / self.counted
            columns.append(np.broadcast_to(times[:, None], (*self.alive.shape, 1)))
        return np.concatenate(columns, axis=-1)


class LeaderCriticValues(NamedTuple):
    """Values of the leader's critic at every counted step, (N, counted) each."""

    benefit: np.ndarray
    """B_L(n_t,b_t); for HPGD Q_L, not centred."""
    here: np.ndarray
    """Q_L(n_t,b_t), for the leader's score."""
    ahead: np.ndarray
    """V_L(s_t+1), for the kernel's score."""


@dataclass(frozen=True)
class Scores:
    """Score functions of what the leader moves, at every step of the trajectories."""

    oracle: Oracle
    x: torch.Tensor
    trajectories: VectorTrajectories

    def log_density(self, which: Which, x: torch.Tensor) -> torch.Tensor | None:
        """``log f(a|s)`` or ``log P(s'|s,a,b)``, (N, T); None where the leader has no hand in it."""
        states, leads, actions, arrived = (torch.as_tensor(array, device=x.device) for array in self.trajectories[:4])
        if which == "leads":
            return None if self.oracle.log_leader_density is None else self.oracle.log_leader_density(x, states, leads)
        return (
            None
            if self.oracle.access < Access.INCENTIVE or self.oracle.log_kernel_density is None
            else self.oracle.log_kernel_density(x, states, leads, actions, arrived)
        )

    def per_step(self, which: Which) -> np.ndarray | None:
        """Every single score, (N, T, n); None where there is none."""
        if self.log_density(which, self.x) is None:
            return None
        leaf = self.x.detach().clone().requires_grad_()
        log = self.log_density(which, leaf)
        assert log is not None
        upstream = torch.zeros_like(log, requires_grad=True)  # sum_nt upstream dlog/dx is linear in it: forward mode by two passes
        (summed,) = torch.autograd.grad(log, leaf, upstream, create_graph=True)
        columns = [torch.autograd.grad(component, upstream, retain_graph=True)[0] for component in summed]
        return torch.stack(columns, -1).cpu().numpy() * self.trajectories.alive[..., None]


def hypergradient_from_critics(
    scores: Scores,
    worth: LeaderCriticValues,
    values: Any,
    *,
    temperature: float,
    discounts: tuple[float, float],
    baselines: bool = True,
    score_clip: float = 0.0,
    features: bool = True,
    cost: Any = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """dF/dx (n,) from what the critics say, and where the run is measured its direct part (n,): steps 3 and 4 of the module's algorithm.

    Args:
        scores: of the steps that were seen.
        worth: of those that count.
        values: the follower's V_F(states, leads); None leaves the reaction out.
        temperature: the follower's.
        discounts: the leader's and the follower's.
        baselines: see `NeuralBCHG`.
        score_clip: see `NeuralBCHG`.
        features: see `NeuralBCHG`.
        cost: what the leader pays in each step, as a function of x.
    """
    trajectories, T = scores.trajectories, scores.trajectories.counted
    gamma_leader, gamma = discounts
    counted = gamma_leader ** np.arange(T) * trajectories.alive[:, :T]
    past = {"leads": trajectories.columns("states", clock=True), "kernel": trajectories.columns("states", "leads", "actions", clock=True)}
    alive, N = trajectories.alive, len(trajectories.alive)

    def residual(worth: np.ndarray, which: Which) -> np.ndarray:
        steps = worth.shape[1]
        return cross_fit_residuals(worth, past[which][:, :steps], alive[:, :steps]) if baselines else worth * alive[:, :steps]

    weights: dict[Which, np.ndarray] = {}
    movable: tuple[Which, ...] = ("leads", "kernel")
    there: list[Which] = [which for which in movable if scores.log_density(which, scores.x) is not None]
    for which in there:
        direct = residual(worth.here, which) if which == "leads" else gamma_leader * residual(worth.ahead, which)
        weights[which] = np.pad(counted * direct, [(0, 0), (0, alive.shape[1] - T)])
    total: Any = torch.zeros_like(scores.x)
    if score_clip:
        for which in there:
            single = scores.per_step(which)
            assert single is not None
            single = single * np.minimum(1, score_clip / np.maximum(np.linalg.norm(single, axis=-1, keepdims=True), 1e-300))
            total = total + torch.as_tensor((weights[which][..., None] * single).sum((0, 1)) / N).to(scores.x)
            weights[which] = np.zeros_like(weights[which])
    held = dict(weights)
    if values is not None:
        benefits = np.pad(counted * worth.benefit, [(0, 0), (0, alive.shape[1] - T)])
        own, following = follower_values(trajectories, values)
        beside: dict[Which, np.ndarray] = {"leads": own, "kernel": following}
        for which, surprised in beside.items():
            if which in there:
                strength = reaction_weights(benefits, trajectories, which, gamma, features=features)
                weights[which] = weights[which] + gamma / temperature * strength * residual(surprised, which)
    leaf = scores.x.detach().clone().requires_grad_()
    whole: Any = 0.0
    direct: Any = 0.0
    for which in there:
        log: Any = scores.log_density(which, leaf)
        whole, direct = (
            summed + (torch.as_tensor(weighted[which] * alive / N).to(leaf) * log).sum()
            for summed, weighted in ((whole, weights), (direct, held))
        )
    if cost is not None:
        paid = cost(leaf) * float(counted.sum() / N)
        whole, direct = whole - paid, direct - paid
    (own,) = torch.autograd.grad(direct, leaf, retain_graph=True) if scores.oracle.measured else (None,)
    (gradient,) = torch.autograd.grad(whole, leaf)
    return total + gradient, None if own is None else total + own


def reaction_weights(benefits: np.ndarray, trajectories: VectorTrajectories, which: Which, gamma: float, *, features: bool) -> np.ndarray:
    """Weights (N, T) of a score times the follower's value at every step: J, or with ``features`` its estimate (`neural_bchg`)."""
    sums = discounted_scan(benefits, gamma)
    if which == "leads":
        sums = np.concatenate([np.zeros((len(sums), 1)), sums[:, :-1]], axis=1)
    if not features:
        return sums
    table = CrossFit(
        trajectories.columns("states") if which == "leads" else trajectories.columns("states", "leads", "actions"), trajectories.alive
    )
    ahead = discounted_scan(table.features * trajectories.alive[..., None], gamma, backwards=True)
    if which == "leads":
        ahead = next_step(ahead)
    nodes = CrossFit(trajectories.columns("states", "leads", clock=True), trajectories.alive)
    reacting = ahead - nodes.predict(ahead)
    return table.representers((benefits[..., None] * reacting).sum(1))


def vector_trajectories(seen: Outcome, counted: int, options: int = 0) -> VectorTrajectories:
    """The only follower's episodes, of whose steps the first ``counted`` count; it has so many ``options``, or acts by vectors (0)."""
    states, alive = seen.states[:, 0], seen.alive[:, 0]
    goes_on = np.concatenate([alive[:, 1:], alive[:, -1:]], axis=1)
    return VectorTrajectories(
        states[:, :-1],
        seen.leader_actions[:, 0],
        seen.follower_actions[:, 0],
        states[:, 1:],
        seen.leader_rewards,
        alive,
        goes_on,
        min(counted, alive.shape[1]),
        options,
    )


def follower_values(trajectories: VectorTrajectories, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """V_F at every step's node, and at the next one's, (N, T) each; 0 behind an end.

    A design game's last arrival has a value too; where the leader acts, its next action was not seen, and that value is 0.
    """
    own = np.asarray(values(trajectories.states, trajectories.leads)) * trajectories.alive
    following = next_step(own)
    if trajectories.leads.shape[-1] == 0:
        following[:, -1] = np.asarray(values(trajectories.arrived[:, -1:], trajectories.leads[:, -1:]))[:, 0] * trajectories.alive[:, -1]
    return own, following


def returns_to_go(rewards: np.ndarray, discount: float) -> np.ndarray:
    """sum_k gamma^k r_t+k to the end of the counted steps, (N, T)."""
    return discounted_scan(rewards, discount, backwards=True)


def discounted_scan(array: np.ndarray, discount: float, *, backwards: bool = False) -> np.ndarray:
    """y_t = array_t + discount y_t-1 along the steps (N, T, ...), or from the end y_t+1."""
    from scipy.signal import lfilter

    order = slice(None, None, -1) if backwards else slice(None)
    return np.asarray(lfilter([1.0], [1.0, -discount], array[:, order], axis=1))[:, order]


def next_step(array: np.ndarray) -> np.ndarray:
    """Entries of the next step, (N, T, ...), 0 behind the last."""
    return np.concatenate([array[:, 1:], np.zeros_like(array[:, :1])], axis=1)


def one_hot_if_discrete(array: np.ndarray, axes: int, options: int) -> np.ndarray:
    """Vectors as they are; integer actions (N, T), one of so many ``options``, one-hot."""
    return array if array.ndim == axes else np.eye(options)[array.astype(np.int64)]
