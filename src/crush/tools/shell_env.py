"""What a shell starts with: the program, and an environment that runs and prints nothing by itself."""

import os
import shutil
from collections.abc import Mapping, Sequence

from crush.errors import ToolError
from crush.permissions.rules import is_within
from crush.tools.process_kin import MARK

# Programs that would page, edit or ask have nobody to talk to.
_NON_INTERACTIVE = {
    "TERM": "xterm-256color",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "JJ_PAGER": "cat",
    "MANPAGER": "cat",
    "EDITOR": "false",
    "VISUAL": "false",
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "JJ_EDITOR": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "CRUSH": "1",
    "AGENT": "crush",
    "AI_AGENT": "crush",
}
# bash executes or obeys these before the command's first word (bash(1), "Shell Variables").
_OBEYED = frozenset(
    ("BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "GLOBIGNORE", "CDPATH")
)
_FUNCTION_PREFIX = "BASH_FUNC_"
# Otherwise `git status` in a prepared directory executes what its configuration names.
_GIT_SETTINGS = (("safe.bareRepository", "explicit"), ("core.fsmonitor", "false"))
# It refreshes the index, too, and runs a hook then, which may lie in the workspace (`core.hooksPath`).
_GIT_ONLY_READS = (*_GIT_SETTINGS, ("core.hooksPath", os.devnull))
_ONLY_READS = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1"}


def shell_env(env: Mapping[str, str], *, tmp: str, mark: str, only_reads: bool) -> dict[str, str]:
    """The client's environment made fit for commands; `tmp` "" leaves its temporary directory.

    `only_reads`: the command was judged to change nothing, so git runs no hook and fetches nothing.
    """
    kept = {
        name: value
        for name, value in env.items()
        if name not in _OBEYED and not name.startswith(_FUNCTION_PREFIX)
    }
    own_tmp = dict.fromkeys(("TMPDIR", "TMP", "TEMP"), tmp) if tmp else {}
    git = _git_settings(env, _GIT_ONLY_READS if only_reads else _GIT_SETTINGS)
    bounds = _ONLY_READS if only_reads else {}
    return {**kept, **git, **_NON_INTERACTIVE, **bounds, **own_tmp, MARK: mark}


def _git_settings(env: Mapping[str, str], wanted: Sequence[tuple[str, str]]) -> dict[str, str]:
    """After the user's own, since the last one counts."""
    given = env.get("GIT_CONFIG_COUNT", "")
    first = int(given) if given.isascii() and given.isdigit() else 0
    settings = {"GIT_CONFIG_COUNT": str(first + len(wanted))}
    for number, (key, value) in enumerate(wanted, start=first):
        settings[f"GIT_CONFIG_KEY_{number}"] = key
        settings[f"GIT_CONFIG_VALUE_{number}"] = value
    return settings


def find_shell(env: Mapping[str, str], *, workspace: str) -> list[str]:
    """The start of the command line: bash without start-up files, sh where there is none.

    A shell inside the workspace could be the repository's, or the agent's own.
    """
    directories = [
        directory
        for directory in env.get("PATH", os.defpath).split(os.pathsep)
        if os.path.isabs(directory) and not is_within(os.path.realpath(directory), workspace)
    ]
    path = os.pathsep.join([*directories, "/bin", "/usr/bin"])
    if bash := shutil.which("bash", path=path):
        return [bash, "--noprofile", "--norc"]
    if sh := shutil.which("sh", path=path):
        return [sh]
    raise ToolError("There is no shell on this machine.")
