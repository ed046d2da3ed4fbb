"""Read-only commands: what is typed all day passes, what a manual calls writing or running does not."""

import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.permissions.known_commands import KnownCommands
from crush.permissions.shell_script import Word

KNOWN = KnownCommands.load()
ENTRIES = KNOWN.entries()
# The first operand ends the options.
STOPPED = {"awk", "gawk", "mawk", "nawk"}
SUBCOMMANDED = {"git", "docker", "kubectl", "pip", "npm", "apt", "systemctl"}
DATA = Path(__file__).parent / "data"
EVERYDAY = (DATA / "known_everyday.txt").read_text().splitlines()
HARMFUL = (DATA / "known_harmful.txt").read_text().splitlines()


def static(text: str) -> Word:
    return Word(raw=shlex.quote(text), text=text, prefix=text)


def expanding(raw: str, prefix: str = "", *, splits: bool = True, glob: str = "") -> Word:
    return Word(raw=raw, text=None, prefix=prefix, splits=splits, glob=glob)


def words(line: str) -> list[Word]:
    return [static(text) for text in shlex.split(line)]


def refusal(line: str, *more: Word, cwd: str = "/srv/project") -> str:
    return KNOWN.refusal([*words(line), *more], cwd=cwd)


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
    assert refusal("curl x") == "`curl` is not a known read-only command"
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


# Options in all spellings: the tables are written from the manuals

