"""Bodies and answers of the routes, by route (docs/reference/wire.md, W 3).

Unknown keys are ignored; a missing key takes its default, so an older client stays welcome.
"""

from typing import Literal

import msgspec
from msgspec import Struct, field

from crush.wire.messages import Message, Mode, Session
from crush.wire.problems import ProtocolRange


class Version(Struct, frozen=True, kw_only=True):
    """`GET /v1/version`: Crush's fields, then ours."""

    version: str
    commit: str
    build_id: str
    go_version: str
    platform: str
    protocol: ProtocolRange
    instance_id: str
    pid: int


class Control(Struct, frozen=True, kw_only=True):
    """`POST /v1/control`."""

    command: str = field(default_factory=str)


class StartRun(Struct, frozen=True, kw_only=True):
    """`POST /v1/runs`: one prompt, and all that it needs, in one request.

    Attributes:
        path: absolute working directory.
        env: the client's environment; kept in memory, never stored or logged.
        session: full id or unique prefix of a session to continue; "" for a new one.
        last: continue the newest session.
        model, small_model: `model` or `provider/model`; "" for the configured one.
        max_steps: most requests to the model, 0 for no ceiling.
        timeout_s: most seconds for the run, 0 for no ceiling.
        umask: of the client; tools get it.
        data_dir: overrides the project's data directory.
    """

    path: str
    prompt: str
    client_id: str = ""
    env: dict[str, str] = {}
    model: str = ""
    small_model: str = ""
    session: str = ""
    last: bool = False
    mode: Mode = "workspace"
    read_only: bool = False
    detach: bool = False
    max_steps: int = 0
    timeout_s: float = 0.0
    umask: int = 0o022
    data_dir: str = ""


class CreateWorkspace(Struct, frozen=True, kw_only=True):
    """`POST /v1/workspaces`, as Crush's clients send it."""

    path: str = field(default_factory=str)
    client_id: str = ""
    env: list[str] | None = None
    data_dir: str = ""
    yolo: bool = False
    debug: bool = False
    version: str = ""


class SelectedModel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A chosen model and its settings."""

    model: str
    provider: str
    reasoning_effort: str = ""
    think: bool = False
    max_tokens: int = 0
    temperature: float | None = None
    top_p: float | None = None


class ModelInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model of the catalogue or the configuration; prices in USD per million tokens."""

    id: str
    name: str = field(default_factory=str)
    cost_per_1m_in: float = field(default_factory=float)
    cost_per_1m_out: float = field(default_factory=float)
    cost_per_1m_in_cached: float = field(default_factory=float)
    cost_per_1m_out_cached: float = field(default_factory=float)
    context_window: int = field(default_factory=int)
    default_max_tokens: int = field(default_factory=int)
    can_reason: bool = field(default_factory=bool)
    reasoning_levels: list[str] | None = None
    default_reasoning_effort: str = ""
    supports_attachments: bool = field(default_factory=bool)


class ProviderView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A configured provider without its secrets; `api_key` is a placeholder."""

    id: str
    name: str = ""
    base_url: str = ""
    type: str = ""
    api_key: str = ""
    disable: bool = False
    models: list[ModelInfo] = []


class TuiOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Options of the terminal interface; a classic client needs the object, even empty."""

    compact_mode: bool = False


class OptionsView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options that a classic client dereferences."""

    data_directory: str = ""
    tui: TuiOptions = field(default_factory=TuiOptions)
    disable_metrics: bool = field(default_factory=lambda: True)


class ConfigView(Struct, frozen=True, kw_only=True):
    """The configuration as a classic client reads it; never holds a secret."""

    models: dict[str, SelectedModel] = field(default_factory=lambda: {})  # noqa: PIE807 - `dict` would be omitted when empty
    providers: dict[str, ProviderView] = field(default_factory=lambda: {})  # noqa: PIE807 - as above
    options: OptionsView = field(default_factory=OptionsView)


class Workspace(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer of the workspace routes; `env` is always empty (W37)."""

    id: str
    path: str
    data_dir: str
    version: str
    config: ConfigView
    yolo: bool = False
    debug: bool = False
    env: list[str] = field(default_factory=lambda: [])  # noqa: PIE807 - present though empty


class AgentInfo(Struct, frozen=True, kw_only=True):
    """`GET …/agent`."""

    is_busy: bool
    is_ready: bool
    model: ModelInfo
    model_cfg: SelectedModel


class AgentSession(Struct, frozen=True, kw_only=True):
    """`GET …/agent/sessions/{sid}`: what the agent knows of a session."""

    id: str
    title: str
    is_busy: bool


class SessionWithMessages(Struct, frozen=True, kw_only=True):
    """`GET /v1/sessions/{sid}`: a session and everything said in it."""

    session: Session
    messages: list[Message]


class AgentInit(Struct, frozen=True, kw_only=True):
    """`POST …/agent/init`."""

    interactive: bool = False


class Attachment(Struct, frozen=True, kw_only=True):
    """A file that comes with a prompt; `content` is base64."""

    file_path: str = ""
    file_name: str = ""
    mime_type: str = ""
    content: bytes = b""


class AgentMessage(Struct, frozen=True, kw_only=True):
    """`POST …/agent`."""

    session_id: str = ""
    run_id: str = ""
    prompt: str = ""
    attachments: list[Attachment] | None = None


class Accepted(Struct, frozen=True, kw_only=True):
    """Answer of `POST …/agent`: the id under which the prompt was accepted."""

    run_id: str


class NewSession(Struct, frozen=True, kw_only=True):
    """`POST …/sessions`; of the whole session only the title counts."""

    title: str = ""


class StartupLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one line that a server writes on its readiness pipe."""

    state: Literal["ready", "other", "failed"]
    pid: int = 0
    error: str = ""


Empty = dict[str, msgspec.Raw]
