"""What the first bytes of a file say that it is."""

from typing import Final

HEAD_BYTES: Final = 8192

_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_KINDS = (
    (b"\x7fELF", "a Linux program or library"),
    (b"MZ", "a Windows program or library"),
    (b"\xcf\xfa\xed\xfe", "a macOS program or library"),
    (b"\xca\xfe\xba\xbe", "a Java class or macOS program"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive, or a document that is one inside"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\0asm", "a WebAssembly module"),
    (b"OggS", "Ogg sound or video"),
    (b"ID3", "MP3 sound"),
    (b"fLaC", "FLAC sound"),
    (b"\xef\xbb\xbf", "text with a broken encoding"),
)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def image_type(head: bytes) -> str:
    """The MIME type of an image that models can see, "" for anything else."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for magic, mime in _IMAGES if head.startswith(magic)), "")


def why_not_text(head: bytes) -> str:
    """Why these first bytes are none of a UTF-8 text, as the end of a sentence; "" if they may be."""
    if head.startswith(_UTF16):
        return "is UTF-16 text; only UTF-8 is supported"
    if b"\0" not in head:
        return ""
    if mime := image_type(head):
        return f"is a binary file: {mime}"
    kind = next((kind for magic, kind in _KINDS if head.startswith(magic)), "")
    if not kind and head[4:8] == b"ftyp":
        kind = "MP4 or QuickTime video"
    if not kind and head[257:262] == b"ustar":
        kind = "a tar archive"
    return f"is a binary file; it seems to be {kind}" if kind else "is a binary file"
