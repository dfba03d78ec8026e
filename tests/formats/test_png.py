"""PNG files and stacks of them, against Pillow and against PNGs put together here byte by byte."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import examples
from labelog.errors import Corrupt, Exists, Invalid, NotFound, Unsupported
from labelog.formats import Stack, read, write


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(height, width, depth, kind, rows: bytes, *extra: bytes) -> bytes:
    """A PNG of packed rows, each with its filter byte; `extra` chunks come before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def packed(values: np.ndarray, depth: int) -> bytes:
    """Rows of a grey or palette PNG: filter byte 0, then the values in `depth` bits each."""
    if depth == 16:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
    return b"".join(b"\0" + np.packbits(row.reshape(-1)).tobytes() for row in bits)


@pytest.mark.parametrize("name", ["semantic", "instance-cell", "instance-organelle"])
@pytest.mark.parametrize("target", ["copy.png", "copy/", "copy.tif"])
def test_the_lab_s_pictures_come_back_pixel_for_pixel(data, tmp_path, whole, name, target):
    stack = read(data / "platelet" / f"{name}.png")
    pixels = np.asarray(Image.open(data / "platelet" / f"{name}.png"))
    labels = whole(stack)
    assert len(stack.colours) == labels.max() == {"semantic": 6, "instance-cell": 17, "instance-organelle": 107}[name]
    np.testing.assert_array_equal(labels[0] == 0, pixels[..., 3] == 0)
    write(stack, f"{tmp_path}/{target}")
    written = f"{tmp_path}/{target}" + ("0000.png" if target == "copy/" else "")
    np.testing.assert_array_equal(np.asarray(Image.open(written)), pixels)
    np.testing.assert_array_equal(whole(read(f"{tmp_path}/{target}")), labels)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("kind", [0, 3])
def test_every_depth_of_grey_and_palette_gives_its_values(tmp_path, whole, depth, kind):
    if (depth, kind) == (16, 3):
        depth = 8
    values = np.random.default_rng(depth).integers(0, 2**depth, (7, 13))
    palette = [chunk(b"PLTE", bytes(3 * 2**depth))] if kind == 3 else []
    (tmp_path / "a.png").write_bytes(png(7, 13, depth, kind, packed(values, depth), *palette))
    stack = read(tmp_path / "a.png")
    assert stack.dtype == (np.uint16 if depth == 16 else np.uint8)
    np.testing.assert_array_equal(whole(stack)[0], values)


def test_interlaced_pictures_are_read_and_measured(tmp_path, whole):
    """All seven passes of Adam7; in the smallest, most of them are empty."""
    for height, width in ((7, 13), (1, 1), (2, 1), (1, 5), (8, 8)):
        values = np.random.default_rng(0).integers(0, 256, (height, width))
        passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        rows = b"".join(packed(values[y::down, x::across], 8) for y, x, down, across in passes if x < width)
        for cut in (0, 1):
            plain = png(height, width, 8, 0, rows[: len(rows) - cut])
            ihdr = plain[16:28] + b"\1"
            (tmp_path / "a.png").write_bytes(plain[:8] + chunk(b"IHDR", ihdr) + plain[33:])
            if cut:
                with pytest.raises(Corrupt, match="1 of their bytes are missing"):
                    whole(read(tmp_path / "a.png"))
            else:
                np.testing.assert_array_equal(whole(read(tmp_path / "a.png"))[0], values)


def test_grey_is_written_as_small_as_the_labels_allow(tmp_path, volume):
    write(Stack.of(volume % 256), tmp_path / "small", format="png")
    assert {np.asarray(Image.open(tmp_path / "small" / f"000{z}.png")).dtype.name for z in range(5)} == {"uint8"}
    write(Stack.of(volume), tmp_path / "large", format="png")
    for z in range(5):
        written = np.asarray(Image.open(tmp_path / "large" / f"000{z}.png"))
        assert written.dtype == np.uint16
        np.testing.assert_array_equal(written, volume[z])


