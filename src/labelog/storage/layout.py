"""The files of a volume and the constants of format 1. docs/format.md explains them; nothing is stated twice."""

from __future__ import annotations

import struct

FORMAT = 1

META = "labelog.json"
JOURNAL = "journal.sqlite"
HEAD = "head"
LOCK = "lock"
PARCELS = "parcels"
BASE = "base"
ARRAY = "0"  # the label array within the base
PYRAMID = "pyramid"

CODEC = "labelog.runs"

# A chunk: magic, format, CRC-32C of all other bytes, then what the CRC guards: volume id, chunk index (z, y, x),
# revision, shape (z, y, x), and the body that kernels.codec reads.
CHUNK_MAGIC = b"LLCK"
CHUNK_HEADER = struct.Struct("<4sII16s3IQ3I")
CHUNK_GUARDED = 12  # where the guarded bytes begin

# A chunk of a coarser scale: magic, format, CRC-32C of all other bytes, then what the CRC guards: chain hash of the
# revision, factors (z, y, x), chunk index (z, y, x), revision, shape (z, y, x), and the body.
SCALED_MAGIC = b"LLSC"
SCALED_HEADER = struct.Struct("<4sII16s3I3IQ3I")

# A plain array: magic, format, CRC-32C of all other bytes, then what the CRC guards: byte order, kind and size of its
# integers as NumPy writes them (<u8, >i4, |b1), C or F, how many axes, their lengths (after ones for those that it has
# not), and for each volume a length and a body.
ARRAY_MAGIC = b"LLAR"
ARRAY_HEADER = struct.Struct("<4sII3scI4I")
ARRAY_LENGTH = struct.Struct("<Q")

# One of the two slots of the head file: magic, format, CRC-32C of the whole slot with 0 in its place, revision, chain
# hash, padding.
HEAD_MAGIC = b"LLHD"
HEAD_SLOT = struct.Struct("<4sIIQ16s28x")

APPLICATION_ID = 0x4C424C47  # "LBLG", in the journal's SQLite header
HASH_BYTES = 16

FOLD_AT = 32  # deltas of a chunk after which it is folded into the base
KEEP_AT = 256  # deltas of a chunk after which the whole chunk is kept in the journal
