"""Permission requests and answers (W 5.5, 5.6). A grant names a request by id; nothing else counts."""

from typing import Literal

import msgspec
from msgspec import Struct, field

from crush.wire.ids import PermissionId, SessionId, ToolCallId

GrantAction = Literal["allow", "allow_session", "deny"]
Outcome = Literal["allow", "allow_session", "deny", "withdrawn"]


class PermissionRequest(Struct, frozen=True, kw_only=True):
    """What a tool wants to do. `params` is an object of the shape that `tool_name` selects."""

    id: PermissionId
    session_id: SessionId
    tool_call_id: ToolCallId
    tool_name: str
    description: str
    action: str
    params: msgspec.Raw
    path: str


class PermissionRef(Struct, frozen=True, kw_only=True):
    """The part of a client's echo that we read: the id of the request."""

    id: PermissionId


class PermissionGrant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of `permissions/grant`; `feedback` (ours) goes to the model with a denial."""

    permission: PermissionRef
    action: GrantAction
    feedback: str = ""


class Resolved(Struct, frozen=True, kw_only=True):
    """Whether this answer was the one that counted."""

    resolved: bool


class Skip(Struct, frozen=True, kw_only=True):
    """Body and answer of `permissions/skip`."""

    skip: bool = field(default_factory=bool)
