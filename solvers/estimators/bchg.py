"""BC-HG: the Boltzmann-covariance hypergradient, from outcomes and what else the leader may know of its follower.

Kudo, Tanabe, Wachi, Akimoto, "Sample-Efficient Hypergradient Estimation for Decentralized Bi-Level RL", ICAPS 2026, arXiv 2603.14867; the
formulas are derived here and agree with their public code (the body of the paper was not at hand).  For a Boltzmann response
g = softmax(q_F / tau), any function h of the follower's action has ``sum_b dg(b) h(b) = Cov_g(dq_F, h) / tau``, and a covariance may centre
either factor.  HPGD centres the vector dq_F, which takes estimates of its mean in every state; BC-HG centres the leader's scalar critic::

    B_L(n,b) = Q_L(n,b) - sum_b' g(b'|n) Q_L(n,b')                    n: the follower's decision nodes, (s,a) or s
    dF/dx    = direct + (1/tau) sum_t gamma_L^t E[ B_L(n_t,b_t) dq_F(n_t,b_t) ]

dq_F is a discounted sum of vectors over the steps that follow.  Transposed it is a scan of scalars, I_t the benefits of earlier steps::

    I_t  = gamma (I_{t-1} + gamma_L^{t-1} B_L(n_{t-1},b_{t-1}))
    D(s) = mean over episodes of sum_t 1[s_t = s] gamma_L^t ;   Z(s) = the same of sum_t 1[s_t = s] I_t

In a Markov game the expectations over both players' actions at a visited state are exact (V_F, q_F: the follower's soft values)::

    action seen:  dF/dx = sum_sa dpi(a|s) [ D(s) sum_b g Q_L + Z(s) V_F(s,a) / tau ]
    policy seen:  dF/dx = sum_sa dpi(a|s) [ D(s) sum_b g (Q_L + B_L(s,b) q_F(s,a,b) / tau) + Z(s) sum_b g q_F / tau ]

In a design game dq_F sums d_x r and is averaged over the visits of each pair, as published; the notation is `solvers.estimators.hpgd`'s.

1. watch episodes under x
2. know the follower: read its policy and values (VALUE), or its policy (POLICY, enough for design games), or infer both (OUTCOME)
3. critic Q_L and benefit B_L
4. scan the benefits forward
5. one vector-Jacobian product

Episodes are cut at the game's ``max_cycles``.  In a Markov game what would have come later is completed from the counted model: with u the
mean over cut episodes of gamma_L^T at their last state, v that of I_T, and P_g the counted kernel under both policies::

    D += d ;  d = (I - gamma_L P_g)^{-T} u              Z += (I - gamma P_g)^{-T} (v + gamma P^T [d w g B_L])
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from stackelberg_envs.leader.access import Access, Oracle, Permission
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.processes.mdp import mask_action_values

from ..ascent import Estimate, Estimator, short_repr
from ..inference.model import Counts, EstimatedGame, induced_mdp, instrument_cost, tables
from ..inference.state import InferenceState, Settings
from ..needs import needs_one_follower
from .bchg_design import design_tables
from .bchg_markov import markov_game_hypergradient
from .critics import LeaderKnowledge, action_values, sarsa
from .visits import incentive_estimate

LEVELS = {"value": Access.VALUE, "policy": Access.POLICY, "outcome": Access.OUTCOME}
CRITICS = ("counts", "sarsa", "returns", "reset")
UNVISITED, SARSA_TARGETS = ("skip", "zero"), ("expected", "sampled")


@dataclass(frozen=True)
class BCHG(Estimator):
    """Sampled dF/dx with the leader's critic centred; one follower.

    Args:
        level: ``"value"``, as published; ``"policy"``, for design games; ``"outcome"``: the follower's policy and values are inferred from
            trajectories (design games need INCENTIVE besides).
        critic: of design games.  ``"counts"``: exact in the counted model; ``"sarsa"``: a table, one pass an iteration, as published;
            ``"returns"``: means of sampled returns; ``"reset"``: the same, and dq_F too, from a batch that starts everywhere (RESET).
        centred: ``"leader"``, or ``"both"``: also dq_F, as HPGD does.  With critic "sarsa" this is the published HPGD (SA), with "returns"
            HPGD (MC), with "reset" HPGD (oracle).
        episodes: watched under each commitment, if there are no streams.
        streams: instead of whole episodes, watch so many streams of ``steps`` steps, the last episode of each cut.
        steps: length of a stream.
        rate: of SARSA.
        table_scale: standard deviation of SARSA's first table; published: 1.
        reset_episodes: of the batch that starts everywhere; 200 are some 10,000 steps in Four Rooms.
        temperature: of inference at OUTCOME, like ``scale`` and ``window``: see `solvers.inference.state.Settings`.
        scale: prior standard deviation of the follower's rewards.
        kernel_prior: mass of the prior over next states, of inference and of the counted critic.
        window: commitments that inference keeps exactly.
        complete: in a Markov game, whether cut episodes are completed from the counted model; published: no.
        scan: cut episodes after so many steps for D and Z, and complete; 0 leaves all to the counted model, None scans to their ends.
        optimism: what the counted critic believes the leader earns where it has never been.
        jitter: standard deviation of noise on the commitment that is watched; varied commitments are what identifies the follower's reward.
        unvisited: of critic "reset": pairs that the leader watched and the batch that starts everywhere did not visit have no part in the
            estimate (``"skip"``), or both of their means are 0, as published (``"zero"``).  The latter is a bias of
            ``V_L dV_F / tau`` at such a visit, which takes Four Rooms out of the optimum of the exact gradient.
        sarsa_target: what SARSA takes the next step to be worth: the ``"expected"`` value under the follower's policy, or the value of the
            ``"sampled"`` next pair, and 0 behind the last step of a batch, as published.
    """

    level: Literal["value", "policy", "outcome"] = "value"
    critic: Literal["counts", "sarsa", "returns", "reset"] = "counts"
    centred: Literal["leader", "both"] = "leader"
    episodes: int = 3
    streams: int = 0
    steps: int = 200
    rate: float = 0.5
    table_scale: float = 1.0
    reset_episodes: int = 200
    temperature: float = 0.05
    scale: float = 1.0
    kernel_prior: float = 0.1
    window: int = 24
    complete: bool = True
    scan: int | None = None
    optimism: float = 0.0
    jitter: float = 0.0
    unvisited: Literal["skip", "zero"] = "skip"
    sarsa_target: Literal["expected", "sampled"] = "expected"

    def __repr__(self) -> str:
        return short_repr(self, "unvisited", "sarsa_target")

    def __post_init__(self) -> None:
        if self.level not in LEVELS or self.critic not in CRITICS or self.centred not in ("leader", "both"):
            raise ValueError(
                f"bchg has levels {', '.join(LEVELS)}, critics {', '.join(CRITICS)}, and centres 'leader' or 'both'; got "
                f"{self.level!r}, {self.critic!r}, {self.centred!r}"
            )
        if self.scan is not None and (self.scan < 0 or not self.complete):
            raise ValueError(f"bchg scans a number of steps from 0 and completes the rest, or all of them (None), got {self.scan}")
        if self.unvisited not in UNVISITED:
            raise ValueError(f"bchg takes unvisited pairs by {' or '.join(UNVISITED)}, got {self.unvisited!r}")
        if self.sarsa_target not in SARSA_TARGETS:
            raise ValueError(f"bchg has SARSA targets {' and '.join(SARSA_TARGETS)}, got {self.sarsa_target!r}")
        _ = self.settings
        numbers, whole = (self.rate, self.table_scale, self.jitter, self.optimism), (self.episodes, self.steps, self.reset_episodes)
        if min(whole) < 1 or min(self.streams, self.table_scale, self.jitter) < 0 or not (np.isfinite(numbers).all() and self.rate > 0):
            raise ValueError(f"bchg needs whole numbers from 1 (streams from 0), a positive rate and finite numbers; got {self!r}")

    @property
    def access(self) -> Access:  # type: ignore[override]
        return LEVELS[self.level]

    @property
    def permissions(self) -> Permission:  # type: ignore[override]
        return Permission.RESET if self.critic == "reset" else Permission.NONE

    @cached_property
    def settings(self) -> Settings:
        """Settings of the inference from outcomes."""
        return Settings(self.temperature, self.scale, self.kernel_prior, self.window)

    def declines(self, oracle: Oracle) -> str | None:
        if (reason := needs_one_follower("bchg", oracle)) is not None:
            return reason
        designs = oracle.sizes[0][1] == 1
        if oracle.context_visibility == "never" and len(oracle.contexts) > 1:
            return "bchg needs a leader that sees the context of its episodes"
        if oracle.context_visibility == "before":
            return "bchg needs a leader that sees the context of its episodes after it has committed"
        if not designs and self.level == "policy":
            return "in a Markov game bchg needs the follower's values: level 'value' to read, or 'outcome' to infer them"
        if not designs and (self.critic != "counts" or self.centred == "both"):
            return "in a Markov game bchg has the critic 'counts' and centres the leader's side"
        if not designs and self.streams:
            return "in a Markov game bchg watches whole episodes, no streams"
        if self.unvisited != "skip" and self.critic != "reset":
            return "bchg has unvisited pairs with critic 'reset' alone"
        if self.critic == "reset" and self.reset_episodes < oracle.sizes[0][0]:
            return f"bchg with critic 'reset' starts in every state: reset_episodes is at least {oracle.sizes[0][0]} here"
        if self.level == "outcome" and len(oracle.contexts) > 1:
            return "bchg infers the reward of one follower in one context"
        if self.level != "outcome" and not oracle.temperature > 0:
            return "bchg needs a follower with a temperature"
        return None

    def estimate(self, oracle: Oracle, x: torch.Tensor, memory: Any, rng: np.random.Generator) -> Estimate:
        if self.jitter:
            x = x + torch.as_tensor(self.jitter * rng.normal(size=tuple(x.shape)), dtype=x.dtype, device=x.device)
        here = x.detach().cpu().numpy()
        if self.streams:  # 1
            seen = oracle.play_streams(here, streams=self.streams, steps=self.steps, one_context=True)
        else:
            seen = oracle.play(here, episodes=self.episodes, one_context=True)
        context = int(seen.contexts[0])
        remembered = dict(memory or {})
        known, learned = self._leader_knowledge(oracle, here, context, seen, remembered.get(("model", context)))  # 2
        remembered["model", context] = learned
        if oracle.sizes[0][1] > 1:  # 3 to 5
            tau = self._temperature(oracle)
            gradient, direct = markov_game_hypergradient(oracle, x, seen, known, tau, scan=self.scan, complete=self.complete)
            return Estimate(gradient, remembered, direct=direct, response=gradient - direct)
        benefits, everywhere = self._benefits(oracle, seen, known, remembered, context, rng), None  # 3
        if self.critic == "reset":
            states = np.arange(self.reset_episodes) % oracle.sizes[0][0]
            everywhere = oracle.play_from(here, context, states[:, None])
        multipliers = design_tables(
            oracle,
            seen,
            everywhere,
            benefits,
            self._temperature(oracle),
            both=self.centred == "both",
            unvisited_as_zero=self.unvisited == "zero",
            device=x.device,
        )  # 4
        return incentive_estimate(oracle, x, context, [multipliers], remembered)  # 5

    def _temperature(self, oracle: Oracle) -> float:
        return self.settings.for_oracle(oracle).temperature if self.level == "outcome" else oracle.temperature

    def _leader_knowledge(self, oracle: Oracle, x: np.ndarray, context: int, seen: Outcome, learned: Any) -> tuple[LeaderKnowledge, Any]:
        """The leader's knowledge after this outcome, and the memory for the next call: counts, or at OUTCOME the inference state."""
        if self.level == "outcome":
            settings = self.settings.for_oracle(oracle)
            state = (learned or InferenceState.prior(oracle, settings)).update(oracle, x, seen, settings)
            mdp = induced_mdp(state.game(oracle, settings, optimism=self.optimism), x)
            plan = soft_policy_iteration(mdp, settings.temperature)
            q = mask_action_values(mdp, mdp.follower_reward + mdp.follower_discount * mdp.kernel.expect(plan.values))
            return LeaderKnowledge(plan.policy, mdp, q), state
        policy = np.asarray(oracle.policies(x, context)[0])
        follower_q = oracle.action_values(x, context)[0] if oracle.sizes[0][1] > 1 else None
        if self.critic != "counts":
            return LeaderKnowledge(policy, None, follower_q), None
        counts, _ = (learned or Counts.zeros(oracle.sizes[0])).add_outcome(seen, instrument_cost(oracle, x, context))
        known = tables(counts, self.kernel_prior, bonus=self.optimism)
        counted = EstimatedGame(oracle, oracle.temperature, known, np.zeros(oracle.sizes[0]), context=context)
        return LeaderKnowledge(policy, induced_mdp(counted, x), follower_q), counts

    def _benefits(
        self, oracle: Oracle, seen: Outcome, known: LeaderKnowledge, remembered: dict[Any, Any], context: int, rng: np.random.Generator
    ) -> np.ndarray | None:
        """B_L(s,b), (S, B), of a design game by its critic; None where returns are averaged instead."""
        g = known.policy[:, 0]
        if known.mdp is not None and self.critic == "counts":
            leader_q = action_values(known.mdp, known.policy)[:, 0]
        elif self.critic == "sarsa":
            table = remembered.get(("critic", context))
            if table is None:
                table = self.table_scale * rng.normal(size=g.shape)
            leader_q = sarsa(table, seen, g, rate=self.rate, discount=oracle.leader_discount, rng=rng, target=self.sarsa_target)
            remembered["critic", context] = leader_q
        else:
            return None
        return leader_q - (g * leader_q).sum(-1, keepdims=True)
