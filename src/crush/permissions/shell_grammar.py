"""The second reading of a script, by the bash grammar of tree-sitter.

The grammar sees structure that `shell_reader` does not know, and takes some things for others than
bash does. What is allowed must therefore be read alike by both: same commands, assignments and
substitutions at the same places, and no kind of syntax that is not listed here.
"""

import time
from functools import cache
from itertools import accumulate

import tree_sitter_bash
from tree_sitter import Language, Node, Parser, Point, Tree, TreeCursor

from crush.permissions.shell_findings import Findings

MAX_SECONDS = 0.02  # of this thread's work: a busy machine changes no answer
_CHUNK_BYTES = 4096

_STATEMENTS = {
    "program",
    "command",
    "command_name",
    "redirected_statement",
    "pipeline",
    "list",
    "negated_command",
    "subshell",
    "compound_statement",
    "if_statement",
    "elif_clause",
    "else_clause",
    "while_statement",
    "for_statement",
    "do_group",
    "case_statement",
    "case_item",
    "test_command",
    "declaration_command",
    "unset_command",
    "function_definition",
    "variable_assignment",
    "variable_assignments",
    "comment",
}
_REDIRECTIONS = {
    "file_redirect",
    "file_descriptor",
    "heredoc_redirect",
    "heredoc_start",
    "heredoc_body",
    "heredoc_content",
    "heredoc_end",
    "herestring_redirect",
}
_WORDS = {
    "word",
    "number",
    "concatenation",
    "string",
    "string_content",
    "raw_string",
    "ansi_c_string",
    "brace_expression",
    "simple_expansion",
    "expansion",
    "variable_name",
    "special_variable_name",
    "command_substitution",
    "process_substitution",
    "arithmetic_expansion",
    "extglob_pattern",
    "regex",
}
# Inside tests and `$(( ))`, whose content the reader has judged already.
_EXPRESSIONS = {
    "unary_expression",
    "binary_expression",
    "ternary_expression",
    "postfix_expression",
    "parenthesized_expression",
    "test_operator",
}
_KNOWN = _STATEMENTS | _REDIRECTIONS | _WORDS | _EXPRESSIONS

_COMMANDS = frozenset({"command_name", "declaration_command", "unset_command", "test_command"})
_SUBSTITUTIONS = frozenset({"command_substitution", "process_substitution"})


def objection(findings: Findings) -> str:
    """Why the grammar does not confirm what was found; "" if it does."""
    # The grammar does not join lines where bash does; blanks keep every offset.
    source = findings.source
    for at in findings.joined:
        source = f"{source[:at]}  {source[at + 2 :]}"
    tree = _parse(source.encode())
    if tree is None:
        return "it takes too long to parse"
    seen = _Seen()
    reason = seen.collect(tree)
    if reason:
        return reason
    offsets = _byte_offsets(source)
    agreed = (
        seen.commands == {offsets[start] for start in findings.commands}
        and seen.assignments == {offsets[start] for start in findings.assignments}
        and seen.substitutions
        == {(offsets[start], offsets[end]) for start, end in findings.substitutions}
    )
    return "" if agreed else "it can be read in two ways"


class _Seen:
    """Where the grammar sees what."""

    def __init__(self) -> None:
        self.commands: set[int] = set()
        self.assignments: set[int] = set()
        self.substitutions: set[tuple[int, int]] = set()

    def collect(self, tree: Tree) -> str:
        """Walk the whole tree; the reason if there is something in it that is not known."""
        cursor = tree.walk()
        while True:
            node = cursor.node
            if node is not None:
                reason = self._note(node)
                if reason:
                    return reason
            if not cursor.goto_first_child() and not _goto_following(cursor):
                return ""

    def _note(self, node: Node) -> str:
        kind = node.type
        if node.is_missing or node.is_error:
            return "its syntax is not understood"
        if not node.is_named:
            return ""
        if kind not in _KNOWN:
            return f"it contains {kind.replace('_', ' ')!r}, which is not understood"
        if kind in _COMMANDS:
            self.commands.add(node.start_byte)
        elif kind == "variable_assignment":
            self.assignments.add(node.start_byte)
        elif kind in _SUBSTITUTIONS:
            self.substitutions.add((self._opening(node.start_byte), node.end_byte))
        return ""


def _goto_following(cursor: TreeCursor) -> bool:
    """To the next sibling of the node or of its nearest ancestor that has one."""
    while not cursor.goto_next_sibling():
        if not cursor.goto_parent():
            return False
    return True


@cache
def _language() -> Language:
    return Language(tree_sitter_bash.language())


def _parse(source: bytes) -> Tree | None:
    """The tree; None if it takes longer than it may. Each call has a parser: threads share none."""
    end = time.thread_time() + MAX_SECONDS

    def chunk(offset: int, _: Point) -> bytes:
        return source[offset : offset + _CHUNK_BYTES]

    def is_late(_offset: int, _has_error: bool) -> bool:
        return time.thread_time() > end

    try:
        return Parser(_language()).parse(chunk, progress_callback=is_late)
    except ValueError:  # how the binding tells that the callback has ended the parsing
        return None


def _byte_offsets(source: str) -> range | list[int]:
    """The byte offset of each character, and of the end."""
    if source.isascii():
        return range(len(source) + 1)
    return [0, *accumulate(len(character.encode()) for character in source)]
