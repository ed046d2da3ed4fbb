"""The body of every answer that is not a success (docs/reference/wire.md)."""

from msgspec import Struct, field


class ProtocolRange(Struct, frozen=True, kw_only=True):
    """The protocol versions that a side speaks, both ends included."""

    min: int
    max: int


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`message` is what Crush's clients show; `code` is stable; `hint` says what to do.

    `protocol` and `replaceable` come with status 426 only.
    """

    message: str
    code: str = field(default_factory=lambda: "internal")
    hint: str = ""
    protocol: ProtocolRange | None = None
    replaceable: bool = False
