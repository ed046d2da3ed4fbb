"""Writes `docs/reference/cli.md` from the command table and the exit codes.

`python scripts/make_cli_reference.py`, after a change of either; a test fails while the page is stale.
"""

import os
import sys
from collections.abc import Iterator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "src"))

from crush.cli.help import help_text  # noqa: E402 - also runs without an installation
from crush.cli.table import COMMANDS  # noqa: E402
from crush.errors import Exit  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "reference", "cli.md")

INTRODUCTION = """\
# Command line

Made by `scripts/make_cli_reference.py` from the command table; do not edit it here.

Options stand before or after the command, in any order: `crush --cwd DIR run hi` and `crush run hi
--cwd DIR` are the same. Short switches combine (`-qy`), values follow with or without a space or
with `=`. `--` ends the options: `crush run -- "-1 + 1?"`.
"""

EXIT_CODES = {
    "OK": "it worked; `crush status`: a server runs that this crush can work with",
    "ERROR": "it did not; also: no server could be started, `crush stop` found it busy, "
    "`crush doctor` found a failure, `crush status` found no usable server",
    "USAGE": "the command line, the prompt or the host cannot be understood",
    "CONFIG": "the configuration is wrong, or there is no model to ask",
    "NOT_FOUND": "there is no such session, run or log",
    "DENIED": "the run ended, but a permission was refused, or nobody could give it",
    "LIMIT": "`--max-steps` or `--timeout` was reached",
    "PROVIDER": "the model's side refused, failed or could not be reached",
    "SERVER_LOST": "the server died or was stopped during the run",
    "CANCELLED": "somebody else cancelled the run",
    "INTERRUPTED": "Ctrl-C",
    "CLOSED_STDOUT": "whoever read the output went away, as in `crush run … | head -1`",
}

FORMATS = """\
## Input and output of `crush run`

The prompt is what was piped in, an empty line, and the words of the command line, as far as there are
any. Standard input is read if it is a pipe, a socket or a file; `</dev/null` gives none. Bytes that
are not UTF-8 are replaced.

`--output-format`

- `text` streams the answer to stdout and nothing else; a line break ends it. What is not the answer
  (denied permissions, retries, with `-v` tool calls and reasoning) goes to stderr, nothing of it with
  `-q`. On a terminal, control characters in the answer are left out.
- `json` prints one line when the run is over.
- `stream-json` prints the run's events as they come, one JSON object a line, and the same last line.
  Kinds of events and fields may be added; skip what you do not know.

The last line of both JSON formats is always the result, whatever happened once the command line was
understood. A second Ctrl-C leaves at once and prints nothing more.

| field | of a result |
|---|---|
| `type` | `"result"` |
| `exit_code` | that of the process |
| `state` | `done`, `failed`, `cancelled`, `interrupted` (the server was stopped), `running` (`--detach`) |
| `error` | `null`, or `code`, `message` and perhaps `hint`; texts change, codes do not |
| `text` | the last message of the answer |
| `run_id`, `session_id` | absent if the run was never accepted |
| `denied` | permissions that were refused, by a rule, a person, or because nobody could give them |
| `steps` | requests to the model |
| `input_tokens`, `output_tokens`, `cost` | of this run; cost in USD |
| `duration_ms` | from acceptance to the end |

The first Ctrl-C cancels the run and waits for its end, so that the session can go on; the second leaves
at once. A run whose client is gone is cancelled after `CRUSH_SERVER_DETACH_GRACE` seconds (10), one
started with `--detach` goes on; its id is what is printed.

## States of `crush status`

| `state` | what is at the host | exit code |
|---|---|---|
| `running` | a server of this build | 0 |
| `mismatched` | a server of another build; `detail` says whether it serves, gives way, or cannot be used | 0, or 1 if it cannot be used |
| `silent` | a process holds the server lock but does not answer | 1 |
| `stopped` | nothing | 1 |
| `stale` | the socket of a server that died; the next one replaces it | 1 |
| `foreign` | something that is not a server of ours, a Crush server among them | 1 |
| `blocked` | another kind of file, or another user's socket | 1 |

`crush stop --force` sends SIGTERM to the process that holds the server lock, if it is proven to be the
server (on Linux: it has the lock file open), and SIGKILL if it has not left after 15 seconds.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_commands(), *_exit_codes(), FORMATS])


def _commands() -> Iterator[str]:
    for command in COMMANDS:
        name = f"crush {command.name}".strip()
        text = help_text(command)
        if command.name:  # what holds for every command is said once
            text = text.partition("\nOptions of every command:")[0]
        yield f"## `{name}`\n\n```text\n{text}```\n"


def exit_codes() -> dict[str, int]:
    """Every exit code by its name, in the order in which `errors` lists them."""
    return {name: int(value) for name, value in vars(Exit).items() if name.isupper()}


def _exit_codes() -> Iterator[str]:
    rows = [f"| {code} | `{name}` | {EXIT_CODES[name]} |" for name, code in exit_codes().items()]
    yield "\n".join(("## Exit codes", "", "| code | name | when |", "|---|---|---|", *rows)) + "\n"


if __name__ == "__main__":
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page())
