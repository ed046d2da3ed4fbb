"""Sees to the few things that must come from the operating system, by name.

Owns the table of them. Where apt and root are there a missing one is installed; elsewhere it is
named with the command that installs it. Standard library only.
"""

import ctypes.util
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple


class Need(NamedTuple):
    """Something that a Debian package provides."""

    package: str
    reason: str
    present: Callable[[], bool]


NEEDS = (
    Need(
        package=f"python3.{sys.version_info.minor}-venv",
        reason="makes .venv",
        present=lambda: importlib.util.find_spec("ensurepip") is not None,
    ),
    Need(
        package="bash",
        reason="runs the commands of the shell tool",
        present=lambda: shutil.which("bash") is not None,
    ),
    Need(
        package="bubblewrap",
        reason="confines the commands of the shell tool",
        present=lambda: sys.platform != "linux" or shutil.which("bwrap") is not None,
    ),
    Need(
        package="libgomp1",
        reason="runs the embedded model's threads",
        present=lambda: sys.platform != "linux" or ctypes.util.find_library("gomp") is not None,
    ),
)

# `--dev`: what the tests run and the program does not.
DEV_NEEDS = (
    Need(
        package="zsh",
        reason="tries its completion",
        present=lambda: shutil.which("zsh") is not None,
    ),
    Need(
        package="fish",
        reason="tries its completion",
        present=lambda: shutil.which("fish") is not None,
    ),
)


def main() -> None:
    needs = NEEDS + DEV_NEEDS if "--dev" in sys.argv[1:] else NEEDS
    missing = [need for need in needs if not need.present()]
    if missing and can_install():
        install([need.package for need in missing])
        importlib.invalidate_caches()
        missing = [need for need in needs if not need.present()]
    if missing:
        names = " ".join(need.package for need in missing)
        reasons = ", ".join(f"{need.package} {need.reason}" for need in missing)
        sys.exit(f"setup-system: missing: {reasons}; run `sudo apt-get install {names}`")


def can_install() -> bool:
    return shutil.which("apt-get") is not None and hasattr(os, "getuid") and os.getuid() == 0


def install(packages: "list[str]") -> None:
    sys.stdout.write(f"setup-system: installing {' '.join(packages)}\n")
    sys.stdout.flush()
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "--quiet=2", *command], env=environment, capture_output=True, check=False
        )
        if done.returncode:
            sys.stderr.buffer.write(done.stderr[-2000:])


if __name__ == "__main__":
    main()
