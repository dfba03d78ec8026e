"""What the machine must have: a local file system, and an SQLite that does not damage its databases."""

from __future__ import annotations

import os

import apsw
import pytest

import labelog
from labelog import Unsupported
from labelog.storage import disk
from labelog.storage.connections import refuse_old

MOUNTS = """\
22 28 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
28 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
95 28 0:45 / /home rw,relatime shared:50 - nfs4 filer.example.org:/home rw,vers=4.2,rsize=1048576,hard
97 28 0:47 /lab /mnt/with\\040blank rw,relatime shared:52 master:3 propagate_from:2 - cifs //nas/lab rw,vers=3.1.1
99 28 0:49 / /mnt/far rw,nosuid,nodev,relatime - fuse.sshfs ana@far:/data rw,user_id=1000
101 28 0:51 / /mnt/hyphen rw - btrfs /dev/sdb1 rw,subvol=/a - b
nonsense
1 2 0:60
"""


@pytest.mark.parametrize(("device", "kind", "network"), [
    ("0:45", "nfs4", True), ("0:47", "cifs", True), ("0:49", "fuse.sshfs", True), ("259:2", "ext4", False),
    ("0:51", "btrfs", False), ("0:20", "proc", False), ("0:4", None, False), ("0:60", None, False),
])  # fmt: skip
def test_file_systems_are_told_by_their_mounts(device, kind, network):
    assert disk.mounted(MOUNTS, device) == kind
    assert (kind in disk.NETWORK) == network


def test_this_machines_mounts_are_read(tmp_path):
    assert disk.filesystem(tmp_path / "none") is None
    kind = disk.filesystem(tmp_path)  # None where the system does not tell of this device
    assert kind is None or kind in disk.MOUNTS.read_text()
    assert disk.filesystem(disk.MOUNTS) == "proc"


def test_volumes_on_a_network_are_refused(tmp_path, monkeypatch):
    labelog.create(tmp_path / "there.labelog", (2, 2, 2)).close()
    device = os.stat(tmp_path).st_dev
    (tmp_path / "mounts").write_text(MOUNTS.replace("0:45", f"{os.major(device)}:{os.minor(device)}"))
    monkeypatch.setattr(disk, "MOUNTS", tmp_path / "mounts")
    before = sorted(tmp_path.iterdir())
    for make in (
        lambda: labelog.create(tmp_path / "new.labelog", (2, 2, 2)),
        lambda: labelog.open(tmp_path / "there.labelog"),
        lambda: labelog.open(tmp_path / "there.labelog", "r"),
    ):
        with pytest.raises(Unsupported, match=r"is on a network file system \(nfs4\); a volume must lie on"):
            make()
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "mounts").unlink()  # a system that does not tell
    labelog.open(tmp_path / "there.labelog").close()


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.9.0", "2.8.17"])
def test_an_sqlite_that_may_damage_databases_is_refused(tmp_path, monkeypatch, version):
    with pytest.raises(Unsupported, match=f"SQLite {version} is too old: 3.51.3 or newer is needed"):
        refuse_old(version)
    labelog.create(tmp_path / "there.labelog", (2, 2, 2)).close()
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    for make in (lambda: labelog.create(tmp_path / "new.labelog", (2, 2, 2)),
                 lambda: labelog.open(tmp_path / "there.labelog"),
                 lambda: labelog.open(tmp_path / "there.labelog", "r")):  # fmt: skip
        with pytest.raises(Unsupported, match=f"SQLite {version} is too old"):
            make()
    assert [path.name for path in tmp_path.iterdir()] == ["there.labelog"]


@pytest.mark.parametrize("version", ["3.51.3", "3.51.10", "3.52.0", "4.0.0", apsw.sqlite_lib_version()])
def test_an_sqlite_that_is_new_enough(version):
    refuse_old(version)
