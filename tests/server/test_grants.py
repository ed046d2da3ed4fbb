"""What an answer makes last: for how long, where it is kept, and what nobody can add to it."""

import json
import shutil
from pathlib import Path

import anyio
import pytest

from crush.launch.host import parse_host
from tests.e2e.machine import CRUSH
from tests.fakes.byte_server import byte_server
from tests.server.classic_client import ClassicClient
from tests.server.site import Event, Site, serving
from tests.server.test_files import tool
from tests.server.test_permissions import asked, bash, notes, tell
from tests.tools.web import plain

RULE = "command(touch a)"


async def is_asked(site: Site, command: str, *, project: str = "p") -> bool:
    """Whether a new session of a new client is asked about the command; it is told no."""
    client = await ClassicClient(site, project=project).attach(interactive=True)
    session = await client.new_session()
    async with client.events("&format=2&can_answer=1") as stream:
        await client.prompt(session, bash(command))
        while (event := await stream.next()) is not None:
            if event["type"] == "permission_asked":
                await tell(client, event["request"], "deny")
            if event["type"] == "run_complete":
                return bool(stream.of("permission_asked"))
    raise AssertionError("the stream ended before the run")


async def allow(site: Site, command: str, action: str) -> tuple[str, Event]:
    """Answer the request for a command; the client's id and what it was told."""
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash(command), run_id="r0")
        told = await tell(client, await asked(stream), action)
        await stream.complete("r0")
    return client.id, told


def tree(project: Path) -> set[str]:
    """The files of a project that are not its conversations."""
    found = (path.relative_to(project) for path in project.rglob("*"))
    return {str(path) for path in found if path.parts[0] != ".crush"}


async def test_what_is_always_allowed_outlives_the_server_and_stays_out_of_the_project(
    root: Path, model_url: str
) -> None:
    host = parse_host(f"unix://{root}/s.sock")
    state = root / "home/.local/state/crush"
    async with serving(root, host, model_url=model_url) as site:
        project = site.project()
        by, told = await allow(site, "touch a", "allow_always")
        assert told["rules"] == [RULE]
        assert not await is_asked(site, "touch a")
        assert await is_asked(site, "touch b")
    async with serving(root, host, model_url=model_url) as site:
        assert not await is_asked(site, "touch a")
        shutil.copytree(project, root / "copy")
        assert await is_asked(site, "touch a", project="copy")
        assert tree(project) == {"a", "crush.json"}
        kept = json.loads((state / "grants.json").read_text())["projects"]
        assert [(g["rule"], g["by"]) for g in kept[str(project)]["grants"]] == [(RULE, by)]
        # The log of the conversation tells of it and gives nothing.
        (state / "grants.json").unlink()
        assert await is_asked(site, "touch a")
    lines = [
        json.loads(line)["decision"] for line in (state / "audit.jsonl").read_text().splitlines()
    ]
    (line,) = [line for line in lines if line["outcome"] == "allow_always"]
    assert (line["by"], line["root"], line["rules"]) == (by, str(project), [RULE])
    assert {line["outcome"] for line in lines} == {"allow_always", "deny"}


async def test_what_is_always_allowed_is_listed_with_the_rules(site: Site) -> None:
    await allow(site, "touch a", "allow_always")
    listed = await anyio.run_process(
        [*CRUSH, "--cwd", str(site.project()), "permissions", "list", "--json"], env=site.env
    )
    rules = [rule for rule in json.loads(listed.stdout)["rules"] if rule["source"] == "grant"]
    assert [(rule["effect"], rule["rule"]) for rule in rules] == [("allow", RULE)]


async def test_what_is_allowed_for_the_session_ends_with_the_server(
    root: Path, model_url: str
) -> None:
    host = parse_host(f"unix://{root}/s.sock")
    async with serving(root, host, model_url=model_url) as site:
        client = await ClassicClient(site).attach(interactive=True)
        session = await client.new_session()
        async with client.events() as stream:
            await client.prompt(session, bash("touch a"), run_id="r0")
            await tell(client, await asked(stream), "allow_session")
            await stream.complete("r0")
            await client.prompt(session, bash("touch a"), run_id="r1")
            await stream.complete("r1")
            assert len(stream.of("permission_request")) == 1
    async with serving(root, host, model_url=model_url) as site:
        client = await ClassicClient(site).attach(interactive=True)
        async with client.events() as stream:
            await client.prompt(session, bash("touch a"), run_id="r2")
            await tell(client, await asked(stream), "deny")
            await stream.complete("r2")
    assert not (root / "home/.local/state/crush/grants.json").exists()


@pytest.mark.parametrize(
    "rules",
    [
        ["command(touch *)"],
        ["command(*)"],
        [RULE, "tool(bash)"],
        ["command(touch  a)"],
        ["command(touch a) "],
        ["env(AWS_*)"],
        [],
        [""],
        ["no rule"],
    ],
)
async def test_a_rule_that_was_not_offered_is_refused_and_the_request_goes_on_waiting(
    site: Site, rules: list[str]
) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = await asked(stream)
        for action in ("allow_always", "allow_session"):
            problem = await tell(client, request, action, rules=rules, status=400)
            assert problem["code"] == "usage"
        for action in ("allow", "deny"):  # remembers nothing, whatever it names
            await tell(client, request, action, rules=[RULE], status=400)
        (waiting,) = (await client.ask("GET", "/pending"))["permissions"]
        assert waiting["id"] == request["id"]
        await tell(client, request, "deny")
        await stream.complete("r0")
    assert notes(stream) == ["pending", "denied"]
    assert not (site.root / "home/.local/state/crush/grants.json").exists()


