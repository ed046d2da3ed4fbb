"""Questions of the agent to a person, and their answers (W 5.7)."""

from typing import Literal

from msgspec import Struct, field

from crush.wire.ids import PermissionId, SessionId, ToolCallId

QuestionType = Literal["yes_no", "single_choice", "multi_choice", "free_text"]


class Choice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to answer."""

    id: str
    label: str
    description: str = ""


class Question(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One question of a form; `choices` only for the choice types."""

    id: str
    type: QuestionType
    question: str
    label: str = ""
    description: str = ""
    choices: list[Choice] | None = None


class QuestionRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A form of one to five questions that a tool call waits for."""

    id: PermissionId
    session_id: SessionId
    tool_call_id: ToolCallId
    questions: list[Question]
    confirm_title: str = ""
    confirm_description: str = ""


class QuestionResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one question; `request_id` is the question's id, as classic clients name it."""

    request_id: str
    selected_ids: list[str] | None = None
    fill_in_text: str = ""
    yes: bool | None = None
    notes: dict[str, str] | None = None


class QuestionCancel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of `questions/cancel`, which classic clients leave out: then the oldest form is meant."""

    batch_request_id: str = ""


class QuestionAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of `questions/answer`.

    Without `batch_request_id` the oldest form is meant that asks what `responses` answer.
    """

    batch_request_id: str = ""
    responses: list[QuestionResponse] = field(default_factory=list)
