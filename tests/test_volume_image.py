"""The image under a volume's labels: linked or written into its folder, at each revision, undone as anything else."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from multiprocessing import get_context

import numpy as np
import pytest
import zarr

import labelog
from labelog import Conflict, Exists, Invalid, NotFound, ReadOnly, Unsupported
from labelog.image import import_image, open_image

SHAPE = (5, 40, 30)
EM = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)


@pytest.fixture
def volume(tmp_path):
    with labelog.create(tmp_path / "v.labelog", SHAPE, chunks=(2, 16, 16), voxel_size=(40, 8, 8)) as volume:
        yield volume


@pytest.fixture
def em(tmp_path):
    """An OME-Zarr image of the volume's shape; its path."""
    import_image(EM, tmp_path / "em.zarr", voxel_size=(50, 10, 10), unit="nm", scales=2)
    return tmp_path / "em.zarr"


def files(volume):
    """What lies in the volume's folder, all told."""
    return sorted(os.path.join(top, name) for top, _, names in os.walk(volume.address) for name in names)


def slabs(array=EM, n=2):
    return (array[z : z + n] for z in range(0, len(array), n))


def test_none(volume):
    with pytest.raises(NotFound, match="no image at revision 0; attach_image gives it one"):
        volume.image  # noqa: B018
    with pytest.raises(NotFound):
        volume.at(0).image  # noqa: B018


def test_a_link(volume, em):
    commit = volume.attach_image(em, author="ana")
    assert (commit.revision, commit.author, commit.kind, commit.voxels) == (1, "ana", "edit", 0)
    assert commit.message == f"image {em.name}"
    image = volume.image
    assert (image.address, image.shape, image.dtype) == (str(em), SHAPE, EM.dtype)
    assert (image[...] == EM).all()
    assert (image[2, 3:9, ::2] == EM[2, 3:9, ::2]).all()
    assert image.voxel_size == (50, 10, 10), "what the image says of itself"
    assert image.scale(1).shape == (5, 20, 15)
    assert volume.image is image, "opened once"
    assert not any(name.startswith("image") for name in os.listdir(volume.address)), "nothing was copied"
    assert volume.check().problems == []


