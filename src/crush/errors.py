"""The whole error tree: what can go wrong, who acts on it, and with which exit code a command ends.

    CrushError
    ├── UsageError            user: the command line or a request is malformed
    ├── ConfigError           user: a configuration file or value
    │   └── NoProviderError   user: nothing to ask a model with
    ├── NotFoundError         user: a session, run or workspace that is not there
    ├── ConflictError         user: the thing is busy or already ended
    │   └── ClosingError      user: the server is going away, ask again
    ├── ForbiddenError        user: this client may not talk to this server
    ├── NotBuiltError         user: a part of the protocol that this version does not have
    ├── DeniedError           user: a permission was refused
    ├── LimitError            user: a ceiling on steps or time was reached
    ├── ProviderError         model: the provider refused, failed or broke off
    ├── ToolError             model: the text goes back to the model as a result
    ├── StoreError            operator: database, lock or disk
    ├── HostError             operator: a host URL that cannot be used
    ├── StartError            operator: no server could be reached or started
    │   ├── NotListeningError  operator: nothing listens; a client may start a server
    │   └── BlockedError      operator: something is in the way that waiting does not remove
    ├── ProtocolError         operator: the two sides speak no common protocol
    └── ServerLostError       operator: the server went away in the middle of a run

`code` is stable and travels on the wire; texts may change. Standard library only: the thin client
imports this module.
"""

TYPE_CHECKING = False  # `typing` and `collections.abc` alone would cost 4 ms
if TYPE_CHECKING:
    from collections.abc import Mapping


class Exit:
    """Exit codes of every command (documented in `docs/reference/cli.md`).

    No enumeration: `enum` alone would cost the thin client 4 ms.
    """

    OK = 0
    ERROR = 1  # also: the server could not be started
    USAGE = 2
    CONFIG = 3  # configuration, or no provider
    NOT_FOUND = 4
    DENIED = 5  # a permission was refused, or nobody could give it
    LIMIT = 6  # --max-steps or --timeout
    PROVIDER = 7  # the model's side refused or failed
    SERVER_LOST = 8  # the server died or was stopped during the run
    CANCELLED = 9  # somebody else cancelled the run
    INTERRUPTED = 130  # SIGINT
    CLOSED_STDOUT = 141  # the reader of our output went away (128 + SIGPIPE)


class CrushError(Exception):
    """Base of everything that a user may see: a message, a stable code, a hint on what to do."""

    code = "internal"
    exit_code = Exit.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CrushError):
    """The command line or the body of a request cannot be understood."""

    code = "usage"
    exit_code = Exit.USAGE


class ConfigError(CrushError):
    """A configuration file or value cannot be used; names the file and, for JSON, line and column."""

    code = "config"
    exit_code = Exit.CONFIG


class NoProviderError(ConfigError):
    """No provider is configured for this run."""

    code = "no_provider"


class NotFoundError(CrushError):
    """A session, run, workspace or permission request that does not exist."""

    code = "not_found"
    exit_code = Exit.NOT_FOUND


class ConflictError(CrushError):
    """The thing exists but its state does not allow this: busy, closing, already ended."""

    code = "conflict"


class ClosingError(ConflictError):
    """The server is going away; the next request starts or finds another one."""

    code = "closing"


class ForbiddenError(CrushError):
    """The peer, its Host or its Origin is not one that this server talks to."""

    code = "forbidden"


class NotBuiltError(CrushError):
    """A route of the protocol whose part this version does not have."""

    code = "not_built"


class DeniedError(CrushError):
    """A permission was refused, or needed while nobody could answer."""

    code = "denied"
    exit_code = Exit.DENIED


class LimitError(CrushError):
    """A ceiling that the user set (steps, time) was reached."""

    code = "limit"
    exit_code = Exit.LIMIT


class ProviderError(CrushError):
    """The provider refused, failed or broke off.

    Attributes:
        status: the HTTP status, 0 when there was none.
        retryable: whether the same request may succeed later.
        retry_after_s: what the provider asked us to wait, `None` if it did not say.
        overflow: the conversation is too long for the model.
        auth: the key is missing, wrong or not allowed.
    """

    code = "provider"
    exit_code = Exit.PROVIDER

    def __init__(  # every field is named
        self,
        message: str,
        *,
        hint: str = "",
        status: int = 0,
        retryable: bool = False,
        retry_after_s: float | None = None,
        overflow: bool = False,
        auth: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.overflow = overflow
        self.auth = auth


class ToolError(CrushError):
    """A tool could not do what the model asked; the text goes to the model."""

    code = "tool"


class StoreError(CrushError):
    """The database, its lock or the disk."""

    code = "store"


class HostError(CrushError):
    """A host URL that cannot be parsed or used."""

    code = "host"
    exit_code = Exit.USAGE


class StartError(CrushError):
    """No server could be reached or started; the message names the last cause."""

    code = "start"


class NotListeningError(StartError):
    """Nothing listens at the host: the one case in which a client starts a server."""

    code = "not_listening"


class BlockedError(StartError):
    """The host cannot be used as it is: no permission, another user's socket, no such name."""

    code = "blocked"


class ProtocolError(CrushError):
    """Client and server have no protocol version in common, or an idle older server should go.

    Attributes:
        speaks: lowest and highest version of the side that refuses.
        replaceable: the server is idle and older: a client may ask it to leave and start its own.
    """

    code = "protocol"

    def __init__(
        self, message: str, *, hint: str = "", speaks: tuple[int, int], replaceable: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.speaks = speaks
        self.replaceable = replaceable


class ServerLostError(CrushError):
    """The server went away in the middle of a run."""

    code = "server_lost"
    exit_code = Exit.SERVER_LOST


def _everything(kind: type[CrushError] = CrushError) -> dict[str, type[CrushError]]:
    """Every class of the tree by its code."""
    found = {kind.code: kind}
    for child in kind.__subclasses__():
        for code, named in _everything(child).items():
            found.setdefault(code, named)
    return found


def exit_code_of(code: str) -> int:
    """The exit code for an error that travelled as its code."""
    return _everything().get(code, CrushError).exit_code


def error_from(problem: "Mapping[str, object]", status_line: str) -> CrushError:
    """The error that a problem on the wire stands for (`wire.problems.Problem`)."""
    kind = _everything().get(str(problem.get("code", "")), CrushError)
    error = CrushError(
        str(problem.get("message") or f"the server answered {status_line}"),
        hint=str(problem.get("hint", "")),
    )
    error.code, error.exit_code = kind.code, kind.exit_code
    return error
