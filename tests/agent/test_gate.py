"""Calls that need a permission: rules, a person, or nobody; what the model and the user are told."""

import msgspec
import pytest

from crush.permissions.rules import Need
from crush.providers.base import ToolTurn
from crush.wire.events import PermissionAsked, PermissionResolved
from crush.wire.ids import PermissionId
from crush.wire.messages import Mode, Run
from crush.wire.permissions import GrantAction, PermissionRequest
from tests.agent.bench import Bench, chosen
from tests.agent.listener import Listener
from tests.fakes.provider import FakeProvider, calls, says
from tests.fakes.sandbox import REMEDY
from tests.fakes.tools import need


def _told(bench: Bench, step: int = 1) -> list[str]:
    """What the model got as results."""
    turn = bench.provider.requests[step].turns[-1]
    assert isinstance(turn, ToolTurn)
    return [result.text for result in turn.results]


def _resolved(bench: Bench) -> list[PermissionResolved]:
    bench.ear.take()
    return [item.event for item in bench.ear.events() if isinstance(item.event, PermissionResolved)]


class Person:
    """Somebody in front of a terminal who answers requests."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._ear: Listener = bench.listen(can_answer=True)
        self._asked = 0

    async def next_request(self) -> PermissionRequest:
        self._asked += 1
        await self._ear.wait(lambda me: len(self._requests()) >= self._asked)
        return self._requests()[self._asked - 1]

    def _requests(self) -> list[PermissionRequest]:
        return [
            item.event.request
            for item in self._ear.events()
            if isinstance(item.event, PermissionAsked)
        ]

    async def says(
        self, action: GrantAction, *, feedback: str = "", rules: list[str] | None = None
    ) -> PermissionRequest:
        request = await self.next_request()
        told = await self._bench.project.broker.answer(
            request.id, action, by="me", feedback=feedback, rules=rules
        )
        assert told.resolved
        return request

    def leave(self) -> None:
        self._ear.close()


def _needs(*needs: Need) -> object:
    return lambda key: [msgspec.structs.replace(n, target=f"{n.target} {key}") for n in needs]


async def test_nobody_to_ask_is_a_denial_at_once_that_tells_the_model_and_the_user(
    bench: Bench,
) -> None:
    bench.change.needed = lambda key: [need("make")]
    bench.provider.add(calls("change", "c1", key="a"), says("I would have run make"))
    run = await bench.ended(await bench.send(mode="workspace"))
    assert (run.state, run.denied) == ("done", 1)
    assert bench.change.begun == []
    assert "nobody can give it" in _told(bench)[0]
    (told,) = _resolved(bench)
    assert (told.outcome, told.by, told.what) == ("deny", "headless", "execute make")
    assert "-y" in told.hint
    assert REMEDY in told.hint
    assert not told.permission_id
    assert await bench.store.pending() == []


async def test_a_reader_that_cannot_answer_does_not_make_a_run_answerable(bench: Bench) -> None:
    bench.listen(can_answer=False)
    bench.change.needed = lambda key: [need("make")]
    bench.provider.add(calls("change", "c1", key="a"), says("no"))
    run = await bench.ended(await bench.send(mode="ask"))
    assert run.denied == 1


async def test_yolo_asks_nobody(bench: Bench) -> None:
    bench.change.needed = lambda key: [need("make"), need("/etc/passwd", kind="write")]
    bench.provider.add(calls("change", "c1", key="a"), says("done"))
    run = await bench.ended(await bench.send(mode="yolo"))
    assert (run.denied, bench.change.ended) == (0, ["a"])


@pytest.mark.parametrize("mode", ["ask", "workspace", "yolo"])
async def test_a_read_only_run_refuses_changes_without_asking_about_the_rest(
    bench: Bench, mode: Mode
) -> None:
    Person(bench)
    bench.change.needed = lambda key: [
        need("https://example.org", kind="fetch"),
        need("/etc/x", kind="write"),
    ]
    bench.provider.add(calls("change", "c1", key="a"), says("no"))
    run = await bench.ended(await bench.send(mode=mode, read_only=True))
    assert (run.state, run.denied) == ("done", 1)
    assert "the run is read-only" in _told(bench)[0]
    (told,) = _resolved(bench)
    assert (told.by, told.what) == ("rule", "write /etc/x")
    assert "--read-only" in told.hint


async def test_an_allowed_call_runs_and_the_run_waits_meanwhile(bench: Bench) -> None:
    bench.change.needed = lambda key: [need("make")]
    bench.provider.add(calls("change", "c1", key="a"), says("done"))
    person = Person(bench)
    run = await bench.send(mode="ask")
    request = await person.next_request()
    assert (await bench.store.run(run.id)).state == "waiting"
    assert [item.request for item in await bench.store.pending()] == [request]
    assert (await bench.project.broker.answer(request.id, "allow", by="me")).resolved
    assert (await bench.ended(run)).denied == 0
    assert bench.change.ended == ["a"]
    assert await bench.store.pending() == []
    assert (await bench.log(run))[5:12] == [
        "0 call c1",
        "run waiting",
        "asked execute make",
        "allow by me",
        "run running",
        "result c1",
        "1 finish tool_use",
    ]


async def test_a_refusal_stops_the_turn_behind_its_results_and_runs_nothing_else(
    bench: Bench,
) -> None:
    bench.change.needed = lambda key: [need(key)]
    bench.provider.add([*calls("change", "c1", key="a"), *calls("change", "c2", key="b")])
    person = Person(bench)
    run = await bench.send(mode="ask")
    await person.says("deny")
    ended = await bench.ended(run)
    assert (ended.state, ended.denied) == ("done", 1)
    assert bench.change.begun == []
    assert (await bench.log(run))[-4:] == [
        "error c1",
        "error c2",
        "2 finish end_turn",
        "complete done",
    ]
    bench.provider.add(says("go on then"))
    assert (await bench.run("2", session_id=run.session_id)).state == "done"


async def test_a_refusal_with_words_goes_to_the_model_and_the_turn_goes_on(bench: Bench) -> None:
    bench.change.needed = lambda key: [need(key)]
    bench.provider.add(calls("change", "c1", key="a"), says("ok, make test"))
    person = Person(bench)
    run = await bench.send(mode="ask")
    await person.says("deny", feedback="use make test")
    assert (await bench.ended(run)).steps == 2
    assert _told(bench) == ["The user refused this: use make test"]


async def test_a_request_that_nobody_answers_in_time_is_denied_and_the_turn_goes_on(
    bench: Bench,
) -> None:
    bench.project.broker._answer_within_s = 0.02
    Person(bench)
    bench.change.needed = lambda key: [need(key)]
    bench.provider.add(calls("change", "c1", key="a"), says("I could not"))
    run = await bench.ended(await bench.send(mode="ask"))
    assert (run.state, run.denied) == ("done", 1)
    assert "in time" in _told(bench)[0]
    assert [(told.outcome, told.by) for told in _resolved(bench)] == [("deny", "timeout")]
    assert await bench.store.pending() == []


async def test_a_grant_for_the_session_is_for_what_was_offered_in_exactly_that_session(
    bench: Bench,
) -> None:
    bench.change.needed = lambda key: [need(key, kind="write")]
    bench.provider.add(
        calls("change", "c1", key="/etc/a"),
        calls("change", "c2", key="/etc/a"),
        calls("change", "c3", key="/etc/ab"),
        says("done"),
    )
    person = Person(bench)
    run = await bench.send(mode="ask")
    assert (await person.says("allow_session")).offers == [["write(/etc/a)"]]
    other = await person.says("allow")
    assert other.description == "write /etc/ab"
    await bench.ended(run)
    assert bench.change.ended == ["/etc/a", "/etc/a", "/etc/ab"]
    assert [told.rules for told in _resolved(bench)] == [["write(/etc/a)"], []]
    bench.provider.add(calls("change", "c4", key="/etc/a"), says("done"))
    elsewhere = await bench.send(mode="ask")
    assert (await person.says("allow")).description == "write /etc/a"
    assert (await bench.ended(elsewhere)).state == "done"


async def test_a_wider_offer_that_was_chosen_covers_the_call_that_waits_beside_it(
    bench: Bench,
) -> None:
    bench.read.needed = lambda key: [need(f"{bench.cwd}/docs/{key}", kind="write")]
    bench.provider.add([*calls("read", "c1", key="a"), *calls("read", "c2", key="b")], says("done"))
    person = Person(bench)
    run = await bench.send(mode="ask")
    first, _second = [await person.next_request() for _ in range(2)]
    assert len(first.offers) == 2
    await bench.project.broker.answer(first.id, "allow_session", by="me", rules=first.offers[1])
    assert (await bench.ended(run)).denied == 0
    assert sorted(bench.read.ended) == ["a", "b"]
    assert [told.rules for told in _resolved(bench)] == [first.offers[1]] * 2


async def test_a_waiting_request_holds_up_no_other_session_and_no_other_call(
    bench: Bench,
) -> None:
    bench.read.needed = lambda key: [need(key)] if key == "asks" else []
    bench.provider.add(
        [*calls("read", "c1", key="asks"), *calls("read", "c2", key="free")], says("done")
    )
    bench.providers["other"] = FakeProvider(calls("read", "c", key="too"), says("done"))
    person = Person(bench)
    run = await bench.send(mode="ask")
    request = await person.next_request()
    other = await bench.send(model=chosen("other"), mode="ask")
    assert (await bench.ended(other)).state == "done"
    await bench.read.wait_begun("free", "too")
    assert "asks" not in bench.read.begun
    assert (await bench.project.broker.answer(request.id, "allow", by="me")).resolved
    assert (await bench.ended(run)).state == "done"


async def test_a_grant_answers_the_same_question_that_waits_beside_it(bench: Bench) -> None:
    bench.read.needed = lambda key: [need("same")]
    bench.provider.add([*calls("read", "c1", key="a"), *calls("read", "c2", key="b")], says("done"))
    person = Person(bench)
    run = await bench.send(mode="ask")
    first, _second = [await person.next_request() for _ in range(2)]
    assert (await bench.project.broker.answer(first.id, "allow_session", by="me")).resolved
    assert (await bench.ended(run)).state == "done"
    assert sorted(bench.read.ended) == ["a", "b"]
    assert [told.outcome for told in _resolved(bench)] == ["allow_session"] * 2


async def test_an_answer_to_what_is_over_or_never_was_is_not_taken(bench: Bench) -> None:
    bench.change.needed = lambda key: [need(key)]
    bench.provider.add(calls("change", "c1", key="a"), says("done"))
    person = Person(bench)
    run = await bench.send(mode="ask")
    request = await person.says("allow")
    broker = bench.project.broker
    assert not (await broker.answer(request.id, "deny", by="late")).resolved
    await bench.ended(run)
    assert not (await broker.answer(request.id, "allow", by="later")).resolved
    assert not (await broker.answer(PermissionId("nobody's"), "allow", by="me")).resolved
    assert [told.by for told in _resolved(bench)] == ["me"]


async def test_params_of_a_request_are_an_object_whatever_the_tool_gave(bench: Bench) -> None:
    bench.change.needed = lambda key: [msgspec.structs.replace(need(key), params='{"a": [1]}')]
    bench.provider.add(calls("change", "c1", key="a"), says("done"))
    person = Person(bench)
    run: Run = await bench.send(mode="ask")
    request = await person.says("allow")
    assert msgspec.json.decode(request.params) == {"a": [1]}
    await bench.ended(run)
