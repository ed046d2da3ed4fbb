"""What a client of format 2 knows after some events, kept strictly: no gap, no contradiction."""

from typing import Any

from tests.server.site import Event

TEXT = {"text": "text", "reasoning": "thinking"}


class State:
    """The fold of events; equal to another one that saw the same run in other pieces."""

    def __init__(self) -> None:
        self.messages: dict[str, Event] = {}
        self.sessions: dict[str, Event] = {}
        self.runs: dict[str, Event] = {}
        self.waiting: dict[str, Event] = {}
        self.refused: list[str] = []
        self.notices: list[str] = []
        self.retries: list[int] = []
        self.outputs: dict[str, str] = {}

    def apply(self, event: Event) -> None:
        getattr(self, "_" + event["type"])(event)

    def known(self) -> dict[str, Any]:
        """What has to be the same for every reader; output of tools is only shown while it comes."""
        return {name: value for name, value in vars(self).items() if name != "outputs"}

    def _session_created(self, event: Event) -> None:
        self.sessions[event["session"]["id"]] = event["session"]

    _session_updated = _session_created

    def _run_updated(self, event: Event) -> None:
        assert self.runs.get(event["run"]["id"], {}).get("state") not in {"done", "failed"}
        self.runs[event["run"]["id"]] = event["run"]

    _run_complete = _run_updated

    def _message_started(self, event: Event) -> None:
        message = event["message"]
        assert message["id"] not in self.messages
        self.messages[message["id"]] = {**message, "parts": list(message["parts"])}

    def _parts(self, event: Event) -> list[Event]:
        parts: list[Event] = self.messages[event["message_id"]]["parts"]
        return parts

    def _delta(self, event: Event) -> None:
        parts, index, kind = self._parts(event), event.get("part", 0), event["kind"]
        if index == len(parts):
            parts.append({"type": kind, "data": {TEXT[kind]: ""}})
        assert parts[index]["type"] == kind
        data = parts[index]["data"]
        data[TEXT[kind]] = placed(data[TEXT[kind]], event)

    def _part_ended(self, event: Event) -> None:
        part = self._parts(event)[event["part"]]
        assert part["type"] == event["kind"]
        assert len(part["data"][TEXT[event["kind"]]]) == event["size"]
        if event["kind"] == "reasoning":
            part["data"]["signature"] = event.get("signature", "")

    def _part_added(self, event: Event) -> None:
        parts, index = self._parts(event), event["part"]
        assert index <= len(parts)
        parts[index : index + 1] = [event["content"]]

    def _message_reset(self, event: Event) -> None:
        self._parts(event).clear()

    def _retry_scheduled(self, event: Event) -> None:
        self.retries.append(event["attempt"])

    def _permission_asked(self, event: Event) -> None:
        self.waiting[event["request"]["id"]] = event["request"]

    def _permission_resolved(self, event: Event) -> None:
        if event["permission_id"]:
            del self.waiting[event["permission_id"]]
        else:
            self.refused.append(event["tool_call_id"])

    def _notice(self, event: Event) -> None:
        self.notices.append(event["text"])

    def _tool_output(self, event: Event) -> None:
        call = event["tool_call_id"]
        self.outputs[call] = placed(self.outputs.get(call, ""), event)


def placed(text: str, event: Event) -> str:
    """A piece put in its place: it continues the text, or repeats what is there."""
    offset: int = event.get("offset", 0)
    piece: str = event["text"]
    assert offset <= len(text), f"text from {len(text)} to {offset} is missing"
    there = text[offset : offset + len(piece)]
    assert piece.startswith(there), f"{piece!r} contradicts {there!r}"
    return text + piece[len(there) :]
