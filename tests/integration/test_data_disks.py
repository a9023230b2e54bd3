"""Small and vanishing file systems under chunkservers, while files go in and out.

They are mounted for it, so these tests are collected only for root: see conftest.py beside.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pydfsnode.limits import CHUNK_BYTES_MAX, MIB
from tests.support.cluster import wait_until
from tests.support.data_cluster import DataCluster
from tests.support.data_load import DataLoad, check_all_stored

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SMALL_BYTES, OTHER_BYTES = 128 * MIB, 700 * MIB
"""Alike enough, so that the small one too is chosen."""
RESERVED_BYTES = 8 * MIB
NAMES = ("c1", "c2", "c3", "c4", "c4-second")


@contextmanager
def mounted(directory: Path, size: int) -> Iterator[Path]:
    """A file system of *size* bytes in memory."""
    directory.mkdir()
    options = ["-o", f"size={size}", "-t", "tmpfs"]
    subprocess.run(["mount", *options, "none", directory], check=True)
    try:
        yield directory
    finally:
        unmount(directory)


def unmount(directory: Path) -> None:
    """Take a file system away, whoever uses it; nothing when that was done."""
    if directory.is_mount():
        subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """One for each chunkserver, that of c3 is small; c4 has a second one."""
    work = tmp_path_factory.mktemp("mounted")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                mounted(work / name, SMALL_BYTES if name == "c3" else OTHER_BYTES)
            )
            for name in NAMES
        }


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, disks: dict[str, Path]
) -> Iterator[DataCluster]:
    settings: dict[str, dict[str, object]] = {
        name: {
            "data_dirs": json.dumps([str(disks[each]) for each in NAMES if each.startswith(name)]),
            "reserved_bytes": RESERVED_BYTES,
        }
        for name in ("c1", "c2", "c3", "c4")
    }
    directory = tmp_path_factory.mktemp("disks") / "dev"
    with DataCluster(directory, settings=settings) as cluster:
        yield cluster


def free_bytes(cluster: DataCluster, node_id: str) -> int:
    """What a chunkserver has left for new chunks."""
    found = cluster.chunkserver(node_id)
    assert found is not None
    return found.free_bytes


def test_a_small_disk_fills_up_and_its_reserve_stays_free(
    cluster: DataCluster, disks: dict[str, Path]
) -> None:
    with DataLoad(cluster.config, "/full") as load:
        # Room for a whole chunk is set aside for each that is begun.
        wait_until("it is full", lambda: free_bytes(cluster, "c3") < CHUNK_BYTES_MAX)
        load.wait_for(files=30, reads=50)
    check_all_stored(load, cluster.config)
    cluster.wait_until_perfect()
    left = os.statvfs(disks["c3"])
    assert left.f_bavail * left.f_frsize >= RESERVED_BYTES


def test_a_disk_is_unmounted_and_the_other_goes_on(
    cluster: DataCluster, disks: dict[str, Path]
) -> None:
    with DataLoad(cluster.config, "/unmounted") as load:
        load.wait_for(files=10)
        unmount(disks["c4-second"])
        wait_until("it is left out", lambda: "DISK_FAILED" in cluster.codes())
        load.wait_for(files=10, reads=20)
    check_all_stored(load, cluster.config)
    cluster.wait_until_perfect()
    assert not list(disks["c4-second"].iterdir()), "nothing goes to the disk below"
