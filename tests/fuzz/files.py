"""Configurations and command lines."""

from __future__ import annotations

import contextlib
import copy
import datetime
import io
import json
import math
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import typer

from baselines.bench import cli, configuration

from .doors import Try
from .values import misspell, odd

CONFIGURATION: dict[str, Any] = {
    "name": "small",
    "seeds": 1,
    "first_seed": 0,
    "reach": {"at": [10], "target": 0.9},
    "solvers": [{"label": "shared", "name": "zeroth_order", "budget": 2, "hyperparameters": {"radius": 0.1}}],
    "games": [
        {
            "id": "toy3-v0",
            "title": "Toy",
            "arguments": {"variant": "4", "R": 2.0, "max_cycles": 5},
            "follower": {"kind": "Soft", "temperature": 0.05},
            "referee": {"arguments": {"variant": "4"}},
            "score": {"horizon": 5, "discount": 1.0},
            "published": [{"label": "HPGD", "value": 0.7, "error": 0.1, "budget": 10, "seeds": 2, "source": "table 1"}],
            "seeds": 1,
            "solvers": [{"label": "exact", "name": "implicit", "budget": 3, "start_scale": 0.01, "hyperparameters": {"lr": 0.5}}],
        },
        {
            "id": "bimatrix-v0",
            "follower": {"kind": "Hard", "ties": "strong"},
            "solvers": [
                {"name": "zeroth_order", "budget": 3, "start": {"0": 0.5}, "access": "MODEL", "outcomes": {"preset": "conitzer"}},
            ],
        },
    ],
}


SETTINGS = {
    "--follower": ("kind", "temperature", "ties"),
    "--set": ("lr", "optimiser", "clip"),
    "--game": ("R", "variant", "max_cycles"),
}


def toml(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(entry) for entry in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return "0" if value is None else json.dumps(value)


def mutate(rng: random.Random, node: Any, path: list[str]) -> None:
    """Change something somewhere below ``node``: a value, a key, or that it is there at all; ``path`` notes the way."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key = rng.choice(keys)
    path.append(str(key))
    below = node[key]
    if isinstance(below, (dict, list)) and rng.random() < 0.75:
        mutate(rng, below, path)
        return
    what = rng.random()
    if what < 0.15 and isinstance(node, dict):
        changed = misspell(rng, key)
        node[changed] = node.pop(key)
        path.append(changed)
    elif what < 0.25 and isinstance(node, dict):
        del node[key]
    else:
        node[key] = odd(rng, plain=True)


def configurations(rng: random.Random, tried: Try) -> None:
    """A configuration with something changed somewhere."""
    data = copy.deepcopy(CONFIGURATION)
    del data["games"][rng.randrange(2)]
    path: list[str] = []
    for _ in range(rng.choice((1, 1, 2))):
        mutate(rng, data, path)
    text = "\n".join(f"{json.dumps(str(key))} = {toml(value)}" for key, value in data.items())
    tried.say("configuration", {})
    tried.what = f"{'/'.join(path)}: {text[:1500]}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "small.toml"
        file.write_text(text, encoding="utf-8")
        loaded = configuration.load(file)
    tried.accepted = True
    for job in loaded.jobs[:1]:
        _ = job.id
        job.build()


@cache
def command() -> Any:
    """The command line, built once."""
    return typer.main.get_command(cli.app)


def command_lines(rng: random.Random, tried: Try) -> None:
    """``stackelberg solve`` with odd values, in this process."""
    drawn = {}
    options = ["--budget", "--seed", "--temperature", "--follower", "--start-scale", "--access", "--set", "--game", "GAME", "SOLVER"]
    for option in rng.sample(options, rng.choice((1, 1, 2))):
        value = odd(rng, plain=True)
        text = value if isinstance(value, str) else toml(value)
        if option in ("--follower", "--set", "--game"):
            name = rng.choice(SETTINGS[option])
            text = f"{misspell(rng, name) if rng.random() < 0.2 else name}={text}" if rng.random() < 0.9 else text
        drawn[misspell(rng, option) if rng.random() < 0.05 else option] = text
    if "--budget" in drawn and drawn["--budget"].isdigit():
        drawn["--budget"] = str(min(int(drawn["--budget"]), 3))
    places = [drawn.pop("GAME", "toy3-v0"), drawn.pop("SOLVER", "implicit")]
    words = ["solve", *places, *(word for pair in drawn.items() for word in pair)]
    if "--budget" not in drawn:
        words += ["--budget", "1"]
    tried.what = f"stackelberg {' '.join(words)!r:.300}"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command().main(words, standalone_mode=False)
    tried.accepted = True
