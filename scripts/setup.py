"""Makes `.venv` complete: the pinned requirements, the package, the development tools.

Owns `.venv`. A stamp holds the digest of everything that went in, so that a second call costs
nothing; `.venv/unfinished` stands there for as long as work is going on, so that an interrupted
call is started anew by the next one. Standard library only; every failure is one line.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
UNFINISHED = os.path.join(VENV, "unfinished")
LOG = os.path.join(ROOT, "build", "setup.log")
INPUTS = {
    "run": ("pyproject.toml", "requirements-build.txt", "requirements.txt"),
    "dev": ("requirements-build.txt", "requirements-dev.txt"),
}


class SetupError(Exception):
    """What could not be done; the message is the one line that a person gets."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Make .venv complete.")
    parser.add_argument("--dev", action="store_true", help="with the development tools")
    parts = ("run", "dev") if parser.parse_args().dev else ("run",)
    try:
        set_up(parts)
    except SetupError as error:
        sys.exit(f"setup: {error}")
    except KeyboardInterrupt:
        sys.exit("setup: interrupted; run it again")


def set_up(parts: tuple[str, ...]) -> None:
    wanted = {part: digest(INPUTS[part]) for part in parts}
    if os.path.exists(UNFINISHED) or (os.path.exists(VENV) and not works(PYTHON)):
        say("found a half-made .venv or one of another Python, starting anew")
        shutil.rmtree(VENV)
    missing = [part for part in parts if stamp(part) != wanted[part]]
    if not missing:
        return
    os.makedirs(VENV, exist_ok=True)
    write(UNFINISHED, "")
    if not os.path.exists(PYTHON):
        # Not `sys.executable`: in an activated .venv that is the one to be made.
        step("creating .venv", [os.path.realpath(sys.executable), "-m", "venv", VENV])
    steps = {"run": install_package, "dev": install_tools}
    for part in missing:
        steps[part]()
    for part in missing:
        write(stamp_path(part), wanted[part])
    os.remove(UNFINISHED)


def install_package() -> None:
    step("installing what builds the package", pip_install(*pinned("requirements-build.txt")))
    step("installing the pinned requirements", pip_install(*pinned("requirements.txt")))
    step("installing crush", pip_install("--no-deps", "--editable", ROOT))


def install_tools() -> None:
    tools = pip_install(*pinned("requirements-dev.txt"))
    step("installing the pinned development requirements", tools)


def pip_install(*what: str) -> list[str]:
    """Quiet and impatient: a machine without a network should hear so within seconds."""
    options = ["--quiet", "--retries=2", "--disable-pip-version-check", "--no-build-isolation"]
    return [PYTHON, "-m", "pip", "install", *options, *what]


def pinned(name: str) -> list[str]:
    return ["--require-hashes", "--requirement", in_root(name)]


def step(what: str, command: list[str]) -> None:
    """Run a command, its output in the log; a failure says what it was and what to do."""
    started = time.monotonic()
    os.makedirs(os.path.dirname(LOG), exist_ok=True)
    with open(LOG, "w", encoding="utf-8") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        raise SetupError(f"{what} failed: {reason()}; then run it again (log: {LOG})")
    say(f"{what} ({time.monotonic() - started:.1f} s)")


def reason() -> str:
    """The log's cause in a few words, with what to do about it."""
    with open(LOG, encoding="utf-8", errors="replace") as log:
        text = log.read()
    if "ensurepip" in text:
        return "this Python has no ensurepip: run `make setup-system` as root"
    network = ("Failed to establish", "Could not find a version", "Connection", "timed out")
    if any(sign in text for sign in network):
        return "the package index cannot be reached: check the network (or pip's configuration)"
    if "HASHES" in text:
        return "a package has another hash than the one pinned: do not use that index"
    if "No space left" in text:
        return "the disk is full: free some space"
    errors = [line for line in text.splitlines() if line.lower().startswith("error: ")]
    return (errors or text.strip().splitlines() or ["no output"])[-1]


def works(python: str) -> bool:
    """Whether a virtual environment's Python starts, is the one asked for and has pip."""
    if not os.path.exists(python):
        return False
    check = f"import sys, pip; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def digest(names: tuple[str, ...]) -> str:
    """Of all that decides what is installed; the package itself is linked, not copied."""
    sha = hashlib.sha256(repr((sys.version_info[:2], ROOT)).encode())
    for name in names:
        with open(in_root(name), "rb") as file:
            sha.update(file.read())
    return sha.hexdigest()


def stamp(part: str) -> str:
    try:
        with open(stamp_path(part), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def stamp_path(part: str) -> str:
    return os.path.join(VENV, f"complete-{part}")


def in_root(name: str) -> str:
    return os.path.join(ROOT, name)


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def say(message: str) -> None:
    sys.stdout.write(f"setup: {message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
