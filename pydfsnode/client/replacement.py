"""Whether a server that failed in the middle of a chunk is replaced at once: as HDFS decides it."""

from __future__ import annotations

from pydfsnode.config import ReplaceOnFailure


def replacements(policy: ReplaceOnFailure, replication: int, left: int, *, is_kept: bool) -> int:
    """How many servers to ask for in place of those that failed.

    `default` is the rule of dfs.client.block.write.replace-datanode-on-failure.policy: with r the
    replication and n the servers left, replace when r >= 3 and either floor(r/2) >= n, or r > n and
    the block is flushed or appended to.

    Args:
        policy: `never`: the chunk goes on with who is left, and the masters have it repaired once
            it is finished.
        left: servers of the pipeline that did not fail.
        is_kept: readers may have seen a part of the chunk: it was flushed, or continues another.
    """
    lost = max(0, replication - left)
    if policy == "always":
        return lost
    if policy == "never" or replication < 3:
        return 0
    return lost if replication // 2 >= left or is_kept else 0
