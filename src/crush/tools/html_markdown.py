"""HTML as Markdown, by a worker process with an end; plain text when the page defeats it."""

import os
import subprocess
import sys
from collections.abc import Mapping

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from crush.tools.html_text import Page, html_to_text, reduce_html
from crush.tools.web_url import WebUrl

# Of HTML that is left without scripts: two to three seconds of work, some books.
_MOST_CHARS = 1_000_000
_WORKER_S = 20
_PASSED = ("PATH", "SYSTEMROOT")


class Converted(Struct, frozen=True, kw_only=True):
    """`note` tells what was lost, "" if nothing."""

    text: str
    note: str = ""


async def convert_to_text(page: str) -> Converted:
    return await anyio.to_thread.run_sync(_as_text, page)


async def convert_to_markdown(page: str, *, url: WebUrl, env: Mapping[str, str]) -> Converted:
    """Never fails: what cannot be converted within limits comes as text. Cancellation ends it."""
    reduced, cut = await anyio.to_thread.run_sync(_reduced, page)
    markdown = None
    with anyio.move_on_after(_WORKER_S):
        markdown = await _run_worker(Page(url=str(url), html=reduced), env)
    if markdown is None:
        text = await anyio.to_thread.run_sync(html_to_text, reduced)
        return Converted(text=text, note="Its structure was too much to convert: plain text.")
    return Converted(text=markdown.strip(), note=_cut_note() if cut else "")


async def _run_worker(page: Page, env: Mapping[str, str]) -> str | None:
    finished = await anyio.run_process(
        [sys.executable, "-P", "-m", "crush.tools.html_worker"],
        input=msgspec.json.encode(page),
        stderr=subprocess.DEVNULL,
        check=False,
        env={
            **{name: env[name] for name in _PASSED if name in env},
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # it finds what we find
        },
    )
    return None if finished.returncode else finished.stdout.decode(errors="replace")


def _as_text(page: str) -> Converted:
    reduced, cut = _reduced(page)
    return Converted(text=html_to_text(reduced), note=_cut_note() if cut else "")


def _reduced(page: str) -> tuple[str, bool]:
    return reduce_html(page, most_chars=_MOST_CHARS)


def _cut_note() -> str:
    return f"Only the first {_MOST_CHARS} characters of its HTML were converted."
