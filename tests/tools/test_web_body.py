import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.errors import ToolError
from crush.tools.web_body import _decode, _Inflating, _meta_charset, _usable
from crush.tools.web_url import parse_url

URL = parse_url("https://a.example/")


def inflate(data: bytes, piece_bytes: int, *, room: int, is_gzip: bool) -> bytes:
    decoder = _Inflating(URL, is_gzip=is_gzip)
    out = b""
    for start in range(0, len(data), piece_bytes):
        out += decoder.feed(data[start : start + piece_bytes], room - len(out))
    return out


@given(
    st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    st.integers(1, 50),
    st.integers(1, 1000),
)
def test_any_members_in_any_pieces_give_the_start_of_what_was_compressed(
    members: list[bytes], piece_bytes: int, room: int
) -> None:
    whole = b"".join(members)
    zipped = b"".join(map(gzip.compress, members))
    assert inflate(zipped, piece_bytes, room=room, is_gzip=True) == whole[:room]
    assert inflate(zlib.compress(whole), piece_bytes, room=room, is_gzip=False) == whole[:room]


@given(st.binary(min_size=1, max_size=200), st.integers(1, 50), st.booleans())
def test_any_other_bytes_are_an_error_or_bounded(
    data: bytes, piece_bytes: int, is_gzip: bool
) -> None:
    try:
        out = inflate(data, piece_bytes, room=10, is_gzip=is_gzip)
    except ToolError:
        return
    assert len(out) <= 10


@given(st.text(), st.integers(0, 100))
def test_text_that_was_cut_anywhere_is_still_utf_8(text: str, cut_at: int) -> None:
    data = text.encode()[:cut_at]
    decoded = _decode(data, "", cut=True)
    assert decoded is not None
    if not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        assert text.startswith(decoded)
        assert len(data) - len(decoded.encode()) < 4


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        (" UTF-8 ", "utf-8"),
        ("'latin1'", "cp1252"),
        ("Shift_JIS", "shift_jis"),
        ("windows-1252", "windows-1252"),
        ("idna", ""),
        ("punycode", ""),
        ("rot13", ""),
        ("hex", ""),
        ("unicode_escape", ""),
        ("utf-7", ""),
        ("iso-8859-12", ""),
        ("", ""),
    ],
)
def test_only_charsets_of_the_web_are_used(name: str, codec: str) -> None:
    assert _usable(name) == codec


@pytest.mark.parametrize(
    ("page", "charset"),
    [
        (b"<meta charset=koi8-r>", "koi8-r"),
        (b'<META http-equiv=x content="text/html; charset=Windows-1251">', "windows-1251"),
        (b"<meta charset='utf-16'>", ""),
        (b" " * 5000 + b"<meta charset=koi8-r>", ""),
        (b"<meta " * 1000, ""),
    ],
)
def test_a_page_names_its_charset_at_its_start(page: bytes, charset: str) -> None:
    assert _meta_charset(page) == charset
