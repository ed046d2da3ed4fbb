import os

import apsw
from hypothesis import given
from hypothesis import strategies as st

from crush.store import messages
from crush.store.change import Change
from crush.store.store import Store
from crush.wire import codec
from crush.wire.messages import Message
from crush.wire.parts import (
    Binary,
    BinaryPart,
    Finish,
    FinishPart,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    ToolCall,
    ToolCallPart,
    ToolResult,
    ToolResultPart,
)
from tests.store import records
from tests.store.records import SID, insert_like_crush, message, text

words = st.text(st.characters(codec="utf-8"))
results = st.builds(
    ToolResult,
    tool_call_id=words,
    name=words,
    content=words,
    data=st.binary(),
    mime_type=words,
    metadata=words,
    is_error=st.booleans(),
)


async def test_a_tool_result_comes_back_equal_to_the_byte(store: Store) -> None:
    result = ToolResult(
        tool_call_id="c",
        name="view",
        content="text \u0000 \U0001f600",
        data=bytes(range(256)),
        mime_type="image/png",
        metadata='{"file_path":"a","content":"\\n"}',
        is_error=True,
    )
    written = message("m", ToolResultPart(result), FinishPart(Finish(reason="stop")), role="tool")

    await store.commit(Change(sessions=[records.session()], messages=[written]))
    (read,) = await store.messages(SID)

    assert read.parts == written.parts
    assert codec.encode_parts(read.parts) == codec.encode_parts(written.parts)


@given(results)
def test_any_tool_result_survives_its_row(result: ToolResult) -> None:
    connection = _memory()
    written = message("m", ToolResultPart(result), role="tool")

    messages.save(connection, written)
    (read,) = messages.of_session(connection, SID)

    assert read.parts == written.parts


def _memory() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute(
        "CREATE TABLE messages (id PRIMARY KEY, session_id, role, parts, model, provider,"
        " created_at, updated_at, finished_at, is_summary_message);"
        "CREATE TABLE py_message_order (seq INTEGER PRIMARY KEY, message_id);"
        "INSERT INTO py_message_order VALUES (1, 'm')"
    )
    return connection


async def test_every_kind_of_part_comes_back(store: Store) -> None:
    parts: list[Part] = [
        ReasoningPart(Reasoning(thinking="t", signature="s", started_at=1, finished_at=2)),
        text("hello"),
        BinaryPart(Binary(path="a.png", mime_type="image/png", data=b"\x00\xff")),
        ToolCallPart(ToolCall(id="c", name="bash", input="{}", finished=True)),
        FinishPart(Finish(reason="end_turn", time=3, message="m", details="d")),
    ]
    written = Message(
        id=message("m").id,
        session_id=SID,
        role="assistant",
        parts=parts,
        model="model",
        provider="provider",
        created_at=5,
        updated_at=6,
        is_summary_message=True,
    )

    await store.commit(Change(sessions=[records.session()], messages=[written]))

    assert await store.messages(SID) == [written]


async def test_rows_that_crush_inserts_get_their_place(store: Store, data_dir: str) -> None:
    await store.commit(Change(sessions=[records.session()], messages=[message("ours-1")]))
    raw = apsw.Connection(os.path.join(data_dir, "crush.db"))
    insert_like_crush(raw, SID, ["z", "a"])
    raw.close()
    await store.commit(Change(messages=[message("ours-2")]))

    assert [item.id for item in await store.messages(SID)] == ["ours-1", "z", "a", "ours-2"]
    assert (await store.session(SID)).message_count == 4


async def test_a_row_that_is_replaced_keeps_its_place(store: Store, data_dir: str) -> None:
    await store.commit(Change(sessions=[records.session()], messages=[message("a"), message("b")]))
    raw = apsw.Connection(os.path.join(data_dir, "crush.db"))
    raw.execute(
        "INSERT OR REPLACE INTO messages (id, session_id, role, created_at, updated_at)"
        " VALUES ('a', ?, 'user', 1, 1)",
        (SID,),
    )
    raw.close()

    assert [(item.id, item.role) for item in await store.messages(SID)] == [
        ("a", "user"),
        ("b", "assistant"),
    ]


async def test_an_unknown_part_is_shown_and_its_row_stays_as_it_was(
    store: Store, data_dir: str
) -> None:
    stored = '[{"type":"hologram","data":{"depth":3}},{"type":"text","data":{"text":"x"}}]'
    await store.commit(Change(sessions=[records.session()]))
    raw = apsw.Connection(os.path.join(data_dir, "crush.db"))
    insert_like_crush(raw, SID, ["m", "broken"])
    raw.execute("UPDATE messages SET parts = ? WHERE id = 'm'", (stored,))
    raw.execute("UPDATE messages SET parts = 'not json' WHERE id = 'broken'")

    known, broken = await store.messages(SID)

    opaque, plain = known.parts
    assert isinstance(opaque, OpaquePart)
    assert (opaque.data.type, bytes(opaque.data.data)) == ("hologram", b'{"depth":3}')
    assert plain == text("x")
    assert isinstance(broken.parts[0], OpaquePart)
    await store.commit(Change(sessions=[records.session(title="new")]))
    rows = raw.execute("SELECT parts FROM messages ORDER BY id DESC").fetchall()
    raw.close()
    assert rows == [(stored,), ("not json",)]


async def test_what_another_program_leaves_empty_is_empty(store: Store, data_dir: str) -> None:
    raw = apsw.Connection(os.path.join(data_dir, "crush.db"))
    insert_like_crush(raw, "s", ["m"])
    raw.execute("UPDATE messages SET parts = 'null', model = NULL")
    raw.execute("UPDATE sessions SET todos = '{\"odd\": true}', parent_session_id = ''")
    raw.close()

    (session,) = await store.sessions()
    (found,) = await store.messages(session.id)

    assert (session.todos, session.parent_session_id) == (None, "")
    assert (found.parts, found.model, found.provider) == ([], "", "")
