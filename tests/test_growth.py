"""The study of growth: its page is what its record says, work that is counted grows as claimed, and it goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.studies.growth import __main__ as growth
from baselines.studies.growth.page import fit_exponent, page, points_of, time_fit, times_longer
from baselines.studies.growth.timing import Point
from baselines.studies.growth.works import SERIES, Linear, interacting_followers, of_states, random_world, slippery_grid
from stackelberg_envs.processes.mdp import MDP

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"
RECORD = FOLDER / "recorded" / "growth.json"


def test_the_page_is_what_the_record_says() -> None:
    record = json.loads(RECORD.read_text())
    assert page(record) == (FOLDER / "growth.md").read_text(), (
        f"run  python -m baselines.studies.growth --record {RECORD} --output {FOLDER}"
    )


def test_every_point_is_recorded_and_none_twice() -> None:
    record = json.loads(RECORD.read_text())
    assert growth.missing_points(record, SERIES) == []
    assert len(record["points"]) == sum(len(line.sizes) for line in SERIES)
    for point in record["points"]:
        assert 0 < point["low"] <= point["seconds"] <= point["high"]
        assert point["rounds"] >= 5


def test_what_is_recorded_of_growth() -> None:
    """Lists grow slower than LU by far; the adjoint's solve does not grow with dim x, and forward sensitivities do."""
    record = json.loads(RECORD.read_text())
    fits = {(line.study, line.name): time_fit(record, line) for line in SERIES}
    assert fits["states", "dense, random"].value > 2
    assert fits["states", "lists, random"].value < 1.3
    assert fits["states", "lists, grid"].value < 1.6
    assert abs(fits["dimension", "adjoint, solve alone"].value) < 0.05
    assert fits["dimension", "forward sensitivities"].value > 0.3
    ratios = [point["ratio"] for point in points_of(record, "dimension", "adjoint, solve alone")]
    assert max(ratios) < 1.15
    assert min(ratios) > 0.85


def test_counted_work_grows_as_claimed() -> None:
    """Newton steps, solves and products, which are the same on every machine (up to rounding): exponents of 0, and 1 for right sides."""
    states = [100, 200, 400]
    assert max(of_states(random_world(n).dense()).counted["evaluations"] for n in states) <= 8
    listed = [of_states(random_world(n)).counted["products"] for n in (1000, 4000, 16_000)]
    assert abs(fit_exponent([1000, 4000, 16_000], listed).value) < 0.15
    dimensions = [16, 64, 256, 1024]
    ours = [Linear(n).adjoint().counted for n in dimensions]
    assert ours == [ours[0]] * 4
    assert ours[0]["solves"] == 3
    assert fit_exponent(dimensions, [Linear(n).forward().counted["right_sides"] for n in dimensions]).value == pytest.approx(1)


def test_what_is_timed_is_the_same_gradient() -> None:
    """By the adjoint and by forward sensitivities; by dense tables and by lists."""
    linear = Linear(24, states=60)
    ours, forward = linear.adjoint().run()[0], linear.forward().run()
    torch.testing.assert_close(forward, ours, atol=1e-12, rtol=1e-9)
    for world in (random_world(500), slippery_grid(484)):
        (listed, _), (dense, _) = of_states(world).run(), of_states(world.dense()).run()
        torch.testing.assert_close(listed, dense, atol=1e-9, rtol=1e-6)


def test_interacting_players_face_what_the_others_play() -> None:
    """The contraction that is timed, against its sum written out, for two players of two actions."""
    work = interacting_followers(2, states=3, actions=2)
    facing = work.run()
    assert [type(mdp) for mdp in facing] == [MDP] * 2
    assert [tuple(mdp.transition.shape) for mdp in facing] == [(3, 1, 2, 3)] * 2
    for mdp in facing:
        torch.testing.assert_close(mdp.transition.sum(-1), torch.ones(3, 1, 2, dtype=torch.float64))


def test_fits() -> None:
    sizes = [10, 20, 40, 80, 160]
    exact = fit_exponent(sizes, [3.0 * n**1.5 for n in sizes])
    assert exact is not None
    np.testing.assert_allclose(exact, 1.5, atol=1e-6)
    factor = fit_exponent([2, 3, 4, 5], [4.0**n for n in (2, 3, 4, 5)], factor=True)
    np.testing.assert_allclose(factor, 4, atol=1e-6)
    assert fit_exponent([1, 2], [1, 2]) is None
    upper = fit_exponent([1, 2, 4, 8, 16, 32, 64, 128], [9, 9, 9, 9, 16, 32, 64, 128])
    assert upper.value == pytest.approx(1)


def test_times_longer() -> None:
    def line(seconds: list[float]) -> list[Point]:
        return [{"size": size, "seconds": value} for size, value in zip((10, 100, 1000), seconds, strict=True)]

    assert times_longer(line([1, 10, 100]), line([5, 5, 5]), 50) == pytest.approx(1)


def options(folder: Path, *studies: str) -> list[str]:
    only = [word for study in studies for word in ("--only", study)]
    return ["--quick", "--output", str(folder), "--record", str(folder / "r.json"), *only]


def test_a_quick_run_is_drawn_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A study at a time; what is there is not measured again."""
    assert growth.main(options(tmp_path, "followers")) == 0
    before = json.loads((tmp_path / "r.json").read_text())
    assert [point["size"] for point in before["points"]] == [1, 2, 3, 2, 3, 4]
    capsys.readouterr()
    assert growth.main(options(tmp_path, "followers", "dimension")) == 0
    assert "9 points to measure" in " ".join(capsys.readouterr().err.split())
    after = json.loads((tmp_path / "r.json").read_text())
    assert after["points"][:6] == before["points"]
    assert (tmp_path / "growth.svg").read_text().startswith("<?xml")
    assert (tmp_path / "growth.md").read_text() == page(after)


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "baselines.studies.growth", *options(tmp_path, "states")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    record = tmp_path / "r.json"
    while not record.exists() and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same command goes on" in " ".join(errors.split())
    assert json.loads(record.read_text())["points"][0]["size"] == 25


def test_records_that_do_not_fit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"
    for text, told in (("{", "is no record of growth"), ('{"points": [], "settings": {}}', "was measured with")):
        path.write_text(text)
        with pytest.raises(SystemExit):
            growth.main(["--quick", "--record", str(path), "--output", str(tmp_path)])
        assert told in capsys.readouterr().err
        assert path.read_text() == text
