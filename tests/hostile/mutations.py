"""Mutations: bytes damaged in the ways in which decoders have been broken, the n-th of a seed always the same."""

import random
import struct
import zlib
from collections.abc import Callable, Mapping

_VALUES = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Where lengths, counts and offsets change their sign or end."""
_HEAD_BYTES = 200
_PNG = b"\x89PNG\r\n\x1a\n"


def mutated(files: Mapping[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Return the file that mutation `number` of `seed` makes, and the name of the one it was made from."""
    rng = random.Random(f"{seed} {number}")
    names = sorted(files)
    name = rng.choice(names)
    content = bytearray(files[name])
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        rng.choice(_MUTATIONS)(content, rng)
    if rng.random() < 0.05:
        other = files[rng.choice(names)]
        content[rng.randrange(len(content) + 1) :] = other[rng.randrange(len(other)) :]
    if content.startswith(_PNG) and rng.random() < 0.7:
        content = _with_right_checksums(content)
    return name, bytes(content)


def _place(content: bytearray, rng: random.Random, width: int = 1) -> int:
    """Return where to strike: every second time among the first bytes, where a decoder learns what to expect."""
    most = max(1, len(content) - width + 1)
    return rng.randrange(min(most, _HEAD_BYTES) if rng.random() < 0.5 else most)


def _flip(content: bytearray, rng: random.Random) -> None:
    if content:
        content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _byte(content: bytearray, rng: random.Random) -> None:
    if content:
        content[_place(content, rng)] = rng.randrange(256)


def _number(content: bytearray, rng: random.Random) -> None:
    form = rng.choice(("<H", ">H", "<I", ">I"))
    width = struct.calcsize(form)
    if len(content) >= width:
        value = (rng.choice(_VALUES) + rng.randrange(-1, 2)) % (1 << 8 * width)
        struct.pack_into(form, content, _place(content, rng, width), value)


def _step(content: bytearray, rng: random.Random) -> None:
    if content:
        place = _place(content, rng)
        content[place] = (content[place] + rng.choice((-1, 1, 16, -16))) % 256


def _cut_out(content: bytearray, rng: random.Random) -> None:
    place = _place(content, rng)
    del content[place : place + rng.choice((1, 2, 4, 12, 100))]


def _repeat(content: bytearray, rng: random.Random) -> None:
    place, width = _place(content, rng), rng.choice((1, 2, 4, 12, 100))
    content[place:place] = content[place : place + width] * rng.choice((1, 1, 8))


def _insert(content: bytearray, rng: random.Random) -> None:
    place = _place(content, rng)
    content[place:place] = rng.randbytes(rng.choice((1, 2, 4, 64)))


def _cut_off(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _swap(content: bytearray, rng: random.Random) -> None:
    first, second, width = _place(content, rng), _place(content, rng), rng.choice((2, 4, 12))
    here, there = content[first : first + width], content[second : second + width]
    if len(here) == len(there):
        content[first : first + width], content[second : second + width] = there, here


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _flip, _byte, _byte, _number, _number, _number, _step, _cut_out, _repeat, _insert, _cut_off, _swap,
)  # fmt: skip


def _with_right_checksums(content: bytearray) -> bytearray:
    """Mend a PNG's checksums, behind which most of its decoder would not be reached."""
    place = len(_PNG)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            break
        struct.pack_into(">I", content, end, zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return content
