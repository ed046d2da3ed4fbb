"""The system prompt: short, ours, and the same to the byte for a whole session."""

import os
import platform
import time
from importlib.resources import files

from msgspec import Struct


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the model is told of its place; fixed when the session begins, so caches hit."""

    cwd: str
    is_git: bool
    day: str  # YYYY-MM-DD, of the session's creation


def surroundings(cwd: str, *, created_at: int) -> Surroundings:
    """Facts for the prompt; `created_at` in seconds."""
    return Surroundings(
        cwd=cwd,
        is_git=os.path.exists(os.path.join(cwd, ".git")),
        day=time.strftime("%Y-%m-%d", time.localtime(created_at)),
    )


def coder_prompt(place: Surroundings, *, prefix: str = "") -> str:
    """The prompt of the agent that has tools."""
    return _fill("coder.md", place, prefix)


def small_prompt(place: Surroundings, *, prefix: str = "") -> str:
    """The prompt of a small model that only chats (≤ 300 tokens with everything)."""
    return _fill("small.md", place, prefix)


def _fill(name: str, place: Surroundings, prefix: str) -> str:
    text = files("crush.agent").joinpath("prompts", name).read_text("utf-8")
    filled = (
        text.replace("{cwd}", place.cwd)
        .replace("{git}", "yes" if place.is_git else "no")
        .replace("{day}", place.day)
        .replace("{platform}", f"{platform.system()} {platform.machine()}")
    )
    return f"{prefix}\n\n{filled}" if prefix else filled
