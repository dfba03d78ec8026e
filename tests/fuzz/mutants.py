"""How bytes are damaged: a few of the ways in which each sort of mistake in a decoder is found, drawn at random."""

from __future__ import annotations

from random import Random

TELLING = [0, 1, 2, 3, 7, 8, 9, 0x3F, 0x40, 0x7F, 0x80, 0x81, 0xFE, 0xFF]


def mutated(data: bytes, random: Random, others: bytes) -> bytes:
    """Other bytes, by one to four changes, or more if those are nothing; some are pieces of other bytes of the kind."""
    out = bytearray(data)
    changes = 1 + int(4 * random.random() ** 2)
    while changes > 0 or out == data:
        _change(out, random, others)
        changes -= 1
    return bytes(out)


def mutated_count(count: int, random: Random) -> int:
    """Another number in place of one: next to it, or far away."""
    return random.choice([count - 1, count + 1, count * 2, count // 2, 0, 1, 2**31, 2**32 - 1, random.getrandbits(32)])


def _change(out: bytearray, random: Random, others: bytes) -> None:
    at, way = random.randrange(len(out) + 1), random.randrange(9)
    n = 1 + int(12 * random.random() ** 3)
    if way <= 1 and at < len(out):
        out[at] ^= 1 << random.randrange(8)
    elif way == 2 and at < len(out):
        out[at] = random.choice(TELLING)
    elif way == 3:
        out[at:at] = bytes(random.choice(TELLING) for _ in range(n))
    elif way == 4:
        del out[at : at + n]
    elif way == 5 and out:
        copy = random.randrange(len(out))
        out[at:at] = out[copy : copy + n]
    elif way == 6 and others:
        copy = random.randrange(len(others))
        out[at : at + n] = others[copy : copy + n]
    elif way == 7 and random.random() < 0.3:
        del out[at:]
    else:
        out[at : at + n] = random.randbytes(min(n, len(out) - at))
