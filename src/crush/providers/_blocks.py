"""How both protocols write a neutral block: input of a tool, bytes of an image."""

import base64

import msgspec

from crush.providers.base import ImageBlock

_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_object(text: str) -> bool:
    """Whether the text is one complete JSON object."""
    try:
        _objects.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def input_text(text: str) -> str:
    """The input of a past call as the model wrote it, or `{}` where it is no JSON object.

    Kept to the byte, so that the prefix of a conversation stays the same for the provider's cache.
    """
    return text if is_object(text) else "{}"


def base64_text(image: ImageBlock) -> str:
    return base64.b64encode(image.data).decode("ascii")
