"""The list that the model keeps: replaced whole, with what is new in it."""

import msgspec
import pytest

from crush.errors import ToolError
from crush.wire.messages import Todo
from tests.tools.conftest import Caller


def item(content: str, status: str, active_form: str = "") -> dict[str, str]:
    return {"content": content, "status": status, "active_form": active_form}


async def test_a_list_replaces_the_one_before(call: Caller) -> None:
    await call("todos", todos=[item("a", "pending"), item("b", "pending")])
    result = await call("todos", todos=[item("c", "pending", "Doing c")])
    assert call.context.todos.current() == (
        Todo(content="c", status="pending", active_form="Doing c"),
    )
    assert "0 of 1" in result.content


async def test_front_ends_learn_what_is_new(call: Caller) -> None:
    first = await call("todos", todos=[item("a", "in_progress", "Doing a"), item("b", "pending")])
    assert msgspec.json.decode(first.metadata_json()) == {
        "is_new": True,
        "todos": [item("a", "in_progress", "Doing a"), item("b", "pending")],
        "just_started": "Doing a",
        "completed": 0,
        "total": 2,
    }
    second = await call("todos", todos=[item("a", "completed"), item("b", "in_progress")])
    assert msgspec.json.decode(second.metadata_json()) == {
        "is_new": False,
        "todos": [item("a", "completed"), item("b", "in_progress")],
        "just_completed": ["a"],
        "just_started": "b",
        "completed": 1,
        "total": 2,
    }
    third = await call("todos", todos=[item("a", "completed"), item("b", "in_progress")])
    metadata = msgspec.json.decode(third.metadata_json())
    assert metadata.keys() == {"is_new", "todos", "completed", "total"}  # nothing happened


async def test_an_empty_list_is_one(call: Caller) -> None:
    await call("todos", todos=[item("a", "pending")])
    result = await call("todos", todos=[])
    assert call.context.todos.current() == ()
    assert msgspec.json.decode(result.metadata_json())["total"] == 0


async def test_a_step_without_words_is_refused_by_its_number(call: Caller) -> None:
    with pytest.raises(ToolError, match="Todo 2"):
        await call("todos", todos=[item("a", "pending"), item(" ", "pending")])
    assert call.context.todos.current() == ()


async def test_a_status_that_is_none_is_named(call: Caller) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"'done'.*\$\.todos\[0\]\.status"):
        await call("todos", todos=[item("a", "done")])
