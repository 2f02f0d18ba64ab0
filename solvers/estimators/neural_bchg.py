"""BC-HG and HPGD in worlds without tables: neural critics for the leader, and the follower's own values.

Kudo, Tanabe, Wachi, Akimoto, "Sample-Efficient Hypergradient Estimation for Decentralized Bi-Level RL", ICAPS 2026, arXiv 2603.14867, for
a leader that acts by a density f(a|s), or moves the kernel P(s'|s,a,b); by its public code (the body of the paper was not at hand).  With
the follower's nodes n = (s,a), its soft value V_F(n), and B_L(n,b) = Q_L(n,b) - E_b' Q_L(n,b'), over the T steps that count::

    dF/dx  = sum_t gamma_L^t E[ dlog f(a_t|s_t) Q_L(n_t,b_t) + gamma_L dlog P(s_t+1|n_t,b_t) V_L(s_t+1) - d cost ]              direct
           + (1/tau) sum_t gamma_L^t E[ B_L(n_t,b_t) dQ_F(n_t,b_t) ]                                                          reaction
    dQ_F   = sum_{k>t} gamma^(k-t) dlog f(a_k|s_k) V_F(n_k) + sum_{k>=t} gamma^(k-t+1) dlog P(s_k+1|n_k,b_k) V_F(n_k+1)

Transposed, dQ_F's vectors are never formed: a scan of scalars ``J_k = gamma J_k-1 + gamma_L^k B_L(n_k,b_k)`` gives every score one weight,
gamma J_k-1 V_F(n_k) / tau or gamma J_k V_F(n_k+1) / tau, and dF/dx is one vector-Jacobian product.

1. watch episodes under x, ``tail`` steps longer than the score counts: late actions are answered later, and the reaction would be cut
2. fit the leader's critic, and with it B_L, Q_L and V_L at every step: ``critic``
3. take from V_F, Q_L and V_L what was to be expected of them before the score's own chance (``baselines``): scores have mean zero given
   the past, so no mean changes, and the variance falls by orders of magnitude
4. scan, and one vector-Jacobian product

B_L has to be a function of (n_t,b_t): what was earned after step t is correlated with the scores of the same steps, and the mean of their
products is not that of Q_L dQ_F.  So the default critics are regressions that other episodes were fitted to.  (In the direct part what was
earned is right.)

What is left is noise: B_L has mean zero in every state, and times a dV_F that is large there it makes most of the variance.  With
``features`` it is taken off, still without vectors of dim x: with phi quadratic features of (n,b) (of s, for the leader's score), the
mean of score times value is fitted as theta' phi, theta never formed, and dQ_F - dV_F is ``theta' (Phi_t - E[Phi_t | n_t])``, Phi_t the
discounted sum of phi ahead.  Summed over t with B_L / tau this is one functional of theta, and so again one weight a score; one half of
the episodes takes theta from the other.  No bias where that mean is quadratic, as in linear-quadratic worlds.

What differs from the published code by default: Q_L(n,b,t) knows the time, is fitted to what was earned and is warm-started; baselines;
features; no clip of single scores.  As published: ``critic="td", baselines=False, features=False, score_clip=1, refit=True``.

HPGD, as that code compares with it, centres the other factor, ``centred="follower"``: dQ_F - dV_F, with dV_F(n) a net of dim x outputs (or
the features), and Q_L as ``critic`` says: ``"td"`` or ``"returns"``; the latter is what is warned of above.  ``centred="none"`` leaves the
reaction out: a leader that learns by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from scipy.signal import lfilter

from stackelberg_envs.access import Access, Oracle
from stackelberg_envs.outcome import Outcome

from ..ascent import Estimate, Estimator
from ..needs import needs_paid_steps, needs_public_actions
from .neural_critics import Crossed, Fitting, Learned, Quadratic, fit, less_expectation

CRITICS, CENTRED = ("net", "quadratic", "td", "returns"), ("leader", "follower", "none")


class Walk(NamedTuple):
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

    def given(self, *what: str, clock: bool = False) -> np.ndarray:
        """Some of states, leads and actions side by side, (N, T, p); with ``clock`` also the time, 0 to 1."""
        columns = [_vectors(getattr(self, name), self.states.ndim) for name in what]
        if clock:
            times = np.arange(self.alive.shape[1]) / self.counted
            columns.append(np.broadcast_to(times[:, None], (*self.alive.shape, 1)))
        return np.concatenate(columns, axis=-1)


class Worth(NamedTuple):
    """What the leader's critic says of every counted step, (N, counted) each."""

    benefit: np.ndarray
    """B_L(n_t,b_t); for HPGD Q_L, not centred."""
    here: np.ndarray
    """Q_L(n_t,b_t), for the leader's score."""
    ahead: np.ndarray
    """V_L(s_t+1), for the kernel's score."""


