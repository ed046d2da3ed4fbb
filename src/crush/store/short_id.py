"""The short id of a session: XXH3-64 of its id in hex, as Crush shows it (F 1.2).

Written from the public xxHash specification (XXH3, seed 0, default secret), whose names it keeps,
so that a dependency is not needed for a few dozen bytes.
"""

import struct
from typing import Final

SHOWN = 7  # characters that people see

_MASK: Final = (1 << 64) - 1
_P32_1: Final = 0x9E3779B1
_P32_2: Final = 0x85EBCA77
_P32_3: Final = 0xC2B2AE3D
_P64_1: Final = 0x9E3779B185EBCA87
_P64_2: Final = 0xC2B2AE3D27D4EB4F
_P64_3: Final = 0x165667B19E3779F9
_P64_4: Final = 0x85EBCA77C2B2AE63
_P64_5: Final = 0x27D4EB2F165667C5
_PMX1: Final = 0x165667919E3779F9
_PMX2: Final = 0x9FB21C651E98DF25
_SECRET: Final = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
_HALF: Final = 4
_WORD: Final = 8
_SMALL: Final = 16
_MEDIUM: Final = 128
_LONG: Final = 240
_STRIPE: Final = 64
_BLOCK: Final = (len(_SECRET) - _STRIPE) // 8 * _STRIPE


def short_id(session_id: str) -> str:
    """All 16 hex characters; a prefix of any length names the session if it is unique."""
    return f"{xxh3_64(session_id.encode()):016x}"


def xxh3_64(data: bytes) -> int:
    size = len(data)
    if size <= _SMALL:
        return _small(data, size)
    if size <= _MEDIUM:
        return _up_to_128(data, size)
    if size <= _LONG:
        return _up_to_240(data, size)
    return _large(data, size)


def _small(data: bytes, size: int) -> int:
    if size > _WORD:
        low = _word(_SECRET, 24) ^ _word(_SECRET, 32) ^ _word(data, 0)
        high = _word(_SECRET, 40) ^ _word(_SECRET, 48) ^ _word(data, size - 8)
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return _avalanche(size + swapped + high + _fold(low, high))
    if size >= _HALF:
        combined = _half(data, size - 4) | _half(data, 0) << 32
        value = _word(_SECRET, 8) ^ _word(_SECRET, 16) ^ combined
        value ^= _rotate(value, 49) ^ _rotate(value, 24)
        value = value * _PMX2 & _MASK
        value ^= (value >> 35) + size
        value = value * _PMX2 & _MASK
        return value ^ value >> 28
    if size:
        combined = data[-1] | size << 8 | data[0] << 16 | data[size >> 1] << 24
        return _avalanche_xxh64(_half(_SECRET, 0) ^ _half(_SECRET, 4) ^ combined)
    return _avalanche_xxh64(_word(_SECRET, 56) ^ _word(_SECRET, 64))


def _up_to_128(data: bytes, size: int) -> int:
    total = size * _P64_1
    for i in range((size - 1) >> 5, -1, -1):
        total += _mix(data, i * 16, i * 32)
        total += _mix(data, size - i * 16 - 16, i * 32 + 16)
    return _avalanche(total)


def _up_to_240(data: bytes, size: int) -> int:
    total = _avalanche(size * _P64_1 + sum(_mix(data, i * 16, i * 16) for i in range(8)))
    total += sum(_mix(data, i * 16, (i - 8) * 16 + 3) for i in range(8, size >> 4))
    return _avalanche(total + _mix(data, size - 16, 119))


def _large(data: bytes, size: int) -> int:
    lanes = [_P32_3, _P64_1, _P64_2, _P64_3, _P64_4, _P32_2, _P64_5, _P32_1]
    last_block = (size - 1) // _BLOCK * _BLOCK
    for block in range(0, last_block, _BLOCK):
        _accumulate_stripes(lanes, data, block, _BLOCK // _STRIPE)
        _scramble(lanes)
    _accumulate_stripes(lanes, data, last_block, (size - last_block - 1) // _STRIPE)
    _accumulate(lanes, data, size - _STRIPE, len(_SECRET) - 71)
    total = size * _P64_1
    for i in range(0, 8, 2):
        first, second = _word(_SECRET, 11 + i * 8), _word(_SECRET, 19 + i * 8)
        total += _fold(lanes[i] ^ first, lanes[i + 1] ^ second)
    return _avalanche(total)


def _accumulate_stripes(lanes: list[int], data: bytes, start: int, count: int) -> None:
    for n in range(count):
        _accumulate(lanes, data, start + n * _STRIPE, n * 8)


def _accumulate(lanes: list[int], data: bytes, at: int, secret_at: int) -> None:
    for i in range(8):
        stripe = _word(data, at + i * 8)
        value = stripe ^ _word(_SECRET, secret_at + i * 8)
        lanes[i ^ 1] = lanes[i ^ 1] + stripe & _MASK
        lanes[i] = lanes[i] + (value & 0xFFFFFFFF) * (value >> 32) & _MASK


def _scramble(lanes: list[int]) -> None:
    for i, lane in enumerate(lanes):
        mixed = lane ^ lane >> 47 ^ _word(_SECRET, len(_SECRET) - _STRIPE + i * 8)
        lanes[i] = mixed * _P32_1 & _MASK


def _mix(data: bytes, at: int, secret_at: int) -> int:
    return _fold(
        _word(data, at) ^ _word(_SECRET, secret_at),
        _word(data, at + 8) ^ _word(_SECRET, secret_at + 8),
    )


def _fold(a: int, b: int) -> int:
    product = a * b
    return product & _MASK ^ product >> 64


def _avalanche(value: int) -> int:
    value &= _MASK
    value ^= value >> 37
    value = value * _PMX1 & _MASK
    return value ^ value >> 32


def _avalanche_xxh64(value: int) -> int:
    value ^= value >> 33
    value = value * _P64_2 & _MASK
    value ^= value >> 29
    value = value * _P64_3 & _MASK
    return value ^ value >> 32


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _word(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<Q", data, at)[0])


def _half(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
