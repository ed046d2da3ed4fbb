"""Scripts of sed, awk and jq that pass, run by the programs themselves: they leave nothing behind."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crush.permissions.known_scripts import awk_only_prints, jq_only_prints, sed_only_prints

AWKS = [name for name in ("mawk", "gawk", "original-awk", "busybox") if shutil.which(name)]
TEXT = "a/b]c,d\nx]y/w evil\n[1]\n"


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A directory that stays as it is unless a script does more than print."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "in").write_text(TEXT)
        yield Path(name)


def run(command: Sequence[str], ground: Path) -> None:
    """Whether the script is valid is nothing to us, only what is there afterwards."""
    subprocess.run(
        command,
        cwd=ground,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=10,
    )
    assert os.listdir(ground) == ["in"], command
    assert (ground / "in").read_text() == TEXT


# Made of what delimits, brackets, escapes and does harm, so that readings that differ show.
SED_PIECES = [
    *(
        "s/",
        "s,",
        "s|",
        "/",
        ",",
        "|",
        "[",
        "]",
        "[^",
        "[[:alpha:]",
        "\\",
        "\\/",
        "\\]",
        "\\n",
        "x",
        "]",
    ),
    *(
        "w evil",
        "e touch evil",
        "e",
        "g",
        "p",
        ";",
        "\n",
        "{",
        "}",
        "1",
        "$",
        "!",
        "~2",
        "+1",
        "I",
        "/w evil",
    ),
    *("d", "q", "n", "&", "*", " ", "y/", "r in", "W evil", "s/[]", "s,[^],", "a\\", "#", "c"),
]
AWK_PIECES = [
    *(
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "print ",
        "printf ",
        "$1",
        "1",
        "x",
        '"evil"',
        '"',
        "/",
        "/x/",
        "/[/]/",
    ),
    *(
        ">",
        ">>",
        "|",
        "||",
        '| "sh"',
        ' > "evil"',
        '"touch evil"',
        ",",
        ";",
        "\n",
        "~",
        "!",
        "=",
        ">=",
        "\\",
    ),
    *(
        "NR",
        " ",
        "-",
        "++",
        "?",
        ":",
        "BEGIN",
        "/[",
        "]/",
        "#",
        "if (",
        "in ",
        "length ",
        "&&",
        "/=",
    ),
]


@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pieces=st.lists(st.sampled_from(SED_PIECES), min_size=1, max_size=12))
def test_no_script_of_sed_that_passes_leaves_anything_behind(
    ground: Path, pieces: list[str]
) -> None:
    script = "".join(pieces)
    for options in (("-n",), ("-E",)):
        if sed_only_prints(script):
            run(["sed", *options, script, "in"], ground)


@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pieces=st.lists(st.sampled_from(AWK_PIECES), min_size=1, max_size=12))
def test_no_script_of_awk_that_passes_leaves_anything_behind(
    ground: Path, pieces: list[str]
) -> None:
    script = "".join(pieces)
    if awk_only_prints(script) and "while" not in script:
        for name in AWKS:
            run([*([name, "awk"] if name == "busybox" else [name]), script, "in"], ground)


SUBSTITUTION = st.lists(
    st.sampled_from(
        ["[", "]", "[^", "]a", "x", "/", ",", ";", "s", "w evil", "\\", "p", "\\]", "[:x:]"]
    ),
    max_size=7,
).map("".join)


@settings(
    max_examples=600,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(parts=st.lists(SUBSTITUTION, min_size=4, max_size=4))
def test_two_substitutions_of_sed_are_the_two_that_were_judged(
    ground: Path, parts: list[str]
) -> None:
    """One that begins in a bracket of the other: `s/[]/x/;s,]/y/w evil,z,`."""
    script = f"s/{parts[0]}/{parts[1]}/;s,{parts[2]},{parts[3]},"
    if sed_only_prints(script):
        run(["sed", script, "in"], ground)


def test_what_would_write_does_write_when_it_runs(ground: Path) -> None:
    """The ground of the tests above notices."""
    for command in (
        ["sed", "s/[]/x/;s,]/c/w evil,z,", "in"],
        ["sed", "-n", "1e touch evil", "in"],
        *([name, '{print "x" > "evil"}', "in"] for name in AWKS if name != "busybox"),
        *([name, '{print "touch evil" | "sh"}', "in"] for name in AWKS if name != "busybox"),
    ):
        with pytest.raises(AssertionError):
            run(command, ground)
        for name in set(os.listdir(ground)) - {"in"}:
            (ground / name).unlink()


@pytest.mark.parametrize(
    "script",
    [
        "",
        ".",
        ".env",
        ".a.env",
        ".environment",
        ".a | .env | length",
        'to_entries[] | "\\(.key)=\\(.value)"',
        ".include",
        ".a // empty",
    ],
)
def test_a_filter_of_jq_may_name_fields(script: str) -> None:
    assert jq_only_prints(script)


@pytest.mark.parametrize(
    "script",
    [
        *(
            "env",
            "$ENV",
            "env.PATH",
            ".a|env",
            "[env]",
            '"\\(env)"',
            "..env",
            "(env)",
            "$ENV.X",
            "{env}",
        ),
        *(
            'import "a" as a; .',
            'include "a"; .',
            ".a, env",
            "-env",
            "@text env",
            ".a\nenv",
            "env?",
            "reduce env as $x",
        ),
    ],
)
def test_a_filter_of_jq_never_shows_the_environment(script: str) -> None:
    assert not jq_only_prints(script)
