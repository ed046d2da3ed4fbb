"""What the readers say, held against the bash of this machine.

Generated scripts run in a directory of their own with no PATH to find a program on: bash hands
each command that it would start to a function, which writes its words down. No script has a slash
in it, so that none writes anywhere else.
"""

import os
import shutil
import subprocess
import tempfile

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from crush.permissions.shell_script import Assignment, Command, Redirect, Script, Unclear
from crush.permissions.shell_syntax import parse_script

BASH = shutil.which("bash") or ""
pytestmark = pytest.mark.skipif(not BASH, reason="there is no bash")

PREAMBLE = r"""
exec 9>>"$LOG"
command_not_found_handle() {
    builtin printf '%s\0' "$#" "$@" >&9
    case $1 in f*) return 1;; esac
}
trap 'builtin printf "variable\0%s\0" $(builtin compgen -v v) >&9' EXIT
"""


class Ran(Struct, frozen=True):
    """What bash did with a script."""

    commands: frozenset[tuple[str, ...]]
    variables: frozenset[str]
    files: frozenset[str]


def run(script: str) -> Ran | None:
    """Run it; None if it does not end."""
    with tempfile.TemporaryDirectory() as place:
        work, log, start = (os.path.join(place, name) for name in ("work", "log", "start"))
        os.mkdir(work)
        with open(start, "w", encoding="utf-8") as stream:
            stream.write(PREAMBLE)
        with open(os.path.join(work, "i0"), "w", encoding="utf-8") as stream:
            stream.write("read by some\n")
        environment = {
            "BASH_ENV": start,
            "LOG": log,
            "PATH": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            "HOME": "~",
        }
        try:
            subprocess.run(
                [BASH, "--norc", "--noprofile", "-c", "--", script],
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=2,
            )
        except subprocess.TimeoutExpired:
            return None
        with open(log, encoding="utf-8", errors="surrogateescape") as stream:
            commands, variables = _read_log(stream.read())
        return Ran(commands, variables, frozenset(os.listdir(work)) - {"i0"})


def _read_log(log: str) -> tuple[frozenset[tuple[str, ...]], frozenset[str]]:
    fields = log.split("\0")[:-1]
    commands: set[tuple[str, ...]] = set()
    variables: set[str] = set()
    while fields:
        head = fields.pop(0)
        if head == "variable":
            variables.add(fields.pop(0))
            continue
        count = int(head)
        commands.add(tuple(fields[:count]))
        del fields[:count]
    return frozenset(commands), frozenset(variables - {""})


def is_clear(script: Script) -> bool:
    return not any(isinstance(part, Unclear) for part in script.parts)


def unforeseen(script: Script, ran: Ran) -> list[object]:
    """What bash did and no part says."""
    exact: set[tuple[str | None, ...]] = set()
    loose: set[str | None] = set()
    for part in script.parts:
        if isinstance(part, Command):
            words = tuple(word.text for word in part.words)
            exact.add(words)
            while words[0] == "time":  # whoever judges sees what it measures among its words
                words = words[1:] or (None,)
            if None in words:
                loose.add(words[0])
            else:
                exact.add(words)
    targets = {part.target.text for part in script.parts if isinstance(part, Redirect)}
    names = {part.name for part in script.parts if isinstance(part, Assignment)}
    wrong: list[object] = [
        command for command in ran.commands if command not in exact and command[0] not in loose
    ]
    wrong += [name for name in ran.files if None not in targets and name not in targets]
    return wrong + [name for name in ran.variables if name not in names]


def test_bash_tells_what_it_ran_assigned_and_wrote() -> None:
    ran = run("v0=1 t0 'a b'; v1=2; t1 $(f0) | { t2 >o0; }")
    assert ran is not None
    assert ran.commands == {("t0", "a b"), ("f0",), ("t1",), ("t2",)}
    assert ran.variables == {"v1"}
    assert ran.files == {"o0"}
    assert unforeseen(parse_script("t0 'a b'"), ran) != []


# Words whose value is known: every spelling that quote removal knows.

ANSI_C_PIECES = r"""a é " \n \t \x41 \x4 \101 \7 \cA \cz \u41 \u0042 \U43 \' \" \\ \e \E \? \a \v"""
PLAIN_CHARACTERS = "abz019_/+-.,:=@%^!#{}[]~é"
SEGMENTS = st.one_of(
    st.text(PLAIN_CHARACTERS, min_size=1, max_size=4),
    st.text(PLAIN_CHARACTERS + ' \n\\"$`*?;&|<>()', max_size=5).map(lambda text: f"'{text}'"),
    st.text(PLAIN_CHARACTERS + " \n'*?;&|<>()", max_size=5).map(lambda text: f'"{text}"'),
    st.sampled_from(
        ['"\\$"', '"\\`"', '"\\""', '"\\\\"', '"\\a"', '"$"', '"a$ "', '""', "''", "$"]
    ),
    st.characters(min_codepoint=32, max_codepoint=126).map(lambda character: f"\\{character}"),
    st.lists(
        st.sampled_from([*ANSI_C_PIECES.split(), " "]),
        max_size=4,
    ).map(lambda pieces: f"$'{''.join(pieces)}'"),
)
WORDS = st.lists(SEGMENTS, min_size=1, max_size=4).map("".join)


