"""Configuration files on disk: what is wrong is named with file, line and column."""

import os
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.config.document import MAX_BYTES, load_file, parse
from crush.errors import ConfigError, Exit
from tests.config.checkout import Checkout


def problem(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(data, "crush.json")
    assert caught.value.exit_code == Exit.CONFIG
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "1:1"),
        (b'{"a": 1,}', "1:9"),
        (b'{"a" 1}', "1:6"),
        (b'{\n  "a": 1\n  "b": 2\n}', "3:3"),
        (b'{\n  "a": [1, 2\n', "3:1"),
        (b'{\n  // no comments in JSON\n  "a": 1\n}', "2:3"),
        (b'{"gr\xc3\xbc\xc3\x9fe": x}', "1:11"),
        (b'{"a": NaN}', "1:7"),
        (b'{\n"a": "\xff"}', "2:7"),
        (b"[1]", "1:1"),
        (b'\xef\xbb\xbf{"a" 1}', "1:6"),
    ],
)
def test_malformed_json_is_reported_with_line_and_column(data: bytes, place: str) -> None:
    assert problem(data).startswith(f"crush.json:{place}: invalid JSON: ")


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text('{}[]":,1a\\ \n', max_size=40).map(str.encode))
def test_whatever_a_file_holds_it_is_an_object_or_a_configuration_error(data: bytes) -> None:
    try:
        document = parse(data, "crush.json")
    except ConfigError:
        return
    assert document.__class__ is dict


def test_an_error_does_not_quote_the_file() -> None:
    assert "hunter2" not in problem(b'{"api_key": "hunter2", x}')


def test_deep_nesting_is_an_error() -> None:
    assert "nested too deeply" in problem(b'{"a":' + b"[" * 100_000)


def test_a_number_out_of_range_is_an_error() -> None:
    assert "out of range" in problem(b'{"a": 1e999}')


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b'\xef\xbb\xbf{"a": 1}', "crush.json") == {"a": 1}


def test_the_last_of_equal_keys_counts() -> None:
    assert parse(b'{"a": 1, "a": 2}', "crush.json") == {"a": 2}


def test_null_is_as_if_the_key_were_absent_except_in_what_is_passed_on() -> None:
    data = (
        b'{"x": null, "p": {"key": null, "models": [{"name": null}], "extra_body": {"stop": null}}}'
    )
    assert parse(data, "crush.json") == {"p": {"models": [{}], "extra_body": {"stop": None}}}


def test_a_file_that_is_not_there_is_no_file(checkout: Checkout) -> None:
    assert load_file(checkout.path("crush.json")) is None
    checkout.write("plain", "")
    assert load_file(checkout.path("plain", "crush.json")) is None


def test_a_file_may_have_a_mebibyte_and_not_a_byte_more(checkout: Checkout) -> None:
    padding = " " * (MAX_BYTES - 2)
    path = checkout.write("crush.json", "{" + padding + "}")
    assert load_file(path) is not None

    checkout.write("crush.json", "{ " + padding + "}")
    with pytest.raises(ConfigError, match="larger than 1024 KiB"):
        load_file(path)


def test_a_named_pipe_does_not_hold_the_run(checkout: Checkout) -> None:
    path = checkout.path("crush.json")
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_file(path)


@pytest.mark.parametrize("target", ["/dev/zero", "/tmp"])  # noqa: S108 - a directory, not a file
def test_a_link_to_something_else_than_a_file_is_refused(checkout: Checkout, target: str) -> None:
    path = checkout.path("crush.json")
    os.symlink(target, path)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_file(path)


def test_a_link_in_a_circle_is_refused(checkout: Checkout) -> None:
    path = checkout.path("crush.json")
    os.symlink(path, path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_file(path)


def test_a_path_with_a_null_character_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_file("/x\0y")


# Imported first: the other user may not be allowed to read our installation.
AS_SOMEBODY_ELSE = """
import os, sys
from crush.config.document import load_file
from crush.errors import ConfigError
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
print(load_file(sys.argv[1]).document)
try:
    load_file(sys.argv[2])
except ConfigError as exc:
    print(exc)
"""


def test_a_file_that_may_not_be_read_is_named() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # noqa: S103 - the other user must get as far as the files
        readable, secret = (os.path.join(directory, name) for name in ("readable", "secret"))
        for path, mode in ((readable, 0o644), (secret, 0o000)):
            with open(path, "w", encoding="utf-8") as stream:
                stream.write('{"a": 1}')
            os.chmod(path, mode)
        answer = subprocess.run(
            [sys.executable, "-c", AS_SOMEBODY_ELSE, readable, secret],
            capture_output=True,
            text=True,
            check=True,
        )
    assert answer.stdout.splitlines() == [
        "{'a': 1}",
        f"{secret}: cannot be read: Permission denied",
    ]
