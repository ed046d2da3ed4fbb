"""Help pages, made from the command table."""

import sys
from collections.abc import Sequence

from crush.cli.options import Command, Option
from crush.cli.table import COMMANDS, SHARED


def print_help(command: Command) -> None:
    sys.stdout.write(help_text(command))


def help_text(command: Command) -> str:
    """The page of one command; that of the unnamed one lists the others."""
    name = f"crush {command.name}".strip()
    usage = " ".join(part for part in (name, "[OPTIONS]", command.words) if part)
    lines = [f"Usage: {usage}", "", f"{command.summary[:1].upper()}{command.summary[1:]}."]
    if not command.name:
        lines[0] = "Usage: crush [OPTIONS] COMMAND …"
        lines[2] = "A terminal coding agent whose front ends share one local server."
        lines += ["", "Commands:", *_table([(c.name, c.summary) for c in COMMANDS if c.name])]
    if command.aliases:
        lines += ["", f"Also: {', '.join(f'crush {alias}' for alias in command.aliases)}"]
    own = [option for option in command.options if option.key not in command.hidden]
    if own:
        lines += ["", "Options:", *_options(own)]
    lines += ["", "Options of every command:", *_options(SHARED)]
    return "\n".join(lines) + "\n"


def _options(options: Sequence[Option]) -> list[str]:
    return _table(
        [(", ".join(o.names) + (f" {o.value}" if o.value else ""), o.help) for o in options]
    )


def _table(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]
