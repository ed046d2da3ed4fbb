"""One configuration file on disk: read with a limit, parsed, every failure with file, line and column.

Knows JSON and files; what the keys mean is `schema`'s.
"""

import os
import re
import stat

import msgspec

from crush.errors import ConfigError

Document = dict[str, object]

MAX_BYTES = 1024 * 1024

# Their values are passed on as they are, so a null in them means something.
_OPAQUE = frozenset({"extra_body", "provider_options", "init_options"})
# A device or a named pipe in a project must not hold the run; absent on Windows.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_OFFSET = re.compile(r" \(byte (\d+)\)$")


class LoadedFile(msgspec.Struct, frozen=True):
    """A parsed file; `identity` is the same for two names of one file."""

    document: Document
    identity: tuple[int, int]


def load_file(path: str) -> LoadedFile | None:
    """The object in a file without its nulls; None if there is no such file.

    Raises ConfigError for a file that cannot be read, is no JSON object or is too large.
    """
    found = _read(path, MAX_BYTES)
    if found is None:
        return None
    data, identity = found
    return LoadedFile(parse(data, path), identity)


def read_text(path: str, *, max_bytes: int) -> str | None:
    """The text of a file; None if there is no such file. Raises ConfigError as `load_file` does."""
    found = _read(path, max_bytes)
    if found is None:
        return None
    try:
        return found[0].decode()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not UTF-8") from exc


def _read(path: str, max_bytes: int) -> tuple[bytes, tuple[int, int]] | None:
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as exc:
        raise _unreadable(path, exc) from exc
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise ConfigError(f"{path}: not a regular file")
        with open(descriptor, "rb", closefd=False) as stream:
            data = stream.read(max_bytes + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise ConfigError(f"{path}: larger than {max_bytes // 1024} KiB")
    return data, (info.st_dev, info.st_ino)


def parse(data: bytes, path: str) -> Document:
    """The object that `data` holds, without its nulls; `path` is for the error."""
    data = data.removeprefix(b"\xef\xbb\xbf")  # editors on Windows write a byte order mark
    try:
        document = msgspec.json.decode(data.decode())
    except UnicodeDecodeError as exc:
        raise _malformed(path, data, exc.start, "not UTF-8") from exc
    except msgspec.DecodeError as exc:
        found = _OFFSET.search(str(exc))
        problem = _OFFSET.sub("", str(exc)).removeprefix("JSON is malformed: ")
        offset = int(found[1]) if found else len(data)
        raise _malformed(path, data, offset, problem) from exc
    except RecursionError as exc:
        raise ConfigError(f"{path}: nested too deeply") from exc
    if not isinstance(document, dict):
        raise _malformed(path, data, 0, "expected an object")
    return {key: _without_nulls(key, value) for key, value in document.items() if value is not None}


def _without_nulls(key: str, value: object) -> object:
    if key in _OPAQUE:
        return value
    if isinstance(value, list):
        return [_without_nulls(key, item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(name, item) for name, item in value.items() if item is not None}


def _malformed(path: str, data: bytes, offset: int, problem: str) -> ConfigError:
    before = data[:offset]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    return ConfigError(f"{path}:{line}:{column}: invalid JSON: {problem}")


def _unreadable(path: str, exc: OSError | ValueError) -> ConfigError:
    reason = exc.strerror if isinstance(exc, OSError) else str(exc)
    return ConfigError(f"{path}: cannot be read: {reason}")