def known_value(word: str) -> str | None:
    script = parse_script(f"c {word}")
    match script.parts:
        case (Command(words=(_, argument)),):
            return argument.text
        case _:
            return None


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(WORDS, min_size=30, max_size=60))
def test_a_known_value_is_what_bash_makes_of_the_word(words: list[str]) -> None:
    known = {word: value for word in words if (value := known_value(word)) is not None}
    assume(known)
    with tempfile.TemporaryDirectory() as place:
        made = subprocess.run(
            [BASH, "--norc", "--noprofile", "-c", "printf '%s\\0' " + " ".join(known)],
            cwd=place,
            env={"HOME": "~", "PATH": "", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=10,
        )
    assert dict(zip(known, made.stdout.decode().split("\0"), strict=False)) == known


# Scripts that are understood whole.

NAMES = st.sampled_from(["t0", "t1", "f0", "f1", "'t'2", "\\t3", '"f"2', "t$'4'", "t-é"])
TARGETS = st.sampled_from(["o0", "o1", "'o 2'", "o\\ 3"])
ARGUMENTS = st.one_of(
    NAMES,
    TARGETS,
    st.sampled_from(["-x", "a=b", "if", "}", "done", "[", "'$(t9)'", "'`t9`'", "a#b", "é", '"\n"']),
    st.sampled_from(["$v0", '"${v1}"', "*", "{a,b}", "$((1+2))", '"$@"', "~", "a{b}", "!", "in"]),
)
REDIRECTS = st.one_of(
    st.tuples(st.sampled_from([">", ">>", ">|", "2>", "&>", "> ", "<>"]), TARGETS).map("".join),
    st.sampled_from(["2>&1", "2>&-", "<i0", "<<< t9", "<<<'$(t9)'"]),
)
ASSIGNMENTS = st.sampled_from(["v0=1", "v1='t9 t9'", "v2=", "v0+=x", "v1=$v0", "v2=a{b", "v0=~"])
BLANKS = st.sampled_from([" ", "  ", "\t", " \\\n", " \\\n  "])


@st.composite
def simple_commands(draw: st.DrawFn) -> str:
    before = draw(st.lists(st.one_of(ASSIGNMENTS, REDIRECTS), max_size=2))
    after = draw(st.lists(st.one_of(ARGUMENTS, REDIRECTS), max_size=4))
    return draw(BLANKS).join([*before, draw(NAMES), *after])


TEMPLATES = st.sampled_from(
    [
        "%s",
        "%s\n%s",
        "%s; %s &",
        "%s && %s",
        "%s || %s # t9\n",
        "%s | %s",
        "%s |& %s",
        "( %s\n)",
        "{ %s\n} >o4",
        "! %s",
        't0 "a$(%s\n)b" x',
        "v2=$(%s\n) t1",
        "t0 <(%s\n) x",
        "t0 `%s\n` x",
        "if %s\nthen %s\nelse t5\nfi",
        "for v3 in a 'b c'; do %s\ndone",
        "while t0; do %s\nbreak; done 2>o5",
        "case a in b) t9;; (a|c) %s\n;; esac",
        "[[ -n a && b == 'b' ]] && %s",
        "t0 <<'E' && %s\n$(t9)\nt9 `t9`\\\nE\n",
        "t0 <<-E\n\tt9 ) ' \"\n\tE\n%s",
        "export v4=%s\n",
    ]
)


@st.composite
def nested(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    template = draw(TEMPLATES)
    return template % tuple(draw(inner) for _ in range(template.count("%s")))


SCRIPTS = st.recursive(simple_commands(), nested, max_leaves=5)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCRIPTS)
def test_bash_does_nothing_that_no_part_of_a_generated_script_says(text: str) -> None:
    script = parse_script(text)
    assume(is_clear(script))
    ran = run(text)
    assert ran is not None
    assert unforeseen(script, ran) == []


INSERTED = (
    "' \" \\ \n ; & | < > ( ) { } $ ` # ! = [ ] t6 \\\n <<E\n \nE\n $( ${ (( ;; \t * , + 0 1 @   "
)
INSERTED_WITH_BLANKS = [" ", "[[ ", " ]]", " if ", " do ", " in ", "time "]
MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from([*INSERTED.split(" "), *INSERTED_WITH_BLANKS]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=4,
)


def mutated(text: str, mutations: list[tuple[int, str, int]]) -> str:
    for where, insert, remove in mutations:
        at = where % (len(text) + 1)
        text = text[:at] + insert + text[at + remove :]
    return text


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCRIPTS, MUTATIONS)
def test_bash_does_nothing_that_no_part_of_a_damaged_script_says(
    text: str, mutations: list[tuple[int, str, int]]
) -> None:
    text = mutated(text, mutations)
    script = parse_script(text)
    assume(is_clear(script))
    ran = run(text)
    assume(ran is not None)
    assert ran is not None
    assert unforeseen(script, ran) == []
