"""Coarser scales of volumes: what they are at every revision, what is redone after an edit, and what is kept."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import shutil
import stat
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelog
import oracles
from conftest import examples
from labelog.engine.scales import Scales
from labelog.errors import OutOfBounds
from labelog.geometry import Grid, scales
from labelog.storage.pyramid import Pyramid

SHAPE, CHUNKS, SIZE = (5, 19, 27), (2, 5, 6), (40, 10, 10)
STEPS = [(1, 2, 2), (1, 2, 2), (2, 2, 2)]  # 40 x 10 x 10, 40 x 20 x 20, 40 x 40 x 40, 80 x 80 x 80


def cells(seed=0, shape=SHAPE):
    """Blocks of few labels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 5, [-(-n // 3) for n in shape])
    return np.kron(coarse, np.ones((3, 3, 3), int))[tuple(map(slice, shape))].astype(np.uint64)


@pytest.fixture
def volume(tmp_path):
    with labelog.load(tmp_path / "v.labelog", cells(), voxel_size=SIZE, chunks=CHUNKS) as volume:
        yield volume


@contextmanager
def counting():
    """How many chunks of each scale are made meanwhile."""
    made = Counter()
    with pytest.MonkeyPatch.context() as patch:
        original = Scales.made

        def counted(self, number, chunk, revision):
            made[number] += 1
            return original(self, number, chunk, revision)

        patch.setattr(Scales, "made", counted)
        yield made


def files(volume):
    """The pyramid's files, and their bytes; not what the keeper writes first."""
    paths = (Path(volume.address) / "pyramid").rglob("[!.]*")
    return {path: path.read_bytes() for path in sorted(paths) if path.is_file()}


def over_all(volume):
    """All chunks of coarser scales, by scale and number."""
    return volume.store.scales.over(range(int(np.prod(volume.store.grid.counts))))


def same(volume, array):
    """Every scale of the newest revision is the twin's."""
    for scale in volume.scales:
        np.testing.assert_array_equal(scale[...], oracles.scaled(array, STEPS[: scale.number]))


# What scales there are


@pytest.mark.parametrize("shape, chunks, size, shapes", [
    ((250, 2000, 2000), (16, 256, 256), (40, 10, 10), [(250, 1000, 1000), (250, 500, 500), (125, 250, 250)]),
    ((16, 256, 256), (16, 256, 256), (40, 10, 10), []),
    ((16, 257, 256), (16, 256, 256), (1, 1, 1), [(8, 129, 128)]),
    ((1, 1000, 1000), (1, 256, 256), (1, 1, 1), [(1, 500, 500), (1, 250, 250)]),
    ((1000, 3, 3), (100, 3, 3), (9, 1, 1), [(1000, 2, 2), (1000, 1, 1), (500, 1, 1), (250, 1, 1), (125, 1, 1),
                                            (63, 1, 1)]),
    ((3, 3, 3), (1, 1, 1), (1, 1, 1), [(2, 2, 2), (1, 1, 1)]),
])  # fmt: skip
def test_how_many_scales(shape, chunks, size, shapes):
    found = scales(Grid(shape, chunks), size)
    assert [scale.grid.shape for scale in found] == [shape, *shapes]
    for fine, coarse in itertools.pairwise(found):
        assert coarse.voxel_size == tuple(n * f for n, f in zip(fine.voxel_size, coarse.steps, strict=True))
        assert coarse.factors == tuple(n * f for n, f in zip(fine.factors, coarse.steps, strict=True))


def test_a_scale_is_an_array_like(volume):
    coarse = volume.scale(2)
    assert [scale.number for scale in volume.scales] == [0, 1, 2, 3]
    assert (coarse.shape, coarse.voxel_size, coarse.unit) == ((5, 5, 7), (40, 40, 40), "nm")
    assert (coarse.translation, coarse.chunks, coarse.dtype) == ((0, 15, 15), CHUNKS, np.uint64)
    assert volume.scale(-1) == volume.scale(3) == volume.at().scale(3) == coarse.scale(3) != volume.scale(2)
    wanted = oracles.scaled(cells(), STEPS[:2])
    for index in [1, np.s_[..., ::-2], np.s_[[0, 3], 1:, -1], wanted > 2, (0, 0, 0)]:
        np.testing.assert_array_equal(coarse[index], wanted[index])
    np.testing.assert_array_equal(coarse.read(((1, 2, 3), (4, 5, 6))), wanted[1:4, 2:5, 3:6])
    assert "scale 2 of" in repr(coarse)
    copy = pickle.loads(pickle.dumps(coarse.snapshot.view("fragment", dtype="u2").scale(2)))
    assert (copy.number, copy.dtype) == (2, np.uint16)
    np.testing.assert_array_equal(copy[...], wanted)


@pytest.mark.parametrize("number", [4, -5, "1", 1.0, None, np.s_[:]])
def test_scales_that_there_are_not(volume, number):
    with pytest.raises(OutOfBounds, match="has scales 0 to 3"):
        volume.scale(number)


def test_scales_of_an_image_lie_on_those_of_the_labels(tmp_path):
    pytest.importorskip("zarr")
    with labelog.create(tmp_path / "v.labelog", (9, 1000, 800), voxel_size=SIZE) as volume:
        volume.attach_image(np.zeros(volume.shape, np.uint8))
        for image, labels in zip(volume.image.scales, volume.scales, strict=True):
            assert image.shape == labels.shape
            assert (image.voxel_size, image.translation) == (labels.voxel_size, labels.translation)


# At every revision


@examples(15)
@given(st.data())
def test_every_scale_at_every_revision(tmp_path_factory, data):
    """Edits, undo and merges through two handles; what is kept of older revisions is not taken for newer ones."""
    path = tmp_path_factory.mktemp("scales") / "v.labelog"
    with (
        labelog.load(path, cells(data.draw(st.integers(0, 9))), voxel_size=SIZE, chunks=CHUNKS) as one,
        labelog.open(path, threads=1, cache_bytes=data.draw(st.sampled_from([0, 10_000, 2**20]))) as other,
    ):
        for _ in range(data.draw(st.integers(1, 8))):
            handle, reader = data.draw(st.sampled_from([(one, other), (other, one)]))
            what = data.draw(st.sampled_from(["edit", "edit", "edit", "undo", "merge", "compact", "read"]))
            if what == "edit":
                start = [data.draw(st.integers(0, n - 1)) for n in SHAPE]
                with handle.edit("ana") as edit:
                    box = tuple(slice(a, a + data.draw(st.integers(1, 9))) for a in start)
                    edit[box] = data.draw(st.sampled_from([0, 3, 2**64 - 1]))
            elif what == "merge":
                with handle.edit("ana") as edit:
                    edit.merge(1, [2])
            elif what == "undo":
                with suppress(labelog.NothingToUndo):
                    handle.undo("ana")
            elif what == "compact":
                handle.compact()
            stored = reader.at(data.draw(st.integers(0, handle.revision))).view("fragment")
            number = data.draw(st.integers(1, 3))
            np.testing.assert_array_equal(stored.scale(number)[...], oracles.scaled(stored[...], STEPS[:number]))
        assert one.check().problems == []


def test_a_view_of_a_scale_maps_the_labels_stored(tmp_path):
    """Of two fragments of one body each may be outnumbered where both together are not."""
    labels = np.array([[[1, 2, 0, 0], [0, 0, 3, 3]]], np.uint64)
    with labelog.load(tmp_path / "v", labels, voxel_size=SIZE, chunks=(1, 2, 2)) as volume:
        with volume.edit() as edit:
            edit.merge(1, [2])
            edit.new_class("cell")
            edit.assign(1, cls="cell")
            edit.assign(3, cls="cell", name="B")
        assert volume.view("fragment").scale(1)[...].tolist() == [[[0, 3]]]
        assert volume.scale(1)[...].tolist() == [[[0, 3]]]
        assert volume.view("cell").scale(1)[...].tolist() == [[[0, 3]]]
        assert volume.view("semantic").scale(1)[...].tolist() == [[[0, 1]]]
        assert labelog.downsample(volume[...], (1, 2, 2)).tolist() == [[[1, 3]]]  # who wants it the other way round


def test_a_merge_redoes_nothing(volume):
    volume.compact()
    before = volume.scale(3)[...]
    with counting() as made:
        with volume.edit() as edit:
            edit.merge(1, [2])
        np.testing.assert_array_equal(volume.scale(3)[...], np.where(before == 2, 1, before))
    assert not made


@pytest.mark.parametrize("mask", [False, True])
def test_what_nobody_has_looked_at(volume, mask):
    """The voxel in the middle of each decides for a coarse one."""
    box = labelog.Box((1, 3, 2), (5, 14, 27))
    chosen = np.random.default_rng(1).integers(0, 2, box.shape).astype(bool) if mask else None
    with volume.edit() as edit:
        edit.set_region("a", "annotated", box, chosen)
        edit.set_region("b", "ignore", labelog.Box((0, 0, 0), (1, 1, 1)))
    known = np.zeros(SHAPE, bool)
    known[box.slices()] = True if chosen is None else chosen
    for scale in volume.view(unannotated=9).scales[1:]:
        factors = [4, 8, 8] if scale.number == 3 else [1, 2**scale.number, 2**scale.number]
        factors[0] = 2 if scale.number == 3 else 1
        middle = np.ix_(*(np.minimum(np.arange(n) * f + f // 2, m - 1)
                          for n, f, m in zip(scale.shape, factors, SHAPE, strict=True)))  # fmt: skip
        labels = oracles.scaled(cells(), STEPS[: scale.number])
        wanted = np.where((labels == 0) & ~known[middle], 9, labels)
        np.testing.assert_array_equal(scale[...], wanted)
        assert scale[0, 0, 0] == wanted[0, 0, 0] == scale[[0], [0], [0]][0]


def test_versions_of_a_scale(volume):
    """They tell whether anything beneath may have changed, and one scale from another."""
    box = labelog.Box((0, 0, 0), (2, 2, 2))
    before = {scale.number: scale.version(box) for scale in volume.scales}
    assert len(set(before.values())) == 4
    with volume.edit() as edit:
        edit[4, 18, 26] = 77
    changed = [scale.number for scale in volume.scales if scale.version(box) != before[scale.number]]
    assert 1 not in changed and volume.scale(3).version() != volume.at(0).scale(3).version()


# What is redone, and what is kept


def test_a_stroke_redoes_the_few_chunks_above_it(volume):
    with counting() as made:
        volume.scales[3][...]
    everything = Counter(number for number, _ in over_all(volume))
    assert made == everything  # the control: at first all of them are made
    assert sum(everything.values()) > 20
    for at in [(0, 0, 0), (4, 18, 26)]:
        with volume.edit() as edit:
            edit[at] = 77
        with counting() as made:
            volume.scales[3][...]
            volume.scales[1][...]
        assert made == {1: 1, 2: 1, 3: 1}
    same(volume, volume[...])


def test_an_older_revision_redoes_what_changed_since(volume):
    with volume.edit() as edit:
        edit[0, 0, 0] = 77
    volume.compact()
    with labelog.open(volume.address, "r") as reader, counting() as made:
        np.testing.assert_array_equal(reader.at(0).scale(3)[...], oracles.scaled(cells(), STEPS))
    assert made == {1: 1, 2: 1, 3: 1}


def test_compact_brings_the_pyramid_up_to_date(volume):
    volume.compact()
    kept = files(volume)
    assert {path.parts[-4] for path in kept} == {"1", "2", "3"}
    with labelog.open(volume.address) as reader, counting() as made:
        same(reader, cells())
    assert not made
    volume.compact()
    assert files(volume) == kept
    with volume.edit() as edit:
        edit[0, 0, 0] = 77
    volume.compact()
    assert sum(files(volume)[path] != data for path, data in kept.items()) == 3


def test_what_is_read_is_kept_in_the_background(volume):
    volume.scales[3][...]
    every = {volume.store.scales.pyramid.path(volume.store.scales.all[n], chunk) for n, chunk in over_all(volume)}
    patience = time.monotonic() + 60
    while set(files(volume)) != every and time.monotonic() < patience:
        time.sleep(0.01)
    assert set(files(volume)) == every


def test_reading_only_writes_nothing(volume):
    with volume.edit() as edit:
        edit[0] = 9
    volume.close()
    before = {path: path.stat().st_mtime_ns for path in Path(volume.address).rglob("*")}
    with labelog.open(volume.address, "r") as reader:
        same(reader, reader[...])
    assert {path: path.stat().st_mtime_ns for path in Path(volume.address).rglob("*")} == before
    assert not files(volume)


def test_a_chunk_of_zeros_has_no_file(tmp_path):
    with labelog.create(tmp_path / "v", SHAPE, voxel_size=SIZE, chunks=CHUNKS) as volume:
        with volume.edit() as edit:
            edit[0, 0, 0] = 5
        assert not volume.scale(3)[...].any()
        with volume.edit() as edit:
            edit[2:4, 8:12, 8:12] = 5
        volume.compact()
        kept = files(volume)
        assert 0 < len(kept) < 10
        with volume.edit() as edit:
            edit.erase(5)
        assert not any(scale[...].any() for scale in volume.scales)
        volume.compact()
        assert not any(scale[...].any() for scale in labelog.open(tmp_path / "v").scales)
        assert volume.check().problems == []


# Damage, loss, and files of elsewhere


@pytest.mark.parametrize("harm", [
    lambda path: path.unlink(),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.write_bytes(path.read_bytes()[:50] + b"?" + path.read_bytes()[51:]),
    lambda path: shutil.copy(path.parent.parent / "1" / "1", path),  # another chunk's
    lambda path: shutil.copy(path.parents[3] / "2" / "0" / "0" / "0", path),  # another scale's
])  # fmt: skip
def test_a_damaged_file_is_made_anew(volume, harm):
    volume.compact()
    before = files(volume)
    path = Path(volume.address) / "pyramid" / "1" / "0" / "0" / "0"
    harm(path)
    problems = volume.check().problems
    assert len(problems) == path.exists()
    assert all("chunk (0, 0, 0) of scale 1 in" in problem for problem in problems)
    with labelog.open(volume.address, "r") as reader:
        same(reader, cells())
    volume.compact()
    assert files(volume) == before
    assert volume.check().problems == []


def test_a_file_of_another_history_is_not_taken(volume, tmp_path):
    """Two copies of a volume go their own ways, to the same revision, and one gets the other's pyramid."""
    volume.close()
    twin = tmp_path / "twin.labelog"
    shutil.copytree(volume.address, twin)
    for path, label in [(volume.address, 7), (twin, 8)]:
        with labelog.open(path) as each:
            with each.edit() as edit:
                edit[:] = label
            each.compact()
    shutil.rmtree(twin / "pyramid")
    shutil.copytree(Path(volume.address) / "pyramid", twin / "pyramid")
    with labelog.open(twin) as each:
        assert (each.scale(3)[...] == 8).all()
        assert each.check().problems == []
        each.compact()
        assert (each.scale(1)[...] == 8).all()


def test_check_makes_each_chunk_anew(volume):
    """A file that is sound and wrong, as only a mistake of this program could make it."""
    volume.compact()
    pyramid = volume.store.scales.pyramid
    scale = volume.store.scales.all[2]
    mark, runs = pyramid.read(scale, 0)
    wrong = runs.dense()
    wrong[0, 0, 0] += 1
    pyramid.write(scale, 0, pyramid.pack(scale, 0, mark, type(runs).from_dense(wrong)))
    problems = volume.check().problems
    assert len(problems) == 1
    assert "scale 2: " in problems[0] and "is not what the finer scale leads to" in problems[0]


def test_files_that_do_not_belong(volume):
    volume.compact()
    folder = Path(volume.address) / "pyramid"
    for name in ["1/9/0/0", "4/0/0/0", "1/0/0/x", "notes.txt", "1/0/0/00", "0/0/0/0"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / "1/0/0/.1.tmp").write_bytes(b"half a chunk")
    problems = volume.check().problems
    assert len(problems) == 6 and all("does not belong to the volume" in problem for problem in problems)
    volume.compact()
    assert not (folder / "1/0/0/.1.tmp").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_pyramid_that_cannot_be_written(volume):
    folder = Path(volume.address) / "pyramid"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    same(volume, cells())
    folder.chmod(stat.S_IRWXU)


def test_a_volume_without_a_disk_for_its_pyramid(volume, monkeypatch):
    """What cannot be kept is made again; reading does not suffer."""

    def full(self, scale, chunk, data):
        raise labelog.OutOfSpace("the disk is full")

    monkeypatch.setattr(Pyramid, "write", full)
    same(volume, cells())
    with pytest.raises(labelog.OutOfSpace):
        volume.compact()
    assert not files(volume)


# Several at once


def paint(path, author, rounds):
    with labelog.open(path) as volume:
        rng = np.random.default_rng(len(author))
        for number in range(rounds):
            with volume.edit(author) as edit:
                z, y, x = (int(rng.integers(0, n)) for n in SHAPE)
                edit[z, y : y + 4, x : x + 4] = number + 1
            volume.scale(1 + number % 3)[...]
            if number % 7 == 0:
                volume.compact()


def test_two_processes_write_and_read(volume):
    """Each keeps what it has made; nobody takes a chunk for newer than it is."""
    volume.close()
    context = multiprocessing.get_context("spawn")
    painters = [context.Process(target=paint, args=(volume.address, author, 25)) for author in ("ana", "bo")]
    for painter in painters:
        painter.start()
    with labelog.open(volume.address, "r") as reader:
        while any(painter.is_alive() for painter in painters):
            snapshot = reader.at()
            array = snapshot[...]
            for number in (3, 2, 1):
                np.testing.assert_array_equal(snapshot.scale(number)[...], oracles.scaled(array, STEPS[:number]))
        for painter in painters:
            painter.join()
            assert painter.exitcode == 0
        assert reader.revision == 50
        same(reader, reader[...])
        assert reader.check().problems == []
