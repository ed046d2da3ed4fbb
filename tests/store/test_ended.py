"""How requests ended is found in the log, also by a server that did not see it."""

import time

from crush.store.change import Change
from crush.store.store import Store
from crush.wire.events import CommittedEvent, Notice, PermissionResolved, QuestionResolved
from crush.wire.ids import PermissionId, RunId, SessionId, ToolCallId
from tests.store.conftest import OpenStore

SESSION = SessionId("s")
RUN = RunId("r")


def resolved(key: str, *, by: str = "me", what: str = "") -> PermissionResolved:
    return PermissionResolved(
        session_id=SESSION,
        permission_id=PermissionId(key),
        tool_call_id=ToolCallId("c"),
        tool_name="bash",
        outcome="allow_session",
        by=by,
        what=what,
        rules=["command(make)"],
    )


def form(key: str) -> QuestionResolved:
    return QuestionResolved(
        session_id=SESSION, question_id=PermissionId(key), outcome="cancelled", by="me"
    )


async def tell(store: Store, *events: CommittedEvent) -> None:
    await store.commit(Change(events=[(RUN, event) for event in events]))


async def test_the_end_of_a_request_is_found_by_its_id(open_store: OpenStore) -> None:
    store = await open_store()
    await tell(store, resolved("p1"), resolved("p2", by="another"), form("q1"))
    assert await store.ended.permission(PermissionId("p2")) == resolved("p2", by="another")
    assert await store.ended.form(PermissionId("q1")) == form("q1")


async def test_one_kind_is_not_the_other_and_a_mention_is_not_an_id(open_store: OpenStore) -> None:
    store = await open_store()
    await tell(store, resolved("p1", what="about p2 and q1"), form("q1"))
    for key in ("p2", "q1", "p", "", 'p1"'):
        assert await store.ended.permission(PermissionId(key)) is None
    assert await store.ended.form(PermissionId("p1")) is None


async def test_what_was_refused_without_asking_is_nobodys_end(open_store: OpenStore) -> None:
    store = await open_store()
    await tell(store, resolved(""))
    assert await store.ended.permission(PermissionId("")) is None


async def test_the_next_server_knows_it_too(open_store: OpenStore) -> None:
    store = await open_store()
    await tell(store, resolved("p1"))
    await store.close()
    again = await open_store(owner="the next server")
    assert await again.ended.permission(PermissionId("p1")) == resolved("p1")


async def test_a_long_log_is_looked_through_at_once(open_store: OpenStore) -> None:
    store = await open_store()
    notice = Notice(session_id=SESSION, run_id=RUN, text="x" * 2000)
    await tell(store, resolved("p1"), *[notice] * 15_000)
    began = time.perf_counter()
    assert await store.ended.permission(PermissionId("p1")) is not None
    assert time.perf_counter() - began < 0.5
