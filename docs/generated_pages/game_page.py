"""The page of one game."""

from __future__ import annotations

import inspect
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import baselines
import stackelberg_envs as se
from baselines.bench import best, jobs, results_file
from stackelberg_envs.optional import PIECES
from stackelberg_envs.registry import game_class

from . import recorded
from .markdown import code, first_sentence, number, plain, rst, table
from .parts import code_section, notes
from .spaces import spaces_table
from .verdicts import access_words, methods, null_run, verdict

MOST_RECORDS = 12
CONFIGURATIONS = Path(baselines.__file__).parent / "configs"


def page(id: str) -> str:
    """The Markdown of a game's page; its picture lies beside it."""
    game, module = se.game(id), inspect.getmodule(game_class(id))
    assert module is not None
    name = id.rpartition("-v")[0]
    values, examples = notes(name)
    sections = {
        "Picture": f"![What the leader commits to]({name}.svg)\n\n*{_caption(id)}*",
        "Story and equations": rst(f".. automodule:: {module.__name__}", "   :no-index:"),
        "What it declares": table(("declaration", "value"), _declarations(game)),
        "Spaces": spaces_table(id),
        "Known values": "\n\n".join(filter(None, [values, _stored_values(id), _published_values(id)])),
        "Scores": recorded.score_tables(id),
        "Solvers": _solvers(id),
        "Examples": examples or f"```py\nimport stackelberg_envs as se\n\ngame = se.game({id!r})\n```",
        "Code": code_section(module),
    }
    lines = [f"# {id}", f"`stackelberg_envs.game({id!r}, ...)`; `make` and `make_parallel` take the same arguments."]
    return "\n\n".join([*lines, *(f"## {title}\n\n{text}" for title, text in sections.items())])


def summary(id: str) -> tuple[str, ...]:
    """The game's row in the table of all games."""
    game, module = se.game(id), inspect.getmodule(game_class(id))
    name = id.rpartition("-v")[0]
    world = "tables" if game.tabular else "vectors"
    plays = sum(verdict(method, id) is None for method in methods() if "(" not in method)
    said = first_sentence(inspect.getdoc(module) or "")
    return (
        f"[{id}](games/{name}.md)",
        plain(said).replace("\\`", "`"),
        str(game.dimension),
        str(game.followers),
        str(len(game.contexts)),
        world,
        str(plays),
    )


@cache
def _records() -> tuple[best.Best, ...]:
    """The record of best commitments; their worlds are not built."""
    entries = results_file.read(best.COMMITTED).values()
    return tuple(best.Best(jobs.World(**one["world"]), one["leader_return"], tuple(one["x"]), one["found_by"]) for one in entries)


def stored(id: str) -> list[best.Best]:
    """The best commitments that are known of a game."""
    return [found for found in _records() if found.world.id == id]


def _caption(id: str) -> str:
    records = stored(id)
    if not records:
        return "The null commitment, all components 0. No better commitment is stored for this game."
    return f"The null commitment, all components 0, and the best commitment that is stored, of {plain(_world(records[0].world))}."


def _world(world: Any) -> str:
    """Arguments and follower of a stored world."""
    said = [f"{key}={value}" for key, value in world.arguments.items()] or ["defaults"]
    follower = world.answerer()
    return ", ".join(said if follower is None else [*said, repr(follower)])


