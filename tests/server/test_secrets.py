"""Values of secrets on every way out of a run: results, live output, requests, logs, the audit."""

import json
from collections.abc import Iterator

import anyio
import pytest

from tests.server.classic_client import ClassicClient
from tests.server.site import Event, Site
from tests.server.test_files import tool
from tests.server.test_permissions import bash, tell

TOKEN = "tok/en+of \"somebody\" & 'co'"  # noqa: S105 - made up
LITERAL = "test-key"  # of the provider, as it stands in `crush.json`


@pytest.fixture
def env(site: Site) -> dict[str, str]:
    return {**site.env, "DEPLOY_TOKEN": TOKEN}


def spoken(event: Event) -> Iterator[str]:
    """What an event tells that neither the person nor the model said themselves."""
    if event["type"] in {"tool_output", "permission_asked", "permission_resolved", "notice"}:
        yield json.dumps(event, ensure_ascii=False)
    if event["type"] == "message_started":
        for part in event["message"]["parts"]:
            if part["type"] == "tool_result":
                yield json.dumps(part, ensure_ascii=False)
                yield part["data"]["content"]
                if part["data"].get("metadata"):
                    yield json.dumps(json.loads(part["data"]["metadata"]), ensure_ascii=False)


def assert_hidden(texts: list[str]) -> None:
    for text in texts:
        for value in (TOKEN, LITERAL, json.dumps(TOKEN)[1:-1]):
            assert value not in text, text


LEAKS = {
    "bash": bash("cat leak; cat leak >&2; sed 's/^/x/' leak crush.json"),
    "view": tool("view", file_path="leak"),
    "grep": tool("grep", pattern="tok|key"),
    "edit": tool("edit", file_path="leak", old_string="here", new_string="there"),
    "multiedit": tool(
        "multiedit", file_path="leak", edits=[{"old_string": "here", "new_string": "there"}]
    ),
    "crush_info": tool("crush_info"),
    "crush_logs": tool("crush_logs", lines=100),
}


@pytest.mark.parametrize("name", LEAKS)
async def test_no_result_and_no_live_output_shows_a_secret(
    site: Site, env: dict[str, str], name: str
) -> None:
    (site.project() / "leak").write_text(f"here\nA={TOKEN}\nB={json.dumps(TOKEN)}\n{LITERAL}\n")
    steps = [tool("view", file_path="leak"), LEAKS[name], "SAY done"]
    events = await site.run("\n---\n".join(steps), mode="yolo", env=env)
    assert events[-1]["run"]["state"] == "done"
    told = [text for event in events for text in spoken(event)]
    assert_hidden(told)
    assert any("[secret DEPLOY_TOKEN]" in text for text in told)
    assert not any(part["data"]["is_error"] for part in results(events))


def results(events: list[Event]) -> list[Event]:
    return [
        part
        for event in events
        if event["type"] == "message_started"
        for part in event["message"]["parts"]
        if part["type"] == "tool_result"
    ]


async def test_live_output_shows_no_secret_that_comes_in_pieces(
    site: Site, env: dict[str, str]
) -> None:
    (site.project() / "leak").write_text(TOKEN)
    pieces = "head -c $n leak; sleep 0.01; tail -c +$((n+1)) leak; echo"
    command = f"cat leak; for n in 1 2 3 4 5 6 7 8 9; do {pieces}; done"
    events = await site.run(bash(command), mode="yolo", env=env)
    live = "".join(event["text"] for event in events if event["type"] == "tool_output")
    assert live.count("[secret DEPLOY_TOKEN]") > 0
    assert_hidden([live, *(text for event in events for text in spoken(event))])


async def test_a_request_its_refusal_and_the_audit_show_no_secret(
    site: Site, env: dict[str, str]
) -> None:
    client = await ClassicClient(site).attach(
        interactive=True, env=[f"{name}={value}" for name, value in env.items()]
    )
    session = await client.new_session()
    command = f"deploy --with {LITERAL}; echo '{TOKEN.replace(chr(39), '')}'; echo {LITERAL}"
    async with client.events() as stream, client.events("&format=2&can_answer=1") as log:
        await client.prompt(session, bash(command), run_id="r0")
        asked = await stream.until("permission_request")
        pending = await client.ask("GET", "/pending")
        assert "offers" not in asked  # they would be kept
        shown = "deploy --with [secret providers.fake.api_key]"
        assert asked["params"]["command"].startswith(shown)
        await tell(client, asked, "deny")
        await stream.complete("r0")
        await log.until("run_complete")
    assert_hidden([json.dumps(asked), json.dumps(pending)])
    assert_hidden([text for event in log.seen for text in spoken(event)])
    assert_hidden([await anyio.Path(site.root, "home/.local/state/crush/audit.jsonl").read_text()])


async def test_a_refusal_without_anybody_shows_no_secret(site: Site, env: dict[str, str]) -> None:
    events = await site.run(bash(f"deploy {LITERAL}"), mode="ask", env=env)
    (refused,) = [event for event in events if event["type"] == "permission_resolved"]
    assert refused["what"] == "Execute command: deploy [secret providers.fake.api_key]"


ODD = {
    "quotes": 'a"b\\',
    "not ASCII": "schlüssel",
    "a closing bracket": "a] b",
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("spelled", ["plain", "escaped"])
async def test_what_stands_for_a_secret_is_not_written_in_its_place(
    site: Site, name: str, spelled: str
) -> None:
    """Also where the name has another form in JSON, and where the model spells it otherwise."""
    project = site.project()
    provider = ODD[name]
    config = json.loads((project / "crush.json").read_text())
    config["providers"] = {provider: config["providers"]["fake"]}
    for chosen in config["models"].values():
        chosen["provider"] = provider
    (project / "crush.json").write_text(json.dumps(config))
    (project / "leak").write_text(f"key={LITERAL}\n")
    shown = f"[secret providers.{provider}.api_key]"
    call = tool("edit", file_path="leak", old_string=f"key={shown}", new_string="key=")
    if spelled == "escaped":
        call = call.replace("[secret", "\\u005bsecret")
    steps = [tool("view", file_path="leak"), call, tool("write", file_path="b", content=shown)]
    events = await site.run("\n---\n".join(steps), mode="yolo")
    view, edit, write = results(events)
    assert f"key={shown}" in view["data"]["content"]
    assert json.loads(view["data"]["metadata"])["content"] == f"key={shown}"
    for refused in (edit, write):
        assert refused["data"]["is_error"]
        assert "stands for a value" in refused["data"]["content"]
    assert (project / "leak").read_text() == f"key={LITERAL}\n"
    assert not (project / "b").exists()
