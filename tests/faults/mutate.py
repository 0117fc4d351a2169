"""Damage to files: flipped bits, cut ends, moved blocks, and numbers that promise too much."""

import re
from collections.abc import Callable

import numpy as np
from reader_seeds import Seed

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_TEXT_NUMBERS = (
    *(b"0", b"-1", b"1", b"2", b"3", b"255", b"65536", b"2147483647", b"4294967296", b"99999999999"),
    *(b"18446744073709551616", b"9" * 31, b"9" * 5003, b"1e308", b"1e-308", b"nan", b"inf", b"-inf", b"", b"0x10"),
    *(b"1_000", b"\xd9\xa3", b"\xff", b".", b"+", b"~", b"null", b"[]", b"{}", b'"', b"\\ud800", b"[[[[]]]]"),
)
_BINARY_NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63)
_TAIL = re.compile(rb"[\x20-\x7e\s]*")


def mutate(seed: Seed, rng: np.random.Generator) -> dict[str, bytes]:
    """Return the files of a seed, one of them damaged in one to four ways."""
    files = dict(seed.files)
    names = [name for name in files if files[name]]
    name = seed.target if seed.target in names and rng.random() < 0.5 else names[rng.integers(len(names))]
    content = bytearray(files[name])
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        if content:
            is_text = _TAIL.fullmatch(bytes(content[:512])) is not None
            kinds = _TEXT_KINDS if is_text and rng.random() < 0.7 else _KINDS
            content = kinds[rng.integers(len(kinds))](content, rng)
    files[name] = bytes(content)
    if rng.random() < 0.01:
        files.pop(names[rng.integers(len(names))], None)
    return files


def _position(content: bytearray, rng: np.random.Generator) -> int:
    """Return a position; half of them in the first 256 bytes, where headers are."""
    return int(rng.integers(min(len(content), 256) if rng.random() < 0.5 else len(content)))


def _flip_bits(content: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(1 + rng.integers(5)):
        content[_position(content, rng)] ^= 1 << int(rng.integers(8))
    return content


def _set_bytes(content: bytearray, rng: np.random.Generator) -> bytearray:
    at = _position(content, rng)
    content[at : at + int(rng.integers(1, 9))] = rng.bytes(int(rng.integers(1, 9)))
    return content


def _cut(content: bytearray, rng: np.random.Generator) -> bytearray:
    return content[: int(rng.integers(len(content)))]


def _delete(content: bytearray, rng: np.random.Generator) -> bytearray:
    at = _position(content, rng)
    del content[at : at + int(rng.integers(1, 65))]
    return content


def _double(content: bytearray, rng: np.random.Generator) -> bytearray:
    at, length = _position(content, rng), int(rng.integers(1, 257))
    return content[: at + length] + content[at:]


def _splice(content: bytearray, rng: np.random.Generator) -> bytearray:
    start, to, length = _position(content, rng), _position(content, rng), int(rng.integers(1, 129))
    piece = content[start : start + length]
    content[to : to + len(piece)] = piece
    return content


def _write_number(content: bytearray, rng: np.random.Generator) -> bytearray:
    width = int(rng.choice([1, 2, 4, 8]))
    number = int(_BINARY_NUMBERS[rng.integers(len(_BINARY_NUMBERS))]) % 2 ** (8 * width)
    at = _position(content, rng) // width * width
    content[at : at + width] = number.to_bytes(width, "little" if rng.random() < 0.8 else "big")
    return content


def _edit_number(content: bytearray, rng: np.random.Generator) -> bytearray:
    found = list(_NUMBER.finditer(bytes(content[:4096])))
    if not found:
        return content
    match = found[rng.integers(min(len(found), 40) if rng.random() < 0.7 else len(found))]
    new = _TEXT_NUMBERS[rng.integers(len(_TEXT_NUMBERS))]
    return content[: match.start()] + new + content[match.end() :]


def _double_line(content: bytearray, rng: np.random.Generator) -> bytearray:
    lines = bytes(content).split(b"\n")
    at = int(rng.integers(len(lines)))
    return bytearray(b"\n".join([*lines[:at], *[lines[at]] * int(rng.integers(4)), *lines[at + 1 :]]))


_Kind = Callable[[bytearray, np.random.Generator], bytearray]
_KINDS: tuple[_Kind, ...] = (_flip_bits, _set_bytes, _cut, _delete, _double, _splice, _write_number, _write_number)
_TEXT_KINDS: tuple[_Kind, ...] = (_edit_number, _edit_number, _double_line, _flip_bits, _delete, _splice)
