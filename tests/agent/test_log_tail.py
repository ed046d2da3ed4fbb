"""The end of a log: whole entries, over rotated files, without reading what nobody asked for."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from crush.agent.log_tail import _BLOCK_BYTES, ENTRY_BYTES, last_entries, one_line

TIME = "2026-11-24 11:35:55,123 "


def entry(text: str) -> str:
    return f"{TIME}INFO crush: {text}"


TRACEBACK = (
    f"{TIME}ERROR crush.agent: tool bash failed\n"
    "Traceback (most recent call last):\n"
    '  File "/x/calls.py", line 12, in _run\n'
    "    await it()\n"
    '  File "/x/bash.py", line 34, in run\n'
    "    raise ValueError\n"
    "ValueError: a pipe"
)


def test_the_last_entries_are_whole_and_in_their_order(tmp_path: Path) -> None:
    log = tmp_path / "stderr.log"
    entries = [entry("one"), TRACEBACK, entry("three")]
    log.write_text("\n".join(entries) + "\n")
    assert last_entries(str(log), 2) == entries[1:]
    assert last_entries(str(log), 50) == entries


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=_BLOCK_BYTES + 50), st.integers(0, 3), st.booleans()
        ),
        max_size=6,
    ),
    st.integers(min_value=1, max_value=8),
)
def test_wherever_blocks_and_files_end_the_entries_are_the_same(
    tmp_path_factory: object, pieces: list[tuple[int, int, bool]], count: int
) -> None:
    directory = Path(os.fspath(tmp_path_factory.mktemp("log")))  # type: ignore[attr-defined]
    entries, files = [], [""]
    for size, more_lines, rotates in pieces:
        text = entry("x" * size) + "\n  more, 2026-11-24 11:35:55,123 quoted" * more_lines
        entries.append(text)
        files[-1] += text + "\n"
        if rotates and len(files) < 4:
            files.append("")
    for age, text in enumerate(reversed(files)):
        (directory / ("log" + (f".{age}" if age else ""))).write_text(text)
    assert last_entries(str(directory / "log"), count) == entries[-count:]


def test_lines_before_the_first_entry_are_an_entry(tmp_path: Path) -> None:
    log = tmp_path / "stderr.log"
    log.write_text(f"python: cannot start\n{entry('one')}")
    assert last_entries(str(log), 5) == ["python: cannot start", entry("one")]


def test_a_log_that_is_not_there_has_no_entries(tmp_path: Path) -> None:
    assert last_entries(str(tmp_path / "stderr.log"), 5) == []
    (tmp_path / "stderr.log.1").write_text(entry("old") + "\n")
    assert last_entries(str(tmp_path / "stderr.log"), 5) == [entry("old")]


def test_an_entry_without_an_end_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "stderr.log"
    log.write_text(f"{entry('first')}\n{entry('x' * 3 * ENTRY_BYTES)}\n")
    first, endless = last_entries(str(log), 2)
    assert first == entry("first")
    assert endless.startswith(entry("xxx"))
    assert ENTRY_BYTES <= len(endless) <= ENTRY_BYTES + 2 * _BLOCK_BYTES


def test_bytes_that_are_no_text_cost_nothing_but_themselves(tmp_path: Path) -> None:
    log = tmp_path / "stderr.log"
    log.write_bytes(entry("a").encode() + b"\xff\xfe\n" + entry("b").encode())
    assert last_entries(str(log), 2) == [entry("a") + "\ufffd\ufffd", entry("b")]


def test_a_traceback_becomes_one_line_with_its_place_and_its_error() -> None:
    assert one_line(TRACEBACK, most=300) == (
        f"{TIME}ERROR crush.agent: tool bash failed"
        ' | File "/x/bash.py", line 34, in run | ValueError: a pipe'
    )


def test_a_line_stays_as_it_is_up_to_its_limit() -> None:
    assert one_line("abc\n", most=3) == "abc"
    assert one_line("abcd", most=3) == "ab…"
    assert one_line("a\n\n  b\n", most=10) == "a | b"
