"""Whether an error is in words: raised by a statement of this repository, of a type that says something, naming what was wrong."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tomllib import TOMLDecodeError
from types import TracebackType

from solvers import Declined
from stackelberg_envs import AccessError

ROOT = Path(__file__).parent.parent.parent
OURS = tuple(str(ROOT / folder) for folder in ("stackelberg_envs", "solvers", "baselines"))
BARE_TYPES = (LookupError, AttributeError, ArithmeticError, MemoryError, RecursionError, AssertionError, NameError)
FOREIGN = (TOMLDecodeError, OSError, ImportError)
"""Of others, and in words: wrapped in an error of ours they are no worse."""


class TooSlow(Exception):
    """Beyond the time that one input gets."""


def bare(error: BaseException, names: Iterable[str] = ()) -> str | None:
    """What is wrong with an error, or None if it is in words.

    Args:
        error: what came of an input.
        names: of the arguments that were odd; the message must have one of them, if there are any.
    """
    if type(error).__module__.startswith(("click", "typer")):
        return None  # the command line's own, about a value and its option
    if isinstance(error, (AccessError, Declined)):
        return None  # another reason than what was odd
    if isinstance(error, BARE_TYPES) and not isinstance(error, (KeyError, FloatingPointError)):
        return type(error).__name__
    said = str(error.args[0]) if error.args else ""
    if _missing_argument(error, said):
        return None
    if not _raised_by_us(error.__traceback__):
        return f"{type(error).__name__} of others"
    cause = error.__cause__
    if cause is not None and cause.args and str(cause.args[0])[:40] in said and not isinstance(cause, FOREIGN) and (inner := bare(cause)):
        return inner if cause.__traceback__ is not None else None
    if len(said.split()) < 4:
        return "too few words"
    wanted = {part for name in map(str, names) for part in (name, *name.split("_")) if len(part) > 1 or part == name}
    if wanted and not any(re.search(rf"(?<![a-z]){re.escape(word[:6])}", said, re.IGNORECASE) for word in wanted):
        return "does not name the argument"
    return None


def origin(error: BaseException) -> str:
    """Where an error comes from: the innermost statement of this repository, as file and line."""
    place, trace = "outside", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(OURS):
            place = f"{Path(file).relative_to(ROOT)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _missing_argument(error: BaseException, said: str) -> bool:
    """Python's own words for a missing argument name it."""
    return isinstance(error, TypeError) and re.search(r"missing \d+ required (positional|keyword-only) argument", said) is not None


def _raised_by_us(trace: TracebackType | None) -> bool:
    """Whether the innermost frame is a ``raise`` of this repository."""
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
    return file.startswith(OURS) and any(first <= line <= last for first, last in _raises(file))


@cache
def _raises(file: str) -> tuple[tuple[int, int], ...]:
    """First and last lines of the statements of a file that raise something of its own."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return tuple((node.lineno, node.end_lineno or node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc)
