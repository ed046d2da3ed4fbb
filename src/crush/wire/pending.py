"""What waits for a person right now, oldest first: the answer of `GET …/pending`."""

from msgspec import Struct, field

from crush.wire.ids import RunId
from crush.wire.permissions import PermissionRequest
from crush.wire.questions import QuestionRequest


class OpenPermission(PermissionRequest, frozen=True, kw_only=True, omit_defaults=True):
    """A permission request, the run that waits for it, and since when."""

    run_id: RunId
    asked_at_ms: int = field(default_factory=int)


class OpenForm(QuestionRequest, frozen=True, kw_only=True, omit_defaults=True):
    """A form, the run that waits for it, and since when."""

    run_id: RunId
    asked_at_ms: int = field(default_factory=int)


class OpenRequests(Struct, frozen=True, kw_only=True):
    """Everything of one project that waits."""

    permissions: list[OpenPermission]
    questions: list[OpenForm]
