"""Each library in a virtual environment of its own, with this checkout installed unpatched: what docs/how-to/other-libraries.md claims.

    python -m tests.interop [name ...] [--venvs FOLDER]

Results go to ``tests/interop/results.json`` and into the page's table.  With ``--venvs`` environments are kept, and used again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .libraries import LIBRARIES, Library
from .table import HERE, PAGE, RESULTS, put, table

ROOT = HERE.parent.parent
TOLD = "result: "
SECONDS = 900
"""How long one recipe may take."""


def main() -> None:
    """Run what is asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", choices=[[], *(library.package for library in LIBRARIES)], metavar="package")
    parser.add_argument("--venvs", type=Path, help="where environments are kept; thrown away if not given")
    given = parser.parse_args()
    failed = []
    for library in LIBRARIES:
        if library.recipes and (not given.packages or library.package in given.packages):
            result = _try(library, given.venvs)
            results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
            results[library.package] = result
            RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            print(f"{library.name} {result['version']}: {result['result']}", flush=True)
            failed += [library.name] if result["result"].startswith("failed") else []
    put(PAGE, table(), "make interop")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _try(library: Library, venvs: Path | None) -> dict[str, str]:
    """Build the environment and run the recipes; what went wrong is the result."""
    folder = Path(tempfile.mkdtemp()) if venvs is None else venvs
    python = folder / f"venv-{library.package}" / "bin" / "python"
    result = {"version": "", "python": platform.python_version(), "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    try:
        if not python.exists():
            _run([sys.executable, "-m", "venv", str(python.parent.parent)])
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile"]
            if library.torch:
                _run([*pip, "-c", str(ROOT / "constraints.txt"), "torch"])
            # its own pins win over ours: AgileRL, for one, wants an older PettingZoo
            _run([*pip, *(["torch==2.13.0"] if library.torch else []), *library.requirements.split(), "-e", str(ROOT)])
            if library.bare:
                _run([*pip, "--no-deps", *library.bare.split()])
        if library.clone:
            address, _, commit = library.clone.partition(" ")
            clone = str(folder / library.package)
            if not Path(clone).exists():
                _run(["git", "clone", "-q", address, clone])
                _run(["git", "-C", clone, "checkout", "-q", commit])
            result["version"], places = commit[:7], [clone]
        else:
            asked = f"import importlib.metadata as m; print(m.version({library.package!r}))"
            result["version"], places = _run([str(python), "-c", asked]), []
        for recipe in library.recipes:
            result["result"] = _run([str(python), str(HERE / f"{recipe}.py"), *places])
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        lines = str(error.stderr or error).strip().splitlines()
        errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
        result["result"] = f"failed: {[*lines[-1:], *errors][-1][:200]}"
    finally:
        if venvs is None:
            shutil.rmtree(folder)
    return result


def _run(command: list[str]) -> str:
    """What a command prints after "result: ", or the last line."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS, env=environment, cwd=tempfile.gettempdir())
    lines = done.stdout.strip().splitlines() or [""]
    told = [line.removeprefix(TOLD) for line in lines if line.startswith(TOLD)]
    return [*lines[-1:], *told][-1]


if __name__ == "__main__":
    main()
