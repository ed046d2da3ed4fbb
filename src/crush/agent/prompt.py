"""The system prompt: short, ours, and the same to the byte for a whole session.

Nothing of a repository enters it but the name of the working directory. What may change while a
session lives (branch, files, whether there is a repository) is the tools' to find out.
"""

import os
import platform
import re
import time

from msgspec import Struct


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the model is told of its place; fixed when the session begins, so caches hit."""

    cwd: str
    day: str  # YYYY-MM-DD, of the session's creation
    platform: str


def surroundings(cwd: str, *, created_at: int) -> Surroundings:
    """Facts for the prompt; `created_at` in seconds."""
    return Surroundings(
        # A directory may be called anything; it gets one line, and no text of its own.
        cwd=cwd if cwd.isprintable() else ascii(cwd)[1:-1],
        day=time.strftime("%Y-%m-%d", time.localtime(created_at)),
        platform=f"{platform.system()} {platform.machine()}",
    )


class Prompts(Struct, frozen=True, kw_only=True):
    """The templates: `coder` for the agent that has tools, `small` for a model that only chats."""

    coder: str
    small: str


def load_prompts() -> Prompts:
    """Read once, with the server: an upgrade beneath it changes no prompt of a running session."""
    return Prompts(coder=_load("coder.md"), small=_load("small.md"))


def fill(template: str, place: Surroundings) -> str:
    """All fields at once: what one of them holds is not looked at for another."""
    fields = {"cwd": place.cwd, "day": place.day, "platform": place.platform}
    return re.sub(r"\{(cwd|day|platform)\}", lambda found: fields[found[1]], template)


def _load(name: str) -> str:
    # `importlib.resources` would cost 4 ms of a server's start.
    with open(os.path.join(os.path.dirname(__file__), "prompts", name), encoding="utf-8") as file:
        return file.read()
