"""What is refused before anyone reads it as shell."""

import pytest

from crush.permissions.shell_screen import MAX_BYTES, screen
from crush.permissions.shell_script import Unclear
from crush.permissions.shell_syntax import parse_script


@pytest.mark.parametrize(
    ("character", "reason"),
    [
        ("\r", "a carriage return"),
        ("\v", "a vertical tab"),
        ("\f", "a form feed"),
        ("\0", "a NUL"),
        ("\ufeff", "a byte order mark"),
        ("\x1b", "U+001B"),
        ("\x7f", "U+007F"),
        ("\x85", "U+0085"),
        ("\u00a0", "no-break space (U+00A0)"),
        ("\u3000", "ideographic space"),
        ("\u2028", "line separator"),
        ("\u200b", "zero width space"),
        ("\u202e", "right-to-left override"),
        ("\udc80", "bytes that are not UTF-8"),
    ],
)
def test_a_character_that_readers_take_for_different_things_is_refused(
    character: str, reason: str
) -> None:
    text = f"echo a{character}# b\nrm -r c"
    assert reason in screen(text)
    script = parse_script(text)
    shown = text.replace("\udc80", "?")
    assert script.parts == (Unclear(source=shown, reason=screen(text)),)
    assert not script.is_simple


def test_letters_of_any_script_tabs_and_newlines_pass() -> None:
    assert screen("grep\t'größe — 文字 🙂' a\n") == ""


def test_length_is_counted_in_bytes() -> None:
    assert screen("a" * MAX_BYTES) == ""
    assert "longer" in screen("a" * (MAX_BYTES + 1))
    assert "longer" in screen("é" * (MAX_BYTES // 2 + 1))
