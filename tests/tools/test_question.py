"""Questions to a person: what may be asked, how it is shown, what the model is told."""

from typing import Any

import msgspec
import pytest
from typing_extensions import override

from crush.errors import ToolError
from crush.tools.question import QuestionTool
from crush.wire.questions import Question, QuestionRequest, QuestionResponse
from tests.fakes.surroundings import FakeAsker
from tests.tools.conftest import Caller


@pytest.fixture
def person(call: Caller) -> FakeAsker:
    asker = FakeAsker()
    asker.is_there = True
    asker.answer = ()
    call.context = msgspec.structs.replace(call.context, asker=asker)
    return asker


def one(**changed: Any) -> dict[str, Any]:
    return {"question": "Which?", "type": "free_text", **changed}


def choosing(count: int, **changed: Any) -> dict[str, Any]:
    choices = [{"label": f"choice {number}"} for number in range(count)]
    return one(**{"type": "single_choice", "choices": choices, **changed})


async def asked(call: Caller, person: FakeAsker, *questions: dict[str, Any]) -> list[Question]:
    """What a person was shown."""
    await call("question", questions=list(questions))
    return list(person.forms[-1].questions)


async def test_a_form_is_shown_as_it_was_written(call: Caller, person: FakeAsker) -> None:
    choices = [{"label": "Yes", "description": "all"}, {"label": "No", "id": "n"}]
    question = one(type="multi_choice", label="tab", description="why", choices=choices)
    await call("question", questions=[question], confirm_title="Sure?", confirm_description="now")
    (form,) = person.forms
    (shown,) = form.questions
    assert (form.call_id, form.confirm_title, form.confirm_description) == ("call", "Sure?", "now")
    assert (shown.question, shown.type, shown.label) == ("Which?", "multi_choice", "tab")
    assert shown.description == "why"
    assert [(c.id, c.label, c.description) for c in shown.choices or ()] == [
        ("1", "Yes", "all"),
        ("n", "No", ""),
    ]


async def test_no_two_questions_have_the_same_id(call: Caller, person: FakeAsker) -> None:
    first = await asked(call, person, one(), one())
    second = await asked(call, person, one())
    assert len({question.id for question in (*first, *second)}) == 3


async def test_what_a_terminal_would_obey_is_not_shown(call: Caller, person: FakeAsker) -> None:
    hostile = "\x1b]0;title\x07a\u202eb"
    choices = [{"label": hostile, "description": hostile}, {"label": "no"}]
    await call(
        "question",
        questions=[
            one(type="single_choice", question=hostile, description=hostile, choices=choices)
        ],
        confirm_title=hostile,
    )
    text = msgspec.json.encode(person.forms).decode()
    assert "\\u001b" not in text
    assert "\u202e" not in text
    assert text.count('"ab"') == 5


@pytest.mark.parametrize(
    "questions",
    [
        [one()],
        [one()] * 5,
        [one(question="x" * 240, description="y" * 600)],
        [choosing(2)],
        [choosing(5)],
        [one(type="yes_no")],
        [one(type="single_choice", choices=[{"label": "z" * 200, "description": "z" * 200}] * 2)],
    ],
)
async def test_forms_within_the_limits_are_asked(
    call: Caller, person: FakeAsker, questions: list[dict[str, Any]]
) -> None:
    await call("question", questions=questions)
    assert len(person.forms[0].questions) == len(questions)


