"""Planning in the game that explains all responses so far: a Stackelberg leader that sees outcomes and nothing else.

Our own method.  The follower's reward is one unknown table, and the leader's commitments are the experiments that identify it: the dynamics
that a commitment induces differ from round to round, and one reward has to explain the responses to all of them (`irl`).  Dynamics and the
leader's own reward are counted (`model`).  In the estimated game the leader plans with the exact hypergradient of the suite, which makes
better use of an outcome than following one noisy gradient through it.  One round:

1. commit, and watch some episodes
2. count transitions and rewards, pooled over all commitments
3. explain: maximum causal entropy inverse RL, pooled, by damped Fisher scoring
4. confirm: a commitment that has just been tried becomes the incumbent if the model, which now contains its outcomes, says so
5. plan: a few steps of ascent from the incumbent and from a small population; the best is tried next
6. explore, ever more rarely: plan instead in a game drawn from the posterior, with optimism where the leader has never been

What is reported is the incumbent, never an exploration.
"""

from .solver import InversePlanning

__all__ = ["InversePlanning"]
