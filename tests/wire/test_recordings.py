"""What a real Crush client and server said to each other is read, and said again, without a loss."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crush.wire.classic import ClassicEvent, ClassicPermissionRequest
from crush.wire.codec import decode, decode_params, encode
from crush.wire.messages import Session
from crush.wire.params import BashParams
from crush.wire.requests import (
    AgentInfo,
    AgentInit,
    AgentMessage,
    CreateWorkspace,
    NewSession,
    Workspace,
)

RECORDINGS = Path(__file__).parents[1] / "recordings"
Exchange = dict[str, Any]


def exchanges(name: str) -> list[Exchange]:
    return [json.loads(line) for line in (RECORDINGS / name).read_text().splitlines()]


ALL = [*exchanges("run.jsonl"), *exchanges("run-asks-permission.jsonl")]
EVENTS = [event["data"] for exchange in ALL for event in exchange.get("events", ())]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event["type"]))
def test_a_recorded_event_is_said_again_word_for_word(event: Exchange) -> None:
    read = msgspec.json.decode(json.dumps(event), type=ClassicEvent)
    said = encode(read)
    assert json.loads(said) == event
    assert list(json.loads(said)) == list(event)


def test_the_params_of_the_recorded_request_are_those_of_its_tool() -> None:
    (request,) = [event for event in EVENTS if event["type"] == "permission_request"]
    read = decode(json.dumps(request), ClassicPermissionRequest).payload.payload
    params = decode_params(read.tool_name, read.params)
    assert params == BashParams(command="touch zz.txt", description="t")
    assert json.loads(encode(params)) == request["payload"]["payload"]["params"]


BODIES: dict[str, type[msgspec.Struct]] = {
    "/workspaces": CreateWorkspace,
    "/agent/init": AgentInit,
    "/sessions": NewSession,
    "/agent": AgentMessage,
}
ANSWERS: dict[str, type[msgspec.Struct]] = {
    "/workspaces": Workspace,
    "/agent": AgentInfo,
    "/sessions": Session,
}


def test_every_recorded_body_is_understood() -> None:
    sent = [exchange for exchange in ALL if "body" in exchange]
    assert len(sent) == 8
    for exchange in sent:
        (kind,) = [kind for end, kind in BODIES.items() if exchange["path"].endswith(end)]
        read = json.loads(encode(decode(json.dumps(exchange["body"]), kind)))
        for key, value in exchange["body"].items():
            if key in kind.__struct_fields__:
                assert read[key] == value


def test_every_recorded_answer_is_understood() -> None:
    answered = [exchange for exchange in ALL if "response" in exchange]
    assert len(answered) == 6
    for exchange in answered:
        (kind,) = [kind for end, kind in ANSWERS.items() if exchange["path"].endswith(end)]
        read = json.loads(encode(decode(json.dumps(exchange["response"]), kind)))
        if kind is not Workspace:  # of its configuration we read what we use
            assert read == exchange["response"]
        assert read["id" if kind is not AgentInfo else "is_ready"]
