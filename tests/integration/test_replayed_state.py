"""Who has the disk of a stopped master puts an older row of its state back, with its own seal.

Nothing of the row itself is wrong. The others hold another state, and their digests say so, though
nobody touches what the row describes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import pydfsnode
from pydfsnode._fast import INODES_PER_BLOCK
from pydfsnode.config import load_node_config
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.rows import KEY, TABLE_BLOCK
from pydfsnode.roles.master.store import MasterStore, open_store
from pydfsnode.security.tls import TlsStore
from pydfsnode.storage.state_tables import disk_table
from tests.support.cluster import wait_until
from tests.support.raft_processes import RaftCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MASTERS = ("m1", "m2", "m3")
QUIET = f"/quiet/{INODES_PER_BLOCK}"
"""In the middle of a row of inodes that nothing changes any more."""


@contextmanager
def opened(cluster: RaftCluster, master: str) -> Iterator[MasterStore]:
    """What a stopped master has, opened and checked as it does at its start."""
    config = load_node_config(cluster.node_config(master))
    store = open_store(config, TlsStore.load(config.tls).identity)
    try:
        yield store
    finally:
        store.close()


def place_of(store: MasterStore, path: str) -> bytes:
    """The key on disk of the row that the inode at *path* is in."""
    inode = store.namespace.tree.walk(path, NOBODY_ASKS)
    table = disk_table(TABLE_BLOCK, store.log.bounds.generation)
    return bytes([table]) + KEY.pack(inode.inode_id // INODES_PER_BLOCK)


def test_an_older_row_under_its_key_is_found_and_the_master_is_replaced(tmp_path: Path) -> None:
    with RaftCluster(tmp_path / "dev") as cluster, pydfsnode.connect(cluster.config) as fs:
        for number in range(2 * INODES_PER_BLOCK):
            fs.makedirs(f"/quiet/{number}")
        cluster.wait_until_equal(*MASTERS)
        robbed = next(name for name in MASTERS if name != cluster.leading())
        cluster.stop(robbed)
        with opened(cluster, robbed) as store:
            place = place_of(store, QUIET)
            older = store.sealed.kv.get(place)
        cluster.start(robbed)
        fs.chmod(QUIET, 0o700)
        cluster.wait_until_equal(*MASTERS)
        cluster.stop(robbed)
        with opened(cluster, robbed) as store:
            assert store.sealed.kv.get(place) != older
            store.sealed.kv.write([(place, older)], True)
        with opened(cluster, robbed) as store:  # no check of a start finds it
            assert store.namespace.tree.walk(QUIET, NOBODY_ASKS).mode == 0o755

        cluster.start(robbed)
        written = 0
        while cluster.is_alive(robbed):
            fs.makedirs(f"/elsewhere/{written}")
            written += 1
            assert written < 20_000, f"{robbed} goes on with its older row"
        stops = cluster.events(robbed, "the node stops")[-1]
        assert stops["kind"] == "StateDiverged"
        assert "remove-master and add-master" in stops["error"]
        assert all(cluster.is_alive(name) for name in MASTERS if name != robbed)
        fs.makedirs("/after")

        cluster.run("cluster", "remove-master", robbed)
        cluster.wipe(robbed)
        cluster.begins_no_cluster(robbed)
        cluster.start(robbed)
        cluster.wait_for_page(robbed)
        cluster.run("cluster", "add-master", f"{robbed}={cluster.listen(robbed)}")
        wait_until("the new one has it all", lambda: cluster.applied(robbed) > 0)
        assert fs.info(QUIET).mode == 0o700
        states = cluster.stored_states(*MASTERS)
        assert len(set(states.values())) == 1, states
