"""``stackelberg leaderboard``: one static page of entries that the referee has confirmed, by track, game and access level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from . import places
from .printing import console, problems

if TYPE_CHECKING:
    from .entries import Checked, Entry
    from .stats import Interval


@dataclass(frozen=True)
class Row:
    """One method of one entry in one game."""

    label: str
    entry: Entry
    knows: str
    """Level and permissions."""
    score: Interval
    highest: float
    commitments: float
    """Mean over seeds, as the following are."""
    outcome_steps: float
    seconds: float


def rows_of(checked: Checked, game: str) -> list[Row]:
    """An entry's rows in a game, a row a label."""
    import numpy as np

    from .stats import summary

    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in checked.results.get(game, ()):
        groups.setdefault((run["job"]["label"] or run["job"]["solver"], run["access"]), []).append(run)
    return [
        Row(
            label,
            checked.entry,
            access,
            summary([run["leader_return"] for run in runs]),
            max(run["leader_return"] for run in runs),
            float(np.mean([run["cost"]["commitments"] for run in runs])),
            float(np.mean([run["cost"]["outcome_steps"] for run in runs])),
            float(np.mean([run["timing"]["seconds"] for run in runs])),
        )
        for (label, access), runs in groups.items()
    ]


def tables(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """What the page shows: a dictionary a game of a track, with the rows of each access level, the best first."""
    from stackelberg_envs.leader.access import Access

    from . import best
    from .entries import load_track

    record, shown = best.read_best(best.COMMITTED), []
    for track in dict.fromkeys(each.entry.track for each in checked):
        for section in load_track(track).config.sections:
            levels: dict[Access, list[Row]] = {}
            for row in (row for each in checked if each.entry.track == track for row in rows_of(each, section.title)):
                levels.setdefault(Access[row.knows.partition(" ")[0]], []).append(row)
            if not levels:
                continue
            top = record.get((section.referee or section.world).key) if section.score is None else None
            ranked = {level.name: sorted(levels[level], key=lambda row: -row.score.centre) for level in sorted(levels, reverse=True)}
            shown.append({"track": track, "section": section, "best": None if top is None else top.leader_return, "levels": ranked})
    return shown


def write(path: Path, checked: Sequence[Checked]) -> None:
    """Write the page."""
    from . import results_file
    from .report import environment

    page = environment().get_template("leaderboard.html.jinja").render(games=tables(checked), entries=[each.entry for each in checked])
    results_file.replace(path, page)


def command(
    folders: Annotated[list[Path], typer.Argument(metavar="ENTRIES...", help="Folders of entries, each with an entry.toml.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("leaderboard.html"),
) -> None:
    """Verify entries, and write a page of those that the referee confirms: a table for each game and access level.

    Example: `stackelberg leaderboard docs/leaderboard/* my_entry -o leaderboard.html`

    The exit status is 1 if an entry was refused; it is then not on the page.
    """
    from .entries import print_check

    places.check_file("--output", output)
    checked = [print_check(folder) for folder in folders]
    confirmed = [each for each in checked if not each.complaints]
    if not confirmed:
        problems.print("[red]No entry was confirmed, and no page written[/]")
        raise typer.Exit(1)
    write(output, confirmed)
    console.print(f"Leaderboard: {escape(str(output.resolve()))}", soft_wrap=True)
    if len(confirmed) < len(checked):
        raise typer.Exit(1)