def test_a_label_that_does_not_fit_is_named_with_formats_that_hold_it(tmp_path, volume):
    labels = volume.astype(np.uint32)
    labels[3, 2, 1] = 65536
    with pytest.raises(Invalid, match=r"label 65536 in slice 3 does.*65535; TIFF, HDF5, npy and JSON") as caught:
        write(Stack.of(labels), tmp_path / "a", format="png")
    assert caught.value.label == 65536
    with pytest.raises(Invalid, match="label 65536 in slice 3 does not fit uint16"):
        write(Stack.of(labels), tmp_path / "a", format="png", dtype="uint16")
    with pytest.raises(Invalid, match="PNG holds uint8, uint16"):
        write(Stack.of(labels), tmp_path / "a", format="png", dtype="uint32")


def test_a_file_holds_one_slice(tmp_path, whole, volume):
    with pytest.raises(Invalid, match="a PNG holds one slice, the stack has 5"):
        write(Stack.of(volume), tmp_path / "a.png")
    write(Stack.of(volume[0]), tmp_path / "a.png")
    np.testing.assert_array_equal(whole(read(tmp_path / "a.png")), volume[:1])


def test_slices_are_in_the_order_of_their_numbers(tmp_path, whole):
    for z in (8, 9, 10, 11):
        Image.fromarray(np.full((2, 3), z, np.uint8)).save(tmp_path / f"cell2_z{z}.PNG")
    (tmp_path / "Thumbs.db").write_text("not a slice")
    (tmp_path / "._cell2_z8.png").write_text("not a slice either")
    assert whole(read(tmp_path))[:, 0, 0].tolist() == [8, 9, 10, 11]
    assert whole(read(tmp_path / "*_z1*.PNG"))[:, 0, 0].tolist() == [10, 11]
    os.remove(tmp_path / "cell2_z10.PNG")
    with pytest.raises(Invalid, match=r"slice 10 is missing, between cell2_z9.PNG and cell2_z11.PNG; gaps=True"):
        read(tmp_path)
    assert whole(read(tmp_path, gaps=True))[:, 0, 0].tolist() == [8, 9, 11]
    os.remove(tmp_path / "cell2_z8.PNG")
    with pytest.raises(Invalid, match="slice 10 is missing"):  # also where all steps are the same
        read(tmp_path)
    os.rename(tmp_path / "cell2_z11.PNG", tmp_path / "cell2_z0040.PNG")
    with pytest.raises(Invalid, match=r"slices 10 to 39 are missing, between cell2_z9.PNG and cell2_z0040.PNG"):
        read(tmp_path)
    assert whole(read(tmp_path, gaps=True))[:, 0, 0].tolist() == [9, 11]


def test_files_of_several_series_do_not_make_a_stack(data, tmp_path):
    with pytest.raises(Invalid, match=r"instance-cell.png, instance-organelle.png, semantic.png"):
        read(data / "platelet")
    for name in ("a1_2", "a2_1", "a1_1"):
        Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(Invalid, match="differ in one number"):
        read(tmp_path)
    with pytest.raises(NotFound, match=r"expected PNG files, one for each slice, .* found none"):
        read(tmp_path / "z*.png")


@pytest.mark.parametrize(("names", "found"), [
    ([], "none"), (["a.txt"], "a.txt"),
    (["f.tif", "a.jpg", "c.jpg", "d.jpg", "e.jpg", "b"], "a.jpg, b, c.jpg, d.jpg and 2 more"),
])  # fmt: skip
@pytest.mark.parametrize("format", [None, "png"])
def test_a_folder_without_pngs_is_told_what_was_expected(tmp_path, names, found, format):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(NotFound, match=f"expected PNG files, one for each slice, .*such as z0001.png; found {found}$"):
        read(tmp_path, format=format)


def test_a_slice_unlike_the_first_is_named(tmp_path):
    def attempt(second: Image.Image, error: str):
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "s0.png")
        second.save(tmp_path / "s1.png")
        with pytest.raises(Invalid, match=error) as caught:
            read(tmp_path)
        assert caught.value.page == 1

    attempt(Image.new("L", (6, 5)), r"s1.png \(slice 1\) has 5 x 6 pixels of 8-bit grey; expected 4 x 6")
    attempt(Image.new("I;16", (6, 4)), "has 4 x 6 pixels of 16-bit grey; expected 4 x 6 pixels of 8-bit grey")
    attempt(Image.new("RGB", (6, 4)), "RGB; expected")
    attempt(Image.new("P", (6, 4)), "palette; expected")


