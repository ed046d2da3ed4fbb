"""`download`: what a URL gives, as a file, byte by byte as it was sent."""

import os
from collections.abc import Sequence

import anyio
import anyio.to_thread

from crush.errors import ToolError
from crush.permissions.rules import Need, is_within
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.fetch import check_success
from crush.tools.file_text import load_text
from crush.tools.partial_file import PartialFile, file_state
from crush.tools.target_path import CallArgs, Shown, containing_directory, resolve_path, short_path
from crush.tools.web_client import WebAnswer, WebClient, WebRequest
from crush.tools.web_need import web_needs
from crush.tools.web_url import parse_url
from crush.wire.params import DownloadParams

_DEFAULT_S, _MOST_S = 300, 600
_CLEANUP_S = 5
_PIECE_BYTES = 256 * 1024
_SHOWN_CHARS = 100
MOST_BYTES = 500 * 1024 * 1024


class DownloadArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `download`; `timeout` in seconds."""

    url: str
    file_path: str
    timeout: int = 0


class DownloadTool:
    """A file that is there is replaced only as the one that was shown when permission was asked."""

    name = "download"
    args_type = DownloadArgs
    read_only = False

    def __init__(self, *, description: str, web: WebClient, most_bytes: int) -> None:
        self.description = description
        self._web = web
        self._most_bytes = most_bytes
        self._shown = Shown()

    def needs(self, args: DownloadArgs, context: ToolContext) -> Sequence[Need]:
        url = parse_url(args.url)
        path = resolve_path(args.file_path, context)
        state = file_state(path)
        self._shown.remember(args, path, state)
        where = short_path(path, context)
        fetch = Need(
            tool=self.name,
            action="download",
            kind="fetch",
            target=str(url),
            directory=path if state is None else os.path.dirname(path),
            description=f"Download {url} to {where}{'' if state is None else ', replacing it'}",
            params=DownloadParams(url=str(url), file_path=path, timeout=args.timeout),
        )
        write = Need(
            tool=self.name,
            action="download",
            kind="write",
            target=path,
            directory=(context.cwd if is_within(path, context.cwd) else containing_directory(path)),
            description=f"{'Create' if state is None else 'Replace'} {where} by a download",
            params=fetch.params,
        )
        return [*web_needs(args, url, fetch, private_hosts=self._web.private_hosts), write]

    async def run(self, args: DownloadArgs, context: ToolContext) -> ToolResult:
        limit_s = min(args.timeout, _MOST_S) if args.timeout > 0 else _DEFAULT_S
        # As they are, and not decompressed afterwards.
        headers = {"accept-encoding": "identity"}
        request = WebRequest(url=parse_url(args.url), headers=headers)
        path, state = await anyio.to_thread.run_sync(self._check, args, context)
        before = await anyio.to_thread.run_sync(_text_of, path)
        try:
            with anyio.fail_after(limit_s):
                async with self._web.open(request, call=args, env=context.env) as answer:
                    await check_success(answer)
                    size_bytes = await self._save(answer, path, state, context)
                    about = _describe(answer, size_bytes)
        except TimeoutError as exc:
            raise ToolError(
                f"{request.url} was not complete within {limit_s} s; nothing was kept."
            ) from exc
        after = await anyio.to_thread.run_sync(_text_of, path)
        if after is not None and (before is not None or state is None):
            context.files.changed(path, before=before, after=after)
        return ToolResult(content=f"Downloaded {request.url} to {path} ({about}).")

    def _check(self, args: DownloadArgs, context: ToolContext) -> tuple[str, str | None]:
        path = resolve_path(args.file_path, context)
        state = file_state(path)
        self._shown.check_content(args, path, state)
        return path, state

    async def _save(
        self, answer: WebAnswer, path: str, state: str | None, context: ToolContext
    ) -> int:
        """The number of bytes. What is incomplete, or more than is allowed, is not kept."""
        if answer.size_bytes is not None and answer.size_bytes > self._most_bytes:
            raise self._too_large(answer)
        # A start that is cut in two would leave a file nobody knows of.
        with anyio.CancelScope(shield=True):
            file = await anyio.to_thread.run_sync(lambda: PartialFile(path, umask=context.umask))
        try:
            size_bytes = await self._receive(answer, file)
            await anyio.to_thread.run_sync(lambda: file.commit(expected=state))
        finally:
            with anyio.move_on_after(_CLEANUP_S, shield=True):
                await anyio.to_thread.run_sync(file.discard)
        return size_bytes

    async def _receive(self, answer: WebAnswer, file: PartialFile) -> int:
        size_bytes = 0
        piece = bytearray()
        while chunk := await answer.read_chunk():
            size_bytes += len(chunk)
            if size_bytes > self._most_bytes:
                raise self._too_large(answer)
            piece += chunk
            if len(piece) >= _PIECE_BYTES:
                await anyio.to_thread.run_sync(file.write, bytes(piece))
                piece.clear()
        await anyio.to_thread.run_sync(file.write, bytes(piece))
        return size_bytes

    def _too_large(self, answer: WebAnswer) -> ToolError:
        return ToolError(
            f"{answer.url} is larger than {self._most_bytes} bytes, the most that is downloaded; "
            "nothing was kept."
        )


def _describe(answer: WebAnswer, size_bytes: int) -> str:
    about = [f"{size_bytes} bytes"]
    if answer.content_type:
        about.append(answer.content_type[:_SHOWN_CHARS])
    if answer.encoding:
        about.append(f"as sent, in {answer.encoding[:_SHOWN_CHARS]}")
    if not answer.has_known_end:
        about.append("complete only if the server did not break off: it announced no length")
    return clean_text(", ".join(about))


def _text_of(path: str) -> str | None:
    """What undo can keep; None for no file, and for one that is no text of usual size."""
    try:
        return load_text(path).text
    except ToolError:
        return None
