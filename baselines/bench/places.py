"""Places that a command is going to write to, tried before it runs: nothing is lost at the end of a long one."""

from __future__ import annotations

import os
from pathlib import Path


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


def check_file(option: str, file: Path) -> None:
    """Try the folder of a file, and whether the file itself can be replaced.

    Raises:
        PlaceError: if that cannot be.
    """
    if file.is_dir():
        raise PlaceError(f"{option} {file}: this is a folder; give a file in it, such as {file / 'report.html'}")
    check_folder(option, file.parent)
