import codecs
import os
import socket
from pathlib import Path

import pytest

from crush.errors import ToolError
from crush.tools.file_text import MAX_BYTES, encode_text, load_text


def test_a_byte_order_mark_is_kept_apart_from_the_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(codecs.BOM_UTF8 + b"x\r\n")
    file = load_text(str(tmp_path / "a"))
    assert (file.text, file.bom) == ("x\r\n", True)
    assert encode_text(file.text, bom=file.bom) == codecs.BOM_UTF8 + b"x\r\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a\0b", "binary"),
        (b"caf\xe9\n", "not UTF-8 text \\(byte 3\\)"),
        ("hi".encode("utf-16"), "UTF-16"),
        (b"x" * (MAX_BYTES + 1), "larger than 16 MiB"),
    ],
)
def test_a_file_that_is_not_text_is_refused_with_the_reason(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ToolError, match=reason):
        load_text(str(tmp_path / "a"))


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ToolError, match="not a regular file"):
        load_text(str(tmp_path / "fifo"))


def test_devices_sockets_and_directories_are_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        for path, reason in [
            ("/dev/zero", "not a regular file"),
            (str(tmp_path / "s"), "not a regular file"),
            (str(tmp_path), "is a directory"),
        ]:
            with pytest.raises(ToolError, match=reason):
                load_text(path)


def test_a_link_put_in_place_of_a_resolved_path_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("x")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(ToolError, match="not a regular file"):
        load_text(str(tmp_path / "link"))


def test_half_a_surrogate_pair_is_refused_before_anything_is_written() -> None:
    with pytest.raises(ToolError, match="surrogate"):
        encode_text("\ud800", bom=False)
