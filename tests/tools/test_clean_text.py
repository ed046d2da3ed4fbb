import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.tools.clean_text import LiveText, clean_text

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
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_taken_out(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@pytest.mark.parametrize("text", ["tab\tcr\r\n", "日本語 é", "👩\u200d💻", "क्\u200cष", "❤\ufe0f"])
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
