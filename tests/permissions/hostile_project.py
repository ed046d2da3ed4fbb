"""A small project whose every file tries to run something, and a cage to run commands in it.

What it runs makes a file whose name begins with `canary`; what must stay secret contains `PRIVATE`.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

PRIVATE: Final = "canary-5f1e9a77"
# Where the programs of a system are: nobody but root writes there.
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PYTHON = "import pathlib\npathlib.Path('canary').touch()\n"
_SHELL = "#!/bin/sh\n: > canary\n"  # whatever PATH is
_HOSTILE_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = false
\tworktree = ..
[diff]
\texternal = touch canary;:
[alias]
\tst = !touch canary
"""

_FILES: Final = {
    "a.txt": "b\na\na\nc\n",
    "b.txt": "c\nb\na\n",
    "README.md": "# A project\n\nfoo costs $HOME\n",
    "NOTES.md": "# Notes\nTODO: foo\n",
    "log.txt": "2024-01-01 ok 1\n2024-01-02 error 22\n2024-01-03 ok 333\n",
    "data.csv": "name,n\nx,1\ny,2\n",
    "src/app.py": "import os\n\n\ndef main() -> None:\n    print(os.name)  # TODO foo\n",
    "docs/guide.md": "# Guide\n",
    "config/.env.production": f"TOKEN={PRIVATE}\n",
    ".env": f"TOKEN={PRIVATE}\n",
    "package.json": '{"name": "x", "version": "1.0.0", "scripts": {'
    '"test": "touch canary", "build": "touch canary", "start": "touch canary",'
    ' "prepack": "touch canary", "preversion": "touch canary"}}\n',
    "Makefile": "X := $(shell touch canary)\nall test x:\n\t@touch canary\n",
    "evil.mk": "x:\n\t@touch canary\n",
    "src/Makefile": "all:\n\t@touch canary\n",
    "build.ninja": "rule t\n  command = touch canary\nbuild all: t\n",
    "CMakeLists.txt": "file(WRITE ${CMAKE_SOURCE_DIR}/canary x)\n",
    "evil.cmake": "file(WRITE canary x)\n",
    "evil.py": _PYTHON,
    "json.py": _PYTHON,
    "pip.py": _PYTHON,
    "conftest.py": _PYTHON,
    "src/__main__.py": _PYTHON,
    "evil.js": "require('fs').writeFileSync('canary', '')\n",
    "evil.mjs": "import fs from 'fs'; fs.writeFileSync('canary', '')\n",
    "index.js": "require('fs').writeFileSync('canary', '')\n",
    "evil.pl": 'BEGIN { open F, ">canary" }\n',
    "evil.pm": 'open F, ">canary"; 1;\n',
    "evil.awk": 'BEGIN { print "x" > "canary" }\n',
    "evil.sed": "w canary\n",
    "evil.vim": "silent !touch canary\n",
    "evil.cfg": "[alias]\n\tst = !touch canary\n\tx = !touch canary\n",
    "evil.specs": "*cc1:\n%(touch canary)\n",
    "evil.tcl": "exec touch canary\n",
    "a.hex": "00000000: 6162 630a  abc.\n",
    "a.c": "int main(void) { return 0; }\n",
    "opts": "-o canary -x c -E a.c\n",
    "ssh.conf": 'Match exec "touch canary"\n  User x\n',
    "cred.in": "protocol=https\nhost=localhost\n\n",
    "p.diff": "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n-b\n+canary\n a\n",
    "bare.git/HEAD": "ref: refs/heads/main\n",
    "bare.git/config": _HOSTILE_CONFIG,
    "bare.git/objects/.keep": "",
    "bare.git/refs/.keep": "",
    "cfg/git/config": _HOSTILE_CONFIG,
    "node_modules/left/index.js": "// nothing\n",
    # A file name that an unquoted glob turns into an option.
    "-ocanarya": "z\n",
}
_PROGRAMS: Final = (
    *(
        "x.sh",
        ".x.sh",
        "bin/ls",
        "bin/cat",
        "bin/git-x",
        "hooks/pre-commit",
        "node_modules/.bin/ls",
    ),
    *("hooks/post-commit", "hooks/post-rewrite", "work/x.sh", "src/x.sh"),
)
_HOME_FILES: Final = {
    ".gitconfig": "[user]\n\tname = me\n\temail = me@localhost\n[init]\n\tdefaultBranch = main\n"
    # A look that refreshes the index writes it: no change that anybody means.
    "[safe]\n\tdirectory = *\n[diff]\n\tautoRefreshIndex = false\n",
    ".bashrc": "",
    ".ssh/id_rsa": f"{PRIVATE}\n",
    ".ssh/id_ed25519": f"{PRIVATE}\n",
    ".ssh/config": f"# {PRIVATE}\n",
    ".aws/credentials": f"{PRIVATE}\n",
    ".netrc": f"{PRIVATE}\n",
    ".git-credentials": f"{PRIVATE}\n",
    ".npmrc": f"//localhost/:_authToken={PRIVATE}\n",
    ".pypirc": f"{PRIVATE}\n",
    ".docker/config.json": f'{{"auths": {{"localhost": {{"auth": "{PRIVATE}"}}}}}}\n',
    ".kube/config": f"# {PRIVATE}\n",
    ".config/gh/hosts.yml": f"{PRIVATE}\n",
    ".gnupg/secring.gpg": f"{PRIVATE}\n",
    ".bash_history": f"{PRIVATE}\n",
    ".pgpass": f"{PRIVATE}\n",
    ".cargo/credentials.toml": f"# {PRIVATE}\n",
}


