"""The benchmarks measure, mark what is over its budget, and leave nothing behind."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import permissions, search
from bench.figure import Figure
from bench.processes import BenchError, Spawner
from bench.table import rows

ROOT = Path(__file__).parent.parent.parent


def bench(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
    )


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="b") as directory:  # short, for the socket
        yield Path(directory)


def test_a_figure_is_measured_and_nothing_is_left(home: Path) -> None:
    done = bench("--only", "model-bytes", "--only", "hello", "-n", "1", "--json", home=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["failed"] == {}
    names = [figure["name"] for figure in document["figures"]]
    assert names == ["model-bytes", "hello", "hello-cpu", "hello-memory"]
    sent, wall, cpu, memory = document["figures"]
    assert 1 < sent["median"] < sent["budget"]
    assert wall["py"] > 1
    assert cpu["median"] < wall["median"]
    assert 5 < memory["median"] < memory["budget"]
    assert list(home.iterdir()) == []


def figure(**fields: object) -> Figure:
    known = {
        "name": "x",
        "what": "a thing",
        "unit": "ms",
        "samples": (3.0, 1.0, 2.0),
        "budget": 4.0,
    }
    return Figure(**{**known, **fields})  # type: ignore[arg-type]


def test_times_are_judged_by_what_a_py_takes_in_the_same_run() -> None:
    quick = figure(samples=(32.0,), budget=32.0, py=(16.0,))
    slow_machine = figure(samples=(64.0,), budget=32.0, py=(32.0,))
    assert quick.ratio == slow_machine.ratio == 1.0
    assert slow_machine.in_py == 2.0


def test_other_units_are_judged_as_they_are() -> None:
    assert figure(unit="MB").ratio == 0.5
    assert figure(budget=None).ratio is None


def test_what_is_over_its_budget_is_marked_and_not_hidden() -> None:
    header, within, over = rows([figure(), figure(budget=1.5)])
    assert header.split() == ["figure", "measured", "min-max", "py", "budget", "ratio"]
    assert "OVER" not in within
    assert over.endswith("1.33  OVER")


def test_a_command_that_fails_is_a_failed_benchmark(tmp_path: Path) -> None:
    with Spawner(str(tmp_path)) as spawner:
        assert spawner.run([sys.executable, "-c", "print(1)"], env={}).out == "1\n"
        with pytest.raises(BenchError, match="ended with \\(3,\\)"):
            spawner.run([sys.executable, "-c", "raise SystemExit(3)"], env={})


def test_the_peak_of_a_child_is_its_own(tmp_path: Path) -> None:
    ballast = bytearray(64 * 1024 * 1024)  # a child of this process would begin with it
    with Spawner(str(tmp_path)) as spawner:
        cost = spawner.run([sys.executable, "-I", "-S", "-c", "pass"], env={})
    assert cost.peak_mib < 16 < len(ballast) / 1024 / 1024


def test_a_permission_decision_is_measured(tmp_path: Path) -> None:
    usual, *scripts = permissions.measure(tmp_path, rounds=1)
    assert usual.budget == 1.0
    assert len(usual.samples) == len(permissions.USUAL)
    assert [script.name for script in scripts] == [f"permission-{x}" for x in permissions.SCRIPTS]
    assert {script.budget for script in scripts} == {20.0}


def test_a_search_is_measured_by_ripgrep_on_the_same_files(tmp_path: Path) -> None:
    grep, glob = search.measure(tmp_path, files=400, rounds=1)
    assert (grep.name, glob.name) == ("search-grep", "search-glob")
    assert grep.median > 0
    assert glob.budget == 1.5
    assert len(list(tmp_path.rglob("*.*"))) == 400
