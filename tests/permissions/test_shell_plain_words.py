"""A word that is known by one look is the word that a reader would find letter by letter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.permissions.shell_plain_words import plain_word
from crush.permissions.shell_unreadable import UnreadableError
from crush.permissions.shell_words import begin_word

LETTERS = "abx19_/.,:=+@%^-~*?[]{}!\"'\\$` \t\n;&|<>()#é"
WORDS = st.one_of(
    st.text(LETTERS, max_size=12),
    st.builds("{}{}{}".format, *[st.text("ab=\"'$x ~[]{};|)>", max_size=6)] * 3),
    st.sampled_from(['"$x"', "'a b'", '"a b"', "x=1", "a+=b", "[", "]]", "{", "--a=b", "./a=b"]),
)


@settings(max_examples=1500, deadline=None)
@given(text=WORDS, tail=st.sampled_from(["", " b", ";", "|a", ")", "\n", ">x", "(", "'"]))
@pytest.mark.parametrize("may_assign", [False, True])
def test_one_look_sees_what_a_reader_finds(text: str, tail: str, *, may_assign: bool) -> None:
    source = text + tail
    plain = plain_word(source, 0, limit=len(source), may_assign=may_assign)
    if plain is None:
        return
    reader = begin_word(source, 0, limit=len(source), may_assign=may_assign)
    try:
        substitution = reader.read()
    except UnreadableError as error:
        pytest.fail(f"a reader gives up: {error}")
    assert substitution is None
    assert (plain.pos, plain.raw, plain.assigned) == (reader.pos, reader.raw, reader.assigned)
    assert plain.word() == reader.word()
    assert not reader.doubts


@pytest.mark.parametrize(
    "text",
    ["ls", "-la", "--color=never", "a=b", "./x", '"$name"', "'a b'", '"a b"', "[", "]]", "{", "!"],
)
def test_usual_words_are_plain(text: str) -> None:
    found = plain_word(f"{text} x", 0, limit=len(text) + 2, may_assign=True)

    assert found is not None
    assert found.raw == text


@pytest.mark.parametrize(
    "text",
    ["a*", "a[b]", "{a,b}", "~", "'~'", '"a$b"', "a\\b", '"a\\b"', "a(", "2>", "$x", "`a`", "é"],
)
def test_what_needs_care_is_not(text: str) -> None:
    assert plain_word(text, 0, limit=len(text), may_assign=False) is None
