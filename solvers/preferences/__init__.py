"""Reward learning from preferences with a simulator: the leader is a reward network, the follower a policy trained on it.

A file each, in the order in which to read them: `teacher` (segments of play, and who prefers which; NumPy alone), `reward` (the leader:
a network and the Bradley-Terry loss), `follower` (PPO by stable-baselines3, the true reward out of its sight), `settings`, and `methods`
(two-stage, iterated, SoBiRL, PBRL, and the true reward as the ceiling, with one referee).

The leader's problem, with y the follower's policy (Shen, Yang, Chen, JMLR 26(114), 2025; Christiano et al., NeurIPS 2017)::

    min_x  f(x, y*(x)) = E[ -log P_x(preferred over other) ],  pairs of segments played by y*(x),  y*(x) optimal for r_x
    P_x(first over second) = sigmoid( sum r_x(first) - sum r_x(second) )

It has no tables, hence no `StackelbergGame`, and nobody knows its optimum: the ceiling is a policy trained on the true reward.  Needs the
extra ``rl``.  ``python -m baselines.studies.preference_control`` runs it.
"""
