"""A shell command's text as the parts that are judged.

Two readings must agree: ours, which follows bash from left to right, and that of a grammar. Bash
never runs a word as a command, opens a file or assigns a variable that is not among the parts,
unless one of them is `Unclear`.
"""

from collections.abc import Sequence

from crush.permissions.shell_grammar import objection
from crush.permissions.shell_reader import read_script
from crush.permissions.shell_screen import screen
from crush.permissions.shell_script import Command, Part, Script, Unclear


def parse_script(text: str) -> Script:
    """The parts of `text`. It never raises: what is not understood is an `Unclear` part."""
    reason = screen(text)
    if reason:
        shown = text.encode(errors="replace").decode()  # it goes into databases and over the wire
        return Script(parts=(Unclear(source=shown, reason=reason),), is_simple=False)
    findings = read_script(text)
    parts = findings.parts
    if not any(isinstance(part, Unclear) for part in parts):
        reason = objection(findings)
        if reason:
            parts = (Unclear(source=text, reason=reason), *parts)
    return Script(parts=parts, is_simple=findings.is_plain and _is_simple(parts))


def _is_simple(parts: Sequence[Part]) -> bool:
    match parts:
        case (Command() as command,):
            return all(word.text is not None for word in command.words)
        case _:
            return False
