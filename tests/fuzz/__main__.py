"""Try random inputs, and count the errors that are not in words::

    python -m tests.fuzz --kind games --count 20000 --seed 0

Prints, for each kind, how many inputs were answered by a bare error, accepted (and worked), refused in words or unfinished, and which
lines bare errors come from.  The exit status is 1 if there are any.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from .doors import KINDS, StateChanged, Try
from .files import command_lines, configurations
from .verdict import TooSlow, bare, origin

ALL = {**KINDS, "configurations": configurations, "commands": command_lines}
SECONDS, MEMORY = 3, 12 * 2**30
FINE = ("accepted", "refused", "unfinished")
"""Accepted, and it worked; refused in words; accepted, and large, and stopped after `SECONDS`."""


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """An input that takes longer raises `TooSlow`, where signals allow it."""

    def stop(number: int, frame: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def attempt(kind: str, seed: int) -> tuple[str, str, str]:
    """(verdict, place, what was tried) of one input; the verdict is one of `FINE`, or what is wrong."""
    tried, rng = Try(), random.Random(f"{kind} {seed}")
    try:
        with limits(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ALL[kind](rng, tried)
    except TooSlow:
        return "unfinished", "", tried.what
    except StateChanged as error:
        return "state changed by a refusal", "", str(error)
    except Exception as error:
        wrong = bare(error, tried.names)
        said = f"{tried.what} -> {type(error).__name__}: {error!s:.200}"
        return (wrong or "refused"), origin(error), said
    return "accepted", "", tried.what


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("::")[0] if __doc__ else "")
    parser.add_argument("--kind", choices=[*ALL, "all"], default="all")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first input; the others follow")
    parser.add_argument("--show", type=int, default=1, help="examples of each bare error")
    asked = parser.parse_args()
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    failed = 0
    for kind in ALL if asked.kind == "all" else [asked.kind]:
        counts: collections.Counter[str] = collections.Counter()
        places: dict[tuple[str, str], list[str]] = {}
        for seed in range(asked.seed, asked.seed + asked.count):
            wrong, place, what = attempt(kind, seed)
            counts[wrong if wrong in FINE else "bare"] += 1
            if wrong not in FINE:
                places.setdefault((wrong, place), []).append(f"seed {seed}: {what}")
        failed += counts["bare"]
        print(", ".join([f"{kind}: {counts['bare']} bare", *(f"{counts[verdict]} {verdict}" for verdict in FINE)]), flush=True)
        for (wrong, place), examples in sorted(places.items(), key=lambda item: -len(item[1])):
            print(f"  {len(examples):5d} {wrong} at {place}")
            for example in examples[: asked.show]:
                print(f"        {example}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
