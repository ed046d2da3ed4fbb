"""Options that do harm, in every spelling that a program would take: none passes.

The tables are written from the manuals of the programs, not from the data that they check.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

SUBCOMMANDED = {"git", "docker", "kubectl", "pip", "npm", "apt", "systemctl"}

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


LISTED = sorted({name for entry in ENTRIES for name in entry.options.split() if name[0] == "-"})
texts = (
    st.text(alphabet="-=oOxeruT,/ab$*\n ", max_size=6)
    | st.sampled_from(
        ["--", "-", "-o", "-oPWN", "--output=PWN", "a", "-k", "-k1", "-n", "-c", "-f"]
    )
    | st.sampled_from(LISTED)
).map(static)


@given(
    name=st.sampled_from(STRICT),
    before=st.lists(texts, max_size=4),
    more=st.lists(texts, max_size=3),
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
