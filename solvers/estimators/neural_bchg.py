"""BC-HG and HPGD in worlds without tables: neural critics for the leader, and the follower's own values.

Kudo, Tanabe, Wachi, Akimoto, "Sample-Efficient Hypergradient Estimation for Decentralized Bi-Level RL", ICAPS 2026, arXiv 2603.14867, for
a leader that acts by a density ``f(a|s)``, or moves the kernel ``P(s'|s,a,b)``; by the public code (the paper was not at hand).  With
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

With ``approximator="quadratic"`` what TD(0) is to fit (Q_L, V_L, and dV_F for HPGD) is fitted in closed form on quadratic features (LSTD),
anew to each batch.  In linear-quadratic worlds these functions are quadratic, and the fit has no error but that of its sample.

What differs from the published code by default: Q_L(n,b,t) knows the time, is fitted to what was earned and is warm-started; baselines;
features; no clip of single scores.  As published: ``critic="td", baselines=False, features=False, score_clip=1, refit=True``.

HPGD, as that code compares with it, centres the other factor, ``centred="follower"``: dQ_F - dV_F, with dV_F(n) a net of dim x outputs (or
the features), and Q_L as ``critic`` says: ``"td"`` or ``"returns"``; the latter is what is warned of above.  ``centred="none"`` leaves the
reaction out: a leader that learns by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Discrete

from stackelberg_envs.leader.access import Access, Oracle

from ..ascent import Estimate, Estimator, short_repr
from ..needs import needs_paid_steps, needs_public_actions
from .neural_critics import FitSettings, NetCritic, QuadraticCritic, QuadraticForms, fit, quadratic_feature_count
from .vector_trajectories import (
    LeaderCriticValues,
    Scores,
    VectorTrajectories,
    follower_values,
    hypergradient_from_critics,
    next_step,
    returns_to_go,
    vector_trajectories,
)

CRITICS, CENTRED, APPROXIMATORS = ("net", "quadratic", "td", "returns"), ("leader", "follower", "none"), ("net", "quadratic")


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
        approximator: what TD(0) fits: a ``"net"`` by Adam, as published, or ``"quadratic"`` features in closed form.
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
    approximator: Literal["net", "quadratic"] = "net"

    tabular = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        if self.centred not in CENTRED or self.critic not in CRITICS:
            raise ValueError(
                f"neural_bchg centres {', '.join(CENTRED)} and has critics {', '.join(CRITICS)}; got {self.centred!r}, {self.critic!r}"
            )
        if self.approximator not in APPROXIMATORS:
            raise ValueError(f"neural_bchg has approximators {', '.join(APPROXIMATORS)}; got {self.approximator!r}")
        counts, numbers = (self.episodes, self.samples, *self.hidden), (self.critic_lr, self.critic_clip)
        least = min(self.tail, self.critic_steps, self.critic_batch, self.score_clip)
        if not (min(counts) >= 1 and least >= 0 and min(numbers) > 0 and np.isfinite(numbers).all()):
            raise ValueError(f"neural_bchg needs counts from 1 (tail and the critic's from 0) and positive rates, got {self!r}")
        if self.episodes < 2 and (self.baselines or self._centres_by_features):
            raise ValueError(f"neural_bchg fits one half of the episodes to the other, so episodes is at least 2, got {self.episodes}")

    def __repr__(self) -> str:
        return short_repr(self, "approximator")

    @property
    def access(self) -> Access:  # type: ignore[override]
        if self.centred != "none":
            return Access.VALUE
        return Access.POLICY if self.critic == "td" else Access.INCENTIVE

    def declines(self, oracle: Oracle) -> str | None:
        if oracle.tabular:
            return "neural_bchg is for worlds without tables; bchg and hpgd are for those that have them"
        if oracle.log_leader_density is None and oracle.log_kernel_density is None:
            return "neural_bchg needs a leader that acts by a density, or moves a kernel that has one"
        if oracle.incentive is not None or oracle.incentive_at is not None:
            return "neural_bchg has no term for incentives that the leader pays"
        if oracle.context_visibility != "after" and len(oracle.contexts) > 1:
            return "neural_bchg needs a leader that sees the context of its episodes after it has committed"
        if self.centred != "none" and not oracle.temperature > 0:
            return "neural_bchg needs a follower with a temperature"
        return needs_paid_steps("neural_bchg", oracle) or needs_public_actions("neural_bchg", oracle) or self._too_few_episodes(oracle)

    @property
    def _centres_by_features(self) -> bool:
        return self.features and self.centred != "none"

    def _too_few_episodes(self, oracle: Oracle) -> str | None:
        """Whether even full episodes are too few for the regressions; those that end early may be so later, which the fit says."""
        state, lead, action = (0 if s is None else int(s.n) if isinstance(s, Discrete) else s.shape[0] for s in oracle.spaces[0])
        kernel = oracle.access >= Access.INCENTIVE and oracle.log_kernel_density is not None
        half, which = self.episodes // 2, "half of its episodes"
        fits = [(2, self.episodes * oracle.max_cycles, which)]
        if self.baselines:
            fits.append((quadratic_feature_count(state + 1 + kernel * (lead + action)), half * oracle.max_cycles, which))
        if self.approximator == "quadratic":
            count = quadratic_feature_count(state + lead + action * (self.critic == "td"))
            fits.append((count, self.episodes * (oracle.max_cycles - 1), "its episodes"))
        if self._centres_by_features:
            fits.append((quadratic_feature_count(state + lead + max(1, kernel * action)), half * (oracle.max_cycles + self.tail), which))
        for count, steps, which in fits:
            if steps < count:
                return (
                    f"neural_bchg fits up to {count} quadratic features to {which}, and {self.episodes} episodes of "
                    f"{oracle.max_cycles} steps are too few: give it more episodes"
                )
        return None

    @property
    def _fit_settings(self) -> FitSettings:
        return FitSettings(self.hidden, self.critic_steps, self.critic_batch, self.critic_lr, self.critic_clip, self.refit)

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        at = x.detach().cpu().numpy()
        seen = oracle.play(at, episodes=self.episodes, horizon=oracle.max_cycles + self.tail, one_context=True)  # 1
        context, trajectories, kept = (
            int(seen.contexts[0]),
            vector_trajectories(seen, oracle.max_cycles, _options(oracle)),
            dict(memory or {}),
        )
        worth = self._leader_critic(oracle, at, context, trajectories, kept, rng)  # 2
        values = None if self.centred == "none" else oracle.values(at, context)[0]
        scores = Scores(oracle, x, trajectories)
        gradient, direct = hypergradient_from_critics(
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
            gradient = gradient - self._hpgd_centring(oracle, scores, worth, values, kept, rng)
        gradient = gradient.to(x)
        if direct is None:
            return Estimate(gradient, kept)
        return Estimate(gradient, kept, direct=direct.to(x), response=gradient - direct.to(x))

    def _leader_critic(
        self, oracle: Oracle, x: np.ndarray, context: int, trajectories: VectorTrajectories, kept: dict[Any, Any], rng: np.random.Generator
    ) -> LeaderCriticValues:
        """Fit the leader's critic to the trajectories, and return its values there."""
        discount, T = oracle.leader_discount, trajectories.counted
        rewards, alive = trajectories.rewards[:, :T], trajectories.alive[:, :T]
        returns = returns_to_go(rewards, discount)
        if self.critic in ("net", "quadratic"):
            if self.centred == "none":
                return LeaderCriticValues(returns, returns, next_step(returns))
            z = trajectories.columns("states", "leads", "actions", clock=True)[:, :T]
            if self.critic == "quadratic":
                fitted = QuadraticCritic.fit(z[alive], returns[alive])
                estimate, kept["critic", context] = kept.get(("critic", context)) or fitted, fitted
            else:
                last: NetCritic | None = kept.get(("critic", context))
                learned = self._fit_net(last, z[alive], returns[alive][:, None], kept, context, rng)
                estimate = partial((last or learned).predict, hidden=self.hidden)
            chosen = estimate(z) * alive
            mean = self._mean_leader_q(oracle, x, context, trajectories, estimate, rng, clock=True)
            return LeaderCriticValues(chosen if self.centred == "follower" else chosen - mean[:, :T], returns, next_step(returns))
        q = self.critic == "td"
        z = trajectories.columns("states", "leads", "actions") if q else trajectories.columns("states", "leads")
        learned = self._fit_td(z[:, :T], rewards[..., None], alive, trajectories.goes_on[:, :T], discount, kept, context, rng)
        if not q:
            values = learned(z)[..., 0] * trajectories.alive
            return LeaderCriticValues(returns if self.centred == "follower" else returns - values[:, :T], returns, next_step(values)[:, :T])

        def estimate_q(z: np.ndarray) -> np.ndarray:
            return learned(z)[..., 0]

        chosen, mean = estimate_q(z[:, :T]) * alive, self._mean_leader_q(oracle, x, context, trajectories, estimate_q, rng)
        return LeaderCriticValues(chosen if self.centred == "follower" else chosen - mean[:, :T], chosen, next_step(mean))

    def _mean_leader_q(
        self,
        oracle: Oracle,
        x: np.ndarray,
        context: int,
        trajectories: VectorTrajectories,
        estimate: Any,
        rng: np.random.Generator,
        *,
        clock: bool = False,
    ) -> np.ndarray:
        """E_b Q_L(n,b) at every counted step, (N, counted), by sampled actions of the follower."""
        policy, T = oracle.policies(x, context)[0], trajectories.counted
        counted = trajectories.truncate(T)
        mean = np.zeros(counted.alive.shape)
        for _ in range(self.samples):
            drawn = policy.act(counted.states, counted.leads, rng.random((*counted.alive.shape, policy.noise)))
            mean += estimate(counted._replace(actions=drawn).columns("states", "leads", "actions", clock=clock)) / self.samples
        return mean * counted.alive

    def _fit_td(
        self,
        z: np.ndarray,
        rewards: np.ndarray,
        alive: np.ndarray,
        goes_on: np.ndarray,
        discount: float,
        kept: dict[Any, Any],
        key: Any,
        rng: np.random.Generator,
    ) -> Callable[[np.ndarray], np.ndarray]:
        """What TD(0) fits to steps z (N, T, p) that pay ``rewards`` (N, T, outputs): a function from (..., p) to (..., outputs)."""
        later = alive & goes_on
        later[:, -1] = False
        if self.approximator == "quadratic":
            known = alive & (later | ~goes_on)  # what comes behind the last step was not seen
            return QuadraticForms.fit_td(z, rewards, known, later, discount)
        bootstrap = (next_step(z)[alive], later[alive], discount)  # as published: a batch's last transitions are taken to end
        learned = self._fit_net(kept.get(("critic", key)), z[alive], rewards[alive], kept, key, rng, bootstrap=bootstrap)
        return partial(learned, hidden=self.hidden)

    def _fit_net(
        self, last: NetCritic | None, z: np.ndarray, goals: np.ndarray, kept: dict[Any, Any], key: Any, rng: np.random.Generator, **td: Any
    ) -> NetCritic:
        """Fit the net, and store in ``kept`` the net from which the next iteration begins."""
        if last is None and self.refit:
            last = fit(None, replace(self._fit_settings, steps=0), z, goals, rng, **td)
            kept["critic", key] = last
        learned = fit(last, self._fit_settings, z, goals, rng, **td)
        if not self.refit:
            kept["critic", key] = learned
        return learned

    def _hpgd_centring(
        self, oracle: Oracle, scores: Scores, worth: LeaderCriticValues, values: Any, kept: dict[Any, Any], rng: np.random.Generator
    ) -> torch.Tensor:
        """sum_t gamma_L^t E[Q_L dV_F(n_t)] / tau, by which HPGD centres; dV_F by TD(0) on the vectors that make up dQ_F."""
        trajectories, gamma, T = scores.trajectories, oracle.follower_discounts[0], scores.trajectories.counted
        own, following = follower_values(trajectories, values)
        steps = np.zeros((*trajectories.alive.shape, len(scores.x)))
        if (kernel := scores.per_step("kernel")) is not None:
            steps += gamma * kernel * following[..., None]
        if (leads := scores.per_step("leads")) is not None:
            steps += gamma * next_step(leads * own[..., None])
        z = trajectories.columns("states", "leads")
        alive = trajectories.alive
        learned = self._fit_td(z, steps, alive, trajectories.goes_on, gamma, kept, "means", rng)
        means = learned(z[:, :T])
        weights = oracle.leader_discount ** np.arange(T) * worth.benefit * alive[:, :T] / (oracle.temperature * len(alive))
        return torch.as_tensor((weights[..., None] * means).sum((0, 1))).to(scores.x)


def _options(oracle: Oracle) -> int:
    """How many actions the follower has; 0 where they are vectors."""
    action = oracle.spaces[0].action
    return int(action.n) if isinstance(action, Discrete) else 0
