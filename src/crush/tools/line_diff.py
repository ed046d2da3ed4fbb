"""A unified diff and its counts, for people. Bounded: a change too large to align is shown whole."""

import difflib
from collections.abc import Sequence

from msgspec import Struct

_CONTEXT = 3
_MAX_ALIGNED = 4_000_000  # old lines times new lines; difflib is quadratic at worst
_NO_NEWLINE = "\\ No newline at end of file"

_Opcode = tuple[str, int, int, int, int]


class LineDiff(Struct, frozen=True, kw_only=True):
    """`text` is "" when nothing changed."""

    text: str
    additions: int
    removals: int


def diff_lines(old: str, new: str, name: str) -> LineDiff:
    """The diff with `name` as the path below a/ and b/."""
    before, after = _split(old), _split(new)
    opcodes = _align(before, after)
    additions = sum(j2 - j1 for tag, _, _, j1, j2 in opcodes if tag != "equal")
    removals = sum(i2 - i1 for tag, i1, i2, _, _ in opcodes if tag != "equal")
    if not additions and not removals:
        return LineDiff(text="", additions=0, removals=0)
    lines = [f"--- a/{name}", f"+++ b/{name}"]
    for group in _hunks(opcodes):
        lines += _hunk(group, before, after)
    return LineDiff(text="\n".join(lines) + "\n", additions=additions, removals=removals)


def _split(text: str) -> list[str]:
    """Lines with their newline, so that a missing last newline is a difference."""
    lines = text.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def _align(before: Sequence[str], after: Sequence[str]) -> list[_Opcode]:
    head = 0
    shorter = min(len(before), len(after))
    while head < shorter and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < shorter - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    i2, j2 = len(before) - tail, len(after) - tail
    opcodes: list[_Opcode] = [("equal", 0, head, 0, head)]
    if (i2 - head) * (j2 - head) > _MAX_ALIGNED:
        opcodes.append(("replace", head, i2, head, j2))
    else:
        matcher = difflib.SequenceMatcher(None, before[head:i2], after[head:j2])
        opcodes += [
            (tag, i + head, k + head, j + head, m + head)
            for tag, i, k, j, m in matcher.get_opcodes()
        ]
    opcodes.append(("equal", i2, len(before), j2, len(after)))
    return [code for code in opcodes if code[1] < code[2] or code[3] < code[4]]


def _hunks(opcodes: Sequence[_Opcode]) -> list[list[_Opcode]]:
    """Opcodes in groups, each with at most three lines of context around it."""
    groups: list[list[_Opcode]] = [[]]
    last = len(opcodes) - 1
    for index, (tag, i1, i2, j1, j2) in enumerate(opcodes):
        if tag != "equal":
            groups[-1].append((tag, i1, i2, j1, j2))
            continue
        before = min(_CONTEXT, i2 - i1) if index > 0 else 0
        after = min(_CONTEXT, i2 - i1) if index < last else 0
        if before and after and i2 - i1 <= 2 * _CONTEXT:
            groups[-1].append((tag, i1, i2, j1, j2))
            continue
        if before:
            groups[-1].append((tag, i1, i1 + before, j1, j1 + before))
            groups.append([])
        if after:
            groups[-1].append((tag, i2 - after, i2, j2 - after, j2))
    return [group for group in groups if any(code[0] != "equal" for code in group)]


def _hunk(group: Sequence[_Opcode], before: Sequence[str], after: Sequence[str]) -> list[str]:
    first, final = group[0], group[-1]
    lines = [f"@@ -{_range(first[1], final[2])} +{_range(first[3], final[4])} @@"]
    for tag, i1, i2, j1, j2 in group:
        if tag == "equal":
            lines += _marked(" ", before[i1:i2])
        else:
            lines += _marked("-", before[i1:i2])
            lines += _marked("+", after[j1:j2])
    return lines


def _range(start: int, end: int) -> str:
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _marked(mark: str, lines: Sequence[str]) -> list[str]:
    marked: list[str] = []
    for line in lines:
        marked.append(mark + line.removesuffix("\n"))
        if not line.endswith("\n"):
            marked.append(_NO_NEWLINE)
    return marked