def _declarations(game: se.StackelbergGame) -> list[tuple[str, str]]:
    probabilities = ", ".join(f"{name} {p:.3g}" for name, p in zip(game.contexts, game.context_probabilities, strict=True))
    worlds, box = game.null_worlds, game.leader_space
    discounts = ", ".join(dict.fromkeys(f"{world.follower_discount:g} and {world.leader_discount:g}" for world in worlds))
    rows = [
        ("commitment", f"{game.dimension} numbers in [{box.low.min():g}, {box.high.max():g}]; shape {game.commitment_shape}"),
        ("contexts, with their probabilities", probabilities if len(game.contexts) > 1 else "one"),
        (
            "the leader sees the context",
            {"before": "before it commits", "after": "after it has committed", "never": "never"}[game.context_visibility],
        ),
        ("followers", f"{game.followers}, who interact" if any(len(group) > 1 for group in game.groups) else str(game.followers)),
        ("default follower", code(game.default_follower)),
        ("each follower sees", "of the leader, its " + ", its ".join(dict.fromkeys(game.visibility))),
        (
            "states, leader actions, follower actions",
            ", ".join(map(str, dict.fromkeys(game.sizes))) if game.tabular else "states are vectors",
        ),
        ("discounts of follower and leader", discounts),
        ("steps of an episode", str(game.max_cycles)),
        ("smooth in the commitment", _yes(game.smooth)),
        ("objective is a sum over steps", _yes(game.additive)),
        ("the leader sees what followers do", _yes(game.follower_actions_public)),
        ("every action is always available", _yes(not game.masked)),
        ("drawn on a map", _yes(game.layout is not None)),
        ("optional pieces", ", ".join(code(piece) for piece in PIECES if getattr(game, piece) is not None) or "none"),
    ]
    return [(said, plain(value) if "`" not in value else value) for said, value in rows]


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _stored_values(id: str) -> str:
    """The value of the null commitment, computed now, and the best commitments that are stored."""
    run = null_run(id)
    null = se.evaluate(run.game, np.zeros(run.game.commitment_shape), follower=run.follower)
    error = f" (standard error {number(float(null.standard_error))})" if float(null.standard_error) > 0 else ""
    lines = [
        f"With its defaults, the null commitment is worth {number(float(null.leader_return))}{error} to the leader; computed for this page."
    ]
    if records := stored(id):
        rows = [(plain(_world(one.world)), number(one.leader_return), plain(one.found_by)) for one in records[:MOST_RECORDS]]
        more = f" {len(records) - MOST_RECORDS} more are in that file." if len(records) > MOST_RECORDS else ""
        said = "The best commitments that are known, from `baselines/best_known.jsonl`. `stackelberg check --best` scores them again."
        lines.append(f"{said}{more}\n\n{table(('arguments and follower', 'value', 'found by'), rows)}")
    return "\n\n".join(lines)


def _published_values(id: str) -> str:
    """Values that papers print, as configurations have them."""
    rows = []
    for path in sorted(CONFIGURATIONS.glob("*.toml")):
        for world in tomllib.loads(path.read_text(encoding="utf-8")).get("games", []):
            if world["id"] == id:
                setting = plain(world.get("title") or json.dumps(world.get("arguments", {})))
                rows += [
                    (
                        setting,
                        plain(entry["label"]),
                        f"{entry['value']:g} ± {entry['error']:g}" if "error" in entry else f"{entry['value']:g}",
                        path.stem,
                    )
                    for entry in world.get("published", [])
                ]
    if not rows:
        return ""
    said = (
        "Published means, with their errors as printed. The papers are named above. The configuration says the setting, and "
        "`stackelberg compare` shows our runs beside them."
    )
    return f"{said}\n\n{table(('setting', 'method', 'published', 'configuration'), rows)}"


def _solvers(id: str) -> str:
    """Which solvers play the game with its defaults, and what the others say."""
    rows = []
    for method in methods():
        name, default = method.partition("(")[0], method if "(" not in method else method.partition("(")[0]
        reason = verdict(method, id)
        if method != default and (reason is None) == (verdict(default, id) is None):
            continue  # a setting in which the answer is the same
        link = f"[{name}](../solvers/{name}.md)" if method == default else code(method)
        rows.append((link, access_words(method), "plays" if reason is None else "declines", plain(reason or "")))
    rows.sort(key=lambda row: row[2] == "declines")
    said = (
        "With the default arguments of the game, its default follower, and the solver's default settings. Other settings are listed if "
        "their answer differs."
    )
    return f"{said}\n\n{table(('solver', 'access', '', 'the reason'), rows)}"