def test_ways_to_name_a_link(volume, em, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in (str(em), "em.zarr", em.as_uri(), open_image(em), os.path.relpath(em)):
        assert volume.attach_image(source).voxels == 0
        monkeypatch.chdir("/")
        assert volume.image.address == str(em)
        with labelog.open(volume.address, "r") as other:
            assert (other.image[4] == EM[4]).all()
        monkeypatch.chdir(tmp_path)


def test_two_volumes_share_a_link(volume, em, tmp_path):
    with labelog.create(tmp_path / "w.labelog", SHAPE) as other:
        for each in (volume, other):
            each.attach_image(em)
        assert volume.image.address == other.image.address == str(em)
        volume.undo()
        assert (other.image[...] == EM).all()


def test_a_link_that_leads_nowhere(volume, em):
    volume.attach_image(em)
    shutil.rmtree(em)
    with labelog.open(volume.address) as again:
        with pytest.raises(NotFound, match=r"em\.zarr does not exist"):
            again.image  # noqa: B018
        assert again.check().problems == [], "the labels are not the worse for it"
        again.undo()
        with pytest.raises(NotFound, match="no image at revision 2"):
            again.image  # noqa: B018


@pytest.mark.parametrize("source", ["array", "zarr", "slabs", "list"])
def test_what_is_written(volume, tmp_path, source):
    seen = []
    made = {
        "array": lambda: EM,
        "zarr": lambda: zarr.create_array(tmp_path / "plain.zarr", data=EM),
        "slabs": slabs,
        "list": lambda: list(slabs()),
    }[source]()
    commit = volume.attach_image(made, author="ana", message="ours", progress=lambda *done: seen.append(done))
    assert (commit.revision, commit.message) == (1, "ours")
    assert volume.image.address == f"{volume.address}/image"
    assert (volume.image[...] == EM).all()
    assert (volume.image.voxel_size, volume.image.unit) == ((40, 8, 8), "nm"), "as the volume has them"
    assert seen[-1] == (5, 5 if source in ("array", "zarr") else 0)
    assert volume.check().problems == []
    volume.compact()
    assert volume.check().problems == []
    assert (volume.image[...] == EM).all()
    assert (volume[...] == 0).all()


def test_a_copy_of_what_has_an_address(volume, em):
    volume.attach_image(em, copy=True, voxel_size=(80, 20, 20), unit="um")
    shutil.rmtree(em)
    with labelog.open(volume.address, "r") as other:
        assert (other.image.address, other.image.kind) == (f"{volume.address}/image", "ome-zarr")
        assert (other.image[...] == EM).all()
        assert (other.image.voxel_size, other.image.unit) == ((80, 20, 20), "um")
    volume.attach_image(volume.image, copy=True)
    assert volume.image.address == f"{volume.address}/image-2"
    assert (volume.image[...] == EM).all()
    assert volume.image.voxel_size == (40, 8, 8)


def test_the_folder_may_move(volume, em, tmp_path):
    """An image in it moves along; a link stays."""
    volume.attach_image(EM)
    volume.attach_image(em)
    shutil.copytree(volume.address, tmp_path / "deep" / "w.labelog")
    shutil.rmtree(f"{volume.address}/image")
    with labelog.open(tmp_path / "deep" / "w.labelog") as moved:
        assert moved.at(1).image.address == str(tmp_path / "deep" / "w.labelog" / "image")
        assert (moved.at(1).image[...] == EM).all()
        assert moved.image.address == str(em)


@pytest.mark.parametrize("wrong", [(5, 40, 31), (4, 40, 30), (5, 40), (1, 5, 40, 30), (5, 30, 40)])
def test_another_shape(volume, tmp_path, wrong):
    before = files(volume)
    array = np.zeros(wrong, np.uint8)
    sources = [array]
    if len(wrong) == 3:
        import_image(array, tmp_path / "wrong.zarr", voxel_size=(1, 1, 1), unit="nm")
        sources += [tmp_path / "wrong.zarr", open_image(tmp_path / "wrong.zarr"), slabs(array), list(slabs(array))]
    for source in sources:
        for copy in (False, True):
            with pytest.raises(Invalid):
                volume.attach_image(source, copy=copy)
    with pytest.raises(Invalid, match=r"the image of a volume has its shape \(5, 40, 30\), not"):
        volume.attach_image(array)
    assert (volume.revision, files(volume)) == (0, before)
    assert not [name for name in os.listdir(volume.address) if "image" in name]


def broken():
    yield EM[:2]
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("source", "more", "error"),
    [
        ("missing.zarr", {}, NotFound),
        ("missing.zarr", {"copy": True}, NotFound),
        (5, {}, Invalid),
        (None, {}, Invalid),
        (broken, {}, ZeroDivisionError),
        (EM.astype(str), {}, Invalid),
        (EM, {"author": ""}, Invalid),
        (EM, {"author": "a//b"}, Invalid),
        (EM, {"message": 5}, Invalid),
        (EM, {"unit": "miles"}, Invalid),
        (EM, {"voxel_size": (0, 1, 1)}, Invalid),
        (EM, {"voxel_size": (1, 1)}, Invalid),
    ],
)
def test_what_leaves_nothing_behind(volume, source, more, error):
    before = files(volume)
    with pytest.raises(error):
        volume.attach_image(source() if callable(source) else source, **more)
    assert (volume.revision, files(volume)) == (0, before)
    assert not [name for name in os.listdir(volume.address) if "image" in name]


def test_read_only(volume, em):
    volume.attach_image(em)
    before = files(volume)
    with labelog.open(volume.address, "r") as reader:
        assert (reader.image[1] == EM[1]).all()
        for source in (EM, em, slabs()):
            with pytest.raises(ReadOnly):
                reader.attach_image(source)
    assert files(volume) == before, "nothing was written before it was refused"


def test_a_closed_volume(volume):
    volume.close()
    with pytest.raises(Invalid, match="is closed"):
        volume.attach_image(EM)
    assert not os.path.exists(f"{volume.address}/image")


