"""Results on disk: JSON lines, appended atomically, one line a finished run.

A killed process leaves at most a torn last line; it is cut off with a warning, and that run is repeated.  Anything else that is not a
result stops the reader with the line's number, and nothing is changed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stackelberg_envs import references
from stackelberg_envs.registry import REGISTRY

from . import system

SCHEMA = 3
"""Of the lines that are written: docs/reference/results.md.  Lines that do not say are of version 1, without ``schema`` and ``access``;
those of version 2 have no ``code`` and no ``checksum``."""


class ResultsError(RuntimeError):
    """A results file that cannot be trusted; nothing in it was changed."""


Line = tuple[int, dict[str, Any]]
"""The number of a line, from 1, and what it says."""


class TornLineWarning(UserWarning):
    """The last line of a results file was half written and has been cut off."""


def read(path: Path, *, repair: bool = False) -> dict[str, dict[str, Any]]:
    """All results by id: of a run that was made anew (``again``) the last, else the first line of an id.

    Args:
        path: the file; a missing one is empty.
        repair: cut a torn last line off the file, instead of only leaving it out.

    Raises:
        ResultsError: if a whole line is not a result.
    """
    return {id: found[-1][1] for id, found in by_id(read_lines(path, repair=repair)).items()}


def by_id(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """The lines of each id, each made anew after those before it; a line that repeats one without saying so is left out."""
    found: dict[str, list[Line]] = {}
    for number, result in lines:
        before = found.setdefault(result["id"], [])
        if not before or _times(result) > _times(before[-1][1]):
            before.append((number, result))
    return found


def _times(result: dict[str, Any]) -> int:
    """How often a run was made anew before this line; 0 where the line says nothing that could be meant."""
    again = result.get("again", 0)
    return again if isinstance(again, int) else 0


def read_lines(path: Path, *, repair: bool = False) -> list[Line]:
    """All results with the numbers of their lines, from 1; see `read`."""
    if not path.exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines, 1):
        result = parse(line)
        if result is None:
            raise ResultsError(
                f"{path}, line {number} is not a result: {line[:60]!r}... "
                "Delete that line (its run will be repeated), or move the file away"
            )
        found.append((number, result))
    if rest:  # only a line without its end can be half written
        warnings.warn(f"{path}: the last line was half written, and its run will be repeated", TornLineWarning, stacklevel=3)
        if repair:
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size - len(rest))
    return found


def with_checksum(result: dict[str, Any]) -> dict[str, Any]:
    """A result with the checksum of all else that it says, by which a later change is noticed."""
    return {**result, "checksum": checksum(result)}


def checksum(result: dict[str, Any]) -> str:
    """Hash of a result without its own ``checksum``, 16 digits; spaces and the order of fields do not count."""
    said = {key: value for key, value in result.items() if key != "checksum"}
    return hashlib.sha256(canonical(said).encode()).hexdigest()[:16]


def append(path: Path, result: dict[str, Any]) -> None:
    """Add one result: a single write to the end of the file, under a lock, flushed to the disk.

    Raises:
        ResultsError: if the disk does not take the whole line, or the file's last line has no end; the file is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(result, sort_keys=True, allow_nan=False) + "\n").encode()
    with system.exclusive(path, wait=True) as file:
        _append_whole(path, file, line)


def _append_whole(path: Path, file: Any, line: bytes) -> None:
    """Write a line to the end of an unbuffered file, or nothing: a full disk may take a part of it without an error."""
    before = file.seek(0, os.SEEK_END)
    if before and not _ends_a_line(path):
        raise ResultsError(f"{path}: the last line has no end, and nothing was added; the same command again cuts it off")
    try:
        taken = file.write(line)
        if taken != len(line):
            raise OSError(errno.ENOSPC, f"the disk took {taken or 0} of {len(line)} bytes")
        os.fsync(file.fileno())
    except OSError as error:
        file.truncate(before)
        reason = error.strerror or str(error)
        raise ResultsError(f"{path}: a result could not be stored ({reason}); the file is as it was. Make room, and run again") from error