WITH_VALUE = {
    "sort a": (
        "-o",
        "-T",
        "--output",
        "--temporary-directory",
        "--compress-program",
        "--files0-from",
    ),
    "uniq a": ("--output",),
    "sed -n p a": ("-f", "--file", "-i", "-I", "--in-place"),
    "awk 1 a": (
        "-f",
        "--file",
        "-i",
        "--include",
        "-l",
        "--load",
        "-o",
        "-p",
        "-d",
        "-E",
        "-e",
        "-D",
    ),
    "jq . a": ("-f", "--from-file", "-L", "-i"),
    "base64 a": ("-o", "--output", "-i", "--input"),
    "iconv -f a": ("-o", "--output"),
    "shuf a": ("-o", "--output"),
    "tree a": ("-o", "-R", "-H", "--output"),
    "fd a": ("-x", "-X", "--exec", "--exec-batch", "-l", "--list-details"),
    "rg a": ("--pre", "--hostname-bin", "-z", "--search-zip"),
    "file a": ("-C", "--compile", "-m", "--magic-file", "-z", "-Z", "--uncompress"),
    "tar -tf a": (
        *("-I", "-F", "-x", "-c", "-r", "-u", "-A", "--use-compress-program", "--to-command"),
        *(
            "--checkpoint-action",
            "--info-script",
            "--new-volume-script",
            "--rsh-command",
            "--rmt-command",
        ),
        *("--index-file", "--delete", "--extract", "--create", "--append", "--update", "--get"),
    ),
    "unzip -l a": ("-d", "-o", "-x", "-n"),
    "date": ("-s", "--set", "-f", "--file"),
    "hostname": ("-F", "--file", "-b", "--boot"),
    "ss -t": ("-K", "--kill", "-D", "--diag", "-E", "--events", "-F", "--filter"),
    "dmesg": (
        "-C",
        "-c",
        "-D",
        "-E",
        "-n",
        "--clear",
        "--read-clear",
        "--console-off",
        "--console-level",
    ),
    "sysctl a.b": ("-w", "-p", "--write", "--load", "--system", "-f"),
    "journalctl": (
        *(
            "-f",
            "--follow",
            "--vacuum-size",
            "--vacuum-time",
            "--rotate",
            "--flush",
            "--cursor-file",
        ),
        *("-D", "--directory", "-M", "--machine", "--setup-keys", "--update-catalog"),
    ),
    "systemctl status a": ("-H", "--host", "-M", "--machine", "--root", "--now", "--signal"),
    "dpkg -l": (
        "-i",
        "--install",
        "-r",
        "-P",
        "--pre-invoke",
        "--post-invoke",
        "--root",
        "--admindir",
    ),
    "apt list": ("-o", "--option", "-c", "--config-file"),
    "rpm -q a": (
        "-E",
        "-D",
        "--eval",
        "--define",
        "--pipe",
        "-p",
        "-e",
        "-U",
        "--rcfile",
        "--root",
    ),
    "pip list": (
        "--python",
        "--log",
        "--index-url",
        "-i",
        "--outdated",
        "-o",
        "--proxy",
        "--cache-dir",
    ),
    "npm -v": ("--prefix", "--registry", "--userconfig", "--script-shell", "--node-options"),
    "docker ps": ("-H", "--host", "-c", "--context", "--config"),
    "docker logs a": ("-f", "--follow"),
    "kubectl get pods": (
        "--kubeconfig",
        "-w",
        "--watch",
        "--raw",
        "-f",
        "--filename",
        "-s",
        "--server",
    ),
    "git log": ("--output", "--ext-diff", "--textconv", "-O", "--show-signature", "-o", "--exec"),
    "git diff": ("--output", "--ext-diff", "--textconv", "-O", "-o"),
    "git show": ("--output", "--ext-diff", "--textconv", "-O", "--show-signature"),
    "git rev-list HEAD": ("--output", "-O", "--ext-diff"),
    "git shortlog": ("--output", "-O"),
    "git blame a": ("--output", "--textconv", "--contents"),
    "git grep a": ("-O", "--open-files-in-pager", "--textconv", "--ext-grep", "--output"),
    "git cat-file -p HEAD": ("--textconv", "--filters", "--output"),
    "git stash show": ("--output", "--ext-diff", "-O"),
    "git stash list": ("--output", "--ext-diff", "-O"),
    "git reflog show": ("--output", "--expire", "-O"),
    "git diff-tree HEAD": ("--output", "--ext-diff", "-O"),
    "git diff-files": ("--output", "--ext-diff", "-O"),
    "git diff-index HEAD": ("--output", "--ext-diff", "-O"),
    "git range-diff a b": ("--output", "--ext-diff", "-O"),
    "git branch": (
        *(
            "-d",
            "-D",
            "-m",
            "-M",
            "-f",
            "-u",
            "-t",
            "-c",
            "-C",
            "--delete",
            "--move",
            "--copy",
            "--force",
        ),
        *(
            "--set-upstream-to",
            "--unset-upstream",
            "--edit-description",
            "--track",
            "--create-reflog",
        ),
    ),
    "git tag": (
        "-d",
        "-v",
        "-a",
        "-s",
        "-f",
        "-F",
        "-m",
        "-u",
        "--delete",
        "--verify",
        "--sign",
        "--edit",
    ),
    "git config --list": (
        *(
            "-e",
            "-f",
            "--edit",
            "--file",
            "--add",
            "--unset",
            "--unset-all",
            "--replace-all",
            "--blob",
        ),
        *("--rename-section", "--remove-section"),
    ),
    "git symbolic-ref HEAD": ("-d", "-m", "--delete"),
    "git worktree list": ("-f", "--force"),
}
WHOLE_WORDS = {
    "find . -name a": (
        "-exec",
        "-execdir",
        "-ok",
        "-okdir",
        "-delete",
        "-fprint",
        "-fprint0",
        "-fprintf",
        "-fls",
    ),
    "xxd a": ("-r", "-revert", "--revert", "-rp", "-R"),
    "git": (
        "-c",
        "--config-env",
        "--exec-path",
        "--git-dir",
        "--work-tree",
        "-p",
        "--paginate",
        "--namespace",
    ),
    "ip": ("-b", "-batch", "-n", "-netns", "-force"),
    "python3 -V": ("-c", "-m", "-i", "-W", "-X", "-"),
    "node -v": ("-e", "-p", "-r", "--eval", "--require", "--import"),
    "go env": ("-w", "-u", "-C", "-toolexec"),
    "gcc --version": ("-o", "-fplugin=x", "-wrapper", "-B", "-specs=x", "@x"),
    "make --version": ("-f", "-n", "-p", "--eval=x", "-C"),
    "ssh -V": ("-o", "-F", "-S", "host"),
}


def spellings(option: str, line: str) -> Iterator[tuple[str, list[Word]]]:
    """A command with a harmful option, in each way in which a program would take it for that."""
    attached = f"{option}=PWN" if option.startswith("--") else f"{option}PWN"
    yield "alone", [static(option)]
    yield "with a value", [static(option), static("PWN")]
    yield "with an attached value", [static(attached)]
    yield "with something open", [static(option), expanding("$x")]
    yield "attached to something open", [expanding(f"{attached}$x", attached)]
    yield "as a glob", [expanding(f"{option}*", option, glob=f"{option}*")]
    if option.startswith("--"):
        for length in range(3, len(option)):
            if not is_listed(option[:length], line):
                yield f"abbreviated to {length}", [static(option[:length]), static("PWN")]
                yield f"abbreviated to {length}, attached", [static(f"{option[:length]}=PWN")]


