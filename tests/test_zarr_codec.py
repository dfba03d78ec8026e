"""The codec `labelog.runs` for programs that know arrays and no volumes: Zarr v3 and v2, numcodecs, dask."""

from __future__ import annotations

import pickle
import subprocess
import sys

import dask.array
import numcodecs
import numpy as np
import pytest
import zarr
from google_crc32c import extend, value
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zarr.codecs import TransposeCodec, ZstdCodec

import labelog
from labelog.storage.array_bytes import pack_array, unpack_array
from labelog.storage.layout import ARRAY_HEADER
from labelog.storage.numcodecs_codec import RunsNumcodec
from labelog.storage.zarr_codec import RunsCodec

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
BY_NAME = {"name": "labelog.runs", "configuration": {}}


def labels_of(dtype):
    """Few values, so that runs form: those next to 0, and the outermost."""
    if dtype == "bool":
        return st.booleans()
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    return st.sampled_from(sorted({least, 0, 1, 2, most - 1, most} | ({-1} if least else set())))


@st.composite
def arrays(draw, most=6):
    """Arrays of 1 to 4 axes, some of them empty, in either order, or reversed and stepped views of others."""
    dtype = draw(st.sampled_from(DTYPES))
    stored = np.dtype(dtype).newbyteorder(draw(st.sampled_from("=S")))
    shape = draw(st.lists(st.integers(0, most), min_size=1, max_size=4))
    array = draw(hnp.arrays(dtype, shape, elements=labels_of(dtype))).astype(stored)
    way = draw(st.sampled_from(["C", "F", "turned", "stepped", "read only"]))
    if way == "turned":
        return array.transpose(draw(st.permutations(range(array.ndim))))
    if way == "stepped":
        return array[tuple(slice(None, None, draw(st.sampled_from([-2, -1, 1, 2]))) for _ in shape)]
    array = np.array(array, order="F" if way == "F" else "C")
    array.flags.writeable = way != "read only"
    return array


@given(arrays())
def test_arrays_there_and_back(array):
    data = pack_array(array)
    found = unpack_array(data, "a buffer")
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert np.array_equal(found, array)
    assert pack_array(found) == data
    if array.flags.c_contiguous or array.flags.f_contiguous:
        assert found.tobytes("A") == array.tobytes("A")


@pytest.mark.parametrize("way", ["transposed", "as it is"])
def test_four_axes_of_which_only_the_last_three_fit_into_a_box(tmp_path, monkeypatch, way):
    """`validate` knows the last three; Zarr may have the array in memory the other way."""
    for module in ("array_bytes", "zarr_codec"):
        monkeypatch.setattr(f"labelog.storage.{module}.MAX_CHUNK", 12)
    array = np.asfortranarray(np.arange(60).reshape(5, 3, 2, 2))
    stored = zarr.create_array(
        tmp_path / "a.zarr", shape=array.shape, chunks=array.shape, dtype=array.dtype, serializer=RunsCodec()
    )
    stored[...] = array if way == "transposed" else np.ascontiguousarray(array)
    assert np.array_equal(zarr.open_array(tmp_path / "a.zarr")[...], array)
    with pytest.raises(labelog.Invalid, match="at most 12 voxels, not 2 x 3 x 5"):
        RunsNumcodec().encode(array)  # which have to come back as they lie in memory


@given(arrays())
def test_numcodecs_there_and_back(array):
    codec = numcodecs.get_codec(RunsNumcodec().get_config())
    data = codec.encode(array)
    out = np.zeros_like(array, order="F" if array.flags.f_contiguous else "C")
    assert np.array_equal(codec.decode(data), array)
    for buffer in (bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)):
        assert np.array_equal(codec.decode(buffer, out=out), array)
        assert np.array_equal(out, array)


