"""What waits for a person outlives its clients; with the server it ends, and everybody is told so."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crush.errors import Exit
from crush.launch.host import parse_host
from crush.launch.http import open_stream, request
from tests.e2e.machine import Machine, is_alive, wait_until

Event = dict[str, Any]
CLIENT = "11111111-1111-4111-8111-111111111111"


class Person:
    """A front end that can answer, on a real server."""

    def __init__(self, machine: Machine, project: str) -> None:
        self._host = parse_host(machine.host)
        env = [f"{name}={value}" for name, value in machine.env.items()]
        body = {"path": project, "client_id": CLIENT, "env": env}
        self.place = f"/v1/workspaces/{self.ask('POST', '/v1/workspaces', body)['id']}"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        response = request(self._host, method, path, headers={}, body=data, timeout_s=10)
        assert response.status == 200, response.body
        return json.loads(response.body) if response.body else None

    def events(self) -> Iterator[Event]:
        """Everything that happens from now on."""
        path = f"{self.place}/events?client_id={CLIENT}&format=2&can_answer=1"
        stream = open_stream(self._host, "GET", path, headers={}, body=b"", budget_s=10)
        assert stream.status == 200
        return (json.loads(data) for _, data in stream.frames())

    def prompt(self, text: str) -> str:
        session = self.ask("POST", f"{self.place}/sessions", {"title": "t"})["id"]
        body = {"session_id": session, "prompt": text, "run_id": "r0"}
        return str(self.ask("POST", f"{self.place}/agent", body)["run_id"])

    def pending(self) -> Event:
        listed: Event = self.ask("GET", f"{self.place}/pending")
        return listed


def first(events: Iterator[Event], kind: str) -> Event:
    return next(event for event in events if event["type"] == kind)


FORM = {"questions": [{"question": "Which?", "type": "yes_no"}]}
WAITING: dict[str, tuple[str, str, str, Callable[[Event], Event]]] = {
    "permission": (
        "permissions",
        'TOOL bash {"command": "touch a"}',
        "permissions/grant",
        lambda asked: {"permission": asked, "action": "allow"},
    ),
    "question": (
        "questions",
        f"TOOL question {json.dumps(FORM)}",
        "questions/answer",
        lambda asked: {"batch_request_id": asked["id"], "responses": []},
    ),
}


@pytest.mark.parametrize("kind", WAITING)
def test_a_request_of_a_killed_server_is_withdrawn_with_a_notice(
    machine: Machine, kind: str
) -> None:
    where, prompt, path, answer = WAITING[kind]
    project = machine.project("p")
    assert machine.run(project, "run", "SAY hi").returncode == Exit.OK
    person = Person(machine, str(project))
    events = person.events()
    run_id = person.prompt(prompt)
    asked = first(events, f"{kind}_asked")["request"]
    (waiting,) = person.pending()[where]
    assert (waiting["id"], waiting["run_id"]) == (asked["id"], run_id)

    pid = machine.server_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    assert machine.run(project, "run", "SAY again").returncode == Exit.OK

    again = Person(machine, str(project))
    assert again.pending() == {"permissions": [], "questions": []}
    stream = open_stream(
        parse_host(machine.host),
        "GET",
        f"/v1/runs/{run_id}/events",
        headers={},
        body=b"",
        budget_s=10,
    )
    log = [json.loads(data) for _, data in stream.frames()]
    (withdrawn,) = [event for event in log if event["type"] == f"{kind}_resolved"]
    assert withdrawn["outcome"] == "withdrawn"
    assert log[-1]["type"] == "run_complete"
    assert log[-1]["run"]["state"] == "interrupted"
    # Whoever still has the dialog open learns that it is over.
    late = again.ask("POST", f"{again.place}/{path}", answer(asked))
    assert late == {"resolved": False, "outcome": "withdrawn"}
    assert not (project / "a").exists()


def test_a_request_outlives_the_client_that_saw_it(machine: Machine) -> None:
    machine.env["CRUSH_SERVER_DETACH_GRACE"] = "0"
    project = machine.project("p")
    assert machine.run(project, "run", "SAY hi").returncode == Exit.OK
    person = Person(machine, str(project))
    events = person.events()
    run_id = person.prompt(WAITING["permission"][1])
    first(events, "permission_asked")
    del events  # the connection is cut

    later = Person(machine, str(project))
    (waiting,) = later.pending()["permissions"]
    assert waiting["run_id"] == run_id
    told = later.ask(
        "POST", f"{later.place}/permissions/grant", {"permission": waiting, "action": "allow"}
    )
    assert told["resolved"]
    wait_until((project / "a").exists)