def placed(line: str, spelling: list[Word]) -> Iterator[list[Word]]:
    """Before and behind the operands; before a subcommand other options count."""
    base = words(line)
    name = base[0].text
    if name not in SUBCOMMANDED:
        yield [base[0], *spelling, *base[1:]]
    if name not in STOPPED:
        yield [*base, *spelling]


def is_listed(name: str, line: str) -> bool:
    """An abbreviation may be a listed option: `--exclude` of `--exclude-from`."""
    return any(name in entry.options.split() for entry in ENTRIES if line.startswith(entry.name))


@pytest.mark.parametrize("line", WITH_VALUE)
def test_a_harmful_option_is_refused_in_every_spelling(line: str) -> None:
    assert refusal(line) == "", "the command itself has to be known, or this shows nothing"
    for option in WITH_VALUE[line]:
        for how, spelling in spellings(option, line):
            for command in placed(line, spelling):
                assert KNOWN.refusal(command, cwd="/"), f"{how}: {[word.raw for word in command]}"


@pytest.mark.parametrize("line", WHOLE_WORDS)
def test_a_harmful_word_is_refused_wherever_it_stands(line: str) -> None:
    base = words(line)
    for option in WHOLE_WORDS[line]:
        for at in range(1, len(base) + 1):
            for behind in ([], [static("PWN")], [static("PWN"), static(";")], [expanding("$x")]):
                command = [*base[:at], static(option), *behind, *base[at:]]
                assert KNOWN.refusal(command, cwd="/"), [word.raw for word in command]


def test_a_harmful_letter_is_refused_behind_every_flag_of_a_cluster() -> None:
    """Unless the flag takes the rest as its value, as programs do too."""
    for line, flag, option in clusters():
        for command in placed(line, [static(f"{flag}{option[1:]}"), static("PWN")]):
            passed = not KNOWN.refusal(command, cwd="/")
            assert not passed or takes_value(line, flag), f"{line} {flag}{option}"


def clusters() -> Iterator[tuple[str, str, str]]:
    """Each harmful letter behind each listed one of the same command."""
    entries = {entry.name: entry for entry in ENTRIES}
    for line, options in WITH_VALUE.items():
        starts = [" ".join(line.split()[:count]) for count in (3, 2, 1)]
        entry = next(entries[start] for start in starts if start in entries)
        for flag in entry.options.split():
            if len(flag) == 2 and flag != "-#":
                yield from ((line, flag, option) for option in options if len(option) == 2)


def takes_value(line: str, flag: str) -> bool:
    """Whether a text passes behind it although no listed option has such a letter."""
    commands = placed(line, [static(f"{flag}\N{SNOWMAN}")])
    return any(not KNOWN.refusal(command, cwd="/") for command in commands)


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
OWN_GRAMMAR = {"test", "[", "[[", "printf", "command", "exit"}
STRICT = [
    entry.name for entry in ENTRIES if entry.options != "any" and entry.name not in OWN_GRAMMAR
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
    assert refusal("rg", expanding('-g"$x"', "-g", splits=False), static("x")) == ""
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
        ("test", [expanding('"$n"', splits=False), static("-eq"), static("0")]),
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


def _time_of(commands: Sequence[Sequence[Word]]) -> float:
    started = time.perf_counter()
    for command in commands:
        KNOWN.refusal(command, cwd="/srv/project")
    return time.perf_counter() - started


letters = st.text(alphabet="-=oOxeruT,/ab$*\n ", max_size=6)


@given(
    name=st.sampled_from(STRICT),
    before=st.lists(letters.map(static), max_size=4),
    more=st.lists(letters.map(static), max_size=3),
)
def test_no_words_make_it_fail_and_an_open_word_never_makes_it_easier(
    name: str, before: list[Word], more: list[Word]
) -> None:
    """What passes with a word of which only the beginning is known passes with every such word."""
    line = words(name)
    for place, word in enumerate(before):
        text = word.text or ""
        for cut in range(len(text) + 1):
            vague = Word(raw=f'{text[:cut]}"$x"', text=None, prefix=text[:cut])
            loose = [*line, *before[:place], vague, *before[place + 1 :], *more]
            if not KNOWN.refusal(loose, cwd="/"):
                assert not KNOWN.refusal([*line, *before, *more], cwd="/")