def test_colours_may_come_with_alpha_or_without(tmp_path, whole):
    """RGB, RGBA, grey with alpha, and a palette that is read by its colours, in one stack."""
    red, transparent = (255, 0, 0), (9, 9, 9, 0)
    Image.new("RGB", (3, 2), red).save(tmp_path / "0.png")
    Image.new("RGBA", (3, 2), transparent).save(tmp_path / "1.png")
    Image.new("LA", (3, 2), (7, 255)).save(tmp_path / "2.png")
    indexed = Image.new("P", (3, 2), 5)
    indexed.putpalette([0] * 15 + [255, 0, 0])
    indexed.save(tmp_path / "3.png")
    stack = read(tmp_path, palette="colours")
    assert whole(stack)[:, 0, 0].tolist() == [1, 0, 2, 1]
    assert stack.colours == {1: (255, 0, 0, 255), 2: (7, 7, 7, 255)}


def test_black_is_background_only_without_alpha(tmp_path, whole):
    Image.new("RGB", (3, 2), 0).save(tmp_path / "rgb.png")
    Image.new("RGBA", (3, 2), (0, 0, 0, 255)).save(tmp_path / "rgba.png")
    assert whole(read(tmp_path / "rgb.png")).max() == 0
    assert whole(read(tmp_path / "rgba.png")).min() == 1


def test_a_transparent_colour_of_an_rgb_png_is_background(tmp_path, whole):
    rows = b"\0" + bytes([1, 2, 3, 4, 5, 6])
    (tmp_path / "a.png").write_bytes(png(1, 2, 8, 2, rows, chunk(b"tRNS", struct.pack(">HHH", 4, 5, 6))))
    assert whole(read(tmp_path / "a.png")).tolist() == [[[1, 0]]]


def test_a_palette_gives_indices_unless_colours_are_wanted(tmp_path, whole):
    values = np.array([[0, 1, 2, 1]])
    palette = chunk(b"PLTE", bytes([0, 0, 0, 255, 0, 0, 0, 255, 0]))
    (tmp_path / "a.png").write_bytes(png(1, 4, 8, 3, packed(values, 8), palette))
    assert whole(read(tmp_path / "a.png")).tolist() == [[[0, 1, 2, 1]]]
    table = {0: "#000000", 40: "#ff0000", 50: "#00ff00"}
    assert whole(read(tmp_path / "a.png", colours=table)).tolist() == [[[0, 40, 50, 40]]]
    with pytest.raises(Invalid, match="palette: expected"):
        read(tmp_path / "a.png", palette="both")


def test_palettes_that_disagree_are_refused_as_indices(tmp_path, whole):
    for z, colours in enumerate([(255, 0, 0), (255, 0, 0, 0, 0, 255), (0, 0, 255)]):
        (tmp_path / f"{z}.png").write_bytes(png(1, 1, 8, 3, b"\0\0", chunk(b"PLTE", bytes(colours))))
    assert whole(read(tmp_path, palette="colours")).ravel().tolist() == [1, 1, 2]
    with pytest.raises(Invalid, match=r'2.png \(slice 2\) has another palette.*palette="colours"'):
        whole(read(tmp_path))
    os.remove(tmp_path / "2.png")
    assert whole(read(tmp_path)).ravel().tolist() == [0, 0]


