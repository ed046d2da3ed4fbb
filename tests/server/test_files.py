"""Versions and reads of files over HTTP, and the classic `file` event."""

import json
from pathlib import Path
from typing import Any

from tests.server.classic_client import ClassicClient
from tests.server.site import Event, Site


def tool(name: str, **arguments: object) -> str:
    return f"TOOL {name} {json.dumps(arguments)}"


async def changed(site: Site) -> tuple[ClassicClient, str, list[Event], list[Event]]:
    """A session that wrote one file and edited it; its client, id, `file` records and events."""
    client = await ClassicClient(site).attach(interactive=True)
    await client.ask("POST", "/permissions/skip", {"skip": True})
    session = await client.new_session()
    steps = (
        tool("write", file_path="a", content="one\n"),
        tool("edit", file_path="a", old_string="one", new_string="two"),
        "SAY done",
    )
    async with client.events() as stream, client.events("&format=2") as other:
        await client.prompt(session, "\n---\n".join(steps), run_id="r")
        await stream.complete("r")
        await other.until("run_complete")
        return client, session, stream.of("file"), other.of("file_changed")


async def test_a_classic_client_gets_each_version_whole_as_it_is_made(site: Site) -> None:
    client, session, files, events = await changed(site)
    path = str(Path(client.path) / "a")
    assert [(f["path"], f["session_id"], f["version"], f["content"]) for f in files] == [
        (path, session, 0, ""),
        (path, session, 1, "one\n"),
        (path, session, 2, "two\n"),
    ]
    assert [(e["file"]["version"], e["file"]["content"], e["run_id"]) for e in events] == [
        (0, "", "r"),
        (1, "", "r"),
        (2, "", "r"),
    ]


async def test_the_history_has_the_keys_that_crush_clients_read(site: Site) -> None:
    client, session, files, _ = await changed(site)
    history = await client.ask("GET", f"/sessions/{session}/history")
    assert [
        {
            "ID": f["id"],
            "SessionID": f["session_id"],
            "Path": f["path"],
            "Content": f["content"],
            "Version": f["version"],
            "CreatedAt": f["created_at"],
            "UpdatedAt": f["updated_at"],
        }
        for f in files
    ] == history
    assert await client.ask("GET", "/sessions/unknown/history") == []


async def test_one_version_is_fetched_by_the_id_that_its_event_told(site: Site) -> None:
    client, session, files, events = await changed(site)
    for told, whole in zip(events, files, strict=True):
        place = f"/history/{told['file']['id']}"
        assert await client.ask("GET", f"/sessions/{session}{place}") == whole
        await client.ask("GET", f"/sessions/another{place}", status=404)
    await client.ask("GET", f"/sessions/{session}/history/none", status=404)


async def test_files_that_were_read_written_or_shown_by_a_client_are_tracked(site: Site) -> None:
    client, session, _, _ = await changed(site)
    path = str(Path(client.path) / "a")

    async def last_read(name: str) -> Any:
        return await client.ask("GET", f"/filetracker/lastread?session_id={session}&path={name}")

    assert await client.ask("GET", f"/sessions/{session}/filetracker/files") == [path]
    assert await last_read("/never") == "0001-01-01T00:00:00Z"
    shown = {"session_id": session, "path": str(Path(client.path) / "crush.json")}
    await client.ask("POST", "/filetracker/read", shown)
    assert await client.ask("GET", f"/sessions/{session}/filetracker/files") == [
        shown["path"],
        path,
    ]
    assert (await last_read(shown["path"]))[:2] == "20"
    await client.ask("POST", "/filetracker/read", {"session_id": "gone", "path": "/x"}, status=404)
    assert await client.ask("GET", "/sessions/unknown/filetracker/files") == []


async def test_a_file_that_a_client_showed_is_still_to_be_viewed_before_it_is_changed(
    site: Site,
) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    await client.ask("POST", "/permissions/skip", {"skip": True})
    session = await client.new_session()
    (Path(client.path) / "a").write_text("one\n")
    shown = {"session_id": session, "path": str(Path(client.path) / "a")}
    await client.ask("POST", "/filetracker/read", shown)
    async with client.events() as stream:
        await client.prompt(session, tool("write", file_path="a", content="x"), run_id="r")
        await stream.complete("r")
    assert (Path(client.path) / "a").read_text() == "one\n"


async def test_what_another_program_wrote_in_between_is_a_version_too(site: Site) -> None:
    """Whoever wants to undo finds each content that a call met and each that it left."""
    client = await ClassicClient(site).attach(interactive=True)
    await client.ask("POST", "/permissions/skip", {"skip": True})
    session = await client.new_session()
    path = Path(client.path) / "a"
    path.write_text("before\r\n", newline="")
    edits = [
        {"old_string": "two", "new_string": "three"},
        {"old_string": "thr", "new_string": "fo"},
    ]
    steps = (
        tool("view", file_path="a"),
        tool("write", file_path="a", content="one\n"),
        tool("bash", command="printf 'theirs\\r\\n' > a", description="d"),
        tool("edit", file_path="a", old_string="theirs", new_string="lost"),
        tool("view", file_path="a"),
        tool("edit", file_path="a", old_string="theirs", new_string="two"),
        tool("multiedit", file_path="a", edits=edits),
        tool("edit", file_path="a", old_string="nowhere", new_string="x"),
        "SAY done",
    )
    async with client.events() as stream:
        await client.prompt(session, "\n---\n".join(steps), run_id="r")
        await stream.complete("r")
    history = await client.ask("GET", f"/sessions/{session}/history")
    assert [(v["Version"], v["Content"]) for v in history] == [
        (0, "before\r\n"),
        (1, "one\r\n"),
        (2, "theirs\r\n"),
        (3, "two\r\n"),
        (4, "foee\r\n"),
    ]
    assert [v["ID"] for v in history] == [file["id"] for file in stream.of("file")]
    assert path.read_bytes() == b"foee\r\n"
