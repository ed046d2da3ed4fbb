"""The second reading of a script, by the bash grammar of tree-sitter.

The grammar sees structure that `shell_reader` does not know, and takes some things for others than
bash does. What is allowed must therefore be read alike by both: same commands, assignments and
substitutions at the same places, and no kind of syntax that is not listed here.
"""

import time
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise

import tree_sitter_bash
from tree_sitter import Language, Parser, Point, Query, QueryCursor, Tree

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

_SOUGHT = {
    "command": ("command_name", "declaration_command", "unset_command", "test_command"),
    "assignment": ("variable_assignment",),
    "substitution": ("command_substitution", "process_substitution"),
}


def objection(findings: Findings) -> str:
    """Why the grammar does not confirm what was found; "" if it does."""
    # The grammar does not join lines where bash does; blanks keep every offset.
    source = findings.source
    for at in findings.joined:
        source = f"{source[:at]}  {source[at + 2 :]}"
    reason = _objection(findings, source)
    if not reason or not findings.ends:
        return reason
    # It takes a line behind `a | b | c` for more of `c` if that line is a list. With `;` in the place
    # of a newline that ends a command, which is the same to bash, it does not.
    return reason if _objection(findings, _with_semicolons(source, findings.ends)) else ""


def _with_semicolons(source: str, ends: Sequence[int]) -> str:
    pieces = [source[start + 1 : end] for start, end in pairwise((-1, *ends, len(source)))]
    return ";".join(pieces)


def _objection(findings: Findings, source: str) -> str:
    encoded = source.encode()
    tree = _parse(encoded)
    if tree is None:
        return "it takes too long to parse"
    if tree.root_node.has_error:  # or something that is missing
        return "its syntax is not understood"
    seen = _Seen(tree, encoded)
    if seen.unknown:
        return f"it contains {seen.unknown.replace('_', ' ')!r}, which is not understood"
    offsets = _byte_offsets(source)
    agreed = (
        seen.commands == {offsets[start] for start in findings.commands}
        and seen.assignments == {offsets[start] for start in findings.assignments}
        and seen.substitutions
        == {(offsets[start], offsets[end]) for start, end in findings.substitutions}
    )
    return "" if agreed else "it can be read in two ways"


class _Seen:
    """Where the grammar sees what: offsets of bytes; `unknown` is a kind that is not listed."""

    def __init__(self, tree: Tree, source: bytes) -> None:
        found = QueryCursor(_query()).captures(tree.root_node)
        self.commands = {node.start_byte for node in found.get("command", ())}
        self.assignments = {node.start_byte for node in found.get("assignment", ())}
        # Blanks between two substitutions in a string are given to the second.
        self.substitutions = {
            (node.end_byte - len(source[node.start_byte : node.end_byte].lstrip()), node.end_byte)
            for node in found.get("substitution", ())
        }
        self.unknown = next((node.type for node in found.get("unknown", ())), "")


@cache
def _language() -> Language:
    return Language(tree_sitter_bash.language())


@cache
def _query() -> Query:
    """What is sought, and every kind of syntax that there is but for the known ones."""
    language = _language()
    kinds = range(language.node_kind_count)
    named = {language.node_kind_for_id(kind) for kind in kinds if _is_shown(language, kind)}
    sought = {**_SOUGHT, "unknown": sorted(filter(None, named - _KNOWN))}
    return Query(
        language,
        "\n".join(
            f"[{' '.join(f'({kind})' for kind in kinds)}] @{name}" for name, kinds in sought.items()
        ),
    )


def _is_shown(language: Language, kind: int) -> bool:
    return language.node_kind_is_named(kind) and language.node_kind_is_visible(kind)


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
