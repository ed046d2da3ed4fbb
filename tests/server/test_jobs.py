"""Background jobs over HTTP, and what becomes of them when nobody looks."""

import json

import anyio
import pytest

from crush.server import projects
from tests.e2e.machine import is_alive
from tests.server.classic_client import ClassicClient
from tests.server.site import Event, Site, until

STUBBORN = "trap '' TERM; echo $$ >pid; (setsid sleep 700 &); while :; do sleep 0.05; done"


def bash(command: str) -> str:
    call = {"command": command, "description": "d", "run_in_background": True}
    return "TOOL bash " + json.dumps(call) + "\n---\nSAY done"


async def started(site: Site, command: str) -> tuple[ClassicClient, str, list[Event]]:
    """A client whose run has started that job; the events of the run."""
    client = await ClassicClient(site).attach(interactive=False)
    events = await site.run(bash(command), mode="yolo")
    (job,) = [event["job"] for event in events if event["type"] == "job_updated"]
    return client, job["id"], events


async def ended(client: ClassicClient, job_id: str) -> Event:
    with anyio.fail_after(10):
        while (job := await client.ask("GET", f"/jobs/{job_id}"))["state"] == "running":
            pass
    found: Event = job
    return found


async def test_a_job_is_listed_read_by_offset_and_told_of(site: Site) -> None:
    client, job_id, events = await started(
        site, "echo begun; until [ -e go ]; do sleep 0.01; done; echo over; exit 3"
    )
    (listed,) = await client.ask("GET", "/jobs")
    (told,) = [event for event in events if event["type"] == "job_updated"]
    assert listed["id"] == told["job"]["id"] == job_id == "001"
    assert listed["state"] == told["job"]["state"] == "running"
    assert "sandbox" not in listed  # there is none, which goes without saying
    assert listed["tool_call_id"]
    assert told["run_id"] == listed["run_id"]
    assert await client.ask("GET", f"/jobs/{job_id}/output") == {
        "text": "begun\n",
        "offset": 0,
        "next_offset": 6,
        "skipped": 0,
        "done": False,
    }
    (site.project() / "go").touch()
    job = await ended(client, job_id)
    assert (job["state"], job["exit_code"], job["output_bytes"]) == ("exited", 3, 11)
    rest = await client.ask("GET", f"/jobs/{job_id}/output?offset=6")
    assert (rest["text"], rest["next_offset"], rest["done"]) == ("over\n", 11, True)
    part = await client.ask("GET", f"/jobs/{job_id}/output?offset=2&limit=3")
    assert (part["text"], part["next_offset"], part["done"]) == ("gun", 5, False)


async def test_a_person_ends_a_job_and_everybody_learns_who_did(site: Site) -> None:
    client, job_id, events = await started(site, STUBBORN)
    async with client.events(f"&format=2&session={events[0]['session_id']}") as stream:
        job = await client.ask("DELETE", f"/jobs/{job_id}?client_id=me")
        assert (job["state"], job["ended_by"], job["exit_code"]) == ("killed", "me", 137)
        told = await stream.until("job_updated", lambda event: event["job"]["state"] != "running")
    assert told["job"] == job
    assert await client.ask("DELETE", f"/jobs/{job_id}?client_id=other") == job
    assert not is_alive(int((site.project() / "pid").read_text()))


async def test_what_is_not_there_or_no_number_is_a_clear_error(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    assert await client.ask("GET", "/jobs") == []
    for method, path in (
        ("GET", "/jobs/0AA"),
        ("GET", "/jobs/0AA/output"),
        ("DELETE", "/jobs/0AA"),
    ):
        assert "0AA" in (await client.ask(method, path, status=404))["message"]
    for query in ("offset=-1", "offset=x", "limit=0", f"offset={'9' * 30}"):
        await client.ask("GET", f"/jobs/0AA/output?{query}", status=400)


async def test_a_project_stays_open_while_its_job_runs(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects, "KEEP_OPEN_S", 0.0)
    events = await site.run(bash("until [ -e go ]; do sleep 0.01; done"), mode="yolo")
    assert any(event["type"] == "job_updated" for event in events)
    (opened,) = site.services.projects._open.values()
    await until(lambda: not opened.users)
    await site.services.projects.close_idle()
    project = opened.project
    assert project is not None
    assert project.jobs.running == 1
    (site.project() / "go").touch()
    await until(lambda: not project.jobs.running)
    await site.services.projects.close_idle()
    assert opened.project is None


async def test_a_job_ends_when_nobody_has_followed_its_run_for_the_grace(site: Site) -> None:
    site.services.owners._grace_s = 0.05
    client, job_id, _ = await started(site, STUBBORN)
    job = await ended(client, job_id)
    assert (job["state"], job["ended_by"]) == ("killed", "session")
    assert not is_alive(int((site.project() / "pid").read_text()))
    assert not site.services.owners._owned


async def test_a_job_lives_while_a_later_run_of_its_session_or_a_person_may_ask_for_it(
    site: Site,
) -> None:
    site.services.owners._grace_s = 0.01
    client = await ClassicClient(site).attach(interactive=False)
    wait = "until [ -e go ]; do sleep 0.01; done; exit 3"
    async with client.events("&format=2"):
        events = await site.run(bash(wait), mode="yolo")
        session = events[0]["session_id"]
        assert (await client.ask("GET", "/jobs"))[0]["state"] == "running"
        latch = site.root / "latch"
        later = site.start(f"SAY begin\nLATCH {latch}\nSAY end", session=session, detach=True)
        async with later as run:
            await run.until("delta")
    await followers_are_gone(site)
    began_at = anyio.current_time()
    await until(lambda: anyio.current_time() > began_at + 0.1)
    assert (await client.ask("GET", "/jobs"))[0]["state"] == "running"
    latch.touch()
    job = await ended(client, "001")
    assert (job["state"], job["ended_by"]) == ("killed", "session")


async def test_a_job_of_a_detached_run_goes_on_without_anybody(site: Site) -> None:
    site.services.owners._grace_s = 0.0
    client = await ClassicClient(site).attach(interactive=False)
    await site.run(bash("until [ -e go ]; do sleep 0.01; done"), mode="yolo", detach=True)
    began_at = anyio.current_time()
    await until(lambda: anyio.current_time() > began_at + 0.1)
    (site.project() / "go").touch()
    assert (await ended(client, "001"))["state"] == "exited"


async def followers_are_gone(site: Site) -> None:
    (project,) = site.services.busy()
    await until(lambda: not project.feed._wide and not project.feed._of_run)
