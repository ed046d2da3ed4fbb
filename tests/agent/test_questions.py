"""Forms of a turn: stored while they wait, answered once, cancelled, withdrawn, or for nobody."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from crush.errors import StoreError, UsageError
from crush.providers.base import ToolTurn
from crush.store.change import Change
from crush.tools.registry import core_tools
from crush.wire.events import QuestionAsked, QuestionResolved
from crush.wire.messages import Run
from crush.wire.permissions import Resolved
from crush.wire.questions import QuestionAnswer, QuestionRequest, QuestionResponse
from tests.agent.bench import Bench
from tests.agent.listener import Listener
from tests.fakes.provider import Script, calls, says
from tests.fakes.sandbox import no_sandbox
from tests.fakes.tools import need


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """With the real tool beside the scripted ones."""
    bench = Bench(tmp_path)
    (question,) = [tool for tool in core_tools(sandbox=no_sandbox) if tool.name == "question"]
    bench.tools = {**bench.tools, "question": question}
    async with bench as opened:
        yield opened


class Person:
    """Somebody in front of a terminal who sees forms."""

    def __init__(self, bench: Bench) -> None:
        self._ear: Listener = bench.listen(can_answer=True)
        self._seen = 0

    async def next_form(self) -> QuestionRequest:
        self._seen += 1
        await self._ear.wait(lambda me: len(self._forms()) >= self._seen)
        return self._forms()[self._seen - 1]

    def _forms(self) -> list[QuestionRequest]:
        return [
            item.event.request
            for item in self._ear.events()
            if isinstance(item.event, QuestionAsked)
        ]

    def ends(self) -> list[QuestionResolved]:
        self._ear.take()
        return [
            item.event for item in self._ear.events() if isinstance(item.event, QuestionResolved)
        ]


def asks(call_id: str = "c1", text: str = "Which?") -> Script:
    return calls("question", call_id, questions=[{"question": text, "type": "free_text"}])


def answer_to(form: QuestionRequest, text: str = "this", *, named: bool = True) -> QuestionAnswer:
    responses = [QuestionResponse(request_id=q.id, fill_in_text=text) for q in form.questions]
    return QuestionAnswer(batch_request_id=form.id if named else "", responses=responses)


def told(bench: Bench, step: int = 1) -> str:
    """What the model got as a result."""
    turn = bench.provider.requests[step].turns[-1]
    assert isinstance(turn, ToolTurn)
    return turn.results[-1].text


async def test_a_form_is_stored_while_the_run_waits_and_its_answer_goes_to_the_model(
    bench: Bench,
) -> None:
    bench.provider.add(asks(), says("done"))
    person = Person(bench)
    run = await bench.send()
    form = await person.next_form()
    assert (await bench.store.run(run.id)).state == "waiting"
    (waiting,) = await bench.store.questions()
    assert (waiting.request, waiting.run_id) == (form, run.id)
    assert waiting.asked_at_ms > 0
    assert (await bench.store.snapshot(run.session_id)).questions == [waiting]
    assert (form.tool_call_id, form.session_id) == ("c1", run.session_id)
    given = await bench.project.questions.answer(answer_to(form), by="me")
    assert given == Resolved(resolved=True, outcome="answered", by="me")
    assert await bench.store.questions() == []
    ended = await bench.ended(run)
    assert (ended.state, ended.steps) == ("done", 2)
    assert told(bench) == "1. Which?\nanswered: this"
    (end,) = person.ends()
    assert (end.question_id, end.by, end.run_id) == (form.id, "me", run.id)
    assert [response.fill_in_text for response in end.responses] == ["this"]
    assert (await bench.log(run))[5:12] == [
        "0 call c1",
        "run waiting",
        "question_asked",
        "answered by me",
        "run running",
        "result c1",
        "1 finish tool_use",
    ]


async def test_where_nobody_can_answer_the_model_is_told_to_decide(bench: Bench) -> None:
    """Who could answer when the turn began may have left."""
    person = bench.listen(can_answer=True)
    bench.change.hold("a")
    bench.provider.add([*calls("change", "c0", key="a"), *asks()], says("I chose"))
    run = await bench.send()
    await bench.change.wait_begun("a")
    person.close()
    bench.change.release("a")
    assert (await bench.ended(run)).state == "done"
    assert "Nobody can answer" in told(bench)
    assert "run waiting" not in await bench.log(run)
    assert await bench.store.questions() == []


async def test_a_form_that_is_closed_ends_the_turn_behind_its_result(bench: Bench) -> None:
    bench.provider.add([*asks(), *calls("change", "c2", key="a")])
    person = Person(bench)
    run = await bench.send()
    form = await person.next_form()
    given = await bench.project.questions.cancel(form.id, by="me")
    assert given == Resolved(resolved=True, outcome="cancelled", by="me")
    assert (await bench.ended(run)).state == "done"
    assert bench.change.begun == []
    assert (await bench.log(run))[-4:] == [
        "result c1",
        "error c2",
        "2 finish end_turn",
        "complete done",
    ]
    assert [end.outcome for end in person.ends()] == ["cancelled"]


async def test_a_cancel_of_the_turn_withdraws_the_form(bench: Bench) -> None:
    bench.provider.add(asks())
    person = Person(bench)
    run = await bench.send()
    form = await person.next_form()
    assert await bench.project.cancel_run(run.id)
    assert (await bench.ended(run)).state == "cancelled"
    assert [(end.outcome, end.by) for end in person.ends()] == [("withdrawn", "turn")]
    assert await bench.store.questions() == []
    late = await bench.project.questions.answer(answer_to(form), by="me")
    assert late == Resolved(resolved=False, outcome="withdrawn", by="turn")


async def test_a_form_that_nobody_fills_in_in_time_is_withdrawn_and_the_turn_goes_on(
    bench: Bench,
) -> None:
    bench.project.questions._answer_within_s = 0.02
    bench.provider.add(asks(), says("I chose"))
    person = Person(bench)
    run = await bench.ended(await bench.send())
    assert (run.state, run.steps) == ("done", 2)
    assert "in time" in told(bench)
    assert [(end.outcome, end.by) for end in person.ends()] == [("withdrawn", "timeout")]


async def test_of_twenty_answers_and_cancels_at_once_the_first_counts(bench: Bench) -> None:
    bench.provider.add(asks(), says("done"))
    person = Person(bench)
    run = await bench.send()
    form = await person.next_form()
    given: list[Resolved] = []

    async def answer(number: int) -> None:
        questions = bench.project.questions
        if number % 2:
            given.append(await questions.cancel(form.id, by=f"{number}"))
        else:
            given.append(await questions.answer(answer_to(form), by=f"{number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(answer, number)
    (won,) = [resolved for resolved in given if resolved.resolved]
    assert {(resolved.outcome, resolved.by) for resolved in given} == {(won.outcome, won.by)}
    await bench.ended(run)
    assert [(end.outcome, end.by) for end in person.ends()] == [(won.outcome, won.by)]


async def two_forms(bench: Bench) -> tuple[list[Run], QuestionRequest, QuestionRequest]:
    """Two sessions wait."""
    bench.provider.add(asks("c1", "First?"), asks("c2", "Second?"))
    bench.provider.add_default(says("done"))
    person = Person(bench)
    first_run = await bench.send()
    first = await person.next_form()
    second_run = await bench.send()
    return [first_run, second_run], first, await person.next_form()


async def test_an_answer_without_a_name_is_for_the_oldest_form_that_asks_it(bench: Bench) -> None:
    runs, first, second = await two_forms(bench)
    questions = bench.project.questions
    assert (await questions.answer(answer_to(second, named=False), by="me")).resolved
    assert [form.request.id for form in await bench.store.questions()] == [first.id]
    # Said again, it must not answer the form that still waits.
    assert not (await questions.answer(answer_to(second, named=False), by="me")).resolved
    assert (await questions.answer(QuestionAnswer(), by="me")).resolved  # all skipped
    assert [(await bench.ended(run)).state for run in runs] == ["done", "done"]
    assert not (await questions.answer(QuestionAnswer(), by="me")).resolved


async def test_a_cancel_without_a_name_is_for_the_oldest_form(bench: Bench) -> None:
    runs, first, second = await two_forms(bench)
    questions = bench.project.questions
    assert (await questions.cancel("", by="me")).resolved
    assert [form.request.id for form in await bench.store.questions()] == [second.id]
    assert not (await questions.cancel(first.id, by="me")).resolved
    assert (await questions.cancel(second.id, by="me")).resolved
    assert not (await questions.cancel("", by="me")).resolved
    assert [(await bench.ended(run)).state for run in runs] == ["done", "done"]


async def test_an_answer_to_what_the_named_form_does_not_ask_is_refused(bench: Bench) -> None:
    runs, first, second = await two_forms(bench)
    questions = bench.project.questions
    mixed = QuestionAnswer(batch_request_id=first.id, responses=answer_to(second).responses)
    with pytest.raises(UsageError, match=second.questions[0].id):
        await questions.answer(mixed, by="me")
    assert len(await bench.store.questions()) == 2
    for form in (first, second):
        assert (await questions.answer(answer_to(form), by="me")).resolved
    for run in runs:
        await bench.ended(run)


async def test_an_unknown_form_is_nobodys(bench: Bench) -> None:
    questions = bench.project.questions
    assert await questions.cancel("unknown", by="me") == Resolved(resolved=False)
    answer = QuestionAnswer(batch_request_id="unknown")
    assert await questions.answer(answer, by="me") == Resolved(resolved=False)


async def test_the_run_waits_until_the_last_of_its_questions_is_answered(bench: Bench) -> None:
    """A permission and a form share one state of the run."""
    bench.read.needed = lambda key: [need(key)]
    bench.provider.add([*calls("read", "c1", key="a"), *calls("read", "c2", key="b")], says("done"))
    bench.listen(can_answer=True)
    run = await bench.send(mode="ask")
    while len(waiting := await bench.store.pending()) < 2:
        await anyio.lowlevel.checkpoint()
    for pending in waiting:
        assert (await bench.store.run(run.id)).state == "waiting"
        await bench.project.broker.answer(pending.request.id, "allow", by="me")
    await bench.ended(run)
    states = [word for word in await bench.log(run) if word.startswith("run ")]
    assert states == ["run queued", "run running", "run waiting", "run running"]


async def test_an_answer_that_cannot_be_stored_is_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.provider.add(asks(), says("done"))
    person = Person(bench)
    run = await bench.send()
    form = await person.next_form()
    commit = bench.store.commit

    async def full(change: Change, **rest: object) -> object:
        raise StoreError("the disk is full")

    monkeypatch.setattr(bench.store, "commit", full)
    with pytest.raises(StoreError):
        await bench.project.questions.answer(answer_to(form), by="me")
    monkeypatch.setattr(bench.store, "commit", commit)
    assert (await bench.project.questions.answer(answer_to(form, "that"), by="me")).resolved
    await bench.ended(run)
    assert "answered: that" in told(bench)
