"""Files that ask whoever writes them, and files that ask whoever reads them: by name, in one list.

The file tools and the sandbox both read it. Paths are real and absolute: links are resolved by the
caller. What only a look at the disk can tell (a directory that git would take for a repository) is
`bare_repository_reason`; everything else is pure.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence

_AGENTS = "agents obey what it says"
_EDITORS = "an editor runs what is in there when it opens the project"
_SHELLS = "a shell runs it when it starts"
_STARTS = "a program of yours obeys it when it starts"
_OURS = "crush obeys what is in there"
_ANSWERS = "crush keeps there what you allowed and trusted"
_GIT = "git runs what is in there"
_HOOKS = "`git commit` runs what it names"

# The user's next `git`, shell, editor or agent obeys these unasked: writing one is running a command
# outside of every fence. A name counts in every directory; `a/b` counts where both follow each other.
# What is named by who runs it (a Makefile, package.json) is not here: it runs when somebody says so.
PROTECTED: Mapping[str, str] = {
    ".git": _GIT,
    ".gitmodules": "git fetches and runs what it names",
    ".gitattributes": "it decides which programs git runs on a file",
    ".gitconfig": _GIT,
    ".config/git": _GIT,
    ".husky": _HOOKS,
    ".pre-commit-config.yaml": _HOOKS,
    "lefthook.yml": _HOOKS,
    ".lefthook.yml": _HOOKS,
    ".envrc": "direnv runs it when a shell enters the directory",
    ".vscode": _EDITORS,
    ".idea": _EDITORS,
    ".zed": _EDITORS,
    ".devcontainer": _EDITORS,
    ".exrc": _EDITORS,
    ".nvimrc": _EDITORS,
    ".vimrc": _STARTS,
    ".vim": _STARTS,
    ".config/nvim": _STARTS,
    ".emacs": _STARTS,
    ".emacs.d": _STARTS,
    ".dir-locals.el": _EDITORS,
    ".gdbinit": _STARTS,
    ".lldbinit": _STARTS,
    ".tmux.conf": _STARTS,
    ".config/autostart": _STARTS,
    ".config/environment.d": _STARTS,
    ".pam_environment": _STARTS,
    ".local/bin": "programs in there run by their names",
    ".config/systemd": _STARTS,
    ".ssh": "it decides who may log in, and what `ssh` runs",
    ".crush": _OURS,
    "crush.json": _OURS,
    ".crush.json": _OURS,
    ".config/crush": _OURS,
    ".local/share/crush": _OURS,
    ".local/state/crush": _ANSWERS,
    "crush/grants.json": _ANSWERS,  # wherever `XDG_STATE_HOME` is
    "crush/trust.json": _ANSWERS,
    "crushrc": _OURS,
    ".crushrc": _OURS,
    ".mcp.json": "agents start the programs that it names",
    "agents.md": _AGENTS,
    "agents.local.md": _AGENTS,
    "crush.md": _AGENTS,
    "crush.local.md": _AGENTS,
    "claude.md": _AGENTS,
    "claude.local.md": _AGENTS,
    "gemini.md": _AGENTS,
    ".claude": _AGENTS,
    ".codex": _AGENTS,
    ".gemini": _AGENTS,
    ".agents": _AGENTS,
    ".cursor": _AGENTS,
    ".cursorrules": _AGENTS,
    ".windsurf": _AGENTS,
    ".windsurfrules": _AGENTS,
    ".clinerules": _AGENTS,
    ".github/copilot-instructions.md": _AGENTS,
    ".github/instructions": _AGENTS,
    ".bashrc": _SHELLS,
    ".bash_profile": _SHELLS,
    ".bash_login": _SHELLS,
    ".bash_logout": _SHELLS,
    ".bash_aliases": _SHELLS,
    ".profile": _SHELLS,
    ".zshrc": _SHELLS,
    ".zshenv": _SHELLS,
    ".zprofile": _SHELLS,
    ".zlogin": _SHELLS,
    ".zlogout": _SHELLS,
    ".kshrc": _SHELLS,
    ".mkshrc": _SHELLS,
    ".cshrc": _SHELLS,
    ".tcshrc": _SHELLS,
    ".login": _SHELLS,
    ".inputrc": _SHELLS,
    ".config/fish": _SHELLS,
    ".xprofile": _SHELLS,
    ".xinitrc": _SHELLS,
    ".xsessionrc": _SHELLS,
}

# Where keys lie in a home directory. The sandbox masks them there; a file tool asks wherever it meets
# the name, since a home can be anybody's.
SECRET_DIRECTORIES: tuple[str, ...] = (
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".oci", ".bluemix", ".aliyun"),
    *(".config/gcloud", ".config/gh", ".config/glab-cli", ".config/op", ".config/doctl"),
    *(".config/rclone", ".config/hub", ".config/heroku", ".config/sops", ".terraform.d"),
    *(".password-store", ".local/share/keyrings", ".local/share/kwalletd"),
    *(".mozilla", ".config/google-chrome", ".config/chromium", "Library/Keychains"),
)
SECRET_FILES: tuple[str, ...] = (
    *(".netrc", "_netrc", ".git-credentials", ".config/git/credentials", ".pgpass", ".my.cnf"),
    *(".npmrc", ".pypirc", ".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials"),
    *(".docker/config.json", ".terraformrc", ".vault-token", ".s3cfg", ".boto", ".databrickscfg"),
    *(".composer/auth.json", ".bash_history", ".zsh_history", ".psql_history", ".mysql_history"),
)
_SYSTEM_SECRETS: tuple[str, ...] = (
    *("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers"),
    *("/etc/sudoers.d", "/etc/ssl/private", "/etc/pki/tls/private", "/run/secrets"),
    *("/var/run/secrets", "/proc/kcore", "/dev/mem", "/dev/kmem"),
)
# What no command sees anyway, since the sandbox hides all of crush's own places.
_OWN_SECRETS: tuple[str, ...] = (".local/state/crush", ".config/crush/crush.json")
_KEY_NAMES = frozenset(
    {"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", "identity"}
)
_KEY_SUFFIXES = (".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk")
_PUBLIC = re.compile(r"(?:^|[-_.])(?:cacert|ca-?bundle|ca-certificates|pub|public)(?:[-_.]|$)")
_TEMPLATES = (".example", ".sample", ".template", ".dist", ".defaults")
# What else there shows memory or the environment of a process: `/proc/PID`, its threads, its files.
_PROCESS = re.compile(r"/proc/[^/]+/(?:task/[^/]+/)?(?:environ|mem|fd(?:/.*)?|auxv)")
_HOST_KEY = re.compile(r"/etc/ssh/ssh_host_[^/]*_key")
# Apple's file system takes a name with these for the one without.
_IGNORABLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


def protected_reason(path: str, *, root: str) -> str:
    """Why writing `path` asks; "" if its name does not say so.

    Directories that lead to `root` do not count, or nothing could be written in `~/.config/nvim`.
    """
    parts = _folded(_below(path, root))
    return next((reason for run in _runs(parts) if (reason := PROTECTED.get(run))), "")


def is_protected_entry(name: str, *, parent: str) -> bool:
    """Whether an entry `name` of a directory `parent` (its base name) is in the list itself."""
    near, entry = (_folded([part]) for part in (parent, name))
    return entry[0] in PROTECTED or "/".join((*near, *entry)) in PROTECTED


def bare_repository_reason(path: str, *, root: str) -> str:
    """Why writing `path` asks, by a look at the disk: git would take a directory for a repository.

    Also if this write makes it one: git needs no `.git`, and a `config` that it finds beside a
    `HEAD` names programs.
    """
    directory, reason = root, ""
    for part in _below(path, root):
        if is_bare_repository(directory, adding=part):
            reason = f"git takes {directory!r} for a repository and runs what its config names"
        directory = os.path.join(directory, part)
    return reason


def is_bare_repository(directory: str, *, adding: str = "") -> bool:
    """Whether git takes `directory`, once it has an entry `adding`, for a repository's own."""
    there = {adding.casefold(), *(name.casefold() for name in repository_parts(directory))}
    return "head" in there and ("commondir" in there or {"objects", "refs"} <= there)


