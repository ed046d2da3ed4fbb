"""The decoder of server-sent events: ends of lines, cuts, comments, limits."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.providers._sse import Frame, FrameTooLongError, SseDecoder


def decode(*chunks: bytes) -> list[Frame]:
    decoder = SseDecoder()
    return [frame for chunk in chunks for frame in decoder.feed(chunk)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_may_end_in_any_of_three_ways(end: bytes) -> None:
    lines = [b"event: greeting", b"data: one", b"data: two", b"", b"data: three", b"", b""]
    assert decode(end.join(lines)) == [Frame(b"greeting", b"one\ntwo"), Frame(b"", b"three")]


def test_an_event_is_given_out_as_soon_as_its_last_line_ends() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [Frame(b"", b"a")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: b\n\n") == [Frame(b"", b"b")]


def test_only_one_space_after_the_colon_is_not_part_of_the_value() -> None:
    assert decode(b"data:a\n\ndata: b\n\ndata:  c\n\n") == [
        Frame(b"", b"a"),
        Frame(b"", b"b"),
        Frame(b"", b" c"),
    ]


def test_comments_ids_retries_and_unknown_fields_are_skipped() -> None:
    stream = b": hello\nid: 1\nretry: 10\nfield: x\nnonsense\ndata: a\n: between\n\n: end\n\n"
    assert decode(stream) == [Frame(b"", b"a")]


def test_an_event_without_data_is_none_and_its_name_does_not_stick() -> None:
    assert decode(b"event: lonely\n\ndata: a\n\n") == [Frame(b"", b"a")]


def test_a_bare_data_line_is_an_empty_one() -> None:
    assert decode(b"data\n\n") == [Frame(b"", b"")]
    assert decode(b"data: a\ndata\n\n") == [Frame(b"", b"a\n")]


def test_a_byte_order_mark_counts_only_at_the_start() -> None:
    assert decode(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == [Frame(b"", b"a")]
    assert decode(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == [Frame(b"", b"a")]


def test_an_event_that_is_never_closed_is_dropped() -> None:
    assert decode(b"data: a\n\ndata: b\n") == [Frame(b"", b"a")]


def test_a_character_that_is_cut_in_the_middle_comes_out_whole() -> None:
    crab = "🦀".encode()
    assert decode(b"data: " + crab[:2], crab[2:3], crab[3:] + b"\n\n") == [Frame(b"", crab)]


LINES = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b"event: e",
        b": comment",
        b"",
        b"",
        b"id: 1",
        "data: é🦀".encode(),
    ]
)


@settings(deadline=None)
@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=20),
    data=st.data(),
)
def test_it_does_not_matter_where_the_bytes_are_cut(
    lines: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(line + end for line, end in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert decode(*chunks) == decode(stream)


def test_a_line_without_end_is_an_error_and_not_a_full_memory() -> None:
    decoder = SseDecoder(limit_bytes=1000)
    decoder.feed(b"data: " + b"x" * 900)
    with pytest.raises(FrameTooLongError):
        decoder.feed(b"x" * 200)


def test_an_event_of_many_lines_has_the_same_limit() -> None:
    decoder = SseDecoder(limit_bytes=1000)
    with pytest.raises(FrameTooLongError):
        decoder.feed(b"data: xxxxxxxxxx\n" * 101)
