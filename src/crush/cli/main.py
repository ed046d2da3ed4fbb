"""The entry of every command: parse, dispatch, turn errors into a message and an exit code."""

import io
import os
import sys

from crush.cli.options import Command, Parsed, parse
from crush.cli.table import COMMANDS, SHARED
from crush.errors import CrushError, Exit

TYPE_CHECKING = False  # `typing` and `collections.abc` alone would cost 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run one command; returns its exit code (`errors.Exit`)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _settle_streams()
    try:
        parsed = parse(given, COMMANDS, SHARED)
        code = _dispatch(parsed)
        # Here, where its failure has an exit code, and not when the interpreter ends.
        sys.stdout.flush()
    except CrushError as exc:
        return fail(exc)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return _closed_stdout()
    except Exception as exc:
        if "--debug" in given or "-d" in given:
            raise
        return fail(
            CrushError(
                f"something broke inside crush: {type(exc).__name__}: {exc}",
                hint="run it again with --debug for the details",
            )
        )
    return code


def _settle_streams() -> None:
    """Whoever closed a standard stream must not find a socket of ours in its place.

    What the locale cannot show is escaped, for a name of a file is no reason to fail.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _dispatch(parsed: Parsed) -> int:
    if parsed.flag("version"):
        from crush import __version__  # noqa: PLC0415 - nothing else needs it

        sys.stdout.write(f"crush {__version__}\n")
        return Exit.OK
    if parsed.flag("help"):
        from crush.cli.help import print_help  # noqa: PLC0415 - only for help

        print_help(parsed.command)
        return Exit.OK
    return _function(parsed.command)(parsed)


def _function(command: Command) -> "Callable[[Parsed], int]":
    """The function of a command: `main` of its module, or the name behind the colon."""
    module, _, name = command.module.partition(":")
    __import__(module)  # `importlib` would cost 1 ms
    function: Callable[[Parsed], int] = getattr(sys.modules[module], name or "main")
    return function


def fail(error: CrushError) -> int:
    """Say what went wrong and what to do, on stderr."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_stdout()
    from crush.cli.harmless import harmless  # noqa: PLC0415 - nothing failed so far

    try:
        sys.stderr.write(harmless(f"crush: {error.message}\n"))
        if error.hint:
            sys.stderr.write(harmless(f"hint: {error.hint}\n"))
        sys.stderr.flush()
    except OSError:
        pass
    return error.exit_code


def _closed_stdout() -> int:
    """The reader of our output is gone: there is nobody to say anything to."""
    _drop_stdout()
    return Exit.CLOSED_STDOUT


def _drop_stdout() -> None:
    """Let the interpreter flush into nowhere what cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
