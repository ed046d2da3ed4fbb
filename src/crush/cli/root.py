"""`crush` without a command: what will be the terminal interface."""

import sys

from crush.cli.options import Parsed
from crush.errors import Exit


def main(_parsed: Parsed) -> int:
    sys.stderr.write(
        "crush: the terminal interface is not built yet\n"
        "hint: `crush run PROMPT` asks the agent; `crush --help` lists the commands\n"
    )
    return Exit.USAGE
