import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from crush import paths
from crush.permissions import audit as module
from crush.permissions.audit import Audit, Decision


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def file(env: dict[str, str]) -> Path:
    return Path(paths.state_dir(env), "audit.jsonl")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def decision(what: str = "make") -> Decision:
    return Decision(
        kind="permission",
        root="/work",
        by="client-1",
        session="s",
        run="r",
        tool="bash",
        what=what,
        outcome="allow_always",
        rules=[f"command({what[:100]})"],
    )


def unchanged(text: str) -> str:
    return text


def test_a_decision_is_one_private_line(env: dict[str, str]) -> None:
    Audit(env).record(decision(), hide=unchanged)
    Audit(env).record(Decision(kind="trust", root="/work", by="cli"), hide=unchanged)

    first, second = lines(file(env))
    assert first["time"].endswith("+00:00")
    assert first["decision"] == {
        "kind": "permission",
        "root": "/work",
        "by": "client-1",
        "session": "s",
        "run": "r",
        "tool": "bash",
        "what": "make",
        "outcome": "allow_always",
        "rules": ["command(make)"],
    }
    assert second["decision"]["kind"] == "trust"
    assert stat.S_IMODE(file(env).stat().st_mode) == 0o600


def test_it_is_without_secrets_and_bounded(env: dict[str, str]) -> None:
    text = "curl -H s3cr3t-s3cr3t " + "x" * 100_000
    Audit(env).record(decision(text), hide=lambda t: t.replace("s3cr3t-s3cr3t", "[secret X]"))

    assert "s3cr3t" not in file(env).read_text()
    (line,) = lines(file(env))
    assert line["decision"]["what"].startswith("curl -H [secret X]")
    assert len(line["decision"]["what"]) == 2000


def test_a_line_break_in_a_command_makes_no_second_line(env: dict[str, str]) -> None:
    Audit(env).record(decision('a\n{"kind":"grant"}\u2028b'), hide=unchanged)
    assert len(file(env).read_bytes().split(b"\n")) == 2


def test_a_full_log_makes_room_and_one_old_one_is_kept(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    for number in range(20):
        Audit(env).record(decision(str(number)), hide=unchanged)

    old = file(env).with_name("audit.jsonl.1")
    kept = [line["decision"]["what"] for path in (old, file(env)) for line in lines(path)]
    assert kept == [str(number) for number in range(20)][-len(kept) :]
    assert len(kept) > 3
    assert file(env).stat().st_size <= 1000
    assert {p.name for p in file(env).parent.iterdir()} == {
        "audit.jsonl",
        "audit.jsonl.1",
        "audit.jsonl.lock",
    }


def test_lines_of_many_at_once_are_whole(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 5000)

    def work() -> None:
        for _ in range(15):
            Audit(env).record(decision(), hide=unchanged)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {line["decision"]["what"] for line in lines(file(env))} == {"make"}


def test_what_cannot_be_noted_is_logged_and_stops_nothing(
    env: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("")
    file(env).parent.mkdir(parents=True)
    os.symlink(target, file(env))
    Audit(env).record(decision(), hide=unchanged)
    assert "not noted in the audit" in caplog.text
    assert target.read_text() == ""
