"""Images through `view`; the pictures are made here, hostile ones by hand."""

import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from crush.errors import ToolError
from crush.tools.image_file import MAX_IMAGE_BYTES
from tests.tools.conftest import Caller

KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}


def picture(kind: str, size: tuple[int, int], *, mode: str = "RGB") -> bytes:
    """Plain, so that it is small."""
    target = io.BytesIO()
    Image.new(mode, size, "red").save(target, kind)
    return target.getvalue()


def noise(kind: str, side: int, *, mode: str = "RGB") -> bytes:
    """What no encoder makes small."""
    target = io.BytesIO()
    Image.frombytes(mode, (side, side), os.urandom(side * side * len(mode))).save(target, kind)
    return target.getvalue()


def png_bomb(width: int, height: int) -> bytes:
    """A small PNG that says how large it would be."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(1_000_000)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks.items()
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_a_small_image_is_returned_as_it_is(call: Caller, project: Path, kind: str) -> None:
    data = picture(kind, (20, 10))
    (project / "a.txt").write_bytes(data)  # what counts is the content
    result = await call("view", file_path="a.txt")
    assert (result.data, result.mime_type) == (data, KINDS[kind])
    assert result.content == f"{KINDS[kind]}, 20x10 pixels, 1 KiB"
    assert call.context.files.digest(f"{project}/a.txt") is not None


@pytest.mark.parametrize(("mode", "mime_type"), [("RGB", "image/jpeg"), ("RGBA", "image/webp")])
async def test_a_large_image_is_made_smaller(
    call: Caller, project: Path, mode: str, mime_type: str
) -> None:
    (project / "a.png").write_bytes(noise("PNG", 900, mode=mode))
    result = await call("view", file_path="a.png")
    assert len(result.data) <= MAX_IMAGE_BYTES
    assert result.mime_type == mime_type
    assert "made smaller: the file has 900x900 pixels" in result.content
    with Image.open(io.BytesIO(result.data)) as shown:
        assert shown.size[0] == shown.size[1] < 900
        assert Image.MIME[str(shown.format)] == mime_type


async def test_an_image_of_few_bytes_and_too_many_pixels_for_a_provider_is_made_smaller(
    call: Caller, project: Path
) -> None:
    (project / "a.png").write_bytes(picture("PNG", (9000, 10)))
    result = await call("view", file_path="a.png")
    assert "1568x" in result.content


@pytest.mark.parametrize("size", [(8000, 5001), (12_000, 12_000), (60_000, 60_000)])
async def test_a_bomb_is_refused_without_being_unpacked(
    call: Caller, project: Path, size: tuple[int, int]
) -> None:
    (project / "a.png").write_bytes(png_bomb(*size))
    with pytest.raises(ToolError, match="40 million pixels"):
        await call("view", file_path="a.png")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_broken_image_is_an_error_and_never_sent(
    call: Caller, project: Path, kind: str
) -> None:
    data = noise(kind, 100)
    for size in (16, len(data) // 2):
        (project / "a").write_bytes(data[:size])
        with pytest.raises(ToolError, match="broken image"):
            await call("view", file_path="a")


async def test_one_kind_in_the_clothes_of_another_is_broken(call: Caller, project: Path) -> None:
    (project / "a").write_bytes(b"GIF89a" + picture("PNG", (5, 5)))
    with pytest.raises(ToolError, match="broken image"):
        await call("view", file_path="a")
