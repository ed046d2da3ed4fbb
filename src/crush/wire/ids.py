"""Names for the identifiers that travel on the wire; all are opaque strings."""

from typing import NewType

SessionId = NewType("SessionId", str)  # UUID; sub-agents: `<message id>$$<tool call id>`
MessageId = NewType("MessageId", str)  # UUID
RunId = NewType("RunId", str)  # UUID, chosen by the client or by us
WorkspaceId = NewType("WorkspaceId", str)  # UUID, new for each life of a server
ClientId = NewType("ClientId", str)  # UUID, one per front-end process
ToolCallId = NewType("ToolCallId", str)  # chosen by the provider
PermissionId = NewType("PermissionId", str)  # UUID
