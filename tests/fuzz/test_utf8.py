"""Our UTF-8 against Python's: the same bytes are good, and the same are to blame."""

from __future__ import annotations

import random

import pytest

import wssend

CASES = 400_000
EDGES = (
    b"\x00 A \x7f \x80 \x8f \x90 \x9f \xa0 \xbf \xc0 \xc1 \xc2 \xdf \xe0 \xe1 \xec"
    b" \xed \xee \xef \xf0 \xf1 \xf3 \xf4 \xf5 \xff"
).split()
POINTS = (0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF)

Verdict = tuple[bytes, int, int, str] | None


def pythons(data: bytes) -> Verdict:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.object, error.start, error.end, error.reason
    return None


def ours(data: bytes) -> Verdict:
    try:
        wssend.PreparedMessage(data, text=True)
    except UnicodeDecodeError as error:
        return error.object, error.start, error.end, error.reason
    return None


def random_text(rng: random.Random) -> str:
    """Any code points, those at the edges often."""
    text = ""
    for _ in range(rng.randrange(12)):
        point = rng.choice(POINTS) if rng.random() < 0.4 else rng.randrange(0x110000)
        text += "?" if 0xD800 <= point < 0xE000 else chr(point)
    return text


def spoilt(rng: random.Random, data: bytearray) -> bytearray:
    """One to three bytes are other ones, missing or added."""
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randrange(2)] = rng.choice((b"", rng.choice(EDGES)))
    return data


def case(rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        return b"".join(rng.choices(EDGES, k=rng.randrange(8)))
    if kind == 1:
        return rng.randbytes(rng.randrange(12))
    data = bytearray(random_text(rng).encode())
    padding = rng.choice((b"", b"a" * rng.randrange(20)))  # moves it in the eights
    return bytes(padding + (data if kind == 2 else spoilt(rng, data)) + padding)


@pytest.mark.parametrize("seed", range(4))
def test_random_and_mutated_bytes_are_judged_as_by_python(seed: int) -> None:
    rng = random.Random(seed)
    bad = 0
    for _ in range(CASES // 4):
        data = case(rng)
        want = pythons(data)
        assert ours(data) == want, data
        bad += want is not None
    assert CASES // 16 < bad < CASES // 5  # of both kinds there are many


def test_every_sequence_of_edge_bytes_is_judged_as_by_python() -> None:
    for a in EDGES:
        for b in EDGES:
            for c in EDGES:
                assert ours(a + b + c) == pythons(a + b + c), a + b + c