@dataclass(frozen=True)
class NeuralBCHG(Estimator):
    """Sampled dF/dx in worlds without tables, one follower (VALUE; INCENTIVE for the naive gradient).

    Args:
        centred: ``"leader"``: BC-HG; ``"follower"``: HPGD; ``"none"``: the naive gradient.
        critic: ``"net"``: Q_L(n,b,t), a net fitted to what was earned under earlier commitments; ``"quadratic"``: the same by least
            squares on quadratic features; ``"td"``: Q_L(n,b) by TD(0), as published;
            ``"returns"``: Q_L is what was earned, and V_L(n) by TD(0).
        episodes: watched under each commitment; published: 100 in thermal control, 4 in the LQ gain.
        tail: steps that are watched behind those that count.
        baselines: see 3 above.
        samples: actions of the follower that Q_L is averaged over; published: 256.
        features: see above.
        score_clip: largest norm of a single score of the direct part; 0 for no clip; published: 1 in thermal control.
        hidden: widths of the nets' layers, ReLU.
        critic_steps: of Adam, for each commitment; published: 5,000.
        critic_batch: rows of a minibatch; 0 for all, as published.
        critic_lr: learning rate; published: 1e-4.
        critic_clip: largest norm of a critic's gradient.
        refit: whether every fit begins from the first weights, as published.
    """

    centred: Literal["leader", "follower", "none"] = "leader"
    critic: Literal["net", "quadratic", "td", "returns"] = "net"
    episodes: int = 20
    tail: int = 0
    baselines: bool = True
    samples: int = 16
    features: bool = True
    score_clip: float = 0.0
    hidden: tuple[int, ...] = (64, 64)
    critic_steps: int = 50
    critic_batch: int = 512
    critic_lr: float = 1e-3
    critic_clip: float = 1.0
    refit: bool = False

    tabular = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        if self.centred not in CENTRED or self.critic not in CRITICS:
            raise ValueError(
                f"neural_bchg centres {', '.join(CENTRED)} and has critics {', '.join(CRITICS)}; got {self.centred!r}, {self.critic!r}"
            )
        counts, numbers = (self.episodes, self.samples, *self.hidden), (self.critic_lr, self.critic_clip)
        least = min(self.tail, self.critic_steps, self.critic_batch, self.score_clip)
        if not (min(counts) >= 1 and least >= 0 and min(numbers) > 0 and np.isfinite(numbers).all()):
            raise ValueError(f"neural_bchg needs counts from 1 (tail and the critic's from 0) and positive rates, got {self!r}")

    @property
    def access(self) -> Access:  # type: ignore[override]
        if self.centred != "none":
            return Access.VALUE
        return Access.POLICY if self.critic == "td" else Access.INCENTIVE

    def declines(self, oracle: Oracle) -> str | None:
        if oracle.tabular:
            return "neural_bchg is for worlds without tables; bchg and hpgd are for those that have them"
        if oracle.log_leader_density is None and oracle.log_kernel is None:
            return "neural_bchg needs a leader that acts by a density, or moves a kernel that has one"
        if oracle.incentive is not None:
            return "neural_bchg has no term for incentives that the leader pays"
        if oracle.context_visibility != "after" and len(oracle.contexts) > 1:
            return "neural_bchg needs a leader that sees the context of its episodes after it has committed"
        if self.centred != "none" and not oracle.temperature > 0:
            return "neural_bchg needs a follower with a temperature"
        return needs_paid_steps("neural_bchg", oracle) or needs_public_actions("neural_bchg", oracle)

    @property
    def _fitting(self) -> Fitting:
        return Fitting(self.hidden, self.critic_steps, self.critic_batch, self.critic_lr, self.critic_clip, self.refit)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        at = x.detach().cpu().numpy()
        seen = oracle.play(at, episodes=self.episodes, horizon=oracle.max_cycles + self.tail, one_context=True)  # 1
        context, walk, kept = int(seen.contexts[0]), walked(seen, oracle.max_cycles), dict(memory or {})
        worth = self._worth(oracle, at, context, walk, kept, rng)  # 2
        values = None if self.centred == "none" else oracle.values(at, context)[0]
        scores = Scores(oracle, x, walk)
        gradient = combined(
            scores,
            worth,
            values,
            temperature=oracle.temperature,
            discounts=(oracle.leader_discount, oracle.follower_discounts[0]),
            baselines=self.baselines,
            score_clip=self.score_clip,
            features=self.features,
            cost=partial(oracle.leader_cost, context=context) if oracle.leader_cost else None,
        )  # 3, 4
        if self.centred == "follower" and not self.features:  # features are centred already
            assert values is not None
            gradient = gradient - self._means(oracle, scores, worth, values, kept, rng)
        return Estimate(gradient.to(x), kept)

    def _worth(self, oracle: Oracle, x: np.ndarray, context: int, walk: Walk, kept: dict[Any, Any], rng: np.random.Generator) -> Worth:
        """The critic, fitted to what was seen, and what it says of it."""
        discount, T = oracle.leader_discount, walk.counted
        rewards, alive = walk.rewards[:, :T], walk.alive[:, :T]
        last: Learned | None = kept.get(("critic", context))
        returns = returns_to_go(rewards, discount)
        if self.critic in ("net", "quadratic"):
            if self.centred == "none":
                return Worth(returns, returns, _shifted(returns))
            z = walk.given("states", "leads", "actions", clock=True)[:, :T]
            if self.critic == "quadratic":
                fitted = Quadratic.fit(z[alive], returns[alive])
                estimate, kept["critic", context] = kept.get(("critic", context)) or fitted, fitted
            else:
                learned = self._fitted(last, z[alive], returns[alive][:, None], kept, context, rng)
                estimate = partial((last or learned).of, hidden=self.hidden)
            chosen = estimate(z) * alive
            mean = self._mean(oracle, x, context, walk, estimate, rng, clock=True)
            return Worth(chosen if self.centred == "follower" else chosen - mean[:, :T], returns, _shifted(returns))
        q = self.critic == "td"
        z = walk.given("states", "leads", "actions") if q else walk.given("states", "leads")
        later = alive & walk.goes_on[:, :T]
        later[:, -1] = False  # as published: a batch's last transitions are taken to end
        after = _shifted(z[:, :T])[alive]
        learned = self._fitted(
            last, z[:, :T][alive], rewards[alive][:, None], kept, context, rng, bootstrap=(after, later[alive], discount)
        )
        if not q:
            values = learned(z, self.hidden)[..., 0] * walk.alive
            return Worth(returns if self.centred == "follower" else returns - values[:, :T], returns, _shifted(values)[:, :T])
        estimate = partial(learned.of, hidden=self.hidden)
        chosen, mean = estimate(z[:, :T]) * alive, self._mean(oracle, x, context, walk, estimate, rng)
        return Worth(chosen if self.centred == "follower" else chosen - mean[:, :T], chosen, _shifted(mean))

    def _mean(
        self, oracle: Oracle, x: np.ndarray, context: int, walk: Walk, estimate: Any, rng: np.random.Generator, *, clock: bool = False
    ) -> np.ndarray:
        """E_b Q_L(n,b) at every counted step, (N, counted), by sampled actions of the follower."""
        policy, T = oracle.policies(x, context)[0], walk.counted
        counted = Walk(*(array[:, :T] for array in walk[:-1]), T)
        mean = np.zeros(counted.alive.shape)
        for _ in range(self.samples):
            drawn = policy.act(counted.states, counted.leads, rng.random((*counted.alive.shape, policy.noise)))
            mean += estimate(counted._replace(actions=drawn).given("states", "leads", "actions", clock=clock)) / self.samples
        return mean * counted.alive

    def _fitted(
        self, last: Learned | None, z: np.ndarray, goals: np.ndarray, kept: dict[Any, Any], key: Any, rng: np.random.Generator, **td: Any
    ) -> Learned:
        """The net fitted, and what the next iteration begins from put into ``kept``."""
        if last is None and self.refit:
            last = fit(None, replace(self._fitting, steps=0), z, goals, rng, **td)
            kept["critic", key] = last
        learned = fit(last, self._fitting, z, goals, rng, **td)
        if not self.refit:
            kept["critic", key] = learned
        return learned

    def _means(
        self, oracle: Oracle, scores: Scores, worth: Worth, values: Any, kept: dict[Any, Any], rng: np.random.Generator
    ) -> torch.Tensor:
        """sum_t gamma_L^t E[Q_L dV_F(n_t)] / tau, by which HPGD centres; dV_F by TD(0) on the vectors that make up dQ_F."""
        walk, gamma, T = scores.walk, oracle.follower_discounts[0], scores.walk.counted
        own, following = follower_values(walk, values)
        vectors = np.zeros((*walk.alive.shape, len(scores.x)))
        if (kernel := scores.single("kernel")) is not None:
            vectors += gamma * kernel * following[..., None]
        if (leads := scores.single("leads")) is not None:
            vectors += gamma * _shifted(leads * own[..., None])
        z = walk.given("states", "leads")
        alive = walk.alive
        inside = (alive & walk.goes_on)[:, :]
        inside[:, -1] = False
        after = _shifted(z)[alive]
        last = kept.get(("critic", "means"))
        learned = self._fitted(last, z[alive], vectors[alive], kept, "means", rng, bootstrap=(after, inside[alive], gamma))
        means = learned(z[:, :T], self.hidden)
        weights = oracle.leader_discount ** np.arange(T) * worth.benefit * alive[:, :T] / (oracle.temperature * len(alive))
        return torch.as_tensor((weights[..., None] * means).sum((0, 1)))