@pytest.mark.parametrize(
    ("questions", "told"),
    [
        ([], "1 to 5"),
        ([one()] * 6, "not 6"),
        ([one(), one(question=" ")], "Question 2 asks nothing"),
        ([one(question="x" * 241)], "241"),
        ([one(description="x" * 601)], "601"),
        ([choosing(1)], "2 to 5 choices, not 1"),
        ([choosing(6)], "not 6"),
        ([one(type="single_choice")], "not 0"),
        ([choosing(2, type="yes_no")], "yes_no has no choices"),
        ([choosing(2, type="free_text")], "free_text has no choices"),
        ([one(type="multi_choice", choices=[{"label": "x" * 201}, {"label": "y"}])], "201"),
        ([one(type="multi_choice", choices=[{"label": ""}, {"label": "y"}])], "no label"),
        (
            [one(type="multi_choice", choices=[{"label": "x", "id": "2"}, {"label": "y"}])],
            "same id",
        ),
        (
            [
                one(
                    type="multi_choice",
                    choices=[{"label": "x", "description": "d" * 201}, {"label": "y"}],
                )
            ],
            "201",
        ),
    ],
)
async def test_what_cannot_be_shown_is_refused_and_nobody_is_asked(
    call: Caller, person: FakeAsker, questions: list[dict[str, Any]], told: str
) -> None:
    with pytest.raises(ToolError, match=told):
        await call.prepare("question", questions=questions).needs()
    assert person.forms == []


class Answering(FakeAsker):
    """Answers each question in its order; None leaves one out."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        super().__init__()
        self._answers = answers

    @override
    async def ask(self, form: Any) -> Any:
        return [
            QuestionResponse(request_id=question.id, **answer)
            for question, answer in zip(form.questions, self._answers, strict=True)
            if answer is not None
        ]


async def told(call: Caller, question: dict[str, Any], answer: dict[str, Any] | None) -> str:
    call.context = msgspec.structs.replace(call.context, asker=Answering(answer))
    result = await call("question", questions=[question])
    assert (result.is_error, result.stop) == (False, False)
    return result.content


@pytest.mark.parametrize(
    ("question", "answer", "lines"),
    [
        (one(type="yes_no"), {"yes": True}, ["yes"]),
        (one(type="yes_no"), {"yes": False}, ["no"]),
        (one(), {"fill_in_text": "my way"}, ["answered: my way"]),
        (one(), {"fill_in_text": "  "}, ["skipped"]),
        (one(), {}, ["skipped"]),
        (one(), None, ["skipped"]),
        (choosing(3), {"selected_ids": ["2"]}, ["chosen: choice 1"]),
        (
            choosing(3, type="multi_choice"),
            {"selected_ids": ["1", "3"], "fill_in_text": "and more"},
            ["chosen: choice 0", "chosen: choice 2", "answered: and more"],
        ),
        (choosing(2), {"selected_ids": ["other"]}, ["chosen: other"]),
        (
            choosing(2),
            {"selected_ids": ["1"], "notes": {"1": "soon", "x": "hm", "2": " "}},
            ["chosen: choice 0", "note on choice 0: soon", "note: hm"],
        ),
    ],
)
async def test_the_model_is_told_each_answer(
    call: Caller, question: dict[str, Any], answer: dict[str, Any] | None, lines: list[str]
) -> None:
    assert await told(call, question, answer) == "\n".join(["1. Which?", *lines])


async def test_each_question_stands_with_its_answer_also_for_front_ends(call: Caller) -> None:
    call.context = msgspec.structs.replace(
        call.context, asker=Answering({"fill_in_text": "x"}, None)
    )
    result = await call("question", questions=[one(), one(question="And?")])
    assert result.content == "1. Which?\nanswered: x\n\n2. And?\nskipped"
    metadata = msgspec.json.decode(result.metadata_json())
    assert [question["question"] for question in metadata["questions"]] == ["Which?", "And?"]
    assert metadata["responses"] == [
        {"request_id": metadata["questions"][0]["id"], "fill_in_text": "x"}
    ]


async def test_who_closes_the_form_ends_the_turn(call: Caller, person: FakeAsker) -> None:
    person.answer = None
    result = await call("question", questions=[one()])
    assert result.stop
    assert "closed the form" in result.content


async def test_without_anybody_the_model_is_told_so(call: Caller) -> None:
    with pytest.raises(ToolError, match="nobody is there"):
        await call("question", questions=[one()])


def test_questions_come_when_the_answer_is_complete_and_one_after_the_other() -> None:
    assert not QuestionTool.read_only


def test_a_form_fits_the_wire() -> None:
    fields = {"questions", "confirm_title", "confirm_description"}
    assert fields <= set(QuestionRequest.__struct_fields__)