class Ran(Struct, frozen=True, kw_only=True):
    """What a command did: what it printed, the canaries it made, and whether any file differs."""

    output: bytes
    canaries: list[str]
    changed: bool
    timed_out: bool


class HostileProject:
    """`home` and `work` in one directory; commands run in `work`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.work = directory / "work"
        self.home = directory / "home"

    def make(self) -> None:
        _write(self.work, _FILES)
        _write(self.home, _HOME_FILES)
        for name in _PROGRAMS:
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_SHELL)
            path.chmod(0o755)
        with tarfile.open(self.work / "data.tar", "w") as archive:
            archive.add(self.work / "a.txt", arcname="canary")
        with zipfile.ZipFile(self.work / "data.zip", "w") as zipped:
            zipped.write(self.work / "a.txt", arcname="canary")
        (self.work / "empty").mkdir()
        (self.work / "link-to-secret").symlink_to(".env")
        self._commit()

    def copy_to(self, directory: Path) -> "HostileProject":
        shutil.copytree(self.directory, directory, symlinks=True)
        return HostileProject(directory)

    def environment(self) -> dict[str, str]:
        return {
            "PATH": SYSTEM_PATH,
            "HOME": str(self.home),
            "USER": "me",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TOKEN": PRIVATE,
            "GIT_OPTIONAL_LOCKS": "0",
        }

    def run(self, command: str, *, within_s: float) -> Ran:
        """Real bash in the cage: no network, nothing to write but this directory."""
        return self._run([*_BASH, command], within_s=within_s)

    def run_all(self, commands: Sequence[str], *, within_s: float) -> Ran:
        """One after the other, each in a bash of its own, all in one cage."""
        return self._run([*_BASH, _EACH, *_BASH, *commands], within_s=within_s)

    def _run(self, words: Sequence[str], *, within_s: float) -> Ran:
        before = self._fingerprint()
        try:
            done = subprocess.run(
                [*_cage(self.directory), "--chdir", str(self.work), "--", *words],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=within_s,
                check=False,
                start_new_session=True,  # `suspend` and the like mean their own group
            )
            output, timed_out = done.stdout, False
        except subprocess.TimeoutExpired as exc:
            output, timed_out = exc.stdout or b"", True
        after = self._fingerprint()
        canaries = sorted(
            name
            for name in after.keys() - before.keys()
            if os.path.basename(name).startswith("canary")
        )
        return Ran(output=output, canaries=canaries, changed=before != after, timed_out=timed_out)

    def _commit(self) -> None:
        self._git("init", "-q", "--template=")
        for message, text in (("first", "a\n"), ("second", "b\na\na\nc\n")):
            (self.work / "a.txt").write_text(text)
            self._git("add", "-A")
            self._git("commit", "-q", "-m", message)
        self._git("config", "alias.st", "!touch canary")
        (self.work / ".git/hooks").mkdir()

    def _git(self, *arguments: str) -> None:
        subprocess.run(
            [shutil.which("git") or "git", *arguments],
            cwd=self.work,
            env=self.environment(),
            check=True,
        )

    def _fingerprint(self) -> dict[str, str]:
        """Every path with what a change would alter, times left out."""
        found: dict[str, str] = {}
        for parent, directories, files in os.walk(self.directory):
            for name in (*directories, *files):
                path = os.path.join(parent, name)
                found[os.path.relpath(path, self.directory)] = _state(path)
        return found


_BASH: Final = ("/bin/bash", "--norc", "--noprofile", "-c")
# Its words: bash with its options (the first is its `$0`), then the commands.
_EACH: Final = """\
for command in "${@:4}"; do
  "$0" "${@:1:3}" "$command"
  printf '\\n-- next --\\n'
done
"""


def _cage(writable: Path) -> list[str]:
    """Without the socket directories of the system: a read-only mount does not stop `connect`."""
    return [
        *(shutil.which("bwrap") or "bwrap", "--unshare-all", "--unshare-user", "--disable-userns"),
        *("--cap-drop", "ALL", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev"),
        *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"),
        *("--tmpfs", "/tmp", "--tmpfs", "/run"),  # noqa: S108
        *("--bind", str(writable), str(writable)),
    ]


def _state(path: str) -> str:
    status = os.lstat(path)
    if os.path.islink(path):
        return f"link {os.readlink(path)}"
    if not os.path.isfile(path):
        return f"{status.st_mode:o}"
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{status.st_mode:o} {status.st_uid} {digest}"


def _write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
