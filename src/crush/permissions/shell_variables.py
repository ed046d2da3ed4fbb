"""Assignments in a script: which variables only matter to the script, and which steer programs."""

import re
from collections.abc import Mapping

from crush.permissions.shell_script import Assignment

# The shell, the loader, or a program that is known to only read obeys these.
_OBEYED = re.compile(
    r"PATH|CDPATH|IFS|ENV|HOME|PWD|OLDPWD|SHELL|PS[0-4]|PROMPT_COMMAND|GLOBIGNORE|GLOBSORT|EXECIGNORE"
    r"|SHELLOPTS|BASHOPTS|POSIXLY_CORRECT|FIGNORE|FCEDIT|INPUTRC|HOSTFILE|TIMEFORMAT|TMOUT|MAIL.*"
    r"|TEXTDOMAIN.*|COMP_.*|HIST.*|FUNC.*|BASH.*|LD_.*|DYLD_.*|LIB.*|MALLOC_.*|GLIBC_.*|GCONV_PATH"
    r"|LOCPATH|NLSPATH|RES_OPTIONS|HOSTALIASES|LOCALDOMAIN|RESOLV_.*|TERMINFO.*|TERMCAP|TERMPATH"
    r"|TMPDIR|TMP|TEMP|GIT.*|SSH.*|GPG.*|GNUPG.*|.*PAGER|.*EDITOR|VISUAL|BROWSER|LESS.*|MORE|MANOPT"
    r"|MANPATH|MAN.*|GREP_.*|RIPGREP_.*|FZF_.*|FD_.*|ACK.*|AG_.*|TAR_.*|ZIP.*|UNZIP.*|GZIP|XZ_.*|ZSTD_.*"
    r"|PYTHON.*|VIRTUAL_ENV.*|CONDA.*|PIP_.*|UV_.*|NODE_.*|NPM_.*|npm_.*|YARN_.*|PERL.*|RUBY.*|GEM_.*"
    r"|BUNDLE_.*|JAVA_.*|JDK_.*|_JAVA_.*|CLASSPATH|MAVEN_.*|GRADLE_.*|GO[A-Z0-9]+|CGO_.*|CARGO.*"
    r"|RUST.*|CC|CXX|CFLAGS|MAKE.*|DOCKER_.*|KUBE.*|HELM_.*|AWS_.*|AZURE_.*|GOOGLE_.*|CLOUDSDK_.*"
    r"|XDG_.*|CRUSH.*|DBUS_.*|DISPLAY|XAUTHORITY|WAYLAND_.*|OPENSSL_.*|SSL_.*|CURL_.*|WGETRC"
    r"|SYSTEMD_.*|SUDO_.*|LUA_.*|PHP.*|R_.*|TCL.*|QT_.*|GTK_.*|GIO_.*|.*_proxy|.*_PROXY|_"
)

# Before a command: what changes no more than words, numbers, colours and the like.
_HARMLESS = re.compile(
    r"LC_[A-Z]+|LANG|LANGUAGE|TZ|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|CLICOLOR|CLICOLOR_FORCE|CI"
    r"|BLOCK_SIZE|BLOCKSIZE|TIME_STYLE|GIT_OPTIONAL_LOCKS|GIT_TERMINAL_PROMPT"
)
# What bash computes from the value that they get: `RANDOM='a[$(touch x)]'` runs it.
_COUNTERS = re.compile(r"RANDOM|SRANDOM|SECONDS|HISTCMD|OPTIND|OPTERR|LINENO|EPOCH.*|BASHPID")
_PLAIN_VALUE = re.compile(r"(?![/:])[A-Za-z0-9_.@:+,/-]*")
_PAGERS = re.compile(r"(?:GIT_|MAN|SYSTEMD_|BAT_|DELTA_)?PAGER")


def assignment_risk(part: Assignment, *, env: Mapping[str, str]) -> str:
    """Why the assignment asks; "" if it matters to nothing but the words of the script.

    A variable that is in the environment already is passed on to every program that follows.
    """
    if part.before:
        if part.name == "IFS" and part.command == "read":  # how that one line is split
            return ""
        return "" if _is_harmless(part) else f"nobody knows what a program makes of {part.name}"
    if part.name in env and not _is_harmless(part):
        return f"programs that run later get the changed {part.name}"
    if _COUNTERS.fullmatch(part.name) and not (part.value.text or "").isdecimal():
        return f"the shell computes what {part.name} gets, which can run commands"
    if _OBEYED.fullmatch(part.name) and not _is_harmless(part):
        return f"the shell or programs obey {part.name}"
    return ""


def _is_harmless(part: Assignment) -> bool:
    value = part.value.text
    if value is None:
        return False
    if _PAGERS.fullmatch(part.name):
        return value in {"", "cat"}
    return bool(_HARMLESS.fullmatch(part.name) and _PLAIN_VALUE.fullmatch(value))
