"""Versions of files that tools changed (W 5.4): what the changed-files panel and undo stand on."""

from msgspec import Struct, field

from crush.wire.ids import SessionId


class FileVersion(Struct, frozen=True, kw_only=True):
    """The content of a file at one moment of a session; version 0 is what was there before.

    `content` is "" for a file that did not exist. Times in seconds.
    """

    id: str
    session_id: SessionId
    path: str
    content: str
    version: int
    created_at: int = field(default_factory=int)
    updated_at: int = field(default_factory=int)


class GoFileVersion(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A `FileVersion` with the keys that `GET …/history` has (W 5.4)."""

    id: str = field(name="ID")
    session_id: str = field(name="SessionID")
    path: str
    content: str
    version: int
    created_at: int = field(default_factory=int)
    updated_at: int = field(default_factory=int)


class TrackRead(Struct, frozen=True, kw_only=True):
    """`POST …/filetracker/read`: a client showed this file to the session."""

    session_id: SessionId
    path: str
