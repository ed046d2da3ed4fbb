"""An image as a model can take it: small enough, whole, of a kind that every provider knows.

An image that cannot be decoded would be refused with every later request of its session, so each
is decoded once here. A file says how large its picture is; too large ones are never decoded.
"""

import io
import struct
import zlib

from msgspec import Struct

from crush.errors import ToolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from PIL.Image import Image

MAX_IMAGE_BYTES = 200 * 1024  # of what the model gets
_MAX_PIXELS = 40_000_000
_MAX_SIDE = 8000  # more is refused by providers
_SMALLER_SIDE = 1568  # what models see of a larger one anyway
_QUALITIES = (85, 70)
_SHRINK = 0.7
_FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
}


class ImageFile(Struct, frozen=True, kw_only=True):
    """`description` is a line about it for the model."""

    data: bytes
    mime_type: str
    description: str


def fit_image(data: bytes, mime_type: str, path: str) -> ImageFile:
    """The image, smaller if need be. Raises ToolError if it is broken or too large."""
    # Half a second of imports, for the few who need them.
    from PIL import Image  # noqa: PLC0415 - heavy, and only for images

    try:
        with Image.open(io.BytesIO(data), formats=[_FORMATS[mime_type]]) as image:
            width, height = image.size
            if width * height > _MAX_PIXELS:
                raise _too_large(path)
            if image.format == "JPEG":
                image.draft("RGB", (2 * _SMALLER_SIDE, 2 * _SMALLER_SIDE))
            image.load()
            was = f"{width}x{height} pixels, {_kib(data)}"
            if len(data) <= MAX_IMAGE_BYTES and max(width, height) <= _MAX_SIDE:
                return ImageFile(data=data, mime_type=mime_type, description=f"{mime_type}, {was}")
            return _smaller(image, was)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise _too_large(path) from exc
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error) as exc:
        raise ToolError(f"{path!r} is a broken image: {exc}.") from exc


def _too_large(path: str) -> ToolError:
    return ToolError(
        f"{path!r} has more than {_MAX_PIXELS // 1_000_000} million pixels; make a smaller copy."
    )


def _smaller(image: "Image", was: str) -> ImageFile:
    from PIL import ImageOps  # noqa: PLC0415 - as above

    upright = ImageOps.exif_transpose(image)
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    picture = upright.convert("RGBA" if has_alpha else "RGB")
    side = min(_SMALLER_SIDE, max(picture.size))
    while True:
        picture.thumbnail((side, side))
        for data, mime_type in _encodings(picture):
            if len(data) <= MAX_IMAGE_BYTES:
                width, height = picture.size
                return ImageFile(
                    data=data,
                    mime_type=mime_type,
                    description=f"{mime_type}, {width}x{height} pixels, {_kib(data)}, "
                    f"made smaller: the file has {was}",
                )
        side = int(side * _SHRINK)


def _encodings(picture: "Image") -> "list[tuple[bytes, str]]":
    """The best first: lossless, then what is smaller."""
    found = [(_saved(picture, "PNG", optimize=True), "image/png")]
    if picture.mode == "RGBA":
        return [*found, *((_saved(picture, "WEBP", quality=q), "image/webp") for q in _QUALITIES)]
    return [*found, *((_saved(picture, "JPEG", quality=q), "image/jpeg") for q in _QUALITIES)]


def _saved(picture: "Image", kind: str, **options: int) -> bytes:
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def _kib(data: bytes) -> str:
    return f"{(len(data) + 1023) // 1024} KiB"