def test_undo_and_redo(volume, em):
    volume.attach_image(em, author="ana")
    volume.undo("ana")
    with pytest.raises(NotFound, match="no image at revision 2"):
        volume.image  # noqa: B018
    assert volume.at(1).image.address == str(em)
    volume.redo("ana")
    assert (volume.image[...] == EM).all()
    assert volume.check().problems == []


def test_undo_beneath_a_newer_image(volume, em):
    volume.attach_image(em, author="ana")
    volume.attach_image(EM + 1, author="bo")
    volume.undo("ana")
    assert (volume.image[...] == EM + 1).all()
    volume.undo("bo")
    with pytest.raises(NotFound):
        volume.image  # noqa: B018
    volume.redo("bo")
    assert (volume.image[...] == EM + 1).all(), "what was written stays, for revisions that had it"


def test_an_image_that_is_replaced(volume, em):
    volume.attach_image(EM)
    pinned = volume.at()
    volume.attach_image(EM + 1)
    volume.attach_image(em)
    assert [name for name in sorted(os.listdir(volume.address)) if "image" in name] == ["image", "image-2"]
    for snapshot in (pinned, volume.at(1)):
        assert (snapshot.image[...] == EM).all()
    assert (volume.at(2).image[...] == EM + 1).all()
    assert volume.image.address == str(em)
    with volume.edit() as edit:
        edit.set_image(None)
    with pytest.raises(NotFound, match="at revision 4"):
        volume.image  # noqa: B018
    assert (pinned.image[...] == EM).all()
    assert volume.check().problems == []


def test_another_handle_sees_it(volume, em):
    with labelog.open(volume.address) as other:
        volume.attach_image(em)
        assert (other.image[0] == EM[0]).all()
        other.attach_image(EM + 7)
        assert (volume.image[0] == EM[0] + 7).all()
        assert (volume.at(1).image[0] == EM[0]).all()


def test_an_image_is_said_under_a_key(volume, em):
    reference = open_image(em).reference(volume.address)
    for _ in range(2):
        with volume.edit("ana", key="k") as edit:
            edit.set_image(reference)
    assert (edit.revision, volume.revision) == (1, 1)
    with pytest.raises(Conflict):
        with volume.edit("ana", key="k") as edit:
            edit.set_image(None)


def total(labels):
    """In another process."""
    return int(labels.image[...].sum())


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_in_another_process(volume, em, method):
    volume.attach_image(em)
    volume.attach_image(EM + 1)
    with get_context(method).Pool(1) as pool:
        for given, expected in ((volume.at(1), EM), (volume.at(), EM + 1), (volume, EM + 1)):
            assert pool.apply_async(total, (given,)).get(60) == expected.sum()
    assert (pickle.loads(pickle.dumps(volume.at(1))).image[...] == EM).all()


def test_without_zarr(volume, em, monkeypatch):
    volume.attach_image(em)
    before = files(volume)
    with labelog.open(volume.address) as again:
        for module in [name for name in sys.modules if name == "zarr" or name.startswith("zarr.")]:
            monkeypatch.setitem(sys.modules, module, None)
        for act in (lambda: again.image, lambda: again.attach_image(EM), lambda: again.attach_image(em)):
            with pytest.raises(Unsupported, match=r"labelog\[zarr\]") as caught:
                act()
            assert caught.value.extra == "zarr"
        assert (again[...] == 0).all()
        assert again.check().problems == []
    assert files(volume) == before


def test_two_attach_at_once(volume, monkeypatch):
    """Both would write to the same folder: the second to finish is told, and the first one's image is whole."""
    with labelog.open(volume.address) as other:

        def while_writing():
            yield EM[:2]
            other.attach_image(EM + 1)
            yield EM[2:]

        with pytest.raises(Exists):
            volume.attach_image(while_writing())
        assert (volume.revision, (volume.image[...] == EM + 1).all()) == (1, True)
    volume.attach_image(EM)
    assert volume.image.address.endswith("image-2")
