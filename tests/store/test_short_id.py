import pytest

from crush.store.short_id import short_id, xxh3_64

# The sanity buffer and the values for it are those that the xxHash project publishes for XXH3.
VECTORS = {
    0: 0x2D06800538D394C2,
    1: 0xC44BDFF4074EECDB,
    6: 0x27B56A84CD2D7325,
    12: 0xA713DAF0DFBB77E7,
    24: 0xA3FE70BF9D3510EB,
    48: 0x397DA259ECBA1F11,
    80: 0xBCDEFBBB2C47C90A,
    195: 0xCD94217EE362EC3A,
    403: 0xCDEB804D65C6DEA4,
    512: 0x617E49599013CB6B,
    2048: 0xDD59E2C3A5F038E0,
    2240: 0x6E73A90539CF2948,
    2367: 0xCB37AEB9E5D361ED,
}


def sanity_buffer(size: int) -> bytes:
    generator = 0x9E3779B1
    buffer = bytearray()
    for _ in range(size):
        buffer.append(generator >> 56)
        generator = generator * 0x9E3779B185EBCA8D & (1 << 64) - 1
    return bytes(buffer)


@pytest.mark.parametrize(("size", "expected"), VECTORS.items())
def test_the_hash_is_that_of_the_specification(size: int, expected: int) -> None:
    assert xxh3_64(sanity_buffer(size)) == expected


def test_a_short_id_is_sixteen_hex_characters_with_leading_zeros() -> None:
    keys = [f"00000000-0000-0000-0000-{number:012}" for number in range(300)]
    shorts = {short_id(key) for key in keys}

    assert {len(short) for short in shorts} == {16}
    assert len(shorts) == len(keys)
    assert any(short.startswith("0") for short in shorts)
