"""Set-up of a bare machine: repeated, interrupted, without a network, with an old Python.

The project set up here is a small one. The fast tests have stand-ins for `venv` and `pip`, found by
PYTHONPATH, that write down what they are asked for; the soak test has the real ones.
"""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENV = """
import os, sys

os.makedirs(sys.argv[1] + "/bin")
with open(sys.argv[1] + "/bin/python", "w") as file:
    file.write(f'#!/bin/sh\\nexec {sys.executable} "$@"\\n')
os.chmod(sys.argv[1] + "/bin/python", 0o755)
"""
PIP = """
import os, sys

def main():
    with open(os.environ["PIP_ASKED"], "a") as file:
        file.write(" ".join(sys.argv[1:]) + "\\n")
    if os.environ.get("PIP_WAITS"):
        sys.stdin.read()
    if answer := os.environ.get("PIP_FAILS"):
        sys.exit(answer)

if __name__ == "__main__":
    main()
"""
BACKEND = """
import zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


class Project:
    """A copy of our scripts around a project of one module."""

    def __init__(self, root: Path, *, stand_ins: bool) -> None:
        self.root = root
        self.venv = root / ".venv"
        self._asked = root / "asked"
        shutil.copytree(ROOT / "scripts", root / "scripts")
        (root / "backend.py").write_text(BACKEND)
        (root / "pyproject.toml").write_text(PYPROJECT)
        for name in ("requirements.txt", "requirements-build.txt", "requirements-dev.txt"):
            (root / name).write_text("# nothing\n")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
        self._env = {**inherited, "PIP_NO_INDEX": "1", "PIP_ASKED": str(self._asked)}
        if stand_ins:
            (root / "stand_ins").mkdir()
            (root / "stand_ins/venv.py").write_text(VENV)
            (root / "stand_ins/pip.py").write_text(PIP)
            self._env["PYTHONPATH"] = str(root / "stand_ins")

    def start(self, *options: str, **variables: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, str(self.root / "scripts/setup.py"), *options],
            env=self._env | variables,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def set_up(self, *options: str, **variables: str) -> tuple[int, str, str]:
        with self.start(*options, **variables) as process:
            out, error = process.communicate()
        return process.returncode, out, error

    def asked(self) -> list[str]:
        """What pip was asked for since the last look."""
        lines = self._asked.read_text().splitlines() if self._asked.exists() else []
        self._asked.unlink(missing_ok=True)
        return lines

    def wait_for(self, name: str) -> None:
        deadline = time.monotonic() + 10
        while not (self.root / name).exists():
            assert time.monotonic() < deadline, name


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, stand_ins=True)


def test_everything_is_pinned_and_a_second_call_has_nothing_to_do(project: Project) -> None:
    code, out, error = project.set_up()
    assert (code, error) == (0, "")
    assert "creating .venv" in out
    build, run, own = project.asked()
    assert build.endswith(f"--require-hashes --requirement {project.root}/requirements-build.txt")
    assert run.endswith(f"--require-hashes --requirement {project.root}/requirements.txt")
    assert own.endswith(f"--no-deps --editable {project.root}")
    assert project.set_up() == (0, "", "")
    assert project.asked() == []
    assert not (project.venv / "unfinished").exists()


def test_the_tools_are_added_to_what_is_there(project: Project) -> None:
    assert project.set_up()[0] == 0
    project.asked()
    assert project.set_up("--dev")[0] == 0
    assert [line.rsplit("/", 1)[1] for line in project.asked()] == ["requirements-dev.txt"]


def test_changed_requirements_are_installed_into_what_is_there(project: Project) -> None:
    assert project.set_up()[0] == 0
    (project.root / "requirements.txt").write_text("# nothing else\n")
    code, out, _ = project.set_up()
    assert code == 0
    assert "pinned requirements" in out
    assert "creating .venv" not in out


def test_an_interrupted_set_up_is_made_anew(project: Project) -> None:
    with project.start(PIP_WAITS="yes") as process:
        project.wait_for("asked")
        process.send_signal(signal.SIGKILL)
    code, out, _ = project.set_up()
    assert code == 0
    assert "half-made .venv" in out
    assert project.set_up() == (0, "", "")


@pytest.mark.parametrize("python", ["", "exit 1", "exec python3 -c 'import no_pip_here'"])
def test_a_broken_environment_is_made_anew(project: Project, python: str) -> None:
    (project.venv / "bin").mkdir(parents=True)
    if python:
        (project.venv / "bin/python").write_text(f"#!/bin/sh\n{python}\n")
        (project.venv / "bin/python").chmod(0o755)
    code, out, _ = project.set_up()
    assert code == 0
    assert "half-made .venv" in out


@pytest.mark.parametrize(
    ("pip_says", "advice"),
    [
        ("Failed to establish a new connection: Name or service not known", "check the network"),
        ("ERROR: Could not find a version that satisfies the requirement x", "check the network"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "do not use that index"),
        ("OSError: [Errno 28] No space left on device", "free some space"),
        ("ERROR: something new\nhint: see above", "ERROR: something new"),
    ],
)
def test_a_failure_is_one_line_and_the_next_call_repairs_it(
    project: Project, pip_says: str, advice: str
) -> None:
    code, _, error = project.set_up(PIP_FAILS=pip_says)
    assert code == 1
    assert error.count("\n") == 1
    assert error.startswith("setup: installing what builds the package failed: ")
    assert advice in error
    assert project.set_up()[0] == 0


@pytest.mark.soak
def test_the_real_venv_and_pip_set_up_and_repair(tmp_path: Path) -> None:
    project = Project(tmp_path, stand_ins=False)
    (project.root / "requirements.txt").write_text("nowhere==1 --hash=sha256:" + "0" * 64 + "\n")
    code, _, error = project.set_up()
    assert code == 1
    assert error.count("\n") == 1
    assert "index cannot be reached: check the network" in error
    (project.root / "requirements.txt").write_text("# nothing\n")
    assert project.set_up()[0] == 0
    tiny = subprocess.run([project.venv / "bin/python", "-c", "import tiny"], check=False)
    assert tiny.returncode == 0
    assert project.set_up() == (0, "", "")


def test_an_old_python_is_told_so_in_one_line() -> None:
    script = str(ROOT / "scripts/require_python.py")
    pretend = "import sys; sys.version_info = (3, 9, 1); exec(open(sys.argv[1]).read())"
    done = subprocess.run(
        [sys.executable, "-c", pretend, script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("crush needs Python 3.11 or newer and this one is 3.9.1")
    assert done.stderr.count("\n") == 1


def test_the_message_for_old_pythons_is_in_a_language_that_they_read() -> None:
    tree = ast.parse((ROOT / "scripts/require_python.py").read_text())
    too_new = (ast.JoinedStr, ast.AnnAssign, ast.FunctionDef, ast.NamedExpr, ast.Match)
    assert [node for node in ast.walk(tree) if isinstance(node, too_new)] == []


def test_a_python_that_is_not_there_is_named() -> None:
    command = ["make", "-C", str(ROOT), "PYTHON=python-of-nobody", "python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no 'python-of-nobody' here: install Python 3.11 or newer" in done.stderr


def test_a_missing_system_package_is_named_with_its_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/system.py")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("setup-system: missing: bash runs the commands")
    assert done.stderr.rstrip().endswith("run `sudo apt-get install bash bubblewrap`")
