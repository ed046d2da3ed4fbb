"""Read-only commands: what is typed all day passes, what a manual calls writing or running does not."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from crush.permissions.shell_script import Word
from tests.permissions.known_words import (
    ENTRIES,
    KNOWN,
    STOPPED,
    STRICT,
    expanding,
    refusal,
    static,
    words,
)

DATA = Path(__file__).parent / "data"
EVERYDAY = (DATA / "known_everyday.txt").read_text().splitlines()
HARMFUL = (DATA / "known_harmful.txt").read_text().splitlines()


# What is typed all day


def test_what_is_typed_all_day_is_known() -> None:
    refused = {line: reason for line in EVERYDAY if (reason := refusal(line))}
    assert refused == {}
    assert len(EVERYDAY) > 150


def test_what_writes_runs_fetches_or_tells_secrets_is_refused() -> None:
    assert [line for line in HARMFUL if not refusal(line)] == []
    assert len(HARMFUL) > 300


def test_a_refusal_says_in_one_line_what_is_wrong() -> None:
    assert refusal("sort -o a b") == "`sort -o` writes a file"
    assert refusal("sort -uo a b") == "`sort -o` writes a file"
    assert refusal("git log --output=x") == "`git log --output` writes a file"
    assert refusal("git push") == "`git push` is not a known read-only command"
    assert refusal("git remote add a b") == "`git remote add` is not a known read-only command"
    assert refusal("nc x") == "`nc` is not a known read-only command"
    assert refusal("./ls") == "`./ls` is a path, not the name of a known command"
    assert refusal("sort", expanding("$x")) == "`$x` may become an option of `sort`"
    assert refusal("tail -f x") == "`tail -f` does not end"
    assert all("\n" not in refusal(line) for line in HARMFUL)


def test_a_name_that_is_not_known_yet_or_is_a_path_is_refused() -> None:
    assert KNOWN.refusal([], cwd="/")
    assert KNOWN.refusal([expanding("$LS")], cwd="/")
    assert KNOWN.refusal([expanding("l?", "l", glob="l?")], cwd="/")
    for name in (
        "/bin/ls",
        "./ls",
        "bin/ls",
        "../ls",
        "//bin//ls",
        "LS",
        "Ls",
        "ls ",
        " ls",
        "",
        "\N{FULLWIDTH LATIN SMALL LETTER L}s",
    ):
        assert KNOWN.refusal([static(name)], cwd="/"), name


# Words that are not known before the shell expands them

OPEN = [
    expanding("$x"),
    expanding('"$x"', splits=False),
    expanding("*", glob="*"),
    expanding("*.txt", glob="*.txt"),
    expanding("?o*", glob="?o*"),
    expanding("{-o,PWN,a.txt}"),
    expanding("$(cat f)"),
    expanding("-$x", "-"),
    expanding('-"$x"', "-", splits=False),
    expanding("--$x", "--"),
    expanding("-[o]x", "-", glob="-[o]x"),
    expanding("a$x", "a"),
    expanding("a`cat f`", "a"),
]


def test_a_word_that_may_become_an_option_is_refused_in_every_strict_command() -> None:
    for name in STRICT:
        for word in OPEN:
            for before in ([], [static("a")], [static("a"), static("b")]):
                if before and name in STOPPED:
                    continue
                command = [*words(name), *before, word]
                assert KNOWN.refusal(command, cwd="/"), f"{name} … {word.raw}"


def test_a_word_that_may_become_an_option_passes_where_no_option_does_harm() -> None:
    for name in ("ls", "cat", "grep -n x", "wc -l", "head", "du -sh", "stat", "git rev-parse"):
        assert [word.raw for word in OPEN if refusal(name, word)] == []


@pytest.mark.parametrize(
    "word",
    [
        expanding('src/"$x"', "src/", splits=False),
        expanding("./*.txt", "./", glob="./*.txt"),
        expanding("src/{a,b}.txt", "src/"),
    ],
    ids=lambda word: word.raw,
)
def test_a_word_that_cannot_become_an_option_passes(word: Word) -> None:
    assert refusal("sort -u", word) == ""
    assert refusal("git log --oneline --", word) == ""


def test_behind_two_dashes_every_word_is_an_operand_where_the_program_says_so() -> None:
    assert refusal("sort -u --", *OPEN) == ""
    assert refusal("git diff --", *OPEN) == ""
    assert refusal("find -- . ", expanding("$x"))
    assert refusal("find . --", expanding("$x"))
    assert refusal("uniq --", expanding("*", glob="*")), "two files, and the second is written"
    assert refusal("sort -k -- -o x"), "the dashes are the value of -k"


def test_behind_the_script_of_awk_no_word_is_an_option() -> None:
    assert refusal("awk '{print $1}'", *OPEN) == ""
    assert refusal("awk 1 -f") == "", "every awk reads a file of that name"
    assert refusal("awk", *OPEN)
    assert refusal("awk -F:", *OPEN)


def test_a_pattern_may_be_the_value_of_a_listed_option() -> None:
    assert refusal("rg", expanding("--glob=*.py", "--glob=", glob="--glob=*.py"), static("x")) == ""
    assert refusal("rg", expanding('-g"*.$x"', "-g*.", splits=False), static("x")) == ""
    assert refusal("git log", expanding('-M"$x"', "-M", splits=False)) == "", "optional"
    assert refusal("sort", expanding('-k"$x"', "-k", splits=False), *words("-- -o f")), "empty?"
    assert refusal("sort", expanding("-k*", "-k", glob="-k*"), *words("-- -o f"))
    assert refusal("sort", expanding("-k{,1}", "-k"), *words("-- -o f"))
    assert refusal("rg x", expanding("-A$x", "-A")), "it may become two words"
    assert refusal("rg x", expanding('-A"$x"', "-A", splits=False)), "a number has to be seen"
    assert refusal("rg -g", expanding("*.py", glob="*.py"))
    assert refusal("rg", expanding('--gl"$x"', "--gl", splits=False))


# Places


def test_another_directory_for_git_is_inside_this_one(tmp_path: Path) -> None:
    inside, outside = tmp_path / "work", tmp_path / "outside"
    for path in (inside / "src", outside):
        path.mkdir(parents=True)
    (inside / "link").symlink_to(outside)
    cwd = str(inside)
    for good in ("src", ".", "./src", f"{inside}/src", "src/..", "not-there"):
        assert refusal(f"git -C {good} status", cwd=cwd) == "", good
    for bad in ("..", "/", str(outside), "link", "link/sub", "src/../..", f"{tmp_path}/workx"):
        assert refusal(f"git -C {bad} status", cwd=cwd), bad
    assert refusal("git -C src -C .. status", cwd=cwd), "the second starts from the first"
    assert KNOWN.refusal(
        [*words("git -C"), expanding('"$x"', splits=False), static("status")], cwd=cwd
    )


# Own grammars


@pytest.mark.parametrize(
    "line",
    [
        r"printf '%s\n' a",
        "printf -- '%d %5.2f %-10s %% %b %q %x' 1",
        "printf '%(%F)T' -1",
        r"printf '\x25n' PATH",
        "[ ]",
        "[ -f a ]",
        "[ ! -d a ]",
        "[ a = b -a -n c ]",
        "test 1 -lt 2",
        "test -z ''",
        "[[ -f a && ! -d b ]]",
        "[[ 3 -gt 2 ]]",
    ],
)
def test_a_builtin_that_only_prints_or_compares_passes(line: str) -> None:
    assert refusal(line) == ""


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("printf", [expanding('"$x"', splits=False)]),
        ("printf -v PATH x", []),
        ("printf -vPATH x", []),
        ("printf '%s%n' a PATH", []),
        ("printf '%-5ln' PATH", []),
        ("printf '%*n' 5 PATH", []),
        ("printf '%%%n' PATH", []),
        ("printf '%'", []),
        ("printf", []),
        ("test -v 'a[$(x)]'", []),
        ("test -R x", []),
        ("test ! -v x", []),
        ("test a -o -v 'b[$(x)]'", []),
        ("[ -f a", []),
        ("[ -f", [expanding("$x"), static("]")]),
        ("[", [expanding('"$x"', splits=False), expanding('"$y"', splits=False), static("]")]),
        ("[ a", [expanding('"$op"', splits=False), static("b"), static("]")]),
        (
            "[ a = b -a",
            [expanding('"$x"', splits=False), expanding('"$y"', splits=False), static("]")],
        ),
        ("test 'a[$(x)]' -eq 0", []),
        ("[[ -v x ]]", []),
        ("[[ a -eq b ]]", []),
        ("[[", [expanding("$n"), static("-gt"), static("3"), static("]]")]),
        ("[[ -f a", []),
        ("test 0 -lt 'x'", []),
        ("test", [expanding("$n"), static("-eq"), static("0")]),
        ("test a -a", [expanding('"$n"', splits=False), static("-eq"), static("0")]),
        ("command ls", []),
        ("command -p ls", []),
        ("command", [expanding('"$x"', splits=False)]),
        ("exit 'a[$(x)]'", []),
        ("exit 1 2", []),
    ],
)
def test_a_builtin_that_could_set_or_run_something_is_refused(line: str, more: list[Word]) -> None:
    assert refusal(line, *more)


def test_operands_of_a_comparison_may_be_open() -> None:
    open_word = expanding('"$x"', splits=False)
    for line in (
        [static("["), open_word, static("]")],
        [static("["), static("-f"), open_word, static("]")],
        [static("["), static("!"), static("-n"), open_word, static("]")],
        [static("["), open_word, static("="), open_word, static("]")],
        [static("["), expanding("$?"), static("-eq"), static("0"), static("]")],
        [
            *words("[["),
            expanding("$x"),
            static("=="),
            expanding("a*", "a", glob="a*"),
            static("]]"),
        ],
        [*words("command -v"), expanding("$c")],
        [*words("printf %s"), *OPEN],
        [*words("exit"), expanding("$?")],
    ):
        assert KNOWN.refusal(line, cwd="/") == "", [word.raw for word in line]


# The data


def test_every_entry_has_a_reason() -> None:
    assert [entry.name for entry in ENTRIES if len(entry.reason) < 5] == []
    assert set(KNOWN.names()) <= {entry.name for entry in ENTRIES}


def test_no_option_is_both_listed_and_called_harmful() -> None:
    for entry in ENTRIES:
        if entry.options != "any":
            assert set(entry.options.split()) & set(entry.harmful) == set(), entry.name


def test_builtins_are_told_from_programs() -> None:
    for name in (
        "cd",
        "echo",
        "test",
        "[",
        "printf",
        "pwd",
        "true",
        "false",
        "type",
        "command",
        ":",
    ):
        assert KNOWN.is_builtin(name), name
    for name in ("ls", "git", "sort", "curl", ""):
        assert not KNOWN.is_builtin(name), name


def test_programs_that_start_others_by_name_say_which() -> None:
    assert KNOWN.runs("egrep") == ["grep"]
    assert "gzip" in KNOWN.runs("tar")
    assert KNOWN.runs("go") == KNOWN.runs("kubectl") == ["*"]
    for name in ("ls", "git", "sort", "sed", "curl"):
        assert KNOWN.runs(name) == []


def test_a_decision_takes_a_tenth_of_a_millisecond() -> None:
    commands = [words(line) for line in EVERYDAY]
    best = min(_time_of(commands) for _ in range(5))
    assert best / len(commands) < 1e-4


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("sed", "s/" + "[a" * 20_000),
        ("sed", "{" * 20_000),
        ("awk", "1>" + "(" * 20_000),
        ("awk", "1>" + "(" * 3_900),
        ("jq", "env" * 20_000),
        ("printf", "%" * 20_000),
        ("printf", "%-" * 20_000),
    ],
)
def test_a_long_script_is_decided_in_20_milliseconds(name: str, script: str) -> None:
    command = [[static(name), static(script)]]
    assert KNOWN.refusal(command[0], cwd="/") or name == "jq"
    assert min(_time_of(command) for _ in range(5)) < 0.02


def _time_of(commands: Sequence[Sequence[Word]]) -> float:
    started = time.perf_counter()
    for command in commands:
        KNOWN.refusal(command, cwd="/srv/project")
    return time.perf_counter() - started
