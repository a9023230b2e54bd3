"""What a namespace holds beside directories and chunks is there again after all masters died."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pydfsnode import limits
from pydfsnode.errors import NotFound, QuotaExceeded
from tests.support.cluster import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FILES = 40
MASTERS = ("m1", "m2", "m3")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("namespace") / "dev") as cluster:
        yield cluster


def restart(cluster: Cluster) -> None:
    """Kill every master, and serve again."""
    cluster.kill(*MASTERS)
    cluster.up()


def small(number: int) -> bytes:
    """The content of a small file."""
    return f"{number}-".encode() * (number * 20 % 1000 + 1)


def test_small_files_attributes_snapshots_and_trash_outlive_all_masters(cluster: Cluster) -> None:
    with cluster.connect() as fs:
        for number in range(FILES):
            fs.pipe_file(f"/all/d/{number}", small(number))
        assert fs.info("/all/d/1").inline
        fs.set_xattr("/all/d/1", "user.colour", b"blue")
        fs.set_acl("/all/d", ["user:bob:r-x", "default:group:eng:rwx"])
        fs.chmod("/all/d/2", 0o600)
        fs.chown("/all/d/2", "carol", "eng")
        fs.set_times("/all/d/2", mtime_ms=12_345_000)
        fs.set_quota("/all", names=1000)
        assert fs.create_snapshot("/all", "before") == "/all/.snapshot/before"
        fs.pipe_file("/all/d/3", b"new", overwrite=True)
        fs.rm("/all/d/4")
        fs.mv("/all/d/5", "/all/moved")
        fs.create_snapshot("/all", "after")
        with fs.open("/all/d/6", "ab") as file:
            file.write(b"more")
        thrown = fs.trash("/all/d/7")
        acl, difference = fs.acl("/all/d"), fs.snapshot_diff("/all", "before", "after")
        summary, listed = fs.summary("/all"), fs.ls("/all/d")
        seen = fs.info("/all/d/2")

    restart(cluster)

    with cluster.connect() as fs:
        assert fs.ls("/all/d") == listed
        assert fs.summary("/all") == summary
        assert fs.info("/all/d/2") == seen
        assert (seen.owner, seen.group, seen.mode, seen.mtime_ms) == (
            "carol", "eng", 0o600, 12_345_000,
        )  # fmt: skip
        for number in (0, 1, 2, *range(8, FILES)):
            assert fs.cat_file(f"/all/d/{number}") == small(number)
        assert fs.cat_file("/all/d/3") == b"new"
        assert fs.cat_file("/all/d/6") == small(6) + b"more"
        assert fs.cat_file("/all/moved") == small(5)
        assert fs.xattrs("/all/d/1") == {"user.colour": b"blue"}
        assert fs.acl("/all/d") == acl
        assert "user:bob:r-x" in acl.entries
        assert [snapshot.name for snapshot in fs.snapshots("/all")] == ["before", "after"]
        assert fs.snapshot_diff("/all", "before", "after") == difference
        for number in range(FILES):
            assert fs.cat_file(f"/all/.snapshot/before/d/{number}") == small(number)
        assert fs.cat_file("/all/.snapshot/after/d/3") == b"new"
        with pytest.raises(NotFound):
            fs.info("/all/.snapshot/after/d/4")
        assert fs.cat_file(thrown) == small(7)
        assert fs.restore(thrown).path == "/all/d/7"
        assert fs.cat_file("/all/d/7") == small(7)


def test_a_quota_holds_after_all_masters_died(cluster: Cluster) -> None:
    with cluster.connect() as fs:
        fs.makedirs("/limited/a")
        fs.set_quota("/limited", names=3)
    restart(cluster)
    with cluster.connect() as fs:
        fs.pipe_file("/limited/b", b"")
        with pytest.raises(QuotaExceeded):
            fs.pipe_file("/limited/c", b"")


def test_a_file_grows_out_of_the_namespace_and_is_truncated_back(cluster: Cluster) -> None:
    large = bytes(range(256)) * (limits.INLINE_BYTES_MAX // 64)
    with cluster.connect() as fs:
        fs.pipe_file("/grown", b"begin")
        assert fs.info("/grown").inline
        with fs.open("/grown", "ab") as file:
            file.write(large)
        assert not fs.info("/grown").inline
        fs.pipe_file("/other", large)
        fs.truncate("/other", 700)
    restart(cluster)
    with cluster.connect() as fs:
        assert fs.cat_file("/grown") == b"begin" + large
        assert fs.cat_file("/other") == large[:700]
        fs.rm("/grown")
