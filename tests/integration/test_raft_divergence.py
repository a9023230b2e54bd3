"""A master whose state differs from what the same log gave the others stops (INV-SAME)."""

from __future__ import annotations

from pathlib import Path

import pytest

import pydfsnode
from pydfsnode._fast import INODES_PER_BLOCK
from pydfsnode.config import load_node_config
from pydfsnode.meta import rows
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.roles.master.store import open_store
from pydfsnode.security.tls import TlsStore
from tests.support.cluster import wait_until
from tests.support.raft_processes import RaftCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MASTERS = ("m1", "m2", "m3")
DIGEST_EVERY = 1024


def change_owner(config_file: Path, path: str) -> None:
    """As a bug or a bit flip before the seal would: a row of the state table says otherwise."""
    config = load_node_config(config_file)
    store = open_store(config, TlsStore.load(config.tls).identity)
    try:
        tree = store.namespace.tree
        inode = tree.walk(path, NOBODY_ASKS)
        inode.owner = "somebody"
        block = inode.inode_id // INODES_PER_BLOCK
        row = (rows.TABLE_BLOCK, rows.KEY.pack(block), tree.table.encode_block(block))
        store.log.write(None, [row], True, store.log.state_index)
    finally:
        store.close()


def test_the_one_that_differs_stops_and_the_others_serve(tmp_path: Path) -> None:
    with RaftCluster(tmp_path / "dev") as cluster:
        fs = pydfsnode.connect(cluster.config)
        fs.makedirs("/touched")
        cluster.wait_until_equal(*MASTERS)
        different = next(name for name in MASTERS if name != cluster.leading())
        cluster.stop(different)
        change_owner(cluster.node_config(different), "/touched")
        cluster.start(different)
        # Each new entry touches the directory, so every digest from now on has its row.
        for number in range(3 * DIGEST_EVERY):
            fs.makedirs(f"/touched/{number}")
            if not cluster.is_alive(different):
                break
        wait_until(f"{different} stops", lambda: not cluster.is_alive(different))
        (stops,) = cluster.events(different, "the node stops")
        assert stops["kind"] == "StateDiverged"
        assert "remove-master and add-master" in stops["error"]
        fs.makedirs("/after")
        assert fs.exists("/after")
        fs.close()
