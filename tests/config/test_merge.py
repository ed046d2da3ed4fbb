"""Merging: objects deep, arrays joined, the later scalar wins."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from crush.config.merge import merge

# The type of a value follows from its key, as in documents that passed the check.
SCALARS = st.integers() | st.text(max_size=3) | st.booleans()
LEAVES = st.dictionaries(st.sampled_from(["s1", "s2"]), SCALARS)
ARRAYS = st.dictionaries(st.sampled_from(["a1", "a2"]), st.lists(st.integers(), max_size=3))


def join(parts: tuple[Mapping[str, object], ...]) -> dict[str, object]:
    return {key: value for part in parts for key, value in part.items()}


FLAT = st.tuples(LEAVES, ARRAYS).map(join)
DOCUMENTS = st.recursive(
    FLAT,
    lambda inner: st.tuples(FLAT, st.dictionaries(st.sampled_from(["o1", "o2"]), inner)).map(join),
    max_leaves=6,
)


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_it_does_not_matter_which_neighbours_are_merged_first(
    one: dict[str, object], two: dict[str, object], three: dict[str, object]
) -> None:
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@settings(deadline=None)
@given(DOCUMENTS)
def test_an_empty_document_changes_nothing(document: dict[str, object]) -> None:
    assert merge(document, {}) == document
    assert merge({}, document) == document


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_every_scalar_of_the_later_document_wins_and_arrays_keep_their_order(
    earlier: dict[str, object], later: dict[str, object]
) -> None:
    merged = merge(earlier, later)

    assert merged.keys() == earlier.keys() | later.keys()
    for key in merged:
        if key.startswith("s"):
            assert merged[key] == later.get(key, earlier.get(key))
        if key.startswith("a"):
            parts = [document.get(key, []) for document in (earlier, later)]
            assert merged[key] == [
                item for part in parts if isinstance(part, list) for item in part
            ]


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_neither_document_is_changed(earlier: dict[str, object], later: dict[str, object]) -> None:
    before = repr((earlier, later))
    merge(earlier, later)
    assert repr((earlier, later)) == before


def test_a_value_of_another_type_replaces() -> None:
    assert merge({"x": [1], "y": {"z": 1}}, {"x": {"a": 1}, "y": 2}) == {"x": {"a": 1}, "y": 2}
