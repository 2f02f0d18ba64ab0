"""Best responses in anybody's PettingZoo environment: by a library's algorithm with an interval, or exact where there are tables.

from baselines.best_response import QLearning, StableBaselines, exploitability, exact_response
"""

from .exact import ExactResponse, exact_response
from .exploitability import Exploitability, exploitability
from .learners import Learner, QLearning, StableBaselines
from .single_agent import Policy, SingleAgentEnv, random_policy

__all__ = [
    "ExactResponse",
    "Exploitability",
    "Learner",
    "Policy",
    "QLearning",
    "SingleAgentEnv",
    "StableBaselines",
    "exact_response",
    "exploitability",
    "random_policy",
]
