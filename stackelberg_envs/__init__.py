"""Stackelberg Markov games: leaders who commit, followers who best-respond, and scores by a referee.

Importing this package registers its environments, and those that installed packages advertise, with PettingZoo (``stackelberg/<id>``) and
Gymnasium (``Stackelberg/<Name>-Leader-v0`` and ``-Follower-v0``).  It never imports torch.
"""

import importlib
from typing import Any

# The functions `game` and `games` share their names with the module game.py and the folder games/.  Both are loaded here, first, so that
# no later import puts the module in the function's place; `from stackelberg_envs.games.four_rooms import FourRooms` works as ever.
from . import game as _game_module
from . import games as _games_folder
from .bounds import cooperative_value, upper_bound
from .commitments import CommitmentError
from .deadlines import WithDeadline, with_deadline
from .evaluation import Evaluation, evaluate
from .followers.believes import Believes
from .followers.bounded import Quantal, Truncated
from .followers.epsilon_optimal import EpsilonOptimal
from .followers.equilibria import Nash, Saddle, SoftNash
from .followers.exact import Hard, Soft
from .followers.feedback import Feedback
from .followers.independent_q_learning import IndependentQLearning
from .followers.learning import NaturalPolicyGradient, SoftQLearning
from .followers.mirror_descent import MirrorDescent
from .followers.pretrained import Pretrained
from .followers.replication import SoftInside
from .formats.arrays import from_arrays
from .formats.cassandra import read_cassandra
from .formats.gym_tables import from_gymnasium
from .formats.instruments import MixedActions, Penalties, Quotas, Subsidies
from .formats.nfg import read_nfg
from .formats.prism import read_prism
from .formats.tntp import RoadNetwork, read_tntp
from .formats.world_tables import WorldTables
from .game import Follower, Layout, StackelbergGame
from .leader.access import Access, AccessError, Cost, Oracle, Permission
from .play.outcomes import Outcome
from .policy_bound import PolicyBound, policy_bound
from .processes.inverse_cdf import draw
from .processes.shared_rows import SharedRows
from .processes.successor_lists import SuccessorLists
from .processes.transitions import expect
from .registry import game, games
from .response import Response
from .transfer_bound import transfer_bound
from .upper_bounds import upper_bounds
from .views.registration import make, make_parallel, pettingzoo_module, register, register_all
from .worlds.base import WorldError
from .worlds.markov_game import InducedMarkovGame
from .worlds.mdp import InducedMDP
from .worlds.mean_field import InducedMeanField
from .worlds.signal import InducedSignalMDP

__version__ = "0.2.0"
__all__ = [
    "Access",
    "AccessError",
    "Believes",
    "CommitmentError",
    "Cost",
    "EpsilonOptimal",
    "Evaluation",
    "Feedback",
    "Follower",
    "Hard",
    "IndependentQLearning",
    "InducedMDP",
    "InducedMarkovGame",
    "InducedMeanField",
    "InducedSignalMDP",
    "Layout",
    "MirrorDescent",
    "MixedActions",
    "Nash",
    "NaturalPolicyGradient",
    "Oracle",
    "Outcome",
    "Penalties",
    "Permission",
    "PolicyBound",
    "Pretrained",
    "Quantal",
    "Quotas",
    "Response",
    "RoadNetwork",
    "Saddle",
    "SharedRows",
    "Soft",
    "SoftInside",
    "SoftNash",
    "SoftQLearning",
    "StackelbergGame",
    "Subsidies",
    "SuccessorLists",
    "Truncated",
    "WithDeadline",
    "WorldError",
    "WorldTables",
    "cooperative_value",
    "draw",
    "evaluate",
    "expect",
    "from_arrays",
    "from_gymnasium",
    "game",
    "games",
    "make",
    "make_parallel",
    "pettingzoo_module",
    "policy_bound",
    "read_cassandra",
    "read_nfg",
    "read_prism",
    "read_tntp",
    "register",
    "transfer_bound",
    "upper_bound",
    "upper_bounds",
    "with_deadline",
]

del _game_module, _games_folder
register_all()  # PettingZoo modules too: `from stackelberg_envs import four_rooms_v0`, or `import stackelberg_envs.four_rooms_v0`


def __getattr__(name: str) -> Any:
    """`stackelberg_envs.testing` is loaded when asked for; `register` sets PettingZoo modules, where type checkers do not see them."""
    if name == "testing":
        return importlib.import_module(f"{__name__}.testing")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
