"""The todo list of a session: kept with it, told to followers, there in the next turn."""

import msgspec

from crush.tools.registry import core_tools
from crush.wire.events import SessionUpdated
from crush.wire.messages import Todo
from crush.wire.parts import ToolResultPart
from tests.agent.bench import Bench
from tests.fakes.provider import calls, says
from tests.fakes.sandbox import no_sandbox


def item(content: str, status: str) -> dict[str, str]:
    return {"content": content, "status": status, "active_form": f"doing {content}"}


async def test_a_list_lasts_as_long_as_its_session(bench: Bench) -> None:
    (todos,) = [tool for tool in core_tools(sandbox=no_sandbox) if tool.name == "todos"]
    bench.project._workshop.toolbox.tools["todos"] = todos  # type: ignore[index]  # a test may
    bench.provider.add(
        calls("todos", "c1", todos=[item("a", "in_progress"), item("b", "pending")]), says("ok")
    )
    run = await bench.run()
    kept = [
        Todo(content="a", status="in_progress", active_form="doing a"),
        Todo(content="b", status="pending", active_form="doing b"),
    ]
    assert (await bench.store.session(run.session_id)).todos == kept
    bench.ear.take()
    told = [c.event for c in bench.ear.events() if isinstance(c.event, SessionUpdated)]
    assert kept in [event.session.todos for event in told]

    bench.provider.add(
        calls("todos", "c2", todos=[item("a", "completed"), item("b", "in_progress")]), says("ok")
    )
    again = await bench.run("2", session_id=run.session_id)
    (result,) = [
        part.data
        for message in await bench.messages(again)
        for part in message.parts
        if isinstance(part, ToolResultPart) and part.data.tool_call_id == "c2"
    ]
    metadata = msgspec.json.decode(result.metadata)
    assert (metadata["is_new"], metadata["just_completed"]) == (False, ["a"])
    assert metadata["just_started"] == "doing b"
