"""Bash's reserved words: which may follow in which compound command, and the builtins that assign."""

# (innermost open block, word): the block that takes its place, or "" where that block ends.
FOLLOWING = {
    ("if", "then"): "then",
    ("then", "elif"): "if",
    ("then", "else"): "else",
    ("then", "fi"): "",
    ("else", "fi"): "",
    ("while", "do"): "do",
    ("do", "done"): "",
    ("{", "}"): "",
    ("case", "esac"): "",
}
OPENING = {"if": "if", "while": "while", "until": "while", "{": "{"}
UNSUPPORTED = frozenset({"coproc", "select"})
RESERVED = (
    frozenset(word for _, word in FOLLOWING)
    | frozenset(OPENING)
    | UNSUPPORTED
    | {"case", "for", "function", "[[", "!"}
)

DECLARING = frozenset({"declare", "export", "local", "readonly", "typeset"})
# Options with which a declaration only gives values; others compute, refer or make arrays.
PLAIN_DECLARATION_OPTIONS = frozenset({"--", "-g", "-p", "-r", "-x"})

# Operators of `[[ ]]` that compare strings or ask about a file, and nothing else.
PLAIN_TESTS = frozenset(
    [
        "-b",
        "-c",
        "-d",
        "-e",
        "-f",
        "-g",
        "-h",
        "-k",
        "-n",
        "-nt",
        "-ot",
        "-ef",
        "-p",
        "-r",
        "-s",
        "-u",
        "-w",
        "-x",
        "-z",
        "-G",
        "-L",
        "-N",
        "-O",
        "-S",
    ]
)