def _ends_a_line(path: Path) -> bool:
    """Whether the last byte of a file that is not empty ends a line."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold a results file against other benchmarks; released however this process ends, where the system does so (`system.exclusive`).

    Raises:
        ResultsError: if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(system.exclusive(path.with_name(f".{path.name}.lock"), wait=False))
        except BlockingIOError as error:
            said = f"another benchmark is writing to {path}; wait for it, or give --results another folder"
            raise ResultsError(said if error.errno else f"{said} ({error})") from None
        yield


def portable_job(job: dict[str, Any]) -> dict[str, Any]:
    """What a job says of itself on every machine, without its label: places of code without their folders."""
    job = json.loads(json.dumps({key: value for key, value in job.items() if key != "label"}))
    for world in (job["world"], job.get("referee")):
        if world:
            world["id"] = REGISTRY.label(world["id"])
            if world.get("follower"):
                world["follower"]["kind"] = references.portable(world["follower"]["kind"])
    return {**job, "solver": references.portable(job["solver"])}


def same_run(result: dict[str, Any]) -> str:
    """What a run has in common with the same run of other code; a line that is no result of a job has its id."""
    try:
        return canonical([portable_job(result["job"]), result.get("access")])
    except (KeyError, TypeError, AttributeError):  # `flaw` will say what is wrong with it
        return str(result["id"])


def canonical(value: Any) -> str:
    """Data as text: equal data, equal text."""
    return json.dumps(value, sort_keys=True)


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what depends on the machine's mood or on the version of the schema: the same run gives the same."""
    return {key: value for key, value in result.items() if key not in ("timing", "schema", "access", "code", "again", "checksum")}


MANY_NUMBERS = 300
"""Characters of instruments that are kept of the last report only."""


def trim_history(result: dict[str, Any]) -> dict[str, Any]:
    """What a record in the repository keeps of a result: everything but the finer points of its history, and 9 digits of x.

    Of telemetry, what pages show: the direction of each gradient, and how the follower did at the end.  Reports of such runs are at least
    8 % of the budget apart.  Instruments of many numbers, such as a payment for each state, are kept of the last report.
    """
    keys = ["iteration", "commitments", "outcome_steps", "leader_return", "optimism_gap", "penalty", "instruments"]
    measured = result["job"].get("telemetry", False)
    last = ["online_return", "best_response_return", "follower_kl", "bellman_residual", "learned_gap"] if measured else []
    keys += ["cosine", "exact_norm"] if measured else []
    *earlier, end = result["history"]
    kept = _apart(earlier, 0.08 * result["job"]["budget"] if measured else 0)
    rows = [{key: earlier[i][key] for key in keys if key in earlier[i] and _is_kept(key, earlier[i][key])} for i in kept]
    rows.append({key: end[key] for key in keys + last if key in end})
    seconds = result["timing"]["history"]
    slim = {
        **result,
        "x": json.loads(json.dumps(result["x"]), parse_float=lambda digits: float(f"{float(digits):.9g}")),
        "history": [{key: value if key == "penalty" else _round(value) for key, value in row.items()} for row in rows],
        "timing": {**result["timing"], "history": [round(at, 2) for at in (*(seconds[i] for i in kept), seconds[-1])]},
    }
    return with_checksum(slim) if "checksum" in slim else slim


def _apart(rows: list[dict[str, Any]], least: float) -> list[int]:
    """Which reports are at least so many commitments behind the last one kept; of what it keeps it keeps all."""
    kept: list[int] = []
    for i, row in enumerate(rows):
        if not kept or row["commitments"] >= rows[kept[-1]]["commitments"] + least:
            kept.append(i)
    return kept


def _is_kept(key: str, value: Any) -> bool:
    """Whether an earlier report has it in a record."""
    return key != "instruments" or len(json.dumps(value)) <= MANY_NUMBERS


def _round(value: Any) -> Any:
    """With 7 decimals."""
    return json.loads(json.dumps(value), parse_float=lambda digits: round(float(digits), 7))


def record(path: Path, results: list[dict[str, Any]]) -> None:
    """A results file of slim copies, to be committed."""
    replace(path, "".join(json.dumps(trim_history(result), sort_keys=True, separators=(",", ":")) + "\n" for result in results))


def replace(path: Path, content: str | bytes) -> None:
    """Write a whole file so that a reader sees the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content if isinstance(content, bytes) else content.encode())
    draft.replace(path)


def parse(line: bytes) -> dict[str, Any] | None:
    """What a line says; None if it is not a result."""
    try:
        result = json.loads(line)
    except ValueError:
        return None
    return result if isinstance(result, dict) and isinstance(result.get("id"), str) else None