@dataclass(frozen=True)
class Scores:
    """Score functions of what the leader moves, at every step of a walk."""

    oracle: Oracle
    x: torch.Tensor
    walk: Walk

    def log(self, which: Literal["leads", "kernel"], x: torch.Tensor) -> torch.Tensor | None:
        """log f(a|s) or log P(s'|s,a,b), (N, T); None where the leader has no hand in it."""
        states, leads, actions, arrived = (torch.as_tensor(array, device=x.device) for array in self.walk[:4])
        if which == "leads":
            return None if self.oracle.log_leader_density is None else self.oracle.log_leader_density(x, states, leads)
        return (
            None
            if self.oracle.access < Access.INCENTIVE or self.oracle.log_kernel is None
            else self.oracle.log_kernel(x, states, leads, actions, arrived)
        )

    def single(self, which: Literal["leads", "kernel"]) -> np.ndarray | None:
        """Every single score, (N, T, n); None where there is none."""
        if self.log(which, self.x) is None:
            return None
        leaf = self.x.detach().clone().requires_grad_()
        log = self.log(which, leaf)
        assert log is not None
        upstream = torch.zeros_like(
            log, requires_grad=True
        )  # forward mode by two reverse upstream: sum_nt upstream dlog/dx is linear in upstream
        (summed,) = torch.autograd.grad(log, leaf, upstream, create_graph=True)
        columns = [torch.autograd.grad(component, upstream, retain_graph=True)[0] for component in summed]
        return torch.stack(columns, -1).cpu().numpy() * self.walk.alive[..., None]


