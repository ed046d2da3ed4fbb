"""Refuses files, classes and functions that are too large, banned names and silenced limits.

Owns the numbers of the house style that ruff does not count. Prints one line per offence.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TREES = ("src", "tests", "scripts", "demo", "bench")
MAX_LINES = 600
MAX_METHODS = 20
MAX_STATEMENTS = 40
BANNED_NAMES = ("utils", "helpers", "common", "misc", "manager", "service")
SILENCED = re.compile(
    r"#\s*(?:ruff:\s*)?noqa\b[^#]*\b(?:C901|PLR09(?:04|11|12|14|15|16)|PLR1702)\b"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(arguments: list[str]) -> int:
    trees = arguments or [os.path.join(ROOT, name) for name in TREES]
    offences = [
        offence for tree in trees for path in python_files(tree) for offence in check_file(path)
    ]
    for offence in offences:
        sys.stdout.write(offence + "\n")
    return 1 if offences else 0


def python_files(tree: str) -> Iterator[str]:
    for directory, _, names in sorted(os.walk(tree)):
        yield from (os.path.join(directory, name) for name in sorted(names) if name.endswith(".py"))


def check_file(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    lines = text.splitlines()
    name = os.path.basename(path).removesuffix(".py").strip("_")
    if name in BANNED_NAMES:
        yield f"{path}: the name {name!r} says nothing about what is inside"
    if len(lines) > MAX_LINES:
        yield f"{path}: {len(lines)} lines, at most {MAX_LINES}"
    for number, line in enumerate(lines, start=1):
        if SILENCED.search(line):
            yield f"{path}:{number}: limits of size and complexity are never silenced"
    for node in ast.walk(ast.parse(text, path)):
        yield from check_node(path, node)


def check_node(path: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        methods = sum(isinstance(part, Function) for part in node.body)
        if methods > MAX_METHODS:
            yield f"{path}:{node.lineno}: {node.name} has {methods} methods, at most {MAX_METHODS}"
    if isinstance(node, Function):
        count = statements(node)
        if count > MAX_STATEMENTS:
            yield f"{path}:{node.lineno}: {node.name} has {count} statements, at most {MAX_STATEMENTS}"


def statements(function: Function) -> int:
    """Statements inside, those of nested functions included, the docstring not."""
    inside = sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1
    return inside - (ast.get_docstring(function) is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
