"""Active inverse learning: the next commitment is the one that tells most about the follower, and planning comes after.

Chen, Lei, Mu, Hong, Qi, "Active inverse methods in Stackelberg games with bounded rationality", 2025, arXiv 2510.15582, for a quantal
follower of one stage with quadratic costs; no code is published.  The leader fits the follower's parameters by maximum likelihood, chooses
its next action by their Fisher information, and then trades information for return with a weight that falls::

    I(x)    = E_x sum_n N(n) sum_b g(b|n) D(n,b) D(n,b)^T ,   D = d log g / d r              expected, of ``episodes`` episodes
    gain(x) = log det (H_k + I(x)) / 2 - log det H_k / 2                                    D-optimality, in nats
    x_k+1   = argmax_x gain(x)                                  k < informative
    x_k+1   = argmax_x J(x) + curiosity / sqrt(1 + k) gain(x)     afterwards

H_k is the Fisher information of all responses so far and of the prior.  One round:

1. commit to x_k, and watch some episodes
2. count transitions and rewards, and maximise the pooled likelihood (`solvers.inference.irl`) from where the last round ended
3. report x_k instead of the incumbent if the estimates predict a return that is higher by ``margin``
4. in the first ``informative`` rounds: search for the largest gain, in ``planning_steps`` generations of as many candidates as there are
   starts: the first half are random ones, the others N(best so far, spread_i^2) with a spread that falls to a tenth
5. afterwards: ascend from the incumbent and from each of a population by the exact gradient of J, and take the end with the largest sum of
   return and weighted gain
6. commit to it next

A fair rewrite, not the paper's, whose leader has one action and one stage.  Candidates are as many as `solvers.inverse_planning` plans
with in a round.  D-optimality is used, since the trace is infinite where a direction is not seen at all, and these rewards are only
identified up to a potential.

Assumptions: those of `solvers.qse_mle`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .game_ascent import next_population, predicted_returns
from .inference.information import expected_information, information_gain
from .inference.model import induced_mdp
from .outcome_planner import Choice, OutcomePlanner, Round


@dataclass(frozen=True, repr=False)
class ActiveInverse(OutcomePlanner):
    """Commitments by Fisher information, then greedy (OUTCOME).

    It needs INCENTIVE where the leader sets rewards; one iteration is one commitment.

    Args:
        informative: how many commitments after the start are chosen by information alone.
        curiosity: what a nat is worth in return afterwards, in the first round; it falls with 1/sqrt(1 + k).
    """

    informative: int = 0
    curiosity: float = 0.1

    @property
    def _name(self) -> str:
        return "active_inverse"

    def _least(self) -> dict[str, float]:
        return {"informative": 0, "curiosity": 0}

    def _choose(self, now: Round, rng: np.random.Generator) -> Choice:
        rounds = now.inference.rounds - 1
        if rounds < self.informative:  # 4
            best, gain = self._most_informative(now, rng)
            row = {"planned_return": float(predicted_returns(now.game, best[None])[0]), "information": gain}
            return Choice(best, now.starts[1 : 1 + now.kept], row)
        planned = self._ascend(now)  # 5
        returns, gains = predicted_returns(now.game, planned), self._gains(now, planned)
        best = int(np.argmax(returns + self.curiosity / np.sqrt(1 + rounds) * gains))
        population = next_population(planned, returns, best, now.kept)
        return Choice(planned[best], population, {"planned_return": float(returns[best]), "information": float(gains[best])})

    def _most_informative(self, now: Round, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """(commitment, its gain) of a random search."""
        best, most = now.starts[0], -np.inf
        generations = max(1, self.planning_steps)
        anywhere = (generations + 1) // 2
        for i in range(generations):
            centre, spread = (0.0, self.spread) if i < anywhere else (best, self.spread * 0.1 ** ((i - anywhere) / anywhere))
            candidates = np.clip(centre + spread * rng.normal(size=now.starts.shape), -self.largest, self.largest)
            gains = self._gains(now, candidates)
            if (largest := float(gains.max())) > most:
                best, most = candidates[int(np.argmax(gains))], largest
        return best, most

    def _gains(self, now: Round, xs: np.ndarray) -> np.ndarray:
        """Information gains of commitments (K, n), (K,)."""
        mdp, precision = induced_mdp(now.game, xs), now.inference.belief.precision  # type: ignore[union-attr]
        information = expected_information(mdp, now.settings.temperature, episodes=self.episodes, steps=now.game.max_cycles)
        return information_gain(precision, information)
