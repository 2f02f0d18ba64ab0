"""Runs that were stopped, kept on disk beside the results, so that the same command goes on inside them.

A file is a line of JSON, which says what made it, and then a pickle of `solvers.Checkpoint`.  The line is read first: what was made by
other code or versions is refused without looking at the pickle.  A pickle can run code when it is read: use no checkpoints of people
whom you would not let run code.
"""

from __future__ import annotations

import json
import pickle
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from solvers import Checkpoint
from solvers.versions import version_changes

from . import results_file
from .audit import current_provenance


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Checkpoints:
    """The stopped runs of one results file, each by the id of its job."""

    folder: Path

    @staticmethod
    def beside(results: Path) -> Checkpoints:
        """Those of ``NAME.jsonl`` are in ``NAME.checkpoints``."""
        return Checkpoints(results.with_suffix(".checkpoints"))

    def path(self, id: str) -> Path:
        """Where the checkpoint of a job is, if there is one."""
        return self.folder / f"{id}.checkpoint"

    def store(self, id: str, checkpoint: Checkpoint) -> None:
        """Keep where a run stands, in place of what is kept of it; a reader sees the old or the new one.

        Raises:
            CheckpointError: if it cannot be pickled, or the disk does not take it; what was kept before is there still.
        """
        try:
            head = json.dumps({"id": id, "made_by": current_provenance()}).encode()
            results_file.replace(self.path(id), head + b"\n" + pickle.dumps(checkpoint))
        except Exception as error:  # pickle raises whatever a solver's own objects raise
            raise CheckpointError(f"where the run stood could not be kept ({type(error).__name__}: {error})") from error

    def restore(self, id: str, content: bytes) -> None:
        """Keep the bytes of a checkpoint that was stored on another machine."""
        results_file.replace(self.path(id), content)

    def refusal(self, id: str) -> str | None:
        """Why a checkpoint that is there must not be used, in words; None if there is none, or it may be."""
        if not self.path(id).exists():
            return None
        try:
            with self.path(id).open("rb") as file:
                head = json.loads(file.readline())
            changed = version_changes(head["made_by"], current_provenance())
        except (ValueError, KeyError, TypeError, AttributeError):
            return "it does not say which version made it"
        return f"it was made with {changed}" if changed else None if head.get("id") == id else "it is of another run"

    def load(self, id: str) -> Checkpoint | None:
        """Where a run stood, or None if nothing is kept of it.

        Raises:
            CheckpointError: if it must not be used, or cannot be read.
        """
        path = self.path(id)
        if not path.exists():
            return None
        if (refused := self.refusal(id)) is not None:
            raise CheckpointError(f"{path} cannot be used: {refused}; delete it, and the run starts over")
        try:
            return pickle.loads(path.read_bytes().partition(b"\n")[2])
        except Exception as error:
            raise CheckpointError(f"{path} cannot be read ({type(error).__name__}: {error}); delete it, and the run starts over") from error

    def discard(self, id: str) -> None:
        """Forget where a run stood; the folder goes with the last."""
        self.path(id).unlink(missing_ok=True)
        with suppress(OSError):  # it is not there, or not empty
            self.folder.rmdir()
