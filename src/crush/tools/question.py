"""`question`: asks whoever follows the session, and gives the model the answers in its own words."""

import uuid
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import Form, ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.wire.questions import Choice, Question, QuestionResponse, QuestionType

MOST_QUESTIONS = 5
CHOICES = range(2, 6)
QUESTION_CHARS = 240
DESCRIPTION_CHARS = 600
CHOICE_CHARS = 200  # of a label, and of a description
TITLE_CHARS = 240

_CHOOSING: frozenset[QuestionType] = frozenset({"single_choice", "multi_choice"})


class ChoiceArgs(Struct, frozen=True, kw_only=True):
    """One way to answer."""

    label: str
    description: str = ""
    id: str = ""


class QuestionArgs(Struct, frozen=True, kw_only=True):
    """One question; `label` heads its tab."""

    question: str
    type: QuestionType
    label: str = ""
    description: str = ""
    choices: list[ChoiceArgs] = []


class FormArgs(Struct, frozen=True, kw_only=True):
    """Arguments of `question`; the page that ends the form has a title and a description."""

    questions: list[QuestionArgs]
    confirm_title: str = ""
    confirm_description: str = ""


class QuestionMetadata(Struct, frozen=True, kw_only=True):
    """What was asked and answered, for front ends."""

    questions: list[Question]
    responses: list[QuestionResponse]


class QuestionTool:
    """A person who will not answer ends the turn."""

    name = "question"
    args_type = FormArgs
    read_only = False

    def __init__(self, *, description: str) -> None:
        self.description = description

    def needs(self, args: FormArgs, context: ToolContext) -> list[Need]:
        del context
        _check(args)
        return []

    async def run(self, args: FormArgs, context: ToolContext) -> ToolResult:
        questions = [_question(question) for question in args.questions]
        responses = await context.asker.ask(
            Form(
                call_id=context.call_id,
                questions=questions,
                confirm_title=clean_text(args.confirm_title),
                confirm_description=clean_text(args.confirm_description),
            )
        )
        if responses is None:
            return ToolResult(content="The user closed the form without an answer.", stop=True)
        return ToolResult(
            content="\n\n".join(_told(questions, responses)),
            metadata=QuestionMetadata(questions=questions, responses=list(responses)),
        )


def _check(args: FormArgs) -> None:
    """Raises ToolError, which says what to change."""
    if not 1 <= len(args.questions) <= MOST_QUESTIONS:
        raise ToolError(f"Ask 1 to {MOST_QUESTIONS} questions, not {len(args.questions)}.")
    _check_length("confirm_title", args.confirm_title, TITLE_CHARS)
    _check_length("confirm_description", args.confirm_description, DESCRIPTION_CHARS)
    for number, question in enumerate(args.questions, start=1):
        where = f"Question {number}"
        if not question.question.strip():
            raise ToolError(f"{where} asks nothing.")
        _check_length(f"{where}: question", question.question, QUESTION_CHARS)
        _check_length(f"{where}: label", question.label, CHOICE_CHARS)
        _check_length(f"{where}: description", question.description, DESCRIPTION_CHARS)
        _check_choices(where, question)


def _check_choices(where: str, question: QuestionArgs) -> None:
    count = len(question.choices)
    if question.type not in _CHOOSING:
        if count:
            raise ToolError(f"{where}: {question.type} has no choices.")
        return
    if count not in CHOICES:
        raise ToolError(f"{where} needs {CHOICES[0]} to {CHOICES[-1]} choices, not {count}.")
    for number, choice in enumerate(question.choices, start=1):
        if not choice.label.strip():
            raise ToolError(f"{where}: choice {number} has no label.")
        _check_length(f"{where}: label of choice {number}", choice.label, CHOICE_CHARS)
        _check_length(f"{where}: description of choice {number}", choice.description, CHOICE_CHARS)
    if len({choice.id for choice in _choices(question)}) < count:
        raise ToolError(f"{where}: two choices have the same id.")


def _check_length(what: str, text: str, most: int) -> None:
    if len(text) > most:
        raise ToolError(f"{what} has {len(text)} characters, at most {most} are shown.")


def _question(args: QuestionArgs) -> Question:
    """As it is shown. Its id is like no other, so that no answer is taken for another form's."""
    return Question(
        id=str(uuid.uuid4()),
        type=args.type,
        question=clean_text(args.question),
        label=clean_text(args.label),
        description=clean_text(args.description),
        choices=_choices(args) or None,
    )


def _choices(args: QuestionArgs) -> list[Choice]:
    return [
        Choice(
            id=choice.id or str(number),
            label=clean_text(choice.label),
            description=clean_text(choice.description),
        )
        for number, choice in enumerate(args.choices, start=1)
    ]


def _told(questions: Sequence[Question], responses: Sequence[QuestionResponse]) -> Iterator[str]:
    """Each question with its answer; what was left open is said to be."""
    given = {response.request_id: response for response in responses}
    for number, question in enumerate(questions, start=1):
        response = given.get(question.id)
        labels = {choice.id: choice.label for choice in question.choices or ()}
        answer = [] if response is None else [*_answer(response, labels)]
        notes = {} if response is None else response.notes or {}
        lines = [f"{number}. {question.question}", *(answer or ["skipped"])]
        for key, note in notes.items():
            if note.strip():
                lines.append(f"note on {labels[key]}: {note}" if key in labels else f"note: {note}")
        yield "\n".join(lines)


def _answer(response: QuestionResponse, labels: Mapping[str, str]) -> Iterator[str]:
    if response.yes is not None:
        yield "yes" if response.yes else "no"
    for chosen in response.selected_ids or ():
        yield f"chosen: {labels.get(chosen, chosen)}"
    if response.fill_in_text.strip():
        yield f"answered: {response.fill_in_text}"