def repository_parts(directory: str) -> tuple[str, ...]:
    """The entries of `directory` by which git would know a repository."""
    names = ("HEAD", "commondir", "objects", "refs")
    return tuple(name for name in names if os.path.lexists(os.path.join(directory, name)))


def secret_file_reason(path: str) -> str:
    """Why reading `path` asks; "" if its name does not say so."""
    name = os.path.basename(path).casefold()
    if _is_environment(name):
        return "files of this name hold passwords and keys"
    if name in _KEY_NAMES or (name.endswith(_KEY_SUFFIXES) and not _PUBLIC.search(name)):
        return "files of this name hold private keys"
    if any(path == secret or path.startswith(secret + "/") for secret in _SYSTEM_SECRETS):
        return "the system keeps secrets there"
    if _PROCESS.fullmatch(path) or _HOST_KEY.fullmatch(path):
        return "it shows what a process or the system keeps to itself"
    if any(run in _SECRET_NAMES for run in _runs(_folded(path.split(os.sep)))):
        return "keys and passwords lie there"
    return ""


def _is_environment(name: str) -> bool:
    if name.endswith(_TEMPLATES):
        return False
    return name in {".env", ".envrc"} or name.startswith(".env.") or name.endswith(".env")


def _below(path: str, root: str) -> Sequence[str]:
    """The parts of `path` that lie below `root`; all of them if it lies elsewhere."""
    inside = path.startswith(root.rstrip(os.sep) + os.sep)
    return [part for part in (path[len(root) :] if inside else path).split(os.sep) if part]


def _folded(parts: Sequence[str]) -> list[str]:
    """As the most forgiving file system compares them: no case, no invisible or trailing characters."""
    folded = (_IGNORABLE.sub("", part).casefold() for part in parts)
    plain = (part.split(":")[0].rstrip(" .") if part.strip(".") else part for part in folded)
    return [".git" if part == "git~1" else part for part in plain]


def _runs(parts: Sequence[str]) -> Iterator[str]:
    """Each part, and each stretch of up to three of them as it stands in the lists."""
    for start in range(len(parts)):
        for length in (1, 2, 3):
            if start + length <= len(parts):
                yield "/".join(parts[start : start + length])


_SECRET_NAMES = frozenset(
    name.casefold() for name in (*SECRET_DIRECTORIES, *SECRET_FILES, *_OWN_SECRETS)
)
