"""Help pages, made from the command table."""

import sys

from crush.cli.options import Command, Option, names_of
from crush.cli.table import COMMANDS, SHARED

TYPE_CHECKING = False  # `typing` and `collections.abc` alone would cost 4 ms
if TYPE_CHECKING:
    from collections.abc import Sequence


def print_help(command: Command) -> None:
    sys.stdout.write(help_text(command))


def help_text(command: Command) -> str:
    """The page of one command; that of the unnamed one lists the others."""
    name = f"crush {command.name}".strip()
    what = command.words or ("COMMAND …" if members_of(command) else "")
    usage = " ".join(part for part in (name, "[OPTIONS]", what) if part)
    lines = [f"Usage: {usage}", "", f"{command.summary[:1].upper()}{command.summary[1:]}."]
    if not command.name:
        lines[2] = "A terminal coding agent whose front ends share one local server."
    if members := members_of(command):
        lines += ["", "Commands:", *_table([(c.name, c.summary) for c in members])]
    if command.aliases:
        lines += ["", f"Also: {', '.join(f'crush {name}' for name in names_of(command)[1:])}"]
    own = [option for option in command.options if option.key not in command.hidden]
    if own:
        lines += ["", "Options:", *_options(own)]
    lines += ["", "Options of every command:", *_options(SHARED)]
    return "\n".join(lines) + "\n"


def members_of(command: Command) -> list[Command]:
    """The commands that a page lists: those of a group; on the first page those that do something."""
    if command.name:
        return [c for c in COMMANDS if c.name.startswith(f"{command.name} ")]
    return [c for c in COMMANDS if c.name and (c.words or c.options or not members_of(c))]


def _options(options: "Sequence[Option]") -> list[str]:
    return _table(
        [(", ".join(o.names) + (f" {o.value}" if o.value else ""), o.help) for o in options]
    )


def _table(rows: "Sequence[tuple[str, str]]") -> list[str]:
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]
