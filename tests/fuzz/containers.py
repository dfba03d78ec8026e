"""What a mutant is made of: bytes taken apart into what they code, and put together again as a writer would.

A change of the codec's bytes is a change of `Body`, of what it is made of, and of nothing else here.
"""

from __future__ import annotations

import struct
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import blosc2
from google_crc32c import extend, value

sys.path.insert(0, str(Path(__file__).parents[1]))
from reader import Words, read_numbers, read_rows

PLAIN = {"codec": blosc2.Codec.ZSTD, "clevel": 2, "typesize": 1, "filters": [blosc2.Filter.NOFILTER], "nthreads": 1}


Step = tuple[int, int, int, int]
"""What a writer does to its state: odds, those of the symbols before, bits of the whole; and how large it may be."""


class Traced(Words):
    """Words that keep what was read from them, as values: a byte for a symbol, or for up to 8 bits; else two."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.values = bytearray()
        self.values_of_odds = b""

    def bits(self, n: int) -> int:
        found: int = super().bits(n)
        self.values += found.to_bytes(1 + (n > 8), "little")
        return found

    def symbol(self, odds: list[int]) -> int:
        found: int = super().symbol(odds)
        self.values.append(found)
        return found

    def all_odds(self) -> list[list[int]]:
        found: list[list[int]] = super().all_odds()
        self.values_of_odds, self.values = bytes(self.values), bytearray()
        return found


class Odds:
    """The odds of a context as a writer wants them: a byte is a symbol, one that may come, and a step."""

    def __init__(self, odds: list[int]) -> None:
        self.odds = odds
        self.symbols: dict[int, tuple[int, Step]] = {}

    def symbol(self, byte: int) -> tuple[int, Step]:
        if byte not in self.symbols:
            symbol, odds = byte % len(self.odds), self.odds
            symbol = symbol if odds[symbol] else odds.index(max(odds))
            self.symbols[byte] = symbol, (odds[symbol], sum(odds[:symbol]), 7, odds[symbol] << 25)
        return self.symbols[byte]


class Made(Words):
    """Words that follow from such values, in whatever context a reader asks for them."""

    def __init__(self, values_of_odds: bytes, values: bytes) -> None:
        self.values_of_odds, self.take = values_of_odds, iter(values).__next__
        self.steps: list[Step] = []

    def bits(self, n: int) -> int:
        value = (self.take() | (self.take() << 8 if n > 8 else 0)) & (1 << n) - 1
        self.steps.append((1, value, n, 1 << 32 - n))
        return value

    def symbol(self, odds: Odds) -> int:
        symbol, step = odds.symbol(self.take())
        self.steps.append(step)
        return symbol

    def odds(self) -> Odds:
        found: list[int] = super().odds()
        if sum(found) != 128 or len(found) > 68:
            raise StopIteration
        return Odds(found)

    def all_odds(self) -> list[Odds]:
        steps, found = made_odds(self.values_of_odds)
        self.steps += steps
        return found

    def written(self, shape: tuple[int, ...]) -> bytes:
        """As a writer would, as far as a reader without checks can go; values that are left are left over."""
        with suppress(StopIteration, IndexError, TypeError):
            read_rows(self, shape)
            while True:
                self.bits(8)
        state, words = 1 << 16, []
        for odds, below, shift, limit in reversed(self.steps):
            if state >= limit:
                words.append(state & 0xFFFF)
                state >>= 16
            state = (state // odds << shift) + state % odds + below
        words += [state & 0xFFFF, state >> 16]
        return struct.pack(f"<{len(words)}H", *words[::-1])


@lru_cache(100)
def made_odds(values: bytes) -> tuple[list[Step], list[Odds]]:
    """The steps of such odds, and the odds, or none of them if they end too early."""
    made, found = Made(b"", values), []
    with suppress(StopIteration):
        found = super(Made, made).all_odds()
    return made.steps, found


@lru_cache(100)
def words_of(values_of_odds: bytes, values: bytes, shape: tuple[int, ...]) -> bytes:
    return Made(values_of_odds, values).written(shape)


class Body(NamedTuple):
    """The body of a chunk: how many labels and runs; the palette, and values of odds and of rows."""

    counts: tuple[int, ...]
    parts: tuple[bytes, ...]
    shape: tuple[int, ...]

    @classmethod
    @lru_cache(1000)
    def of(cls, data: bytes, shape: tuple[int, ...]) -> Self:
        counts, rest = read_numbers(data, 2)
        words = Traced(read_numbers(rest, counts[0])[1])
        palette = rest[: len(rest) - 2 * len(words.words) - 4]
        read_rows(words, shape)
        return cls(tuple(counts), (palette, words.values_of_odds, bytes(words.values)), shape)

    def even(self) -> Self:
        """The same with such odds that every symbol can be written, which a reader has to take too."""
        return self._replace(parts=(self.parts[0], EVEN, self.parts[2]))

    def bytes(self) -> bytes:
        palette, odds, rows = self.parts
        counts = b"".join(number(n & 0xFFFFFFFF) for n in self.counts)
        return counts + palette + words_of(odds, rows, self.shape)


EVEN = bytes([0, *[4, 0] * 16]) + bytes([0, 6, 29, *[1] * 67]) * 3
"""Values of odds: 8 for each of 16 symbols; 61 for the first of 68, and 1 for all others."""


def number(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def expanded(block: bytes, n: int) -> bytes:
    """What a block of a delta holds."""
    return block if len(block) == n else bytes(blosc2.decompress2(block))


def compressed(data: bytes) -> bytes:
    """A block, as `expanded` takes it."""
    if len(data) < 48:
        return data
    block = bytes(blosc2.compress2(data, **PLAIN))
    return block if len(block) < len(data) else data


@lru_cache(1000)
def delta_body(data: bytes) -> bytes:
    """The body of a delta, expanded."""
    (n,) = struct.unpack_from("<I", data)
    return expanded(data[4:], n) if n else data[4:]


def delta_bytes(body: bytes, is_packed: bool) -> bytes:
    """The inverse."""
    if is_packed and body:
        return struct.pack("<I", len(body)) + compressed(body)
    return bytes(4) + body


def sealed(data: bytes) -> bytes:
    """The same bytes with the CRC that they should have, as chunks and plain arrays have it."""
    if len(data) < 12:
        return data
    return data[:8] + extend(value(data[:8]), data[12:]).to_bytes(4, "little") + data[12:]
