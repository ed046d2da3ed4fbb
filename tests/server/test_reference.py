"""`docs/reference/wire.md` names what the code has, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from crush.launch.protocol import BUILD_HEADER, PROTOCOL_HEADER
from crush.server import app, bodies, claims, lifetime, output, stream
from crush.server.problems import STATUS
from crush.server.routes.table import ROUTES
from crush.wire.classic import ClassicEvent
from crush.wire.events import AnyEvent, Delta, ToolOutput
from crush.wire.params import PARAMS
from crush.wire.parts import Part

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "wire.md").read_text()


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table below a heading."""
    section = re.split(
        r"^#+ ", PAGE.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE
    )[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def named(heading: str) -> list[str]:
    """The names in the first column."""
    return [row[0].strip("`") for row in rows(heading)]


def tags(union: object) -> list[str]:
    return [str(kind.__struct_config__.tag) for kind in get_args(union)]


def test_every_route_is_described_in_the_order_of_the_table() -> None:
    short = {"W": "/v1/workspaces/{id}", "S": "/v1/workspaces/{id}/sessions/{sid}"}
    short["A"] = "/v1/workspaces/{id}/agent/sessions/{sid}"
    described = [
        (row[0], re.sub(r"^[WSA](?=/|$)", lambda m: short[m[0]], row[1].strip("`")))
        for row in rows("Routes")
    ]
    served = [("GET", "/v1/health"), ("GET", "/v1/version")]
    served += [(method, path) for method, path, _ in ROUTES]
    assert sorted(described) == sorted(served)
    rest = [path for path in described if "{rest" in path[1]]
    assert described[-len(rest) :] == rest


def test_every_route_has_a_function() -> None:
    for _, _, name in ROUTES:
        assert callable(app.resolve(name))


def test_every_event_is_described() -> None:
    assert sorted(named("Format 2")) == sorted([*tags(AnyEvent), "resync"])
    volatile = {row[0].strip("`") for row in rows("Format 2") if row[1] == "no"}
    assert volatile == set(tags(Delta | ToolOutput))
    assert sorted(named("Classic")) == sorted(tags(ClassicEvent))


def test_every_part_and_its_data_is_described() -> None:
    for kind in get_args(Part):
        (row,) = [row for row in rows("Messages") if row[0] == f"`{kind.__struct_config__.tag}`"]
        data = kind.__annotations__["data"]
        assert re.findall(r"`(\w+)\??`", row[1]) == [*data.__struct_encode_fields__]
    assert len(named("Messages")) == len(get_args(Part))
    for tool in PARAMS:
        assert f"`{tool}`" in PAGE


def test_every_problem_has_its_code_and_status() -> None:
    described = {row[0].strip("`"): row[1] for row in rows("Problems")}
    assert described.pop("http_<status>")
    assert described == {code: str(status) for code, status in (STATUS | {"internal": 500}).items()}


def test_the_headers_and_figures_are_those_of_the_code() -> None:
    assert {PROTOCOL_HEADER, BUILD_HEADER} <= set(named("Rules"))
    for words in (
        f"at most {bodies.MAX_BODY_BYTES // 1024**2} MiB, within {bodies.BODY_WITHIN_S:.0f} s",
        f"at most {app.MAX_HEADER_BYTES // 1024} KiB a line",
        f"{app.HEAD_WITHIN_S:.0f} s to come",
        f"holds for {claims.CREATE_GRACE_S:.0f} s",
        f"`CRUSH_SERVER_DETACH_GRACE` ({claims.DETACH_GRACE_S:.0f} s)",
        f"`CRUSH_SERVER_IDLE_TIMEOUT` ({lifetime.LINGER_S / 60:.0f} min)",
        f"takes nothing for\n{output.WRITE_WITHIN_S:.0f} s is cut",
        f"after {stream.HEARTBEAT_S:.0f} s of silence",
        f"every {stream.FRAME_EVERY_S * 1000:.0f} ms",
    ):
        assert words in PAGE, words