@given(arrays(), st.data())
def test_zarr_there_and_back(array, data):
    """Chunks that reach over the faces, chunks written in parts, the order in memory and that of the caller."""
    if array.size == 0:
        return
    chunks = tuple(data.draw(st.integers(1, n + 1)) for n in array.shape)
    stored = zarr.create_array(zarr.storage.MemoryStore(), shape=array.shape, chunks=chunks, dtype=array.dtype,
                               serializer=BY_NAME, compressors=data.draw(st.sampled_from([None, ZstdCodec()])),
                               config={"order": data.draw(st.sampled_from("CF"))})  # fmt: skip
    stored[...] = array
    assert np.array_equal(stored[...], array)
    half = tuple(slice(0, -(-n // 2)) for n in array.shape)
    stored[half] = array[half][::-1]
    assert np.array_equal(stored[half], array[half][::-1])


@pytest.mark.parametrize("dtype", ["bool", "int8", ">i4", ">u8", "uint64"])
@pytest.mark.parametrize("shards", [None, (2, 8, 12, 16)])
def test_four_axes_in_chunks_and_shards(tmp_path, dtype, shards):
    rng = np.random.default_rng(1)
    values = np.repeat(rng.integers(-3, 3, (3, 8, 12, 8)), 4, axis=3).astype(dtype)
    stored = zarr.create_array(tmp_path / "a.zarr", shape=values.shape, chunks=(1, 4, 6, 8), shards=shards, dtype=dtype,
                               serializer=RunsCodec(), compressors=None, config={"order": "F"})  # fmt: skip
    stored[...] = values
    again = zarr.open_array(tmp_path / "a.zarr", mode="r")
    assert np.array_equal(again[...], values)
    assert again.dtype == values.dtype.newbyteorder("=")  # Zarr v3 stores no byte order for other codecs than `bytes`
    assert np.array_equal(again[1, 3:5, :, 7], values[1, 3:5, :, 7])


@pytest.mark.parametrize("dtype", DTYPES)
def test_after_a_transposition(dtype):
    """As arrays in x, y, z order are stored."""
    values = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(dtype)
    stored = zarr.create_array(zarr.storage.MemoryStore(), shape=(2, 3, 4), chunks=(2, 2, 2), dtype=dtype,
                               filters=TransposeCodec(order=(2, 1, 0)), serializer=BY_NAME,
                               compressors=None)  # fmt: skip
    stored[...] = values
    assert np.array_equal(stored[...], values)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["bool", "int16", ">u4", "uint64"])
def test_as_a_compressor_of_zarr_v2(tmp_path, order, dtype):
    values = (np.indices((6, 10, 14)).sum(axis=0) // 5).astype(dtype)
    stored = zarr.create_array(tmp_path / "a.zarr", shape=values.shape, chunks=(4, 6, 14), dtype=dtype, order=order,
                               zarr_format=2, compressors=RunsNumcodec(), fill_value=0)  # fmt: skip
    stored[...] = values
    assert np.array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[...], values)


def test_dask_writes_and_reads(tmp_path, data):
    h5py = pytest.importorskip("h5py")
    with h5py.File(data / "fib25" / "groundtruth.h5") as file:
        labels = file["stack"][:24, :100, :120]
    lazy = dask.array.from_array(labels, chunks=(8, 50, 60))
    stored = zarr.create_array(tmp_path / "a.zarr", shape=labels.shape, chunks=(8, 50, 60), dtype=labels.dtype,
                               serializer=BY_NAME, compressors=None)  # fmt: skip
    dask.array.store(lazy, stored, lock=False)
    again = dask.array.from_zarr(str(tmp_path / "a.zarr"))
    assert (again == lazy).all().compute()
    size = sum(path.stat().st_size for path in (tmp_path / "a.zarr" / "c").rglob("*") if path.is_file())
    chunks = [np.ascontiguousarray(lazy.blocks[index].compute()) for index in np.ndindex(lazy.numblocks)]
    assert size < 0.6 * sum(len(numcodecs.Zstd(level=3).encode(chunk)) for chunk in chunks)


def test_programs_need_not_import_labelog(tmp_path):
    """Zarr and numcodecs find the codecs by their names."""
    script = """
import sys, numpy as np, zarr, numcodecs
values = np.repeat(np.arange(-3, 3, dtype="i2"), 8).reshape(4, 12)
for version, codec in ((3, {"serializer": {"name": "labelog.runs", "configuration": {}}, "compressors": None}),
                       (2, {"compressors": numcodecs.get_codec({"id": "labelog.runs"})})):
    zarr.create_array(f"{version}.zarr", data=values, chunks=(2, 6), zarr_format=version, **codec)
"""
    again = """
import sys, zarr
assert not [name for name in sys.modules if name.startswith("labelog")]
print(*(int(zarr.open_array(f"{version}.zarr", mode="r")[...].sum()) for version in (2, 3)))
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    found = subprocess.run([sys.executable, "-c", again], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert found.stdout == "-24 -24\n"


def test_codecs_pickle_and_say_what_they_are():
    for codec in (RunsCodec(), RunsNumcodec()):
        assert pickle.loads(pickle.dumps(codec)) == codec
    assert RunsNumcodec().get_config() == {"id": "labelog.runs"}
    assert RunsCodec.from_dict(RunsCodec().to_dict()) == RunsCodec()
    with pytest.raises(labelog.Invalid, match=r"takes no configuration, found \{'level': 3\}"):
        numcodecs.get_codec({"id": "labelog.runs", "level": 3})
    with pytest.raises(labelog.Invalid, match="takes no configuration"):
        RunsCodec.from_dict({"name": "labelog.runs", "configuration": {"level": 3}})


def test_any_zarr_program_reads_the_base(tmp_path):
    labels = (np.indices((20, 70, 90)).sum(axis=0) // 30).astype(np.uint64) << np.uint64(40)
    with labelog.load(tmp_path / "v.labelog", labels, chunks=(8, 32, 64), voxel_size=(40, 10, 10)) as volume:
        with volume.edit("ana") as edit:
            edit[3, 10:40, 20:60] = 2**64 - 1
        volume.compact()
        group = zarr.open_group(tmp_path / "v.labelog" / "base", mode="r")
        assert group["0"].dtype == np.uint64
        assert (group["0"][...] == volume[...]).all()
        assert (group["0"][3, 5:50, 60:70] == volume[3, 5:50, 60:70]).all()
        multiscale = group.attrs["ome"]["multiscales"][0]
        assert multiscale["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [40, 10, 10]}]


def test_what_the_codec_does_not_hold_is_refused():
    store = zarr.storage.MemoryStore()
    options = {"serializer": RunsCodec(), "compressors": None}
    with pytest.raises(labelog.Invalid, match=r"integers or bool in 1 to 4 dimensions, not float32 in 2"):
        zarr.create_array(store, shape=(4, 4), chunks=(2, 2), dtype="float32", **options)
    with pytest.raises(labelog.Invalid, match="not uint8 in 5"):
        zarr.create_array(store, shape=(2,) * 5, chunks=(2,) * 5, dtype="uint8", **options)
    with pytest.raises(labelog.Invalid, match="at most 134217728 voxels"):
        zarr.create_array(store, shape=(2**10,) * 3, chunks=(2**10, 2**10, 2**8), dtype="uint8", **options)
    codec = RunsNumcodec()
    for array in (np.zeros((2, 2), np.float32), np.zeros((1,) * 5, int), np.zeros((), int)):
        with pytest.raises(labelog.Invalid, match="expected integers or bool in 1 to 4 dimensions"):
            codec.encode(array)
    with pytest.raises(labelog.Invalid, match="at most 134217728 voxels"):
        codec.encode(np.broadcast_to(np.uint8(1), (2, 2**14, 2**14)))
    with pytest.raises(labelog.Invalid, match=r"expected a buffer of 24 bytes for int64 of shape \(3,\), found one"):
        codec.decode(codec.encode(np.arange(3)), out=bytearray(8))


def resealed(data, **changes):
    """An array's bytes with other fields in the header, and the CRC that they need."""
    names = ["magic", "format", "crc", "code", "order", "ndim", "n", "z", "y", "x"]
    fields = dict(zip(names, ARRAY_HEADER.unpack_from(data), strict=True)) | changes
    data = bytearray(ARRAY_HEADER.pack(*fields.values()) + data[ARRAY_HEADER.size :])
    data[8:12] = extend(value(bytes(data[:8])), bytes(data[12:])).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"code": b"<f4"}, "expected an array of integers"),
        ({"order": b"K"}, "expected an array of integers"),
        ({"ndim": 5}, "expected an array of integers"),
        ({"ndim": 0}, "expected an array of integers"),
        ({"ndim": 2}, "expected an array of integers"),
        ({"n": 0, "z": 2**31, "y": 2**31}, "expected an array of integers"),
        ({"n": 3}, "the bytes end within a volume"),
        ({"n": 2**31}, "volumes cannot be in"),
        ({"n": 1}, "bytes follow the last volume"),
        ({"z": 0}, "bytes follow the last volume"),
        ({"x": 2**28}, "at most 134217728 voxels"),
        ({"x": 1}, "is damaged"),
        ({"code": b"|u1"}, "expected uint8, found a label of 65535"),
        ({"code": b"|b1"}, "expected bool, found a label of 65535"),
        ({"magic": b"LLCK"}, "is not a chunk"),
    ],
)
def test_headers_that_do_not_fit_their_bytes(changes, said):
    data = pack_array(np.array([[[[-1, 5, 5, 5]]], [[[5, 5, 5, 5]]]], np.int16))
    assert resealed(data) == data
    with pytest.raises(labelog.Corrupt, match=said):
        unpack_array(resealed(data, **changes), "a buffer")
    with pytest.raises(labelog.Corrupt, match="expected bool, found a label of 2"):
        unpack_array(resealed(pack_array(np.array([0, 2], np.uint8)), code=b"|b1"), "a buffer")
    with pytest.raises(labelog.Unsupported, match="chunk format 99"):
        unpack_array(resealed(data, format=99), "a buffer")


def test_a_damaged_chunk_is_an_error(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), chunks=(4, 4), dtype="uint16", serializer=RunsCodec(),
                              compressors=None)  # fmt: skip
    array[...] = 7
    path = tmp_path / "a.zarr" / "c" / "0" / "0"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 4]))
    with pytest.raises(labelog.Corrupt, match="CRC"):
        array[...]
    for stranger in (np.full((4, 4), 7, np.uint32), np.full((2, 8), 7, np.uint16)):
        path.write_bytes(pack_array(stranger))
        with pytest.raises(labelog.Corrupt, match=r"is not of this array: expected uint16 of shape \(4, 4\), found"):
            array[...]
