"""The core of `json` without the package says the same as the package."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.launch import thin_json

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_what_is_written_is_what_the_package_writes(value: object) -> None:
    assert thin_json.dumps(value) == json.dumps(value)


@given(VALUES, st.sampled_from(["", " ", "\t\r\n"]), st.sampled_from(["", " ", "\n"]))
def test_what_is_read_is_what_the_package_reads(value: object, before: str, after: str) -> None:
    text = before + json.dumps(value, indent=1) + after
    assert repr(thin_json.loads(text)) == repr(json.loads(text))
    assert repr(thin_json.loads(text.encode())) == repr(json.loads(text))


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsnINityd\\ \n'))
def test_what_the_package_refuses_is_refused(text: str) -> None:
    try:
        wanted = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            thin_json.loads(text)
    else:
        assert repr(thin_json.loads(text)) == repr(wanted)


@pytest.mark.parametrize("text", [b"\xff", b"", b'{"a": 1} {}', b'["', "\ufeff1"])
def test_bytes_that_are_no_json_raise_a_value_error(text: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        thin_json.loads(text)


def test_what_json_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="not JSON"):
        thin_json.dumps({"a": {1, 2}})
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(ValueError, match="Circular"):
        thin_json.dumps(ring)


def test_infinite_numbers_are_numbers() -> None:
    assert thin_json.loads("-Infinity") == -math.inf
    assert math.isnan(thin_json.loads("NaN"))


def test_a_python_without_the_core_gets_the_package() -> None:
    program = (
        "import sys; sys.modules['_json'] = None\n"
        "from crush.launch.thin_json import dumps, loads\n"
        "assert 'json' in sys.modules\n"
        "assert loads(dumps({'a': [1, None, 'é']})) == {'a': [1, None, 'é']}\n"
        "try: loads('{} {}')\n"
        "except ValueError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=True
    )
    assert done.stdout == "refused\n"
