"""Tables of results as files that other programs read: CSV, Parquet, and event files of TensorBoard."""

from __future__ import annotations

import csv
import importlib
import io
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from stackelberg_envs.arguments import nearest

from . import results_file, tensorboard


class Format(StrEnum):
    """Of a table."""

    CSV = "csv"
    PARQUET = "parquet"
    TENSORBOARD = "tensorboard"


def find_results_file(name: str, folder: Path) -> Path:
    """Where the results of a configuration are, by its name or TOML file; or the results file or folder of that name.

    Raises:
        FileNotFoundError: if there is neither.
    """
    from . import configuration

    stem = configuration.load(name).name if name.endswith(".toml") else name
    path = folder / f"{stem}.jsonl"
    if not path.exists() and (name.endswith(".toml") or not Path(name).exists()):
        known = nearest(stem, [file.stem for file in sorted(folder.glob("[!.]*.jsonl"))])
        raise FileNotFoundError(f"no results of {name!r}, which would be in {path}, and no file of that name; {known}")
    return path if path.exists() else Path(name)


def write(table: dict[str, np.ndarray], path: Path, kind: Format = Format.CSV) -> None:
    """Write a table: CSV in UTF-8, with missing cells empty and floats with all their digits, Parquet, or a folder of event files.

    Raises:
        ImportError: for Parquet without pyarrow, and event files without tensorboard.
    """
    if kind is Format.TENSORBOARD:
        tensorboard.write(table, path)
        return
    results_file.replace(path, {Format.CSV: _csv, Format.PARQUET: _parquet}[kind](table))


def _csv(table: dict[str, np.ndarray]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(table)
    rows.writerows(zip(*map(_cells, table.values()), strict=True))
    return text.getvalue()


def _cells(column: np.ndarray) -> list[Any]:
    """Python's own numbers and text; NaN, which alone differs from itself, is missing."""
    return [None if value != value else value for value in column.tolist()]


def _parquet(table: dict[str, np.ndarray]) -> bytes:
    try:
        arrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install pyarrow") from error
    kinds = {name: arrow.string() if column.dtype == object else None for name, column in table.items()}
    content = io.BytesIO()
    parquet.write_table(arrow.table({name: arrow.array(table[name], kind, from_pandas=True) for name, kind in kinds.items()}), content)
    return content.getvalue()
