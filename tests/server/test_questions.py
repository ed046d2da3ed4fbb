"""Forms as clients see them: asked, answered or cancelled once, whoever does it."""

import json

import pytest

from tests.server.classic_client import ClassicClient, ClassicStream
from tests.server.site import Event, Site


def ask(*questions: str) -> str:
    """A prompt that makes the model ask."""
    form = {
        "questions": [{"question": question, "type": "free_text"} for question in questions],
        "confirm_title": "Sure?",
    }
    return "TOOL question " + json.dumps(form) + "\n---\nSAY thanks"


def answers(form: Event, text: str = "this", **more: object) -> Event:
    responses = [{"request_id": item["id"], "fill_in_text": text} for item in form["questions"]]
    return {"responses": responses, **more}


def result(stream: ClassicStream) -> str:
    """What the model was told."""
    (text,) = [
        part["data"]["content"]
        for message in stream.of("message")
        for part in message["parts"]
        if part["type"] == "tool_result"
    ]
    return str(text)


async def test_a_classic_client_answers_the_one_form_that_waits(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, ask("Which?", "And?"), run_id="r0")
        form = await stream.until("question_batch_request")
        assert form["session_id"] == session
        assert form["confirm_title"] == "Sure?"
        assert [item["question"] for item in form["questions"]] == ["Which?", "And?"]
        told = await client.ask("POST", "/questions/answer", answers(form))
        assert told == {"resolved": True, "outcome": "answered", "by": "classic client"}
        assert await stream.until("question_batch_notification") == {"batch_id": form["id"]}
        end = await stream.complete("r0")
    assert end["text"] == "thanks"
    assert result(stream) == "1. Which?\nanswered: this\n\n2. And?\nanswered: this"
    again = await client.ask("POST", "/questions/answer", answers(form))
    assert again == {"resolved": False}


async def test_a_cancel_ends_the_turn_and_a_second_one_finds_nothing(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, ask("Which?"), run_id="r0")
        await stream.until("question_batch_request")
        assert (await client.ask("POST", "/questions/cancel"))["resolved"]
        await stream.until("question_batch_notification")
        end = await stream.complete("r0")
    assert "text" not in end
    assert "closed the form" in result(stream)
    assert await client.ask("POST", "/questions/cancel") == {"resolved": False}


async def test_everybody_learns_who_answered_and_who_comes_too_late_is_told(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    other = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events("&format=2&can_answer=1") as stream, other.events() as its_stream:
        await client.prompt(session, ask("Which?"), run_id="r0")
        form = (await stream.until("question_asked"))["request"]
        assert await its_stream.until("question_batch_request") == form
        (waiting,) = (await other.ask("GET", "/pending"))["questions"]
        assert waiting.pop("asked_at_ms") > 0
        assert waiting.pop("run_id") == "r0"
        assert waiting == form
        path = f"/questions/answer?client_id={other.id}"
        body = answers(form, batch_request_id=form["id"])
        assert (await client.ask("POST", path, body))["resolved"]
        late = await client.ask("POST", "/questions/answer", body)
        assert late == {"resolved": False, "outcome": "answered", "by": other.id}
        end = await stream.until("question_resolved")
        assert (end["question_id"], end["outcome"], end["by"]) == (
            form["id"],
            "answered",
            other.id,
        )
        assert end["responses"] == body["responses"]
        assert await its_stream.until("question_batch_notification") == {"batch_id": form["id"]}
        await stream.until("run_complete")
    assert await other.ask("GET", "/pending") == {"permissions": [], "questions": []}


async def test_a_cancelled_turn_withdraws_its_form(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, ask("Which?"), run_id="r0")
        form = await stream.until("question_batch_request")
        await client.ask("POST", f"/agent/sessions/{session}/cancel")
        await stream.until("question_batch_notification")
        assert (await stream.complete("r0"))["cancelled"]
    late = await client.ask("POST", "/questions/cancel", {"batch_request_id": form["id"]})
    assert late == {"resolved": False, "outcome": "withdrawn", "by": "turn"}


async def test_where_nobody_can_answer_nobody_is_asked(site: Site) -> None:
    async with site.start(ask("Which?")) as run:
        events = await run.rest()
    assert "question_asked" not in {event["type"] for event in events}
    assert events[-1]["run"]["state"] == "done"


@pytest.mark.parametrize("body", [{"responses": [{"yes": True}]}, {"responses": "no"}, []])
async def test_an_answer_that_is_none_is_refused_and_the_form_goes_on_waiting(
    site: Site, body: object
) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, ask("Which?"), run_id="r0")
        form = await stream.until("question_batch_request")
        await client.ask("POST", "/questions/answer", body, status=400)
        assert (await client.ask("GET", "/pending"))["questions"][0]["id"] == form["id"]
        assert (await client.ask("POST", "/questions/answer", answers(form)))["resolved"]
        await stream.complete("r0")
