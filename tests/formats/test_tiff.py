"""TIFF files, written by tifffile in every layout that vendors use, and read back by it and by Pillow."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from conftest import examples
from labelog.errors import Corrupt, Invalid, LabelogError, Unsupported
from labelog.formats import Stack, read, tiff, write

LAYOUTS = {
    "plain": {},
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 16)},
    "big-endian": {"byteorder": ">"},
    "deflate": {"compression": "zlib", "rowsperstrip": 5},
    "predicted": {"compression": "zlib", "predictor": 2},
    "lzw tiles": {"compression": "lzw", "tile": (16, 32)},
    "packbits": {"compression": "packbits"},
    "zstd": {"compression": "zstd"},
    "lzma": {"compression": "lzma"},
    "BigTIFF": {"bigtiff": True, "compression": "zlib"},
    "ImageJ": {"imagej": True},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}},
    "no metadata": {"metadata": None},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_its_voxels(tmp_path, whole, volume, layout):
    tifffile.imwrite(tmp_path / "a.ome.tif" if layout == "OME" else tmp_path / "a.tif", volume, **LAYOUTS[layout])
    [path] = tmp_path.iterdir()
    stack = read(path)
    assert stack.dtype == np.uint16
    np.testing.assert_array_equal(whole(stack), volume)


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "uint64", "int16", "int32", "int64", ">u4"])
def test_every_integer_dtype_is_kept(tmp_path, whole, dtype):
    labels = np.array([[[0, 1, np.iinfo(dtype).max]]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="minisblack")
    stack = read(tmp_path / "a.tif")
    assert stack.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(whole(stack), labels)


def test_slices_that_were_written_one_by_one(tmp_path, whole, volume):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for plane in volume:
            tif.write(plane, contiguous=False)
    np.testing.assert_array_equal(whole(read(tmp_path / "a.tif")), volume)


def test_one_slice_and_one_bit(tmp_path, whole):
    mask = np.eye(9, dtype=bool)
    tifffile.imwrite(tmp_path / "a.tif", mask)
    stack = read(tmp_path / "a.tif")
    assert stack.dtype == np.uint8 and stack.shape == (1, 9, 9)
    np.testing.assert_array_equal(whole(stack)[0], mask)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_side_by_side_or_in_planes(tmp_path, whole, volume, planar, channels):
    pixels = np.stack([volume % 256, volume // 2 % 256, volume * 3 % 256, volume * 0 + 255][:channels], 4 - 3 * 1)
    pixels = pixels.astype(np.uint8) if planar == "separate" else np.moveaxis(pixels, 1, -1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig=planar)
    stack = read(tmp_path / "a.tif")
    labels = whole(stack)
    expected = np.moveaxis(pixels, 1, -1) if planar == "separate" else pixels
    colours = np.array([(0, 0, 0, 255)] + [stack.colours[n] for n in range(1, labels.max() + 1)])
    np.testing.assert_array_equal(colours[labels][..., :channels], expected)


def test_a_palette_gives_indices_or_colours(tmp_path, whole):
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, 1], colormap[:, 2] = (65535, 0, 0), (0, 65535, 0)
    values = np.array([[[0, 2, 1]]], np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="palette", colormap=colormap)
    assert whole(read(tmp_path / "a.tif")).tolist() == [[[0, 2, 1]]]
    table = {7: "#ff0000", 9: "#00ff00", 0: "#000000"}
    assert whole(read(tmp_path / "a.tif", colours=table)).tolist() == [[[0, 9, 7]]]
    with tifffile.TiffWriter(tmp_path / "a.tif", append=True) as tif:
        tif.write(values[0], photometric="palette", colormap=colormap[::-1], metadata=None)
    with pytest.raises(Invalid, match="page 1 has another palette"):
        whole(read(tmp_path / "a.tif"))


def test_imagej_may_call_slices_frames_or_channels_but_not_both(tmp_path, whole, volume):
    for axes in ("ZYX", "TYX", "CYX"):
        tifffile.imwrite(tmp_path / "a.tif", volume, imagej=True, metadata={"axes": axes})
        np.testing.assert_array_equal(whole(read(tmp_path / "a.tif")), volume)
    hyperstack = np.stack([volume, volume], axis=1)
    for kind in ({"imagej": True}, {"ome": True}, {}):
        tifffile.imwrite(tmp_path / "a.tif", hyperstack, metadata={"axes": "ZCYX"}, photometric="minisblack", **kind)
        with pytest.raises(Invalid, match=r"expected a stack \[z, y, x\]"):
            read(tmp_path / "a.tif")


def test_imagej_tells_the_voxel_size(tmp_path, volume):
    about = {"axes": "ZYX", "spacing": 0.04, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", volume, imagej=True, resolution=(100, 50), metadata=about)
    stack = read(tmp_path / "a.tif")
    assert stack.voxel_size == pytest.approx((0.04, 0.02, 0.01)) and stack.unit == "um"


def hidden(labels: np.ndarray, images: int, byteorder: str = ">") -> bytes:
    """As ImageJ writes files beyond 4 GB: one page, its description, and the slices one after another behind it."""
    text = f"ImageJ=1.54f\nimages={images}\nslices={images}\n".encode() + b"\0"
    entries = [
        (256, 3, 1, labels.shape[2]), (257, 3, 1, labels.shape[1]), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1),
        (270, 2, len(text), 8 + 2 + 9 * 12 + 4), (273, 4, 1, 512), (277, 3, 1, 1), (279, 4, 1, labels[0].nbytes),
    ]  # fmt: skip
    tags = b"".join(
        struct.pack(byteorder + "HHI", *entry[:3])
        + (struct.pack(byteorder + "HH", entry[3], 0) if entry[1] == 3 else struct.pack(byteorder + "I", entry[3]))
        for entry in entries
    )
    head = {">": b"MM\0*", "<": b"II*\0"}[byteorder] + struct.pack(byteorder + "I", 8)
    head += struct.pack(byteorder + "H", len(entries)) + tags + bytes(4) + text
    return head.ljust(512, b"\0") + labels.astype(byteorder + "u2").tobytes()


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_slices_that_imagej_hides_behind_one_page(tmp_path, whole, volume, byteorder):
    (tmp_path / "a.tif").write_bytes(hidden(volume, 5, byteorder))
    stack = read(tmp_path / "a.tif")
    assert stack.shape == volume.shape
    np.testing.assert_array_equal(whole(stack), volume)
    (tmp_path / "a.tif").write_bytes(hidden(volume[:4], 5, byteorder))
    with pytest.raises(Corrupt, match="declares 5 slices, but has 1 page"):
        read(tmp_path / "a.tif")


def test_fewer_pages_than_declared_are_noticed(tmp_path, volume):
    """tifffile itself ends a broken chain of pages with a log message, so that slices would be lost."""
    tifffile.imwrite(tmp_path / "a.tif", volume)
    intact = (tmp_path / "a.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        offsets = [page.offset for page in tif.pages]
        links = [page.offset + 2 + 12 * len(page.tags) for page in tif.pages]
    (tmp_path / "a.tif").write_bytes(intact[: links[2]] + bytes(4) + intact[links[2] + 4 :])
    with pytest.raises(Corrupt, match="declares 5 slices, but has 3 pages"):
        read(tmp_path / "a.tif")
    for link, error in ((offsets[1], "page 3 is an earlier page again"), (2**31, "page 3 begins at byte 2147483648")):
        (tmp_path / "a.tif").write_bytes(intact[: links[2]] + struct.pack("<I", link) + intact[links[2] + 4 :])
        with pytest.raises(Corrupt, match=error):
            read(tmp_path / "a.tif")


def test_a_page_unlike_the_first_is_named(tmp_path, whole, volume):
    def attempt(page: np.ndarray, error: str, **options):
        with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
            tif.write(volume[0], metadata=None)
            tif.write(page, metadata=None, **options)
        with pytest.raises(LabelogError, match=rf"a.tif, page 1.*{error}"):
            whole(read(tmp_path / "a.tif"))

    attempt(volume[0, :11], "has 11 x 20 pixels of uint16; expected 12 x 20 pixels of uint16")
    attempt(volume[0].astype(np.uint8), "has 12 x 20 pixels of uint8; expected")
    attempt(np.zeros((12, 20, 3), np.uint8), "pixels of uint8 x 3; expected", photometric="rgb")
    attempt(volume[0].astype(np.float32), "found float32")


def test_what_is_not_labels_is_refused(tmp_path, whole, volume):
    def attempt(pixels: np.ndarray, kind: type[LabelogError], error: str, **options):
        tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
        with pytest.raises(kind, match=error):
            whole(read(tmp_path / "a.tif"))

    attempt(volume.astype(np.float32), Invalid, "labels are integers of 8 to 64 bits; found float32")
    attempt(-volume.astype(np.int16), Invalid, "page 0: labels are not negative; found -")
    attempt(np.zeros((2, 64, 64), np.uint8), Unsupported, "JPEG.*lossy", compression="jpeg")
    attempt(np.zeros((8, 8, 3), np.uint16), Unsupported, "3 samples a pixel of uint16", photometric="rgb")
    attempt(np.zeros((8, 8, 4), np.uint8), Unsupported, "photometric", photometric="separated")
    tifffile.imwrite(tmp_path / "a.tif", volume)
    with pytest.raises(Invalid, match="has no colours to look up"):
        read(tmp_path / "a.tif", colours={1: "#ff0000"})


def test_what_is_written_others_read(tmp_path, volume):
    write(Stack.of(volume), tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), volume)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert len(tif.pages) == 5 and tif.pages[0].compression == 8 and not tif.is_bigtiff
    with Image.open(tmp_path / "a.tif") as image:
        planes = [np.asarray(page) for page in ImageSequence.Iterator(image)]
    np.testing.assert_array_equal(planes, volume)


def test_labels_are_written_as_small_as_they_allow(tmp_path, volume):
    for largest, dtype in (
        (255, "uint8"),
        (256, "uint16"),
        (65536, "uint32"),
        (2**32, "uint64"),
        (2**64 - 1, "uint64"),
    ):
        labels = volume.astype(np.uint64) % 200
        labels[4, 11, 19] = largest
        write(Stack.of(labels), tmp_path / "a.tif", overwrite=True)
        written = tifffile.imread(tmp_path / "a.tif")
        assert written.dtype == dtype
        np.testing.assert_array_equal(written, labels)
    write(Stack.of(volume), tmp_path / "a.tif", overwrite=True, dtype="uint32")
    assert tifffile.imread(tmp_path / "a.tif").dtype == np.uint32


def test_a_file_that_might_exceed_4_gb_is_bigtiff(tmp_path, whole, volume, monkeypatch):
    monkeypatch.setattr(tiff, "BIG", 1000)
    write(Stack.of(volume), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff
    np.testing.assert_array_equal(whole(read(tmp_path / "a.tif")), volume)


def test_pictures_are_rgba_with_unassociated_alpha(tmp_path):
    colours = {1: (255, 0, 0, 128), 2: (0, 255, 0, 255)}
    write(Stack.of(np.array([[[0, 1, 2]]]), colours=colours), tmp_path / "a.tif")
    assert tifffile.imread(tmp_path / "a.tif").tolist() == [[[0, 0, 0, 0], [255, 0, 0, 128], [0, 255, 0, 255]]]
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages[0].extrasamples == (2,)


@pytest.mark.parametrize("layout", ["plain", "strips", "deflate", "lzw tiles", "zstd", "BigTIFF", "ImageJ"])
@examples(60)
@given(drawn=st.data())
def test_damage_is_an_error_or_a_stack_of_the_right_shape(tmp_path_factory, whole, layout, drawn):
    """Without checksums a changed voxel cannot be noticed; but nothing hangs, grows or raises anything else."""
    path = tmp_path_factory.getbasetemp() / f"damaged {layout}.tif"
    labels = np.arange(3 * 20 * 24, dtype=np.uint16).reshape(3, 20, 24) // 7
    tifffile.imwrite(path, labels, photometric="minisblack", **LAYOUTS[layout])
    intact = path.read_bytes()
    changed = bytearray(intact)
    for _ in range(drawn.draw(st.integers(0, 3))):
        changed[drawn.draw(st.integers(0, len(intact) - 1))] = drawn.draw(st.integers(0, 255))
    if len(changed) == len(intact) and changed == intact:
        del changed[drawn.draw(st.integers(0, len(intact) - 1)) :]
    path.write_bytes(changed)
    tracemalloc.start()
    try:
        stack = read(path)
        if np.prod(stack.shape) < 10**6:
            whole(stack)
    except (Corrupt, Invalid, Unsupported) as error:
        assert path.name in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize("layout", ["plain", "strips", "deflate", "lzw tiles", "ImageJ"])
def test_no_cut_loses_slices_unnoticed(tmp_path, whole, volume, layout):
    tifffile.imwrite(tmp_path / "a.tif", volume, **LAYOUTS[layout])
    intact = (tmp_path / "a.tif").read_bytes()
    for length in range(1, len(intact), 37):
        (tmp_path / "a.tif").write_bytes(intact[:length])
        try:
            labels = whole(read(tmp_path / "a.tif"))
        except Corrupt:
            continue
        np.testing.assert_array_equal(labels, volume)  # only padding was cut


@pytest.mark.parametrize("compression", ["zlib", "zstd", None])
def test_a_declared_size_takes_no_memory(tmp_path, whole, compression):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), compression=compression, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tif:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tif.pages[0].tags[tag].overwrite(20_000)
    tracemalloc.start()
    try:
        with pytest.raises(Corrupt, match="declares 400000000 bytes of voxels, but only"):
            whole(read(tmp_path / "a.tif"))
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(60_000)
    with pytest.raises(Invalid, match="at most 536870912 in a slice"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("count", [0, 10**6])
def test_a_strip_that_is_not_there_is_not_taken_for_background(tmp_path, whole, volume, count):
    tifffile.imwrite(tmp_path / "a.tif", volume, compression="zlib", rowsperstrip=5)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tif:
        counts = tif.pages[2].tags["StripByteCounts"]
        counts.overwrite([*counts.value[:-1], count], dtype="I")
    with pytest.raises(Corrupt, match=r"page 2: strip or tile 2 is at bytes \d+ to \d+, of \d+"):
        whole(read(tmp_path / "a.tif"))