def combined(
    scores: Scores,
    worth: Worth,
    values: Any,
    *,
    temperature: float,
    discounts: tuple[float, float],
    baselines: bool = True,
    score_clip: float = 0.0,
    features: bool = True,
    cost: Any = None,
) -> torch.Tensor:
    """dF/dx (n,) from what the critics say: steps 3 and 4 of the module's algorithm.

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
    walk, T = scores.walk, scores.walk.counted
    gamma_leader, gamma = discounts
    counted = gamma_leader ** np.arange(T) * walk.alive[:, :T]
    past = {"leads": walk.given("states", clock=True), "kernel": walk.given("states", "leads", "actions", clock=True)}
    alive, N = walk.alive, len(walk.alive)

    def surprise(worth: np.ndarray, which: str) -> np.ndarray:
        steps = worth.shape[1]
        return less_expectation(worth, past[which][:, :steps], alive[:, :steps]) if baselines else worth * alive[:, :steps]

    weights: dict[str, np.ndarray] = {}
    there = [which for which in ("leads", "kernel") if scores.log(which, scores.x) is not None]  # type: ignore[arg-type]
    for which in there:
        direct = surprise(worth.here, which) if which == "leads" else gamma_leader * surprise(worth.ahead, which)
        weights[which] = np.pad(counted * direct, [(0, 0), (0, alive.shape[1] - T)])
    total: Any = torch.zeros_like(scores.x)
    if score_clip:
        for which in there:
            single = scores.single(which)  # type: ignore[arg-type]
            assert single is not None
            single = single * np.minimum(1, score_clip / np.maximum(np.linalg.norm(single, axis=-1, keepdims=True), 1e-300))
            total = total + torch.as_tensor((weights[which][..., None] * single).sum((0, 1)) / N).to(scores.x)
            weights[which] = np.zeros_like(weights[which])
    if values is not None:
        benefits = np.pad(counted * worth.benefit, [(0, 0), (0, alive.shape[1] - T)])
        own, following = follower_values(walk, values)
        for which, surprised in (("leads", own), ("kernel", following)):
            if which in there:
                strength = reaction_weights(benefits, walk, which, gamma, features=features)
                weights[which] = weights[which] + gamma / temperature * strength * surprise(surprised, which)
    leaf = scores.x.detach().clone().requires_grad_()
    surrogate: Any = sum((torch.as_tensor(weights[which] * alive / N).to(leaf) * scores.log(which, leaf)).sum() for which in there)  # type: ignore[arg-type]
    if cost is not None:
        surrogate = surrogate - cost(leaf) * float(counted.sum() / N)
    (gradient,) = torch.autograd.grad(surrogate, leaf)
    return total + gradient


def reaction_weights(benefits: np.ndarray, walk: Walk, which: str, gamma: float, *, features: bool) -> np.ndarray:
    """What a score times the follower's value counts at every step, (N, T): J, or with ``features`` what stands for it; see the module."""
    sums = lfilter([1.0], [1.0, -gamma], benefits, axis=1)
    if which == "leads":
        sums = np.concatenate([np.zeros((len(sums), 1)), sums[:, :-1]], axis=1)
    if not features:
        return sums
    table = Crossed(walk.given("states") if which == "leads" else walk.given("states", "leads", "actions"), walk.alive)
    ahead = lfilter([1.0], [1.0, -gamma], (table.features * walk.alive[..., None])[:, ::-1], axis=1)[:, ::-1]
    if which == "leads":
        ahead = _shifted(ahead)
    nodes = Crossed(walk.given("states", "leads", clock=True), walk.alive)
    reacting = ahead - nodes.expected(ahead)
    return table.representers((benefits[..., None] * reacting).sum(1))


