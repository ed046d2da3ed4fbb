"""`crush completion SHELL`: completion scripts, made from the command table.

A script is complete in itself: pressing Tab starts no Python. All three find the command among the
words before the cursor, then offer its options, its sub-commands or its fixed words.
"""

import sys
from collections.abc import Iterator

from crush.cli.options import Command, Option, Parsed, names_of
from crush.cli.table import COMMANDS, SHARED
from crush.errors import Exit, UsageError

SHELLS = ("bash", "zsh", "fish")
_WORDS = {"completion": SHELLS, "models install": ("local",)}


def main(parsed: Parsed) -> int:
    if len(parsed.words) != 1 or parsed.words[0] not in SHELLS:
        raise UsageError(f"say which shell: {', '.join(SHELLS)}")
    sys.stdout.write(script(parsed.words[0]))
    return Exit.OK


def script(shell: str) -> str:
    """The script for one of `SHELLS`."""
    writers = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    return "\n".join(writers[shell]()) + "\n"


# -- what all of them need ------------------------------------------------------------------------


def _options(command: Command) -> list[Option]:
    return [*(o for o in command.options if o.key not in command.hidden), *SHARED]


def _every_option() -> list[Option]:
    """Each once, although several commands have it."""
    every = [option for command in COMMANDS for option in _options(command)]
    return list({option.names: option for option in every}.values())


def _steps() -> Iterator[tuple[str, str, str]]:
    """How a word leads from one command to the next: ("", "s", "session")."""
    for command in COMMANDS:
        for name in names_of(command):
            group, _, word = name.rpartition(" ")
            if word:
                yield group, word, command.name


def _members(command: Command) -> list[tuple[str, str]]:
    """What can follow a command, with a description: sub-commands and fixed words."""
    found = [
        (member.name.rpartition(" ")[2], member.summary)
        for member in COMMANDS
        if member.name and member.name.rpartition(" ")[0] == command.name
    ]
    return [*found, *((word, "") for word in _WORDS.get(command.name, ()))]


def _files_of(option: Option) -> str:
    return {"DIR": "directories", "FILE": "files"}.get(option.value, "")


# -- bash -----------------------------------------------------------------------------------------


def _bash() -> Iterator[str]:
    valued = "|".join(name for o in _every_option() if o.value for name in o.names)
    yield """\
# crush completion for bash: eval "$(crush completion bash)"
_crush() {
  local IFS=$'\\n' cur="${COMP_WORDS[COMP_CWORD]}" command="" skip="" word i
  local prev="${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    if [[ $skip ]]; then skip=""; continue; fi
    case "$word" in"""
    yield f"      {valued}) skip=1 ;;"
    yield """\
      -*) ;;
      *) case "$command/$word" in"""
    for group, word, name in _steps():
        yield f'        "{group}/{word}") command="{name}" ;;'
    yield """\
      esac ;;
    esac
  done
  case "$prev" in"""
    for option in _every_option():
        if option.value:
            yield f"    {'|'.join(option.names)}) {_bash_value(option)}return ;;"
    yield """\
  esac
  case "$command" in"""
    for command in COMMANDS:
        options = " ".join(name for o in _options(command) for name in o.names)
        words = " ".join(word for word, _ in _members(command))
        yield f'    "{command.name}") if [[ $cur == -* ]]; then _crush_offer {options}'
        yield f"      else _crush_offer {words}; fi ;;".replace("offer ;", "offer;")
    yield """\
  esac
}
_crush_offer() {
  COMPREPLY=($(compgen -W "$*" -- "$cur"))
}
complete -F _crush crush"""


def _bash_value(option: Option) -> str:
    if option.choices:
        return f"_crush_offer {' '.join(option.choices)}; "
    if kind := _files_of(option):
        flag = "-d" if kind == "directories" else "-f"
        return f'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen {flag} -- "$cur")); '
    return ""


# -- zsh ------------------------------------------------------------------------------------------


def _zsh() -> Iterator[str]:
    valued = "|".join(name for o in _every_option() if o.value for name in o.names)
    yield """\
#compdef crush
# crush completion for zsh: eval "$(crush completion zsh)", or a file `_crush` in $fpath
_crush() {
  local command="" skip="" word i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    word="$words[i]"
    if [[ -n $skip ]]; then skip=""; continue; fi
    case "$word" in"""
    yield f"      ({valued}) skip=1 ;;"
    yield """\
      (-*) ;;
      (*) case "$command/$word" in"""
    for group, word, name in _steps():
        yield f'        ("{group}/{word}") command="{name}" ;;'
    yield """\
      esac ;;
    esac
  done
  case "$words[CURRENT-1]" in"""
    for option in _every_option():
        if option.value:
            yield f"    ({'|'.join(option.names)}) {_zsh_value(option)}return ;;"
    yield """\
  esac
  case "$command" in"""
    for command in COMMANDS:
        options = [(name, o.help) for o in _options(command) for name in o.names]
        yield f'    ("{command.name}") if [[ $PREFIX == -* ]]; then found=({_described(options)})'
        yield f"      else found=({_described(_members(command))}); fi ;;"
    yield """\
  esac
  _describe crush found
}
if [[ $funcstack[1] == _crush ]]; then _crush "$@"; else compdef _crush crush; fi"""


def _zsh_value(option: Option) -> str:
    if option.choices:
        return f"compadd {' '.join(option.choices)}; "
    return {"directories": "_files -/; ", "files": "_files; ", "": ""}[_files_of(option)]


def _described(rows: list[tuple[str, str]]) -> str:
    return " ".join(_quoted(f"{word}:{told}" if told else word, "'\\''") for word, told in rows)


# -- fish -----------------------------------------------------------------------------------------


def _fish() -> Iterator[str]:
    valued = " ".join(name for o in _every_option() if o.value for name in o.names)
    yield """\
# crush completion for fish: crush completion fish | source
function __crush_is
    set -l command ""
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word"""
    yield f"            case {valued}"
    yield """\
                set skip 1
            case '-*'
            case '*'
                switch "$command/$word\""""
    for group, word, name in _steps():
        yield f"                    case '{group}/{word}'"
        yield f"                        set command '{name}'"
    yield """\
                end
        end
    end
    test "$command" = "$argv[1]"
end
complete -c crush -f"""
    for command in COMMANDS:
        start = f"complete -c crush -n \"__crush_is '{command.name}'\""
        for word, told in _members(command):
            yield f"{start} -a {word} -d {_fish_quoted(told)}"
        for option in _options(command):
            yield f"{start} {_fish_option(option)} -d {_fish_quoted(option.help)}"


def _fish_option(option: Option) -> str:
    flags = [f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names]
    if option.choices:
        flags.append(f"-x -a '{' '.join(option.choices)}'")
    elif kind := _files_of(option):
        flags.append("-x -a '(__fish_complete_directories)'" if kind == "directories" else "-r -F")
    elif option.value:
        flags.append("-x")
    return " ".join(flags)


def _fish_quoted(text: str) -> str:
    return _quoted(text.replace("\\", "\\\\"), "\\'")


def _quoted(text: str, quote: str) -> str:
    """In single quotes; `quote` is how the shell writes one of them there."""
    return "'" + text.replace("'", quote) + "'"