def test_sixteen_bit_colours_and_animations_are_not_read(tmp_path, whole):
    (tmp_path / "a.png").write_bytes(png(1, 1, 16, 2, b"\0" * 7))
    with pytest.raises(Unsupported, match="16-bit RGB"):
        read(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(png(1, 1, 8, 0, b"\0\0", chunk(b"acTL", bytes(8))))
    with pytest.raises(Unsupported, match="animated"):
        whole(read(tmp_path / "b.png"))


def test_a_table_for_grey_is_refused(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(Invalid, match="grey, so it has no colours"):
        read(tmp_path / "a.png", colours={1: "#ff0000"})


def test_an_unknown_colour_is_named_with_file_and_pixels(data, whole):
    table = {2: "#01abfe", 3: "#01fe01", 4: "#ffe000", 5: "#fa5e00", 6: "#f500cb"}
    path = data / "platelet" / "semantic.png"
    with pytest.raises(
        Invalid, match=r"semantic.png \(slice 0\): colour #0101e0ff is not in the table; 395475 pixels"
    ) as e:
        whole(read(path, colours=table))
    pixels = np.asarray(Image.open(path))
    assert e.value.pixels == (pixels == (1, 1, 224, 255)).all(axis=2).sum()
    labels = whole(read(path, colours=table | {1: "#0101e0"}))
    np.testing.assert_array_equal(labels[0] == 1, (pixels == (1, 1, 224, 255)).all(axis=2))


@pytest.fixture(scope="module")
def small_png(tmp_path_factory):
    path = tmp_path_factory.mktemp("png") / "a.png"
    values = np.random.default_rng(0).integers(0, 65536, (9, 11))
    path.write_bytes(png(9, 11, 16, 0, packed(values, 16), chunk(b"tEXt", b"Comment\0an annotator's")))
    return path


@examples(300)
@given(drawn=st.data())
def test_every_changed_byte_and_every_cut_is_noticed(small_png, whole, drawn):
    whole_file = small_png.read_bytes()
    at = drawn.draw(st.integers(0, len(whole_file) - 1))
    flip = drawn.draw(st.integers(0, 255))
    changed = whole_file[:at] + (bytes([whole_file[at] ^ flip]) + whole_file[at + 1 :] if flip else b"")
    path = small_png.with_name("changed.png")
    path.write_bytes(changed)
    with pytest.raises(Corrupt, match=r"changed.png"):
        whole(read(path))


def test_pixels_that_are_too_few_are_noticed(tmp_path, whole):
    (tmp_path / "a.png").write_bytes(png(9, 11, 8, 0, packed(np.zeros((8, 11), int), 8)))
    with pytest.raises(Corrupt, match="12 of their bytes are missing"):
        whole(read(tmp_path / "a.png"))


@pytest.mark.parametrize(("side", "error"), [(16_000, Corrupt), (2**31 - 1, Invalid)])
def test_a_declared_size_takes_no_memory(tmp_path, whole, side, error):
    (tmp_path / "a.png").write_bytes(png(side, side, 16, 0, b"\0" * 100))
    tracemalloc.start()
    try:
        with pytest.raises(error, match=r"of their bytes are missing|at most 536870912 in a slice"):
            whole(read(tmp_path / "a.png"))
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("error")
def test_a_slice_of_14_000_pixels_a_side_is_no_bomb(tmp_path):
    side = 14_000  # Pillow's own limit is 13,377
    rows = (b"\0" + b"\x80" + bytes(side // 8 - 1)) * side
    (tmp_path / "a.png").write_bytes(png(side, side, 1, 0, rows))
    stack = read(tmp_path / "a.png")
    slab = next(stack.slabs())
    assert slab.shape == (1, side, side) and slab[0, :, 0].all() and not slab[0, -1, 1:].any()


def test_a_folder_with_other_files_is_not_replaced(tmp_path, volume):
    write(Stack.of(volume), tmp_path / "a", format="png")
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(Exists, match=r"not a folder of .png files only"):
        write(Stack.of(volume), tmp_path / "a", format="png", overwrite=True)
    assert (tmp_path / "a" / "notes.txt").exists() and len(os.listdir(tmp_path)) == 1


def test_colours_are_asked_for_or_declined(data, tmp_path, whole):
    stack = read(data / "platelet" / "semantic.png")
    labels = whole(stack)
    write(stack, tmp_path / "grey.png", colours=False)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "grey.png")), labels[0])
    with pytest.raises(Invalid, match="has no colours"):
        write(Stack.of(labels), tmp_path / "a.png", colours=True)
    with pytest.raises(Invalid, match="slice 0: label 6 has no colour"):
        write(Stack.of(labels, colours={n: stack.colours[n] for n in range(1, 6)}), tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["grey.png"]
