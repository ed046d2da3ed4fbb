"""`make demo` works, leaves nothing behind, and fails when what it shows does not work."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def wait_until_nothing_runs_in(directory: Path) -> None:
    """A server lets go of its lock a moment before its process ends."""
    deadline = time.monotonic() + 5
    while running := servers_of(directory):
        assert time.monotonic() < deadline, running


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Short: the path of a socket may have a hundred bytes."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def run_demo(root: Path, temporary: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, root / "demo/run.py"],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )


def servers_of(directory: Path) -> list[str]:
    """Command lines of running processes that name the directory."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(directory) in line:
            found.append(line)
    return found


def test_the_demo_shows_both_halves_and_leaves_nothing(temporary: Path) -> None:
    done = run_demo(ROOT, temporary)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("first words after") == 2
    assert "The sample's tests pass; changed: shopping.py." in done.stdout
    assert list(temporary.iterdir()) == []
    wait_until_nothing_runs_in(temporary)


def test_the_demo_fails_when_the_agent_does_not_repair(tmp_path: Path, temporary: Path) -> None:
    root = tmp_path
    shutil.copytree(ROOT / "demo", root / "demo")
    shutil.copytree(ROOT / "tests/fakes", root / "tests/fakes")
    (root / ".cache").symlink_to(ROOT / ".cache")
    (root / "demo/script.json").write_text('[{"text": "It is fine as it is."}]')
    done = run_demo(root, temporary)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "demo: the sample's tests still fail"
    assert list(temporary.iterdir()) == []
    wait_until_nothing_runs_in(temporary)
