"""Places that a command is going to write to, tried before it runs: nothing is lost at the end of a long one."""

from __future__ import annotations

import os
from pathlib import Path

PICTURES = (".svg", ".png", ".pdf")
"""What the name of a picture may end in."""


class PlaceError(ValueError):
    """A place that cannot be written to; the message says which and why."""


def check_folder(option: str, folder: Path) -> None:
    """Make a folder if it is missing, and try a file in it.

    Raises:
        PlaceError: if that cannot be.
    """
    if folder.exists() and not folder.is_dir():
        raise PlaceError(f"{option} {folder}: this is a file; give a folder")
    trial = folder / f".trial.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise PlaceError(f"{option} {folder}: nothing can be written there ({error.strerror}); give another place") from error


def check_file(option: str, file: Path, example: str = "report.html") -> None:
    """Try the folder of a file, and whether the file itself can be replaced; ``example`` is a name for where a folder was given.

    Raises:
        PlaceError: if that cannot be.
    """
    if file.is_dir():
        raise PlaceError(f"{option} {file}: this is a folder; give a file in it, such as {file / example}")
    check_folder(option, file.parent)


def check_picture(option: str, file: Path) -> None:
    """Look at the kind of a picture, and try its place as `check_file` does.

    Raises:
        PlaceError: if its name ends in something else than one of `PICTURES`, or it cannot be written.
    """
    if file.suffix.lower() not in PICTURES and not file.is_dir():
        raise PlaceError(f"{option} {file}: the name of a picture ends in {', '.join(PICTURES)}, such as {file.with_suffix('.svg')}")
    check_file(option, file, "learned.svg")
