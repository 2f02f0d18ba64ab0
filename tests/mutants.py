"""Mutants of the source, which `test_theorems` is to notice.

``python tests/mutants.py [names]`` applies each to a copy of the source, and says which of them live.  A mutant is (file, text that occurs
there once, what stands there instead).  Nothing collects this file: it takes a quarter of an hour, by ``make mutants``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COPIED = ("stackelberg_envs", "solvers", "baselines", "tests", "docs", "README.md", "pyproject.toml")
SECONDS = 150
THEOREMS = "tests/test_theorems.py"


UNSHRUNK = """
from hypothesis import Phase, settings

settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate])
settings.load_profile("mutants")
"""
"""A failure is enough: hypothesis need not look for the smallest."""


class Mutant(NamedTuple):
    """One change that contradicts a theorem."""

    file: str
    old: str
    new: str


ENVS, SOLVERS = "stackelberg_envs/", "solvers/"
ROUNDS = f"{ENVS}leader/repeated_game.py"
MUTANTS = {
    "bound over 2 - gamma": Mutant(
        f"{ENVS}planning/policy_iteration.py",
        "bound = sup_norm(backed_up - v) / (1 - gamma)",
        "bound = sup_norm(backed_up - v) / (2 - gamma)",
    ),
    "runs share their noise": Mutant(ROUNDS, "default_rng([self.seed, 0x0AC1E])", "default_rng([0, 0x0AC1E])"),
    "learners share their noise": Mutant(ROUNDS, "default_rng([self.seed, 0x7EAC4])", "default_rng([0, 0x7EAC4])"),
    "a model call does not commit": Mutant(
        ROUNDS, "        self._commit(x)\n        self.cost.model_calls += 1", "        self.cost.model_calls += 1"
    ),
    "training does not commit": Mutant(
        ROUNDS, "        self._commit(x)\n        self._query_follower(index, steps)", "        self._query_follower(index, steps)"
    ),
    "no start in the end": Mutant(ROUNDS, '_indices("states", states, sizes[:, 0] + 1)', '_indices("states", states, sizes[:, 0])'),
    "the end moves": Mutant(f"{ENVS}play/rollouts.py", "(states < s_count) & (limits > 0)", "(states <= s_count) & (limits > 0)"),
    "no leader discount of 0": Mutant(f"{ENVS}evaluation.py", "0 <= leader_discount <= 1", "0 < leader_discount <= 1"),
    "0 is no discount given": Mutant(
        f"{ENVS}worlds/tabular.py", "mdp.leader_discount if discount is None else discount", "discount or mdp.leader_discount"
    ),
    "a horizon of True": Mutant(f"{ENVS}evaluation.py", " or isinstance(horizon, bool)", ""),
    "a ledger from 1": Mutant(f"{ENVS}leader/access.py", "    queries: int = 0", "    queries: int = 1"),
    "no loss where values are too low": Mutant(
        f"{ENVS}planning/loss.py", "(max(up, 0.0) + max(down, 0.0)) / (1 - discount)", "max(down, 0.0) / (1 - discount)"
    ),
    "no loss where values are the policy's": Mutant(
        f"{ENVS}planning/loss.py", "(max(up, 0.0) + max(down, 0.0)) / (1 - discount)", "max(up, 0.0) / (1 - discount)"
    ),
    "a loss without entropy": Mutant(
        f"{ENVS}planning/loss.py", "attained = attained + temperature * entropy(policy)", "attained = attained + 0 * entropy(policy)"
    ),
    "ties by the follower's discount": Mutant(
        f"{ENVS}followers/exact.py", "(leader, mdp.leader_discount, allowed=best)", "(leader, mdp.follower_discount, allowed=best)"
    ),
    "a sweep too many": Mutant(f"{ENVS}followers/bounded.py", "for _ in range(self.sweeps):", "for _ in range(self.sweeps + 1):"),
    "returns of contexts alike": Mutant(
        ROUNDS,
        "sum(p * self._expected_return(context) for context, p in enumerate(self.game.context_probabilities))",
        "np.mean([self._expected_return(context) for context, _ in enumerate(self.game.context_probabilities)])",
    ),
    "follower returns of contexts alike": Mutant(
        f"{ENVS}evaluation.py", "xp.sum(stack_scores(0) * weights[:, None], axis=-2)", "xp.mean(stack_scores(0), axis=-2)"
    ),
    "the gap of who is best off": Mutant(
        f"{ENVS}evaluation.py", "follower_gap=xp.max(stack_scores(2), axis=(-2, -1))", "follower_gap=xp.min(stack_scores(2), axis=(-2, -1))"
    ),
    "a duality gap of one follower": Mutant(
        f"{ENVS}evaluation.py", "xp.max(xp.sum(stack_scores(2), axis=-1), axis=-1)", "xp.max(xp.max(stack_scores(2), axis=-1), axis=-1)"
    ),
    "equilibria by the follower's discount": Mutant(
        f"{ENVS}followers/equilibria.py", "game.leader_discount * arrives @ worth", "game.follower_discount * arrives @ worth"
    ),
    "rtq trains more than it says": Mutant(f"{SOLVERS}estimators/rtq.py", "np.arange(1, self.levels + 1)))", "np.arange(0, self.levels)))"),
    "a restore keeps the answers": Mutant(
        ROUNDS,
        "copy.deepcopy(self._snapshots[snapshot.number])\n        self._responses = {}",
        "copy.deepcopy(self._snapshots[snapshot.number])",
    ),
    "deviations gain now alone": Mutant(
        f"{ENVS}followers/equilibria.py", "(gained + game.follower_discount * (arrives @ bound).max())", "gained"
    ),
    "step sizes of 1/k": Mutant(f"{ENVS}play/q_learning.py", "(1.0 + rate * visits[pair])", "(1.0 + visits[pair])"),
}


def apply(name: str, folder: Path) -> str:
    """Run the theorems on a copy of the source with it, and say what came of it."""
    file, old, new = MUTANTS[name]
    path = folder / file
    source = path.read_text()
    if source.count(old) != 1:
        return f"STALE: {old!r} occurs {source.count(old)} times in {file}"
    path.write_text(source.replace(old, new))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", THEOREMS]
    try:
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False, env={**os.environ, "PYTHONPATH": str(folder)}
        )
    except subprocess.TimeoutExpired:
        return f"not done after {SECONDS} s"
    finally:
        path.write_text(source)
    failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED")]
    if run.returncode == 0:
        return "LIVES"
    return f"killed: {failed[0][:150]}" if failed else f"not tried: {run.stdout[-300:]}"


def main() -> None:
    """Apply the mutants named on the command line, or all."""
    with tempfile.TemporaryDirectory() as folder:
        for entry in COPIED:
            copy = shutil.copytree if (ROOT / entry).is_dir() else shutil.copy
            copy(ROOT / entry, Path(folder) / entry)
        with (Path(folder) / "tests" / "conftest.py").open("a") as conftest:
            conftest.write(UNSHRUNK)
        for name in sys.argv[1:] or MUTANTS:
            print(f"{name}: {apply(name, Path(folder))}", flush=True)


if __name__ == "__main__":
    main()
