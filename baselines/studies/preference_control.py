"""Learn a control task's reward from preferences: ``python -m baselines.studies.preference_control`` runs, records and draws.

The leader is a reward network, the follower PPO trained on it; a synthetic teacher prefers one of two segments by their true returns.
Five methods have the same budget of environment steps, and four of them the same number of labels (`solvers.preferences.methods` says
what each does); the last is the true reward itself, the ceiling.  Every policy is judged by true returns that only teacher and referee see.

A first look, three minutes:    python -m baselines.studies.preference_control --seeds 1 --steps 40000 --methods iterated ceiling
The page in the documentation:  python -m baselines.studies.preference_control --draw-only --results docs/reproductions/recorded

Stop it as you like (Ctrl-C, or worse): finished runs are on disk, a line each, and the same command goes on from there.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: two threads on shared cores are slower than one

import argparse
import dataclasses
import hashlib
import json
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from solvers.preferences.methods import METHODS, learn
from solvers.preferences.settings import Settings
from stackelberg_envs.arguments import nearest

from ..bench import figures, printing, results_file
from ..bench.runner import Report, RunStopped, run_all
from ..bench.stats import mean_interval
from ..bench.system import peak_memory

NAME = "preference-control"
LABELS = {
    "ceiling": "true reward (ceiling)",
    "pbrl": "PBRL, value penalty",
    "sobirl": "SoBiRL",
    "iterated": "iterated (Christiano et al.)",
    "two_stage": "two-stage",
}


@dataclasses.dataclass(frozen=True)
class PreferenceJob:
    """One run."""

    method: str
    seed: int
    settings: Settings

    @property
    def budget(self) -> int:
        """What progress counts: environment steps until the last row of the history."""
        return self.settings.steps

    @property
    def title(self) -> str:
        return f"{self.settings.task}, {self.method}, seed {self.seed}"

    def as_dict(self) -> dict[str, Any]:
        """What the result depends on, for files."""
        return {"method": self.method, "seed": self.seed, "settings": self.settings.settings_of(self.method)}

    @property
    def id(self) -> str:
        """Hash of what the result depends on, in this package's version."""
        content = {"version": version("stackelberg-envs"), **self.as_dict()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def execute(self, report: Report | None = None) -> dict[str, Any]:
        """Run it in this process; everything outside ``"timing"`` is a function of the job."""
        begun, used, seconds = time.perf_counter(), time.process_time(), []

        def report_row(steps: int, row: dict[str, Any]) -> None:
            seconds.append(round(time.perf_counter() - begun, 2))
            if report is not None:
                report(self.id, steps)

        result = learn(self.method, self.settings, self.seed, report_row)
        return {
            "id": self.id,
            "job": self.as_dict(),
            "versions": {name: version(name) for name in ("stackelberg-envs", "torch", "numpy", "gymnasium", "stable-baselines3")},
            **result,
            "timing": {
                "history": seconds,
                "seconds": round(time.perf_counter() - begun, 2),
                "cpu_seconds": round(time.process_time() - used, 2),
                "peak_megabytes": round(peak_memory(), 1),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": platform.platform(),
            },
        }


def page(results: list[dict[str, Any]]) -> str:
    """The table of what was run, one row a method, and under it the settings."""
    groups = group_by_method(results)
    heads = (
        "true return at the end",
        "of a fresh policy",
        "steps",
        "labels",
        "seeds",
        "seconds per run",
        "CPU seconds per run",
        "peak memory, MB",
    )
    lines = ["| reward | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 1)]
    for method, group in groups.items():
        cells = [_one_digit([result[key] for result in group]) for key in ("true_return", "fresh_return")]
        cells += [f"{group[0]['history'][-1][key]:,}" for key in ("steps", "labels")]
        timing = [result["timing"] for result in group]
        cells += [str(len(group)), *(f"{np.median([t[key] for t in timing]):.0f}" for key in ("seconds", "cpu_seconds"))]
        cells.append(f"{max(t['peak_megabytes'] for t in timing):.0f}")
        lines.append(f"| {LABELS[method]} | " + " | ".join(cells) + " |")
    settings = {name: value for group in groups.values() for name, value in group[0]["job"]["settings"].items()}
    told = ", ".join(f"{key} {value}" for key, value in sorted(settings.items()) if not isinstance(value, dict))
    ppo = ", ".join(f"{key} {value}" for key, value in settings["ppo"].items())
    versions = ", ".join(f"{key} {value}" for key, value in results[0]["versions"].items())
    return "\n".join(lines) + f"\n\nSettings: {told}; PPO: {ppo}. Versions: {versions}.\n"


def group_by_method(results: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Results by method, the ceiling first; seeds in order."""
    ordered = sorted(results, key=lambda result: result["job"]["seed"])
    groups = {method: [result for result in ordered if result["job"]["method"] == method] for method in LABELS}
    return {method: group for method, group in groups.items() if group}


def _one_digit(values: list[float]) -> str:
    interval = mean_interval(values)
    return f"{interval.centre:.1f}" if interval.seeds == 1 else f"{interval.centre:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def draw(results: list[dict[str, Any]]) -> Figure:
    """True return of the policy in training against environment steps, and of a fresh policy for the final reward."""
    figure = Figure(figsize=(10.5, 4.2))
    axis, ends = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    groups = group_by_method(results)
    for i, (method, group) in enumerate(groups.items()):
        line = {"color": "black", "ls": "--"} if method == "ceiling" else figures.style(i - 1)
        steps = [row["steps"] for row in group[0]["history"]]
        means = [mean_interval(list(values)) for values in zip(*([row["true_return"] for row in r["history"]] for r in group), strict=True)]
        axis.plot(steps, [mean.centre for mean in means], **line, lw=1.8, label=LABELS[method])
        axis.fill_between(steps, [mean.low for mean in means], [mean.high for mean in means], color=line["color"], alpha=0.15, lw=0)
        fresh = [result["fresh_return"] for result in group]
        ends.scatter(np.full(len(fresh), i) + np.linspace(-0.2, 0.2, len(fresh)), fresh, color=line["color"], s=12, alpha=0.6)
        mean = mean_interval(fresh)
        ends.errorbar(i, mean.centre, [[mean.centre - mean.low], [mean.high - mean.centre]], color=line["color"], fmt="_", ms=14, capsize=4)
    settings = results[0]["job"]["settings"]
    axis.set_title(f"{settings['task']}: the policy in training", fontsize=9, loc="left")
    axis.set_xlabel("environment steps, all policies of a method together")
    axis.set_ylabel("true return of an episode")
    ends.set_title("a fresh policy for the final reward", fontsize=9, loc="left")
    ends.set_xticks(range(len(groups)), [LABELS[method].partition(" (")[0].partition(",")[0] for method in groups], rotation=30, ha="right")
    for panel in (axis, ends):
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    return figure


def arguments_of(words: list[str] | None = None) -> argparse.Namespace:
    """What was asked for, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Settings()
    parser.add_argument("--methods", nargs="+", metavar="NAME", default=list(LABELS), help=f"of {', '.join(METHODS)} (all)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of each method, seeds 0 to N - 1 (5)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="K", help="seeds K to K + N - 1 instead; tuning used 100 and on")
    parser.add_argument("--task", default=default.task, help=f"Gymnasium id, boxes and a clock ({default.task})")
    parser.add_argument("--steps", type=int, default=default.steps, help=f"environment steps of a method ({default.steps})")
    parser.add_argument("--set", nargs="+", metavar="KEY=VALUE", default=[], help="other settings, e.g. first_pairs=32 penalty=10")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (1)")
    parser.add_argument("--name", default=NAME, help=f"of the files: NAME.jsonl, NAME.md, NAME.svg ({NAME})")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder with NAME.jsonl (results)")
    parser.add_argument("--output", type=Path, default=Path("compared"), help="folder for the page and the figure (compared)")
    parser.add_argument("--draw-only", action="store_true", help="run nothing; page and figure of what is there with these settings")
    asked = parser.parse_args(words)
    if asked.seeds < 1 or asked.jobs < 1:
        parser.error("--seeds and --jobs count from 1")
    for method in asked.methods:
        if method not in METHODS:
            parser.error(f"there is no method {method!r}; {nearest(method, METHODS)}")
    try:
        asked.settings = Settings(task=asked.task, steps=asked.steps, **_parse_settings(asked.set))
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    return asked


def _parse_settings(pairs: list[str]) -> dict[str, Any]:
    """``["penalty=10"]`` to a dictionary, values as JSON."""
    known, found = [entry.name for entry in dataclasses.fields(Settings)], {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in known:
            raise ValueError(f"there is no setting {key!r}; {nearest(key, known)}")
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            raise ValueError(f"--set wants KEY=VALUE with a number for VALUE, got {pair!r}") from None
    return found


def main(words: list[str] | None = None) -> None:
    """Run what is not there yet, then write the page and the figure."""
    import torch

    torch.set_num_threads(1)
    asked = arguments_of(words)
    path, failed = asked.results / f"{asked.name}.jsonl", {}
    if asked.draw_only:
        chosen = [
            result
            for result in results_file.read(path).values()
            if result["job"]["settings"] == asked.settings.settings_of(result["job"]["method"])
        ]
    else:
        seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
        wanted = [PreferenceJob(method, seed, asked.settings) for seed in seeds for method in asked.methods]
        try:
            failed = run_all(wanted, path, processes=asked.jobs, console=printing.console, unit="environment steps")
        except (KeyboardInterrupt, RunStopped):
            print(f"\nStopped; finished runs are in {path}, and the same command goes on from there.", file=sys.stderr)
            raise SystemExit(130) from None
        found = results_file.read(path)
        chosen = [found[job.id] for job in wanted if job.id in found]
    for said in failed.values():
        print(f"Failed: {said}", file=sys.stderr)
    if not chosen:
        raise SystemExit(f"{path} has no results of these settings to draw")
    text = page(chosen)
    results_file.replace(asked.output / f"{asked.name}.md", text)
    results_file.replace(asked.output / f"{asked.name}.svg", figures.svg(draw(chosen)))
    print(text)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
