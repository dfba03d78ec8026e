"""zarr's own tests of stores, on keys and bytes that a volume has.

A store of zarr takes any key and any bytes. The Zarr face takes chunks of one array, and gives them back encoded anew;
so these tests use keys of chunks, and bytes that encode a chunk as the server does. Of a test whose keys are written
down in it (`zarr.json`, `foo/c/0`), or that wants a store to be empty, what it is about is tested here with other keys.

Metadata cannot be written, so that tests of `zarr.json` are about what is there. No bytes at all are no chunk, and are
refused (test_zarr.py). Plain HTTP has no way to list keys, nor, in obstore, to write only what is not there.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import pickle
import time

import numpy as np
import obstore
import pytest
import zstandard
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.core.sync import _collect_aiterator, sync
from zarr.storage import ObjectStore
from zarr.testing.store import StoreTests

from .conftest import make_cells, serving

KEYS = ["c/0/0/0", "c/0/1/1", "c/1/3/2"]
RANGES = [None, RangeByteRequest(1, 4), OffsetByteRequest(1), SuffixByteRequest(1)]


def chunk(label):
    """The bytes of a chunk with one label, but for a corner; inside of the volume, whose last chunks are cut."""
    values = np.zeros((8, 16, 32), "<u8")
    values[:4, :12, :6] = label
    values[0, 0, 0] = 1
    return zstandard.ZstdCompressor(level=1).compress(values.tobytes())


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A server with one volume for all tests, each of which takes back what it wrote."""
    folder = tmp_path_factory.mktemp("served")
    make_cells(folder)
    with serving(folder, "--author", "tests") as server:
        yield server


@pytest.fixture
def address(cells):
    yield cells.address
    with cells.client() as client:
        client.post("/volumes/cells/revert", json={"author": "tests"}, headers={"Labelog-Author": "lab"})


def at_once(function):
    """A coroutine as a function; pytest sees the fixtures and parameters that it takes."""

    @functools.wraps(function)
    def run(*arguments, **named):
        return asyncio.run(function(*arguments, **named))

    return run


