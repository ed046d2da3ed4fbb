"""Pins every requirement with hashes, from `pyproject.toml` into the requirements files.

Owns `requirements*.txt`, which name no index: whoever installs chooses it. Run by `make pin`, on
the oldest Python that we support, whose resolution holds for the newer ones too.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 11)
HEADER = "# Made by `make pin` from pyproject.toml. Names, versions, hashes; no index.\n"
# What installs and builds: `pip`, since its launcher scripts start faster than
# those of the pip that comes with Python, and what packages without a wheel are built with.
BUILD = ("pip", "setuptools", "wheel", "editables")

# A version without wheels for this platform would need a compiler; this one is pure Python.
WHEELS = "--only-binary=:all: --no-binary=forbiddenfruit"


def main() -> None:
    if sys.version_info[:2] != OLDEST:
        sys.exit(f"pin: needs Python {OLDEST[0]}.{OLDEST[1]}, this is {sys.version.split()[0]}")
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        project = tomllib.load(file)
    runtime = project["project"]["dependencies"]
    local = project["project"]["optional-dependencies"]["local"]
    build = [*project["build-system"]["requires"], *BUILD]
    pin("requirements.txt", [*runtime, *local])
    pin("requirements-build.txt", build, below="requirements.txt")
    pin("requirements-dev.txt", project["dependency-groups"]["dev"], below="requirements.txt")


def pin(name: str, requirements: Sequence[str], *, below: str = "") -> None:
    """Resolve and write one file; what is pinned in `below` keeps its version.

    Twice: versions are chosen among those with wheels, hashes are taken of all their files.
    """
    asked = [*requirements, *([f"-c {os.path.join(ROOT, below)}"] if below else [])]
    chosen = compiled(asked, f"--pip-args={WHEELS}")
    pins = compiled(chosen.splitlines(), "--generate-hashes", "--no-reuse-hashes")
    with open(os.path.join(ROOT, name), "w", encoding="utf-8") as file:
        file.write(HEADER + pins)
    sys.stdout.write(f"pinned {name}\n")


def compiled(lines: Sequence[str], *options: str) -> str:
    command = [sys.executable, "-m", "piptools", "compile", "-", "--output-file=-", "--quiet"]
    command += ["--allow-unsafe", "--strip-extras", "--no-header", "--no-annotate"]
    environment = {key: value for key, value in os.environ.items() if key != "PIP_FIND_LINKS"}
    done = subprocess.run(
        [*command, "--no-emit-options", *options],
        env=environment,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"pin: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
