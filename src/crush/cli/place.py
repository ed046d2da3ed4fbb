"""Where a command works: its server, its directory, and the data directory that its files name."""

import os
import sys

from crush.cli.options import Parsed
from crush.errors import ConfigError, UsageError
from crush.launch.host import Host, default_host, parse_host
from crush.paths import project_data_dir


def host_of(parsed: Parsed) -> Host:
    """The server that the command line names, or this user's own."""
    text = parsed.text("host")
    return parse_host(text) if text else default_host(os.environ)


def cwd_of(parsed: Parsed) -> str:
    """The working directory, absolute: a relative `--cwd` is the client's business."""
    try:
        cwd = os.path.abspath(parsed.text("cwd") or os.getcwd())
    except FileNotFoundError as exc:
        raise UsageError(
            "the working directory was removed", hint="change to another, or use --cwd"
        ) from exc
    if not os.path.isdir(cwd):
        raise UsageError(f"the working directory {cwd!r} does not exist")
    return cwd


def given_data_dir(parsed: Parsed) -> str:
    """What `--data-dir` says, absolute, "" if it was not given."""
    given = parsed.text("data_dir")
    return os.path.abspath(given) if given else ""


def data_dir_of(parsed: Parsed) -> str:
    """The project's data directory, as a run with this command line and environment finds it."""
    # Not for `crush run`, whose server looks for itself.
    from crush.config.load import load_config  # noqa: PLC0415

    cwd = os.path.realpath(cwd_of(parsed))
    try:
        return load_config(cwd, os.environ, data_dir=given_data_dir(parsed)).data_dir
    except ConfigError as exc:
        from crush.cli.harmless import harmless  # noqa: PLC0415 - as above

        sys.stderr.write(harmless(f"crush: {exc.message}\n"))
        return given_data_dir(parsed) or project_data_dir(cwd)
