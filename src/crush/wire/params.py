"""What a permission dialog shows, by tool: the nine known shapes of `params` (W 5.5).

One table serves the tool that asks, the dialog and the wire. A tool that is not in it sends its
arguments as the object that came from the model.
"""

from msgspec import Struct, field


class BashParams(Struct, frozen=True, kw_only=True):
    """Arguments of `bash`; `auto_background_after` in seconds."""

    command: str
    description: str = field(default_factory=str)
    working_dir: str = field(default_factory=str)
    run_in_background: bool = field(default_factory=bool)
    auto_background_after: int = field(default_factory=int)


class DownloadParams(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of `download`; `timeout` in seconds."""

    url: str
    file_path: str
    timeout: int = 0


class _FileChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    file_path: str
    old_content: str = ""
    new_content: str = ""


class EditParams(_FileChange, frozen=True, kw_only=True, omit_defaults=True):
    """The file before and after an `edit`."""


class WriteParams(_FileChange, frozen=True, kw_only=True, omit_defaults=True):
    """The file before and after a `write`."""


class MultieditParams(_FileChange, frozen=True, kw_only=True, omit_defaults=True):
    """The file before and after a `multiedit`."""


class FetchParams(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of `fetch`; `timeout` in seconds."""

    url: str
    format: str
    timeout: int = 0


class AgenticFetchParams(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of `agentic_fetch`."""

    prompt: str
    url: str = ""


class ViewParams(Struct, frozen=True, kw_only=True):
    """Arguments of `view`; `offset` is a line counted from 0, `limit` a number of lines."""

    file_path: str
    offset: int = field(default_factory=int)
    limit: int = field(default_factory=int)


class LsParams(Struct, frozen=True, kw_only=True):
    """Arguments of `ls`."""

    path: str = field(default_factory=str)
    ignore: list[str] | None = field(default_factory=lambda: None)
    depth: int = field(default_factory=int)


Params = (
    BashParams
    | DownloadParams
    | EditParams
    | WriteParams
    | MultieditParams
    | FetchParams
    | AgenticFetchParams
    | ViewParams
    | LsParams
)

PARAMS: dict[str, type[Params]] = {
    "bash": BashParams,
    "download": DownloadParams,
    "edit": EditParams,
    "write": WriteParams,
    "multiedit": MultieditParams,
    "fetch": FetchParams,
    "agentic_fetch": AgenticFetchParams,
    "view": ViewParams,
    "ls": LsParams,
}