def walked(seen: Outcome, counted: int) -> Walk:
    """The only follower's episodes, of whose steps the first ``counted`` count."""
    states, alive = seen.states[:, 0], seen.alive[:, 0]
    goes_on = np.concatenate([alive[:, 1:], alive[:, -1:]], axis=1)
    return Walk(
        states[:, :-1],
        seen.leader_actions[:, 0],
        seen.follower_actions[:, 0],
        states[:, 1:],
        seen.leader_rewards,
        alive,
        goes_on,
        min(counted, alive.shape[1]),
    )


def follower_values(walk: Walk, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """V_F at every step's node, and at the next one's, (N, T) each; 0 behind an end.

    A design game's last arrival has a value too; where the leader acts, its next action was not seen, and that value is 0.
    """
    own = np.asarray(values(walk.states, walk.leads)) * walk.alive
    following = _shifted(own)
    if walk.leads.shape[-1] == 0:
        following[:, -1] = np.asarray(values(walk.arrived[:, -1:], walk.leads[:, -1:]))[:, 0] * walk.alive[:, -1]
    return own, following


def returns_to_go(rewards: np.ndarray, discount: float) -> np.ndarray:
    """sum_k gamma^k r_t+k to the end of the counted steps, (N, T)."""
    return lfilter([1.0], [1.0, -discount], rewards[:, ::-1], axis=1)[:, ::-1]


def _shifted(array: np.ndarray) -> np.ndarray:
    """Entries of the next step, (N, T, ...), 0 behind the last."""
    return np.concatenate([array[:, 1:], np.zeros_like(array[:, :1])], axis=1)


def _vectors(array: np.ndarray, axes: int) -> np.ndarray:
    """Vectors as they are; integer actions (N, T) one-hot."""
    return array if array.ndim == axes else np.eye(int(array.max()) + 1)[array.astype(np.int64)]
