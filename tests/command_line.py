"""The command line in this process."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from baselines.bench import cli


def command(*arguments: Any) -> tuple[int, str]:
    """Exit status and what is said, on one line."""
    done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    said = done.output if done.exception is None or isinstance(done.exception, SystemExit) else str(done.exception)
    return done.exit_code, " ".join(said.split())
