"""Permission requests and answers (W 5.5, 5.6). A grant names a request by id; nothing else counts."""

from typing import Literal

import msgspec
from msgspec import Struct, field

from crush.wire.ids import PermissionId, SessionId, ToolCallId

# `allow_session` and `allow_always` remember one of the offers: until the project closes, or for good.
GrantAction = Literal["allow", "allow_session", "allow_always", "deny"]
Outcome = Literal["allow", "allow_session", "allow_always", "deny", "withdrawn"]


class PermissionRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tool wants to do. `params` is an object of the shape that `tool_name` selects.

    Attributes:
        reason: why it is asked about, one line.
        offers: what can be remembered, the narrowest first; each is a list of rules that only
            together cover this request. Empty: only this very request can be, and not for good.
    """

    id: PermissionId
    session_id: SessionId
    tool_call_id: ToolCallId
    tool_name: str
    description: str
    action: str
    params: msgspec.Raw
    path: str
    reason: str = ""
    offers: list[list[str]] = field(default_factory=list)


class PermissionRef(Struct, frozen=True, kw_only=True):
    """The part of a client's echo that we read: the id of the request."""

    id: PermissionId


class PermissionGrant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of `permissions/grant`.

    Ours: `feedback` goes to the model with a denial; `rules` is the offer to remember, to the letter,
    and the narrowest one if it is missing.
    """

    permission: PermissionRef
    action: GrantAction
    feedback: str = ""
    rules: list[str] | None = None


class Resolved(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether this answer was the one that counted.

    Ours: the answer that did, who gave it, and what it made us remember; `outcome` is "" for a
    request that nobody knows.
    """

    resolved: bool
    outcome: str = ""
    by: str = ""
    rules: list[str] = field(default_factory=list)


class Skip(Struct, frozen=True, kw_only=True):
    """Body and answer of `permissions/skip`."""

    skip: bool = field(default_factory=bool)
