"""Reads the corpus of shell commands: one JSON object a line, as `crush permissions test` reads it."""

from pathlib import Path

import msgspec
from msgspec import Struct

CORPUS = Path(__file__).parent / "corpus"
BYPASSES = CORPUS / "bypasses.jsonl"
EVERYDAY = CORPUS / "everyday.jsonl"


class Line(Struct, frozen=True, kw_only=True, rename={"kind": "class"}, forbid_unknown_fields=True):
    """A command, what is expected of its judgement, and what shows that the expectation is true.

    Attributes:
        kind: the class of the command, `class` in the file.
        proof: what real bash shows: `canary`, `change` or `leak` (see the README of the corpus).
        needs: programs that are not everywhere and without which it shows nothing.
    """

    command: str
    expect: str
    kind: str
    why: str
    proof: str = ""
    needs: tuple[str, ...] = ()


def load_lines(path: Path) -> list[Line]:
    with path.open("rb") as file:
        return [msgspec.json.decode(line, type=Line) for line in file]
