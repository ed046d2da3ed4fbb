import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.tools.clean_text import LiveText, clean_bytes, clean_text, open_end

PIECES = st.sampled_from(
    ["a", "é", "\n", "\x1b[31m", "\x1b]0;title\x07", "\x1b]8;;u\x1b\\", "\x1bPq#1\x1b\\", "\x1b(B"]
)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]52;c;c2VjcmV0\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r0m\x1b\\x", "x"),
        ("a\x1b(Bb\x1bMc", "abc"),
        ("\x9b31mx", "x"),
        ("bell\x07 back\x08 nul\0", "bell back nul"),
        ("ad\u202emin\u2066\u200b\ufeff", "admin"),
        ("\U000e0041\U000e0042visible", "visible"),
        ("half \ud800", "half \ufffd"),
        ("\x1b]unfinished title\nnext", "unfinished title\nnext"),
        ("\x9d52;c;c2VjcmV0\x9cafter", "after"),
        ("\x90payload\x9cafter", "after"),
        ("\x1b_payload\x1b\\after", "after"),
        ("\x1b]52;c;x\x18shown", "52;c;xshown"),
        ("\x1b\x00[31mx", "[31mx"),
        ("\x1b\x1b[31mx", "x"),
        ("\x1b[\x1b[31m31mx", "31mx"),
        ("\x1b", ""),
        ("a\u2066b\u2067c\u2068d\u2069e", "abcde"),
        ("\ufff9a\ufffab\ufffb", "ab"),
        ("\u3164\uffa0\u115f\u1160hidden", "hidden"),
        ("x\U000e0100\U000e01ef\U000e0fff", "x"),
        ("a\ufe00\ufe01\ufe0f\ufe0eb", "a\ufe00b"),
        ("a\u200d\u200c\u200d\u200cb", "a\u200db"),
        ("\U0001d173\U0001bca0x", "x"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_taken_out(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@pytest.mark.parametrize(
    "text",
    [
        "tab\tcr\r\n",
        "日本語 é",
        "👩\u200d💻",
        "क्\u200cष",
        "❤\ufe0f",
        "\U0001f3f3\ufe0f\u200d\U0001f308",
    ],
)
def test_text_that_people_read_stays(text: str) -> None:
    assert clean_text(text) == text


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.lists(st.integers(0, 80), max_size=8))
def test_live_text_is_the_same_however_it_is_cut(text: str, cuts: list[int]) -> None:
    data = text.encode()
    emitted: list[str] = []
    live = LiveText(emit=emitted.append)
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        live.feed(data[at:cut])
        at = max(at, cut)
    live.close()
    assert "".join(emitted) == clean_text(text)


def test_a_sequence_that_never_ends_is_not_held_for_ever() -> None:
    emitted: list[str] = []
    live = LiveText(emit=emitted.append)
    live.feed(b"\x1b]")
    for _ in range(20):
        live.feed(b"x" * 1024)
    assert "".join(emitted).count("x") > 0


HOSTILE = st.text(
    st.sampled_from("\x1b\x9b\x9d\x90\x9c\x07\x18[]P^_\\;m0a \n\u202e\u200d\ufe0f\ufe00\U000e0041"),
    max_size=40,
)


@settings(deadline=None)
@given(HOSTILE)
def test_nothing_that_controls_or_hides_is_left_whatever_comes(text: str) -> None:
    cleaned = clean_text(text)
    assert not set(cleaned) & set("\x1b\x9b\x9d\x90\x9c\x07\x18\u202e\U000e0041")
    assert clean_text(cleaned) == cleaned


@settings(deadline=None)
@given(HOSTILE)
def test_bytes_cut_before_their_open_end_read_as_the_whole(text: str) -> None:
    data = text.encode()
    shown = data[: len(data) - open_end(data)]
    assert clean_bytes(data).startswith(clean_bytes(shown))


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (b"abc", 0),
        (b"abc\x1b", 1),
        (b"abc\x1b[31", 4),
        (b"abc\x1b[31m", 0),
        (b"\xc2\x9b31", 4),
        ("é".encode()[:1], 1),
        (b"\x1b]0;\xff" + "日".encode()[:2], 7),
        (b"\xff", 0),
    ],
)
def test_how_much_is_held_is_counted_in_bytes(data: bytes, held: int) -> None:
    assert open_end(data) == held


def test_overlong_and_broken_bytes_become_marks() -> None:
    assert (
        clean_bytes(b"\xc0\x9b31m\xed\xa0\x80\xf8x") == "\ufffd\ufffd31m\ufffd\ufffd\ufffd\ufffdx"
    )


@pytest.mark.parametrize("hostile", ["\x1b", "\x1b]", "\x1bP", "\x1b[", "\x90", "\ufe0f\u200d"])
def test_a_flood_of_beginnings_costs_linear_time(hostile: str) -> None:
    started = time.process_time()
    clean_text(hostile * 200_000)
    open_end((hostile * 200_000).encode())
    assert time.process_time() - started < 2
