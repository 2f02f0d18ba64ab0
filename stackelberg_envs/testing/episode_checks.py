"""Whether episodes are what their seeds and actions make them."""

from __future__ import annotations

import numpy as np

from .driver import Snapshot
from .report import Report, advise, require
from .subject import STEPS, Subject

SEEDS, RESETS, SHORT = 12, 40, 12
"""Seeds that are compared, resets without one that are waited for, and moves of each of these episodes."""


def check_episodes(report: Report, subject: Subject) -> None:
    """Play episodes twice, with something between that must make no difference."""
    report.check("a seed determines every step", _determinism, subject)
    report.check("an episode leaves nothing behind", _nothing_carried_over, subject)
    report.check("resets without a seed go on", _unseeded_resets, subject)
    report.check("resets after a seed are determined by it", _later_resets, subject, lenient=True)


def compare(first: list[Snapshot], second: list[Snapshot], what: str) -> None:
    """Fail where two episodes differ."""
    for a, b in zip(first, second, strict=False):
        difference = a.difference(b)
        require(difference is None, f"{what} (after {a.moves} moves): {difference}")
    require(len(first) == len(second), f"{what}: {len(first) - 1} against {len(second) - 1} moves")


def _determinism(subject: Subject) -> None:
    kept = np.random.get_state()  # noqa: NPY002 - marked, looked at and put back
    np.random.set_state(np.random.RandomState(12345).get_state())  # noqa: NPY002
    mark = str(np.random.get_state())  # noqa: NPY002
    try:
        first = subject.play()
        again = [subject.play() for _ in range(1 if subject.ours else 4)]  # short episodes may be alike by chance
        require(mark == str(np.random.get_state()), "the environment uses or seeds NumPy's global generator")  # noqa: NPY002
    finally:
        np.random.set_state(kept)  # noqa: NPY002
    for second in again:
        compare(first, second, "two runs with the same seed and actions differ")


def _nothing_carried_over(subject: Subject) -> None:
    """A fresh environment plays as one that is reset in the middle of another episode, and as one that has ended it."""
    first, used = subject.play(subject.fresh()), subject.fresh()
    for moves in (STEPS, 3, 1):
        subject.play(used, moves, seed=subject.seed + 1)
        compare(first, subject.play(used), "a seeded run depends on the episode before it")


def _unseeded_resets(subject: Subject) -> str | None:
    def play(env_seed: int | None) -> list[Snapshot]:
        return subject.play(env, SHORT, env_seed=env_seed)

    env = subject.fresh() if subject.build is not None else subject.env
    first, others = play(0), 0
    for seed in range(1, SEEDS):
        others += not _same(first, play(seed))
    if others < SEEDS / 4:
        return "episodes hardly depend on the seed"
    play(0)
    again = play(None)
    for _ in range(RESETS):
        if not _same(again, play(None)):
            return None
    require(False, f"{RESETS} resets without a seed start the same episode again and again, and other seeds others")
    return None


def _later_resets(subject: Subject) -> None:
    env = subject.fresh() if subject.build is not None else subject.env
    runs = []
    for _ in range(2):
        subject.play(env, 2, env_seed=0)
        runs.append(subject.play(env, SHORT, env_seed=None))
    advise(_same(*runs), "a reset without a seed after one with a seed starts another episode each time the two are repeated")


def _same(first: list[Snapshot], second: list[Snapshot]) -> bool:
    return len(first) == len(second) and all(a.difference(b) is None for a, b in zip(first, second, strict=True))