class OnChunks(StoreTests[ObjectStore, cpu.Buffer]):
    """What a store of chunks does."""

    def __init_subclass__(cls):
        for name in dir(cls):
            if name.startswith("test_") and inspect.iscoroutinefunction(found := getattr(cls, name)):
                setattr(cls, name, at_once(found))

    store_cls = ObjectStore
    buffer_cls = cpu.Buffer

    async def set(self, store, key, value):
        await obstore.put_async(store.store, key, value.to_bytes())

    async def get(self, store, key):
        found = await obstore.get_async(store.store, key)
        return self.buffer_cls.from_bytes(bytes(await found.bytes_async()))

    @pytest.fixture
    def store(self, open_kwargs):
        return sync(self.store_cls.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs):
        return self.store_cls(**store_kwargs)

    def test_store_repr(self, store):
        assert "ObjectStore" in repr(store)

    def test_store_supports_writes(self, store):
        assert store.supports_writes

    def test_store_supports_listing(self, store):
        assert store.supports_listing

    def test_store_supports_partial_writes(self, store):
        assert not store.supports_partial_writes

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("data", [chunk(5), chunk(2**64 - 1)])
    @pytest.mark.parametrize("byte_range", RANGES)
    async def test_get(self, store, key, data, byte_range):
        await super().test_get(store, key, data, byte_range)

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("data", [chunk(5), chunk(2**64 - 1)])
    async def test_set(self, store, key, data):
        await super().test_set(store, key, data)

    @pytest.mark.parametrize("key_ranges", [[], [(KEYS[0], RANGES[1]), ("zarr.json", None)],
                                            list(zip(KEYS, RANGES[1:], strict=True))])  # fmt: skip
    async def test_get_partial_values(self, store, key_ranges):
        for number, (key, _) in enumerate(key_ranges):
            if key != "zarr.json":
                await self.set(store, key, self.buffer_cls.from_bytes(chunk(number + 7)))
        prototype = default_buffer_prototype()
        found = await store.get_partial_values(prototype=prototype, key_ranges=key_ranges)
        for (key, part), got in zip(key_ranges, found, strict=True):
            assert got.to_bytes() == (await store.get(key, prototype=prototype, byte_range=part)).to_bytes()

    async def test_serializable_store(self, store):
        again = pickle.loads(pickle.dumps(store))
        assert again == store and not again.read_only
        await again.set(KEYS[0], self.buffer_cls.from_bytes(chunk(9)))
        assert (await self.get(store, KEYS[0])).to_bytes() == chunk(9)

    async def test_with_read_only_store(self, open_kwargs):
        reader = await self.store_cls.open(**{**open_kwargs, "read_only": True})
        writer = reader.with_read_only(read_only=False)
        await writer.set(KEYS[0], self.buffer_cls.from_bytes(chunk(9)))
        with pytest.raises(ValueError, match="read-only"):
            await reader.set(KEYS[0], self.buffer_cls.from_bytes(chunk(9)))
        with pytest.raises(ValueError, match="read-only"):
            await reader.delete(KEYS[0])
        assert (await self.get(reader, KEYS[0])).to_bytes() == chunk(9)

    async def test_get_not_open(self, store_not_open):
        await self.set(store_not_open, KEYS[0], self.buffer_cls.from_bytes(chunk(9)))
        observed = await store_not_open.get(KEYS[0], prototype=default_buffer_prototype())
        assert observed.to_bytes() == chunk(9)

    async def test_get_raises(self, store):
        with pytest.raises((ValueError, TypeError), match="Unexpected byte_range"):
            await store.get(KEYS[0], prototype=default_buffer_prototype(), byte_range=(0, 2))

    async def test_get_many(self, store):
        wanted = {key: chunk(number + 3) for number, key in enumerate(KEYS)}
        for key, data in wanted.items():
            await self.set(store, key, self.buffer_cls.from_bytes(data))
        found = await _collect_aiterator(store._get_many([(key, default_buffer_prototype(), None) for key in KEYS]))
        assert {key: got.to_bytes() for key, got in found} == wanted

    async def test_set_many(self, store):
        wanted = {key: self.buffer_cls.from_bytes(chunk(number + 3)) for number, key in enumerate(KEYS)}
        await store._set_many(wanted.items())
        for key, data in wanted.items():
            assert (await self.get(store, key)).to_bytes() == data.to_bytes()

    async def test_set_not_open(self, store_not_open):
        data = self.buffer_cls.from_bytes(chunk(9))
        await store_not_open.set(KEYS[0], data)
        assert (await self.get(store_not_open, KEYS[0])).to_bytes() == data.to_bytes()

    async def test_exists(self, store):
        assert await store.exists(KEYS[1]) and await store.exists("zarr.json")
        assert not await store.exists("foo") and not await store.exists("c/9/9/9")

    async def test_getsize(self, store):
        await self.set(store, KEYS[1], self.buffer_cls.from_bytes(chunk(9)))
        assert await store.getsize(KEYS[1]) == len(chunk(9))

    async def test_delete(self, store):
        await store.delete(KEYS[1])
        assert not await store.exists(KEYS[1]) and await store.exists(KEYS[0])
        await store.delete(KEYS[1])

    async def test_get_bytes(self, store):
        await self.set(store, KEYS[1], self.buffer_cls.from_bytes(chunk(9)))
        assert await store._get_bytes(KEYS[1], prototype=default_buffer_prototype()) == chunk(9)
        with pytest.raises(FileNotFoundError):
            await store._get_bytes("c/9/9/9", prototype=default_buffer_prototype())

    async def test_delete_nonexistent_key_does_not_raise(self, store):
        await store.delete("c/2/0/0")
        await store.delete("c/2/0/0")

    def test_get_bytes_sync(self, store):
        assert json.loads(store._get_bytes_sync("zarr.json", prototype=default_buffer_prototype()))

    async def test_get_json(self, store):
        document = await store._get_json("zarr.json", prototype=default_buffer_prototype())
        assert document["node_type"] == "array" and document["shape"] == [20, 60, 70]

    def test_get_json_sync(self, store):
        assert store._get_json_sync("zarr.json", prototype=default_buffer_prototype())["data_type"] == "uint64"

    async def test_set_if_not_exists(self, store):
        """S3's If-None-Match: what is there stays, what is not is written."""
        before = await self.get(store, KEYS[1])
        await store.set_if_not_exists(KEYS[1], self.buffer_cls.from_bytes(chunk(9)))
        assert (await self.get(store, KEYS[1])).to_bytes() == before.to_bytes()
        await store.delete(KEYS[1])
        await store.set_if_not_exists(KEYS[1], self.buffer_cls.from_bytes(chunk(9)))
        assert (await self.get(store, KEYS[1])).to_bytes() == chunk(9)