async def test_a_download_is_one_question_about_its_address_and_its_file(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with byte_server(plain("one"), plain("two")) as web, client.events() as stream:
        call = f"TOOL download {json.dumps({'url': f'{web.url}/x', 'file_path': 'x'})}"
        await client.prompt(session, call, run_id="r0")
        request = await asked(stream)
        path = f"{client.path}/x"
        address = f"127.0.0.1:{web.port}"
        assert request["params"] == {"url": f"{web.url}/x", "file_path": path}
        assert request["description"] == (
            f"Download {web.url}/x to x (a private address); Create x by a download"
        )
        assert request["offers"] == [[f"host({address})", f"write({path})"]]
        told = await tell(client, request, "allow_session")
        await stream.complete("r0")
        assert told["rules"] == request["offers"][0]
        await client.prompt(session, call, run_id="r1")
        await stream.complete("r1")
    assert len(stream.of("permission_request")) == 1
    assert (site.project() / "x").read_text() == "two"


async def test_an_answer_for_a_directory_is_none_for_what_asks_by_its_name(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    (site.project() / "src/.git").mkdir(parents=True)
    (site.project() / "src/.env").write_text("A=1\n")
    async with client.events() as stream:
        calls = [tool("write", file_path="src/a", content="x")]
        await client.prompt(session, calls[0], run_id="r0")
        request = await asked(stream)
        assert request["offers"][1] == [f"write({client.path}/src/**)"]
        await tell(client, request, "allow_always", rules=request["offers"][1])
        await stream.complete("r0")
        await client.prompt(
            session,
            "\n---\n".join(
                [
                    tool("write", file_path="src/b/c", content="x"),
                    *(tool("write", file_path=f"src/{name}", content="x") for name in OBEYED),
                    *(bash(f"echo x > src/{name}") for name in OBEYED),
                    bash("echo x > src/d"),
                ]
            ),
            run_id="r1",
        )
        for _ in range(2 * len(OBEYED)):
            await tell(client, await asked(stream), "deny", feedback="no")
        await stream.complete("r1")
    assert tree(site.project()) >= {"src/a", "src/b/c", "src/d"}
    assert not tree(site.project()) & {f"src/{name}" for name in OBEYED}
    assert len(stream.of("permission_request")) == 1 + 2 * len(OBEYED)


async def test_a_run_in_the_home_directory_allows_and_trusts_nothing_by_itself(site: Site) -> None:
    """There the state of the user lies inside of what may be written."""
    home = site.root / "home"
    shutil.copy(site.project() / "crush.json", home / "crush.json")
    state = home / ".local/state/crush"
    steps = [
        tool("write", file_path=str(state / name), content="{}") for name in ("grants.json", "x")
    ]
    steps.append(bash(f"echo x > {state}/trust.json"))
    events = await site.run("\n---\n".join(steps), mode="workspace", path=str(home))
    assert events[-1]["run"]["denied"] == len(steps)
    assert not [name for name in ("grants.json", "trust.json", "x") if (state / name).exists()]


OBEYED = [".git/config", ".envrc", "crush.json", "sub/.vscode/tasks.json"]
PROTECTED = [".git/hooks/post-checkout", "crush.json", "sub/.envrc", ".crush/x", "AGENTS.md"]


@pytest.mark.parametrize("name", PROTECTED)
async def test_a_rule_for_a_host_downloads_nothing_over_what_programs_obey(
    site: Site, name: str
) -> None:
    project = site.project()
    (project / ".git/hooks").mkdir(parents=True)
    before = (project / "crush.json").read_text()
    config = site.root / "home/.config/crush/crush.json"
    config.parent.mkdir(parents=True)
    async with byte_server(plain("evil"), plain("evil")) as web:
        rule = f"host(127.0.0.1:{web.port})"
        config.write_text(json.dumps({"permissions": {"allow": [rule]}}))
        calls = [
            f"TOOL download {json.dumps({'url': f'{web.url}/x', 'file_path': path})}"
            for path in (name, f"sub/../{name}", "free")
        ]
        events = await site.run("\n---\n".join(calls), mode="workspace")
    denied = [event["what"] for event in events if event["type"] == "permission_resolved"]
    assert len(denied) == 2
    assert all(name in what for what in denied)
    assert (project / "free").read_text() == "evil"
    assert (project / "crush.json").read_text() == before
    assert name == "crush.json" or not (project / name).exists()


@pytest.mark.parametrize("client_id", ["timeout", "turn", "headless", "rule", "a%0Ab", "a" * 101])
async def test_no_client_passes_for_the_server_or_for_a_line_of_its_own(
    site: Site, client_id: str
) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = await asked(stream)
        path = f"/permissions/grant?client_id={client_id}"
        body = {"permission": request, "action": "allow"}
        problem = await client.ask("POST", path, body, status=400)
        assert problem["message"] == "invalid client_id"
        await tell(client, request, "deny")
        await stream.complete("r0")
    assert not (site.project() / "a").exists()
