from __future__ import annotations

import numpy as np
import pytest
import zarr

import labelog
from labelog.storage.zarr_codec import RunsCodec


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


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int32", "int64"])
@pytest.mark.parametrize("shape", [(50,), (30, 40), (10, 30, 40)])
def test_as_a_codec_of_other_arrays(tmp_path, dtype, shape):
    rng = np.random.default_rng(1)
    values = np.sort(rng.integers(0, 100, shape), axis=-1).astype(dtype)
    chunks = tuple(max(1, n // 2) for n in shape)
    array = zarr.create_array(tmp_path / "a.zarr", shape=shape, chunks=chunks, dtype=dtype, fill_value=0,
                              serializer=RunsCodec(), compressors=None)  # fmt: skip
    array[...] = values
    assert (zarr.open_array(tmp_path / "a.zarr", mode="r")[...] == values).all()


def test_floats_are_refused(tmp_path):
    with pytest.raises(labelog.Invalid, match="integer arrays"):
        zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), chunks=(2, 2), dtype="float32", serializer=RunsCodec(),
                          compressors=None)  # fmt: skip


def test_a_damaged_chunk_is_an_error(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), chunks=(4, 4), dtype="uint16", serializer=RunsCodec(),
                              compressors=None)  # fmt: skip
    array[...] = 7
    path = tmp_path / "a.zarr" / "c" / "0" / "0"
    data = bytearray(path.read_bytes())
    data[-1] ^= 4
    path.write_bytes(data)
    with pytest.raises(labelog.Corrupt, match="CRC"):
        array[...]
