"""Protocol ranges and builds: overlap, order, and what they are made of."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crush
from crush.launch import protocol
from crush.launch.protocol import build_id, is_newer, overlaps, parse_range, protocol_headers


def test_a_client_says_its_range_and_its_build() -> None:
    assert protocol_headers() == {"Crush-Protocol": "1-1", "Crush-Build": build_id()}
    assert parse_range(protocol_headers()["Crush-Protocol"]) == (1, 1)


@pytest.mark.parametrize(("text", "parsed"), [("1-3", (1, 3)), ("2", (2, 2))])
def test_a_range_is_two_numbers_or_one(text: str, parsed: tuple[int, int]) -> None:
    assert parse_range(text) == parsed


@pytest.mark.parametrize("text", ["", "x", "3-1", "0-1", "-1", "1-2-3"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_range(text)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(st.integers(1, 9), st.integers(1, 9))
)
def test_ranges_overlap_if_they_share_a_version(a: tuple[int, int], b: tuple[int, int]) -> None:
    one, other = (min(a), max(a)), (min(b), max(b))
    shared = set(range(one[0], one[1] + 1)) & set(range(other[0], other[1] + 1))
    assert overlaps(one, other) == overlaps(other, one) == bool(shared)


def test_a_build_is_stable_and_begins_with_the_version() -> None:
    assert build_id() == build_id()
    assert build_id().startswith(f"{crush.__version__}+")
    assert not is_newer(build_id(), than=build_id())


def test_a_build_of_sources_changes_with_any_file(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path_factory.mktemp("src")
    package = top / "crush"
    (package / "deep" / "__pycache__").mkdir(parents=True)
    for path in (package / "__init__.py", package / "deep" / "x.py"):
        path.touch()
        os.utime(path, ns=(1, 1))
    monkeypatch.setattr(protocol, "package_file", str(package / "__init__.py"))
    before = build_id()
    (package / "deep" / "__pycache__" / "x.pyc").touch()
    assert build_id() == before
    os.utime(package / "deep" / "x.py", ns=(10**18, 10**18))
    after = build_id()
    assert is_newer(after, than=before)
    record = top / f"pycrush-{crush.__version__}.dist-info" / "RECORD"
    record.parent.mkdir()
    record.touch()
    os.utime(record, ns=(2 * 10**18, 2 * 10**18))
    assert is_newer(build_id(), than=after)


ORDERED = [
    "0.1.0+9",
    "0.1.0+a",
    "0.1.0+10",
    "0.1.1rc1+1",
    "0.1.1+1",
    "0.1.1.post1+1",
    "0.2+1",
    "0.10.0+1",
    "1.0.0a1+1",
    "1.0.0b1+1",
    "1.0.0+1",
]


def test_builds_are_ordered_by_version_and_then_by_time() -> None:
    for low, older in enumerate(ORDERED):
        for high, newer in enumerate(ORDERED):
            assert is_newer(newer, than=older) == (high > low), (newer, older)


@pytest.mark.parametrize("foreign", ["", "unknown", "dj3k2l", "1.0", "1.0+", "1.0+Ä", "1.0+A"])
def test_a_foreign_build_is_neither_older_nor_newer(foreign: str) -> None:
    assert not is_newer("9.9+z", than=foreign)
    assert not is_newer(foreign, than="0.0+0")