class TestOverHTTP(OnChunks):
    """Nothing is listed."""

    test_set_if_not_exists = test_getsize_prefix = test_is_empty = test_clear = test_delete_dir = None
    test_list = test_list_prefix = test_list_empty_path = test_list_dir = None

    @pytest.fixture
    def store_kwargs(self, address):
        base = f"{address}/zarr/cells/instance/s0"
        return {"store": obstore.store.HTTPStore(base, client_options={"allow_http": True}), "read_only": False}


class TestAsS3(OnChunks):
    """What is listed, too: all keys of the array, as no other can be made."""

    @pytest.fixture
    def store_kwargs(self, address):
        store = obstore.store.S3Store("s3", prefix="cells/instance/s0", endpoint=address, region="us-east-1",
                                      skip_signature=True, client_options={"allow_http": True})  # fmt: skip
        return {"store": store, "read_only": False}

    async def test_getsize_prefix(self, store):
        sizes = [await store.getsize(key) async for key in store.list_prefix("c/0")]
        assert await store.getsize_prefix("c/0") == sum(sizes) > 0

    async def test_is_empty(self, store):
        assert not await store.is_empty("") and not await store.is_empty("c/0") and not await store.is_empty("c/0/")
        assert await store.is_empty("c/9") and await store.is_empty("spam/")

    async def test_clear(self, store):
        """All chunks go; metadata stays, and says so: at once, while what zarr has sent beside it is still at work."""
        with pytest.raises(Exception, match=r"zarr\.json"):
            await store.clear()
        until = time.monotonic() + 30
        while (left := await _collect_aiterator(store.list())) != ("zarr.json",) and time.monotonic() < until:
            await asyncio.sleep(0.02)
        assert left == ("zarr.json",)

    async def test_delete_dir(self, store):
        await store.delete_dir("c/0")
        assert await store.is_empty("c/0") and not await store.is_empty("c/1")

    async def test_list(self, store):
        found = sorted(await _collect_aiterator(store.list()))
        assert found == sorted(["zarr.json", *(f"c/{z}/{y}/{x}" for z in range(3) for y in range(4) for x in range(3))])

    async def test_list_prefix(self, store):
        everything = await _collect_aiterator(store.list())
        for prefix in ("", "c/", "c/1/", "c/1/2/"):
            found = sorted(await _collect_aiterator(store.list_prefix(prefix)))
            assert found == sorted(key for key in everything if key.startswith(prefix))

    async def test_list_empty_path(self, store):
        assert sorted(await _collect_aiterator(store.list_prefix(""))) == sorted(await _collect_aiterator(store.list()))

    async def test_list_dir(self, store):
        for folder, found in (("", ["c", "zarr.json"]), ("c", ["0", "1", "2"]), ("c/0", ["0", "1", "2", "3"])):
            for spelled in {folder, f"{folder}/" if folder else ""}:
                assert sorted(await _collect_aiterator(store.list_dir(spelled))) == found
