"""The conformance kit: what every game and every environment owes its users.

`check_game` checks a functional game, `check_env` an environment (AEC, parallel or Gymnasium), beyond what PettingZoo's own tests can
see: observations in their spaces, correct flags, determinism in every step, copies that go on, leaders that cannot look into followers,
views that agree, and steps that follow the model's kernel.  Both raise `ConformanceError` with everything they found, and return a
`Report` otherwise.  Nothing here needs torch; where it is installed, `check_game` imports it, and compares tables and slopes.
"""

from .env_checks import check_env
from .game_checks import check_game
from .report import ConformanceError, Report
from .strategies import commitments, random_games
from .tables import Tables

__all__ = ["ConformanceError", "Report", "Tables", "check_env", "check_game", "commitments", "random_games"]
