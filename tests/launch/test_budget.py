"""The readiness budget is read as Go reads a duration, or as seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.launch.budget import DEFAULT_READY_S, parse_duration_s, ready_budget_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("300ms", 0.3),
        ("2500us", 0.0025),
        ("2500µs", 0.0025),
        ("1h2m3s4ms", 3723.004),
        ("+5s", 5),
        (".5s", 0.5),
        ("20", 20),
        ("0.25", 0.25),
        (" 7s ", 7),
    ],
)
def test_a_duration_or_a_number_is_the_budget(text: str, seconds: float) -> None:
    assert ready_budget_s({"CRUSH_SERVER_READY_TIMEOUT": text}) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0s",
        "-1s",
        "-5",
        "soon",
        "5x",
        "s",
        "1s2",
        "1e3",
        "nan",
        "inf",
        "1_0",
        "٣s",
        ".",
        "1..2s",
        "5 s",
    ],
)
def test_what_is_no_positive_duration_means_ten_seconds(text: str) -> None:
    assert ready_budget_s({"CRUSH_SERVER_READY_TIMEOUT": text}) == DEFAULT_READY_S == 10


def test_an_unset_budget_is_ten_seconds() -> None:
    assert ready_budget_s({}) == DEFAULT_READY_S


@given(st.text(alphabet="0123456789.hmnsuµ+- ", max_size=12))
def test_any_text_gives_a_positive_budget(text: str) -> None:
    assert ready_budget_s({"CRUSH_SERVER_READY_TIMEOUT": text}) > 0


@given(st.integers(0, 9999), st.integers(0, 59), st.integers(0, 59))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert (
        parse_duration_s(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds
    )
