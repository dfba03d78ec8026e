"""What a view shows as something else than before: beside the maps of both revisions, label by label."""

from __future__ import annotations

import numpy as np
import pytest

import labelog
from labelog.engine.remapped import Remapped

VIEWS = ("fragment", "instance", "semantic", "cell", "organelle")
LABELS = np.arange(1, 14, dtype=np.uint64)


def values(seen):
    return dict(zip(LABELS.tolist(), seen.values(LABELS).tolist(), strict=True))


def told(seen, since):
    """All values, by what is told over what was known before."""
    found = seen.remapped(since)
    plain = {label: label if seen.name in ("fragment", "instance") else 0 for label in LABELS.tolist()}
    before = plain if found.whole else values(seen.volume.at(since).view(seen.name))
    assert all(before[label] != value for label, value in found.values.items() if label in before)
    return before | {label: value for label, value in found.values.items() if label in before}


@pytest.fixture
def volume(tmp_path):
    with labelog.create(tmp_path / "v.labelog", (4, 8, 16), classes="platelet") as volume:
        yield volume


def change(volume, random):
    """Some edit of the label table, or its undo."""
    one, two, three = random.choice(LABELS, 3, replace=False).tolist()
    try:
        with volume.edit("ana") as edit:
            match random.integers(5):
                case 0:
                    edit.merge(one, [two, three])
                case 1:
                    edit.cleave([one])
                case 2:
                    edit.assign(one, cls=str(random.choice(["cell", "mitochondrion", "alpha granule"])))
                case 3:
                    edit.assign(one, parent=two)
                case 4:
                    edit.assign(one, parent=None, cls=None)
        if random.random() < 0.2:
            volume.undo("ana")
    except labelog.LabelogError:
        pass


@pytest.mark.parametrize("seed", range(2))
def test_what_is_told_and_what_was_known_is_the_map(volume, seed):
    random = np.random.default_rng(seed)
    with volume.edit("ana") as edit:
        edit[0, 0, 1:14] = LABELS
        for label in LABELS.tolist():
            edit.assign(label, name=str(label))
    for _ in range(40):
        change(volume, random)
    assert volume.revision > 15
    met = 0
    for name in VIEWS:
        for since in [None, *range(0, volume.revision + 1, 3)]:
            for revision in {volume.revision, volume.revision - 5}:
                if since is None or since <= revision:
                    seen = volume.at(revision).view(name)
                    assert told(seen, since) == values(seen), (name, since, revision)
                    found = seen.remapped(since)
                    assert found.whole == (since is None)
                    met += len(found.values)
    assert met > 100


def test_classes_that_changed_make_it_whole(volume):
    with volume.edit("ana") as edit:
        edit[0, 0, 0:5] = 3
        edit.assign(3, cls="cell")
    before = volume.revision
    with volume.edit("ana") as edit:
        edit.assign_class("cell", colour="#123456")
    seen = volume.view("semantic")
    found = seen.remapped(before)
    assert found.whole and found.values == {3: volume.classes["cell"].id}
    assert not volume.view("instance").remapped(before).whole
    with volume.edit("ana") as edit:
        edit.new_class("blob")
        edit.assign(4, cls="blob")
    assert volume.view("blob").remapped(before) == Remapped({4: 4}, True)


def test_a_revision_that_is_none(volume):
    for since in (-1, 1):
        with pytest.raises(labelog.Invalid, match="since"):
            volume.at(0).remapped(since)
