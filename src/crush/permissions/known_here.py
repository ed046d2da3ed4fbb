"""Whether a command is known to only read, where it runs: its options, its place, its directory."""

import os
from collections.abc import Sequence

from crush.permissions.command_place import find_command, find_gap
from crush.permissions.rules import is_within
from crush.permissions.shell_places import Places
from crush.permissions.shell_script import Word
from crush.permissions.shell_setting import Setting

# What bash takes when there is none.
_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class KnownHere:
    """Asks about the commands of one command line; looks each program up once."""

    def __init__(self, setting: Setting, *, places: Places) -> None:
        self._setting = setting
        self._places = places
        self._distrust: dict[str, str] = {}

    def refusal(self, words: Sequence[Word], *, directory: str) -> str:
        """Why the command is not known to only read; "" if it is. `directory`: where it was said to lie."""
        known, name = self._setting.known, words[0].text or ""
        for cwd in self._places.directories:
            if refusal := known.refusal(words, cwd=cwd):
                return refusal
        if name == "git" and not self.is_inside():
            return "git obeys the configuration of a directory outside"
        if known.is_builtin(name) and not directory:
            return ""
        return self._place_refusal(name, directory=directory)

    def is_inside(self) -> bool:
        """Whether what runs now certainly runs in the working directory of the run."""
        root, places = self._setting.root, self._places
        return not places.anywhere and all(is_within(path, root) for path in places.directories)

    def _place_refusal(self, name: str, *, directory: str) -> str:
        """Why the program behind a name, or one that it starts itself, could be another one."""
        key = os.path.join(directory, name)
        if directory and not os.path.isfile(key):
            return f"there is no {key}, and somebody may put it there"
        if key not in self._distrust:
            path = self._setting.env.get("PATH", _USUAL_PATH)
            places = [(name, directory or path)]
            places += [(program, path) for program in self._setting.known.runs(name)]
            reasons = (self._distrust_of(program, path=where) for program, where in places)
            self._distrust[key] = next((reason for reason in reasons if reason), "")
        return self._distrust[key]

    def _distrust_of(self, program: str, *, path: str) -> str:
        setting = self._setting
        if program == "*":
            return find_gap(path=path, root=setting.root, uid=setting.uid)
        place = find_command(
            program,
            path=path,
            cwd=self._places.directories[0],
            root=setting.root,
            home=setting.home,
            uid=setting.uid,
        )
        return "" if place.trusted else place.reason
