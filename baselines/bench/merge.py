"""``stackelberg merge``: results of several machines into one file, in which every run is once.

Inputs are only read.  A line that is damaged is named and left out, so that its run is missing and will be repeated; where two lines say
different things of the same run, nothing is written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.markup import escape

from . import commands, results_file
from .printing import console, problems
from .quantities import be, quantity, share

if TYPE_CHECKING:
    from .configuration import Config

NAMED = 20
"""How many contradictions one message names."""


class Place(NamedTuple):
    """Where a line is."""

    path: Path
    number: int
    """From 1."""
    offset: int
    """In bytes."""

    def __str__(self) -> str:
        return f"{self.path}, line {self.number}"

    def read(self) -> dict[str, Any]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return results_file.parse(file.readline()) or {}


@dataclass
class Merge:
    """What became of the lines of several files."""

    there: int = 0
    """Lines that the target had."""
    new: int = 0
    copies: int = 0
    """Lines that say what another says."""
    damaged: list[str] = field(default_factory=list)
    """In words, each with its place."""


def merge_files(target: Path, sources: Sequence[Path]) -> Merge:
    """Write to ``target`` what it has and every other run of ``sources``, in their order, each line as it is.

    Lines are equal if they differ in nothing but times, the machine and the digest of the suite's code.

    Raises:
        ResultsError: if two lines of the same run are not equal, or a line of ``target`` is damaged; nothing is changed then.
    """
    with results_file.writing(target):
        merge, wrong = Merge(), list[str]()
        found: dict[tuple[str, int], tuple[bytes, Place]] = {}
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        others = [path for path in dict.fromkeys(sources) if path.resolve() != target.resolve()]
        try:
            with draft.open("wb") as file:
                for path in ([target] if target.exists() else []) + others:
                    for place, line, result in _lines(path):
                        said = flaw_of(line, result)
                        if said is not None or result is None:
                            (wrong if path is target else merge.damaged).append(f"{place}: {said}")
                            continue
                        key, digest = (result["id"], result.get("again", 0)), _digest(result)
                        if key not in found:
                            found[key] = digest, place
                            file.write(line)
                            merge.there, merge.new = merge.there + (path is target), merge.new + (path is not target)
                        elif found[key][0] == digest:
                            merge.copies += 1
                        else:
                            other = found[key][1]
                            said = difference(other.read(), result)
                            wrong.append(f"{place} and {other} are of the same run, {title(result)}: {said}")
                file.flush()
                os.fsync(file.fileno())
            if wrong:
                more = f"\n... and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
                raise results_file.ResultsError(
                    f"{target}: nothing was written.\n" + "\n".join(wrong[:NAMED]) + f"{more}\nDelete the wrong line of each pair "
                    "(stackelberg verify CONFIG scores lines again), or merge these files into another one"
                )
            if merge.new:
                draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return merge


def _lines(path: Path) -> Iterator[tuple[Place, bytes, dict[str, Any] | None]]:
    """The lines of a file one by one: it may be larger than memory."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield Place(path, number, offset), line, results_file.parse(line)
            offset += len(line)


def flaw_of(line: bytes, result: dict[str, Any] | None) -> str | None:
    """Why a line is not what a run wrote; None if it is."""
    from .flaws import flaw
    from .results_table import is_of_job

    if not line.endswith(b"\n"):
        return "it is half written; its run will be repeated"
    if result is None:
        return f"it is not a result: {line[:60]!r}..."
    return flaw(result) if "schema" in result or is_of_job(result) else None


def _digest(result: dict[str, Any]) -> bytes:
    """Equal for results that say the same, without the folders of code and names for people."""
    said = results_file.comparable(result)
    if isinstance(said.get("job"), dict) and "world" in said["job"]:
        said["job"] = results_file.portable_job(said["job"])
    return hashlib.sha256(results_file.canonical(said).encode()).digest()


def title(result: dict[str, Any]) -> str:
    """A run for people: game, method and seed, where the line says them."""
    job = result.get("job", {})
    if "world" not in job:
        return str(result["id"])
    return f"{job['world']['id']}, {job.get('label') or job['solver']}, seed {job['seed']}"


def difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """In what two lines differ, in words."""
    from solvers.versions import version_changes

    said = []
    if changed := version_changes(one.get("versions", {}), other.get("versions", {})).replace("(now", "(here"):
        said.append(f"there it was made with {changed}")
    names = [name for name in results_file.comparable(other) if one.get(name) != other[name] and name != "versions"]
    for name in names:
        short = all(isinstance(value, (int, float, str)) for value in (one.get(name), other[name]))
        said.append(f"{name} is {other[name]!r}, and there {one.get(name)!r}" if short else f"{name} differs")
    return "; ".join(said)


def command(
    out: Annotated[Path, typer.Argument(help="The results file to write, NAME.jsonl, or a folder: then each file keeps its name.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Results files, or folders with them; they are only read.")],
    plan: Annotated[
        str | None, typer.Option(metavar="CONFIG", help="Also say which runs of this configuration are still missing in OUT.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="As given to bench.", min=1)] = None,
    first_seed: Annotated[int | None, typer.Option(help="As given to bench.", min=0)] = None,
    games: Annotated[list[str] | None, typer.Option("--games", metavar="PATTERN", help="As given to bench.")] = None,
    methods: Annotated[list[str] | None, typer.Option("--solvers", metavar="PATTERN", help="As given to bench.")] = None,
    budget_scale: Annotated[float, typer.Option(help="As given to bench.", min=0.0)] = 1.0,
) -> None:
    """Put results of several machines together: equal lines of a run once, and nothing where two lines contradict each other.

    Example: `stackelberg merge results results/shard-* --plan mine.toml`

    It can be repeated at any time, also while parts are still running.  The exit status is 1 if a line was damaged and left out.
    """
    from .results_table import files

    read = files(inputs)
    if not read:
        raise typer.BadParameter(f"there are no results in {', '.join(map(str, inputs))} yet")
    targets: dict[Path, list[Path]] = {}
    for path in read:
        targets.setdefault(out if out.suffix == ".jsonl" else out / path.name, []).append(path)
    damaged = []
    for target, sources in targets.items():
        done = merge_files(target, sources)
        damaged += done.damaged
        copies = quantity(done.copies, "copy", "copies")
        said = f"{target}: {quantity(done.there + done.new, 'line')}, {done.new} of them new; {copies} left out"
        console.print(escape(said), highlight=False, soft_wrap=True)
    for line in damaged:
        problems.print(f"[red]Left out:[/] {escape(line)}", highlight=False, soft_wrap=True)
    if plan is not None:
        _print_missing(commands.load(plan, seeds, first_seed, games, methods, budget_scale), out)
    if damaged:
        raise typer.Exit(1)


def _print_missing(config: Config, out: Path) -> None:
    """Which runs of a configuration are not in a file yet, and about how long they take."""
    from .audit import audit
    from .shards import Costs

    lines = results_file.read_lines(out if out.suffix == ".jsonl" else out / f"{config.name}.jsonl")
    checked = audit(config.jobs, lines)
    for remark in checked.remarks:
        problems.print(escape(remark), highlight=False, soft_wrap=True)
    there = {result["id"] for result in checked.results}
    missing = [job for job in config.jobs if job.id not in there]
    found = len(config.jobs) - len(missing)
    console.print(f"{share(found, len(config.jobs), 'run')} of {escape(config.name)} {be(found)} there", highlight=False)
    if not missing:
        return
    groups: dict[tuple[str, str], list[int]] = {}
    for job in missing:
        groups.setdefault((job.world.label, job.label or job.solver), []).append(job.seed)
    for (game, label), absent in groups.items():
        which = f"seed{'s' if len(absent) > 1 else ''} {ranges(absent)}"
        console.print(escape(f"Missing: {game}, {label}, {which}"), highlight=False, soft_wrap=True)
    if checked.results:
        costs = Costs((0, result) for result in checked.results)
        hours = sum(map(costs.of, missing)) / 3600
        console.print(f"By the times of those that are there, the missing ones take about {hours:.2g} core hours", highlight=False)


def ranges(numbers: Iterable[int]) -> str:
    """``[1, 2, 3, 7]`` as ``1-3, 7``."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in found)
